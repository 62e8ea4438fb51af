"""The post office's clock is the database's: workers whose own clocks differ agree on leases."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from subscriptions.db import run_sql

#: What tells the moment, each time that it is asked.
Clock = Callable[[], datetime]


def of_database() -> datetime:
    """Return the moment by the database's clock; by ours, where it is in our own process."""
    if connection.vendor != "postgresql":
        return timezone.now()
    ((moment,),) = run_sql("SELECT clock_timestamp()")
    return moment


def at_once(now: datetime) -> datetime:
    """Return the moment of what is due at once: a web server's clock may be ahead, and what is due
    is asked of the database's.
    """
    return min(now, of_database())


def running_from(now: datetime) -> Clock:
    """Return a clock that shows `now` and runs from there, for a rehearsal of another moment."""
    started = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - started)
