"""Some papers of an edition, as they were on an earlier day."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse

from digest.ranking.edition import Edition
from digest.ranking.query import Query

UNKNOWN = -1
ROOM = 250  # What it finds is for one who tries things: it is asked for again soon, or never.


@dataclass(frozen=True, kw_only=True)
class Part(Edition):
    """The papers of `whole` from position `start` on, so many as there are here.

    It chooses as an edition of these papers alone does. What is known of the whole (how its papers
    are read, where they lie, which are alike) is shared, not found again.
    """

    whole: Edition
    start: int

    @classmethod
    def between(cls, whole: Edition, start: int, stop: int, days_ago: int) -> Self:
        """Return the papers at positions `start` to `stop`, as old as they were `days_ago`."""
        where = slice(start, stop)
        return cls(
            whole.ids[where],
            _rows(whole.vectors, start, stop),
            whole.latent[where],
            whole.ages[where] - days_ago,
            whole.upvotes[where],
            whole.fields[where],
            whole.categories[where],
            whole.texts[where],
            whole.model,
            ROOM,
            withdrawn=whole.withdrawn,
            aliases=whole.aliases,
            whole=whole,
            start=start,
        )

    @cached_property
    def directions(self) -> np.ndarray:
        return self.whole.directions[self.start : self.start + len(self)]

    @cached_property
    def rank(self) -> np.ndarray:
        """Where each paper stands among equals: as in the whole, since all aged alike."""
        order = np.argsort(self.whole.rank[self.start : self.start + len(self)])
        rank = np.empty(len(self), dtype=np.int64)
        rank[order] = np.arange(len(self))
        return rank

    def pairs(self, threshold: float) -> list[tuple[int, int]]:
        """Return the pairs of the whole that are both here, in its order."""
        here = range(self.start, self.start + len(self))
        return [
            (first - self.start, second - self.start)
            for first, second in self.whole.pairs(threshold)
            if first in here and second in here
        ]

    def says(self, phrases: Sequence[tuple[str, ...]], among: np.ndarray) -> np.ndarray:
        """Return which of the papers `among` say all phrases. Those of other days know it, too."""
        return self._told(tuple(phrases), among, lambda papers: self.whole.says(phrases, papers))

    def says_as_written(self, query: Query, among: np.ndarray) -> np.ndarray:
        """Return which of the papers `among` say what is literal. Those of other days know it."""
        return self._told(query, among, lambda papers: self.whole.says_as_written(query, papers))

    def _told(
        self, asked: object, among: np.ndarray, ask: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        told = self.whole.cached("told", limit=ROOM)
        known = told.setdefault(asked, np.full(len(self.whole), UNKNOWN, dtype=np.int8))
        places = among + self.start
        unknown = places[known[places] == UNKNOWN]
        known[unknown] = ask(unknown)[unknown]
        said = np.zeros(len(self), dtype=bool)
        said[among] = known[places] == 1
        return said

    def by(self, name: str) -> np.ndarray:
        papers = self.whole.by(name) - self.start
        return papers[(papers >= 0) & (papers < len(self))]

    def in_a_row(self, paper: int) -> str:
        return self.whole.in_a_row(self.start + paper)


def _rows(matrix: sparse.csr_matrix, start: int, stop: int) -> sparse.csr_matrix:
    """Return rows of a matrix that look at its memory: a slice would be copied."""
    ends = matrix.indptr[start : stop + 1]
    entries = slice(ends[0], ends[-1])
    parts = matrix.data[entries], matrix.indices[entries], ends - ends[0]
    return sparse.csr_matrix(parts, shape=(stop - start, matrix.shape[1]), copy=False)
