"""One SMTP connection: MAIL, RCPT, DATA, the message, end of data, and the replies to them.

Success is the reply to end of data and nothing else (RFC 5321, 4.1.1.4): what the server says
to QUIT, or that it hangs up, cannot unsend a message. Until end of data is sent, every failure is
harmless and may be tried again; after it, silence means that nobody knows.

MAIL, RCPT and DATA go out together where the server allows it (PIPELINING, RFC 2920). Whatever it
says without being asked ends the conversation, since replies could no longer be told apart.
"""

import re
import socket
import ssl
import time
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE
from typing import Never

from subscriptions.delivery.transports.base import DeliveryResult, Message
from subscriptions.delivery.transports.smtp_replies import GO_ON, Reply, ReplyParser, judge
from subscriptions.delivery.worker.greenlets import wait_for

#: How long a server may owe us each answer (RFC 5321, 4.5.3.2); for the body, how long it may read
#: nothing of it.
SECONDS = {"mail": 300, "rcpt": 300, "data": 120, "body": 180, "dot": 600}
FRESH_SECONDS = 60  # Servers hang up on idle clients, and some firewalls forget them unsaid.
READ_BYTES = 16_384  # A TLS record, so that none is left where a selector doesn't see it.

#: How many replies are owed after that to a stage's own, where all commands went out together.
OWED_AFTER = {"mail": 2, "rcpt": 1}
END_OF_DATA = b".\r\n"
_SAYABLE = re.compile(r"[!-;=?-~]+")  # Without SMTPUTF8: printable ASCII, no blank, no bracket.
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Ended(Exception):
    """The conversation has come to its end, with this result."""

    def __init__(self, result: DeliveryResult):
        self.result = result


