"""Scanners open every link of every letter: the database stays as it was, byte for byte."""

import re
from pathlib import Path

import lxml.html
import pytest
from django.db import connection

from digest.planning import plan
from subscriptions.actions import change_address, moderation, signup
from subscriptions.delivery import messages, worker
from subscriptions.models import Letter
from subscriptions.notices import send
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.tables import everything

URL = re.compile(r"https?://[^\s<>\"]+")
SCANNER = {"Sec-Purpose": "prefetch", "User-Agent": "a scanner", "Purpose": "prefetch"}
CONSENT_SOURCE = signup.ConsentSource("a test")


def send_all_kinds():
    """Send letters of every kind to subscribers who may get them."""
    for number in range(3):
        make.paper(f"Graph networks {number}", "On graphs. " * 30, github="https://github.com/a/b")
    signup.subscribe("new@example.org", signup.SignUpRequest(), source=CONSENT_SOURCE, now=NOW)
    send.send_link(make.subscriber("active@example.org").email, now=NOW)
    make.subscriber(interests="graph networks")
    make.subscriber(interests="bread")  # Gets a welcome.
    change_address.request(make.subscriber("mover@example.org"), "moved@example.org", now=NOW)
    signup.unsubscribe(make.subscriber().public_id, source=CONSENT_SOURCE, now=NOW)
    moderation.ask_if_address_works(
        make.subscriber(suppressed_at=NOW, suppressed_by="bounced"), now=NOW
    )
    make.message()
    messages.write_due(NOW)
    plan.plan(NOW)
    worker.deliver_due(lambda: NOW)
    sent = Letter.objects.filter(state="accepted").values_list("kind", flat=True)
    assert set(sent) == set(Letter.Kind.values)


def links_of(message):
    """Return every address that stands anywhere in a letter."""
    found = set(URL.findall(message["List-Unsubscribe"] or ""))
    found |= set(URL.findall(message.get_body(["plain"]).get_content()))
    html = lxml.html.fromstring(message.get_body(["html"]).get_content())
    return found | {link for _, _, link, _ in html.iterlinks()}


def as_it_is():
    """Return the database as it is: all rows, and on SQLite each byte of its files."""
    if connection.vendor != "sqlite":
        return everything()
    name = connection.settings_dict["NAME"]
    return everything(), [Path(one).read_bytes() for one in (name, f"{name}-wal")]


@pytest.mark.django_db(transaction=True)
def test_opening_links_of_letters_changes_nothing(client, settings, outbox):
    send_all_kinds()
    ours = {
        url.removeprefix(settings.SITE_URL).partition("#")[0] or "/"
        for message in outbox()
        for url in links_of(message)
        if url.startswith(settings.SITE_URL)
    }
    prefixes = {url.split("/")[1] for url in ours}
    assert prefixes >= {"confirm", "preferences", "unsubscribe", "feedback", "digests", "move", "e"}
    before = as_it_is()
    for url in sorted(ours):
        for look in (client.get, client.head):
            assert look(url, headers=SCANNER, follow=True).status_code == 200, url
    assert client.cookies == {}
    assert as_it_is() == before
