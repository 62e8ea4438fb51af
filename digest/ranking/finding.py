"""What is found for a topic in an edition: the same for all who follow it, so found once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import batched
from zlib import crc32

import numpy as np

from digest.ranking.edition import Edition
from digest.ranking.meaning import meant
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest
from digest.ranking.query import Query
from digest.ranking.relevance import relevance
from digest.ranking.tuning import Tuning

BLOCK = 256  # So many queries at a time, since their scores are dense.
MOST = 5_000  # So many papers of a topic at most: a category may have more.
NO_QUERY = -1  # The categories alone say so.


@dataclass(frozen=True)
class Found:
    """Papers and their scores, best first, and which of the topic's queries found each.

    `least`: below this score, it is not there on account of this any more.
    """

    papers: np.ndarray
    scores: np.ndarray
    queries: np.ndarray
    least: float = 0.0

    def __len__(self) -> int:
        return len(self.papers)


NOTHING = Found(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))


def find(
    model: TfidfModel, edition: Edition, interests: Iterable[Interest], tuning: Tuning
) -> list[Found]:
    """Return what each interest finds, its weight aside. Kept in the edition's cache."""
    wanted = [(one.query, one.categories, one.authors) for one in interests]
    cache = edition.cached("found", tuning)
    # Looked up once: another thread may empty the cache.
    found = {key: known for key in wanted if (known := cache.get(key)) is not None}
    missing = [key for key in dict.fromkeys(wanted) if key not in found]
    texts = dict.fromkeys(query for text, *_ in missing for query in meant(model, text))
    parts = _by_query(model, edition, list(texts), tuning)
    for text, categories, authors in missing:
        if authors:
            new = _written(edition, authors, categories)
        elif text.strip():
            new = _joined(
                [parts[query] for query in meant(model, text)], edition, categories, tuning
            )
        else:
            new = _filed(edition, categories, tuning)
        found[text, categories, authors] = cache[text, categories, authors] = new
    return [found[key] for key in wanted]


def _by_query(
    model: TfidfModel, edition: Edition, wanted: Sequence[Query], tuning: Tuning
) -> dict[Query, tuple[np.ndarray, np.ndarray]]:
    """Return the papers that are about each query, with their scores."""
    found = {}
    for block in batched(wanted, BLOCK):
        result = relevance(model, edition, block, tuning)
        for row, query in enumerate(block):
            papers = np.flatnonzero(result.is_about[row])
            found[query] = papers, result.scores[row, papers]
    return found


def _joined(
    parts: list[tuple[np.ndarray, np.ndarray]],
    edition: Edition,
    categories: Sequence[str],
    tuning: Tuning,
) -> Found:
    """Return the papers that one of the queries found, each with its best score."""
    scores, best = np.zeros(len(edition)), np.full(len(edition), NO_QUERY)
    for number, (papers, found) in enumerate(parts):
        better = found > scores[papers]
        scores[papers[better]], best[papers[better]] = found[better], number
    scores[~_inside(edition, categories)] = 0
    return _best_first(edition, scores, best, tuning.floor)


def _inside(edition: Edition, categories: Sequence[str]) -> np.ndarray:
    """Return which papers are of these categories, (n_papers,): without any, all are."""
    inside = np.full(len(edition), not categories)
    inside[list(edition.within(categories))] = True
    return inside


def _written(edition: Edition, authors: Sequence[str], categories: Sequence[str]) -> Found:
    """Return the papers that these wrote, each by the number of the first of them.

    There is nothing to weigh: who follows somebody wants whatever she writes.
    """
    scores, first = np.zeros(len(edition)), np.full(len(edition), NO_QUERY)
    for number in reversed(range(len(authors))):
        papers = edition.by(authors[number])
        scores[papers], first[papers] = 1, number
    scores[~_inside(edition, categories)] = 0
    return _best_first(edition, scores, first, 0.0)


def _filed(edition: Edition, categories: Sequence[str], tuning: Tuning) -> Found:
    """Return the papers of the categories.

    With little score, so that a paper that was asked for in words comes first: the primary category
    counts for more than a cross-list, and among these what trends and what is new.
    """
    scores = np.zeros(len(edition))
    for paper, is_primary in edition.within(categories).items():
        fresh = 1 / (1 + max(float(edition.ages[paper]), 0))
        lot = crc32(edition.ids[paper].encode()) / 2**32  # Nobody knows better: not the first.
        trend = float(edition.trends[paper])
        extra = 0.5 * is_primary + 0.3 * trend + 0.15 * fresh + 0.05 * lot
        scores[paper] = tuning.floor * (0.5 + 0.5 * extra)
    return _best_first(edition, scores, np.full(len(edition), NO_QUERY), 0.0)


def trending(edition: Edition) -> Found:
    """Return what trends; where nobody has voted on anything, what is newest."""
    if edition.trends.any():
        return _best_first(edition, edition.trends, np.full(len(edition), NO_QUERY), 0.0)
    papers = np.array(edition.newest, dtype=np.int64)
    falling = 1 / np.arange(2, len(papers) + 2)  # Only their order means anything.
    return Found(papers, falling, np.full(len(papers), NO_QUERY))


def _best_first(edition: Edition, scores: np.ndarray, best: np.ndarray, least: float) -> Found:
    papers = np.flatnonzero(scores > 0)
    papers = papers[np.lexsort((edition.rank[papers], -scores[papers]))][:MOST]
    return Found(papers, scores[papers], best[papers], least)
