"""A mail server, and a line to it."""

from contextlib import ExitStack

import pytest

from subscriptions.delivery.transports.smtp import SECONDS
from tests.servers.smtp import MailServer
from tests.subscriptions.delivery.transports.conversation import Line, transport


@pytest.fixture
def server():
    with MailServer() as server:
        yield server


@pytest.fixture
def opened():
    """Return a function that opens a line to a server, until the test is over."""
    with ExitStack() as lines:

        def open_line(server, **fields):
            line = Line(transport(server, **fields).connect())
            lines.callback(line.close)
            return line

        yield open_line


@pytest.fixture
def line(server, opened):
    return opened(server)


@pytest.fixture
def impatient(monkeypatch):
    for stage in SECONDS:
        monkeypatch.setitem(SECONDS, stage, 0.15)
