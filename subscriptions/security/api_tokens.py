"""Tokens for the API: one a subscriber, stored as a keyed hash, for no other purpose."""

from secrets import token_urlsafe

from django.db import transaction

from subscriptions.models import ApiToken, Subscriber
from subscriptions.security.hashing import keyed_hash, valid_hashes

PURPOSE = "subscriptions.api_tokens"


def make(subscriber: Subscriber, now) -> str:
    """Return a new token, which replaces the previous one. It cannot be read again."""
    token = f"pb_{token_urlsafe(32)}"  # config.middleware knows tokens by this prefix.
    values = {"hash": keyed_hash(PURPOSE, token), "created_at": now}
    with transaction.atomic():  # Locked, so that nobody erases the subscriber meanwhile.
        ApiToken.objects.update_or_create(subscriber=subscriber.locked(), defaults=values)
    return token


def revoke(subscriber: Subscriber) -> None:
    ApiToken.objects.filter(subscriber=subscriber).delete()


def find_subscriber(token: str) -> Subscriber | None:
    """Return whose token it is, in any state: who gets no digests may still read theirs."""
    return Subscriber.objects.filter(api_token__hash__in=valid_hashes(PURPOSE, token)).first()
