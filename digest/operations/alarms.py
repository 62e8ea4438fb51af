"""Alarms: reported once when they begin and once when they end, in the log, the panel, a webhook.

A worker checks each minute, and so does every web process, which notices when Celery beat is not
running. Each stores what it finds. An alarm ends when no process has found it for a while.
docs/maintenance.md says for each what to do.
"""

import logging
import random
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from time import sleep

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min, Q, Value
from django.db.models.functions import Greatest
from django.db.utils import DatabaseError, Error, InterfaceError, InternalError, OperationalError

from digest.models import Alarm, Harvest
from digest.models.locks import Lease
from digest.numbers import counted
from digest.operations import heartbeats, invariants, rejection_rate
from digest.papers import coverage, registry
from subscriptions.delivery import circuit_breaker, clock, status
from subscriptions.delivery.status import utc
from subscriptions.models import Letter
from subscriptions.security import rate_limits

logger = logging.getLogger(__name__)

MAX_TICK_AGE = timedelta(minutes=5)
MAX_REPLY_TIME = timedelta(minutes=2)  # Of a mail server.
MAX_SOURCE_FAILURE = timedelta(hours=3)
MAX_STOP = timedelta(hours=1)  # Sending stopped for longer may have been forgotten.
MIN_FREE_SHARE, MIN_FREE_BYTES = 0.05, 2 * 10**9  # Of a disk: the lesser of both.

INTERVAL_SECONDS = 60
HOLDS_FOR = timedelta(minutes=3)  # An alarm that is checked each minute.
HOLDS_FOR_RARE = timedelta(minutes=20)  # Checked every five minutes, or on one machine of several.
HOLDS_FOR_HOURLY = timedelta(minutes=80)  # Checked every hour.
LEASE_LENGTH = timedelta(minutes=1)  # Of the process that notifies.
LOCAL_ALARMS = ("promises", "disk", "refused")  # Alarms that not every process can find.
MAX_FAILURES = 2  # Checks in a row without an answer of the database.

#: The names of all alarms: headings of docs/maintenance.md.
NAMES = (
    *("beat", "breaker", "database", "disk", "flood", "letters", "papers", "planning"),
    *("promises", "refused", "source", "stopped", "uncertain"),
)


@dataclass(frozen=True)
class ActiveAlarm:
    """Something that is wrong now.

    Attributes:
        text: a sentence. Contains no email address, but may contain internals such as host names.
        subject: tells apart alarms of one name.
        holds_for: how long the alarm stands without being found again.
    """

    name: str
    text: str
    subject: str = ""
    holds_for: timedelta = HOLDS_FOR


# ---- Checked each minute, by cheap queries


def _beat(now) -> Iterator[ActiveAlarm]:
    last_tick = heartbeats.last_beat(heartbeats.TICK)
    if last_tick is None or last_tick >= now - MAX_TICK_AGE:
        return
    cause = "`serve`, Celery beat or all workers are down, or their clocks are a minute apart"
    # A worker that waits for the mail server's reply does not tick.
    transmitting = Letter.objects.open().filter(state=Letter.State.TRANSMITTING)
    if count := transmitting.filter(left_at__lte=now - MAX_REPLY_TIME).count():
        cause = f"workers wait for the mail server's reply to {counted(count, 'email')}"
    yield ActiveAlarm("beat", f"The scheduler last ran at {utc(last_tick)}: {cause}.")


def _planning(now):
    count, since = _count_since(invariants.overdue(now, settings.ALARM_LATE), "next_due_at")
    if count:
        text = f"{counted(count, 'digest')} not planned, due since {utc(since)}."
        yield ActiveAlarm("planning", text)


def _letters(now):
    if circuit_breaker.current().wait_reason(now):  # The reason is an alarm of its own.
        return
    count, since = _count_since(Letter.objects.due(now - settings.ALARM_LATE), "next_try_at")
    if count:
        text = f"{counted(count, 'email')} waiting for a worker since {utc(since)}."
        yield ActiveAlarm("letters", text)


def _count_since(rows, field):
    """Return the number of rows and the earliest moment, by one query: rows may go meanwhile."""
    sums = rows.aggregate(count=Count("pk"), since=Min(field))
    return sums["count"], sums["since"]


def _uncertain(now):
    if count := Letter.objects.open().filter(state=Letter.State.UNCERTAIN).count():
        yield ActiveAlarm("uncertain", f"{counted(count, 'email')} with unknown outcome.")


