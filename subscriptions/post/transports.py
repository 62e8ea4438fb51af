"""How a letter is handed over: each transport has one verb, and answers in one of four words.

    hand_over(envelope, mime, fence) -> Verdict("accepted" | "deferred" | "refused" | "unknown", …)

`fence` is called when everything but the last, irrevocable step is done. What it raises goes
through to the caller, and that step is not taken.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from subscriptions.post.conversation import SmtpServer, converse

DRAFT = ".draft-"
DRAFT_SECONDS = 3600  # A living worker has its draft in place, or gone, within a minute.


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
        moment = envelope.frozen_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = outbox / f"{envelope.kind}-{moment}-{envelope.letter_id}.eml"
        try:
            draft = _write_draft(outbox, mime)
        except OSError as error:
            return Verdict("deferred", "file", _why_not(error))
        try:
            fence()
            return _put_in_place(draft, target, mime)
        finally:
            _remove(draft)


def _write_draft(outbox: Path, mime: bytes) -> Path:
    """Bring the bytes to the disk, under a name that is no letter's. Raises OSError."""
    outbox.mkdir(parents=True, exist_ok=True)
    _sweep_drafts(outbox)
    descriptor, name = tempfile.mkstemp(dir=outbox, prefix=DRAFT)
    try:
        with open(descriptor, "wb") as file:
            file.write(mime)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        _remove(Path(name))
        raise
    return Path(name)


def _sweep_drafts(outbox):
    """Remove what was left by workers that were killed."""
    for draft in outbox.glob(f"{DRAFT}*"):
        with suppress(OSError):  # Another worker sweeps too.
            if draft.stat().st_mtime < time.time() - DRAFT_SECONDS:
                draft.unlink()


def _put_in_place(draft, target, mime):
    try:
        os.replace(draft, target)
    except OSError as error:
        return _judge(draft, target, mime, error)
    return Verdict("accepted", "file", target.name)


def _judge(draft, target, mime, error):
    """Look what an error left: on a disk across a network, a step may be reported as failed that
    was taken, and an earlier try may have put the same bytes in place.
    """
    with suppress(OSError):
        if target.read_bytes() == mime:
            return Verdict("accepted", "file", target.name)
    answer = "deferred" if os.path.lexists(draft) else "unknown"
    return Verdict(answer, "file", _why_not(error))


def _remove(draft):
    with suppress(OSError):  # What stays is swept by a later write.
        draft.unlink(missing_ok=True)


def _why_not(error):
    return f"the outbox folder can't be written to: {error.strerror or error}"


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
