"""A line, who is at its other end, and what moves a letter along it."""

import select
import socket
import time
from contextlib import contextmanager

from subscriptions.post.line import Envelope
from subscriptions.post.smtp_line import SmtpLine
from subscriptions.post.smtp_server import SmtpServer, SmtpTransport
from tests.make import NOW

MIME = b"Subject: Papers\r\n\r\n" + b"Graphs.\r\n" * 50
SENDER = "digest@papers.example.org"
ONE_BY_ONE = ("8BITMIME",)
COMMANDS = ["mail", "rcpt", "data"]
STAGES = [*COMMANDS, "dot"]


def transport(server, **fields):
    return SmtpTransport(SmtpServer(*server.server_address, **fields))


def envelope(order="reader"):
    """Return an envelope whose recipient, or sender before RCPT, says what the server does."""
    is_early = order.endswith("-mail")
    sender = f"{order}@example.org" if is_early else SENDER
    return Envelope(sender, "r@example.org" if is_early else f"{order}@example.org", "", 1, NOW)


def pump(line, seconds=3.0, until=("fence", "free", "closed")):
    """Do what the engine does: pump whenever the socket is ready, and to look at the time."""
    deadline = time.monotonic() + seconds
    while line.state not in until and time.monotonic() < deadline:
        writers = [line] if line.wants_write else []
        select.select([line], writers, [], 0.02)
        line.pump(time.monotonic())
    return line.state


def deliver(line, order="reader", mime=MIME):
    """Hand a letter over, if need be through the fence. Return the verdict."""
    line.begin(envelope(order), mime)
    if pump(line) == "fence":
        line.finish()
        pump(line)
    return line.verdict


def judged(verdict):
    return verdict.answer, verdict.stage, verdict.about


@contextmanager
def pair(extensions=frozenset({"pipelining"})):
    """Return a line, and the server's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(3)
        yield SmtpLine(ours, extensions), theirs


@contextmanager
def at_fence():
    """Return a line that has said all of a letter but its dot, and the server's end of it."""
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        yield line, server


def wait_for(condition):
    deadline = time.monotonic() + 3
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
