"""The TF-IDF model: fitted on the corpus, it turns texts into rows of unit length."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from digest.ranking import text

#: Of what a stored model consists, so that an older one is not misread.
FORMAT = 1
MAX_TERMS = 200_000


class TfidfModel:
    """TF-IDF with sublinear term frequencies, in scikit-learn's conventions.

    Learned in `fit`: `terms_` (n_terms,), the stems in order of their columns; `words_` (n_terms,),
    for each the word that people write most often; `idf_` (n_terms,); `n_documents_`.
    """

    def fit(self, documents: Sequence[str]) -> "TfidfModel":
        """Learn the terms of the documents. A corpus without any makes a model without columns."""
        spoken: Counter[str] = Counter()
        having: Counter[str] = Counter()  # In how many documents each term is.
        for document in documents:
            words = text.words(document)
            spoken.update(words)
            having.update(set(text.stems(words)))
        usual: dict[str, str] = {}
        for word, _ in sorted(spoken.items(), key=lambda item: (-item[1], item[0])):
            for term in text.stems([word]):
                usual.setdefault(term, word)
        by_frequency = sorted(having, key=lambda term: (-having[term], term))
        terms = sorted(by_frequency[:MAX_TERMS])
        self.n_documents_ = len(documents)
        # As in TfidfTransformer(smooth_idf=True): as if one more document had every term once.
        counts = np.array([having[term] for term in terms], dtype=float)
        return self._learned(
            np.array(terms, dtype=str),
            np.array([usual[term] for term in terms], dtype=str),
            np.log((1 + len(documents)) / (1 + counts)) + 1,
        )

    def transform(self, documents: Sequence[str]) -> sparse.csr_matrix:
        """Return the documents as rows of unit length, shape (n_documents, n_terms), float32.

        A document without a known term is a row of zeros.
        """
        if not len(self.terms_) or not documents:
            return sparse.csr_matrix((len(documents), len(self.terms_)), dtype=np.float32)
        return self._vectorizer.transform(documents).tocsr()

    def columns(self, terms: Sequence[str]) -> list[int | None]:
        """Return the column of each term, None for one that the corpus doesn't have."""
        if not len(self.terms_):
            return [None] * len(terms)
        return [self._vectorizer.vocabulary_.get(term) for term in terms]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what was learned, as arrays without objects."""
        return {
            "format": np.array(FORMAT),
            "terms": self.terms_,
            "words": self.words_,
            "idf": self.idf_,
            "n_documents": np.array(self.n_documents_),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "TfidfModel":
        """Return the model that `to_arrays` told of. Raises ValueError for what it can't be."""
        if int(arrays["format"]) != FORMAT:
            raise ValueError(f"a model of format {arrays['format']}, where {FORMAT} is wanted")
        terms, words, idf = arrays["terms"], arrays["words"], arrays["idf"]
        if not (terms.shape == words.shape == idf.shape and np.isfinite(idf).all()):
            raise ValueError("a model whose parts don't fit each other")
        model = cls()
        model.n_documents_ = int(arrays["n_documents"])
        return model._learned(terms, words, idf)

    def _learned(self, terms: np.ndarray, words: np.ndarray, idf: np.ndarray) -> "TfidfModel":
        self.terms_, self.words_ = terms, words
        self.idf_ = np.asarray(idf, dtype=np.float32)
        if len(terms):
            self._vectorizer = _vectorizer(
                vocabulary={str(term): n for n, term in enumerate(terms)}
            )
            self._vectorizer.idf_ = self.idf_
        return self


def _vectorizer(**options: object) -> TfidfVectorizer:
    return TfidfVectorizer(
        **{"analyzer": text.terms, **options}, sublinear_tf=True, dtype=np.float32
    )
