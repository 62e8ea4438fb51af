"""Addresses that letters are kept from: told by the mail server, or by what comes back."""

import logging

from subscriptions.models import Letter, Subscriber
from subscriptions.post import ledger

logger = logging.getLogger(__name__)

State = Letter.State


def suppress_bounced(subscriber_id: int, said: str, now) -> None:
    """Write no more to an address of which a mail server says that it is none.

    In the caller's transaction. What she is to get besides is called off. Where somebody holds her
    row, it is left to the next letter, which will come back as well.
    """
    found = Subscriber.objects.select_for_update(skip_locked=True)
    subscriber = found.filter(pk=subscriber_id).first()
    if subscriber is None or subscriber.suppressed_at is not None:
        return
    subscriber.suppressed_at = now
    subscriber.suppressed_by = Subscriber.Suppression.BOUNCED
    subscriber.suppressed_reason = said[:200]
    subscriber.save(update_fields=["suppressed_at", "suppressed_by", "suppressed_reason"])
    waiting = Letter.objects.select_for_update().filter(subscriber=subscriber, state=State.PLANNED)
    ledger.end(list(waiting.order_by("pk")), State.SKIPPED, "suppressed", now)
    logger.warning("subscriber %s: letters to this address come back", subscriber_id)
