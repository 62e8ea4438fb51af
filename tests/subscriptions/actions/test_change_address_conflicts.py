"""Who else is at the new address, or comes there meanwhile."""

import pytest

from subscriptions.actions import change_address, erase, moderation
from subscriptions.delivery.worker import rounds
from subscriptions.models import Subscriber
from subscriptions.security import suppression_list, tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.subscriptions.actions.change_address_steps import (
    MINUTE,
    NEW,
    OLD,
    agree,
    ask,
    letters,
    moved,
    reader,
)

pytestmark = pytest.mark.django_db


def test_an_address_that_reads_here_is_told_so_by_a_letter_and_nobody_else_is(client, outbox):
    one, other = reader(), reader(NEW)
    known = ask(client, one).content.decode()
    rounds.deliver_due(lambda: NOW)
    assert [(message["To"], message["Subject"]) for message in outbox()] == [
        (OLD, "Should your digest of Paperboy move?"),
        (NEW, "You already get Paperboy"),
    ]
    page = client.post(tokens.move_url(one, "old", NOW)).content.decode()
    assert "says yes, too" in page
    assert client.post(tokens.move_url(other, "new", NOW)).status_code == 410
    change_address.keep_address(one, now=NOW)
    unknown = ask(client, one, "nobody@example.org").content.decode()
    assert unknown.replace("nobody@example.org", NEW) == known


@pytest.mark.parametrize(
    "fields",
    [
        {"suppressed_at": NOW, "suppressed_by": "complained"},
        {"suppressed_at": NOW, "suppressed_by": "bounced"},
        None,
    ],
)
def test_an_address_that_must_not_be_written_to_gets_no_letter(client, fields):
    if fields is None:
        suppression_list.add(NEW, "asked", NOW)
    else:
        reader(NEW, **fields)
    assert "Both have to say yes" in ask(client, reader()).content.decode()
    assert letters() == [("move", "", "planned")]


@pytest.mark.parametrize(
    "shut",
    [
        lambda other: erase.erase(other, now=NOW, for_good=True),
        lambda other: moderation.suppress(other, "a test", now=NOW),
    ],
)
def test_an_address_that_is_shut_while_its_letter_waits_gets_none(client, outbox, shut):
    """It waits for an hour where the mail server is busy, and for days where sending is stopped."""
    other = reader(NEW, unsubscribed_at=NOW)
    ask(client, reader())
    shut(other)
    rounds.deliver_due(lambda: NOW)
    assert [message["To"] for message in outbox()] == [OLD]
    assert letters() == [("move", "", "accepted"), ("move", NEW, "skipped")]


@pytest.mark.parametrize(
    "fields", [{"confirmed": False, "confirmed_at": None}, {"unsubscribed_at": NOW}]
)
def test_who_never_confirmed_the_new_address_or_left_it_makes_room(client, fields):
    other = reader(NEW, interests="cake", **fields)
    one = reader(interests="bread")
    spelt = "New@example.org"
    ask(client, one, spelt)
    assert letters() == [("move", "", "planned"), ("move", spelt, "planned")]
    for side in ("old", "new"):
        agree(one, side)
    one.refresh_from_db()
    assert one.email == spelt
    assert not Subscriber.objects.filter(pk=other.pk).exists()
    assert one.preferences.get().topic.query == "bread"


def test_who_signed_the_new_address_up_meanwhile_keeps_it(client):
    one = reader()
    ask(client, one)
    agree(one, "old")
    reader(NEW)
    page = client.post(tokens.move_url(one, "new", NOW))
    assert (page.status_code, moved(one)) == (200, False)
    assert "Nothing has moved" in page.content.decode()
    assert Subscriber.objects.count() == 2


def test_nobody_moves_to_an_address_that_is_kept_from_letters_since(client):
    one = reader()
    ask(client, one)
    agree(one, "old")
    make.subscriber(NEW, confirmed=False, suppressed_at=NOW, suppressed_by="complained")
    with pytest.raises(change_address.AddressTaken):
        agree(one, "new")
    assert not moved(one)


def test_who_signs_the_new_address_up_in_that_very_moment_keeps_it(client, monkeypatch):
    one = reader()
    ask(client, one)
    agree(one, "old")
    make.subscriber(NEW)
    locked = change_address._lock_both
    monkeypatch.setattr(change_address, "_lock_both", lambda *found: (locked(*found)[0], None))
    with pytest.raises(change_address.AddressTaken):
        agree(one, "new")
    assert not moved(one)


@pytest.mark.parametrize(
    ("act", "refused"),
    [
        (
            lambda one: change_address.request(one, "third@example.org", now=NOW + MINUTE),
            change_address.NotOpen,
        ),
        (lambda one: erase.erase(one, now=NOW), Subscriber.DoesNotExist),
    ],
)
def test_a_yes_waits_for_who_replaces_the_wish_or_erases_all_in_that_very_moment(
    act, refused, monkeypatch
):
    one = reader()
    change_address.request(one, NEW, now=NOW)
    locked = change_address._lock_both

    def lock_after_another(*found):
        monkeypatch.setattr(change_address, "_lock_both", locked)
        act(one)
        return locked(*found)

    monkeypatch.setattr(change_address, "_lock_both", lock_after_another)
    with pytest.raises(refused):
        agree(one, "new")
    assert not one.consents.exists()
