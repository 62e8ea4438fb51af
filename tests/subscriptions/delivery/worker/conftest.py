"""A mail server with a script, and letters that are written in a word."""

import pytest

from subscriptions import hooks
from tests.factories import make
from tests.servers.smtp import MailServer
from tests.subscriptions.delivery.worker.due_digests import Scripted


@pytest.fixture
def server(settings):
    """A mail server with a script, to which letters go over ten lines."""
    with MailServer() as server:
        server.RequestHandlerClass = Scripted
        server.says = lambda stage, whom, conversation: None
        settings.EMAIL_URL = f"{server.url}?connections=10"
        yield server


@pytest.fixture(autouse=True)
def written(monkeypatch):
    """Write letters in a word. What this holds for an address, or for all, is raised, called or
    said in its place.
    """
    instead = {}

    def compose(letter, now):
        what = instead.get(letter.subscriber.email, instead.get("all"))
        if callable(what):
            what = what(letter)
        if isinstance(what, Exception):
            raise what
        return what or make.content()

    monkeypatch.setitem(hooks.composers, "digest", make.one_by_one(compose))
    return instead
