"""Whether letters may be sent at all: the operator's switch, and a circuit breaker for emails.

Both are one row. The final check reads the switch, so that stopping works at once in all workers;
rounds of delivery read the breaker before they start. While the operator has stopped sending, no
letter is planned, superseded or ended as late either: after a restored backup, nobody has said yet
which days count as sent.
"""

import logging
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction

from subscriptions.db import run_sql
from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models.delivery import Sending

logger = logging.getLogger(__name__)

#: How long nothing is sent after the first, second … failure in a row, by cause. A server that is
#: down comes back. Only a person can correct a password, and too many attempts lock the account.
PAUSES = {
    "unreachable": [timedelta(seconds=seconds) for seconds in (15, 30, 60, 120, 300)],
    "auth": [timedelta(minutes=minutes) for minutes in (1, 5, 15)],
    "tls": [timedelta(minutes=minutes) for minutes in (1, 5, 15)],
}


def current() -> Sending:
    """Return the row, or a new one (sending is on) if there is none."""
    return Sending.objects.filter(pk=1).first() or Sending(pk=1)


def is_stopped() -> bool:
    """Return whether the operator has stopped sending. Each final check calls this."""
    return bool(run_sql("SELECT 1 FROM subscriptions_sending WHERE stopped_at IS NOT NULL"))


def is_on_since(moment) -> bool:
    """Return whether the operator has not stopped sending at any time since then."""
    sending = current()
    was_on = sending.resumed_at is None or sending.resumed_at <= moment
    return sending.stopped_at is None and was_on


def stop(operator: str, now) -> None:
    """Stop sending and planning. Letters that have passed the final check may still arrive."""
    with _locked_sending() as sending:
        if sending.stopped_at is None:
            sending.stopped_at, sending.stopped_by = now, operator
    logger.warning("Sending stopped by %s", operator)


def resume(operator: str, now) -> None:
    """Resume sending, and close the breaker's pause."""
    with _locked_sending() as sending:
        if sending.stopped_at is not None:
            sending.resumed_at = now
        sending.stopped_at, sending.stopped_by, sending.retry_at = None, "", None
    logger.warning("Sending resumed by %s", operator)


def note_skipped(day) -> None:
    """Record the last day that was counted as sent after a restored backup."""
    with _locked_sending() as sending:
        sending.skipped_until = day


def open(trouble: str, reply: str, now) -> None:
    """Record that the mail server accepts nothing from us, and pause before the next attempt."""
    reply = without_addresses(reply)
    with _locked_sending() as sending:
        if sending.retry_at and sending.retry_at > now:
            return  # Another worker has recorded the same failure.
        sending.failures += 1
        durations = PAUSES[trouble]
        sending.trouble, sending.reply = trouble, reply[:300]
        sending.retry_at = now + durations[min(sending.failures, len(durations)) - 1]
    level = logging.ERROR if sending.is_alarming else logging.WARNING
    logger.log(level, "No email is sent until %s: %s", f"{sending.retry_at:%H:%M:%S}", reply)


def close() -> None:
    """Record that the mail server accepts letters again."""
    failing = Sending.objects.filter(pk=1).exclude(failures=0)
    failing.update(trouble="", reply="", failures=0, retry_at=None)


@contextmanager
def _locked_sending():
    """Yield the row under its lock, and save it."""
    with transaction.atomic():
        sending, _ = Sending.objects.select_for_update().get_or_create(pk=1)
        yield sending
        sending.save()
