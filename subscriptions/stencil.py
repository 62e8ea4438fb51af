"""A template is rendered once with holes in it; each letter fills them by joining bytes.

A hole takes a line of its own in the template. Where a link has a signed token, the template has a
stand-in, as long as one, which the encoder keeps apart from the rest (subscriptions.wire). So the
filled bytes are those that rendering and encoding the whole letter would give. What goes into a
hole is made by html_line and text_line alone, which escape and encode it.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from subscriptions import plaintext, wire

NONCE = secrets.token_hex(16)  # No paper and no reader can have written it.
SIGNATURE = secrets.token_urlsafe(32)
#: A line that is a hole, with the spaces before it.
HOLE = re.compile(rf" *hole-{NONCE}-(\w+)".encode())
CACHED = 20_000


class Filling(bytes):
    """What may go into a hole: encoded, and escaped where it has to be."""


def hole(name: str) -> str:
    """Return what stands in a template for a line that is filled later."""
    return f"hole-{NONCE}-{name}"


def stand_in(purpose: str) -> str:
    """Return what stands in a link for a token that is put in later. It is as long as one."""
    return f"{purpose:0<22}.{SIGNATURE}"


def with_tokens(data: bytes, tokens: Mapping[str, str]) -> bytes:
    """Return the encoded part with its tokens in place of those that stood for them."""
    for purpose, token in tokens.items():
        data = data.replace(stand_in(purpose).encode(), token.encode())
    return data


@dataclass(frozen=True)
class Stencil:
    """Parts in quoted-printable, each with the name of the hole behind it, and the last part.

    `size` is what they come to when decoded, about.
    """

    pairs: tuple[tuple[bytes, str], ...]
    last: bytes
    size: int

    @classmethod
    def cut(cls, rendered: str) -> "Stencil":
        """Return the stencil of a part of a letter that was rendered with holes in it."""
        encoded, pairs, at = wire.quoted(rendered), [], 0
        for found in HOLE.finditer(encoded):
            pairs.append((encoded[at : found.start()], found[1].decode()))
            at = found.end()
        size = len(rendered.encode()) + rendered.count("\n")  # Each line ends in two octets.
        return cls(tuple(pairs), encoded[at:], size)

    def lay(self, values: Mapping[str, "Filling | list[bytes]"]) -> list[bytes]:
        """Return the parts and what fills the holes between them, to be joined.

        A hole takes a Filling, or what other stencils have laid. Raises TypeError for all else.
        """
        pieces = []
        for part, name in self.pairs:
            pieces.append(part)
            value = values[name]
            if type(value) is Filling:
                pieces.append(value)
            elif type(value) is list:
                pieces += value
            else:
                raise TypeError("A hole is filled with what html_line or its kin returned.")
        pieces.append(self.last)
        return pieces


@lru_cache(CACHED)
def html_line(text: str) -> Filling:
    """Return one line of an HTML part, as lxml writes it."""
    text = plaintext.one_line(text)
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Filling(wire.quoted(escaped))


@lru_cache(CACHED)
def text_line(text: str, indent: str = "") -> Filling:
    """Return one line of a template of plain text, broken into as many as it takes."""
    return Filling(wire.quoted(plaintext.broken(indent + plaintext.one_line(text))))
