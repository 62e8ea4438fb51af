"""The fitted model: TF-IDF over words and bigrams, with latent semantic analysis.

A feature is a word's stem or a pair of neighbouring stems, known by a hash of 31 bits (even for
words, odd for pairs), so that counts do not depend on what a model was fitted on. Fitting uses
scikit-learn; reading texts does not, so that a web process need not import it.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from typing import Self
from zlib import crc32

import numpy as np
from scipy import sparse

from digest.ranking import text

#: The version of stored models and of the tokenizer. Other versions are refused and fitted anew.
FORMAT = 4
MAX_DOCUMENTS = 20_000  # More take memory and time, with little gain.
BACKGROUND = 7_000  # The newest older papers, whose words expand queries.
IDF_POWER = 1.25  # Rare words weigh more than by their idf alone.
N_COMPONENTS = 256
DOCUMENTS_A_COMPONENT = 7  # A small corpus has fewer latent dimensions.
MIN_COMPONENTS = 10  # Below this number, there is no latent space.
BIGRAMS, LATENT = 0.5, 0.5  # Weights beside the cosine of the words.
MIN_TITLE_RATIO = 0.5  # How often titles contain a subject, relative to the average word.
WIDTH = 2**31 - 1


@dataclass(frozen=True)
class Vectors:
    """Texts as vectors.

    Attributes
    ----------
    features : csr_matrix (n_texts, WIDTH)
        Words of unit length, and bigrams of length √BIGRAMS.
    latent : ndarray (n_texts, n_components)
        The words in the latent space.
    """

    features: sparse.csr_matrix
    latent: np.ndarray

    def __len__(self) -> int:
        return self.features.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> "Vectors":
        return Vectors(self.features[rows], self.latent[rows])

    def weights_of(self, row: int) -> dict[int, float]:
        """Return the features of one text, each with its weight."""
        start, end = self.features.indptr[row : row + 2]
        columns = self.features.indices[start:end], self.features.data[start:end]
        return dict(zip(*(part.tolist() for part in columns), strict=True))

    @cached_property
    def directions(self) -> np.ndarray:
        """The latent vectors in unit length, (n_texts, n_components)."""
        return unit(self.latent)

    @cached_property
    def columns(self) -> "Columns":
        return Columns(self)

    def similarity(self, queries: "Vectors") -> np.ndarray:
        """Return the similarity of each query to each text, up to 1 + BIGRAMS + LATENT.

        Shape (n_queries, n_texts).
        """
        scores = (self.columns.narrowed(queries.features) @ self.columns.by_feature).toarray()
        scores += (LATENT * queries.directions) @ self.directions.T
        return scores

    def pairwise(self, others: "Vectors") -> np.ndarray:
        """Return the similarity of each text to the other text of the same row, (n_texts,)."""
        words = np.asarray(self.features.multiply(others.features).sum(axis=1)).ravel()
        return words + LATENT * np.einsum("ij,ij->i", self.directions, others.directions)


class Columns:
    """The features of texts by column. `used` (n_used,): the features that occur in them."""

    def __init__(self, vectors: Vectors) -> None:
        features = vectors.features
        self.used, columns = np.unique(features.indices, return_inverse=True)
        shape = features.shape[0], len(self.used)
        self.by_text = sparse.csr_matrix((features.data, columns, features.indptr), shape=shape)
        self.by_feature = self.by_text.T.tocsr()

    def narrowed(self, features: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return rows of features, reduced to these columns, (n_rows, n_used)."""
        return narrowed(features, self.used)

    def with_features(self, columns: np.ndarray) -> np.ndarray:
        """Return which texts contain these features, (n_columns, n_texts)."""
        is_contained = np.zeros((len(columns), self.by_text.shape[0]), dtype=bool)
        places, is_used = find(self.used, columns)
        for row in np.flatnonzero(is_used).tolist():
            start, end = self.by_feature.indptr[places[row] : places[row] + 2]
            is_contained[row, self.by_feature.indices[start:end]] = True
        return is_contained


