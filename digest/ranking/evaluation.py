"""How good the ranking is: papers ranked by score alone, and compared with what readers kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digest.ranking.edition import Edition
from digest.ranking.learning import learned_scores, vectors_of
from digest.ranking.meaning import meant
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Profile
from digest.ranking.relevance import combined, relevance
from digest.ranking.tuning import Tuning

DEPTH = 1_000  # So many papers of a ranking are told.
BLOCK = 256


@dataclass(frozen=True)
class Metrics:
    """Means over the readers who have anything relevant to find."""

    readers: int
    ndcg_at_10: float
    recall_at_20: float
    recall_at_100: float
    reciprocal_rank: float


def scores(
    model: TfidfModel, edition: Edition, profiles: Sequence[Profile], tuning: Tuning
) -> np.ndarray:
    """Return each paper's score for each reader, shape (n_readers, n_papers).

    As digests are ranked, before the floor, popularity and all that depends on other papers.
    """
    asked = [[meant(model, interest.query) for interest in one.follows] for one in profiles]
    distinct = list(dict.fromkeys(q for one in asked for parts in one for q in parts))
    rows = {query: row for row, query in enumerate(distinct)}
    by_query = np.vstack(
        [
            relevance(model, edition, distinct[start : start + BLOCK], tuning).scores
            for start in range(0, len(distinct), BLOCK)
        ]
        or [np.zeros((0, len(edition)))]
    )
    learned = [one.learned for one in profiles if one.learned]
    liked = np.array([one.liked for one in learned])
    own = iter(learned_scores(model, edition, vectors_of(model, learned), liked))
    ranked = np.zeros((len(profiles), len(edition)))
    for reader, (profile, interests) in enumerate(zip(profiles, asked, strict=True)):
        topics = [by_query[[rows[q] for q in parts]].max(axis=0) for parts in interests if parts]
        hers = next(own) if profile.learned else np.zeros(len(edition))
        ranked[reader] = combined(np.array(topics), hers, tuning) if topics else hers
    return ranked


def ranking(scores: np.ndarray, candidates: Sequence[int]) -> list[int]:
    """Return candidates, the best DEPTH of them, best first. Of equals, the earlier comes first."""
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
