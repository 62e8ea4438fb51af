"""One run of one source: fetched, stored batch by batch, and written down.

Each batch is stored in one transaction with the cursor from which the run goes on. A run that was
cut off, by a crash or by the source, is gone on with by the next one of the same day.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, timedelta
from functools import partial

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from digest import coverage, storing
from digest.counts import counted
from digest.leases import DatabaseCache, DatabaseGate, Lease
from digest.models import Harvest, Paper
from digest.sources import calendar, taxonomy
from digest.sources.arxiv import ArXiv
from digest.sources.biorxiv import BioRxiv
from digest.sources.huggingface import HuggingFace
from digest.sources.plug import Batch, LooksUp, MalformedFeed, SharesHosts, Source
from digest.sources.web import Refused, Unavailable, Web
from subscriptions import mail

logger = logging.getLogger(__name__)


def _arxiv():
    return ArXiv(tuple(settings.ARXIV_CATEGORIES or taxonomy.ARCHIVES))


SOURCES: dict[str, Callable[[], Source]] = {
    "arxiv": _arxiv,
    "huggingface": HuggingFace,
    "biorxiv": partial(BioRxiv, "biorxiv"),
    "medrxiv": partial(BioRxiv, "medrxiv"),
}
#: A run that stored nothing for so long is taken for dead.
ALIVE = timedelta(minutes=10)
#: So long a run may take to be seen as one, and so many characters has the name of a turn.
BEGINNING, TURN = timedelta(minutes=1), 20
SHOWN_BAD = 5
EVERY = timedelta(hours=2)
#: A daily run reaches back over one day. After more, what lies between is fetched as well.
DAYS_OFF = timedelta(days=1)
AGAIN = timedelta(minutes=20)
#: So long arXiv is asked for a paper of its own that only others told of, with no categories.
UNLISTED = timedelta(days=7)
MOST_UNLISTED = 300  # So many in one run: three requests.
OUT_OF_TIME = "It took too long; the next run goes on from there."

State = Harvest.State


def web_for(source: Source) -> Web:
    """Return the way to the source that all workers share: its gate and its answers."""
    queue = source.queue if isinstance(source, SharesHosts) else source.name
    return Web(
        hosts=source.hosts,
        gate=DatabaseGate(queue, source.seconds_between, time.sleep),
        cache=DatabaseCache(),
        user_agent=f"Paperboy/0.1 (+{settings.SITE_URL}; {mail.from_address().addr_spec})",
        now=timezone.now,
        sleep=time.sleep,
        max_seconds=75.0,  # arXiv's lists come in pages of 2,000 papers.
    )


def due(now) -> list[str]:
    """Return the sources that should be asked now.

    arXiv: until the newest list is here whole. Its lists come out by US Eastern time, so this looks
    at its calendar, and needs no schedule that knows of clock changes. Others: a few times a day.
    """
    return [name for name in settings.SOURCES if _is_due(name, now)]


def _is_due(name, now):
    last = Harvest.objects.filter(source=name, since=None).first()
    if last is None:
        return True
    if name != "arxiv":
        return last.touched_at < now - EVERY
    return last.touched_at < now - AGAIN and not coverage.is_verified(now)


def is_running(name: str, now) -> bool:
    """Return whether somebody is at this source."""
    return Harvest.objects.filter(
        source=name, state=State.RUNNING, touched_at__gt=now - ALIVE
    ).exists()


def may_begin(name: str, now) -> bool:
    """Return whether nobody is at this source. Of several who ask at once, as two beats let them,
    one hears yes: a run is seen by others only when it has begun.
    """
    turn = Lease(f"run {name}"[:TURN], BEGINNING)
    return turn.take() and not is_running(name, now)


def run(source: Source, web: Web, *, since: date | None = None, clock=timezone.now) -> Harvest:
    """Fetch and store what the source tells; go on with a run that was cut off. Return its row.

    A daily run is followed by what is owed: the days on which nothing ran, and backfills that were
    cut off. What goes wrong with the source is written down, not raised: other sources go on. But
    for SoftTimeLimitExceeded, by which a task has to end.
    """
    zone = calendar.EASTERN if source.name == "arxiv" else UTC
    today = clock().astimezone(zone).date()  # As the source calls it.
    if since is not None:
        return _fetch(source, web, _begin(source.name, today, since, clock()), clock)
    done = Harvest.objects.filter(source=source.name, state=State.DONE, since=None)
    last = done.values_list("today", flat=True).first()
    if last is not None and today - last > DAYS_OFF:
        _begin(source.name, today, last, clock())  # Owed from here on, whatever happens.
    harvest = _fetch(source, web, _begin(source.name, today, None, clock()), clock)
    owed = Harvest.objects.filter(source=source.name, since__isnull=False)
    for row in owed.exclude(state=State.DONE).order_by("pk"):
        _fetch(source, web, _go_on(row, clock()), clock)
    return harvest


def _fetch(source, web, harvest, clock):
    """Fetch from where the run is to its end, and write down how it went."""
    problems: list[str] = []
    try:
        for batch in _batches(source, web, harvest):
            _take(harvest, batch, problems, clock())
    except (Unavailable, Refused, MalformedFeed) as error:
        _end(harvest, State.FAILED, problems, clock(), f"It broke off: {error}.")
        coverage.note_failure(source.name, str(error), clock())
    except SoftTimeLimitExceeded:  # There is no time for what else is owed.
        _end(harvest, State.FAILED, problems, clock(), OUT_OF_TIME)
        coverage.note_failure(source.name, OUT_OF_TIME, clock())
        raise
    except Exception as error:
        _end(harvest, State.FAILED, problems, clock(), f"It broke: {type(error).__name__}.")
        logger.exception("harvest of %s broke", source.name)
    else:
        _end(harvest, State.DONE, problems, clock(), "")
    return harvest


def _batches(source, web, harvest):
    """Yield what the source tells from here on; in a daily run, where it can look papers up, what
    it has of those that stand in no list of arXiv's that was read, but in Hugging Face's, say.
    """
    yield from source.harvest(web, today=harvest.today, since=harvest.since, cursor=harvest.cursor)
    if isinstance(source, LooksUp) and harvest.since is None:
        try:
            papers = Paper.objects.filter(categories=[], day__gt=harvest.today - UNLISTED)
            arxivs = papers.filter(is_sample=False).exclude(pk__contains=":").order_by("-day", "pk")
            unlisted = list(arxivs.values_list("pk", flat=True)[:MOST_UNLISTED])
            yield from source.look_up(web, unlisted)
        except (Unavailable, Refused, MalformedFeed) as error:  # The lists are here all the same.
            yield Batch([], note=f"What only others told of can't be looked up: {error}")


def _begin(name, today, since, now):
    """Return the run that this one goes on with, or a new one."""
    last = Harvest.objects.filter(source=name, since=since).first()
    if last is not None and last.state != State.DONE and (since or last.today == today):
        return _go_on(last, now)
    return Harvest.objects.create(
        source=name, since=since, today=today, started_at=now, touched_at=now
    )


def _go_on(harvest, now):
    harvest.state, harvest.touched_at, harvest.ended_at = State.RUNNING, now, None
    harvest.save()
    return harvest


def _take(harvest, batch: Batch, problems, now):
    """Store one batch, with where the run goes on, in one transaction."""
    tally = storing.Tally()
    with transaction.atomic():
        storing.store(batch.records, tally, now=now, source=harvest.source)
        coverage.write_down(harvest.source, batch, now)
        harvest.seen += len(batch.records)
        harvest.new += tally.new
        harvest.changed += tally.changed
        harvest.bad += len(batch.bad)
        harvest.cursor, harvest.touched_at = batch.cursor, now
        harvest.save()
    problems += batch.bad
    if batch.note:
        problems.insert(0, batch.note)


def _end(harvest, state, problems, now, how):
    said = [
        f"{counted(harvest.seen, 'record')} seen: {counted(harvest.new, 'paper')} new, "
        f"{harvest.changed:,} changed."
    ]
    if harvest.bad:
        said.append(f"{harvest.bad} could not be read.")
    if problems:
        said.append("; ".join(problem.rstrip(".") for problem in problems[:SHOWN_BAD]) + ".")
    harvest.said = " ".join([*said, how]).strip()
    harvest.state, harvest.ended_at, harvest.touched_at = state, now, now
    harvest.save()
