"""A mail server, and letters that are written in a word."""

import pytest

from subscriptions import hooks
from tests.factories import make
from tests.servers.smtp import MailServer


@pytest.fixture
def server(settings):
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        yield server


@pytest.fixture
def composed(monkeypatch):
    """Compose in a word what takes templates elsewhere; count how often."""
    calls = []

    def compose(letter, now):
        calls.append(letter.pk)
        return make.content()

    monkeypatch.setitem(hooks.composers, "digest", make.one_by_one(compose))
    return calls
