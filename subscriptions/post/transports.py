"""How a letter is handed over: each transport has one verb, and answers in one of four words.

    hand_over(envelope, mime, fence) -> Verdict("accepted" | "deferred" | "refused" | "unknown", …)

`fence` is called when everything but the last, irrevocable step is done. What it raises goes
through to the caller, and that step is not taken.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from subscriptions.post.conversation import SmtpServer, converse


@dataclass(frozen=True)
class Envelope:
    """Who sends what to whom, besides the letter's bytes."""

    sender: str
    recipient: str
    kind: str
    letter_id: int
    frozen_at: datetime


@dataclass(frozen=True)
class Verdict:
    """What became of a letter, at which stage, in whose words."""

    answer: Literal["accepted", "deferred", "refused", "unknown"]
    stage: str
    reply: str = ""


class Transport(Protocol):
    def hand_over(self, envelope: Envelope, mime: bytes, fence: Callable[[], None]) -> Verdict: ...


class FileTransport:
    """Letters become files in the outbox: the very bytes that SMTP would carry.

    The name says which letter it is, so that a repeat falls on the same file.
    """

    def hand_over(self, envelope, mime, fence):
        outbox = Path(settings.DATA_DIR) / "outbox"
        outbox.mkdir(parents=True, exist_ok=True)
        moment = envelope.frozen_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = outbox / f"{envelope.kind}-{moment}-{envelope.letter_id}.eml"
        descriptor, draft = tempfile.mkstemp(dir=outbox, prefix=".draft-")
        try:
            with open(descriptor, "wb") as file:
                file.write(mime)
                file.flush()
                os.fsync(file.fileno())
            fence()
            os.replace(draft, target)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return Verdict("accepted", "file", target.name)


class SmtpTransport:
    """Letters go to a mail server, one conversation each."""

    def __init__(self, server: SmtpServer):
        self.server = server

    def hand_over(self, envelope, mime, fence):
        answer, stage, reply = converse(
            self.server, envelope.sender, envelope.recipient, mime, fence
        )
        return Verdict(answer, stage, reply)


@cache
def transport_for(url: str) -> Transport:
    """Return the transport that EMAIL_URL names. Raises ImproperlyConfigured for any other."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FileTransport()
    if parts.scheme in ("smtp", "smtps"):
        return SmtpTransport(_server(parts))
    raise ImproperlyConfigured(
        f"EMAIL_URL begins with {parts.scheme or url!r}, which is no transport of ours. It may be "
        f"file: or smtp://user:password@host:port?tls=starttls."
    )


def _server(parts) -> SmtpServer:
    try:
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured("EMAIL_URL holds a port that is no number.") from None
    if not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL names no host: smtp://host:port.")
    implied = "implicit" if parts.scheme == "smtps" or port == 465 else "none"
    if implied == "none" and port == 587:
        implied = "starttls"
    tls = parse_qs(parts.query).get("tls", [implied])[0]
    if tls not in ("none", "starttls", "implicit"):
        raise ImproperlyConfigured(
            f"EMAIL_URL: tls must be none, starttls or implicit, not {tls!r}."
        )
    return SmtpServer(
        host=parts.hostname,
        port=port or {"implicit": 465, "starttls": 587, "none": 25}[tls],
        tls=tls,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
