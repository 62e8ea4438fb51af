"""When a reader's next digest is due, after she or somebody else has changed something."""

from datetime import timedelta

from subscriptions import schedule
from subscriptions.models import Letter

#: Her first digest, due when she confirms, is planned within this time.
FIRST_WITHIN = timedelta(hours=1)


def reschedule(subscriber, now):
    """Set when her next digest is due: once a local day, and well apart from the last.

    The last is the one that arrived, or may have, or may be about to leave in this moment.
    """
    if subscriber.confirmed_at is None or subscriber.unsubscribed_at is not None:
        return
    day = schedule.local_day(now, subscriber.zone)
    last = subscriber.letters.filter(day__isnull=False).order_by("-day")[:3]
    if last:
        day = max(day, last[0].day + timedelta(days=1))
    subscriber.is_due_from(day)
    sent = [(letter, moment) for letter in last if (moment := _sent_at(letter, now)) is not None]
    rested = [moment + apart(letter, subscriber) for letter, moment in sent]
    # Not before now: of an hour that was over when she chose it, nobody is late.
    subscriber.is_due_at(max([subscriber.next_due_at, now, *rested]))


def apart(letter, subscriber) -> timedelta:
    """Return how long after this digest her next one may leave.

    That is sooner where it was planned at once, since she had confirmed: not before, and not at her
    hour. Who takes a leaving back, or moves to another address, confirms as well, and gets none at
    once.
    """
    confirmed_at = subscriber.confirmed_at
    hour = schedule.due_moment(letter.day, subscriber.hour, subscriber.zone)
    came_at_its_hour = hour is not None and confirmed_at < hour <= letter.created_at
    came_soon = confirmed_at <= letter.created_at <= confirmed_at + FIRST_WITHIN
    return schedule.APART_AT_FIRST if came_soon and not came_at_its_hour else schedule.APART


def had_one_before(subscriber):
    """Return whether the digest of the day on which she confirmed was written before she did, as
    where she left after it and is back. It is the only one of that day, whatever came of it.
    """
    day = schedule.local_day(subscriber.confirmed_at, subscriber.zone)
    return subscriber.letters.filter(day=day, created_at__lt=subscriber.confirmed_at).exists()


def _sent_at(letter, now):
    """Return when a digest arrived, or may have, or may at the soonest; None where it won't."""
    match letter.state:
        case Letter.State.ACCEPTED:
            return letter.ended_at
        case Letter.State.TRANSMITTING | Letter.State.UNCERTAIN:
            return letter.left_at
        case Letter.State.PLANNED | Letter.State.CLAIMED:
            return now
    return None
