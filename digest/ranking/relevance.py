"""Score papers for lines: the log-odds that each is about one.

A logistic regression on judged papers over the similarity and coverage of the line, the similarity
of all that its writer wrote and, with embeddings, the cosines of both. Pseudo-relevance feedback
(Rocchio, 1971) expands a query by words of the background's best papers, so that no new paper
boosts itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import (
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
from digest.ranking.query import Query

EXPANSION_PAPERS = 8  # The best papers of the background, whose words expand a query.
SELF_SIMILARITY = 1.8  # A paper that is so similar is the query itself, which says nothing new.
MAX_EXPANSION = 400  # Words and bigrams that are added: the heaviest.
BIGRAM_WEIGHT = 0.3  # Of a bigram in the coverage, relative to words.
TEXT_COVERAGE = 0.75  # Of a text, by every paper: docs/ranking.md.


class Weights[T](NamedTuple):
    """The weights of what is known of a paper: `tests.benchmarks.judged` fits them."""

    similarity: T
    coverage: T
    cosine: T
    whole_similarity: T
    whole_cosine: T
    constant: T


@dataclass(frozen=True)
class Line:
    """A line of an interest, and the whole: all that its writer wrote, as one query."""

    query: Query
    whole: Query | None = None
    is_prose: bool = False

    @property
    def kind(self) -> int:
        """Which weights it has: those of a line alone, beside the whole, or in prose."""
        return 0 if self.whole is None else 1 + self.is_prose


#: The weights of a line alone, of one beside the whole, and of one in prose.
WITHOUT_EMBEDDING = (
    Weights(10.2, 4.8, 0, 0, 0, -8.7),
    Weights(8.8, 3.8, 0, 5.6, 0, -9.35),
    Weights(2.9, 1.4, 0, 7.1, 0, -5.45),
)
WITH_EMBEDDING = (
    Weights(7.3, 3.5, 10.7, 0, 0, -10.9),
    Weights(6.3, 2.8, 5.5, 3.0, 5.2, -10.7),
    Weights(2.5, 1.6, 2.7, 4.0, 3.4, -6.78),
)


class ArrayTable:
    """The base of dataclasses whose fields are arrays of one length."""

    def columns(self) -> tuple[np.ndarray, ...]:
        return tuple(vars(self).values())

    def __len__(self) -> int:
        return len(self.columns()[0])

    def __getitem__(self, rows: np.ndarray) -> Self:
        return type(self)(*(column[rows] for column in self.columns()))


@dataclass(frozen=True)
class Relevance(ArrayTable):
    """The papers that may be about a query, and the log-odds of each."""

    papers: np.ndarray
    log_odds: np.ndarray


def vectors_of(model: TfidfModel, queries: Sequence[Query]) -> Vectors:
    return model.vectors(counted([query.terms] for query in queries))


def expanded(background: Vectors, queries: Vectors) -> Vectors:
    """Return queries, expanded by words of the background's best papers.

    The words weigh more if the best paper has a higher score, so that a query without good papers
    does not drift.
    """
    if len(background) <= EXPANSION_PAPERS:
        return queries
    scores = background.similarity(queries)
    scores[scores > SELF_SIMILARITY] = 0
    best = np.argpartition(-scores, EXPANSION_PAPERS, axis=1)[:, :EXPANSION_PAPERS]
    best_scores = np.maximum(np.take_along_axis(scores, best, axis=1), 0)
    ends = np.arange(0, best.size + 1, EXPANSION_PAPERS)
    weights = sparse.csr_matrix((best_scores.ravel() ** 2, best.ravel(), ends), shape=scores.shape)
    expansion = normalized(_expansion(background, weights))
    top = best_scores.max(axis=1, keepdims=True)
    expansion.data *= np.repeat(top, np.diff(expansion.indptr)).astype(np.float32)
    features = normalized((queries.features + expansion).tocsr())
    return Vectors(features, queries.directions + top * unit(weights @ background.directions))


def _expansion(background: Vectors, shares: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the heaviest features of weighted sums of the background's papers."""
    mixed = (shares @ background.columns.by_text).tocsr()
    mixed.sort_indices()
    thresholds = [
        np.partition(row, -MAX_EXPANSION)[-MAX_EXPANSION] if len(row) > MAX_EXPANSION else 0
        for row in np.split(mixed.data, mixed.indptr[1:-1])
    ]
    is_heavy = mixed.data >= np.repeat(thresholds, np.diff(mixed.indptr))
    ends = np.concatenate([[0], np.cumsum(is_heavy)])[mixed.indptr]
    parts = mixed.data[is_heavy], background.columns.used[mixed.indices[is_heavy]], ends
    return sparse.csr_matrix(parts, shape=(len(thresholds), WIDTH))


