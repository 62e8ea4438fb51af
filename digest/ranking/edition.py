"""The new papers, as the ranking reads them, and what it knows of them beside their words."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.authors import Authors
from digest.ranking.model import TfidfModel
from digest.ranking.query import Query
from digest.ranking.quoting import says

CACHED = 50_000  # So many entries a cache.
PRIOR = 2  # So many papers of the general habit are added to those of a field or an age.
GATHERING = 0.5  # Votes grow like the root of a paper's age, more or less.
LEAST_SPREAD = 0.5  # Of the logarithms of votes: where all have about the same, none trends.
POPULAR = 1.28  # So many standard deviations ahead is half a trend: of ten papers, one is there.
#: Two papers must be so near in the latent space to be compared word by word.
NEAR = 0.8
TELLING = 20  # And have so many different terms: a title alone doesn't tell its idea.
#: Below such a cosine, two that are known beforehand to be alike aren't told of.
LEAST_LIKENESS = 0.5
BLOCK, PAIRS = 1_000, 20_000  # So many papers, and pairs, are compared at a time.

#: Looks up the texts of papers by their ids.
type TextsOf = Callable[[Sequence[str]], Sequence[str]]
#: Looks up who wrote papers by their ids.
type AuthorsOf = Callable[[Sequence[str]], Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Edition:
    """The new papers, in an order of their own that all positions refer to.

    `ids`: of each paper, what tells it from all others. `vectors` (n_papers, n_terms): what they
    say. `latent` (n_papers, n_dimensions): where they lie in the latent space. `ages` (n_papers,):
    days since each was announced. `upvotes` (n_papers,): 0 where nothing is known. `fields`: the
    field of each, maybe empty. `categories`: the categories of each, the primary one first.
    `texts`: what they say, for phrases, and the model, which reads it. `room`: so many entries a
    cache has at most.

    What is known beforehand needs not be found out: `line_of`, the terms of the paper at a position
    in a row, so that texts are needed for what is literal alone, and those of ids are asked for by
    `texts_of`; `twins` (n_pairs, 2), which papers are alike, with their cosines (n_pairs,).
    `withdrawn`: the ids of papers that nobody gets, whatever they say. `aliases`: id -> the papers
    here that are the same work, stored under another id. `authors_of` is asked once somebody
    follows an author; without, nobody is known to have written anything.
    """

    ids: Sequence[str]
    vectors: sparse.csr_matrix
    latent: np.ndarray
    ages: np.ndarray
    upvotes: np.ndarray
    fields: Sequence[str]
    categories: Sequence[Sequence[str]]
    texts: Sequence[str]
    model: TfidfModel
    room: int = CACHED
    line_of: Callable[[int], str] | None = None
    texts_of: TextsOf | None = None
    twins: tuple[np.ndarray, np.ndarray] | None = None
    withdrawn: frozenset[str] = frozenset()
    aliases: Mapping[str, Collection[str]] = field(default_factory=dict)
    authors_of: AuthorsOf | None = None
    _cache: dict[tuple[Any, ...], dict[Any, Any]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @classmethod
    def of(
        cls,
        model: TfidfModel,
        ids: Sequence[str],
        texts: Sequence[str],
        *,
        ages: Sequence[float] | None = None,
        upvotes: Sequence[float] | None = None,
        fields: Sequence[str] | None = None,
        categories: Sequence[Sequence[str]] | None = None,
        withdrawn: frozenset[str] = frozenset(),
        aliases: Mapping[str, Collection[str]] | None = None,
        authors_of: AuthorsOf | None = None,
    ) -> Self:
        """Return the papers with these texts, read by the model. What isn't given is unknown."""
        vectors = model.transform(texts)
        unknown = [0.0] * len(texts)
        return cls(
            ids,
            vectors,
            model.latent(vectors),
            np.array(unknown if ages is None else ages, dtype=float),
            np.array(unknown if upvotes is None else upvotes, dtype=float),
            fields or [""] * len(texts),
            categories or [()] * len(texts),
            texts,
            model,
            withdrawn=withdrawn,
            aliases=aliases or {},
            authors_of=authors_of,
        )

    def __len__(self) -> int:
        return self.vectors.shape[0]

    def cached(self, *name: Any, limit: int = CACHED) -> dict[Any, Any]:
        """Return what was found already, to be looked up and added to. It is emptied when full."""
        cache = self._cache.setdefault(name, {})
        if len(cache) > min(limit, self.room):
            cache.clear()
        return cache

    @cached_property
    def is_withdrawn(self) -> np.ndarray:
        """Return which papers are withdrawn, (n_papers,)."""
        return np.array([one in self.withdrawn for one in self.ids], dtype=bool)

    # ---- The words

    @cached_property
    def columns(self) -> sparse.csr_matrix:
        """The vectors, turned: (n_terms, n_papers)."""
        return self.vectors.T.tocsr()

    @cached_property
    def presence(self) -> sparse.csr_matrix:
        """1 where a paper has a term, (n_terms, n_papers)."""
        ones = np.ones(self.columns.nnz, dtype=np.float32)
        pattern = (ones, self.columns.indices, self.columns.indptr)
        return sparse.csr_matrix(pattern, shape=self.columns.shape)

    @cached_property
    def directions(self) -> np.ndarray:
        """The latent vectors in unit length, (n_papers, n_dimensions)."""
        return unit(self.latent)

    def having(self, column: int) -> np.ndarray:
        """Return the positions of the papers that have the term of this column."""
        start, end = self.columns.indptr[column : column + 2]
        return self.columns.indices[start:end]

    def says(self, phrases: Sequence[tuple[str, ...]], among: np.ndarray) -> np.ndarray:
        """Return which of the papers `among` (positions) say all phrases word after word."""
        said = np.zeros(len(self), dtype=bool)
        wanted = [f" {' '.join(phrase)} " for phrase in phrases]
        for paper in among.tolist():
            terms = self.in_a_row(paper)
            said[paper] = all(phrase in terms for phrase in wanted)
        return said

    def in_a_row(self, paper: int) -> str:
        """Return the terms of a paper in order, a space around each, with a mark between lines."""
        key, cache = paper if self.line_of else self.texts[paper], self.cached("terms")
        terms = cache.get(key)
        if terms is None:
            read = self.line_of(paper) if self.line_of else self._line_by_line(self.texts[paper])
            terms = cache[key] = read
        return terms

    def _line_by_line(self, document: str) -> str:
        """Return the terms in a row, with a mark between lines: no phrase goes over their end.

        Lines are there twice where a query would say it otherwise: as it would, and in full, with
        what acronyms stand for.
        """
        said = said_in_full = ""
        for line in dict.fromkeys(document.splitlines()):  # The title is there twice.
            terms, in_full = text.stems(text.words(line, of_query=True)), self.model.read(line)
            said += f" {' '.join(terms)} |"
            if len(in_full) > len(terms):
                said_in_full += f" {' '.join(in_full)} |"
        return said + said_in_full

    def says_as_written(self, query: Query, among: np.ndarray) -> np.ndarray:
        """Return which of the papers `among` say what is meant as it is written: quotes, and
        letters and numbers beside their neighbours.
        """
        said = np.zeros(len(self), dtype=bool)
        said[among] = True
        if query.phrases:  # Few say their stems, and these alone are looked at more closely.
            said = self.says(query.phrases, among)
        if not (query.quotes or query.lone):
            return said
        papers = np.flatnonzero(said)
        said[papers] = [says(self.model, one, query) for one in self._texts(papers)]
        return said

    def _texts(self, papers: np.ndarray) -> Sequence[str]:
        if self.texts_of is None or not len(papers):
            return [self.texts[paper] for paper in papers.tolist()]
        return self.texts_of([self.ids[paper] for paper in papers.tolist()])

    # ---- Order and likeness

    @cached_property
    def rank(self) -> np.ndarray:
        """Where each paper stands among equals: the newer, then the more popular, first."""
        order = sorted(
            range(len(self)), key=lambda p: (self.ages[p], -self.upvotes[p], self.ids[p])
        )
        rank = np.empty(len(self), dtype=np.int64)
        rank[order] = np.arange(len(self))
        return rank

    @cached_property
    def newest(self) -> list[int]:
        """All papers, the newest first, and within a day one field after the other."""
        turns: dict[tuple[float, str], int] = {}
        keys = []
        for paper in np.argsort(self.rank).tolist():
            place = (float(self.ages[paper]), self.fields[paper])
            turns[place] = turns.get(place, 0) + 1
            keys.append((place[0], turns[place], place[1], paper))
        return [key[-1] for key in sorted(keys)]

    def groups(self, threshold: float) -> np.ndarray:
        """Return a number for each paper, shape (n_papers,): the same where the idea is the same.

        It is the rank of the group's first paper. A paper joins the first that it is like, and
        nobody joins it: A like B and B like C makes no group of all three.
        """
        cache = self.cached("groups")
        groups = cache.get(threshold)
        if groups is None:
            groups = cache[threshold] = self._groups(threshold)
        return groups

    def _groups(self, threshold: float) -> np.ndarray:
        group = self.rank.copy()
        for first, second in self.pairs(threshold):
            if group[first] == self.rank[first] and group[second] == self.rank[second]:
                group[second] = group[first]
        for first, second in self._same_works():  # Wherever the first is.
            group[second] = group[first]
        return group

    def _same_works(self) -> list[tuple[int, int]]:
        """Return the pairs of papers that are one work, the better ranked first and in its order.

        However little they say.
        """
        place = {paper: n for n, paper in enumerate(self.ids)} if self.aliases else {}
        pairs = [
            (place[one], place[other])
            for other, same in self.aliases.items()
            for one in same
            if one in place and other in place
        ]
        pairs = [pair for pair in pairs if self.rank[pair[0]] < self.rank[pair[1]]]
        return sorted(pairs, key=lambda pair: tuple(self.rank[list(pair)]))

    def pairs(self, threshold: float) -> list[tuple[int, int]]:
        """Return the pairs of papers that are alike, the better ranked first and in its order."""
        cache = self.cached("pairs")
        pairs = cache.get(threshold)
        if pairs is None:
            pairs = cache[threshold] = list(self._alike(threshold))
        return pairs

    def _alike(self, threshold: float) -> Iterator[tuple[int, int]]:
        if self.twins is not None and threshold >= LEAST_LIKENESS:
            pairs, cosines = self.twins
            ranks = np.sort(self.rank[pairs[cosines >= threshold]], axis=1)
            in_order = np.argsort(self.rank)[ranks[np.lexsort((ranks[:, 1], ranks[:, 0]))]]
            yield from map(tuple, in_order.tolist())
            return
        for pairs, cosines in alike(self.vectors, self.directions, np.argsort(self.rank)):
            yield from map(tuple, pairs[cosines >= threshold].tolist())

    # ---- Popularity

    @cached_property
    def trends(self) -> np.ndarray:
        """How far each paper is ahead of its field and age, in [0, 1], 0 where nobody voted.

        From the logarithm of its votes, the habit of papers of this age and of this field is taken
        away, so that mathematics can trend beside language models. Where few were voted on, their
        habit is drawn to that of all. That votes gather with time is known beforehand.
        """
        trends = np.zeros(len(self))
        voted = np.flatnonzero(self.upvotes > 0)
        if len(voted):
            ages = np.maximum(self.ages[voted], 0)
            ahead = np.log1p(self.upvotes[voted]) - GATHERING * np.log1p(ages)
            ahead = ahead - ahead.mean()
            for habit in (np.floor(ages), np.array(self.fields)[voted]):
                ahead = ahead - _habit(habit, ahead)
            ahead /= max(float(ahead.std()), LEAST_SPREAD)
            trends[voted] = 1 / (1 + np.exp(-2 * (ahead - POPULAR)))
        return trends

    # ---- Authors

    @cached_property
    def _authors(self) -> Authors:
        return Authors(self.authors_of(self.ids) if self.authors_of else [()] * len(self))

    def by(self, name: str) -> np.ndarray:
        """Return the positions of the papers by somebody who is called so."""
        cache = self.cached("by")
        papers = cache.get(name)
        if papers is None:
            papers = cache[name] = np.array(self._authors.by(name), dtype=np.int64)
        return papers

    # ---- Categories

    @cached_property
    def _by_category(self) -> dict[str, dict[int, bool]]:
        """Category -> its papers, and whether it is the primary one of each."""
        found: dict[str, dict[int, bool]] = {}
        for paper, categories in enumerate(self.categories):
            for place, category in enumerate(categories):
                found.setdefault(category, {}).setdefault(paper, place == 0)
        return found

    def within(self, categories: Sequence[str]) -> dict[int, bool]:
        """Return the papers of these categories, and whether one is the primary one of each."""
        found: dict[int, bool] = {}
        for category in categories:
            for paper, is_primary in self._by_category.get(category, {}).items():
                found[paper] = found.get(paper, False) or is_primary
        return found


