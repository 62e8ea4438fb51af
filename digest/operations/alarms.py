"""Alarms: reported once when they begin and once when they end, in the log, the panel, a webhook.

A worker runs the checks of each minute, and so does every web process, which notices when Celery
beat is not running. Each stores what it finds. An alarm ends when no process has found it for a
while.
"""

import logging
import random
import threading
from collections.abc import Iterable
from datetime import timedelta
from time import sleep

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.db.utils import DatabaseError, Error, InterfaceError, InternalError, OperationalError

from digest.models import Alarm
from digest.models.locks import Lease
from digest.operations import heartbeats
from digest.operations.checks import (
    CHECKS,
    DAY,
    FIVE_MINUTES,
    MINUTE,
    Finding,
    service,  # noqa: F401 -- It adds the recurring checks.
)
from subscriptions.delivery import clock

logger = logging.getLogger(__name__)

LEASE_LENGTH = timedelta(minutes=1)  # Of the process that notifies.
MAX_FAILURES = 2  # Checks in a row without an answer of the database.


def find(now, every: timedelta | None = None) -> list[Finding]:
    """Return what the checks of this period find, or by default what all recurring checks say now.

    A check that breaks is logged and skipped. Raises the database's Error.
    """
    findings = []
    for check in CHECKS:
        if check.every is None or every not in (None, check.every):
            continue
        try:
            findings += check.run(now) if every else check.current(now)
        except Error:
            raise
        except Exception:
            logger.exception("Check failed: %s", check.name)
    return findings


def names() -> list[str]:
    return sorted(check.name for check in CHECKS if check.severity == "alarm")


def watch(now) -> None:
    """Check, store what was found and what has ended, and notify of both.

    Raises the database's Error.
    """
    record(find(now, MINUTE), now)
    end_expired(now)
    notify(now)


def check_rarely(now) -> None:
    """Run the checks of beat alone, those of a day if the last time is so long ago."""
    record(find(now, FIVE_MINUTES), now)
    last_time = heartbeats.last_beat(heartbeats.DAILY_CHECKS)
    if last_time is None or last_time <= now - DAY:
        record(find(now, DAY), now)
        heartbeats.beat(heartbeats.DAILY_CHECKS, now)


def record(findings: Iterable[Finding], now) -> None:
    """Store the alarms among them. One that stands already is renewed."""
    for finding in findings:
        if finding.grade != "alarm":
            continue
        fields = {"text": finding.text[:500], "holds_until": now + finding.check.holds_for}
        alarm, is_new = Alarm.objects.update_or_create(
            name=finding.name,
            subject=finding.subject,
            ended_at=None,
            defaults=fields,
            create_defaults=fields | {"raised_at": now},
        )
        if is_new:
            logger.error("[%s] %s", alarm.name, alarm.text)


def end_expired(now) -> None:
    """End the alarms that no process has found for as long as they hold."""
    expired = Alarm.objects.standing().filter(holds_until__lt=now)
    for alarm in list(expired):
        if expired.filter(pk=alarm.pk).update(ended_at=now):
            logger.warning("[%s] Resolved: %s", alarm.name, alarm.text)


def notify(now) -> None:
    """Post alarms that have begun or ended to the webhook, once, by one process at a time.

    What the webhook does not accept is posted again in a minute.
    """
    has_ended = Q(ended_at__isnull=False, end_notified_at=None)
    pending = Alarm.objects.filter(has_ended | Q(notified_at=None)).order_by("pk")
    lease = Lease("alarms", LEASE_LENGTH)
    if not pending.exists() or not lease.acquire():
        return
    try:
        lines = []
        alarms = list(pending)  # Read under the lease: another process may just have posted all.
        for alarm in alarms:
            if alarm.notified_at is None:
                lines.append(f"[{alarm.name}] {alarm.text}")
                alarm.notified_at = now
            if alarm.ended_at is not None:
                lines.append(f"[{alarm.name}] Resolved: {alarm.text}")
                alarm.end_notified_at = now
        if lines and send(lines):
            Alarm.objects.bulk_update(alarms, ["notified_at", "end_notified_at"])
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
    request = {"url": settings.ALARM_WEBHOOK, "json": {"text": text}, "timeout": 10}
    try:
        with httpx2.stream("POST", **request) as response:
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
    failure_count = 0
    sleep(random.uniform(0, MINUTE.total_seconds()))  # noqa: S311, so that not all processes check at the same time.
    while True:
        sleep(MINUTE.total_seconds())
        failure_count = watch_database(failure_count)


def is_database_failure(error: BaseException | None) -> bool:
    """Return whether the database is away, takes no writes, or is damaged. Other errors are bugs.

    SQLite reports damage by a plain DatabaseError.
    """
    is_away = isinstance(error, InterfaceError | InternalError | OperationalError)
    return is_away or type(error) is DatabaseError


def watch_database(failure_count: int) -> int:
    """Watch, and notice when the database does not answer. Raises nothing.

    That is reported by each process, since they share nothing else. Takes and returns how many
    times in a row the database did not answer.
    """
    try:
        watch(clock.database_now())
    except Exception as error:
        if not is_database_failure(error):
            logger.exception("Alarm checks failed")
            return failure_count
        if failure_count + 1 == MAX_FAILURES:
            _notify_of_database(f"The database does not answer ({type(error).__name__}).")
        return failure_count + 1
    finally:
        connection.close()
    if failure_count >= MAX_FAILURES:
        _notify_of_database("Resolved: the database answers again.")
    return 0


def _notify_of_database(text):
    logger.error("[database] %s", text)
    send([f"[database] {text}"])
