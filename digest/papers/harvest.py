"""Harvest a source: fetch its papers and store them batch by batch.

Each batch is stored in one transaction with a cursor. A run that was cut off, by a crash or by the
source, is resumed by the next run of the same day.
"""

import logging
import time
from datetime import UTC, date, timedelta
from email.utils import parseaddr

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from digest.http.client import Refused, Unavailable, Web
from digest.models import Harvest, Paper
from digest.models.locks import Lease
from digest.numbers import counted
from digest.papers import coverage, registry, store
from digest.papers.http_throttle import DatabaseCache, DatabaseGate
from digest.sources.arxiv import calendar
from digest.sources.base import Batch, MalformedFeed, Source
from digest.sources.records import PUBLISHED

logger = logging.getLogger(__name__)


#: A run that stored nothing for longer has died.
MAX_SILENCE = timedelta(minutes=10)
#: The lease until others see a run that starts, and the characters of a lease's name.
START_LEASE, MAX_LEASE_NAME = timedelta(minutes=1), 20
MAX_PROBLEMS = 5
INTERVAL = timedelta(hours=2)
JOURNAL_INTERVAL = timedelta(hours=6)
#: A daily run reaches back over one day. After a longer gap, the days between are owed as well.
MAX_GAP = timedelta(days=1)
ARXIV_INTERVAL = timedelta(minutes=20)
FETCH_INTERVAL = timedelta(minutes=5)  # Between two fetches by hand of a source that fails.
#: Papers of arXiv that only other sources named, and so without categories, are looked up there.
MAX_UNLISTED_AGE = timedelta(days=7)
MAX_UNLISTED = 300  # In one run: three requests.
TRY_SECONDS = 15.0  # For one request, or to wait for the lock, while an operator waits.
OUT_OF_TIME = "Failed: it took too long. The next run continues from there."

State = Harvest.State


def web_for(source: Source, *, retries=4, max_seconds=75.0, sleep=time.sleep) -> Web:
    """Return the HTTP client of a source, whose gate and cache all workers share."""
    queue = getattr(source, "queue", source.name)
    site = f"+{settings.SITE_URL}; " if settings.SITE_URL else ""
    contact = f"mailto:{parseaddr(settings.DEFAULT_FROM_EMAIL)[1]}"  # As Crossref asks for it.
    return Web(
        hosts=source.hosts,
        private_hosts=settings.ALLOWED_PRIVATE_HOSTS,
        gate=DatabaseGate(queue, source.seconds_between, sleep),
        cache=DatabaseCache(),
        user_agent=f"Paperboy/0.1 ({site}{contact})",
        now=timezone.now,
        sleep=sleep,
        retries=retries,
        max_seconds=max_seconds,  # By default, enough for arXiv's pages of 2,000 papers.
    )


def trial_web(source: Source) -> Web:
    """Return the HTTP client of a source for requests on which an operator waits."""
    deadline = time.monotonic() + TRY_SECONDS

    def sleep(seconds):
        if time.monotonic() > deadline:
            raise Unavailable("another request to it is running")
        time.sleep(seconds)

    return web_for(source, retries=1, max_seconds=TRY_SECONDS, sleep=sleep)


def first_batch(source: Source, now) -> Batch:
    """Return the first batch with papers of a daily run, or an empty one, without storing it.

    Of a source with a method `latest`, its latest papers. Raises like `Source.harvest`.
    """
    web, today = trial_web(source), _today(source, now)
    if hasattr(source, "latest"):
        return source.latest(web, today)
    batches = source.harvest(web, today=today, since=None, cursor="")
    for batch in batches:
        if {record.announced_as for record in batch.records} != {PUBLISHED}:
            return batch
    return Batch([])


def due_sources(now) -> list[str]:
    """Return the sources to harvest now.

    arXiv until its newest list is verified, according to its calendar in US Eastern time. Others a
    few times a day.
    """
    return [name for name in registry.enabled() if _is_due(name, now)]


def _is_due(name, now):
    last_run = Harvest.objects.filter(source=name, since=None).first()
    if last_run is None:
        return True
    if name != "arxiv":
        interval = INTERVAL if name in registry.SOURCES else JOURNAL_INTERVAL
        return last_run.touched_at < now - interval
    return last_run.touched_at < now - ARXIV_INTERVAL and not coverage.is_verified(now)


def is_running(name: str, now) -> bool:
    """Return whether this source is being harvested."""
    running = Harvest.objects.filter(source=name, state=State.RUNNING)
    return running.filter(touched_at__gt=now - MAX_SILENCE).exists()


def try_start(name: str, now) -> bool:
    """Return whether this process may harvest the source. Of concurrent calls, one returns True."""
    lease = Lease(f"run {name}"[:MAX_LEASE_NAME], START_LEASE)
    return lease.acquire() and not is_running(name, now)


