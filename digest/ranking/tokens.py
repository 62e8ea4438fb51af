"""A paper as tokens: its terms in order, as columns, and what its authors are called.

    title LINE abstract LINE one author LINE another LINE

Within a line, what a paper says besides follows ALONE: see text.reading.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.model import ABSENT, TfidfModel

LINE, ALONE = -1, -2
TEXTS = 2  # So many lines are texts; authors follow.
#: Columns of names start here while papers are read, before all words are known.
NAMES = 1 << 30
MOST_AUTHORS = 100  # Of a paper, so many can be found by their names.


class Reader:
    """Reads papers into tokens, and numbers the words that it meets: those of the model first."""

    def __init__(self, model: TfidfModel) -> None:
        self.words = {str(term): column for column, term in enumerate(model.terms_)}
        self.names: dict[str, int] = {}

    def read(self, title: str, abstract: str, authors: Sequence[str]) -> list[int]:
        """Return a paper's tokens."""
        tokens = [*self._line(title), *self._line(abstract)]
        for author in authors[:MOST_AUTHORS]:
            tokens += [*map(self.name, name_words(author)), LINE]
        return tokens

    def _line(self, line: str) -> Iterator[int]:
        said, alone = text.reading(line)
        yield from map(self.word, text.stems(said))
        if alone:
            yield ALONE
            yield from map(self.word, text.stems(alone))
        yield LINE

    def word(self, term: str) -> int:
        """Return the column of a term, a new one where it has none."""
        return self.words.setdefault(term, len(self.words))

    def name(self, word: str) -> int:
        """Return the column of a word of an author's name, a new one where it has none."""
        return self.names.setdefault(word, NAMES + len(self.names))


def name_words(name: str) -> list[str]:
    """Return the words of an author's name, folded, without initials."""
    return [word for word in text.words(name, of_query=True) if len(word) <= text.MAX_WORD]


class Acronyms:
    """What a model's acronyms stand for, as columns."""

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


def counted(tokens: np.ndarray, ends: np.ndarray, width: int) -> sparse.csr_matrix:
    """Return how often each paper has each word, (n_papers, width). A title counts twice."""
    is_word = (tokens >= 0) & (tokens < width)
    counts = np.where(lines(tokens, ends) == 0, 2, 1)[is_word].astype(np.float32)
    row_ends = np.concatenate([[0], np.concatenate([[0], np.cumsum(is_word)])[ends]])
    matrix = sparse.csr_matrix((counts, tokens[is_word], row_ends), shape=(len(ends), width))
    matrix.sum_duplicates()
    return matrix


def say(tokens: np.ndarray, ends: np.ndarray, phrase: Sequence[int]) -> np.ndarray:
    """Return which papers say the phrase, (n_papers,): its columns one right after the other."""
    said = np.ones(max(len(tokens) - len(phrase) + 1, 0), dtype=bool)
    for place, column in enumerate(phrase):
        said &= tokens[place : place + len(said)] == column
    saying = np.zeros(len(ends), dtype=bool)
    saying[np.searchsorted(ends, np.flatnonzero(said), side="right")] = True
    return saying


def lines(tokens: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return in which line of its paper each token stands, from 0. Its LINE stands in it, too.

    No paper is without tokens.
    """
    is_end = tokens == LINE
    passed = np.cumsum(is_end) - is_end
    return passed - np.repeat(passed[starts_of(ends)], sizes_of(ends))


# ---- Pieces that lie one after the other, and where each ends


def starts_of(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], ends])[:-1].astype(np.int64)


def sizes_of(ends: np.ndarray) -> np.ndarray:
    return np.diff(ends, prepend=0)


def places_of(starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the places of pieces that start there and have these sizes, piece after piece."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - ends + sizes, sizes) + np.arange(total)
