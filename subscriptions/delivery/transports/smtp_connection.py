"""One SMTP connection: MAIL, RCPT, DATA, the message, end of data, and the replies to them.

Success is the reply to end of data and nothing else (RFC 5321, 4.1.1.4): neither the reply to QUIT
nor a closed connection can unsend a message. Before end of data is sent, any failure is harmless,
and the message can be sent again. After it, no reply means that the outcome is unknown.

MAIL, RCPT and DATA are sent together if the server allows it (PIPELINING, RFC 2920). An unsolicited
reply ends the session, since replies could no longer be matched to commands.
"""

import re
import socket
import ssl
import time
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE
from typing import Never

from subscriptions.delivery.transports.base import DeliveryResult, Message
from subscriptions.delivery.transports.smtp_replies import (
    EXPECTED_CODES,
    Reply,
    ReplyParser,
    classify_reply,
)
from subscriptions.delivery.worker.greenlets import wait_for

#: How long to wait for each reply (RFC 5321, 4.5.3.2), and for the server to read more of the body.
SECONDS = {"mail": 300, "rcpt": 300, "data": 120, "body": 180, "dot": 600}
MAX_IDLE_SECONDS = 60  # Servers close idle connections, and some firewalls drop them silently.
READ_BYTES = 16_384  # A TLS record: a selector does not see what the TLS layer has buffered.

#: How many replies follow the one to this stage's command, if all commands were sent together.
FURTHER_REPLIES = {"mail": 2, "rcpt": 1}
END_OF_DATA = b".\r\n"
_SMTP_ADDRESS = re.compile(r"[!-;=?-~]+")  # Without SMTPUTF8: printable ASCII, no space or bracket.
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Ended(Exception):
    """The session has ended, with this result."""

    def __init__(self, result: DeliveryResult):
        self.result = result


