"""One SMTP connection that carries letters, one after the other, without ever blocking.

Success is the reply to the final dot and nothing else (RFC 5321, 4.1.1.4): what the server says
to QUIT, or that it hangs up, cannot unsend a letter. Until the dot is sent, every failure is
harmless and may be tried again; after it, silence means that nobody knows.

MAIL, RCPT and DATA go out together where the server allows it (PIPELINING, RFC 2920). Whatever it
says without being asked ends the conversation, since replies could no longer be told apart.
"""

import re
import socket
import ssl
import time
from contextlib import suppress

from subscriptions.post.line import Envelope, Verdict
from subscriptions.post.replies import GO_ON, Reply, ReplyParser, judge

#: How long a server may owe us each answer (RFC 5321, 4.5.3.2); for the body, how long it may read
#: nothing of it.
SECONDS = {"mail": 300, "rcpt": 300, "data": 120, "body": 180, "dot": 600}
FRESH_SECONDS = 60  # Servers hang up on idle clients, and some firewalls forget them unsaid.
READ_BYTES = 16_384  # A TLS record, so that none is left where a selector doesn't see it.

#: What is said after each, and how many replies are owed after its own where all are said at once.
NEXT_STAGE = {"mail": "rcpt", "rcpt": "data", "data": "body"}
OWED_AFTER = {"mail": 2, "rcpt": 1}
DOT = b".\r\n"
_SAYABLE = re.compile(r"[!-;=?-~]+")  # Without SMTPUTF8: printable ASCII, no blank, no bracket.

