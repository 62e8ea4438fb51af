"""Suppress addresses that the mail server rejects, or that bounce or complain."""

import logging
from datetime import timedelta

from django.db.models import Exists, OuterRef

from subscriptions.delivery import transitions
from subscriptions.models import Letter, LetterFact, Subscriber

logger = logging.getLogger(__name__)

#: So many letters in a row, within this time, may bounce for temporary reasons.
MAX_BOUNCES_IN_A_ROW = 5
BOUNCE_PERIOD = timedelta(days=14)

State = Letter.State
SENT_STATES = (State.TRANSMITTING, State.UNCERTAIN, State.ACCEPTED)
Cause = Subscriber.Suppression
#: Not replaced by a complaint. Subscribers can undo their own, but not the operator's decision.
FINAL_CAUSES = (Cause.COMPLAINED, Cause.OPERATOR)


def after_rejection(subscriber_id: int, address: str, reply: str, now) -> None:
    """Suppress a subscriber whose address does not exist, unless they have changed address since.

    Call inside a transaction. If the subscriber's row is locked, nothing happens: the next letter
    will be rejected as well.
    """
    subscriber = _lock(subscriber_id, skip_locked=True, email=address, suppressed_at=None)
    if subscriber is not None:
        _suppress(subscriber, Cause.BOUNCED, reply, now)


def after_hard_bounce(letter: Letter, reply: str, now) -> None:
    """Suppress the subscriber, unless the address was known to work after the letter was sent."""
    if (subscriber := _lock(letter.subscriber_id, suppressed_at=None)) is None:
        return
    reachable_at = subscriber.reachable_at
    if reachable_at is None or letter.left_at is None or letter.left_at >= reachable_at:
        _suppress(subscriber, Cause.BOUNCED, reply, now)


def after_soft_bounce(subscriber_id: int, reply: str, now) -> None:
    """Suppress the subscriber if too many letters in a row bounced, whatever the reason."""
    if (subscriber := _lock(subscriber_id, suppressed_at=None)) is None:
        return
    if (count := _count_bounces_in_a_row(subscriber, now)) >= MAX_BOUNCES_IN_A_ROW:
        _suppress(subscriber, Cause.BOUNCED, f"{count} letters in a row came back: {reply}", now)


def after_complaint(subscriber_id: int, reply: str, now, *, left_at=None) -> None:
    """Suppress a subscriber who complained, and do not ask whether the address is right.

    A complaint about a letter that was sent (`left_at`) before a change of address does not count.
    """
    subscriber = _lock(subscriber_id)
    if subscriber is None or subscriber.suppressed_by in FINAL_CAUSES:
        return
    if left_at is None or subscriber.moved_at is None or left_at >= subscriber.moved_at:
        _suppress(subscriber, Cause.COMPLAINED, reply, now)


def _lock(subscriber_id, *, skip_locked=False, **conditions) -> Subscriber | None:
    subscribers = Subscriber.objects.select_for_update(skip_locked=skip_locked)
    return subscribers.filter(pk=subscriber_id, **conditions).first()


def _suppress(subscriber, cause, reply, now):
    """Save the suppression, and skip the letters that wait."""
    subscriber.suppressed_at, subscriber.suppressed_by = now, cause
    subscriber.suppressed_reason = reply[:200]
    subscriber.save(update_fields=["suppressed_at", "suppressed_by", "suppressed_reason"])
    letters = Letter.objects.select_for_update().filter(subscriber=subscriber, state=State.PLANNED)
    transitions.end(list(letters.order_by("pk")), State.SKIPPED, "suppressed", now)
    logger.warning("Subscriber %s: suppressed, %s", subscriber.pk, cause.label)


def _count_bounces_in_a_row(subscriber, now) -> int:
    """Return how many of the latest letters bounced in a row.

    The newest ones may have no report yet and are left out. An older one without a report arrived.
    """
    since = max(filter(None, (now - BOUNCE_PERIOD, subscriber.reachable_at)))
    facts = LetterFact.objects.filter(letter=OuterRef("pk"))
    sent_letters = Letter.objects.filter(subscriber=subscriber, state__in=SENT_STATES)
    letters = sent_letters.filter(to="", left_at__gte=since).annotate(
        came_back=Exists(facts.filter(kind=LetterFact.Kind.BOUNCED)),
        arrived=Exists(facts.filter(kind=LetterFact.Kind.DELIVERED)),
    )
    count = 0
    for letter in letters.order_by("-left_at", "-pk"):
        if letter.came_back and not letter.arrived:
            count += 1
        elif count or letter.arrived:
            break
    return count