class SmtpConnection:
    """A connection (transports.base.Connection) that has passed EHLO, TLS and authentication.

    `extensions` are those that EHLO offered, in lower case. It is closed after a message that was
    not accepted.
    """

    def __init__(self, sock: socket.socket, extensions: frozenset[str]):
        sock.setblocking(False)
        self._sock = sock
        self._has_pipelining = "pipelining" in extensions
        self._has_size = "size" in extensions
        self._replies = ReplyParser()
        self._stage = ""  # Between two messages.
        self.is_open, self._is_used = True, False
        self._idle_since = time.monotonic()

    def is_usable(self) -> bool:
        """Return whether it is open, was not idle for long, and has no unsolicited reply."""
        if self.is_open and time.monotonic() - self._idle_since > MAX_IDLE_SECONDS:
            self.close()
        if self.is_open:
            try:
                self._end_if_unsolicited()
            except _Ended:
                self._disconnect()
        return self.is_open

    def offer(self, message: Message) -> DeliveryResult | None:
        """Send all of a message but end of data."""
        try:
            self._offer(message)
        except _Ended as end:
            self._disconnect()
            return end.result
        return None

    def _offer(self, message):
        self._stage = "mail"
        if not self.is_open:
            self._end("deferred", "the connection was closed", "connection")
        if not _SMTP_ADDRESS.fullmatch(message.sender):
            self._end("deferred", "the sender is no address that SMTP can carry", "us")
        if not _SMTP_ADDRESS.fullmatch(message.recipient):
            self._stage = "rcpt"
            self._end("refused", "the recipient is no address that SMTP can carry")
        size = f" SIZE={len(message.mime)}" if self._has_size else ""
        commands = [
            f"MAIL FROM:<{message.sender}>{size}\r\n".encode("ascii"),
            f"RCPT TO:<{message.recipient}>\r\n".encode("ascii"),
            b"DATA\r\n",
        ]
        if self._has_pipelining:
            commands = [b"".join(commands), b"", b""]
        for self._stage, command in zip(("mail", "rcpt", "data"), commands, strict=True):
            self._send(command)
            self._read_reply()
        self._stage = "body"
        self._send(_dot_stuffed(message.mime))

    def finish(self) -> DeliveryResult:
        """Send end of data. Its reply is the outcome."""
        try:
            self._end_if_unsolicited()  # Not sent if the server has ended the session meanwhile.
            self._stage = "dot"
            self._send(END_OF_DATA)
            reply = self._read_reply()
        except _Ended as end:
            self._disconnect()
            return end.result
        self._stage, self._is_used, self._idle_since = "", True, time.monotonic()
        return DeliveryResult("accepted", "dot", str(reply))

    def close(self) -> None:
        """Send QUIT between messages, and do not wait for the reply.

        The reply changes nothing (compare Postfix's smtp_skip_quit_response), and some servers are
        slow to send it or never do.
        """
        if self.is_open and not self._stage:
            self._quit()
        self._disconnect()

    # ---- Sending and reading. These raise _Ended if the session cannot go on.

    def _send(self, data):
        """Send all of the data, unless the server replies before."""
        if not data:
            return
        self._end_if_unsolicited()
        while data:
            try:
                data = memoryview(data)[self._sock.send(data) :]
            except _WOULD_BLOCK as error:
                only_reads = isinstance(error, ssl.SSLWantReadError)
                self._wait(EVENT_READ if only_reads else EVENT_READ | EVENT_WRITE)
                # A reply now is not a reply to this data. Above all, no message is accepted whose
                # end of data was not sent completely.
                self._end_if_unsolicited()
            except OSError as error:
                self._end_if_unsolicited()  # The server may have sent a reply before it closed.
                self._fail(_error_text(error))

    def _read_reply(self) -> Reply:
        """Return the reply to this stage's command, if it lets the session go on."""
        deadline = time.monotonic() + SECONDS[self._stage]
        events = EVENT_READ
        while (reply := self._replies.take()) is None:
            self._wait(events, deadline - time.monotonic())
            events = self._read()
        if reply.code not in EXPECTED_CODES[self._stage]:
            self._end_with(reply)
        return reply

    def _wait(self, events, seconds=None):
        if not wait_for(self._sock, events, SECONDS[self._stage] if seconds is None else seconds):
            self._fail("the mail server did not answer in time", is_closed=False)

    def _read(self) -> int:
        """Read what has arrived. Return for which event to wait before reading more."""
        try:
            data = self._sock.recv(READ_BYTES)
        except ssl.SSLWantWriteError:
            return EVENT_WRITE
        except _WOULD_BLOCK:
            return EVENT_READ
        except OSError as error:
            self._fail(_error_text(error))
        if not data:
            self._fail("the mail server hung up")
        self._replies.feed(data)
        return EVENT_READ

    def _end_with(self, reply) -> Never:
        status, scope = classify_reply(self._stage, reply)
        if reply.code == 421 and (self._is_silent_reuse() or (self._is_used and scope == "us")):
            scope = "connection"  # A new connection shows whether it is the server.
        if self._may_quit(reply):
            self._quit()
        self._end(status, str(reply), scope)

    def _may_quit(self, reply):
        """Return whether the server expects a command. After a 354 it expects a body."""
        if reply.code < 400:
            return False
        count = FURTHER_REPLIES.get(self._stage, 0) if self._has_pipelining else 0
        replies = [self._replies.take() for _ in range(count)]
        return all(reply is not None and reply.code != 354 for reply in replies)

    def _end_if_unsolicited(self):
        self._read()
        if self._replies.has_more():
            reply = self._replies.take() or Reply(0, "what the mail server said was not asked for")
            status, scope = classify_reply("body", reply)
            self._end(status, str(reply), "connection" if self._is_silent_reuse() else scope)

    def _is_silent_reuse(self):
        """Return whether there was no reply yet since the previous message on this connection."""
        return self._is_used and self._stage == "mail"

    def _fail(self, reason, is_closed=True) -> Never:
        """End a broken session. After end of data, the outcome is unknown."""
        if self._stage == "dot":
            self._end("unknown", reason)
        scope = "connection" if is_closed and self._is_silent_reuse() else ""
        self._end("deferred", reason, scope)

    def _end(self, status, reply, scope="") -> Never:
        is_temporary = reply.startswith("4")
        trouble = "unreachable" if is_temporary else "auth"
        is_temporary_rcpt = is_temporary and self._stage == "rcpt"
        raise _Ended(DeliveryResult(status, self._stage, reply, scope, trouble, is_temporary_rcpt))

    def _quit(self):
        with suppress(OSError):
            self._sock.send(b"QUIT\r\n")

    def _disconnect(self):
        self.is_open = False
        self._sock.close()


def _dot_stuffed(mime):
    """Return the body for DATA, without end of data (RFC 5321, 4.5.2).

    A dot is doubled after a bare LF too, since some servers take that for the end of a line.
    """
    body = mime.replace(b"\n.", b"\n..") if b"\n." in mime else mime  # Searching first is faster.
    if body.startswith(b"."):
        body = b"." + body
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _error_text(error):
    return f"{type(error).__name__}: {error}"
