"""When recurring jobs last ran, and when each SECRET_KEY was last in use."""

from datetime import datetime, timedelta

from django.db.models import Q

from digest.models import Heartbeat
from subscriptions.security.hashing import keyed_hash, valid_hashes

TICK = "tick"  # The minute's pass: a worker's, or cron's.
DAILY_CHECKS = "daily checks"
MAX_TASK_LENGTH = timedelta(hours=1)
KEY_PREFIX = "key:"
KEY_SALT = "digest.keys"
MAX_KEY_AGE = timedelta(days=30)  # Few open a link of an older email.


def beat(name: str, now: datetime) -> None:
    """Record that a job ran. A later time stays, unless it is that of a clock that was ahead."""
    is_in_future = Q(at__gt=now + MAX_TASK_LENGTH)
    if Heartbeat.objects.filter(Q(at__lte=now) | is_in_future, pk=name).update(at=now):
        return
    Heartbeat.objects.get_or_create(name=name, defaults={"at": now})


def last_beat(name: str) -> datetime | None:
    """Return when the job last ran, or None if it never did."""
    return Heartbeat.objects.filter(pk=name).values_list("at", flat=True).first()


def record_key(now: datetime) -> None:
    """Record that this SECRET_KEY is in use, as a keyed hash.

    Links in emails and suppressed addresses need the key that was in use then. So the doctor tells
    when one was left out of SECRET_KEY_FALLBACKS.
    """
    beat(KEY_PREFIX + keyed_hash(KEY_SALT, "")[:16], now)


def last_unknown_key(now: datetime) -> datetime | None:
    """Return when a key that is not set any more was last in use, or None if there is none."""
    current_keys = [KEY_PREFIX + key_hash[:16] for key_hash in valid_hashes(KEY_SALT, "")]
    keys = Heartbeat.objects.filter(pk__startswith=KEY_PREFIX, at__gte=now - MAX_KEY_AGE)
    return keys.exclude(pk__in=current_keys).order_by("-at").values_list("at", flat=True).first()
