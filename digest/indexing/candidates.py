"""The papers that may go into digests, in the order in which they came in. Kept while they stay.

A paper comes in when a pass of planning first sees it, whatever day it is dated and whenever it was
stored: what a pass did not see, because it came late or was committed late, is new in the next.

There are two kinds of windows, both in the order of coming in:

- for the next digest of those who had one: what came in on the last days;
- for a first digest, and for pages, which show what past digests would have been: what is dated
  within the last days, as if it had come in as its day began.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
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
from digest.ranking.model import TfidfModel, counted, stems_of
from digest.sources.arxiv.taxonomy import merged

A_DAY = timedelta(days=1)
#: A subscriber's last digest may be so many days ago without a paper being lost to them. There are
#: few lengths, so that many subscribers share a set of papers.
LONGER = (14, 30)
BACK = 7  # Pages show the digests of so many days before today.
#: A paper that took off may have a second chance until it is so old.
SECOND_DAYS = 60
EMBEDDED = 20  # While vectors are computed, a window is made anew so many times.
BATCH = 1_000  # So many papers are written down at a time.
RECENT = 7  # What it gained in so many days is what it took off by.
LEAST_GAIN = 10
PLENTY = 30  # So many are enough in any company: among few papers, none is ahead of the others.
TAKEN_OFF = 0.5  # So far ahead of its field and age: see CandidateSet.trends.


@dataclass(frozen=True, eq=False)
class Window:
    """The papers of some days, and the model that reads them.

    Attributes
    ----------
    day : date
        Today, in UTC.
    rows : QuerySet
        The papers, for other queries to join.
    moments : ndarray (n_papers,)
        When each came in, in POSIX seconds, rising. Infinite where no pass has seen it.
    places : dict
        The position of each paper, by its id.
    """

    day: date
    rows: QuerySet[Paper]
    model: TfidfModel
    papers: CandidateSet
    moments: np.ndarray
    places: dict[str, int]

    def since(self, moment: datetime) -> int:
        """Return the position of the first paper that came in after this moment."""
        return int(np.searchsorted(self.moments, moment.timestamp(), side="right"))

    def begin(self, day: date) -> int:
        """Return the position of the first paper that came in on this day or later."""
        return int(np.searchsorted(self.moments, start_of(day).timestamp()))

    def places_of(self, papers: Iterable[str]) -> set[int]:
        """Return where these papers stand, also those that stand here under another id."""
        aliases = self.papers.aliases
        works = {same for one in papers for same in (one, *aliases.get(one, ()))}
        return {self.places[one] for one in works if one in self.places}

    def after(self, day: date) -> "Window":
        """Return it without the papers that are dated on this day or before."""
        cache = self.papers.cached("after")
        if day not in cache:
            old = np.flatnonzero(self.papers.ages >= (self.day - day).days)
            withdrawn = self.papers.withdrawn.union(self.papers.ids[place] for place in old)
            cache[day] = replace(self, papers=replace(self.papers, withdrawn=withdrawn))
        return cache[day]


def start_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def note_arrivals(day: date, now) -> None:
    """Write down that the papers came in that no pass of planning has seen before this one.

    Those whose rows others hold are left to the next pass: until then they are new to all.
    """
    first = day - timedelta(days=_lengths()[-1])
    new = Paper.objects.filter(came_in_at=None, day__range=(first, day + A_DAY)).order_by("pk")
    while True:
        with transaction.atomic():
            free = new.select_for_update(skip_locked=True, no_key=True)
            some = list(free.values_list("pk", flat=True)[:BATCH])
            Paper.objects.filter(pk__in=some).update(came_in_at=now)
        if len(some) < BATCH:
            return


# ---- The windows


def days_back(day: date, last: datetime | None) -> int:
    """Return of how many days before this one papers are needed for those whose last digest was
    planned at this moment: 0 for a first digest (None).
    """
    if last is None:
        return 0
    needed = (day - last.date()).days
    return next((length for length in _lengths() if length >= needed), _lengths()[-1])


def for_digests(model: TfidfModel, day: date, days: int) -> Window:
    """Return what may go into digests that need papers of so many days (see days_back).

    Asks four queries at most, and those of texts that the index doesn't have.
    """
    if not days:
        return announced(model, day)
    first = start_of(day - timedelta(days=days))
    # Of a past day, without what came in since.
    came_in = Q(came_in_at__range=(first, first + timedelta(days=days + 2))) | Q(came_in_at=None)
    dated = day - timedelta(days=_lengths()[-1]), day + A_DAY
    rows = Paper.objects.filter(came_in, day__range=dated)
    return _window(f"arrived in {days} days", model, day, days, rows, _came_in)


def announced(model: TfidfModel, day: date, back: int = 0) -> Window:
    """Return what is dated within NEW_DAYS of this day, or of one of the days `back`."""
    days = settings.NEW_DAYS + back
    rows = Paper.objects.new_on(day, back)
    return _window(f"announced in {days} days", model, day, days, rows, _began)


def for_pages(day: date) -> Window:
    """Return what pages rank. Fits nothing: raises NotFitted where no model is in use."""
    return announced(model_store.in_use(), day, BACK)


def forget_longer() -> None:
    """Let go of the papers of more days than usual, which take some hundred megabytes."""
    for days in _lengths()[1:]:
        _last.pop(f"arrived in {days} days", None)


def _lengths():
    return [settings.NEW_DAYS, *(days for days in LONGER if days > settings.NEW_DAYS)]


def _began(row):
    return start_of(row["day"]).timestamp()


def _came_in(row):
    return row["came_in_at"].timestamp() if row["came_in_at"] else np.inf


# ---- Second chances


def second_chances(window: Window) -> Window:
    """Return the papers that took off when they were new no more, with the model of `window`.

    Their popularity is what they gained lately. Asks two queries at most.
    """
    first = window.day - timedelta(days=SECOND_DAYS)
    seen = Observation.objects.filter(
        paper__day__range=(first, window.day - timedelta(days=settings.NEW_DAYS)),
        day__range=(first, window.day),
    )
    state = seen.aggregate(count=Count("pk"), votes=Sum("upvotes"), last=Max("day"))
    key = (window.model, window.day, *state.values())
    return _kept("second", key, lambda: _taken_off(window, seen))


def _taken_off(window, seen):
    # Of a paper that wasn't observed before, nobody knows what it gained.
    before, after = {}, {}
    recently = window.day - timedelta(days=RECENT)
    for paper, on, votes in seen.order_by("day").values_list("paper", "day", "upvotes"):
        if votes is not None:
            (after if on > recently else before)[paper] = votes
    gains = {paper: votes - before[paper] for paper, votes in after.items() if paper in before}
    gains = {paper: gain for paper, gain in gains.items() if gain >= max(before[paper], 1)}

    def gained(papers):
        rows = Paper.objects.filter(pk__in=papers)
        return _make(window.model, window.day, SECOND_DAYS, rows, _began, gains)

    found = gained(list(gains))
    return gained(
        [
            paper
            for paper, trend in zip(found.papers.ids, found.papers.trends, strict=True)
            if gains[paper] >= LEAST_GAIN and (trend >= TAKEN_OFF or gains[paper] >= PLENTY)
        ]
    )


# ---- Making and keeping

_last: dict[str, tuple[tuple, Window]] = {}
_making: defaultdict[str, Lock] = defaultdict(Lock)


def _window(name, model, day, days, rows, moment) -> Window:
    told = Count("pk"), Count("embedding"), Max("changed_at"), Max("came_in_at")
    count, embedded, changed, came_in = rows.aggregate(*told).values()
    arrival = None if moment is _began else came_in
    key = model, day, count, changed, arrival, embedded * EMBEDDED // max(count, 1)
    return _kept(name, key, lambda: _make(model, day, days, rows, moment))


def _kept(name: str, key: tuple, make: Callable[[], Window]) -> Window:
    """Return what has this name, made anew where it isn't what was made last.

    A key holds what it was made from, not its `id`, which another has as soon as that is gone.
    """
    with _making[name]:  # Of several threads, one makes it.
        last = _last.get(name)
        if last is None or last[0] != key:
            last = _last[name] = (key, make())
        return last[1]


def _make(model, day, days, papers, moment, gains=None):
    told = "pk", "day", "came_in_at", "upvotes", "categories", "is_withdrawn"
    rows = sorted(papers.order_by().values(*told), key=lambda row: (moment(row), row["pk"]))
    ids = [row["pk"] for row in rows]
    votes = gains or {row["pk"]: row["upvotes"] or 0 for row in rows}
    vectors = embeddings.vectors_of(ids)
    candidates = CandidateSet(
        ids=ids,
        vectors=model.vectors(counts_of(ids)),
        ages=np.array([(day - row["day"]).days for row in rows], dtype=np.int64),
        upvotes=np.array([votes[row["pk"]] for row in rows], dtype=np.int64),
        categories=[tuple(merged(row["categories"])) for row in rows],
        first_day=(day - timedelta(days=days)).toordinal(),
        texts_of=index_store.texts_of,
        authors_of=index_store.authors_of,
        withdrawn=frozenset(row["pk"] for row in rows if row["is_withdrawn"]),
        aliases=aliases_of(papers),
        embeddings=vectors if vectors.any() else None,
        encode=embeddings.encode_queries,
    )
    moments = np.array([*map(moment, rows)], dtype=float)
    places = {paper: place for place, paper in enumerate(ids)}
    return Window(day, papers, model, candidates, moments, places)


def counts_of(ids: list[str]) -> sparse.csr_matrix:
    """Return how often papers say each feature, (n_papers, WIDTH). The texts of those are read that
    the index doesn't have, or that have changed since it was written.
    """
    index, read = index_store.current(), np.ones(len(ids), dtype=bool)
    if index is not None:
        written = ArchiveFile.objects.order_by("-pk").values("changed_at")[:1]
        changed = Paper.objects.filter(changed_at__gt=Subquery(written))
        changed = set(changed.values_list("pk", flat=True))
        known, is_known = index.counts_of(ids)
        read = ~is_known | np.array([paper in changed for paper in ids], dtype=bool)
    places = np.flatnonzero(read).tolist()
    texts = index_store.texts_of([ids[place] for place in places])
    counts = counted(map(stems_of, texts))
    if index is None:
        return counts
    together = sparse.vstack([known[~read], counts], format="csr")
    return together[np.argsort(np.argsort(read, kind="stable"), kind="stable")]
