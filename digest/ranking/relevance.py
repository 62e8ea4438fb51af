"""How much each paper is about each query, for all queries at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from digest.ranking.edition import Edition, unit
from digest.ranking.model import ABSENT, TfidfModel, unit_rows
from digest.ranking.query import SHORT, Query
from digest.ranking.tuning import Tuning

#: A query of up to SHORT terms must be had whole: "neural networks" is not about graph neural
#: networks. Of a sentence of n terms, a paper must have COVERAGE / n of what its LONG heaviest
#: weigh, 65 % of four and of a longer one less, and make up by its score for what is lacking.
COVERAGE = 2.6
LONG = 4
LACKING = 0.3
#: Where a short query's words stand together, a score counts about so many times; where they
#: don't, as those of a sentence, it must be higher by so much: "machine learning for translating"
#: is another subject.
TOGETHER = 1.25
APART = 0.05
#: Whose words are taken to be the query's as well: the best papers, where there are many.
BEST = 5
ENOUGH = 100


@dataclass(frozen=True)
class Relevance:
    """`scores` in [0, 1], and `is_about`. Why not, where it is not: which papers have `enough` of
    the words, and the score that is `wanted`. All are of the shape (n_queries, n_papers).
    """

    scores: np.ndarray
    is_about: np.ndarray
    enough: np.ndarray
    wanted: np.ndarray


def relevance(
    model: TfidfModel, edition: Edition, queries: Sequence[Query], tuning: Tuning
) -> Relevance:
    """Return how much each paper is about each query, and whether it is at all.

    The score is the cosine of the words, the cosine in the latent space, and both again for the
    words of the best papers so far (Rocchio's pseudo-relevance feedback), weighted and divided by
    what they can come to.
    """
    vectors = model.transform_terms(query.terms for query in queries)
    scores = similarity(edition, vectors, model.latent(vectors), tuning)
    # Rounded, since the last bits depend on what else is asked for.
    scores = np.round(_expanded(model, edition, scores, tuning), 5)
    enough, lacking = coverage(model, edition, queries)
    wanted = tuning.floor + LACKING * lacking
    for row, query in enumerate(queries):
        if query.is_short:
            together = edition.says([query.terms], np.flatnonzero(enough[row]))
            scores[row, together] = 1 - (1 - scores[row, together]) ** TOGETHER
            wanted[row, ~together] += APART
        elif query.is_sentence:
            wanted[row] += APART
    is_about = enough & (scores >= wanted)
    for row, query in enumerate(queries):
        if query.is_literal:  # Last, since texts are looked at.
            is_about[row] &= edition.says_as_written(query, np.flatnonzero(is_about[row]))
    return Relevance(scores, is_about, enough, wanted)


def similarity(
    edition: Edition, vectors: sparse.csr_matrix, latent: np.ndarray, tuning: Tuning
) -> np.ndarray:
    """Return the similarity of rows and papers, shape (n_rows, n_papers), in [0, 1]."""
    words = (vectors @ edition.columns).toarray()
    if not latent.shape[1]:
        return np.clip(words, 0, 1)
    both = words + tuning.latent * (unit(latent) @ edition.directions.T)
    return np.clip(both / (1 + tuning.latent), 0, 1)


def _expanded(
    model: TfidfModel, edition: Edition, scores: np.ndarray, tuning: Tuning
) -> np.ndarray:
    """Return the scores with those of the words of each query's best papers.

    The surer the best paper, the more they count: what finds nothing is not drawn away.
    """
    if not tuning.expansion or len(edition) < ENOUGH:
        return scores
    # Of equals, the better ranked: no order of the papers changes what is found.
    best = np.argpartition(edition.rank * 1e-12 - scores, BEST, axis=1)[:, :BEST]
    weights = np.take_along_axis(scores, best, axis=1) ** 2
    ends = np.arange(0, best.size + 1, BEST)
    rows = sparse.csr_matrix((weights.ravel(), best.ravel(), ends), shape=scores.shape)
    words = unit_rows((rows @ edition.vectors).tocsr())
    further = similarity(edition, words, model.latent(words), tuning)
    share = tuning.expansion * scores.max(axis=1, keepdims=True)
    return (scores + share * further) / (1 + share)


def coverage(
    model: TfidfModel, edition: Edition, queries: Sequence[Query]
) -> tuple[np.ndarray, np.ndarray]:
    """Return which papers have enough of a query's terms, and which share of them is lacking.

    Both are of the shape (n_queries, n_papers).
    """
    distinct = [query.distinct for query in queries]
    found = [model.columns(terms) for terms in distinct]
    idf = idf_of(model)
    most = [np.sort(idf[columns])[-LONG:].sum() for columns in found]
    n_terms = np.array([len(terms) for terms in distinct])[:, None]
    rows = np.repeat(np.arange(len(queries)), [len(columns) for columns in found])
    columns = np.concatenate(found)
    known = columns != ABSENT
    rows, columns = rows[known], columns[known]
    shape = (len(queries), len(model.terms_))
    having = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    weighing = sparse.csr_matrix((model.idf_[columns], (rows, columns)), shape=shape)
    shared = (having @ edition.presence).toarray()
    covered = (weighing @ edition.presence).toarray() / np.maximum(most, 1e-9)[:, None]
    is_whole = (shared >= n_terms) & (n_terms > 0)
    enough = is_whole | (n_terms > SHORT) & (covered * n_terms >= COVERAGE)
    return enough, np.where(is_whole, 0, np.clip(1 - covered, 0, 1))


def idf_of(model: TfidfModel) -> np.ndarray:
    """Return the idf of each term, and at ABSENT that of one that no paper has: the most."""
    return np.append(model.idf_, np.log(1 + model.n_documents_) + 1)


def combined(topics: np.ndarray, own: np.ndarray, tuning: Tuning) -> np.ndarray:
    """Return the scores of papers for one reader, from those of her topics and her own model.

    `topics` (n_topics, n_papers) or (n_topics,), `own` of the same shape without the topics.
    """
    best = topics.max(axis=0)
    return best + tuning.further * (topics.sum(axis=0) - best) + tuning.learned * own