_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class SmtpLine:
    """A line (line.Line) over a connection that is past EHLO and all that has to be proven.

    `extensions` are those that EHLO offered, in lower case. After a letter that was not accepted
    it is closed: the next one gets a connection without a past.
    """

    def __init__(self, sock: socket.socket, extensions: frozenset[str]):
        sock.setblocking(False)
        self.state = "free"
        self.verdict = None
        self.wants_write = False
        self.waiting_since = self._idle_since = time.monotonic()
        self._sock = sock
        self._fileno = sock.fileno()
        self._pipelines = "pipelining" in extensions
        self._tells_size = "size" in extensions
        self._replies = ReplyParser()
        self._is_used = False
        self._stage = ""
        self._commands = []
        self._body = b""
        self._unsent = b""

    def fileno(self) -> int | None:
        return None if self.state == "closed" else self._fileno

    def is_fresh(self, now: float) -> bool:
        if self.state == "free" and now - self._idle_since > FRESH_SECONDS:
            self.close()
        return self.state == "free"

    def begin(self, envelope: Envelope, mime: bytes) -> None:
        self.verdict = None
        if self.state != "free":
            self._end("mail", "deferred", "the connection was closed", "line")
            return
        if not _SAYABLE.fullmatch(envelope.sender):
            self._end("mail", "deferred", "the sender is no address that SMTP can carry", "us")
            return
        if not _SAYABLE.fullmatch(envelope.recipient):
            self._end("rcpt", "refused", "the recipient is no address that SMTP can carry")
            return
        self.state, self._stage = "busy", "mail"
        self._body = _dot_stuffed(mime) if envelope.has_dots else _ended(mime)
        size = f" SIZE={len(mime)}" if self._tells_size else ""
        commands = (
            f"MAIL FROM:<{envelope.sender}>{size}\r\nRCPT TO:<{envelope.recipient}>\r\nDATA\r\n"
        ).encode("ascii")
        self._commands = [commands] if self._pipelines else commands.splitlines(keepends=True)
        self._say(self._commands.pop(0))

    def finish(self) -> None:
        if self.state == "fence":
            self._read()  # A server that gave up meanwhile is not sent the dot.
        if self.state == "fence":
            self.state, self._stage = "answering", "dot"
            self._say(DOT)

    def withdraw(self) -> None:
        self._hang_up()

    def close(self) -> None:
        """Say QUIT where it can be said, and don't wait for the answer, nor does Postfix.

        It changes nothing (smtp_skip_quit_response there), and some servers are slow to say
        goodbye, or never done with it.
        """
        if self.state == "free":
            self._quit()
        self._hang_up()

    def pump(self, now: float) -> None:
        if self.state != "closed":
            self._read()  # What was said before the rest is sent is no answer to it.
        if self._unsent:
            self._write()
        is_owed = self.state in ("busy", "answering")
        if is_owed and now - self.waiting_since > SECONDS[self._stage]:
            self._lose("the mail server did not answer in time", is_closed=False)

    def _say(self, words):
        """Send, unless there is an answer to what was not asked yet."""
        if self._replies.has_more():
            self._hear_unasked()
            return
        self.waiting_since = time.monotonic()
        self._unsent = words
        self._write()

    def _write(self):
        try:
            while self._unsent:
                sent = self._sock.send(self._unsent)
                self.waiting_since = time.monotonic()
                self._unsent = memoryview(self._unsent)[sent:]
        except _NOT_NOW as error:
            self.wants_write = not isinstance(error, ssl.SSLWantReadError)
            return
        except OSError as error:
            self._read()  # The server may have said why it hung up, which tells more.
            if self.state != "closed":
                self._lose(_why(error))
            return
        self.wants_write = False
        if self._stage == "body":
            self.state = "fence"

    def _read(self):
        try:
            data = self._sock.recv(READ_BYTES)
        except _NOT_NOW as error:
            self.wants_write = bool(self._unsent) or isinstance(error, ssl.SSLWantWriteError)
        except OSError as error:
            self._lose(_why(error))
        else:
            self.wants_write = bool(self._unsent)
            if data:
                self._replies.feed(data)
                self._hear()
            else:
                self._lose("the mail server hung up")

    def _hear(self):
        """Take what is said for answers, but to what we have not said to its end: above all, no
        letter is accepted whose dot still waits for room on the connection.
        """
        while self.state in ("busy", "answering") and not self._unsent:
            reply = self._replies.take()
            if reply is None:
                return
            if self._stage != "dot" and reply.code in GO_ON[self._stage]:
                self._go_on()
            else:
                self._conclude(reply)
        if self.state != "closed" and self._replies.has_more():
            self._hear_unasked()

    def _go_on(self):
        """Take the next step. Where all commands went out together, that is to listen on."""
        self._stage = NEXT_STAGE[self._stage]
        if self._stage == "body":
            self._say(self._body)
        elif self._pipelines:
            self.waiting_since = time.monotonic()
        else:
            self._say(self._commands.pop(0))

    def _conclude(self, reply):
        answer, about = judge(self._stage, reply)
        if reply.code == 421 and (self._is_stale() or (self._is_used and about == "us")):
            about = "line"  # Whether it is the server or this connection, a fresh one tells.
        if self._may_quit(reply):
            self._quit()
        self._end(self._stage, answer, str(reply), about)

    def _is_stale(self):
        """Return whether the server has said nothing since the letter before this one."""
        return self._is_used and self._stage == "mail"

    def _may_quit(self, reply):
        """Return whether the server reads commands now. After a 354 it would read a body."""
        if reply.code < 400:
            return False
        owed = OWED_AFTER.get(self._stage, 0) if self._pipelines else 0
        others = [self._replies.take() for _ in range(owed)]
        return all(other is not None and other.code != 354 for other in others)

    def _hear_unasked(self):
        reply = self._replies.take() or Reply(0, "what the mail server said was not asked for")
        if self.state == "free":
            self._hang_up()
        else:
            answer, about = judge("body", reply)
            self._end(self._stage, answer, str(reply), "line" if self._is_stale() else about)

    def _lose(self, why, is_closed=True):
        """The connection is of no more use. What that means depends on the dot."""
        if self.state == "free":
            self._hang_up()
        elif self.state == "answering":
            self._end("dot", "unknown", why)
        else:
            about = "line" if is_closed and self._is_stale() else ""
            self._end(self._stage, "deferred", why, about)

    def _end(self, stage, answer, words, about=""):
        self.verdict = Verdict(answer, stage, words, about)
        self._body = b""
        if answer == "accepted":
            self.state, self._is_used = "free", True
            self._idle_since = time.monotonic()
        else:
            self._hang_up()

    def _quit(self):
        with suppress(OSError):
            self._sock.send(b"QUIT\r\n")

    def _hang_up(self):
        self.state, self.wants_write = "closed", False
        self._unsent = self._body = b""
        self._sock.close()


def _dot_stuffed(mime):
    """Return the body as DATA carries it, all but the final dot (RFC 5321, 4.5.2).

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
