"""Keyed hashes, of which each letter has half a dozen: the key is read once for all."""

import hashlib
from functools import lru_cache


def mac(salt: str, message: bytes, secret: str) -> bytes:
    """Return Django's salted HMAC (SHA-256) of a message: 32 octets.

    The two hashes of which it is made (RFC 2104, 4) are copied in less time than an HMAC is.
    """
    inner, outer = _keyed(salt, secret)
    inner, outer = inner.copy(), outer.copy()
    inner.update(message)
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(100)
def _keyed(salt, secret):
    key = hashlib.sha256(f"{salt}{secret}".encode()).digest()
    key = key.ljust(hashlib.sha256().block_size, b"\0")
    return [hashlib.sha256(bytes(octet ^ pad for octet in key)) for pad in (0x36, 0x5C)]
