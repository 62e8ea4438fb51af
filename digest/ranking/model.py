"""The TF-IDF model with a latent part: fitted on the corpus, it turns texts into vectors.

Fitting uses scikit-learn; reading texts doesn't, so that a web process needs not import it.
"""

import inspect
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.corpus import Corpus

#: Of what a stored model consists, so that an older one is not misread.
FORMAT = 2
#: Fewer dimensions than these say nothing: a small corpus has no latent part.
LEAST_DIMENSIONS = 10
OVERSAMPLED = 10  # So many more are looked for, so that the last of them are right.
ITERATIONS = 3  # So often they are drawn nearer to where the papers lie.
NOTHING = 1e-6  # Of the longest direction's square.
ABSENT = -1


class TfidfModel:
    """TF-IDF and latent semantic analysis, in scikit-learn's conventions.

    Term frequencies are sublinear, and idf (smoothed, as in scikit-learn) is raised to `idf_power`:
    a rare word tells more than its logarithm. The latent part is a truncated SVD of the documents
    (Deerwester et al., 1990), of up to `n_components` dimensions.

    Learned in `fit`: `terms_` (n_terms,), the stems in order of their columns; `words_` (n_terms,),
    for each the word that people write most often; `idf_` (n_terms,), and `weights_` (n_terms,),
    its power; `components_` (n_latent, n_dimensions), the latent directions over the columns
    `latent_terms_` (n_latent,); `explained_` (n_dimensions,), their share of the documents' squared
    length; `acronyms_`, term -> the terms that it stands for; `n_documents_`.
    """

    def __init__(
        self,
        *,
        idf_power: float = 1.5,
        n_components: int = 256,
        max_terms: int = 500_000,
        max_sample: int = 30_000,
        random_state: int = 0,
    ) -> None:
        """`max_sample`: of so many documents, evenly spread, the latent part is learned."""
        self.idf_power = idf_power
        self.n_components = n_components
        self.max_terms = max_terms
        self.max_sample = max_sample
        self.random_state = random_state

    # ---- scikit-learn's conventions, without its import

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the constructor. None is an estimator, so `deep` is idle."""
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the constructor. Raises ValueError for one that it doesn't have."""
        for name, value in params.items():
            if name not in self._parameters():
                raise ValueError(f"{name!r} is no parameter of TfidfModel")
            setattr(self, name, value)
        return self

    @classmethod
    def _parameters(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters]

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
            input_tags=InputTags(string=True, two_d_array=False),
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "terms_")

    def fit_transform(self, documents: Sequence[str], y: object = None) -> sparse.csr_matrix:
        return self.fit(documents).transform(documents)

    # ---- Fitting

    def fit(self, documents: Iterable[str], y: object = None) -> Self:
        """Learn from the documents, read once. Without any word, the model has no columns.

        A line that comes twice at the beginning of a document is its title.
        """
        corpus = Corpus()
        for document in documents:
            corpus.read(document)
        return self.fit_read(corpus)

    def fit_read(self, corpus: Corpus) -> Self:
        """Learn from papers that are read already."""
        self.n_documents_ = len(corpus)
        terms, counts = corpus.columns(self.max_terms)
        usual = corpus.usual()
        self.terms_ = np.array(terms, dtype=str)
        self.words_ = np.array([usual[term] for term in terms], dtype=str)
        self.idf_ = _idf(counts)
        self.acronyms_ = corpus.acronyms(usual)
        self._ready()
        vectors = self._weighted(_every(counts, self.max_sample))
        del counts, usual  # The latent part needs as much memory again.
        self._fit_latent(vectors)
        return self

    def _fit_latent(self, vectors: sparse.csr_matrix) -> None:
        """Learn the latent directions of the rows. A term of one document alone has no part."""
        having = np.asarray((vectors != 0).sum(axis=0)).ravel()
        self.latent_terms_ = np.flatnonzero(having > 1).astype(np.int32)
        shared = vectors[:, self.latent_terms_]
        del vectors
        n_dimensions = min(self.n_components, shared.shape[0] // 7, shared.shape[1] - 1)
        if n_dimensions < LEAST_DIMENSIONS:
            self._without_latent()
            return
        squares, directions = _principal(shared, n_dimensions, self.random_state)
        # Stored in half precision, so that a model which was stored ranks as the one just fitted.
        self.components_ = np.ascontiguousarray(directions.astype(np.float16), dtype=np.float32)
        self.explained_ = (squares / shared.shape[0]).astype(np.float32)

    def _without_latent(self) -> None:
        self.latent_terms_ = np.zeros(0, dtype=np.int32)
        self.components_ = np.zeros((0, 0), dtype=np.float32)
        self.explained_ = np.zeros(0, dtype=np.float32)

    def _ready(self) -> None:
        self._columns = {str(term): column for column, term in enumerate(self.terms_)}
        self.weights_ = (self.idf_**self.idf_power).astype(np.float32)

    # ---- Reading texts

    def transform(self, documents: Iterable[str]) -> sparse.csr_matrix:
        """Return the documents as rows of unit length, shape (n_documents, n_terms), float32.

        A document without a known term is a row of zeros.
        """
        return self.transform_terms(map(self.read, documents))

    def read(self, document: str) -> list[str]:
        """Return the terms of a document in order. An acronym brings along what it stands for."""
        return self.in_full(text.terms(document))

    def in_full(self, terms: list[str]) -> list[str]:
        """Return the terms with what each acronym among them stands for, told once, after it."""
        for acronym in self.acronyms_.keys() & set(terms):
            place = terms.index(acronym) + 1
            terms[place:place] = self.acronyms_[acronym]
        return terms

    def transform_terms(self, documents: Iterable[Sequence[str]]) -> sparse.csr_matrix:
        """Return documents that are terms already, as `transform` does."""
        columns, counts, ends = array("i"), array("i"), [0]
        find = self._columns.get
        for terms in documents:
            for term, count in Counter(terms).items():
                column = find(term)
                if column is not None:
                    columns.append(column)
                    counts.append(count)
            ends.append(len(columns))
        return self._weighted(_csr(columns, counts, ends, len(self.terms_)))

    def latent(self, vectors: sparse.csr_matrix) -> np.ndarray:
        """Return where rows lie in the latent space, shape (n_rows, n_dimensions), float32."""
        if not len(self.explained_):
            return np.zeros((vectors.shape[0], 0), dtype=np.float32)
        return np.asarray(vectors[:, self.latent_terms_] @ self.components_)

    def columns(self, terms: Iterable[str]) -> np.ndarray:
        """Return the column of each term, ABSENT for one that the corpus doesn't have."""
        find = self._columns.get
        return np.array([find(term, ABSENT) for term in terms], dtype=np.int64)

    def beginning_with(self, start: str) -> list[int]:
        """Return the columns of the terms that begin so."""
        first = int(np.searchsorted(self.terms_, start))
        last = int(np.searchsorted(self.terms_, start + chr(0x10FFFF)))
        return list(range(first, last))

    def _weighted(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Return counts as weights: rows of unit length, or of zeros."""
        return unit_rows(weighted(counts, self.weights_))

    # ---- Storing

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what was learned, as arrays without objects."""
        return {
            "format": np.array(FORMAT),
            "idf_power": np.array(self.idf_power),
            "terms": packed(self.terms_.tolist()),
            "words": packed(self.words_.tolist()),
            "idf": self.idf_,
            "n_documents": np.array(self.n_documents_),
            "acronyms": packed([" ".join((a, *long)) for a, long in self.acronyms_.items()]),
            "latent_terms": self.latent_terms_,
            "components": self.components_.astype(np.float16),
            "explained": self.explained_,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        """Return the model that `to_arrays` told of. Raises ValueError for what it can't be."""
        try:
            return cls._from_arrays(arrays)
        except (TypeError, KeyError, IndexError, OverflowError) as error:
            raise ValueError(f"no arrays of a model: {error}") from error

    @classmethod
    def _from_arrays(cls, arrays: dict[str, np.ndarray]) -> Self:
        if int(arrays["format"]) != FORMAT:
            raise ValueError(f"a model of format {arrays['format']}, where {FORMAT} is wanted")
        model = cls(idf_power=float(arrays["idf_power"]))
        model.terms_, model.words_ = unpacked(arrays["terms"]), unpacked(arrays["words"])
        model.idf_ = np.asarray(arrays["idf"], dtype=np.float32)
        model.n_documents_ = int(arrays["n_documents"])
        acronyms = (line.split() for line in unpacked(arrays["acronyms"]).tolist())
        model.acronyms_ = {acronym: tuple(long) for acronym, *long in acronyms}
        model.latent_terms_ = np.asarray(arrays["latent_terms"], dtype=np.int32)
        model.components_ = np.ascontiguousarray(arrays["components"], dtype=np.float32)
        model.explained_ = np.asarray(arrays["explained"], dtype=np.float32)
        model._check()
        model._ready()
        return model

    def _check(self) -> None:
        n_terms = len(self.terms_)
        latent = self.latent_terms_
        fits = (
            self.words_.shape == self.idf_.shape == (n_terms,)
            and latent.ndim == self.explained_.ndim == 1
            and self.components_.shape == (len(latent), len(self.explained_))
            and (not len(latent) or 0 <= latent.min() <= latent.max() < n_terms)
            and bool((self.terms_[:-1] < self.terms_[1:]).all())
        )
        can_be = (
            0 <= self.idf_power <= 10
            and self.n_documents_ >= 0
            and bool(((self.idf_ >= 0) & (self.idf_ < 100)).all())
            and bool((self.explained_ >= 0).all())
            and bool(np.isfinite(self.components_).all() and np.isfinite(self.explained_).all())
        )
        if not fits or not can_be:
            raise ValueError("a model whose parts don't fit each other")


def _csr(columns: array, counts: array, ends: list[int], width: int) -> sparse.csr_matrix:
    """Return the rows as a matrix of their own, shape (len(ends) - 1, width)."""
    data = np.array(counts, dtype=np.float32)
    indices = np.array(columns, dtype=np.int32)
    matrix = sparse.csr_matrix((data, indices, np.array(ends)), shape=(len(ends) - 1, width))
    matrix.sort_indices()
    return matrix


def _idf(counts: sparse.csr_matrix) -> np.ndarray:
    if not counts.shape[1]:
        return np.zeros(0, dtype=np.float32)
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(norm=None).fit(counts).idf_.astype(np.float32)


def _every(rows: sparse.csr_matrix, limit: int) -> sparse.csr_matrix:
    """Return all rows, or `limit` of them, evenly spread."""
    if rows.shape[0] <= limit:
        return rows
    return rows[np.linspace(0, rows.shape[0] - 1, limit).astype(int)]


def _principal(
    rows: sparse.csr_matrix, n_dimensions: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares of the largest singular values, falling, and the directions that go with
    them, (n_columns, n_dimensions).

    As scikit-learn's randomized_svd (Halko et al., 2011), but for the rows' side, which it finds in
    a wide matrix and nobody asks for: that takes longer than all else, and most memory.
    """
    from sklearn.utils.extmath import randomized_range_finder

    is_wide = rows.shape[0] < rows.shape[1]
    basis = randomized_range_finder(
        rows.T if is_wide else rows,
        size=n_dimensions + OVERSAMPLED,
        n_iter=ITERATIONS,
        random_state=random_state,
    )
    small = rows @ basis if is_wide else rows.T @ basis
    squares, turned = np.linalg.eigh((small.T @ small).astype(float))
    largest = slice(None, -n_dimensions - 1, -1)  # They rise.
    squares, turned = np.maximum(squares[largest], 0), turned[:, largest].astype(np.float32)
    if is_wide:
        return squares, basis @ turned
    # Where nothing lies, rounding errors alone would be stretched to a direction.
    lengths = np.sqrt(np.maximum(squares, NOTHING * squares[0])).astype(np.float32)
    return squares, small @ turned / lengths


def weighted(counts: sparse.csr_matrix, weights: np.ndarray) -> sparse.csr_matrix:
    """Return counts as weights, not yet of unit length."""
    data = ((1 + np.log(counts.data)) * weights[counts.indices]).astype(np.float32)
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)


def unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the rows scaled to unit length, float32. Rows of zeros stay."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    per_entry = np.repeat(np.where(lengths > 0, lengths, 1), np.diff(matrix.indptr))
    data = (matrix.data / per_entry).astype(np.float32)
    return sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def packed(words: list[str]) -> np.ndarray:
    """Return words as bytes, parted by line ends: no word has one."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


def unpacked(packed: np.ndarray) -> np.ndarray:
    """Return the words that were packed."""
    joined = packed.tobytes().decode()
    return np.array(joined.split("\n") if joined else [], dtype=str)
