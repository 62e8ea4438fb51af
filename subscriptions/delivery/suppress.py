"""Addresses that letters are kept from: told by the mail server, or by what comes back."""

import logging
from datetime import timedelta

from django.db.models import Exists, OuterRef

from subscriptions.delivery import transitions
from subscriptions.models import Letter, LetterFact, Subscriber

logger = logging.getLogger(__name__)

#: So many letters in a row, within this time, may come back for reasons that may pass.
MOST_IN_A_ROW = 5
WITHIN = timedelta(days=14)

State = Letter.State
LEFT = (State.TRANSMITTING, State.UNCERTAIN, State.ACCEPTED)
By = Subscriber.Suppression
#: What no complaint replaces. She may lift her own complaint, but not what the operator decided.
FOR_GOOD = (By.COMPLAINED, By.OPERATOR)


def suppress_bounced(subscriber_id: int, address: str, said: str, now) -> None:
    """Write no more to an address of which a mail server says that it is none, unless she has
    another: she moves to a new one, say, or has just moved from this.

    In the caller's transaction. Where somebody holds her row, it is left to the next letter, which
    will come back as well.
    """
    found = Subscriber.objects.select_for_update(skip_locked=True)
    subscriber = found.filter(pk=subscriber_id, email=address).first()
    if subscriber is not None and subscriber.suppressed_at is None:
        _suppress(subscriber, By.BOUNCED, said, now)


def after_hard_bounce(letter: Letter, said: str, now) -> None:
    """Write no more to where a letter came back from, unless she was reached since it left."""
    subscriber = _locked(letter.subscriber_id)
    if subscriber is None or subscriber.suppressed_at is not None:
        return
    reached = subscriber.reachable_at
    if reached is None or letter.left_at is None or letter.left_at >= reached:
        _suppress(subscriber, By.BOUNCED, said, now)


def after_soft_bounce(subscriber_id: int, said: str, now) -> None:
    """Write no more where too many letters in a row came back, whatever the reason."""
    subscriber = _locked(subscriber_id)
    if subscriber is None or subscriber.suppressed_at is not None:
        return
    if (row := _in_a_row(subscriber, now)) >= MOST_IN_A_ROW:
        _suppress(subscriber, By.BOUNCED, f"{row} letters in a row came back: {said}", now)


def after_complaint(subscriber_id: int, said: str, now, *, left_at=None) -> None:
    """Write no more to one who says that she doesn't want it, and ask her nothing either.

    Of a letter that left before she moved, at `left_at`, it says nothing of where she is now.
    """
    subscriber = _locked(subscriber_id)
    if subscriber is None or subscriber.suppressed_by in FOR_GOOD:
        return
    if left_at is None or subscriber.moved_at is None or left_at >= subscriber.moved_at:
        _suppress(subscriber, By.COMPLAINED, said, now)


def _locked(subscriber_id) -> Subscriber | None:
    return Subscriber.objects.select_for_update().filter(pk=subscriber_id).first()


def _suppress(subscriber, by, said, now):
    """Note it, and call off what she is to get besides."""
    subscriber.suppressed_at = now
    subscriber.suppressed_by = by
    subscriber.suppressed_reason = said[:200]
    subscriber.save(update_fields=["suppressed_at", "suppressed_by", "suppressed_reason"])
    waiting = Letter.objects.select_for_update().filter(subscriber=subscriber, state=State.PLANNED)
    transitions.end(list(waiting.order_by("pk")), State.SKIPPED, "suppressed", now)
    logger.warning("subscriber %s: suppressed, %s", subscriber.pk, by.label)


def _in_a_row(subscriber, now) -> int:
    """Return how many of her letters came back without one between that didn't.

    Of the newest nothing may be known yet; of one that left before others came back, no news is
    good news.
    """
    since = max(filter(None, (now - WITHIN, subscriber.reachable_at)))
    facts = LetterFact.objects.filter(letter=OuterRef("pk"))
    letters = (
        Letter.objects.filter(subscriber=subscriber, to="", state__in=LEFT, left_at__gte=since)
        .annotate(
            came_back=Exists(facts.filter(kind=LetterFact.Kind.BOUNCED)),
            arrived=Exists(facts.filter(kind=LetterFact.Kind.DELIVERED)),
        )
        .order_by("-left_at", "-pk")
    )
    row = 0
    for letter in letters:
        if letter.came_back and not letter.arrived:
            row += 1
        elif row or letter.arrived:
            break
    return row
