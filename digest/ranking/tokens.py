"""A paper as tokens: its terms in order, as columns, and what its authors are called.

    title LINE abstract LINE one author LINE another LINE

Within a line, what a paper says besides follows ALONE: see text.reading.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from digest.ranking import text

LINE, ALONE = -1, -2
TEXTS = 2  # So many lines are texts; authors follow.
#: Columns of names start here while papers are read, before all words are known.
NAMES = 1 << 30
MOST_AUTHORS = 100  # Of a paper, so many can be found by their names.


def name_words(name: str) -> list[str]:
    """Return the words of an author's name, folded, without initials."""
    return [word for word in text.words(name, of_query=True) if len(word) <= text.MAX_WORD]


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
