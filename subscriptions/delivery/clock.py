"""Delivery uses the database's clock, so that workers whose own clocks differ agree on leases."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

from subscriptions.db import run_sql

#: Returns the current time at each call.
Clock = Callable[[], datetime]


def database_now() -> datetime:
    """Return the time by the database's clock, or by ours if the database is in our process."""
    if connection.vendor != "postgresql":
        return timezone.now()
    ((moment,),) = run_sql("SELECT clock_timestamp()")
    return moment


def not_in_future(now: datetime) -> datetime:
    """Return `now`, or the database's time if `now` is ahead of it.

    What a web server makes due at once must be due for the workers, who use the database's clock.
    """
    return min(now, database_now())


def running_from(now: datetime) -> Clock:
    """Return a clock that shows `now` and runs from there, to rehearse another moment."""
    started = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - started)