def alike(
    vectors: sparse.csr_matrix, directions: np.ndarray, order: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of rows in an order, (n_pairs, 2), with the cosines of their words, (n_pairs,).

    Those that are near in the latent space, where there is one, and have many terms.
    """
    order = order[np.diff(vectors.indptr)[order] >= TELLING]
    directions = directions[order]
    for start in range(0, len(order), BLOCK):
        block, behind = order[start : start + BLOCK], order[start:]
        near = np.ones((len(block), len(behind)), dtype=bool)
        if directions.shape[1]:
            near = directions[start : start + BLOCK] @ directions[start:].T >= NEAR
        rows, others = np.nonzero(np.triu(near, 1))
        pairs = np.stack([block[rows], behind[others]], axis=1)
        for first in range(0, len(pairs), PAIRS):
            some = pairs[first : first + PAIRS]
            cosines = vectors[some[:, 0]].multiply(vectors[some[:, 1]]).sum(axis=1)
            yield some, np.asarray(cosines).ravel()


def _habit(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of each one's group, drawn to 0 by PRIOR members of no effect."""
    _, members = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(members, values), np.bincount(members)
    return (sums / (counts + PRIOR))[members]


def unit(rows: np.ndarray) -> np.ndarray:
    """Return the rows scaled to unit length. Rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def cosines_of(rows: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return the cosines of the rows with one vector, (n_rows,). That of zeros is 0."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return rows @ unit(one[None])[0] / np.where(lengths > 0, lengths, 1)
