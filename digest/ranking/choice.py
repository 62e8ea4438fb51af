"""Which papers go into whose digest, and why: all readers of a shard in one sparse product."""

import heapq
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.model import TfidfModel

#: The cosine below which a paper mentions a topic at most in passing.
FLOOR = 0.1
#: A part of up to SHORT terms must be had whole: "neural networks" is not about graph neural
#: networks. Of a longer one, a paper must have so much of what its LONG heaviest terms weigh.
SHORT = 3
COVERAGE = 0.65
LONG = 4
#: A comma parts a list of phrases of so many words at most; in a sentence it is only a comma.
PHRASE = 4
GRAVITY = 1.2  # How fast a trend ages.
SEPARATOR = re.compile(r"[,;\n]")


@dataclass(frozen=True)
class Interest:
    """What a reader follows or mutes: a name to say, and a text to look for, in some categories.

    Without categories, in all; without a text, all papers of the categories.
    """

    name: str
    query: str
    weight: float = 1.0
    categories: tuple[str, ...] = ()


#: A paper, its score, the interest that it is about, and the row of that interest's part.
Found = tuple[int, float, Interest, int]
NO_ROW = -1  # The categories alone say so.


@dataclass(frozen=True)
class Profile:
    """One reader, as the ranking knows her."""

    follows: tuple[Interest, ...] = ()
    mutes: tuple[Interest, ...] = ()
    size: int = 10


@dataclass(frozen=True)
class Choice:
    """One paper for one reader. `basis` is topic, trend or new."""

    paper: int
    score: float
    basis: str
    topic: str = ""
    terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edition:
    """The new papers, in an order of their own that all positions refer to.

    `vectors` (n_papers, n_terms): what they say. `ages` (n_papers,): days since each was announced.
    `upvotes` (n_papers,): 0 where nothing is known. `fields`: the field of each, maybe empty.
    `categories`: the categories of each, the primary one first.
    """

    vectors: sparse.csr_matrix
    ages: np.ndarray
    upvotes: np.ndarray
    fields: Sequence[str] = field(default=())
    categories: Sequence[Sequence[str]] = field(default=())

    def __len__(self) -> int:
        return self.vectors.shape[0]

    @cached_property
    def trends(self) -> np.ndarray:
        """Popularity that ages, in [0, 1], shape (n_papers,)."""
        heat = self.upvotes / (np.maximum(self.ages, 0) + 2.0) ** GRAVITY
        return heat / heat.max() if heat.size and heat.max() > 0 else np.zeros(len(self))

    @cached_property
    def newest(self) -> list[int]:
        """All papers, the newest first, and within a day one field after the other."""
        turns: dict[tuple[float, str], int] = {}
        keys = []
        for paper in range(len(self)):
            place = (float(self.ages[paper]), self.fields[paper] if self.fields else "")
            turns[place] = turns.get(place, 0) + 1
            keys.append((place[0], turns[place], place[1], paper))
        return [key[-1] for key in sorted(keys)]

    @cached_property
    def _columns(self) -> sparse.csc_matrix:
        return self.vectors.tocsc()

    @cached_property
    def _by_category(self) -> dict[str, dict[int, bool]]:
        """Category -> its papers, and whether it is the primary one of each."""
        found: dict[str, dict[int, bool]] = {}
        for paper, categories in enumerate(self.categories):
            for place, category in enumerate(categories):
                found.setdefault(category, {}).setdefault(paper, place == 0)
        return found

    def in_categories(self, categories: Sequence[str]) -> dict[int, float]:
        """Return the papers of these categories, the most of them first, each with how much it is.

        Little, so that a paper that was asked for in words comes first: the primary category
        counts for more than a cross-list, and among these what trends and what is new.
        """
        scores: dict[int, float] = {}
        for category in categories:
            for paper, is_primary in self._by_category.get(category, {}).items():
                fresh = 1 / (1 + max(float(self.ages[paper]), 0))
                extra = 0.5 * is_primary + 0.3 * float(self.trends[paper]) + 0.2 * fresh
                scores[paper] = max(scores.get(paper, 0), FLOOR * (0.5 + 0.5 * extra))
        return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))

    def having(self, column: int | None) -> np.ndarray:
        """Return the positions of the papers that have the term of this column."""
        if column is None:
            return np.zeros(0, dtype=np.int32)
        start, end = self._columns.indptr[column : column + 2]
        return self._columns.indices[start:end]


