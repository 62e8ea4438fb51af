"""The search index: what all papers say, counted, and which papers have each word.

Counts do not depend on a fitted model, so a row is counted once and kept for ever. A feature is a
number, as in `digest.ranking.model`. Papers are in the order of their days, then of their ids; a
place means a place in this order. Pure: no Django, no database.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, reduce

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.authors import APOSTROPHES, LETTERS
from digest.ranking.model import IDF_POWER, WIDTH, counted, find, stems_of, word_column

#: Of what the arrays consist and how texts are read: others are refused, and written from nothing.
FORMAT = 2
MAX_AUTHORS = 100  # Of a paper: so many can be found by their names.
MAX_TERMS = 24  # Of a line, its rarest.
#: Of the heaviest words of a sentence, a paper must have such a share by weight.
HEAVIEST, ENOUGH = 6, 0.6
TELLING = 15  # By so many of a paper's heaviest words, others like it are looked for.
SUBLINEAR = np.array([0, *(1 + np.log(np.arange(1, 256)))], dtype=np.float32)

PARTS = "counts", "columns", "ends"  # Of a sparse matrix, as they are stored.

type Arrays = dict[str, np.ndarray]
#: The id of a paper, its text in lines, as the model reads it, and its authors.
type Entry = tuple[str, str, Sequence[str]]


class Index:
    """The papers and their words.

    Attributes
    ----------
    ids : ndarray of bytes (n_papers,)
    by_id : ndarray (n_papers,)
        The places in the order of the ids.
    features : ndarray (n_features,)
        The words, and the words of names, that papers have, rising.
    words : csr_matrix (n_papers, WIDTH)
        How often each paper has each word and bigram.
    names : csr_matrix (n_papers, WIDTH)
        The words of its authors' names, and its whole title.
    postings : csr_matrix (n_features, n_papers)
        Words and names by paper.
    """

    def __init__(self, arrays: Arrays) -> None:
        """Raises ValueError for arrays that are no index of this format."""
        try:
            if arrays["format"].tolist() != [FORMAT]:
                raise ValueError(f"format {arrays['format']}, where {FORMAT} is wanted")
            self.ids, self.by_id, self.features = (arrays[n] for n in ("ids", "by_id", "features"))
            of_papers = len(self.by_id), WIDTH
            shapes = {"words": of_papers, "names": of_papers}
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
        """Return where papers stand, or might, and whether each is here."""
        wanted = np.array([one.encode(errors="replace") for one in ids], dtype=bytes)
        if not len(self):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        # Cut to the same length, since all ids would be copied otherwise.
        found = np.searchsorted(self.ids, wanted.astype(self.ids.dtype), sorter=self.by_id)
        places = self.by_id[np.minimum(found, len(self) - 1)]
        return places, self.ids[places] == wanted

    def place_of(self, identity: str) -> int:
        """Return where a paper stands, -1 where it is not here."""
        (place,), (known,) = self.places([identity])
        return int(place) if known else -1

    def ids_at(self, places: np.ndarray | slice) -> list[str]:
        return [identity.decode() for identity in self.ids[places].tolist()]

    def counts_of(self, ids: Sequence[str]) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Return how often papers have each word and bigram, and which of them are here.

        Shapes (n_ids, WIDTH), in the order of `ids`, a row of one that is not here being empty;
        and (n_ids,).
        """
        places, known = self.places(ids)
        rows = self.words[places[known]]
        sizes = np.zeros(len(ids), np.int64)
        sizes[known] = np.diff(rows.indptr)
        parts = rows.data.astype(np.float32), rows.indices, np.append(0, np.cumsum(sizes))
        return sparse.csr_matrix(parts, shape=(len(ids), WIDTH)), known

    # ---- Words and names

    def having(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which papers have a word or a name, rising, and how often."""
        (place,), (known,) = find(self.features, np.array([column], np.int32))
        start, end = self.postings.indptr[place : place + 2] if known else (0, 0)
        return self.postings.indices[start:end], self.postings.data[start:end]

    def has_words(self, terms: Iterable[str]) -> np.ndarray:
        """Return which stems some paper has, (n_terms,)."""
        return np.array([len(self.having(word_column(term))[0]) > 0 for term in terms], dtype=bool)

    def has_name(self, name: str) -> bool:
        """Return whether each word of a name, initials aside, is some author's."""
        return all(len(self.having(name_column(word))[0]) for word in in_full(name))

    def named(self, name: str, *, or_initials: bool = False) -> np.ndarray:
        """Return the papers whose authors have all words of a name, rising; `or_initials`, that
        of a word where there is one in full. Whose words they are, is_called tells.
        """
        full = [self.having(name_column(word))[0] for word in in_full(name)]
        if not full:
            return np.zeros(0, np.int32)
        initials = [self.having(name_column(word[0]))[0] for word in in_full(name)]
        either = map(np.union1d, full, initials) if or_initials else full
        papers = reduce(np.intersect1d, either)
        return papers[np.isin(papers, np.concatenate(full))]

    def titled(self, title: str) -> np.ndarray:
        """Return the papers whose title has just these words in this order, rising."""
        return self.having(title_column(text.terms(title)))[0]

    def matching(self, terms: Sequence[str], *, all_of_them: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the papers that have all of these stems, or enough of many, rising; and about
        what their cosine is.
        """
        columns, counts = np.unique([*map(word_column, terms)], return_counts=True)
        columns, idf = columns.astype(np.int32), self._idf(columns.astype(np.int32))
        rarest = np.argsort(-idf, kind="stable")[:MAX_TERMS]
        columns, counts, idf = columns[rarest], counts[rarest], idf[rarest]
        least = idf.sum() if all_of_them else ENOUGH * idf[:HEAVIEST].sum()
        had = np.zeros(len(self), np.float32)
        for column, weight in zip(columns.tolist(), idf.tolist(), strict=True):
            had[self.having(column)[0]] += weight
        papers = np.flatnonzero(had >= max(least - 1e-3, 1e-3))
        return papers, self._scores(columns, counts, idf)[papers]

    def like(self, place: int, limit: int) -> np.ndarray:
        """Return the papers that share most of the words that tell one from others."""
        row = self.words[place]
        is_word = row.indices % 2 == 0
        columns, counts = row.indices[is_word], row.data[is_word]
        idf = self._idf(columns)
        telling = np.argsort(-SUBLINEAR[counts] * idf, kind="stable")[:TELLING]
        scores = self._scores(columns[telling], counts[telling], idf[telling])
        scores[place] = 0
        papers = np.flatnonzero(scores)
        return papers[best(scores[papers], limit)]

    def _scores(self, columns: np.ndarray, counts: np.ndarray, idf: np.ndarray) -> np.ndarray:
        """Return about what the cosine of counted words and each paper is, (n_papers,).

        The model tells how long a paper's vector is; here, the longer, the more features it has.
        """
        weights = SUBLINEAR[np.minimum(counts, 255)] * idf**IDF_POWER
        weights *= idf**IDF_POWER / max(np.linalg.norm(weights), 1e-9)
        scores = np.zeros(len(self), np.float32)
        for column, weight in zip(columns.tolist(), weights.tolist(), strict=True):
            papers, often = self.having(column)
            scores[papers] += (weight * SUBLINEAR)[often]
        return scores / self._lengths

    @cached_property
    def _lengths(self) -> np.ndarray:
        return np.sqrt(np.maximum(np.diff(self.words.indptr), 1)).astype(np.float32)

    def _idf(self, columns: np.ndarray) -> np.ndarray:
        places, known = find(self.features, columns)
        having = np.zeros(len(columns))
        having[known] = (
            self.postings.indptr[places[known] + 1] - self.postings.indptr[places[known]]
        )
        return np.log((1 + len(self)) / (1 + having)) + 1


def best(scores: np.ndarray, limit: int) -> np.ndarray:
    """Return where the highest scores are, in no order."""
    if len(scores) <= limit:
        return np.arange(len(scores))
    return np.argpartition(-scores, limit - 1)[:limit]


def name_column(word: str) -> int:
    return word_column(f"@{word}")


def title_column(stems: Sequence[str]) -> int:
    return word_column(f"={' '.join(stems)}")


def name_words(name: str) -> list[str]:
    """Return the words of a name, folded, initials included."""
    return LETTERS.findall(text.folded(name).translate(APOSTROPHES))


def in_full(name: str) -> list[str]:
    return [word for word in name_words(name) if len(word) > 1]


# ---- Writing


def arrays_of(
    days: Mapping[str, int],
    read: Callable[[list[str]], Iterable[Entry]],
    before: Index | None = None,
    changed: Collection[str] = frozenset(),
) -> Arrays:
    """Return the arrays of an index of papers, given by id and day (an ordinal).

    `read` is asked for those that `before` does not have or that have `changed`; papers that it
    does not return are left out.
    """
    known = [] if before is None else before.ids_at(slice(None))
    rows = {one: row for row, one in enumerate(known) if one not in changed}
    ids = sorted(days, key=lambda one: (days[one], one))
    missing = [one for one in ids if one not in rows]
    names, ends = array("i"), array("q", [0])

    def documents() -> Iterable[list[list[str]]]:
        for row, (identity, said, authors) in enumerate(read(missing), len(known)):
            rows[identity], lines = row, stems_of(said)
            words = {word for name in authors[:MAX_AUTHORS] for word in name_words(name)}
            names.extend(sorted({title_column(lines[0]), *map(name_column, words)}))
            ends.append(len(names))
            yield lines

    new_words = counted(documents()).astype(np.uint8)
    parts = np.ones(len(names), np.uint8), np.array(names, np.int32), np.array(ends)
    new_names = sparse.csr_matrix(parts, shape=new_words.shape)
    ids = [one for one in ids if one in rows]
    which = np.array([rows[one] for one in ids], dtype=np.int64)
    old = [] if before is None else [before]
    of_words = sparse.vstack([*(one.words for one in old), new_words], format="csr")[which]
    of_names = sparse.vstack([*(one.names for one in old), new_names], format="csr")[which]
    features, postings = _postings(of_words, of_names)
    encoded = np.array([one.encode() for one in ids], dtype=bytes)
    arrays = {
        "format": np.array([FORMAT]),
        "ids": encoded,
        "by_id": np.argsort(encoded, kind="stable").astype(np.int32),
        "features": features,
    }
    for name, matrix in (("words", of_words), ("names", of_names), ("postings", postings)):
        parts = matrix.data, matrix.indices, matrix.indptr
        arrays |= zip([f"{name}_{part}" for part in PARTS], parts, strict=True)
    return arrays


def _postings(*matrices: sparse.csr_matrix) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Return the columns that rows have, without bigrams, and the rows by column."""
    parts = []
    for one in matrices:
        is_word = one.indices % 2 == 0
        rows = np.repeat(np.arange(one.shape[0], dtype=np.int32), np.diff(one.indptr))
        parts.append((one.data[is_word], one.indices[is_word], rows[is_word]))
    counts, columns, rows = map(np.concatenate, zip(*parts, strict=True))
    used = np.unique(columns)
    places = np.searchsorted(used, columns).astype(np.int32)
    shape = len(used), matrices[0].shape[0]
    return used, sparse.coo_matrix((counts, (places, rows)), shape=shape).tocsr()
