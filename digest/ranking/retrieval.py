"""Find the candidates for a topic: the same for all who follow or mute it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import batched, chain, pairwise
from zlib import crc32

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel, bigram_column, find, word_column
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest
from digest.ranking.query import Query, joined, queries_of
from digest.ranking.relevance import ArrayTable, Line, Relevance, relevance
from digest.ranking.relevance_feedback import learn_each, learned_scores, likeness

LINE_BATCH = 128  # Lines that are scored at a time, since the scores are dense.
#: In prose, a single word that more than this share of the papers have is no line.
COMMON = 0.01
MAX_PAPERS = 5_000  # Of a topic: a category may have more.
LIFTABLE = 2.0  # So far below the cut, feedback may lift papers above it.
#: The mean latent cosine from which on examples are on one subject. With the links of one, or of
#: two, of the judged profiles, .1 finds .56 and .40 of the papers, .15 .56 and .62, .2 .58 and .72;
#: with 2.1, 2.6 and 3.1 false alarms for one.
ONE_SUBJECT = 0.15
MUTE_MARGIN = 1.6  # So far above the cut, papers like a muted one are hidden.
NO_QUERY = -1  # The query of papers that no query found: a category, or a trend.
#: The margins of papers that match for certain: by an author; at least, of a category or trending.
AUTHOR_MARGIN, CATEGORY_MARGIN = 6.0, 1.0

#: A single muted word mutes words that begin like it as well: "molecule" mutes "molecular". Only
#: stems of this length or longer, so that "graph" does not mute "graphene".
MIN_STEM_LENGTH = 6


@dataclass(frozen=True)
class Retrieved(ArrayTable):
    """The papers for a topic, best first, in three arrays of one length.

    `margins`: how far each is above the cut, in log-odds (negative: a near miss). `queries`: the
    number of the query that found it.
    """

    papers: np.ndarray
    margins: np.ndarray
    queries: np.ndarray


NOTHING = Retrieved(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
NOT_RELEVANT = Relevance(NOTHING.papers, NOTHING.margins)


def retrieve(
    model: TfidfModel,
    candidates: CandidateSet,
    interests: Sequence[Interest],
    parameters: Parameters,
) -> list[Retrieved]:
    """Return the papers for each interest, regardless of its weight. Cached in the candidates."""
    keys = {interest: interest.key for interest in interests}
    cache = candidates.cached("found", parameters)
    # Looked up once: another thread may empty the cache.
    retrieved = {key: cached for key in keys.values() if (cached := cache.get(key)) is not None}
    missing = {key: interest for interest, key in keys.items() if key not in retrieved}
    lines = {key: lines_of(model, interest) for key, interest in missing.items()}
    distinct_lines = dict.fromkeys(filter(None, chain.from_iterable(lines.values())))
    relevances: dict[Line | None, Relevance] = {None: NOT_RELEVANT}
    cut_log_odds = parameters.cut_log_odds
    floor = cut_log_odds - max(parameters.near_margin, LIFTABLE)
    for batch in batched(distinct_lines, LINE_BATCH):
        relevances |= zip(batch, relevance(model, candidates, batch, floor), strict=True)
    with_examples = [interest for interest in missing.values() if interest.examples]
    likes: dict[Interest, Retrieved] = {}
    for group in batched(with_examples, LINE_BATCH // 2):
        likes |= zip(group, _like(model, candidates, group, cut_log_odds, floor), strict=True)
    for key, interest in missing.items():
        if interest.examples:
            hits = likes[interest]
        elif interest.authors:
            hits = _by_authors(candidates, interest.authors)
        elif interest.query.strip():
            scored = [relevances[line] for line in lines[key]]
            hits = _merge(candidates, scored, cut_log_odds)
        else:
            hits = _of_categories(candidates, interest.categories)
        if interest.categories:
            hits = hits[np.isin(hits.papers, [*candidates.in_categories(interest.categories)])]
        retrieved[key] = cache[key] = hits
    return [retrieved[keys[interest]] for interest in interests]


def lines_of(model: TfidfModel, interest: Interest) -> Sequence[Line | None]:
    """Return the line of each query of an interest, or None for a phrase that says little."""
    queries = queries_of(interest.whole)
    telling = dict.fromkeys(query.text for query in queries if is_telling(model, query))
    texts = list(telling) or interest.whole
    whole = joined(texts) if len(texts) > 1 else None
    lines = [Line(query, whole, interest.is_prose) for query in interest.queries]
    if not interest.is_prose:
        return lines
    telling_lines = [line if is_telling(model, line.query) else None for line in lines]
    return telling_lines if any(telling_lines) else lines


def is_telling(model: TfidfModel, query: Query) -> bool:
    """Return whether a phrase is on a subject of papers: they have two of its words side by side,
    or its only word is in titles, but in few papers.
    """
    if len(query.distinct) > 1:
        columns = np.array([bigram_column(*pair) for pair in pairwise(query.terms)])
        return bool(find(model.columns_, columns)[1].any())
    count = model.documents_.shape[0]
    (idf,) = model.idf(np.array([word_column(query.distinct[0])]))
    is_rare = idf >= np.log((1 + count) / (1 + COMMON * count)) + 1
    return bool(is_rare and model.are_subjects(query.distinct)[0])


def _merge(candidates: CandidateSet, scored: Sequence[Relevance], cut_log_odds: float) -> Retrieved:
    """Return the papers that any query found, each with its best query."""
    if not scored:
        return NOTHING
    columns = zip(*(matches.columns() for matches in scored), strict=True)
    papers, log_odds = map(np.concatenate, columns)
    numbers = np.repeat(np.arange(len(scored)), [*map(len, scored)])
    order = np.lexsort((numbers, -log_odds, papers))
    best = order[np.flatnonzero(np.diff(papers[order], prepend=-1))]
    return _best_first(candidates, papers[best], log_odds[best] - cut_log_odds, numbers[best])


def _like(
    model: TfidfModel,
    candidates: CandidateSet,
    interests: Sequence[Interest],
    cut_log_odds: float,
    floor: float,
) -> Iterator[Retrieved]:
    """Yield the papers like the examples of each interest, each with the number of the nearest one.

    Examples of one subject count together. Papers with log-odds below `floor` are left out.
    """
    examples = [example for interest in interests for example in interest.examples]
    likes = model.read([example.text for example in examples])
    ends = np.cumsum([len(interest.examples) for interest in interests])
    rows_of_interests = np.split(np.arange(len(examples)), ends[:-1])
    rows_of_subjects: list[np.ndarray] = []  # The rows of each subject's examples.
    subjects = []  # For each interest, the numbers of its subjects.
    for rows in rows_of_interests:
        numbers = _subjects(likes.directions[rows])
        rows_by_subject = [rows[numbers == number] for number in np.unique(numbers)]
        subjects.append(np.arange(len(rows_by_subject)) + len(rows_of_subjects))
        rows_of_subjects += rows_by_subject
    models = learn_each(model, likes, rows_of_subjects, [example.embedding for example in examples])
    log_odds = likeness(learned_scores(model, candidates.vectors, models), candidates, models)
    similarity = candidates.vectors.similarity(likes)
    for interest, rows, subject_rows in zip(interests, rows_of_interests, subjects, strict=True):
        best = log_odds[subject_rows].max(axis=0)
        best[np.isin(candidates.ids, [example.id for example in interest.examples])] = -np.inf
        papers = np.flatnonzero(best >= floor)
        nearest = similarity[rows][:, papers].argmax(axis=0)
        yield _best_first(candidates, papers, best[papers] - cut_log_odds, nearest)


def _subjects(directions: np.ndarray) -> np.ndarray:
    """Return a number for each example: the same for those on one subject (average linkage)."""
    if len(directions) < 2:
        return np.zeros(len(directions), dtype=np.int64)
    distances = squareform(1 - directions @ directions.T, checks=False)
    return fcluster(linkage(np.maximum(distances, 0), "average"), 1 - ONE_SUBJECT, "distance")


def _by_authors(candidates: CandidateSet, authors: Sequence[str]) -> Retrieved:
    """Return the papers by these authors, each with the number of the first of them.

    All are equally sure: followers of an author want each paper.
    """
    number_by_paper: dict[int, int] = {}
    for number, name in enumerate(authors):
        for paper in candidates.by_author(name).tolist():
            number_by_paper.setdefault(paper, number)
    papers, numbers = np.array([*number_by_paper.items()], np.int64).reshape(-1, 2).T
    return _best_first(candidates, papers, np.full(len(papers), AUTHOR_MARGIN), numbers)


def _of_categories(candidates: CandidateSet, categories: Sequence[str]) -> Retrieved:
    """Return the papers of the categories, those first that have one as their primary category,
    trend, or are new.
    """
    is_primary = candidates.in_categories(categories)
    papers = np.array([*is_primary], dtype=np.int64)
    freshness = 1 / (1 + np.maximum(candidates.ages[papers], 0))
    draws = np.array([crc32(candidates.ids[paper].encode()) / 2**32 for paper in is_primary])
    shares = 0.5 * np.array([*is_primary.values()]) + 0.3 * candidates.trends[papers]
    margins = CATEGORY_MARGIN + 0.2 * (shares + 0.15 * freshness + 0.05 * draws)
    return _best_first(candidates, papers, margins, np.full(len(papers), NO_QUERY))


def trending(candidates: CandidateSet) -> Retrieved:
    """Return the trending papers, or the newest if no paper has votes."""
    if candidates.trends.any():
        papers = np.flatnonzero(candidates.trends)
        margins = CATEGORY_MARGIN + candidates.trends[papers]
    else:
        papers = np.array(candidates.newest, dtype=np.int64)
        margins = CATEGORY_MARGIN + 1 / np.arange(2, len(papers) + 2)  # Only their order counts.
    return _best_first(candidates, papers, margins, np.full(len(papers), NO_QUERY))


def _best_first(
    candidates: CandidateSet, papers: np.ndarray, margins: np.ndarray, numbers: np.ndarray
) -> Retrieved:
    order = np.lexsort((candidates.rank[papers], -margins))[:MAX_PAPERS]
    return Retrieved(papers[order], margins[order], numbers[order])


# ---- Mutes


def muted(model: TfidfModel, candidates: CandidateSet, interest: Interest) -> np.ndarray:
    """Return which papers a muted interest hides, (n_papers,). Mute wins over follow.

    They contain all words of one line of its text, have one of its authors, or are like its
    examples, and are in its categories.
    """
    cache = candidates.cached("muted")
    is_muted = cache.get(interest.key)
    if is_muted is None:
        in_category = np.full(len(candidates), not interest.categories)
        in_category[list(candidates.in_categories(interest.categories))] = True
        is_whole = bool(interest.categories) and not (interest.query.strip() or interest.authors)
        is_muted = np.full(len(candidates), is_whole)
        for name in interest.authors:
            is_muted[candidates.by_author(name)] = True
        if interest.examples:
            is_muted |= np.isin(candidates.ids, [example.id for example in interest.examples])
            log_odds = Parameters().cut_log_odds + MUTE_MARGIN
            (similar,) = _like(model, candidates, [interest], log_odds, log_odds)
            is_muted[similar.papers] = True
        lines = [interest.query] if interest.is_prose else interest.lines
        for query in queries_of(lines, limit=10**9):  # All: mute wins.
            is_muted |= _contains(model, candidates, query)
        is_muted = cache[interest.key] = is_muted & in_category
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
