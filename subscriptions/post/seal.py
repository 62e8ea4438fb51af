"""Keyed hashes of which each letter has a few: the key is read once for all."""

import hmac
from functools import lru_cache

from django.conf import settings
from django.utils.crypto import salted_hmac


def seal(salt: str, text: str, secret: str = "") -> str:
    """Return Django's salted HMAC (SHA-256) of a text, in hexadecimal digits.

    With `secret`, by a key that was SECRET_KEY once.
    """
    keyed = _keyed(salt, secret or settings.SECRET_KEY).copy()
    keyed.update(text.encode())
    return keyed.hexdigest()


@lru_cache(100)
def _keyed(salt, secret) -> hmac.HMAC:
    return salted_hmac(salt, b"", secret, algorithm="sha256")
