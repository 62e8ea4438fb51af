"""Encryption of secrets that must be readable: channels' addresses, subscribers' Zotero keys."""

from base64 import urlsafe_b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from subscriptions.security.hashing import keyed_hash

PURPOSE = "subscriptions.encryption"


class UnreadableSecret(Exception):
    """The secret was encrypted with a key that is not in SECRET_KEY or SECRET_KEY_FALLBACKS."""

    def __init__(self):
        super().__init__(
            "a secret cannot be read, since SECRET_KEY was changed: add the former key to "
            "SECRET_KEY_FALLBACKS, or enter the secret again"
        )


def encrypt(text: str) -> str:
    """Return a Fernet token, by a key that is derived from SECRET_KEY."""
    return _current_fernet().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return what was encrypted. Raises UnreadableSecret."""
    try:
        return _current_fernet().decrypt(token).decode()
    except InvalidToken as error:
        raise UnreadableSecret from error


def _current_fernet():
    return _fernet(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(4)
def _fernet(*secrets):
    keys = (bytes.fromhex(keyed_hash(PURPOSE, "", secret)) for secret in secrets)
    return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])
