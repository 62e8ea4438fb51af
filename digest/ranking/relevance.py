"""Score papers for queries, and decide which are about them.

The same score means different things for different queries. So it is compared with the scores of
older papers, the background: only a score that is rare there passes. Pseudo-relevance feedback
(Rocchio, 1971) expands a query by words of the background's best papers, so that no new paper
boosts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import (
    MIN_BACKGROUND,
    WIDTH,
    TfidfModel,
    Vectors,
    bigram_column,
    counted,
    find,
    normalized,
    unit,
    word_column,
)
from digest.ranking.parameters import Parameters
from digest.ranking.query import Query

FEEDBACK_PAPERS = 8  # The best papers of the background, whose words expand a query.
MAX_EXPANSION = 400  # Words and bigrams that are added: the heaviest,
MAX_SHARE = 0.1  # but none that a larger share of the background has (or of MIN_BACKGROUND).
MAX_COUNTED = 500  # Papers of the background with a higher score are counted up to here.
#: The rarity while the background is too small: MAX_RARITY minus the logarithm of the number of its
#: papers, within these bounds. Among fewer papers, fewer are wrong.
MAX_RARITY, RARITY_BOUNDS = 4.5, (2.2, 3.2)
BIGRAM_WEIGHT = 0.3  # Of a bigram in the coverage, relative to words.


class ArrayTable:
    """The base of dataclasses whose fields are arrays of one length."""

    def columns(self) -> tuple[np.ndarray, ...]:
        return tuple(vars(self).values())

    def __len__(self) -> int:
        return len(self.columns()[0])

    def __getitem__(self, which: np.ndarray) -> Self:
        return type(self)(*(column[which] for column in self.columns()))


@dataclass(frozen=True)
class Relevance(ArrayTable):
    """The papers that may be about a query: their scores, and how far each is above the cut."""

    papers: np.ndarray
    scores: np.ndarray
    margins: np.ndarray


def vectors_of(model: TfidfModel, queries: Sequence[Query]) -> Vectors:
    return model.vectors(counted([query.terms] for query in queries))


def expanded(background: Vectors, queries: Vectors) -> tuple[Vectors, np.ndarray]:
    """Return queries, expanded by words of the background's best papers, and their scores there.

    The words weigh more if the best paper has a higher score, so that a query without good papers
    does not drift.
    """
    scores = background.similarity(queries)
    if len(background) <= FEEDBACK_PAPERS:
        return queries, scores
    best = np.argpartition(-scores, FEEDBACK_PAPERS, axis=1)[:, :FEEDBACK_PAPERS]
    first = np.maximum(np.take_along_axis(scores, best, axis=1), 0)
    ends = np.arange(0, best.size + 1, FEEDBACK_PAPERS)
    rows = sparse.csr_matrix((first.ravel() ** 2, best.ravel(), ends), shape=scores.shape)
    further = normalized(_further(background, rows))
    sure = first.max(axis=1, keepdims=True)
    further.data *= np.repeat(sure, np.diff(further.indptr)).astype(np.float32)
    features = normalized((queries.features + further).tocsr())
    latent = queries.directions + sure * unit(rows @ background.directions)
    wider = Vectors(features, latent)
    return wider, background.similarity(wider)


def _further(background: Vectors, shares: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the heaviest features of weighted sums of the background's papers."""
    columns = background.columns
    mixed = (shares @ columns.by_text).tocsr()
    most = MAX_SHARE * max(len(background), MIN_BACKGROUND)
    is_common = np.diff(columns.by_feature.indptr) > most
    mixed.data[is_common[mixed.indices]] = 0
    mixed.eliminate_zeros()
    mixed.sort_indices()
    least = [
        np.partition(row, -MAX_EXPANSION)[-MAX_EXPANSION] if len(row) > MAX_EXPANSION else 0
        for row in np.split(mixed.data, mixed.indptr[1:-1])
    ]
    kept = mixed.data >= np.repeat(least, np.diff(mixed.indptr))
    ends = np.concatenate([[0], np.cumsum(kept)])[mixed.indptr]
    parts = mixed.data[kept], columns.used[mixed.indices[kept]], ends
    return sparse.csr_matrix(parts, shape=(len(least), WIDTH))


def scores_of(
    model: TfidfModel, candidates: CandidateSet, queries: Sequence[Query], parameters: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of all candidates for each query, and how rare each is.

    Both are of the shape (n_queries, n_candidates). Rarity is the negative logarithm of the share
    of the background that scores as much.
    """
    background = model.background(candidates.first_day)
    wider, usual = expanded(background, vectors_of(model, queries))
    scores = np.round(candidates.vectors.similarity(wider), 5)
    default = np.clip(MAX_RARITY - np.log10(1 + len(background)), *RARITY_BOUNDS)
    rarity = np.full(scores.shape, default)
    if len(background) >= MIN_BACKGROUND:
        top = np.sort(np.partition(usual.round(5), -MAX_COUNTED, axis=1)[:, -MAX_COUNTED:], axis=1)
        above = MAX_COUNTED - np.array([*map(np.searchsorted, top, scores)])
        rarity = np.log10((1 + len(background)) / (1 + above))
    if candidates.embeddings is not None:
        scores += parameters.semantic * candidates.semantic(query.text for query in queries)
    return scores, rarity


def relevance(
    model: TfidfModel, candidates: CandidateSet, queries: Sequence[Query], parameters: Parameters
) -> list[Relevance]:
    """Return the papers that are about each query, or nearly so."""
    scores, rarity = scores_of(model, candidates, queries, parameters)
    margins = scores + rarity - parameters.cut - parameters.semantic_cut * candidates.has_embedding
    found = []
    for query, score, margin in zip(queries, scores, margins, strict=True):
        papers = np.flatnonzero(margin >= -1 - parameters.near)
        above = margin[papers] + coverage(model, candidates, query, papers)
        part = Relevance(papers, score[papers], above)
        part = part[above >= -parameters.near]
        if query.quotes:
            part = part[candidates.contains_quotes(query, part.papers)]
        found.append(part)
    return found


def coverage(
    model: TfidfModel, candidates: CandidateSet, query: Query, papers: np.ndarray
) -> np.ndarray:
    """Return how much of a query these papers contain, in [0, 1], shape (n_papers,).

    A missing word counts in part, by its cosine with the paper in the latent space. Bigrams that
    occur in the corpus count as well.
    """
    words = query.distinct
    pairs = dict.fromkeys(zip(query.terms, query.terms[1:], strict=False))
    columns = np.array([*map(word_column, words), *(bigram_column(*pair) for pair in pairs)])
    weights = model.idf(columns)
    weights[len(words) :] *= BIGRAM_WEIGHT * find(model.columns_, columns[len(words) :])[1]
    said = candidates.vectors.columns.with_features(columns)[:, papers].astype(np.float32)
    near = model.directions(columns[: len(words)]) @ candidates.vectors.directions[papers].T
    said[: len(words)] = np.maximum(said[: len(words)], np.clip(2 * near, 0, 1))
    return weights @ said / max(float(weights.sum()), 1e-9)
