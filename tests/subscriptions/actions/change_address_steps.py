"""Both addresses answer the request to move a digest."""

from subscriptions.actions import change_address
from tests.factories.make import CONSENT_SOURCE, MINUTE, NOW


def agree(subscriber, side, *, asked_at=NOW, now=NOW + MINUTE):
    return change_address.approve(subscriber, side, asked_at, source=CONSENT_SOURCE, now=now)


def agree_both(subscriber, **when):
    for side in ("old", "new"):
        agree(subscriber, side, **when)