def _sending(now):
    row = circuit_breaker.current()
    if row.stopped_at and row.stopped_at < now - MAX_STOP:
        yield ActiveAlarm("stopped", status.sending_status(now).text)
    if not row.stopped_at and row.is_alarming:
        yield ActiveAlarm("breaker", status.sending_status(now).text)


def _floods(now):
    for endpoint in rate_limits.closed_endpoints(now):
        text = f"Too many emails requested from many networks: the form is closed ({endpoint})."
        yield ActiveAlarm("flood", text, endpoint)


def _papers(now):
    for text in coverage.alarms(now):
        yield ActiveAlarm("papers", text)


def _sources(now):
    daily = Harvest.objects.filter(since=None)
    for source, title in registry.titles(registry.enabled()).items():
        runs = daily.filter(source=source)
        last_success = runs.filter(state=Harvest.State.DONE).first()
        failures = runs.filter(state=Harvest.State.FAILED).order_by("pk")
        if last_success is not None:
            failures = failures.filter(started_at__gt=last_success.started_at)
        first_failure = failures.first()
        if first_failure is not None and first_failure.started_at < now - MAX_SOURCE_FAILURE:
            text = f"{title} has failed since {utc(first_failure.started_at)}. {runs[0].result}"
            yield ActiveAlarm("source", text, source)


def disk_of_data():
    """Return the usage of the disk of DATA_DIR, which need not exist yet."""
    folder = settings.DATA_DIR
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists()))


def is_nearly_full(disk) -> bool:
    return disk.free < min(disk.total * MIN_FREE_SHARE, MIN_FREE_BYTES)


def _disk(now):
    disk = disk_of_data()
    if is_nearly_full(disk):
        host = socket.gethostname()
        text = f"{disk.free / 10**6:,.0f} MB free for {settings.DATA_DIR} on {host}."
        yield ActiveAlarm("disk", text, host, HOLDS_FOR_RARE)


CHECKS = [_beat, _planning, _letters, _uncertain, _sending, _floods, _papers, _sources, _disk]


def check_all(now) -> list[ActiveAlarm]:
    """Return what is wrong. A check that breaks is logged and skipped.

    Raises the database's Error.
    """
    active_alarms = []
    for check in CHECKS:
        try:
            active_alarms += check(now)
        except Error:
            raise
        except Exception:
            logger.exception("Alarm check failed: %s", check.__name__.strip("_"))
    return active_alarms


def known_alarms(now) -> list[ActiveAlarm]:
    """Return what is wrong, with the alarms that only other processes can find."""
    alarms = check_all(now)
    keys = {(alarm.name, alarm.subject) for alarm in alarms}
    for row in Alarm.objects.standing().filter(name__in=LOCAL_ALARMS).order_by("raised_at"):
        if (row.name, row.subject) not in keys:
            alarms.append(ActiveAlarm(row.name, row.text, row.subject))
    return alarms


# ---- Checked by workers alone, since it takes longer


def violated_invariants(now) -> list[ActiveAlarm]:
    """Return the invariants that the newest letters of the last days violate."""
    results = invariants.examine(now, now - invariants.RECENT, newest=invariants.NEWEST)
    return _violation_alarms(results, HOLDS_FOR_RARE)


def refused_digests(now) -> list[ActiveAlarm]:
    """Return whether many of the last day's digests were refused or bounced."""
    text = rejection_rate.describe_last_day(now)
    return [ActiveAlarm("refused", text, holds_for=HOLDS_FOR_RARE)] if text else []


def invariants_violated_earlier(now) -> list[ActiveAlarm]:
    """Return the invariants that the other letters of these days violate."""
    results = invariants.examine_older(now, now - invariants.RECENT, invariants.NEWEST)
    return _violation_alarms(results, HOLDS_FOR_HOURLY)


def _violation_alarms(results, holds_for):
    active_alarms = []
    for result in results:
        if result.count:
            name, sentence = result.invariant.name, result.invariant.sentence
            text = f"Invariant “{sentence}” ({name}): {result.text}."
            active_alarms.append(ActiveAlarm("promises", text, name, holds_for))
    return active_alarms


# ---- Raised, ended, notified


def watch(now) -> None:
    """Check, store what was found and what has ended, and notify of both.

    Raises the database's Error.
    """
    record(check_all(now), now)
    end_expired(now)
    notify(now)


