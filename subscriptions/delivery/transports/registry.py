"""The transports: that of EMAIL_URL, a mail server (smtp.py) or files, and that of channels."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from subscriptions import hooks
from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.base import ConnectFailed, DeliveryResult, Message, Transport
from subscriptions.delivery.transports.smtp import SmtpTransport, parse_server


def stamp(moment: datetime) -> str:
    """Return a moment in the format of file names in the outbox."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def file_name(kind: str, frozen_at: datetime, letter_id: int) -> str:
    """Return the name of a letter's file in the outbox."""
    return f"{kind}-{stamp(frozen_at)}-{letter_id}.eml"


class FileTransport:
    """Writes letters to files in the outbox."""

    connections = 20  # So many letters are recorded in one transaction.

    def connect(self) -> "FileConnection":
        return FileConnection(Path(settings.DATA_DIR) / "outbox")


class FileConnection:
    """Writes the bytes that SMTP would carry. A resend overwrites the same file."""

    def __init__(self, outbox: Path):
        self._outbox = outbox
        self._draft = outbox / ".draft"

    def is_usable(self) -> bool:
        return True

    def offer(self, message: Message) -> DeliveryResult | None:
        self._message = message
        self._draft = self._outbox / f".draft-{message.letter_id}"
        try:
            self._outbox.mkdir(parents=True, exist_ok=True)
            self._draft.touch(0o600)
            with open(self._draft, "wb") as file:
                file.write(message.mime)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.close()
            return DeliveryResult("deferred", "file", _error_text(error))
        return None

    def finish(self) -> DeliveryResult:
        message = self._message
        target = self._outbox / file_name(message.kind, message.frozen_at, message.letter_id)
        try:
            os.replace(self._draft, target)
            sync_folder(self._outbox)  # The file name proves later that the letter was sent.
        except OSError as error:
            self.close()
            return DeliveryResult("unknown", "file", _error_text(error))
        return DeliveryResult("accepted", "file", target.name)

    def close(self) -> None:
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Write the names of the files in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _error_text(error):
    return f"the outbox folder can't be written to: {error.strerror or error}"


class ChannelTransport:
    """Posts messages to channels, each of which may take half a minute to answer."""

    connections = 8  # So many posts are uncertain when a worker is killed.

    def connect(self) -> "ChannelConnection":
        return ChannelConnection()


class ChannelConnection:
    def is_usable(self) -> bool:
        return True

    def offer(self, message: Message) -> DeliveryResult | None:
        self._message = message

    def finish(self) -> DeliveryResult:
        return hooks.post_to_channel(self._message.channel, self._message.mime)

    def close(self) -> None:
        """There is nothing to close: each post has a connection of its own."""


def hand_over(transport: Transport, message: Message) -> DeliveryResult:
    """Hand over one message that is not a letter in the database, and wait for the result."""
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
                "EMAIL_URL=file: takes no path: emails are written to DATA_DIR/outbox. Change "
                "DATA_DIR, or make outbox a link to another folder."
            )
        return FileTransport()
    if scheme in ("smtp", "smtps"):
        return SmtpTransport(parse_server(url))
    if esp := esps.ESPS.get(url.partition(":")[0].lower()):
        raise ImproperlyConfigured(
            f"EMAIL_URL: emails are sent over SMTP only. For {esp.title}, write "
            f"EMAIL_URL={esp.email_url}, with the user and password of its SMTP settings."
        )
    raise ImproperlyConfigured(
        "EMAIL_URL must be file: or smtp://user:password@host:port?tls=starttls."
    )
