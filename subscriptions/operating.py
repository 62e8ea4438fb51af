"""What only an operator does to a subscriber: ask again, keep letters from her, let them go again.

What she can do herself is in `signup` and `changing`. Each takes its moment as an argument, and may
be called twice: the second time changes nothing.
"""

from datetime import timedelta

from django.db import transaction

from subscriptions import correspondence, signup
from subscriptions.links import CONFIRM_DAYS
from subscriptions.models import Consent, Letter, Subscriber
from subscriptions.post import office


def ask_if_right(subscriber: Subscriber, *, now) -> Letter | None:
    """Ask one whose letters came back whether her address is right.

    Return the letter that was written, or None where she was asked lately or is not to be.
    """
    with transaction.atomic():
        return correspondence.ask(subscriber.locked(), now)


def ask_to_confirm(subscriber: Subscriber, *, now) -> Letter | None:
    """Send the confirmation again to one who asked for the digest and hasn't said yes yet.

    Return the letter that was written, or None where she had one lately, isn't waiting for any, or
    asked too long ago: what she didn't answer then isn't asked for ever.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        since = now - timedelta(days=CONFIRM_DAYS)
        has_asked = subscriber.consents.filter(act=Consent.Act.ASKED, at__gt=since).exists()
        if subscriber.state_at(now) != "pending" or not has_asked:
            return None
        letter = correspondence.write_confirm(
            subscriber, now, since=now - correspondence.CONFIRM_AGAIN
        )
        if letter is not None:
            subscriber.asked_at = now  # The link in it holds from now on, as it says.
            subscriber.save()
        return letter


def suppress(subscriber: Subscriber, reason: str, *, now) -> bool:
    """Write no more to her, as the operator decides. Return whether that is new.

    What waits is called off. She can read the reason, and can't lift it herself, as she can what
    came back or was reported.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        if subscriber.suppressed_by == Subscriber.Suppression.OPERATOR:
            return False
        subscriber.suppressed_at = now
        subscriber.suppressed_by = Subscriber.Suppression.OPERATOR
        subscriber.suppressed_reason = reason[:200]
        subscriber.save()
        office.cancel(subscriber, "suppressed", now)
        return True


def lift(subscriber: Subscriber, *, now) -> bool:
    """Let letters go to her again, whatever kept them from her. Return whether any were kept."""
    with transaction.atomic():
        subscriber = subscriber.locked()
        if subscriber.suppressed_at is None:
            return False
        signup.let_letters_go(subscriber, now)
        subscriber.save()
        return True
