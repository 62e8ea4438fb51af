"""Templates rendered once with placeholders, which each letter fills by joining bytes.

A hole is a whole line of the template, or a signed token in a link, for which the template has a
placeholder of the same length, which the encoder keeps apart from the rest
(subscriptions.mail.mime). So the result is byte for byte that of rendering and encoding the whole
letter. Only html_line, text_line and encode_token make what fills a hole: they escape and encode
it.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from django.utils.html import escape

from subscriptions.mail import mime, plaintext

NONCE = secrets.token_hex(16)  # No text from outside can contain it.
SIGNATURE = secrets.token_urlsafe(32)
#: The placeholder of a line or a token. It begins with a literal, which is found fast.
HOLE = re.compile(rf"hole-(?:{NONCE}-(\w+)|([a-z]+)0*\.{SIGNATURE})".encode())
CACHE_SIZE = 5_000  # Most lines are in many letters, or in one.


class EncodedBytes(bytes):
    """Encoded and escaped content of a hole."""


def line_slot(name: str) -> str:
    """Return the placeholder of a line."""
    return f"hole-{NONCE}-{name}"


def token_slot(purpose: str) -> str:
    """Return the placeholder of a token, whose hole is named after the purpose (a lower-case word).

    It has the length of a token without a date. One with a date is nine characters longer, which
    moves no line end.
    """
    return f"hole-{purpose:0<17}.{SIGNATURE}"


def encode_token(token: str) -> EncodedBytes:
    """Return the content of a hole for a signed token, which needs no escaping."""
    return EncodedBytes(token.encode("ascii"))


def encode_url(url: str, indent: str = "") -> EncodedBytes:
    """Return the content of a line of a text part that is an address."""
    line = indent + url
    if len(line) <= mime.WIDTH and line.isascii() and "=" not in line:
        return EncodedBytes(line.encode())  # The same, in a tenth of the time.
    return EncodedBytes(mime.quoted(line))


@dataclass(frozen=True)
class HoleTemplate:
    """Quoted-printable parts, each with the name of the hole after it, and the last part.

    `size` is about the decoded size in bytes.
    """

    pairs: tuple[tuple[bytes, str], ...]
    last: bytes
    size: int

    @cached_property
    def hole_names(self) -> frozenset[str]:
        return frozenset([name for _, name in self.pairs])

    @classmethod
    def compile(cls, rendered: str) -> "HoleTemplate":
        """Return the template of a rendered part with placeholders."""
        size = len(rendered.encode()) + rendered.count("\n")  # Each line ends in two octets.
        return cls.of(mime.quoted(rendered), size)

    @classmethod
    def of(cls, encoded: bytes, size: int) -> "HoleTemplate":
        """Return the template of an encoded part, without the spaces before its holes."""
        pairs, start = [], 0
        for hole in HOLE.finditer(encoded):
            part = encoded[start : hole.start()].rstrip(b" ")
            pairs.append((part, hole[hole.lastindex].decode()))
            start = hole.end()
        return cls(tuple(pairs), encoded[start:], size)

    def join(self, values: Mapping[str, "EncodedBytes | list[bytes]"]) -> list[bytes]:
        """Return the pieces of the filled template.

        Values are EncodedBytes, or pieces from other templates. Raises TypeError for others.
        """
        pieces = []
        for part, name in self.pairs:
            pieces.append(part)
            value = values[name]
            if type(value) is EncodedBytes:
                pieces.append(value)
            elif type(value) is list:
                pieces += value
            else:
                raise TypeError("A hole is filled with what html_line or its kin returned.")
        pieces.append(self.last)
        return pieces


@lru_cache(CACHE_SIZE)
def html_line(text: str) -> EncodedBytes:
    """Return the content of a line of an HTML part."""
    words = map(plaintext.one_line, text.split(plaintext.NO_BREAK))
    return EncodedBytes(mime.quoted(escape(plaintext.NO_BREAK.join(words))))


@lru_cache(CACHE_SIZE)
def text_line(text: str, indent: str = "") -> EncodedBytes:
    """Return the content of a line of a text part, broken if needed."""
    return EncodedBytes(mime.quoted(plaintext.wrapped_line(indent + plaintext.one_line(text))))
