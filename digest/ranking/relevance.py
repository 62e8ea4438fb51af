"""How much papers are about the lines that people write, and whether they are at all.

What a score means differs from line to line, so it is compared with the scores of older papers, the
background: send what is rare among them. Pseudo-relevance feedback (Rocchio, 1971) adds the words
of the background's best papers to a line, so that no new paper boosts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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

BEST = 8  # So many papers of the background tell further words.
FURTHER = 400  # Words and bigrams that they tell, the heaviest,
COMMON = 0.1  # but none that so large a share of the background has (of MIN_BACKGROUND at least).
RAREST = 500  # How many papers of the background score more is counted up to here.
#: Taken for the rarity while the background is too small to tell. The fewer papers there are, the
#: fewer are wrong: FEWEST less the logarithm of their number, within these bounds.
FEWEST, UNTOLD = 4.5, (2.2, 3.2)
PAIRS = 0.3  # What a line's bigram counts beside its words, where its coverage is told.


@dataclass(frozen=True)
class Relevance:
    """The papers that may be about a line: their scores, and how far each is above the cut.

    Three arrays of one length.
    """

    papers: np.ndarray
    scores: np.ndarray
    margins: np.ndarray


def vectors_of(model: TfidfModel, queries: Sequence[Query]) -> Vectors:
    return model.vectors(counted([query.terms] for query in queries))


def expanded(background: Vectors, queries: Vectors) -> tuple[Vectors, np.ndarray]:
    """Return queries with the words of the background's best papers, and their scores there.

    The surer the best paper, the more they count: what finds nothing is not drawn away.
    """
    scores = background.similarity(queries)
    if len(background) <= BEST:
        return queries, scores
    best = np.argpartition(-scores, BEST, axis=1)[:, :BEST]
    first = np.maximum(np.take_along_axis(scores, best, axis=1), 0)
    ends = np.arange(0, best.size + 1, BEST)
    rows = sparse.csr_matrix((first.ravel() ** 2, best.ravel(), ends), shape=scores.shape)
    further = normalized(_further(background, rows))
    sure = first.max(axis=1, keepdims=True)
    further.data *= np.repeat(sure, np.diff(further.indptr)).astype(np.float32)
    features = normalized((queries.features + further).tocsr())
    latent = queries.directions + sure * unit(rows @ background.directions)
    wider = Vectors(features, latent)
    return wider, background.similarity(wider)


def _further(background: Vectors, shares: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the heaviest features of sums of the background's papers, each with its share."""
    columns = background.columns
    mixed = (shares @ columns.by_text).tocsr()
    most = COMMON * max(len(background), MIN_BACKGROUND)
    is_common = np.diff(columns.by_feature.indptr) > most
    mixed.data[is_common[mixed.indices]] = 0
    mixed.eliminate_zeros()
    mixed.sort_indices()
    least = [
        np.partition(row, -FURTHER)[-FURTHER] if len(row) > FURTHER else 0
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
    rarity = np.full(scores.shape, np.clip(FEWEST - np.log10(1 + len(background)), *UNTOLD))
    if len(background) >= MIN_BACKGROUND:
        top = np.sort(np.partition(usual.round(5), -RAREST, axis=1)[:, -RAREST:], axis=1)
        above = RAREST - np.array([*map(np.searchsorted, top, scores)])
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
        papers, above = papers[above >= -parameters.near], above[above >= -parameters.near]
        if query.quotes:
            said = candidates.say(query, papers)
            papers, above = papers[said], above[said]
        found.append(Relevance(papers, score[papers], above))
    return found


def coverage(
    model: TfidfModel, candidates: CandidateSet, query: Query, papers: np.ndarray
) -> np.ndarray:
    """Return how much of a query these papers say, in [0, 1], shape (n_papers,).

    Of a word that a paper does not have, so much is said as the paper is near to it in the latent
    space. Of two words that stand side by side in many papers, the same is expected.
    """
    words = query.distinct
    pairs = dict.fromkeys(zip(query.terms, query.terms[1:], strict=False))
    columns = np.array([*map(word_column, words), *(bigram_column(*pair) for pair in pairs)])
    weights = model.idf(columns)
    weights[len(words) :] *= PAIRS * find(model.columns_, columns[len(words) :])[1]
    said = candidates.vectors.columns.having(columns)[:, papers].astype(np.float32)
    near = model.directions(columns[: len(words)]) @ candidates.vectors.directions[papers].T
    said[: len(words)] = np.maximum(said[: len(words)], np.clip(2 * near, 0, 1))
    return weights @ said / max(float(weights.sum()), 1e-9)
