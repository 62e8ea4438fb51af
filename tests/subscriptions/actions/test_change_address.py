"""Both addresses say yes, and the digest moves."""

from datetime import timedelta

import pytest
from django.test import Client

from digest.planning import plan
from subscriptions.actions import change_address
from subscriptions.delivery.worker import rounds
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.invariants import broken
from tests.subscriptions.actions.change_address_steps import (
    DAY,
    NEW,
    OLD,
    agree,
    ask,
    moved,
    reader,
)

pytestmark = pytest.mark.django_db


def parts(message):
    return [message.get_body([kind]).get_content() for kind in ("plain", "html")]


def test_it_moves_when_both_have_followed_their_letters(client, outbox):
    one = reader(interests="bread", paused_until=None)
    page = ask(client, one)
    assert "Both have to say yes" in page.content.decode()
    rounds.deliver_due(lambda: NOW)
    to_old, to_new = outbox()
    assert (to_old["To"], to_new["To"]) == (OLD, NEW)
    assert to_old["Message-ID"] != to_new["Message-ID"]
    for message, side in ((to_new, "new"), (to_old, "old")):
        url = tokens.move_url(one, side, NOW)
        for part in parts(message):
            assert url in part
        assert not moved(one)
        assert Client(enforce_csrf_checks=True).post(url).status_code == 200
    assert moved(one)
    assert [consent.act for consent in one.consents.all()] == ["moved", "moved"]
    assert one.preferences.get().topic.query == "bread"


def test_the_new_address_is_not_told_from_where_and_the_old_one_is_told_where_to(client, outbox):
    one = reader()
    ask(client, one)
    rounds.deliver_due(lambda: NOW)
    to_old, to_new = outbox()
    pages = [
        client.get(tokens.move_url(one, side, NOW)).content.decode() for side in ("old", "new")
    ]
    pages += [client.post(tokens.move_url(one, "new", NOW)).content.decode()]
    for said in (*parts(to_new), *pages[1:]):
        assert OLD not in said
        assert "/preferences/" not in said
    for said in (*parts(to_old), pages[0]):
        assert NEW in said


@pytest.mark.parametrize("side", ["old", "new"])
def test_one_yes_moves_nothing_however_often(client, side):
    one = reader()
    ask(client, one)
    for _ in range(2):
        page = client.post(tokens.move_url(one, side, NOW))
        assert "says yes, too" in page.content.decode()
    assert not moved(one)
    assert one.consents.count() == 1


def test_the_next_digest_comes_to_the_new_address_and_has_no_paper_twice(outbox):
    make.paper("Graph networks")
    one = reader(interests="graph networks", next_due_at=NOW)
    plan.plan(NOW)
    change_address.request(one, NEW, now=NOW)
    rounds.deliver_due(lambda: NOW)
    for side in ("old", "new"):
        agree(one, side)
    make.paper("Graph networks again", day=NOW.date() + DAY)
    for hours in (19, 24):
        plan.plan(NOW + timedelta(hours=hours))
        rounds.deliver_due(lambda hours=hours: NOW + timedelta(hours=hours))
    digests = [message for message in outbox() if message["List-Id"]]
    assert [message["To"] for message in digests] == [OLD, NEW]
    assert "Graph networks again" in digests[1]["Subject"]
    assert broken(NOW + timedelta(hours=24)) == {}


def test_two_spellings_of_one_address_are_two_addresses_here(client, outbox):
    one = reader("you@example.org")
    ask(client, one, "You@Example.org")
    rounds.deliver_due(lambda: NOW)
    assert [message["To"] for message in outbox()] == ["you@example.org", "You@example.org"]
    for side in ("old", "new"):
        agree(one, side)
    one.refresh_from_db()
    assert one.email == "You@example.org"