class TfidfModel:
    """TF-IDF and latent semantic analysis (Deerwester et al., 1990).

    Term frequencies are sublinear; idf is smoothed as in scikit-learn, and that of words raised to
    IDF_POWER.

    Attributes
    ----------
    columns_, idf_ : ndarray (n_features,)
        The features that occur in at least two documents, ascending, and the idf of each.
    stems_, words_ : ndarray of str (n_words,)
        The known words in the order of their columns, and the most frequent spelling of each.
    subjects_ : ndarray of bool (n_words,)
        Whether a word is frequent enough in titles to be a subject, unlike "roughly" or "obtain".
    components_ : ndarray (n_words, n_components)
    explained_ : ndarray (n_components,)
        The share of the documents' squared length along each latent direction.
    documents_ : csr_matrix (n_documents, WIDTH)
        The counted features of the documents.
    days_ : ndarray (n_documents,)
        When they were published, ascending.
    """

    def fit(self, documents: Sequence[str], days: Sequence[int] | None = None) -> Self:
        """Fit the model to texts, or to MAX_DOCUMENTS of them, evenly spread.

        A text has three lines: the title, the title again, the abstract. `days` must be ascending.
        """
        count = min(len(documents), MAX_DOCUMENTS)
        spread = np.linspace(0, len(documents) - 1, count).astype(int)
        sample = [documents[place] for place in spread.tolist()]
        self.days_ = np.zeros(count, int) if days is None else np.array(days, int)[spread]
        stemmed = [stems_of(document) for document in sample]
        self.documents_ = counted(stemmed)
        columns, df = np.unique(self.documents_.indices, return_counts=True)
        self.columns_, df = columns[df > 1], df[df > 1]
        title_columns = counted(lines[:1] for lines in stemmed).indices
        places, is_known = find(self.columns_, title_columns)
        title_df = np.bincount(places[is_known], minlength=len(df))
        usual_share = MIN_TITLE_RATIO * title_df.sum() / max(int(df.sum()), 1)
        self.subjects_ = (1 + title_df >= usual_share * df)[self.columns_ % 2 == 0]
        self.idf_ = (np.log((1 + count) / (1 + df)) + 1).astype(np.float32)
        stems = {stem for lines in stemmed for line in lines for stem in line}
        by_column = {word_column(stem): stem for stem in sorted(stems)}
        known_stems = [by_column[column] for column in self._word_columns.tolist()]
        self.stems_ = np.array(known_stems, dtype=str)
        word_by_stem = text.usual_words(sample)
        self.words_ = np.array([word_by_stem.get(stem, stem) for stem in known_stems], dtype=str)
        self._fit_latent()
        return self

    def _fit_latent(self) -> None:
        words = self.known_words(self._weighted(self.documents_))
        count = min(N_COMPONENTS, words.shape[0] // DOCUMENTS_A_COMPONENT, words.shape[1] - 1)
        self.components_ = np.zeros((words.shape[1], 0), np.float32)
        self.explained_ = np.zeros(0, np.float32)
        if count < MIN_COMPONENTS:
            return
        from sklearn.utils.extmath import randomized_svd

        _, lengths, directions = randomized_svd(words, count, n_iter=3, random_state=0)
        # Stored in half precision, so that a stored model ranks as the one just fitted.
        self.components_ = np.ascontiguousarray(directions.T.astype(np.float16), np.float32)
        self.explained_ = (lengths**2 / words.shape[0]).astype(np.float32)

    # ---- Reading texts

    def read(self, documents: Iterable[str]) -> Vectors:
        """Return texts as vectors. The row of a text without terms is zero."""
        return self.vectors(counted(map(stems_of, documents)))

    def vectors(self, counts: sparse.csr_matrix) -> Vectors:
        """Return counted texts as vectors."""
        features = self._weighted(counts)
        return Vectors(features, self.latent(features))

    def latent(self, features: sparse.csr_matrix) -> np.ndarray:
        """Project weighted features into the latent space, (n_texts, n_components)."""
        return np.asarray(self.known_words(features) @ self.components_)

    def known_words(self, features: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return the columns of known words, (n_texts, n_words)."""
        return narrowed(features, self._word_columns)

    def idf(self, columns: np.ndarray) -> np.ndarray:
        """Return the idf of features. Unknown ones count as if one document contained them."""
        places, is_known = find(self.columns_, columns)
        rarest = np.float32(np.log((1 + self.documents_.shape[0]) / 2) + 1)
        idf = np.full(columns.shape, rarest)
        idf[is_known] = self.idf_[places[is_known]]
        return idf

    def are_subjects(self, stems: Sequence[str]) -> np.ndarray:
        """Return whether each stem is known and frequent enough in titles, (n_stems,)."""
        columns = np.array([*map(word_column, stems)], dtype=np.int64)
        places, is_known = find(self._word_columns, columns)
        return is_known & self.subjects_.take(places, mode="clip")

    def directions(self, columns: np.ndarray) -> np.ndarray:
        """Return the directions of words in the latent space, (n_columns, n_components).

        Of unit length; zeros where a word is unknown.
        """
        places, is_known = find(self._word_columns, columns)
        directions = np.zeros((len(columns), self.components_.shape[1]), np.float32)
        directions[is_known] = unit(self.components_[places[is_known]])
        return directions

    def word(self, stem: str) -> str:
        """Return the most frequent spelling of a stem, or the stem itself if it is unknown."""
        (place,), (is_known,) = find(self._word_columns, np.array([word_column(stem)]))
        return str(self.words_[place]) if is_known else stem

    def background(self, before: int | None = None) -> Vectors:
        """Return the newest documents before a day, or of all days if there are none."""
        count = 0 if before is None else int(np.searchsorted(self.days_, before))
        return self._background_of(count or len(self.days_))

    @lru_cache(maxsize=2)  # noqa: B019, one model lives as long as the process
    def _background_of(self, count: int) -> Vectors:
        return self.vectors(self.documents_[max(count - BACKGROUND, 0) : count])

    @cached_property
    def word_weights(self) -> np.ndarray:
        """The weights of the known words, (n_words,)."""
        return self.idf_[self.columns_ % 2 == 0] ** IDF_POWER

    @cached_property
    def _word_columns(self) -> np.ndarray:
        return self.columns_[self.columns_ % 2 == 0]

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        idf = self.idf(counts.indices)
        power = np.where(counts.indices % 2, 1, IDF_POWER)
        data = ((1 + np.log(counts.data)) * idf**power).astype(np.float32)
        return normalized(sparse.csr_matrix((data, counts.indices, counts.indptr), counts.shape))

    # ---- Storing

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fitted attributes as arrays without objects."""
        return {
            "format": np.array(FORMAT),
            "columns": self.columns_,
            "idf": self.idf_,
            "stems": packed(self.stems_.tolist()),
            "words": packed(self.words_.tolist()),
            "components": self.components_.astype(np.float16),
            "explained": self.explained_,
            "subjects": self.subjects_,
            "indices": self.documents_.indices,
            "counts": self.documents_.data.astype(np.uint8),
            "ends": self.documents_.indptr,
            "days": self.days_,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """Return the model of arrays from `to_arrays`. Raises ValueError if they are invalid."""
        try:
            if int(arrays["format"]) != FORMAT:
                raise ValueError(f"a model of format {arrays['format']}, where {FORMAT} is wanted")
            model = cls()
            model.columns_, model.idf_ = arrays["columns"], arrays["idf"]
            model.stems_, model.words_ = unpacked(arrays["stems"]), unpacked(arrays["words"])
            model.components_ = arrays["components"].astype(np.float32)
            model.explained_, model.days_ = arrays["explained"], arrays["days"]
            model.subjects_ = arrays["subjects"]
            parts = arrays["counts"].astype(np.float32), arrays["indices"], arrays["ends"]
            model.documents_ = sparse.csr_matrix(parts, shape=(len(arrays["days"]), WIDTH))
            model._check()
        except (TypeError, KeyError, IndexError, OverflowError) as error:
            raise ValueError(f"no arrays of a model: {error}") from error
        return model

    def _check(self) -> None:
        n_words = len(self._word_columns)
        self.documents_.check_format(full_check=True)
        if not (
            self.idf_.shape == self.columns_.shape
            and self.stems_.shape == self.words_.shape == self.subjects_.shape == (n_words,)
            and self.components_.shape == (n_words, len(self.explained_))
        ):
            raise ValueError("a model whose parts don't fit each other")


def stems_of(document: str) -> list[list[str]]:
    """Return the stems of each line of a text, in order."""
    return [text.terms(line) for line in document.splitlines()]


def counted(documents: Iterable[Sequence[Sequence[str]]]) -> sparse.csr_matrix:
    """Count the features of texts, given as lines of stems, (n_texts, WIDTH)."""
    columns, counts, ends = array("i"), array("B"), array("q", [0])
    for lines in documents:
        words = Counter(map(word_column, chain.from_iterable(lines)))
        words.update(bigram_column(*pair) for line in lines for pair in pairwise(line))
        for column, count in sorted(words.items()):
            columns.append(column)
            counts.append(min(count, 255))
        ends.append(len(columns))
    parts = np.array(counts, np.float32), np.array(columns, np.int32), np.array(ends)
    return sparse.csr_matrix(parts, shape=(len(ends) - 1, WIDTH))


@lru_cache(500_000)
def word_column(stem: str) -> int:
    return crc32(stem.encode()) >> 2 << 1


def bigram_column(first: str, second: str) -> int:
    return crc32(f"{first} {second}".encode()) >> 2 << 1 | 1


def find(ascending: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each wanted number in an ascending array, and whether it is there."""
    if not len(ascending):
        return np.zeros(numbers.shape, int), np.zeros(numbers.shape, bool)
    # Converted to the same type, because numpy would otherwise copy the whole array.
    places = np.searchsorted(ascending, numbers.astype(ascending.dtype, copy=False))
    return places, ascending.take(places, mode="clip") == numbers


def narrowed(features: sparse.csr_matrix, columns: np.ndarray) -> sparse.csr_matrix:
    """Return the given columns, in ascending order, of rows, (n_rows, n_columns)."""
    places, is_given = find(columns, features.indices)
    ends = np.concatenate([[0], np.cumsum(is_given)])[features.indptr]
    shape = features.shape[0], len(columns)
    return sparse.csr_matrix((features.data[is_given], places[is_given], ends), shape=shape)


def normalized(features: sparse.csr_matrix) -> sparse.csr_matrix:
    """Scale rows: their words to unit length, their bigrams to length √BIGRAMS."""
    rows = np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
    groups = 2 * rows + features.indices % 2
    squares = np.bincount(groups, features.data**2, 2 * features.shape[0]).astype(float)
    squares[1::2] /= BIGRAMS
    data = (features.data / np.sqrt(np.where(squares > 0, squares, 1))[groups]).astype(np.float32)
    return sparse.csr_matrix((data, features.indices, features.indptr), features.shape)


def unit(rows: np.ndarray) -> np.ndarray:
    """Return the rows scaled to unit length. Rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def packed(words: list[str]) -> np.ndarray:
    """Return words as bytes, separated by line feeds, which no word contains."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


def unpacked(packed: np.ndarray) -> np.ndarray:
    """Return the words that were packed."""
    lines = packed.tobytes().decode()
    return np.array(lines.split("\n") if lines else [], dtype=str)
