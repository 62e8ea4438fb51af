"""A connection, who is at its other end, and what moves a letter along it."""

import socket
import time
from contextlib import contextmanager
from dataclasses import replace

from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.smtp import SmtpServer, SmtpTransport
from subscriptions.delivery.transports.smtp_connection import SmtpConnection
from subscriptions.delivery.worker.greenlets import Hub
from tests.factories.make import NOW

MIME = b"Subject: Papers\r\n\r\n" + b"Graphs.\r\n" * 50
SENDER = "digest@papers.example.org"
ONE_BY_ONE = ("8BITMIME",)
COMMANDS = ["mail", "rcpt", "data"]
STAGES = [*COMMANDS, "dot"]


def transport(server, **fields):
    return SmtpTransport(SmtpServer(*server.server_address, **fields))


def envelope(order="reader"):
    """Return a message whose recipient, or sender before RCPT, says what the server does."""
    is_early = order.endswith("-mail")
    sender = f"{order}@example.org" if is_early else SENDER
    recipient = "r@example.org" if is_early else f"{order}@example.org"
    return Message(sender, recipient, MIME, "", 1, NOW)


class Line:
    """A connection whose calls are tasks, so that a test can be at both of its ends in turn."""

    def __init__(self, connection):
        self.connection, self.result = connection, None
        self.hub, self._task = Hub(), None
        self._at_end = self._stage = "free"

    @property
    def state(self):
        if self._task is not None and not self._task.dead:
            return self._stage
        if self._at_end == "final_check" and self.result is None:
            return "final_check"
        return "free" if self.connection.is_open else "closed"

    def begin(self, message, mime=MIME):
        message = replace(message, mime=mime)
        self._call("busy", "final_check", lambda: self.connection.offer(message))

    def finish(self):
        self._call("answering", "free", self.connection.finish)

    def _call(self, stage, at_end, call):
        def work():
            self.result = call()

        self.result, self._stage, self._at_end = None, stage, at_end
        self._task = self.hub.spawn(work)
        self.pump(0)

    def pump(self, seconds=0.02):
        """Let it do what it can, or wait so long until it can."""
        alarm = self.hub.spawn(self.hub.park, seconds)
        self.hub.run(condition=lambda: alarm.dead or (self._task is not None and self._task.dead))

    def close(self):
        self.hub.kill()
        self.connection.close()
        self.hub.close()


def pump(line, seconds=3.0, until=("final_check", "free", "closed")):
    """Let it go on until it is in one of these states."""
    deadline = time.monotonic() + seconds
    while line.state not in until and time.monotonic() < deadline:
        line.pump()
    return line.state


def deliver(line, order="reader", mime=MIME):
    """Hand a letter over, if need be past the final check. Return what became of it."""
    line.begin(envelope(order), mime)
    if pump(line) == "final_check":
        line.finish()
        pump(line)
    return line.result


def judged(result):
    return result.status, result.stage, result.scope


@contextmanager
def pair(extensions=frozenset({"pipelining"})):
    """Return a line, and the server's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(3)
        line = Line(SmtpConnection(ours, extensions))
        yield line, theirs
        line.close()


OK = b"250 ok\r\n"
EXPECTED_CODES = OK + OK + b"354 go on\r\n"


@contextmanager
def at_final_check():
    """Return a line that has said all of a letter but its dot, and the server's end of it."""
    with begun() as (line, server):
        heard(line, server, EXPECTED_CODES)
        yield line, server


@contextmanager
def begun(extensions=frozenset({"pipelining"}), mime=MIME):
    """Return a line to which a letter was given, and the server's end of it."""
    with pair(extensions) as (line, server):
        line.begin(envelope(), mime)
        yield line, server


def heard(line, server, replies=b"", *, hangs_up=False):
    """Let the server say this, and hang up. Return what becomes of the letter."""
    server.sendall(replies)
    if hangs_up:
        server.close()
    pump(line)
    return line.result and judged(line.result)