def choose(
    model: TfidfModel, edition: Edition, profiles: Sequence[Profile], seen: Sequence[set[int]]
) -> list[list[Choice]]:
    """Return each reader's papers, best first.

    `seen` holds, for each reader, the positions of the papers that she must not get again.
    """
    queries = sorted({q for p in profiles for i in p.follows for q in parts(i.query)})
    rows = {query: row for row, query in enumerate(queries)}
    vectors = model.transform(queries)
    scores = _relevance(model, queries, vectors, edition)
    muted = {
        interest: muted_by(model, edition, interest)
        for interest in {interest for profile in profiles for interest in profile.mutes}
    }
    within = {
        categories: edition.in_categories(categories)
        for categories in {i.categories for p in profiles for i in p.follows}
    }
    chosen = []
    for profile, hidden in zip(profiles, seen, strict=True):
        shut = set(hidden).union(*(muted[interest] for interest in profile.mutes))
        if profile.follows:
            found = _by_topic(profile, rows, scores, within, shut)
            chosen.append([_explained(one, queries, vectors, edition, model) for one in found])
        else:
            chosen.append(_by_trend(edition, profile.size, shut))
    return chosen


def parts(query: str) -> list[str]:
    """Return the parts of a topic's text: the phrases of a list, or the sentence that it is.

    A paper is about the topic where it is about one of them.
    """
    pieces = [part for piece in SEPARATOR.split(query) if (part := piece.strip())]
    is_list = all(len(piece.split()) <= PHRASE for piece in pieces)
    return pieces if is_list else [" ".join(query.split())]


def muted_by(model: TfidfModel, edition: Edition, interest: Interest) -> set[int]:
    """Return the positions of the papers that a muted interest shuts out.

    They have all words of one part of its text, and are in its categories.
    """
    within = set(edition.in_categories(interest.categories))
    if not parts(interest.query):
        return within
    shut: set[int] = set()
    for part in parts(interest.query):
        columns = model.columns(sorted(set(text.terms(part))))
        if columns:
            having = [set(edition.having(column).tolist()) for column in columns]
            shut |= set.intersection(*having)
    return shut & within if interest.categories else shut


def matches(model: TfidfModel, edition: Edition, interest: Interest, limit: int) -> list[Choice]:
    """Return the papers that match one interest, best first: what its followers would see."""
    profile = Profile(follows=(interest,), size=limit)
    return choose(model, edition, [profile], [set()])[0]


def _relevance(
    model: TfidfModel, queries: Sequence[str], vectors: sparse.csr_matrix, edition: Edition
) -> sparse.csr_matrix:
    """Return how much each paper is about each query, in [0, 1], shape (n_queries, n_papers).

    The cosine, times the share of the query's weight that the paper covers.
    """
    scores = (vectors @ edition.vectors.T).tocsr()
    asked, said = _pattern(vectors), _pattern(edition.vectors).T
    shared = (asked @ said).tocsr()
    weight = (asked.multiply(model.idf_).tocsr() @ said).tocsr()
    for matrix in (scores, shared, weight):
        matrix.sort_indices()  # They have the same pattern: position n is the same pair in all.
    per_row = np.diff(scores.indptr)
    heaviest = np.array([_heaviest(model, query) for query in queries])
    covered = weight.data / np.maximum(np.repeat(heaviest, per_row), 1e-9)
    terms = np.repeat([len(set(text.terms(query))) for query in queries], per_row)
    is_whole = shared.data >= terms
    is_about = (scores.data >= FLOOR) & (is_whole | ((terms > SHORT) & (covered >= COVERAGE)))
    scores.data = np.where(is_about, scores.data * np.minimum(covered, 1), 0)
    scores.eliminate_zeros()
    return scores


def _heaviest(model: TfidfModel, query: str) -> float:
    """Return what the heaviest terms of a query weigh. One that no paper has weighs the most."""
    terms = sorted(set(text.terms(query)))
    unseen = np.log(1 + model.n_documents_) + 1
    weights = [unseen if column is None else model.idf_[column] for column in model.columns(terms)]
    return float(sum(sorted(weights, reverse=True)[:LONG]))