def similarity(model: TfidfModel, candidates: CandidateSet, queries: Sequence[Query]) -> np.ndarray:
    """Return the similarity of the candidates to expanded queries, (n_queries, n_candidates)."""
    background = model.background(candidates.first_day)
    expanded_queries = expanded(background, vectors_of(model, queries))
    return candidates.vectors.similarity(expanded_queries) * candidates.fullness


def relevance(
    model: TfidfModel, candidates: CandidateSet, lines: Sequence[Line], floor: float = -np.inf
) -> list[Relevance]:
    """Return the candidates that are about each line with log-odds of at least `floor`."""
    pairs = ((line.query, line.whole) for line in lines)
    queries = list(dict.fromkeys(query for pair in pairs for query in pair if query))
    rows = {query: row for row, query in enumerate(queries)}
    similarities = similarity(model, candidates, queries)
    cosines = candidates.text_cosines([query.text for query in queries])
    fits = np.array([WITHOUT_EMBEDDING, WITH_EMBEDDING])[candidates.has_embedding.astype(int)]
    weights_by_kind = [Weights(*fits[:, kind].T) for kind in range(fits.shape[1])]
    relevances = []
    for line in lines:
        weights = weights_by_kind[line.kind]
        row = rows[line.query]
        whole_row = rows[line.whole or line.query]
        log_odds = weights.similarity * similarities[row] + weights.cosine * cosines[row]
        log_odds += weights.whole_similarity * similarities[whole_row]
        log_odds += weights.whole_cosine * cosines[whole_row] + weights.constant
        papers = np.flatnonzero(log_odds + weights.coverage >= floor)  # The coverage is at most 1.
        covered = coverage(model, candidates, line.query, papers)
        matches = Relevance(papers, log_odds[papers] + weights.coverage[papers] * covered)
        matches = matches[matches.log_odds >= floor]
        if line.query.quotes:
            matches = matches[candidates.contains_quotes(line.query, matches.papers)]
        relevances.append(matches)
    return relevances


def coverage(
    model: TfidfModel, candidates: CandidateSet, query: Query, papers: np.ndarray
) -> np.ndarray:
    """Return how much of a query these papers contain, in [0, 1], shape (n_papers,).

    A missing word counts in part, by its cosine with the paper in the latent space. Bigrams that
    occur in the corpus count as well. No paper has most words of a text, so all have the same.
    """
    if query.is_text:
        return np.full(len(papers), TEXT_COVERAGE)
    words = query.distinct
    pairs = dict.fromkeys(zip(query.terms, query.terms[1:], strict=False))
    columns = np.array([*map(word_column, words), *(bigram_column(*pair) for pair in pairs)])
    weights = model.idf(columns)
    weights[len(words) :] *= BIGRAM_WEIGHT * find(model.columns_, columns[len(words) :])[1]
    presence = candidates.vectors.columns.with_features(columns)[:, papers].astype(np.float32)
    cosines = model.directions(columns[: len(words)]) @ candidates.vectors.directions[papers].T
    presence[: len(words)] = np.maximum(presence[: len(words)], np.clip(2 * cosines, 0, 1))
    return weights @ presence / max(float(weights.sum()), 1e-9)
