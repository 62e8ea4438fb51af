"""Keyed hashes of values that must not be readable or guessable without SECRET_KEY."""

from django.conf import settings
from django.utils.crypto import salted_hmac


def keyed_hash(purpose: str, value: str, secret: str | None = None) -> str:
    """Return an HMAC-SHA256 in hexadecimal digits, by SECRET_KEY unless another secret is given.

    The same value has unrelated hashes for different purposes. Stored hashes and Message-IDs depend
    on the purposes, so they never change.
    """
    return salted_hmac(purpose, value, secret, algorithm="sha256").hexdigest()


def known_hashes(purpose: str, value: str) -> list[str]:
    """Return the hashes by SECRET_KEY and by each of SECRET_KEY_FALLBACKS."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [keyed_hash(purpose, value, secret) for secret in secrets]
