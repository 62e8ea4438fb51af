"""Letters that ask a subscriber something or inform them, each at most so often.

The time that this takes must not tell whether somebody has the address.
"""

from datetime import datetime, timedelta

from django.db import transaction

from subscriptions.delivery import queue
from subscriptions.models import Letter, Subscriber
from subscriptions.security.tokens import CONFIRM_DAYS
from subscriptions.tasks import deliver_letter, enqueue

# Each letter is sent again only after so long, so that nobody can fill somebody's inbox.
CONFIRM_AGAIN = timedelta(minutes=10)
REMIND_AGAIN = timedelta(days=1)
ASK_AGAIN = timedelta(days=7)
LINK_AGAIN = timedelta(minutes=10)
# A letter that could not be sent for so long is of no use any more.
NOTICE_CLOSES = timedelta(days=3)
LINK_CLOSES = timedelta(days=1)

#: Ids of no letter and of no subscriber, for work that is done only to take the same time.
NO_LETTER = 0
NO_SUBSCRIBER = 0

Kind = Letter.Kind


def write(
    subscriber: Subscriber | None, kind: str, now, closes_at: datetime, to: str = ""
) -> Letter | None:
    """Write a letter, and enqueue its delivery at commit.

    Without a subscriber, the same work is done and rolled back.
    """
    with transaction.atomic():
        recipient = subscriber or Subscriber(pk=NO_SUBSCRIBER)
        letter = queue.write(recipient, kind, now=now, closes_at=closes_at, to=to)
        transaction.set_rollback(subscriber is None)
    enqueue_delivery(letter.pk if subscriber else NO_LETTER)
    return letter if subscriber else None


def enqueue_delivery(letter_id: int) -> None:
    transaction.on_commit(lambda: enqueue(deliver_letter, letter_id), robust=True)


def write_confirm(subscriber: Subscriber, now, since: datetime) -> Letter | None:
    """Write a confirmation letter, unless there is one of after `since`."""
    letters = subscriber.letters.filter(kind=Kind.CONFIRM, created_at__gt=since)
    if letters.exclude(state=Letter.State.FAILED).exists():
        return None
    return write(subscriber, Kind.CONFIRM, now, closes_at=now + timedelta(days=CONFIRM_DAYS))


def remind(subscriber: Subscriber, now) -> Letter | None:
    """Tell a subscriber that somebody signed up with their address, unless told lately."""
    return write_confirm(subscriber, now, since=now - REMIND_AGAIN)


def ask_if_address_works(subscriber: Subscriber, now) -> Letter | None:
    """Ask a subscriber whose letters bounced whether the address is right, unless asked lately."""
    lately = subscriber.letters.filter(kind=Kind.BOUNCED, created_at__gt=now - ASK_AGAIN)
    if not subscriber.can_confirm_address(now) or lately.exists():
        return None
    return write(subscriber, Kind.BOUNCED, now, closes_at=now + NOTICE_CLOSES)


def send_link(email: str, *, now) -> Letter | None:
    """Send the link to their preferences to the subscriber with this (normalised) address.

    Returns the letter, or None if they had one lately, never confirmed, or do not exist.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().with_address(email).first()
        lately = Letter.objects.filter(
            subscriber=subscriber, kind=Kind.LINK, created_at__gt=now - LINK_AGAIN
        ).exclude(state=Letter.State.FAILED)
        had_one = lately.exists()
        if subscriber and (had_one or not subscriber.confirmed_at or subscriber.suppressed_at):
            subscriber = None
        return write(subscriber, Kind.LINK, now, closes_at=now + LINK_CLOSES)
