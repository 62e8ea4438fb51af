"""The transport that EMAIL_URL names: a mail server (smtp.py), or files in the outbox."""

import os
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.base import ConnectFailed, DeliveryResult, Message, Transport
from subscriptions.delivery.transports.smtp import SmtpTransport, parse_server

DRAFT = ".draft-"
DRAFT_SECONDS = 3600  # A living worker has its draft in place, or gone, within a minute.


def stamp(moment: datetime) -> str:
    """Return a moment as the names of files in the outbox have it."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def file_name(letter) -> str:
    """Return what a letter's file is called: by its message, or by a question about it."""
    return f"{letter.kind}-{stamp(letter.frozen_at)}-{letter.letter_id}.eml"


class FileTransport:
    """Letters become files in the outbox."""

    connections = 20  # So many letters are settled in one transaction.

    def connect(self) -> "FileConnection":
        return FileConnection(Path(settings.DATA_DIR) / "outbox")


class FileConnection:
    """Puts letters into the outbox: the very bytes that SMTP would carry.

    The name says which letter it is, so that a repeat falls on the same file. Nothing has to be
    waited for.
    """

    def __init__(self, outbox: Path):
        self._outbox = outbox
        self._draft: Path | None = None

    def is_usable(self) -> bool:
        return True

    def offer(self, message: Message) -> DeliveryResult | None:
        self._message = message
        try:
            self._draft = _write_draft(self._outbox, message.mime)
        except OSError as error:
            return DeliveryResult("deferred", "file", _why_not(error))
        return None

    def finish(self) -> DeliveryResult:
        target = self._outbox / file_name(self._message)
        try:
            os.replace(self._draft, target)
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # The name says later that the letter was sent.
            finally:
                os.close(folder)
            return DeliveryResult("accepted", "file", target.name)
        except OSError as error:
            return _judge(self._draft, target, self._message.mime, error)
        finally:
            self.close()

    def close(self) -> None:
        if self._draft is not None:
            _remove(self._draft)
        self._draft = None


def _write_draft(outbox: Path, mime: bytes) -> Path:
    """Bring the bytes to the disk, under a name that is no letter's. Raises OSError."""
    outbox.mkdir(parents=True, exist_ok=True)
    for draft in outbox.glob(f"{DRAFT}*"):  # Of workers that were killed.
        with suppress(OSError):  # Another worker sweeps too.
            if draft.stat().st_mtime < time.time() - DRAFT_SECONDS:
                draft.unlink()
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


def _judge(draft, target, mime, error):
    """Look what an error left: on a disk across a network, a step may be reported as failed that
    was taken, and an earlier try may have put the same bytes in place.
    """
    with suppress(OSError):
        if target.read_bytes() == mime:
            return DeliveryResult("accepted", "file", target.name)
    answer = "deferred" if os.path.lexists(draft) else "unknown"
    return DeliveryResult(answer, "file", _why_not(error))


def _remove(draft):
    with suppress(OSError):  # What stays is swept by a later write.
        draft.unlink(missing_ok=True)


def _why_not(error):
    return f"the outbox folder can't be written to: {error.strerror or error}"


def hand_over(transport: Transport, message: Message) -> DeliveryResult:
    """Hand one message over that is no letter of the database, while the caller waits."""
    try:
        connection = transport.connect()
    except ConnectFailed as failure:
        return DeliveryResult("deferred", "connect", str(failure))
    try:
        return connection.offer(message) or connection.finish()
    finally:
        connection.close()


@cache
def transport_for(url: str) -> Transport:
    """Return the transport that EMAIL_URL names. Raises ImproperlyConfigured for any other."""
    scheme = url.partition(":")[0].lower() if ":" in url else ""
    if scheme == "file":
        if url.partition(":")[2].strip("/"):
            raise ImproperlyConfigured(
                "EMAIL_URL=file: takes no path: letters become files in outbox/ of DATA_DIR. Name "
                "another folder there, or make outbox/ a link to one."
            )
        return FileTransport()
    if scheme in ("smtp", "smtps"):
        return SmtpTransport(parse_server(url))
    if esp := esps.ESPS.get(url.partition(":")[0].lower()):
        raise ImproperlyConfigured(
            f"EMAIL_URL: emails leave over SMTP alone. For {esp.title}, write "
            f"EMAIL_URL={esp.email_url}, with the user and password of its SMTP settings."
        )
    raise ImproperlyConfigured(
        "EMAIL_URL is no transport of ours. It may be file: or "
        "smtp://user:password@host:port?tls=starttls."
    )
