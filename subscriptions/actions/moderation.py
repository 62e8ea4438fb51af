"""Actions of operators on subscribers: ask again, suppress, unsuppress, add a channel.

Every function takes the moment as an argument and is idempotent.
"""

import uuid
from datetime import timedelta

from django.db import transaction

from subscriptions import hooks
from subscriptions.actions.signup import ConsentSource, record_consent
from subscriptions.delivery import clock, queue
from subscriptions.models import Channel, Consent, Invitation, Letter, Subscriber
from subscriptions.notices import send
from subscriptions.security.tokens import CONFIRM_DAYS


def ask_if_address_works(subscriber: Subscriber, *, now) -> Letter | None:
    """Ask a subscriber whose letters bounced whether the address is right.

    Returns the letter, or None if they were asked recently or may not be asked.
    """
    with transaction.atomic():
        return send.ask_if_address_works(subscriber.locked(), now)


def ask_to_confirm(subscriber: Subscriber, *, now) -> Letter | None:
    """Send the confirmation again to a pending subscriber, also to an address that never answers.

    Also to an unsubscribed one who signed up since. Returns the letter, or None if they had one
    recently, signed up more than CONFIRM_DAYS ago, or were invited, which has its own reminder.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        since = now - timedelta(days=CONFIRM_DAYS)
        since = max(since, subscriber.unsubscribed_at or since)
        has_asked = subscriber.consents.filter(act=Consent.Act.ASKED, at__gt=since).exists()
        invitations = Invitation.objects.filter(subscriber=subscriber, at=subscriber.asked_at)
        is_waiting = has_asked and subscriber.state_at(now) in ("pending", "unsubscribed")
        if not is_waiting or invitations.exists():
            return None
        letter = send.write_confirm(subscriber, now, since=now - send.CONFIRM_INTERVAL)
        if letter is not None:
            subscriber.asked_at = now  # From which the link in it is valid for CONFIRM_DAYS.
            subscriber.save()
        return letter


def suppress(subscriber: Subscriber, reason: str, *, now) -> bool:
    """Send no more letters, and cancel those that wait. Return False if an operator did so before.

    The subscriber can read the reason. Unlike after a bounce or complaint, only an operator can
    unsuppress.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        if subscriber.suppressed_by == Subscriber.Suppression.OPERATOR:
            return False
        subscriber.suppressed_at = now
        subscriber.suppressed_by = Subscriber.Suppression.OPERATOR
        subscriber.suppressed_reason = reason[:200]
        subscriber.save()
        queue.cancel(subscriber, "suppressed", now)
        return True


def unsuppress(subscriber: Subscriber, *, now) -> bool:
    """Send letters again, whatever suppressed them. Return whether they were suppressed."""
    with transaction.atomic():
        subscriber = subscriber.locked()
        if subscriber.suppressed_at is None:
            return False
        subscriber.unsuppress(now)
        subscriber.save()
        return True


def add_channel(channel: Channel, *, source: ConsentSource, now) -> None:
    """Save a new channel, confirmed by the operator. Its first message is due at once."""
    with transaction.atomic():
        channel.email = f"post@{uuid.uuid4().hex}.channel.invalid"  # A provider of its own.
        channel.asked_at = channel.confirmed_at = now
        channel.subscribed_at = channel.next_due_at = clock.not_in_future(now)
        channel.save()
        record_consent(channel, Consent.Act.CONFIRMED, source, now)
        for callback in hooks.on_confirmed:
            transaction.on_commit(callback, robust=True)
