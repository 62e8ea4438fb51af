"""A connection, who is at its other end, and what moves a letter along it."""

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.smtp import Client, SmtpServer, SmtpTransport
from tests.factories.make import NOW

MIME = b"Subject: Papers\r\n\r\n" + b"Graphs.\r\n" * 50
SENDER = "digest@papers.example.org"
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
    """A connection whose calls run in a thread, so that a test can be at both of its ends."""

    def __init__(self, connection):
        self.connection, self.result = connection, None
        self._thread = None
        self._at_end = self._stage = "free"

    @property
    def state(self):
        if self._thread is not None and self._thread.is_alive():
            return self._stage
        if self._at_end == "final_check" and self.result is None:
            return "final_check"
        return "closed" if self.connection.sock is None else "free"

    def begin(self, message, mime=MIME):
        message = replace(message, mime=mime)
        self._call("busy", "final_check", lambda: self.connection.offer(message))

    def finish(self):
        self._call("answering", "free", self.connection.finish)

    def _call(self, stage, at_end, call):
        def work():
            self.result = call()

        self.result, self._stage, self._at_end = None, stage, at_end
        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        self.pump()

    def pump(self, seconds=0.02):
        """Let it do what it can for so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def close(self):
        self.connection.close()
        self.pump(1)


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
def pair(extensions=()):
    """Return a line, and the server's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(3)
        client = Client(SmtpServer("mail.example.org", 25), None)
        client.sock = ours
        client._become_idle()
        client.esmtp_features = dict.fromkeys(extensions, "")
        line = Line(client)
        yield line, theirs
        line.close()


OK = b"250 ok\r\n"
EXPECTED_CODES = [OK, OK, b"354 go on\r\n"]


@contextmanager
def at_final_check():
    """Return a line that has said all of a letter but its dot, and the server's end of it."""
    with begun() as (line, server):
        heard(line, server, *EXPECTED_CODES)
        yield line, server


@contextmanager
def begun(extensions=(), mime=MIME):
    """Return a line to which a letter was given, and the server's end of it."""
    with pair(extensions) as (line, server):
        line.begin(envelope(), mime)
        yield line, server


def heard(line, server, *replies, hangs_up=False):
    """Let the server say this, each reply after a command, and hang up. Return what becomes of
    the letter.
    """
    for reply in replies:
        server.recv(1_000)
        server.sendall(reply)
    if hangs_up:
        server.close()
    pump(line)
    return line.result and judged(line.result)
