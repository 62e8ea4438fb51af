"""Letters are signed with the operator's key (DKIM_KEY_FILE); where there is none, they stay bare.

Then the mail server signs, which is the better place: it signs all that leaves it.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from subscriptions.post.signature import Key

DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)


def sign(mime: bytes) -> bytes:
    """Return the finished letter with its signature in front, or as it is where we have no key.

    The same bytes and key give the same bytes. Raises ImproperlyConfigured.
    """
    key = current_key()
    if key is None:
        return mime
    from subscriptions.post import signature

    return signature.sign(mime, key, settings.DKIM_SELECTOR, settings.DKIM_DOMAIN)


def check() -> None:
    """Refuse a key that can't sign before letters wait for it. Raises ImproperlyConfigured."""
    if current_key() is None:
        return
    for name in ("DKIM_SELECTOR", "DKIM_DOMAIN"):
        if not DOMAIN.fullmatch(value := getattr(settings, name)):
            raise ImproperlyConfigured(
                f"{name} must be a name as DNS has them (an international one in its xn-- form), "
                f"not {value!r}."
            )


def current_key() -> "Key | None":
    """Return the key that signs, read anew when its file has changed."""
    if not settings.DKIM_KEY_FILE:
        return None
    path = Path(settings.DKIM_KEY_FILE)
    try:
        return _key(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise _unusable(path, f"can't be read: {error.strerror}") from None


@lru_cache(maxsize=1)
def _key(path, changed_at):
    # Imported here: dkimpy takes an eighth of a second, which only those who sign pay.
    from subscriptions.post import signature

    try:
        return signature.read_key(path.read_bytes())
    except signature.NotAKey as reason:
        raise _unusable(path, reason) from None


def _unusable(path, reason):
    return ImproperlyConfigured(
        f"DKIM_KEY_FILE: {path} {reason}. Make a key with `openssl genrsa -out dkim.pem 2048`, "
        f"or name none where your mail server signs."
    )