def reserve_fetch(name: str, now) -> str:
    """Reserve a fetch by an operator. Return why it is refused, or an empty string.

    At most as often as arXiv is asked by the schedule, except after a failed run.
    """
    if is_running(name, now):
        return "is being fetched"
    run = Harvest.objects.filter(source=name, since=None).first()
    if run and run.state == State.DONE and (retry_at := run.touched_at + ARXIV_INTERVAL) > now:
        return f"was fetched at {run.touched_at:%H:%M} UTC; again from {retry_at:%H:%M} UTC"
    if not Lease(f"fetch {name}"[:MAX_LEASE_NAME], FETCH_INTERVAL).acquire():
        return "was requested in the last 5 minutes"
    return ""


def run(source: Source, web: Web, *, since: date | None = None, clock=timezone.now) -> Harvest:
    """Harvest a source, or resume a run that was cut off. Return its row.

    A daily run is followed by what is owed: days without a run, and backfills that were cut off.
    Errors of the source are stored, not raised, except SoftTimeLimitExceeded.
    """
    today = _today(source, clock())
    if since is not None:
        return _fetch(source, web, _begin(source.name, today, since, clock()), clock)
    completed_runs = Harvest.objects.filter(source=source.name, state=State.DONE, since=None)
    last_day = completed_runs.values_list("today", flat=True).first()
    if last_day is not None and today - last_day > MAX_GAP:
        _begin(source.name, today, last_day, clock())  # Owed from here on, whatever happens.
    harvest = _fetch(source, web, _begin(source.name, today, None, clock()), clock)
    backfills = Harvest.objects.filter(source=source.name, since__isnull=False)
    for backfill in backfills.exclude(state=State.DONE).order_by("pk"):
        _fetch(source, web, _resume(backfill, clock()), clock)
    return harvest


def _today(source, now) -> date:
    """Return the source's date."""
    return now.astimezone(calendar.EASTERN if source.name == "arxiv" else UTC).date()


def _fetch(source, web, harvest, clock):
    """Fetch and store the rest of a run, and store its outcome."""
    problems: list[str] = []
    try:
        for batch in _batches(source, web, harvest):
            _store(harvest, batch, problems, clock())
    except (Unavailable, Refused, MalformedFeed) as error:
        _end(harvest, State.FAILED, problems, clock(), f"Failed: {error}.")
        coverage.record_failure(source.name, str(error), clock())
    except SoftTimeLimitExceeded:
        _end(harvest, State.FAILED, problems, clock(), OUT_OF_TIME)
        coverage.record_failure(source.name, OUT_OF_TIME, clock())
        raise
    except Exception as error:
        _end(harvest, State.FAILED, problems, clock(), f"Failed: {type(error).__name__}.")
        logger.exception("Import from %s failed", source.name)
    else:
        _end(harvest, State.DONE, problems, clock(), "")
    return harvest


def _batches(source, web, harvest):
    """Yield the batches from the cursor on. A daily run ends with papers that are looked up."""
    yield from source.harvest(web, today=harvest.today, since=harvest.since, cursor=harvest.cursor)
    if hasattr(source, "look_up") and harvest.since is None:
        try:
            papers = Paper.objects.filter(categories=[], day__gt=harvest.today - MAX_UNLISTED_AGE)
            papers = papers.filter(is_sample=False).exclude(pk__contains=":").order_by("-day", "pk")
            unlisted_ids = list(papers.values_list("pk", flat=True)[:MAX_UNLISTED])
            yield from source.look_up(web, unlisted_ids)
        except (Unavailable, Refused, MalformedFeed) as error:  # The lists are stored.
            yield Batch([], note=f"Papers of other sources could not be looked up: {error}")


def _begin(name, today, since, now):
    """Return a run to resume, or a new one."""
    run = Harvest.objects.filter(source=name, since=since).first()
    if run is not None and run.state != State.DONE and (since or run.today == today):
        return _resume(run, now)
    fields = {"today": today, "started_at": now, "touched_at": now}
    return Harvest.objects.create(source=name, since=since, **fields)


def _resume(harvest, now):
    harvest.state, harvest.touched_at, harvest.ended_at = State.RUNNING, now, None
    harvest.save()
    return harvest


def _store(harvest, batch: Batch, problems, now):
    """Store one batch and the cursor in one transaction."""
    counts = store.StoreCounts()
    with transaction.atomic():
        store.store(batch.records, counts, now=now, source=harvest.source)
        coverage.record(harvest.source, batch, now)
        harvest.records += len(batch.records)
        harvest.new += counts.new
        harvest.changed += counts.changed
        harvest.unreadable += len(batch.errors)
        harvest.cursor, harvest.touched_at = batch.cursor, now
        harvest.save()
    problems += batch.errors
    if batch.note:
        problems.insert(0, batch.note)


def _end(harvest, state, problems, now, outcome):
    sentences = [
        f"{counted(harvest.records, 'record')} read: {counted(harvest.new, 'new paper')}, "
        f"{harvest.changed:,} changed."
    ]
    if harvest.unreadable:
        sentences.append(f"{harvest.unreadable} could not be read.")
    if problems:
        shown_problems = [problem.rstrip(".") for problem in problems[:MAX_PROBLEMS]]
        sentences.append("; ".join(shown_problems) + ".")
    harvest.result = " ".join([*sentences, outcome]).strip()
    harvest.state, harvest.ended_at, harvest.touched_at = state, now, now
    harvest.save()
