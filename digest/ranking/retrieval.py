"""Find the candidates for a topic: the same for all who follow or mute it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import batched, chain
from zlib import crc32

import numpy as np

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import MAX_SIMILARITY, TfidfModel, word_column
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest
from digest.ranking.query import Query, queries
from digest.ranking.relevance import ArrayTable, Relevance, relevance

BLOCK = 256  # Queries that are scored at a time, since the scores are dense.
MAX_PAPERS = 5_000  # Of a topic: a category may have more.
NO_QUERY = -1  # Found by a category alone.
#: The highest score of a paper that was found by a category alone, below those of queries.
CATEGORY = 0.05

#: A single muted word mutes words that begin like it as well: "molecule" mutes "molecular". Only
#: stems of this length or longer, so that "graph" does not mute "graphene".
MIN_STEM_LENGTH = 6


@dataclass(frozen=True)
class Retrieved(ArrayTable):
    """The papers for a topic, best first, in four arrays of one length.

    Scores are in [0, 1]. `queries` has the number of the query that found each paper, and `margins`
    how far it is above the cut (negative: a near miss).
    """

    papers: np.ndarray
    scores: np.ndarray
    queries: np.ndarray
    margins: np.ndarray


NOTHING = Retrieved(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))


def find(
    model: TfidfModel,
    candidates: CandidateSet,
    interests: Iterable[Interest],
    parameters: Parameters,
) -> list[Retrieved]:
    """Return the papers for each interest, regardless of its weight. Cached in the candidates."""
    wanted = [interest.key for interest in interests]
    cache = candidates.cached("found", parameters)
    # Looked up once: another thread may empty the cache.
    found = {key: known for key in wanted if (known := cache.get(key)) is not None}
    missing = [key for key in dict.fromkeys(wanted) if key not in found]
    asked = {text: queries(text, model.acronyms_) for text, *_ in missing}
    parts: dict[Query, Relevance] = {}
    for block in batched(dict.fromkeys(chain.from_iterable(asked.values())), BLOCK):
        parts |= zip(block, relevance(model, candidates, block, parameters), strict=True)
    scale = MAX_SIMILARITY + parameters.semantic * (candidates.embeddings is not None)
    for text, categories, authors in missing:
        if authors:
            new = _by_authors(candidates, authors)
        elif text.strip():
            new = _joined(candidates, [parts[query] for query in asked[text]], scale)
        else:
            new = _of_categories(candidates, categories)
        if categories:
            new = new[np.isin(new.papers, [*candidates.in_categories(categories)])]
        found[text, categories, authors] = cache[text, categories, authors] = new
    return [found[key] for key in wanted]


def _joined(candidates: CandidateSet, parts: Sequence[Relevance], scale: float) -> Retrieved:
    """Return the papers that any query found, each with its best query."""
    if not parts:
        return NOTHING
    columns = zip(*(part.columns() for part in parts), strict=True)
    papers, scores, margins = map(np.concatenate, columns)
    scores = np.clip(scores / scale, 0, 1)
    numbers = np.repeat(np.arange(len(parts)), [*map(len, parts)])
    order = np.lexsort((numbers, -scores, margins < 0, papers))
    first = order[np.flatnonzero(np.diff(papers[order], prepend=-1))]
    return _best_first(candidates, papers[first], scores[first], numbers[first], margins[first])


def _by_authors(candidates: CandidateSet, authors: Sequence[str]) -> Retrieved:
    """Return the papers by these authors, each with the number of the first of them.

    All have the same score: followers of an author want each paper.
    """
    first: dict[int, int] = {}
    for number, name in enumerate(authors):
        for paper in candidates.by_author(name).tolist():
            first.setdefault(paper, number)
    papers, ones = np.array([*first], dtype=np.int64), np.ones(len(first))
    return _best_first(candidates, papers, ones, np.array([*first.values()], int), np.inf * ones)


def _of_categories(candidates: CandidateSet, categories: Sequence[str]) -> Retrieved:
    """Return the papers of the categories, those first that have one as their primary category,
    trend, or are new.
    """
    within = candidates.in_categories(categories)
    papers = np.array([*within], dtype=np.int64)
    fresh = 1 / (1 + np.maximum(candidates.ages[papers], 0))
    lots = np.array([crc32(candidates.ids[paper].encode()) / 2**32 for paper in within])
    scores = 0.5 * np.array([*within.values()]) + 0.3 * candidates.trends[papers]
    scores = CATEGORY * (0.5 + 0.5 * (scores + 0.15 * fresh + 0.05 * lots))
    return _best_first(candidates, papers, scores, np.full(len(papers), NO_QUERY))


def trending(candidates: CandidateSet) -> Retrieved:
    """Return the trending papers, or the newest if no paper has votes."""
    if candidates.trends.any():
        papers = np.flatnonzero(candidates.trends)
        scores = candidates.trends[papers]
    else:
        papers = np.array(candidates.newest, dtype=np.int64)
        scores = 1 / np.arange(2, len(papers) + 2)  # Only their order means anything.
    return _best_first(candidates, papers, scores, np.full(len(papers), NO_QUERY))


def _best_first(
    candidates: CandidateSet,
    papers: np.ndarray,
    scores: np.ndarray,
    numbers: np.ndarray,
    margins: np.ndarray | None = None,
) -> Retrieved:
    margins = np.zeros(len(papers)) if margins is None else margins
    order = np.lexsort((candidates.rank[papers], -scores, margins < 0))[:MAX_PAPERS]
    return Retrieved(papers[order], scores[order], numbers[order], margins[order])


# ---- Mutes


def muted(model: TfidfModel, candidates: CandidateSet, interest: Interest) -> np.ndarray:
    """Return which papers a muted interest hides, (n_papers,). Mute wins over follow.

    They contain all words of one line of its text, or have one of its authors, and are in its
    categories.
    """
    cache = candidates.cached("muted")
    is_muted = cache.get(interest.key)
    if is_muted is None:
        within = np.full(len(candidates), not interest.categories)
        within[list(candidates.in_categories(interest.categories))] = True
        is_whole = bool(interest.categories) and not (interest.query.strip() or interest.authors)
        is_muted = np.full(len(candidates), is_whole)
        for name in interest.authors:
            is_muted[candidates.by_author(name)] = True
        for query in queries(interest.query, model.acronyms_, limit=10**9):  # All: mute wins.
            is_muted |= _contains(model, candidates, query)
        is_muted = cache[interest.key] = is_muted & within
    return is_muted


def _contains(model: TfidfModel, candidates: CandidateSet, query: Query) -> np.ndarray:
    """Return which papers contain all words and quotes of the query."""
    contains = np.ones(len(candidates), dtype=bool)
    for term in query.distinct:
        stems = {term}
        if len(query.distinct) == 1 and len(term) >= MIN_STEM_LENGTH:
            stems.update(model.stems_[np.char.startswith(model.stems_, term)].tolist())
        columns = np.array([*map(word_column, stems)])
        contains &= candidates.vectors.columns.with_features(columns).any(axis=0)
    if query.quotes:
        papers = np.flatnonzero(contains)
        contains[papers] = candidates.contains_quotes(query, papers)
    return contains
