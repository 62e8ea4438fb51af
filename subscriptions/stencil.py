"""A template is rendered once with holes in it; each letter fills them by joining bytes.

What a paper says of itself has gaps, filled before: a skeleton with gaps becomes a stencil for each
paper. Gaps may stand anywhere, since the lines that have some are broken and encoded as they are
filled.

A hole takes a line of its own in the template. Where a link has a signed token, the template has a
stand-in, as long as one, which the encoder keeps apart from the rest (subscriptions.wire). So the
filled bytes are those that rendering and encoding the whole letter would give. What goes into a
hole is made by html_line, text_line and filled_token alone, which escape and encode it.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from subscriptions import plaintext, wire

NONCE = secrets.token_hex(16)  # No paper and no reader can have written it.
SIGNATURE = secrets.token_urlsafe(32)
#: What stands for a line, or for a token. It begins with a word, which is looked for fast.
HOLE = re.compile(rf"hole-(?:{NONCE}-(\w+)|([a-z]+)0*\.{SIGNATURE})".encode())
GAP = re.compile(rf"gap-{NONCE}-(\w+)-", re.ASCII)
TAG = re.compile("<[^<>]*>")
CACHED = 5_000  # Most lines are of many letters, or of one alone.


class Filling(bytes):
    """What may go into a hole: encoded, and escaped where it has to be."""


def hole(name: str) -> str:
    """Return what stands in a template for a line that is filled later."""
    return f"hole-{NONCE}-{name}"


def stand_in(purpose: str) -> str:
    """Return what stands in a link for a token that is put in later. It is as long as one, of who
    never moved: another is nine characters longer, which moves no line's end.

    It leaves a hole with the name of the purpose, a word of lower case.
    """
    return f"hole-{purpose:0<17}.{SIGNATURE}"


@cache
def gap(name: str) -> str:
    """Return what stands in a template for words that are filled in before it becomes a stencil."""
    return f"gap-{NONCE}-{name}-"


def filled_token(token: str) -> Filling:
    """Return a signed token, which needs no encoding."""
    return Filling(token.encode("ascii"))


@dataclass(frozen=True)
class Stencil:
    """Parts in quoted-printable, each with the name of the hole behind it, and the last part.

    `size` is what they come to when decoded, about.
    """

    pairs: tuple[tuple[bytes, str], ...]
    last: bytes
    size: int

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of its holes."""
        return frozenset([name for _, name in self.pairs])

    @classmethod
    def cut(cls, rendered: str) -> "Stencil":
        """Return the stencil of a part of a letter that was rendered with holes in it."""
        size = len(rendered.encode()) + rendered.count("\n")  # Each line ends in two octets.
        return cls.of(wire.quoted(rendered), size)

    @classmethod
    def of(cls, encoded: bytes, size: int) -> "Stencil":
        """Return the stencil of what is encoded already. The spaces before a hole are its own."""
        pairs, at = [], 0
        for found in HOLE.finditer(encoded):
            pairs.append(
                (encoded[at : found.start()].rstrip(b" "), found[found.lastindex].decode())
            )
            at = found.end()
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


@dataclass(frozen=True)
class Skeleton:
    """A part with gaps, by lines: those without a gap are encoded, the others are formats.

    `size` is what the encoded ones come to when decoded.
    """

    lines: tuple[bytes | str, ...]
    size: int
    finished: Callable[[str], str]

    @classmethod
    def of_text(cls, rendered: str) -> "Skeleton":
        """Return the skeleton of a text part, of which no line is broken yet."""
        lines = [
            line if GAP.search(line) else plaintext.broken(line)
            for line in plaintext.cleaned(rendered).splitlines()
        ]
        return cls._of(plaintext.spaced("\n".join(lines)), plaintext.broken)

    @classmethod
    def of_html(cls, rendered: str, addresses: Iterable[str]) -> "Skeleton":
        """Return the skeleton of an HTML part. Inside of a tag only addresses may have gaps.

        Raises ValueError for another.
        """
        inside = {name for tag in TAG.findall(rendered) for name in GAP.findall(tag)}
        if words := inside.difference(addresses):
            raise ValueError(f"Words stand between tags, not inside of one: {sorted(words)}.")
        return cls._of(rendered, str)

    @classmethod
    def _of(cls, rendered, finished):
        lines, size = [], 0
        for line in rendered.strip("\n").split("\n"):
            if GAP.search(line):
                lines.append(GAP.sub(r"%(\1)s", line.replace("%", "%%")))
            else:
                lines.append(wire.quoted(line))
                size += len(line.encode()) + 2
        return cls(tuple(lines), size, finished)

    def filled(self, words: Mapping[str, str]) -> Stencil:
        """Return the stencil with these words in the gaps. In HTML they are escaped."""
        encoded, size = [], self.size
        for line in self.lines:
            if type(line) is str:
                line = self.finished(line % words)
                size += len(line.encode()) + 2
                line = wire.quoted(line)
            encoded.append(line)
        return Stencil.of(b"\r\n".join(encoded), size)


def escaped(text: str) -> str:
    """Return words as lxml writes them between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@lru_cache(CACHED)
def html_line(text: str) -> Filling:
    """Return one line of an HTML part, as lxml writes it: what no line end parts stays together."""
    words = map(plaintext.one_line, text.split(plaintext.NO_BREAK))
    return Filling(wire.quoted(escaped(plaintext.NO_BREAK.join(words))))


@lru_cache(CACHED)
def text_line(text: str, indent: str = "") -> Filling:
    """Return one line of a template of plain text, broken into as many as it takes."""
    return Filling(wire.quoted(plaintext.broken(indent + plaintext.one_line(text))))