def _pattern(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    ones = np.ones(matrix.nnz, dtype=np.float32)
    return sparse.csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)


def _by_topic(
    profile: Profile,
    rows: dict[str, int],
    scores: sparse.csr_matrix,
    within: dict[tuple[str, ...], dict[int, float]],
    shut: set[int],
) -> list[Found]:
    """Return the best papers, best first."""
    best: dict[int, Found] = {}
    had: Counter[Interest] = Counter()
    # Words first, then the categories best first: what a category gains, nothing takes from it.
    words = (
        found
        for interest in profile.follows
        for found in _by_words(interest, rows, scores, within[interest.categories])
    )
    filed = (
        _by_category(interest, within[interest.categories], had, profile.size)
        for interest in profile.follows
        if not parts(interest.query)
    )
    for found in chain(words, heapq.merge(*filed, key=lambda found: -found[1])):
        paper, score, interest, _ = found
        if paper not in shut and (paper not in best or score > best[paper][1]):
            best[paper] = found
            had[interest] += 1
    ranked = sorted(best.values(), key=lambda found: (-found[1], found[0]))
    chosen = _in_turns(ranked)[: profile.size]
    return sorted(chosen, key=lambda found: (-found[1], found[0]))


def _by_words(
    interest: Interest, rows: dict[str, int], scores: sparse.csr_matrix, within: dict[int, float]
) -> Iterator[Found]:
    """Yield the papers that an interest's text finds, in its categories where it has any."""
    for row in (rows[part] for part in parts(interest.query)):
        start, end = scores.indptr[row : row + 2]
        for paper, score in zip(scores.indices[start:end], scores.data[start:end], strict=True):
            if not interest.categories or paper in within:
                yield int(paper), min(1.0, float(score) * interest.weight), interest, row


def _by_category(
    interest: Interest, within: dict[int, float], had: Counter[Interest], size: int
) -> Iterator[Found]:
    """Yield the papers of an interest's categories, best first, until it `had` all of a digest."""
    for paper, score in within.items():
        if had[interest] >= size:  # A category may have thousands.
            return
        yield paper, min(1.0, score * interest.weight), interest, NO_ROW


def _in_turns(ranked: list[Found]) -> list[Found]:
    """Let the topics take turns, the better paper first in each turn.

    One topic with many papers, or with rarer words, doesn't crowd out the others. A topic of weight
    2 has two papers in a turn.
    """
    had: dict[Interest, int] = {}
    turns: list[tuple[int, Found]] = []
    for found in ranked:
        interest = found[2]
        had[interest] = had.get(interest, 0) + 1
        turns.append((math.ceil(had[interest] / interest.weight), found))
    return [found for _, found in sorted(turns, key=lambda turn: turn[0])]


def _by_trend(edition: Edition, size: int, shut: set[int]) -> list[Choice]:
    """Return what trends; where nobody has voted on anything, what is newest."""
    order = np.argsort(-edition.trends, kind="stable")
    trending = [int(paper) for paper in order if edition.trends[paper] > 0 and paper not in shut]
    if trending or edition.trends.any():
        return [Choice(paper, float(edition.trends[paper]), "trend") for paper in trending[:size]]
    newest = [paper for paper in edition.newest if paper not in shut]
    return [Choice(paper, 0.0, "new") for paper in newest[:size]]


def _explained(
    found: Found,
    queries: Sequence[str],
    vectors: sparse.csr_matrix,
    edition: Edition,
    model: TfidfModel,
) -> Choice:
    """Return the choice with its topic and the three words that weighed most, as she wrote them."""
    paper, score, interest, row = found
    if row == NO_ROW:
        return Choice(paper, score, "topic", interest.name)
    shared = vectors[row].multiply(edition.vectors[paper]).tocoo()
    heaviest = np.argsort(-shared.data, kind="stable")[:3]
    hers = {term: word for word in text.words(queries[row]) for term in text.stems([word])}
    columns = shared.col[heaviest]
    words = tuple(hers.get(str(model.terms_[n]), str(model.words_[n])) for n in columns)
    return Choice(paper, score, "topic", interest.name, words)
