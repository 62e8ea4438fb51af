"""Keyed hashes by which letters and addresses are known again."""

from django.conf import settings

from subscriptions.mac import mac


def seal(salt: str, text: str, secret: str = "") -> str:
    """Return Django's salted HMAC (SHA-256) of a text, in hexadecimal digits.

    With `secret`, by a key that was SECRET_KEY once.
    """
    return mac(salt, text.encode(), secret or settings.SECRET_KEY).hex()
