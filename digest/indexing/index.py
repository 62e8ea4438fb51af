"""The search index: the counted features of all papers, and the papers of each word.

Counts do not depend on a fitted model, so a paper is counted once. A feature is a number, as in
`digest.ranking.model`. Papers are in the order of their days, then of their ids; a place is an
index in this order. Pure: no Django, no database.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, reduce

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.authors import full_words, name_words
from digest.ranking.model import IDF_POWER, WIDTH, counted, find, stems_of, word_column

#: The version of the arrays and of the tokenizer. Others are refused, and written anew.
FORMAT = 2
MAX_AUTHORS = 100  # Of a paper, that can be found by their names.
MAX_TERMS = 24  # Of a query: the rarest.
#: Which share, by weight, of the heaviest words of a sentence a paper must contain.
HEAVIEST, MIN_SHARE = 6, 0.6
MAX_TELLING = 15  # The heaviest words of a paper, by which similar papers are found.
SUBLINEAR = np.array([0, *(1 + np.log(np.arange(1, 256)))], dtype=np.float32)

PARTS = "counts", "columns", "ends"  # Of a stored sparse matrix.

type Arrays = dict[str, np.ndarray]
#: The id of a paper, its text (see model_store.document), and its authors.
type Entry = tuple[str, str, Sequence[str]]


class Index:
    """The papers with their features.

    Attributes
    ----------
    ids : ndarray of bytes (n_papers,)
    by_id : ndarray (n_papers,)
        The places in the order of the ids.
    features : ndarray (n_features,)
        The words, and the words of names, that occur, ascending.
    words : csr_matrix (n_papers, WIDTH)
        The counts of words and bigrams.
    names : csr_matrix (n_papers, WIDTH)
        The words of the authors' names, and the whole title.
    postings : csr_matrix (n_features, n_papers)
        Words and names by paper.
    """

    def __init__(self, arrays: Arrays) -> None:
        """Raises ValueError for arrays that are no index of this format."""
        try:
            if arrays["format"].tolist() != [FORMAT]:
                raise ValueError(f"format {arrays['format']}, where {FORMAT} is wanted")
            self.ids, self.by_id, self.features = (arrays[n] for n in ("ids", "by_id", "features"))
            paper_shape = len(self.by_id), WIDTH
            shapes = {"words": paper_shape, "names": paper_shape}
            shapes["postings"] = len(self.features), len(self.ids)
            self.words, self.names, self.postings = (
                sparse.csr_matrix(tuple(arrays[f"{name}_{part}"] for part in PARTS), shape=shape)
                for name, shape in shapes.items()
            )
        except KeyError as error:
            raise ValueError(f"no array {error}") from error

    def __len__(self) -> int:
        return len(self.ids)

    # ---- Papers

    def places(self, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of each paper, and whether it is in the index."""
        encoded_ids = np.array([paper_id.encode(errors="replace") for paper_id in ids], dtype=bytes)
        if not len(self):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        # Converted to the same length, because numpy would otherwise copy all ids.
        positions = np.searchsorted(self.ids, encoded_ids.astype(self.ids.dtype), sorter=self.by_id)
        places = self.by_id[np.minimum(positions, len(self) - 1)]
        return places, self.ids[places] == encoded_ids

    def place_of(self, identity: str) -> int:
        """Return the place of a paper, or -1 if it is not in the index."""
        (place,), (is_known,) = self.places([identity])
        return int(place) if is_known else -1

    def ids_at(self, places: np.ndarray | slice) -> list[str]:
        return [identity.decode() for identity in self.ids[places].tolist()]

    def counts_of(self, ids: Sequence[str]) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Return the counts of words and bigrams of papers, and which papers are in the index.

        Shapes (n_ids, WIDTH), with empty rows for papers that are not in the index, and (n_ids,).
        """
        places, is_indexed = self.places(ids)
        rows = self.words[places[is_indexed]]
        sizes = np.zeros(len(ids), np.int64)
        sizes[is_indexed] = np.diff(rows.indptr)
        parts = rows.data.astype(np.float32), rows.indices, np.append(0, np.cumsum(sizes))
        return sparse.csr_matrix(parts, shape=(len(ids), WIDTH)), is_indexed

    # ---- Words and names

    def with_column(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the papers that contain a word or name, ascending, and how often."""
        (place,), (is_known,) = find(self.features, np.array([column], np.int32))
        start, end = self.postings.indptr[place : place + 2] if is_known else (0, 0)
        return self.postings.indices[start:end], self.postings.data[start:end]

    def has_words(self, terms: Iterable[str]) -> np.ndarray:
        """Return which stems any paper contains, (n_terms,)."""
        counts = [len(self.with_column(word_column(term))[0]) for term in terms]
        return np.array(counts, dtype=bool)

    def has_name(self, name: str) -> bool:
        """Return whether each word of a name, except initials, is in an author's name."""
        return all(len(self.with_column(name_column(word))[0]) for word in full_words(name))

    def named(self, name: str, *, or_initials: bool = False) -> np.ndarray:
        """Return the papers whose authors' names have all words of a name, ascending.

        With `or_initials`, one word must be there in full, the others at least by their initials.
        The words may be of several authors: see `is_called`.
        """
        word_papers = [self.with_column(name_column(word))[0] for word in full_words(name)]
        if not any(map(len, word_papers)):
            return np.zeros(0, np.int32)
        initial_papers = [self.with_column(name_column(word[0]))[0] for word in full_words(name)]
        matches = map(np.union1d, word_papers, initial_papers) if or_initials else word_papers
        papers = reduce(np.intersect1d, matches)
        return papers[np.isin(papers, np.concatenate(word_papers))]

    def titled(self, title: str) -> np.ndarray:
        """Return the papers with exactly these words as their title, ascending."""
        return self.with_column(title_column(text.terms(title)))[0]

    def matching(self, terms: Sequence[str], *, all_of_them: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the papers with all of these stems, or with enough of many, ascending; and their
        approximate cosine.
        """
        columns, counts = np.unique([*map(word_column, terms)], return_counts=True)
        columns, idf = columns.astype(np.int32), self._idf(columns.astype(np.int32))
        rarest = np.argsort(-idf, kind="stable")[:MAX_TERMS]
        columns, counts, idf = columns[rarest], counts[rarest], idf[rarest]
        min_idf = idf.sum() if all_of_them else MIN_SHARE * idf[:HEAVIEST].sum()
        shared_idf = np.zeros(len(self), np.float32)
        for column, weight in zip(columns.tolist(), idf.tolist(), strict=True):
            shared_idf[self.with_column(column)[0]] += weight
        papers = np.flatnonzero(shared_idf >= max(min_idf - 1e-3, 1e-3))
        return papers, self._scores(columns, counts, idf)[papers]

    def similar(self, place: int, limit: int) -> np.ndarray:
        """Return the papers that are most similar by the heaviest words of a paper."""
        row = self.words[place]
        is_word = row.indices % 2 == 0
        columns, counts = row.indices[is_word], row.data[is_word]
        idf = self._idf(columns)
        telling = np.argsort(-SUBLINEAR[counts] * idf, kind="stable")[:MAX_TELLING]
        scores = self._scores(columns[telling], counts[telling], idf[telling])
        scores[place] = 0
        papers = np.flatnonzero(scores)
        return papers[best(scores[papers], limit)]

    def _scores(self, columns: np.ndarray, counts: np.ndarray, idf: np.ndarray) -> np.ndarray:
        """Return the approximate cosine of counted words and each paper, (n_papers,).

        The length of a paper's vector is estimated from its number of features.
        """
        weights = SUBLINEAR[np.minimum(counts, 255)] * idf**IDF_POWER
        weights *= idf**IDF_POWER / max(np.linalg.norm(weights), 1e-9)
        scores = np.zeros(len(self), np.float32)
        for column, weight in zip(columns.tolist(), weights.tolist(), strict=True):
            papers, frequencies = self.with_column(column)
            scores[papers] += (weight * SUBLINEAR)[frequencies]
        return scores / self._lengths

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.sqrt(np.maximum(np.diff(self.words.indptr), 1)).astype(np.float32)

    def _idf(self, columns: np.ndarray) -> np.ndarray:
        places, is_known = find(self.features, columns)
        df, ends, places = np.zeros(len(columns)), self.postings.indptr, places[is_known]
        df[is_known] = ends[places + 1] - ends[places]
        return np.log((1 + len(self)) / (1 + df)) + 1


def best(scores: np.ndarray, limit: int) -> np.ndarray:
    """Return the indices of the highest scores, in no order."""
    if len(scores) <= limit:
        return np.arange(len(scores))
    return np.argpartition(-scores, limit - 1)[:limit]


def name_column(word: str) -> int:
    return word_column(f"@{word}")


def title_column(stems: Sequence[str]) -> int:
    return word_column(f"={' '.join(stems)}")


# ---- Writing


def arrays_of(
    days: Mapping[str, int],
    read: Callable[[list[str]], Iterable[Entry]],
    previous: Index | None = None,
    changed: Collection[str] = frozenset(),
) -> Arrays:
    """Return the arrays of an index of papers, given by id and day (an ordinal).

    `read` returns the papers with these ids: those that `previous` does not have or that have
    `changed`. Papers that `read` does not return are left out.
    """
    stored_ids = [] if previous is None else previous.ids_at(slice(None))
    rows = {paper_id: row for row, paper_id in enumerate(stored_ids) if paper_id not in changed}
    ids = sorted(days, key=lambda paper_id: (days[paper_id], paper_id))
    missing_ids = [paper_id for paper_id in ids if paper_id not in rows]
    name_columns, ends = array("i"), array("q", [0])

    def documents() -> Iterable[list[list[str]]]:
        for row, (identity, document, authors) in enumerate(read(missing_ids), len(stored_ids)):
            rows[identity], lines = row, stems_of(document)
            words = {word for name in authors[:MAX_AUTHORS] for word in name_words(name)}
            name_columns.extend(sorted({title_column(lines[0]), *map(name_column, words)}))
            ends.append(len(name_columns))
            yield lines

    new_words = counted(documents()).astype(np.uint8)
    parts = np.ones(len(name_columns), np.uint8), np.array(name_columns, np.int32), np.array(ends)
    new_names = sparse.csr_matrix(parts, shape=new_words.shape)
    ids = [paper_id for paper_id in ids if paper_id in rows]
    order = np.array([rows[paper_id] for paper_id in ids], dtype=np.int64)
    old_words, old_names = ([], []) if previous is None else ([previous.words], [previous.names])
    words = sparse.vstack([*old_words, new_words], format="csr")[order]
    names = sparse.vstack([*old_names, new_names], format="csr")[order]
    features, postings = _postings(words, names)
    encoded = np.array([paper_id.encode() for paper_id in ids], dtype=bytes)
    arrays = {
        "format": np.array([FORMAT]),
        "ids": encoded,
        "by_id": np.argsort(encoded, kind="stable").astype(np.int32),
        "features": features,
    }
    for name, matrix in (("words", words), ("names", names), ("postings", postings)):
        parts = matrix.data, matrix.indices, matrix.indptr
        arrays |= zip([f"{name}_{part}" for part in PARTS], parts, strict=True)
    return arrays


def _postings(*matrices: sparse.csr_matrix) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the columns of rows, without bigrams, and the transposed matrix."""
    parts = []
    for matrix in matrices:
        is_word = matrix.indices % 2 == 0
        rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
        parts.append((matrix.data[is_word], matrix.indices[is_word], rows[is_word]))
    counts, columns, rows = map(np.concatenate, zip(*parts, strict=True))
    used = np.unique(columns)
    places = np.searchsorted(used, columns).astype(np.int32)
    shape = len(used), matrices[0].shape[0]
    return used, sparse.coo_matrix((counts, (places, rows)), shape=shape).tocsr()
