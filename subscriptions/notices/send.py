"""Creating transactional letters, each at most once in an interval.

The duration must not show whether an address is subscribed.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from subscriptions.delivery import queue
from subscriptions.models import Letter, Subscriber
from subscriptions.models.subscribers import GOODBYE_INTERVAL
from subscriptions.security.tokens import CONFIRM_DAYS
from subscriptions.tasks import deliver_letter, enqueue

# Minimum time between two letters of a kind, so that nobody can fill the inbox of others.
CONFIRM_INTERVAL = timedelta(minutes=10)
REMINDER_INTERVAL = timedelta(days=1)
QUESTION_INTERVAL = timedelta(days=7)
LINK_INTERVAL = timedelta(minutes=10)
# Confirmations and links, which anyone can request, to an address that does not answer: three, then
# one a month. An unconfirmed subscriber is kept for longer than this month, and letters are counted
# for longer than three, so that the count does not begin anew.
MAX_UNANSWERED = 3
UNANSWERED_INTERVAL = timedelta(days=28)
UNANSWERED_FOR = timedelta(days=90)
# A letter that could not be sent within this time is missed.
NOTICE_LIFETIME = timedelta(days=3)
LINK_LIFETIME = timedelta(days=1)

#: Id of no letter, for work that is done only to take the same time.
NO_LETTER = 0

Kind, State = Letter.Kind, Letter.State
ANSWER_FIELDS = ("subscribed_at", "moved_at", "unsubscribed_at")
NOT_SENT = (State.FAILED, State.SKIPPED, State.MISSED)


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


def is_backing_off(subscriber: Subscriber | None, now) -> bool:
    """Return whether the address had enough confirmations and links since it last answered.

    It answers by confirming a sign-up or a change of address, or by unsubscribing.
    """
    answered_at = [getattr(subscriber, name, None) for name in ANSWER_FIELDS]
    since = max(filter(None, [now - UNANSWERED_FOR, *answered_at]))
    letters = Letter.objects.filter(subscriber=subscriber, kind__in=[Kind.CONFIRM, Kind.LINK])
    letters = letters.filter(created_at__gt=since).exclude(state__in=NOT_SENT)
    newest = list(letters.order_by("-created_at")[:MAX_UNANSWERED])
    return len(newest) == MAX_UNANSWERED and newest[0].created_at > now - UNANSWERED_INTERVAL


def write_confirm(subscriber: Subscriber, now, since: datetime, is_held=False) -> Letter | None:
    """Create a confirmation letter, unless one was created after `since` or the letter `is_held`.

    An operator's is sent in any case.
    """
    letters = subscriber.letters.filter(kind=Kind.CONFIRM, created_at__gt=since)
    if letters.exclude(state=State.FAILED).exists() or is_held:
        return None
    return write(subscriber, Kind.CONFIRM, now, closes_at=now + timedelta(days=CONFIRM_DAYS))


def remind(subscriber: Subscriber, now, is_held=False) -> Letter | None:
    """Inform a subscriber that their address was entered in the sign-up form."""
    return write_confirm(subscriber, now, now - REMINDER_INTERVAL, is_held)


def write_goodbye(subscriber: Subscriber, now) -> Letter | None:
    """Confirm unsubscribing, once in GOODBYE_INTERVAL and not while an earlier goodbye waits."""
    recent = Q(created_at__gt=now - GOODBYE_INTERVAL) | Q(ended_at=None)
    goodbyes = subscriber.letters.filter(recent, kind=Kind.GOODBYE).exclude(state__in=NOT_SENT)
    if not subscriber.confirmed_at or subscriber.suppressed_at or goodbyes.exists():
        return None
    return write(subscriber, Kind.GOODBYE, now, closes_at=now + NOTICE_LIFETIME)


def ask_if_address_works(subscriber: Subscriber, now) -> Letter | None:
    """Ask a subscriber after bounces whether the address is right, unless asked recently."""
    questions = subscriber.letters.filter(kind=Kind.BOUNCED, created_at__gt=now - QUESTION_INTERVAL)
    if not subscriber.can_confirm_address(now) or questions.exists():
        return None
    return write(subscriber, Kind.BOUNCED, now, closes_at=now + NOTICE_LIFETIME)


def send_link(email: str, *, now, by_operator: bool = False) -> Letter | None:
    """Send the link to their preferences to the subscriber with this (normalised) address.

    Returns the letter, or None if they had one recently or, unless `by_operator`, enough without an
    answer, never confirmed, or do not exist.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().with_address(email).first()
        recent_links = Letter.objects.filter(
            subscriber=subscriber, kind=Kind.LINK, created_at__gt=now - LINK_INTERVAL
        ).exclude(state=State.FAILED)
        has_enough = recent_links.exists() | (is_backing_off(subscriber, now) and not by_operator)
        if subscriber and (has_enough or not subscriber.confirmed_at or subscriber.suppressed_at):
            subscriber = None
        return write(subscriber, Kind.LINK, now, closes_at=now + LINK_LIFETIME)
