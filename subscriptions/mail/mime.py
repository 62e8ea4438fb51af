"""Encode emails for SMTP: CRLF, seven bits, short lines.

Quoted-printable may break a line anywhere (RFC 2045, 6.7). This encoder breaks it around each
signed token, so that the bytes next to a token do not depend on it: what many letters share is
encoded once, and the tokens are inserted (subscriptions.mail.byte_templates).
"""

import re
from collections.abc import Iterable
from email.header import Header
from email.policy import EmailPolicy
from functools import lru_cache

#: A signed token in a link: see subscriptions.security.tokens.
TOKEN = re.compile(r"/([\w-]{22}(?:~[0-9a-f]{8})?\.[\w-]{43})(?=/)", re.ASCII)
#: Octets of a line, without the "=" of a soft line break. A token has no more.
WIDTH = 75
UNSAFE = re.compile(rb"[^ -~]+")  # Besides "=".
#: A short line that is the same in quoted-printable, as most are, and has no token.
PLAIN = re.compile(r"(?!\.|From )[ -.0-<>-~]{0,75}(?<! )", re.ASCII)
#: No encoded line begins with these: mbox files change "From " to ">From ", and some relays double
#: or drop a dot (RFC 2049, 3).
UNSAFE_STARTS = (b".", b"From ")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: Headers that stay on one line, of at most 998 octets (RFC 5322, 2.1.1): no mail program reads a
#: long address that is split into encoded-words (RFC 2047, 5).
UNFOLDED = frozenset(
    {"to", "message-id", "list-id", "list-unsubscribe", "list-help", "date", "feedback-id"}
)
#: Headers that differ between letters; the others are cached.
PER_LETTER = frozenset({"To", "Message-ID", "List-Unsubscribe"})
POLICY = EmailPolicy(linesep="\r\n", cte_type="7bit")


def quoted(text: str) -> bytes:
    """Return the text in quoted-printable, with CRLF."""
    return b"\r\n".join(map(_encode_line, text.split("\n")))


def message(
    headers: Iterable[tuple[str, str]], text: Iterable[bytes], html: Iterable[bytes], boundary: str
) -> bytes:
    """Return the message of two quoted-printable parts, each given in pieces.

    The boundary begins with "=_", which no line of quoted-printable has.
    """

    def part_head(subtype):
        return (
            f'--{boundary}\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
            "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        ).encode()

    lines = [header(*pair) if pair[0] in PER_LETTER else _cached_header(*pair) for pair in headers]
    head = f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary="{boundary}"'
    end = f"\r\n--{boundary}--\r\n".encode()
    text_part, html_part = [part_head("plain"), *text, b"\r\n"], [part_head("html"), *html, end]
    return b"".join([*lines, head.encode(), b"\r\n\r\n", *text_part, *html_part])


def header(name: str, value: str) -> bytes:
    """Return a header, folded if needed. Raises ValueError for control characters."""
    if not value.isprintable() and CONTROL.search(value):
        raise ValueError(f"{name} holds a character that no header may: {value!r}")
    if name.lower() in UNFOLDED:
        return f"{name}: {value}\r\n".encode("ascii")
    if name.lower() == "subject":
        # Django's policy makes encoded-words of 76 octets, where 75 are allowed. What looks like an
        # encoded-word is encoded, or it would be decoded for display.
        charset = "utf-8" if not value.isascii() or "=?" in value else None
        folded_value = Header(value, charset, WIDTH, name).encode(linesep="\r\n")
        return f"{name}: {folded_value}\r\n".encode("ascii")
    return POLICY.fold(*POLICY.header_store_parse(name, value)).encode("ascii")


_cached_header = lru_cache(4096)(header)


def _encode_line(line):
    if PLAIN.fullmatch(line):
        return line.encode("ascii")
    chunks, start = [], 0
    for token in TOKEN.finditer(line):
        chunks += _encode_chunks(line[start : token.start(1)]) + _encode_chunks(token[1])
        start = token.end()
    return b"=\r\n".join(chunks + _encode_chunks(line[start:]))


def _encode_chunks(piece):
    """Return the encoded piece as lines that split no escape."""
    data = piece.encode().replace(b"=", b"=3D")
    if not (piece.isascii() and piece.isprintable()):
        data = UNSAFE.sub(lambda octets: _escape(octets[0]), data)
    if data.endswith(b" "):
        data = data[:-1] + b"=20"
    chunks, start = [], 0
    while True:
        if data.startswith(UNSAFE_STARTS, start):
            data = data[:start] + _escape(data[start : start + 1]) + data[start + 1 :]
        end = start + WIDTH
        if end >= len(data):
            return [*chunks, data[start:]]
        escape = data.rfind(b"=", end - 2, end)
        end = end if escape < 0 else escape
        chunks.append(data[start:end])
        start = end


def _escape(octets):
    return b"=" + octets.hex("=").upper().encode()
