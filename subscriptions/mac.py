"""Keyed hashes, of which each letter has half a dozen: the key is read once for all."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from django.conf import settings


def seal(salt: str, text: str, secret: str = "") -> str:
    """Return the MAC of a text, by which letters and addresses are known again, in hexadecimal.

    With `secret`, by a key that was SECRET_KEY once.
    """
    (made,) = macs(salt, [text.encode()], secret or settings.SECRET_KEY)
    return made.hex()


def macs(salt: str, messages: Iterable[bytes], secret: str) -> list[bytes]:
    """Return Django's salted HMAC (SHA-256) of each message: 32 octets.

    The two hashes of which it is made (RFC 2104, 4) are copied in less time than an HMAC is.
    """
    keyed_inner, keyed_outer = _keyed(salt, secret)
    made = []
    for message in messages:
        inner, outer = keyed_inner.copy(), keyed_outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        made.append(outer.digest())
    return made


@lru_cache(100)
def _keyed(salt, secret):
    key = hashlib.sha256(f"{salt}{secret}".encode()).digest()
    key = key.ljust(hashlib.sha256().block_size, b"\0")
    return [hashlib.sha256(bytes(octet ^ pad for octet in key)) for pad in (0x36, 0x5C)]
