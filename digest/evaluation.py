"""Measure the ranking: rank papers by score alone and compare with relevance judgements."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import MAX_SIMILARITY, TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Profile
from digest.ranking.query import queries
from digest.ranking.relevance import scores_of
from digest.ranking.relevance_feedback import learned_scores

DEPTH = 1_000  # Of a ranking.
BLOCK = 256


@dataclass(frozen=True)
class Metrics:
    """Means over the readers with any relevant paper."""

    readers: int
    ndcg_at_10: float
    recall_at_20: float
    recall_at_100: float
    reciprocal_rank: float


def scores(
    model: TfidfModel, candidates: CandidateSet, profiles: Sequence[Profile], parameters: Parameters
) -> np.ndarray:
    """Return each paper's score for each reader, shape (n_readers, n_papers).

    The score of digests before the cut, popularity and all that depends on other papers.
    """
    asked = [
        [query for topic in profile.follows for query in queries(topic.query, model.acronyms_)]
        for profile in profiles
    ]
    distinct = list(dict.fromkeys(query for group in asked for query in group))
    rows = {query: row for row, query in enumerate(distinct)}
    by_query = np.zeros((len(distinct), len(candidates)))
    for start in range(0, len(distinct), BLOCK):
        block = distinct[start : start + BLOCK]
        by_query[start : start + BLOCK], _ = scores_of(model, candidates, block, parameters)
    by_query /= MAX_SIMILARITY
    learned = [profile.learned for profile in profiles if profile.learned]
    own = iter(learned_scores(model, candidates.vectors, learned))
    ranked = np.zeros((len(profiles), len(candidates)))
    for reader, (profile, some) in enumerate(zip(profiles, asked, strict=True)):
        if some:
            ranked[reader] = by_query[[rows[query] for query in some]].max(axis=0)
        if profile.learned:
            ranked[reader] += (parameters.learned if some else 1) * next(own)
    return ranked


def ranking(scores: np.ndarray, candidates: Sequence[int]) -> list[int]:
    """Return the best DEPTH candidates, best first. Of equal scores, the earlier comes first."""
    order = np.argsort(-scores[candidates], kind="stable")[:DEPTH]
    return [candidates[place] for place in order]


def measure(rankings: Sequence[Sequence[str]], relevant: Sequence[Mapping[str, float]]) -> Metrics:
    """Return the metrics of rankings of ids. `relevant`: id -> grade, of each reader.

    nDCG has a linear gain, as trec_eval computes it.
    """
    rows = [
        _of_reader(ranked, {paper: grade for paper, grade in grades.items() if grade > 0})
        for ranked, grades in zip(rankings, relevant, strict=True)
        if any(grade > 0 for grade in grades.values())
    ]
    means = np.mean(rows, axis=0) if rows else np.zeros(4)
    return Metrics(len(rows), *(float(mean) for mean in means))


def _of_reader(ranked: Sequence[str], grades: Mapping[str, float]) -> tuple[float, ...]:
    gains = [grades.get(paper, 0.0) for paper in ranked]
    ideal = sorted(grades.values(), reverse=True)
    first = next((place for place, gain in enumerate(gains, start=1) if gain > 0), None)
    return (
        _dcg(gains[:10]) / _dcg(ideal[:10]),
        _found(ranked[:20], grades),
        _found(ranked[:100], grades),
        1 / first if first else 0.0,
    )


def _dcg(gains: Sequence[float]) -> float:
    return float(np.sum(np.array(gains) / np.log2(np.arange(2, len(gains) + 2))))


def _found(ranked: Collection[str], grades: Mapping[str, float]) -> float:
    return len(set(ranked) & set(grades)) / len(grades)
