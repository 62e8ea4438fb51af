"""Creating transactional letters, each at most once in an interval.

The duration must not show whether an address is subscribed.
"""

from datetime import datetime, timedelta

from django.db import transaction

from subscriptions.delivery import queue
from subscriptions.models import Letter, Subscriber
from subscriptions.security.tokens import CONFIRM_DAYS
from subscriptions.tasks import deliver_letter, enqueue

# Minimum time between two letters of a kind, so that nobody can fill the inbox of others.
CONFIRM_INTERVAL = timedelta(minutes=10)
REMINDER_INTERVAL = timedelta(days=1)
QUESTION_INTERVAL = timedelta(days=7)
LINK_INTERVAL = timedelta(minutes=10)
# A letter that could not be sent within this time is missed.
NOTICE_LIFETIME = timedelta(days=3)
LINK_LIFETIME = timedelta(days=1)

#: Id of no letter, for work that is done only to take the same time.
NO_LETTER = 0

Kind = Letter.Kind


def write(
    subscriber: Subscriber | None, kind: str, now, closes_at: datetime, to: str = ""
) -> Letter | None:
    """Create a letter, and enqueue its delivery at commit. The caller checks the interval.

    Without a subscriber, do the same work and roll it back.
    """
    with transaction.atomic():
        recipient = subscriber or Subscriber(pk=0)
        letter = queue.create(recipient, kind, now=now, closes_at=closes_at, to=to)
        transaction.set_rollback(subscriber is None)
    enqueue_delivery(letter.pk if subscriber else NO_LETTER)
    return letter if subscriber else None


def enqueue_delivery(letter_id: int) -> None:
    transaction.on_commit(lambda: enqueue(deliver_letter, letter_id), robust=True)


def write_confirm(subscriber: Subscriber, now, since: datetime) -> Letter | None:
    """Create a confirmation letter, unless one was created after `since`."""
    letters = subscriber.letters.filter(kind=Kind.CONFIRM, created_at__gt=since)
    if letters.exclude(state=Letter.State.FAILED).exists():
        return None
    return write(subscriber, Kind.CONFIRM, now, closes_at=now + timedelta(days=CONFIRM_DAYS))


def remind(subscriber: Subscriber, now) -> Letter | None:
    """Inform a subscriber that their address was entered in the sign-up form."""
    return write_confirm(subscriber, now, since=now - REMINDER_INTERVAL)


def ask_if_address_works(subscriber: Subscriber, now) -> Letter | None:
    """Ask a subscriber after bounces whether the address is right, unless asked recently."""
    recent = subscriber.letters.filter(kind=Kind.BOUNCED, created_at__gt=now - QUESTION_INTERVAL)
    if not subscriber.can_confirm_address(now) or recent.exists():
        return None
    return write(subscriber, Kind.BOUNCED, now, closes_at=now + NOTICE_LIFETIME)


def send_link(email: str, *, now) -> Letter | None:
    """Send the link to their preferences to the subscriber with this (normalised) address.

    Returns the letter, or None if they had one recently, never confirmed, or do not exist.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().with_address(email).first()
        recent = Letter.objects.filter(
            subscriber=subscriber, kind=Kind.LINK, created_at__gt=now - LINK_INTERVAL
        ).exclude(state=Letter.State.FAILED)
        had_one = recent.exists()
        if subscriber and (had_one or not subscriber.confirmed_at or subscriber.suppressed_at):
            subscriber = None
        return write(subscriber, Kind.LINK, now, closes_at=now + LINK_LIFETIME)
