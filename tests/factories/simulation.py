"""The service minute by minute: subscribers of long standing, and when their digests came."""

from datetime import UTC, datetime

from digest.planning import plan
from subscriptions.delivery import queue, worker
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import DAY, NOW


def at(day, hour=12, minute=0):
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def subscriber(**fields):
    """Make a subscriber of long standing, who gets a letter each day, with papers or without."""
    fields = {"wants_quiet_days": True, "confirmed_at": NOW - 400 * DAY} | fields
    return make.subscriber(**fields)


def tick(now):
    """Plan and deliver what is due: one minute of the service."""
    plan.plan(now)
    if Letter.objects.open().exists():
        queue.sweep(now)
        worker.deliver_due(lambda: now)


def arrivals():
    """Return the day and the moment of each digest that was sent, in the order of sending."""
    letters = Letter.objects.filter(state="accepted", day__isnull=False).order_by("ended_at")
    return [(letter.day, letter.ended_at) for letter in letters]


def had(day, sent_at, **fields):
    """Make a subscriber who had the digest of this day at that moment."""
    made = subscriber(next_due_at=sent_at, **fields)
    tick(sent_at)
    assert arrivals() == [(day, sent_at)]
    return made
