"""Create, cancel and deliver letters.

worker.py delivers them, transitions.py changes their state, sweep.py resolves those whose outcome
is unknown.
"""

from django.db import transaction

from subscriptions.delivery import clock, transitions, worker
from subscriptions.delivery.sweep import sweep
from subscriptions.models import Letter, LetterEvent, Subscriber

__all__ = ["cancel", "create", "deliver", "sweep"]

State = Letter.State


def create(subscriber: Subscriber, kind: str, *, now, closes_at, to: str = "") -> Letter:
    """Create a letter that is due now, to the subscriber's address or to `to`.

    Its content is composed when it is delivered.
    """
    with transaction.atomic():
        letter = Letter.objects.create(
            subscriber=subscriber,
            kind=kind,
            to=to,
            created_at=now,
            next_try_at=clock.not_in_future(now),
            closes_at=closes_at,
        )
        LetterEvent.objects.create(letter=letter, at=now, new_state=State.PLANNED, attempt=0)
    return letter


def deliver(letter_id: int, now) -> bool:
    """Deliver one letter, unless it is being delivered or was. Return whether it was accepted.

    Delivery starts at `now`; later events get later times.
    """
    return worker.deliver_due(clock.running_from(now), ids=[letter_id])["accepted"] == 1


def cancel(subscriber: Subscriber, reason: str, now, kinds=None) -> int:
    """Skip a subscriber's unsent letters. Return how many may still arrive.

    Those have passed the final check. Call inside a transaction that holds the lock on the
    subscriber's row, which the final check takes too.
    """
    letters = Letter.objects.filter(subscriber=subscriber)
    if kinds is not None:
        letters = letters.filter(kind__in=kinds)
    # Locked, or a worker that claims one at this moment would make the request fail.
    unsent_letters = letters.select_for_update().filter(state__in=Letter.UNSENT).order_by("pk")
    for letter in unsent_letters:
        transitions.end([letter], State.SKIPPED, reason, now)
    return letters.filter(state__in=[State.TRANSMITTING, State.UNCERTAIN]).count()
