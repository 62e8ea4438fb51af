"""The papers that may go into digests: their vectors, popularity, categories and authors."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from digest.ranking import text
from digest.ranking.authors import INSTITUTION, Authors, padded_words
from digest.ranking.model import Vectors, unit
from digest.ranking.query import Query

MIN_ABSTRACT_WORDS = 12  # Different words. Texts with fewer are titles.
#: Of an embedding among older papers, and how many older papers are needed.
NEIGHBOURS, MIN_OLDER = 8, 1_000
MAX_CACHED = 50_000  # Entries of a cache.
PRIOR_PAPERS = 2  # Of average popularity, added to each field and age.
VOTE_GROWTH = 0.5  # Votes grow about like the square root of a paper's age.
MIN_SPREAD = 0.5  # Of the logarithms of votes: if all are about equal, no paper trends.
TREND_MIDPOINT = 1.28  # Standard deviations ahead for a trend of 0.5: one of ten papers.
LATENT_COSINE = 0.8  # From this cosine on, two papers are compared word by word,
MIN_WORDS = 20  # if both have as many words: a title alone is too short.
WORD_COSINE = 0.7  # From this cosine on, two papers are on the same idea.
BATCH, PAIR_BATCH = 1_000, 20_000  # Papers, and pairs of papers, that are compared at a time.

type LookUp[T] = Callable[[Sequence[str]], Sequence[T]]


def _empty_strings(ids: Sequence[str]) -> list[Any]:
    return [""] * len(ids)


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """Papers in the order in which they came in. A position is an index in this order.

    Attributes
    ----------
    ids : sequence of str
    vectors : Vectors
    ages : ndarray (n_papers,)
        Days since each was announced.
    upvotes : ndarray (n_papers,)
        0 where nothing is known.
    categories : sequence of sequences of str
        Of each paper, the primary one first.
    first_day : int
        The ordinal of the oldest paper's day. Older papers are the background.
    texts_of, authors_of, affiliations_of : callables
        Look up texts, authors and affiliations by ids, for quotes and names.
    withdrawn : frozenset of str
        The ids of papers that are in no digest.
    aliases : mapping
        Id -> the papers here that are the same work, stored under another id.
    embeddings : ndarray (n_papers, n_dimensions) or None
        Of unit length, or zeros where a paper has none.
    older : ndarray (n_older, n_dimensions)
        The embeddings of older papers.
    encode : callable
        Returns the embeddings of query texts.
    """

    ids: Sequence[str]
    vectors: Vectors
    ages: np.ndarray
    upvotes: np.ndarray
    categories: Sequence[Sequence[str]]
    first_day: int = 0
    texts_of: LookUp[str] = _empty_strings
    authors_of: LookUp[Sequence[str]] = _empty_strings
    affiliations_of: LookUp[Sequence[str]] = _empty_strings
    withdrawn: frozenset[str] = frozenset()
    aliases: Mapping[str, Collection[str]] = field(default_factory=dict)
    embeddings: np.ndarray | None = None
    older: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    encode: LookUp[np.ndarray] = _empty_strings
    _cache: dict[tuple[Any, ...], dict[Any, Any]] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.ids)

    def cached(self, *name: Any) -> dict[Any, Any]:
        """Return the cache with this name, a dict. A full one is emptied first."""
        cache = self._cache.setdefault(name, {})
        if len(cache) > MAX_CACHED:
            cache.clear()
        return cache

    @cached_property
    def places(self) -> dict[str, int]:
        """The position of each paper, by its id."""
        return {paper_id: place for place, paper_id in enumerate(self.ids)}

    def places_of(self, ids: Iterable[str]) -> set[int]:
        """Return the positions of these papers, also of those with another id here."""
        ids = set(ids)
        ids = ids.union(*(self.aliases.get(paper_id, ()) for paper_id in ids))
        return {self.places[paper_id] for paper_id in ids if paper_id in self.places}

    @cached_property
    def is_withdrawn(self) -> np.ndarray:
        """Whether each paper is withdrawn, (n_papers,)."""
        return np.array([paper_id in self.withdrawn for paper_id in self.ids], dtype=bool)

    @cached_property
    def fullness(self) -> np.ndarray:
        """What the similarity of each paper is multiplied by, (n_papers,): less than 1 for titles.

        A single word that a title shares with a query is a large part of the title.
        """
        words = self.vectors.columns.by_text[:, self.vectors.columns.used % 2 == 0]
        return np.sqrt(np.minimum(np.diff(words.indptr) / MIN_ABSTRACT_WORDS, 1))

    # ---- Embeddings

    @cached_property
    def has_embedding(self) -> np.ndarray:
        """Whether each paper has an embedding, (n_papers,).

        All False while few older papers have one: `cosines` needs them.
        """
        if self.embeddings is None or len(self.older) < MIN_OLDER:
            return np.zeros(len(self), dtype=bool)
        return self.embeddings.any(axis=1)

    def text_cosines(self, texts: Sequence[str]) -> np.ndarray:
        """Return the cosines of the embeddings of texts and papers, (n_texts, n_papers)."""
        if not self.has_embedding.any():
            return np.zeros((len(texts), len(self)))
        return self.cosines(np.asarray(self.encode(texts)))

    def cosines(self, embeddings: np.ndarray) -> np.ndarray:
        """Return the cosine of embeddings and papers, both centred on the mean of the papers.

        Each is averaged with the older papers that are nearest to it. Zero for papers without an
        embedding. Shape (n_embeddings, n_papers).
        """
        mean, papers, older = self._centred
        centred = unit(embeddings - mean)
        nearest = np.argpartition(-centred @ older.T, NEIGHBOURS)[:, :NEIGHBOURS]
        return unit(centred + unit(older[nearest].mean(axis=1))) @ papers.T

    @cached_property
    def _centred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean of the papers' embeddings, and those of papers and older papers around it."""
        embeddings = np.asarray(self.embeddings)
        mean = embeddings[self.has_embedding].mean(axis=0)
        papers = unit(embeddings - mean) * self.has_embedding[:, None]
        return mean, papers, unit(self.older - mean)

    # ---- Quotes, authors, categories

    def contains_quotes(self, query: Query, papers: np.ndarray) -> np.ndarray:
        """Return which of these papers contain all quotes of a query, (n_papers,)."""
        texts = map(text.folded, self.texts_of([self.ids[paper] for paper in papers.tolist()]))
        has_all = [all(pattern.search(body) for pattern in query.quote_patterns) for body in texts]
        return np.array(has_all, dtype=bool)

    @cached_property
    def _authors(self) -> Authors:
        return Authors(self.authors_of(self.ids))

    def by_author(self, name: str) -> np.ndarray:
        """Return the positions of the papers by an author with this name, or of an institution."""
        cache = self.cached("by")
        papers = cache.get(name)
        if papers is None:
            is_institution = name.startswith(INSTITUTION)
            find = self._by_institution if is_institution else self._authors.by_author
            papers = cache[name] = np.array(find(name.removeprefix(INSTITUTION)), dtype=np.int64)
        return papers

    @cached_property
    def _affiliations(self) -> list[str]:
        affiliations = self.affiliations_of(self.ids)
        return ["\n".join(map(padded_words, of_paper)) for of_paper in affiliations]

    def _by_institution(self, name: str) -> list[int]:
        words = padded_words(name)
        return [paper for paper, text in enumerate(self._affiliations) if words in text]

    def in_categories(self, categories: Sequence[str]) -> dict[int, bool]:
        """Return the papers of these categories, each with whether one is its primary category."""
        papers: dict[int, bool] = {}
        for category in categories:
            for paper, is_primary in self._by_category.get(category, {}).items():
                papers[paper] = papers.get(paper, False) or is_primary
        return papers

    @cached_property
    def _by_category(self) -> dict[str, dict[int, bool]]:
        papers_by_category: dict[str, dict[int, bool]] = {}
        for paper, categories in enumerate(self.categories):
            for number, category in enumerate(categories):
                papers_by_category.setdefault(category, {}).setdefault(paper, number == 0)
        return papers_by_category

    # ---- Order and similarity

    @cached_property
    def fields(self) -> list[str]:
        """The field of each paper, or an empty string."""
        return [next(iter(categories), "").split(".")[0] for categories in self.categories]

    @cached_property
    def rank(self) -> np.ndarray:
        """The rank of each paper among equal scores: newer, then more popular papers first."""
        order = np.lexsort((np.array(self.ids, dtype=str), -self.upvotes, self.ages))
        rank = np.empty(len(self), dtype=np.int64)
        rank[order] = np.arange(len(self))
        return rank

    @cached_property
    def newest(self) -> list[int]:
        """All papers, the newest first, with the fields of a day taking turns."""
        turns: dict[tuple[float, str], int] = {}
        keys = []
        for paper in np.argsort(self.rank).tolist():
            age, field_name = float(self.ages[paper]), self.fields[paper]
            turn = turns[age, field_name] = turns.get((age, field_name), 0) + 1
            keys.append((age, turn, field_name, paper))
        return [key[-1] for key in sorted(keys)]

    @cached_property
    def ideas(self) -> np.ndarray:
        """A number for each paper, (n_papers,): the same for papers on the same idea.

        A paper joins the best ranked similar paper, and no other then joins it: if A is similar to
        B, and B to C, the three are no group. One work under two ids is a group in any case.
        """
        group = self.rank.copy()
        for first, second in self._in_order(self._duplicate_pairs()):
            if group[first] == self.rank[first] and group[second] == self.rank[second]:
                group[second] = group[first]
        same_works = [
            (self.places[paper_id], self.places[alias])
            for alias, paper_ids in self.aliases.items()
            for paper_id in paper_ids
            if paper_id in self.places and alias in self.places
        ]
        for first, second in self._in_order(same_works):
            group[second] = group[first]
        return group

    def _in_order(self, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the pairs by rank, each with its better ranked paper first."""
        rank = self.rank
        ordered = {(a, b) if rank[a] < rank[b] else (b, a) for a, b in pairs}
        return sorted(ordered, key=lambda pair: tuple(rank[list(pair)]))

    def _duplicate_pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs of papers that share most of their words."""
        features = self.vectors.columns
        words = features.by_text[:, features.used % 2 == 0]
        papers = np.flatnonzero(np.diff(words.indptr) >= MIN_WORDS)
        directions = self.vectors.directions[papers]
        for start in range(0, len(papers), BATCH):
            shape = len(papers[start : start + BATCH]), len(papers) - start
            is_near = np.ones(shape, dtype=bool)
            if directions.shape[1]:
                is_near = directions[start : start + BATCH] @ directions[start:].T >= LATENT_COSINE
            rows, columns = np.nonzero(np.triu(is_near, 1))
            pairs = np.stack([papers[start + rows], papers[start + columns]], axis=1)
            for pair_start in range(0, len(pairs), PAIR_BATCH):
                batch = pairs[pair_start : pair_start + PAIR_BATCH]
                cosines = np.asarray(words[batch[:, 0]].multiply(words[batch[:, 1]]).sum(axis=1))
                yield from map(tuple, batch[cosines.ravel() >= WORD_COSINE].tolist())

    # ---- Popularity

    @cached_property
    def trends(self) -> np.ndarray:
        """How far each paper is ahead of its field and age, in [0, 1]; 0 without votes.

        The means of papers of its age and of its field are subtracted from the logarithm of its
        votes, so that mathematics can trend beside language models. Means of few papers are shrunk
        to that of all. The usual growth of votes with age is subtracted first.
        """
        trends = np.zeros(len(self))
        voted = np.flatnonzero(self.upvotes > 0)
        if len(voted):
            ages = np.maximum(self.ages[voted], 0)
            excess = np.log1p(self.upvotes[voted]) - VOTE_GROWTH * np.log1p(ages)
            excess = excess - excess.mean()
            for groups in (np.floor(ages), np.array(self.fields)[voted]):
                # The mean of each group, drawn to 0 by PRIOR_PAPERS members of no effect.
                _, members = np.unique(groups, return_inverse=True)
                means = np.bincount(members, excess) / (np.bincount(members) + PRIOR_PAPERS)
                excess = excess - means[members]
            excess /= max(float(excess.std()), MIN_SPREAD)
            trends[voted] = 1 / (1 + np.exp(-2 * (excess - TREND_MIDPOINT)))
        return trends
