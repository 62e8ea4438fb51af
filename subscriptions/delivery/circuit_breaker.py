"""Whether letters may leave at all: the operator's switch, and the breaker that trips by itself.

Both are one row, read in the transaction that does the final check of letters: what is stopped
there stops at once, in all workers. While the operator lets nothing leave, nothing is planned,
makes way or is closed either: after a restored backup, nobody knows yet what has left
(reconcile.py).
"""

import logging
from contextlib import contextmanager
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from subscriptions.db import run_sql
from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models.delivery import Sending

logger = logging.getLogger(__name__)

#: How long nothing is sent after so many troubles in a row: a server that is down comes back, a
#: wrong password has to be mended by a person, and too many tries lock the account.
PAUSES = {
    "unreachable": [timedelta(seconds=seconds) for seconds in (15, 30, 60, 120, 300)],
    "auth": [timedelta(minutes=minutes) for minutes in (1, 5, 15)],
    "tls": [timedelta(minutes=minutes) for minutes in (1, 5, 15)],
}
PROBE = timedelta(minutes=1)  # So long one worker tries alone.


def current() -> Sending:
    """Return the row, or one that says that all is well."""
    return Sending.objects.filter(pk=1).first() or Sending(pk=1)


def is_stopped() -> bool:
    """Return whether the operator lets nothing leave. Asked in each final check."""
    return bool(run_sql("SELECT 1 FROM subscriptions_sending WHERE stopped_at IS NOT NULL"))


def is_on_since(moment) -> bool:
    """Return whether the operator has let letters leave ever since then."""
    row = current()
    return row.stopped_at is None and (row.resumed_at is None or row.resumed_at <= moment)


def stop(by: str, now) -> None:
    """Let no letter leave and none be planned. What has passed its final check may arrive."""
    with _row() as row:
        if row.stopped_at is None:
            row.stopped_at, row.stopped_by = now, by
    logger.error("sending was stopped by %s", by)


def resume(by: str, now) -> None:
    """Let letters leave again, and don't wait for the breaker either."""
    with _row() as row:
        if row.stopped_at is not None:
            row.resumed_at = now
        row.stopped_at, row.stopped_by, row.retry_at = None, "", None
    logger.warning("sending was resumed by %s", by)


def trip(trouble: str, said: str, now, *, is_probe: bool = False) -> None:
    """Note that the mail server lets us hand over nothing, and wait before the next try.

    `is_probe`: the caller has taken the one try that was due.
    """
    said = without_addresses(said)
    with _row() as row:
        if row.retry_at and row.retry_at > now and not is_probe:
            return  # Another worker has met the same trouble.
        row.failures += 1
        pauses = PAUSES[trouble]
        row.trouble, row.said = trouble, said[:300]
        row.retry_at = now + pauses[min(row.failures, len(pauses)) - 1]
    logger.log(
        logging.ERROR if row.is_alarming else logging.WARNING,
        "no letter leaves until %s: %s",
        f"{row.retry_at:%H:%M:%S}",
        said,
    )


def take_probe(now) -> bool:
    """Take the one try that is due after a trouble, so that not all workers log in at once."""
    due = Sending.objects.filter(pk=1, failures__gt=0)
    due = due.filter(Q(retry_at=None) | Q(retry_at__lte=now))
    return due.update(retry_at=now + PROBE) == 1


def mend() -> None:
    """Note that the mail server takes letters again."""
    Sending.objects.filter(pk=1).exclude(failures=0).update(
        trouble="", said="", failures=0, retry_at=None
    )


@contextmanager
def _row():
    """Yield the row under its lock, and save it."""
    with transaction.atomic():
        Sending.objects.get_or_create(pk=1)
        row = Sending.objects.select_for_update().get(pk=1)
        yield row
        row.save()
