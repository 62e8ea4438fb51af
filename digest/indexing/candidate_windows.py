"""The papers that may go into digests, in the order in which they came in. Cached.

A paper comes in when a pass of planning first sees it, whatever its date is and whenever it was
stored: a paper that was stored or committed late is new in the next pass.

There are two kinds of windows, both in the order of coming in:

- for subscribers who had a digest: papers that came in on the last days;
- for first digests, and for pages with previews of past digests: papers that are dated within the
  last days, as if each had come in when its day began.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from threading import Lock

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet, Subquery, Sum
from scipy import sparse

from digest.indexing import embeddings, index_store, model_store
from digest.models import ArchiveFile, Observation, Paper
from digest.papers.duplicates import aliases_of
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import BACKGROUND, TfidfModel, counted, stems_of
from digest.sources.arxiv.taxonomy import canonical_names

ONE_DAY = timedelta(days=1)
#: Days since a subscriber's last digest that a window may have. There are few lengths, so that many
#: subscribers share a window.
LONG_LOOKBACKS = (14, 30)
#: For monthly digests: 35 days lie between the first Mondays of two months, and two more for time
#: zones and late digests.
MONTHLY_LOOKBACK = 37
PREVIEW_DAYS = 7  # Days before today whose digests pages preview.
MAX_PAPERS = 30_000  # Of a window, the newest: each takes about 18 kB of memory.
SECOND_DAYS = 60  # The age until which a paper may have a second chance.
EMBEDDING_STEPS = 20  # How often a window is renewed while its embeddings are computed.
BATCH = 1_000  # Papers that are updated at a time.
GAIN_DAYS = 7  # Votes of the last days count for a second chance.
MIN_GAIN = 10
LARGE_GAIN = 30  # Enough without a trend: among few papers, none is ahead of the others.
MIN_TREND = 0.5  # Of a paper with a smaller gain: see CandidateSet.trends.


@dataclass(frozen=True, eq=False)
class Window:
    """The papers of some days, and the model that reads them.

    Attributes
    ----------
    day : date
        Today, in UTC.
    rows : QuerySet
        The papers, for other queries to join.
    arrival_times : ndarray (n_papers,)
        When each came in, in POSIX seconds, ascending. Infinite before a pass has seen it.
    """

    day: date
    rows: QuerySet[Paper]
    model: TfidfModel
    papers: CandidateSet
    arrival_times: np.ndarray

    def first_after(self, moment: datetime | None) -> int:
        """Return the position of the first paper that came in after this moment. 0 for None."""
        if moment is None:
            return 0
        return int(np.searchsorted(self.arrival_times, moment.timestamp(), side="right"))

    def first_on(self, day: date) -> int:
        """Return the position of the first paper that came in on this day or later."""
        return int(np.searchsorted(self.arrival_times, start_of(day).timestamp()))

    def after(self, day: date | None) -> "Window":
        """Return the window without papers that are dated on this day or before, if any."""
        if day is None:
            return self
        cache = self.papers.cached("after")
        if day not in cache:
            old_places = np.flatnonzero(self.papers.ages >= (self.day - day).days)
            withdrawn = self.papers.withdrawn.union(self.papers.ids[place] for place in old_places)
            cache[day] = replace(self, papers=replace(self.papers, withdrawn=withdrawn))
        return cache[day]


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def record_arrivals(day: date, now) -> None:
    """Store that the papers came in now that no earlier pass of planning has seen.

    Locked rows are left to the next pass. Until then, their papers are new to all.
    """
    dates = day - timedelta(days=_lookbacks()[-1]), day + ONE_DAY
    new_papers = Paper.objects.filter(came_in_at=None, day__range=dates).order_by("pk")
    while True:
        with transaction.atomic():
            unlocked_papers = new_papers.select_for_update(skip_locked=True, no_key=True)
            batch = list(unlocked_papers.values_list("pk", flat=True)[:BATCH])
            Paper.objects.filter(pk__in=batch).update(came_in_at=now)
        if len(batch) < BATCH:
            return


# ---- The windows


def lookback_days(day: date, last: datetime | None, *, is_monthly: bool = False) -> int:
    """Return how many days before `day` the window must have for a subscriber whose last digest
    was planned at this moment. 0 for a first digest (None).
    """
    if last is None:
        return 0
    needed = (day - last.date()).days
    lengths = [*_lookbacks(), *([MONTHLY_LOOKBACK] if is_monthly else [])]
    return next((length for length in lengths if length >= needed), max(lengths))


def for_digests(model: TfidfModel, day: date, days: int) -> Window:
    """Return the window for digests that need papers of so many days (see lookback_days).

    Runs four queries at most, and those for texts that the index doesn't have.
    """
    if not days:
        return announced(model, day)
    begin = start_of(day - timedelta(days=days))
    # For a past day, without papers that came in since.
    came_in = Q(came_in_at__range=(begin, begin + timedelta(days=days + 2))) | Q(came_in_at=None)
    dates = day - timedelta(days=max(days, _lookbacks()[-1])), day + ONE_DAY
    rows = Paper.objects.filter(came_in, day__range=dates)
    return _window(f"arrived in {days} days", model, day, days, rows, _came_in_at)


def announced(model: TfidfModel, day: date, back: int = 0) -> Window:
    """Return the papers dated within NEW_DAYS of this day, or of one of the days `back`."""
    days = settings.NEW_DAYS + back
    rows = Paper.objects.new_on(day, back)
    return _window(f"announced in {days} days", model, day, days, rows, _announced_at)


def for_pages(day: date) -> Window:
    """Return the window that pages rank. Raises NotFitted without a model."""
    return announced(model_store.in_use(), day, PREVIEW_DAYS)


def drop_long_windows() -> None:
    """Drop windows of more days than usual, which take some hundred megabytes."""
    for days in (*_lookbacks()[1:], MONTHLY_LOOKBACK):
        _windows.pop(f"arrived in {days} days", None)


def _lookbacks():
    return [settings.NEW_DAYS, *(days for days in LONG_LOOKBACKS if days > settings.NEW_DAYS)]


def _announced_at(row):
    return start_of(row["day"]).timestamp()


def _came_in_at(row):
    return row["came_in_at"].timestamp() if row["came_in_at"] else np.inf


# ---- Second chances


def second_chances(window: Window) -> Window:
    """Return the papers that gained votes when they were no longer new, with the model of `window`.

    Their popularity is the recent gain. Runs two queries at most.
    """
    begin = window.day - timedelta(days=SECOND_DAYS)
    dates = begin, window.day - timedelta(days=settings.NEW_DAYS)
    observations = Observation.objects.filter(paper__day__range=dates)
    observations = observations.filter(day__range=(begin, window.day))
    state = observations.aggregate(count=Count("pk"), votes=Sum("upvotes"), last=Max("day"))
    key = (window.model, window.day, *state.values())
    return _cached("second", key, lambda: _find_second_chances(window, observations))


def _find_second_chances(window, observations):
    # The gain of a paper that wasn't observed before is unknown.
    old_votes, new_votes = {}, {}
    recent_from = window.day - timedelta(days=GAIN_DAYS)
    rows = observations.order_by("day").values_list("paper", "day", "upvotes")
    for pk, day, votes in rows:
        if votes is not None:
            (new_votes if day > recent_from else old_votes)[pk] = votes
    gains = {pk: votes - old_votes[pk] for pk, votes in new_votes.items() if pk in old_votes}
    gains = {pk: gain for pk, gain in gains.items() if gain >= max(old_votes[pk], 1)}

    def gained(papers):
        rows = Paper.objects.filter(pk__in=papers)
        return _make_window(window.model, window.day, SECOND_DAYS, rows, _announced_at, gains)

    candidates = gained(list(gains)).papers
    trends = dict(zip(candidates.ids, candidates.trends, strict=True))
    popular = [pk for pk in trends if gains[pk] >= MIN_GAIN]
    return gained([pk for pk in popular if trends[pk] >= MIN_TREND or gains[pk] >= LARGE_GAIN])


# ---- Making and caching

_windows: dict[str, tuple[tuple, Window]] = {}
_locks: defaultdict[str, Lock] = defaultdict(Lock)


def _window(name, model, day, days, rows, arrival_of) -> Window:
    state = Count("pk"), Count("embedding"), Max("changed_at"), Max("came_in_at")
    count, embedding_count, changed_at, came_in_at = rows.aggregate(*state).values()
    arrival = None if arrival_of is _announced_at else came_in_at
    key = model, day, count, changed_at, arrival, embedding_count * EMBEDDING_STEPS // max(count, 1)
    return _cached(name, key, lambda: _make_window(model, day, days, rows, arrival_of))


def _cached(name: str, key: tuple, make: Callable[[], Window]) -> Window:
    """Return the cached window with this name, or make it if its key has changed.

    A key contains objects rather than their `id`, which is reused when an object is deleted.
    """
    with _locks[name]:  # Other threads wait.
        cached = _windows.get(name)
        if cached is None or cached[0] != key:
            cached = _windows[name] = (key, make())
        return cached[1]


def _make_window(model, day, days, papers, arrival_of, gains=None):
    fields = "pk", "day", "came_in_at", "upvotes", "categories", "is_withdrawn"
    rows = sorted(papers.order_by().values(*fields), key=lambda row: (arrival_of(row), row["pk"]))
    rows = rows[-MAX_PAPERS:]
    ids = [row["pk"] for row in rows]
    votes = gains or {row["pk"]: row["upvotes"] or 0 for row in rows}
    vectors, begin = embeddings.vectors_of(ids), day - timedelta(days=days)
    older_papers = Paper.objects.filter(day__lt=begin).order_by("-day", "pk")
    older_ids = older_papers.values_list("pk", flat=True)
    older_vectors = embeddings.vectors_of(list(older_ids[:BACKGROUND]) if vectors.any() else [])
    candidates = CandidateSet(
        ids=ids,
        vectors=model.vectors(counts_of(ids)),
        ages=np.array([(day - row["day"]).days for row in rows], dtype=np.int64),
        upvotes=np.array([votes[row["pk"]] for row in rows], dtype=np.int64),
        categories=[tuple(canonical_names(row["categories"])) for row in rows],
        first_day=begin.toordinal(),
        texts_of=index_store.texts_of,
        authors_of=index_store.authors_of,
        affiliations_of=index_store.affiliations_of,
        withdrawn=frozenset(row["pk"] for row in rows if row["is_withdrawn"]),
        aliases=aliases_of(papers),
        embeddings=vectors if vectors.any() else None,
        older=older_vectors[older_vectors.any(axis=1)],
        encode=embeddings.encode_queries,
    )
    return Window(day, papers, model, candidates, np.array([*map(arrival_of, rows)], dtype=float))


def counts_of(ids: list[str]) -> sparse.csr_matrix:
    """Count the features of papers, (n_papers, WIDTH).

    Reads the texts of papers that the index doesn't have or that have changed since.
    """
    index, must_read = index_store.current(), np.ones(len(ids), dtype=bool)
    if index is not None:
        indexed_until = ArchiveFile.objects.order_by("-pk").values("changed_at")[:1]
        changed_papers = Paper.objects.filter(changed_at__gt=Subquery(indexed_until))
        changed_ids = set(changed_papers.values_list("pk", flat=True))
        indexed_counts, is_indexed = index.counts_of(ids)
        must_read = ~is_indexed | np.array([paper in changed_ids for paper in ids], dtype=bool)
    positions = np.flatnonzero(must_read).tolist()
    texts = index_store.texts_of([ids[position] for position in positions])
    new_counts = counted(map(stems_of, texts))
    if index is None:
        return new_counts
    counts = sparse.vstack([indexed_counts[~must_read], new_counts], format="csr")
    return counts[np.argsort(np.argsort(must_read, kind="stable"), kind="stable")]
