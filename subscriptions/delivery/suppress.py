"""Suppress addresses that the mail server rejects, or from which letters come back."""

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
#: Not replaced by a complaint. Subscribers can undo their own, but not the operator's decision.
FOR_GOOD = (By.COMPLAINED, By.OPERATOR)


def suppress_bounced(subscriber_id: int, address: str, said: str, now) -> None:
    """Suppress a subscriber whose address does not exist, unless they have changed address since.

    Call inside a transaction. If the subscriber's row is locked, nothing happens: the next letter
    will be rejected as well.
    """
    found = Subscriber.objects.select_for_update(skip_locked=True)
    subscriber = found.filter(pk=subscriber_id, email=address).first()
    if subscriber is not None and subscriber.suppressed_at is None:
        _suppress(subscriber, By.BOUNCED, said, now)


def after_hard_bounce(letter: Letter, said: str, now) -> None:
    """Suppress the subscriber, unless the address was known to work after the letter was sent."""
    subscriber = _locked(letter.subscriber_id)
    if subscriber is None or subscriber.suppressed_at is not None:
        return
    reached = subscriber.reachable_at
    if reached is None or letter.left_at is None or letter.left_at >= reached:
        _suppress(subscriber, By.BOUNCED, said, now)


def after_soft_bounce(subscriber_id: int, said: str, now) -> None:
    """Suppress the subscriber if too many letters in a row came back, whatever the reason."""
    subscriber = _locked(subscriber_id)
    if subscriber is None or subscriber.suppressed_at is not None:
        return
    if (row := _in_a_row(subscriber, now)) >= MOST_IN_A_ROW:
        _suppress(subscriber, By.BOUNCED, f"{row} letters in a row came back: {said}", now)


def after_complaint(subscriber_id: int, said: str, now, *, left_at=None) -> None:
    """Suppress a subscriber who complained, and do not ask whether the address is right.

    A complaint about a letter that was sent (`left_at`) before a change of address does not count.
    """
    subscriber = _locked(subscriber_id)
    if subscriber is None or subscriber.suppressed_by in FOR_GOOD:
        return
    if left_at is None or subscriber.moved_at is None or left_at >= subscriber.moved_at:
        _suppress(subscriber, By.COMPLAINED, said, now)


def _locked(subscriber_id) -> Subscriber | None:
    return Subscriber.objects.select_for_update().filter(pk=subscriber_id).first()


def _suppress(subscriber, by, said, now):
    """Save the suppression, and skip the letters that wait."""
    subscriber.suppressed_at = now
    subscriber.suppressed_by = by
    subscriber.suppressed_reason = said[:200]
    subscriber.save(update_fields=["suppressed_at", "suppressed_by", "suppressed_reason"])
    waiting = Letter.objects.select_for_update().filter(subscriber=subscriber, state=State.PLANNED)
    transitions.end(list(waiting.order_by("pk")), State.SKIPPED, "suppressed", now)
    logger.warning("subscriber %s: suppressed, %s", subscriber.pk, by.label)


def _in_a_row(subscriber, now) -> int:
    """Return how many of the latest letters came back in a row.

    The newest ones may have no report yet and are left out. An older one without a report arrived.
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