def record(active_alarms: Iterable[ActiveAlarm], now) -> None:
    """Store the alarms. One that stands already holds until the latest of the given times."""
    for active_alarm in active_alarms:
        sentence, holds_until = active_alarm.text[:500], now + active_alarm.holds_for
        alarm, is_new = Alarm.objects.get_or_create(
            name=active_alarm.name,
            subject=active_alarm.subject,
            ended_at=None,
            defaults={"text": sentence, "raised_at": now, "holds_until": holds_until},
        )
        if is_new:
            logger.error("[%s] %s", active_alarm.name, sentence)
        else:
            fields = {"text": sentence, "holds_until": Greatest("holds_until", Value(holds_until))}
            Alarm.objects.standing().filter(pk=alarm.pk).update(**fields)


def end_expired(now) -> None:
    """End the alarms that no process has found for as long as they hold."""
    for alarm in Alarm.objects.standing().filter(holds_until__lt=now):
        expired = Alarm.objects.standing().filter(pk=alarm.pk, holds_until__lt=now)
        if expired.update(ended_at=now):
            logger.warning("[%s] Resolved: %s", alarm.name, alarm.text)


def notify(now) -> None:
    """Post alarms that have begun or ended to the webhook, once, by one process at a time.

    What the webhook does not accept is posted again in a minute.
    """
    has_ended = Q(ended_at__isnull=False, end_notified_at=None)
    pending = Alarm.objects.filter(has_ended | Q(notified_at=None))
    lease = Lease("alarms", LEASE_LENGTH)
    if not pending.exists() or not lease.acquire():
        return
    try:
        # Read under the lease: another process may just have posted all.
        alarms = pending.order_by("pk")
        new_alarms = [alarm for alarm in alarms if alarm.notified_at is None]
        ended_alarms = [alarm for alarm in alarms if alarm.ended_at is not None]
        lines = [f"[{alarm.name}] {alarm.text}" for alarm in new_alarms]
        lines += [f"[{alarm.name}] Resolved: {alarm.text}" for alarm in ended_alarms]
        if lines and send(lines):
            new_ids, ended_ids = (
                [alarm.pk for alarm in rows] for rows in (new_alarms, ended_alarms)
            )
            Alarm.objects.filter(pk__in=new_ids).update(notified_at=now)
            Alarm.objects.filter(pk__in=ended_ids).update(end_notified_at=now)
    finally:
        lease.release()


def send(lines: list[str]) -> bool:
    """Post {"text": lines} to the webhook. Return whether it was accepted, or there is no webhook.

    The webhook may be any machine, also in a private network. The response isn't read.
    """
    if not settings.ALARM_WEBHOOK:
        return True
    import httpx2  # Nothing else in a web process needs it.

    text = "\n".join([f"{settings.SITE_NAME} ({settings.SITE_URL}):", *lines])
    try:
        url, content = settings.ALARM_WEBHOOK, {"text": text}
        with httpx2.stream("POST", url, json=content, timeout=10) as response:
            response.raise_for_status()
    except httpx2.HTTPError as error:
        logger.error("ALARM_WEBHOOK did not accept an alarm: %s", type(error).__name__)
        return False
    return True


# ---- In web processes


def start_watching() -> None:
    """Start a thread of this process that watches."""
    threading.Thread(target=_watch_forever, name="alarms", daemon=True).start()


def _watch_forever():
    watcher = Watcher()
    sleep(random.uniform(0, INTERVAL_SECONDS))  # noqa: S311, so that not all processes check at the same time.
    while True:
        sleep(INTERVAL_SECONDS)
        watcher.check()


def is_database_failure(error: BaseException | None) -> bool:
    """Return whether the database is away, takes no writes, or is damaged. Other errors are bugs.

    SQLite reports damage by a plain DatabaseError.
    """
    is_away = isinstance(error, InterfaceError | InternalError | OperationalError)
    return is_away or type(error) is DatabaseError


class Watcher:
    """Watches repeatedly, and notices when the database does not answer.

    That is reported by each process, since they share nothing else.
    """

    def __init__(self):
        self.failure_count = 0

    def check(self) -> None:
        """Watch once. Raises nothing."""
        try:
            watch(clock.database_now())
        except Exception as error:
            if is_database_failure(error):
                self.failure_count += 1
                if self.failure_count == MAX_FAILURES:
                    self._notify(f"The database does not answer ({type(error).__name__}).")
            else:
                logger.exception("Alarm checks failed")
        else:
            if self.failure_count >= MAX_FAILURES:
                self._notify("Resolved: the database answers again.")
            self.failure_count = 0
        finally:
            connection.close()

    def _notify(self, text):
        logger.error("[database] %s", text)
        send([f"[database] {text}"])
