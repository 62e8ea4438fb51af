"""The acronyms that a model knows, as columns, for papers that are kept as columns."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from digest.ranking.model import ABSENT, TfidfModel


class Acronyms:
    """What a model's acronyms stand for."""

    def __init__(self, model: TfidfModel) -> None:
        self.stands_for: dict[int, list[int]] = {}
        for acronym, long in model.acronyms_.items():
            (column,) = model.columns([acronym]).tolist()
            if column != ABSENT:
                self.stands_for[column] = model.columns(long).tolist()
        columns = list(self.stands_for)
        pairs = [(row, term) for row, of in enumerate(self.stands_for.values()) for term in of]
        rows, terms = np.array([pair for pair in pairs if pair[1] != ABSENT] or [(0, 0)]).T
        ones = np.full(len(rows), bool(columns), dtype=np.float32)
        shape = max(len(columns), 1), len(model.terms_) + 1
        self.columns = np.array(columns, dtype=np.int64)
        self._terms = sparse.csr_matrix((ones, (rows, terms)), shape=shape)

    def told(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return how often each paper says each term, what its acronyms stand for being said once
        more.
        """
        if not len(self.columns):
            return counts
        having = counts[:, self.columns]
        having.data[:] = 1
        further = having @ self._terms[:, :-1]
        further.resize(counts.shape)
        told = (counts + further).tocsr()
        told.sort_indices()
        return told

    def variants(self, phrase: Sequence[int]) -> list[list[int]]:
        """Return the phrase, and each that it is where a part of it is said by its acronym."""
        variants = [list(phrase)]
        for acronym, long in self.stands_for.items():
            for place in range(len(phrase) - len(long) + 1):
                if list(phrase[place : place + len(long)]) == long:
                    variants.append([*phrase[:place], acronym, *phrase[place + len(long) :]])
        return variants