class SmtpConnection:
    """A connection (transports.base.Connection) that is past EHLO and all that has to be proven.

    `extensions` are those that EHLO offered, in lower case. After a message that was not accepted
    it is closed: the next one gets a connection without a past.
    """

    def __init__(self, sock: socket.socket, extensions: frozenset[str]):
        sock.setblocking(False)
        self._sock = sock
        self._pipelines = "pipelining" in extensions
        self._tells_size = "size" in extensions
        self._replies = ReplyParser()
        self._stage = ""  # Between two messages.
        self.is_open, self._is_used = True, False
        self._idle_since = time.monotonic()

    def is_usable(self) -> bool:
        """Return whether it is open, was not idle for long, and the server has said nothing."""
        if self.is_open and time.monotonic() - self._idle_since > FRESH_SECONDS:
            self.close()
        if self.is_open:
            try:
                self._read()
                self._refuse_unasked()
            except _Ended:
                self._hang_up()
        return self.is_open

    def offer(self, message: Message) -> DeliveryResult | None:
        """Say all of a message but end of data."""
        try:
            self._offer(message)
        except _Ended as end:
            self._hang_up()
            return end.result
        return None

    def _offer(self, message):
        self._stage = "mail"
        if not self.is_open:
            self._end("deferred", "the connection was closed", "connection")
        if not _SAYABLE.fullmatch(message.sender):
            self._end("deferred", "the sender is no address that SMTP can carry", "us")
        if not _SAYABLE.fullmatch(message.recipient):
            self._stage = "rcpt"
            self._end("refused", "the recipient is no address that SMTP can carry")
        size = f" SIZE={len(message.mime)}" if self._tells_size else ""
        commands = [
            f"MAIL FROM:<{message.sender}>{size}\r\n".encode("ascii"),
            f"RCPT TO:<{message.recipient}>\r\n".encode("ascii"),
            b"DATA\r\n",
        ]
        if self._pipelines:
            commands = [b"".join(commands), b"", b""]
        for self._stage, command in zip(("mail", "rcpt", "data"), commands, strict=True):
            self._say(command)
            self._hear()
        self._stage = "body"
        self._say(_dot_stuffed(message.mime) if message.has_dots else _ended(message.mime))

    def finish(self) -> DeliveryResult:
        """Say end of data. Its reply is what became of the message."""
        try:
            self._read()  # A server that gave up meanwhile is not sent it.
            self._refuse_unasked()
            self._stage = "dot"
            self._say(END_OF_DATA)
            reply = self._hear()
        except _Ended as end:
            self._hang_up()
            return end.result
        self._stage, self._is_used, self._idle_since = "", True, time.monotonic()
        return DeliveryResult("accepted", "dot", str(reply))

    def close(self) -> None:
        """Say QUIT where it can be said, and don't wait for the answer, nor does Postfix.

        It changes nothing (smtp_skip_quit_response there), and some servers are slow to say
        goodbye, or never done with it.
        """
        if self.is_open and not self._stage:
            self._quit()
        self._hang_up()

    # ---- What is said and heard. All of this raises _Ended where the conversation can't go on.

    def _say(self, words):
        """Send, unless there is an answer to what was not asked yet."""
        if not words:
            return
        self._refuse_unasked()
        while words:
            try:
                words = memoryview(words)[self._sock.send(words) :]
            except _NOT_NOW as error:
                only_reads = isinstance(error, ssl.SSLWantReadError)
                self._wait(EVENT_READ if only_reads else EVENT_READ | EVENT_WRITE)
                self._read()  # What is said before the rest is sent is no answer to it: above all,
                self._refuse_unasked()  # no message is accepted whose end of data still waits.
            except OSError as error:
                self._read()  # The server may have said why it hung up, which tells more.
                self._refuse_unasked()
                self._lose(_why(error))

    def _hear(self) -> Reply:
        """Return the reply that lets the conversation go on."""
        until = time.monotonic() + SECONDS[self._stage]
        wanted = EVENT_READ
        while (reply := self._replies.take()) is None:
            self._wait(wanted, until - time.monotonic())
            wanted = self._read()
        if reply.code not in GO_ON[self._stage]:
            self._conclude(reply)
        return reply

    def _wait(self, events, seconds=None):
        if not wait_for(self._sock, events, SECONDS[self._stage] if seconds is None else seconds):
            self._lose("the mail server did not answer in time", is_closed=False)

    def _read(self) -> int:
        """Take in what is there. Return for what to wait before there may be more."""
        try:
            data = self._sock.recv(READ_BYTES)
        except ssl.SSLWantWriteError:
            return EVENT_WRITE
        except _NOT_NOW:
            return EVENT_READ
        except OSError as error:
            self._lose(_why(error))
        if not data:
            self._lose("the mail server hung up")
        self._replies.feed(data)
        return EVENT_READ

    def _conclude(self, reply) -> Never:
        answer, about = judge(self._stage, reply)
        if reply.code == 421 and (self._is_stale() or (self._is_used and about == "us")):
            about = "connection"  # Whether it is the server or this one, a fresh one tells.
        if self._may_quit(reply):
            self._quit()
        self._end(answer, str(reply), about)

    def _may_quit(self, reply):
        """Return whether the server reads commands now. After a 354 it would read a body."""
        if reply.code < 400:
            return False
        owed = OWED_AFTER.get(self._stage, 0) if self._pipelines else 0
        others = [self._replies.take() for _ in range(owed)]
        return all(other is not None and other.code != 354 for other in others)

    def _refuse_unasked(self):
        if self._replies.has_more():
            reply = self._replies.take() or Reply(0, "what the mail server said was not asked for")
            answer, about = judge("body", reply)
            self._end(answer, str(reply), "connection" if self._is_stale() else about)

    def _is_stale(self):
        """Return whether the server has said nothing since the message before this one."""
        return self._is_used and self._stage == "mail"

    def _lose(self, why, is_closed=True) -> Never:
        """The connection is of no more use. What that means depends on end of data."""
        if self._stage == "dot":
            self._end("unknown", why)
        self._end("deferred", why, "connection" if is_closed and self._is_stale() else "")

    def _end(self, status, reply, scope="") -> Never:
        passes = reply.startswith("4")
        trouble = "unreachable" if passes else "auth"
        is_let_in = self._stage == "rcpt" and passes
        raise _Ended(DeliveryResult(status, self._stage, reply, scope, trouble, is_let_in))

    def _quit(self):
        with suppress(OSError):
            self._sock.send(b"QUIT\r\n")

    def _hang_up(self):
        self.is_open = False
        self._sock.close()


def _dot_stuffed(mime):
    """Return the body as DATA carries it, without end of data (RFC 5321, 4.5.2).

    A dot is doubled after a bare LF too: some servers take that for the end of a line.
    """
    body = mime.replace(b"\n.", b"\n..") if b"\n." in mime else mime  # Looked for twice as fast.
    if body.startswith(b"."):
        body = b"." + body
    return _ended(body)


def _ended(body):
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _why(error):
    return f"{type(error).__name__}: {error}"
