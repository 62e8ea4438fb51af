"""The wish to move: replaced, taken back, refused, forgotten."""

import pytest

from digest.operations import retention
from subscriptions.actions import change_address, erase, signup
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter, Move
from subscriptions.notices import send as correspondence
from subscriptions.security import tokens
from tests.factories.make import NOW
from tests.helpers.tables import everything
from tests.subscriptions.actions.change_address_steps import (
    DAY,
    DOOR,
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


def test_who_stays_gets_the_other_letters_that_wait():
    one = reader()
    change_address.request(one, NEW, now=NOW)
    correspondence.write(one, "link", NOW, NOW + DAY)
    change_address.keep_address(one, now=NOW)
    assert letters() == [
        ("move", "", "skipped"),
        ("move", Letter.ELSEWHERE, "skipped"),
        ("link", "", "planned"),
    ]


@pytest.mark.parametrize(
    "end",
    [
        lambda one: change_address.keep_address(one, now=NOW),
        lambda one: signup.unsubscribe(one.public_id, source=DOOR, now=NOW),
        lambda one: change_address.request(one, "elsewhere@example.org", now=NOW),
    ],
)
def test_who_ends_her_move_ends_no_one_elses(end):
    one, other = reader(), reader("other@example.org")
    change_address.request(other, NEW, now=NOW)
    assert change_address.pending(one) is None
    change_address.request(one, "third@example.org", now=NOW)
    end(one)
    assert change_address.pending(other).new_email == NEW


def test_of_two_wishes_the_later_one_holds(client, clock):
    one = reader()
    ask(client, one, "first@example.org")
    clock.now = NOW + MINUTE
    ask(client, one)
    assert letters() == [
        ("move", "", "skipped"),
        ("move", "elsewhere", "skipped"),
        ("move", "", "planned"),
        ("move", NEW, "planned"),
    ]
    assert client.post(tokens.move_url(one, "new", NOW)).status_code == 410
    for side in ("old", "new"):
        agree(one, side, asked_at=clock.now)
    assert moved(one)


def test_a_wish_can_be_taken_back(client):
    one = reader()
    ask(client, one)
    shown = client.get(tokens.preferences_url(one)).content.decode()
    assert "is to move to <strong>new@example.org</strong>" in shown
    client.post(tokens.preferences_url(one), {"action": "stay"})
    assert client.post(tokens.move_url(one, "new", NOW)).status_code == 410
    assert {state for _, _, state in letters()} == {"skipped"}
    assert "is to move to" not in client.get(tokens.preferences_url(one)).content.decode()


def test_the_address_of_a_wish_that_was_taken_back_while_its_letter_left_is_forgotten():
    """The address may be a stranger's, who never asked for anything."""
    one = reader()
    change_address.request(one, NEW, now=NOW)
    Letter.objects.filter(to=NEW).update(state=Letter.State.TRANSMITTING)
    change_address.keep_address(one, now=NOW)
    Letter.objects.filter(to=NEW).update(state=Letter.State.ACCEPTED, ended_at=NOW)
    retention.purge(NOW + 7 * DAY + MINUTE)
    assert NEW not in repr(everything())


@pytest.mark.parametrize("is_old", [True, False])
def test_a_link_that_moves_nothing_any_more_says_how_to_ask_again(client, clock, is_old):
    one = reader()
    ask(client, one)
    if is_old:
        clock.now = NOW + 7 * DAY + MINUTE
    else:
        client.post(tokens.preferences_url(one), {"action": "stay"})
    for send in (client.get, client.post):
        response = send(tokens.move_url(one, "new", NOW))
        page = response.content.decode()
        assert response.status_code == 410
        assert "ask for it anew in your preferences" in page
        assert "Sign up again" not in page  # That is another digest, and moves none.


@pytest.mark.parametrize("side", ["old", "new"])
def test_one_who_has_left_or_is_erased_does_not_move(client, side):
    one = reader()
    ask(client, one)
    agree(one, side)
    signup.unsubscribe(one.public_id, source=DOOR, now=NOW + MINUTE)
    assert not Move.objects.exists()
    assert client.post(tokens.move_url(one, "old", NOW)).status_code == 410
    assert {state for kind, _, state in letters() if kind == "move"} == {"skipped"}
    erase.erase(one, now=NOW)
    assert client.post(tokens.move_url(one, "old", NOW)).status_code == 404
    assert not Move.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [{"unsubscribed_at": NOW}, {"confirmed": False, "confirmed_at": None}, {"suppressed_at": NOW}],
)
def test_who_gets_no_digest_can_not_move_it(client, fields):
    one = reader(**fields)
    page = ask(client, one)
    assert page.status_code == 400
    assert "New address" not in client.get(tokens.preferences_url(one)).content.decode()
    assert letters() == []


def test_one_who_pauses_moves_with_her_pause(client, outbox):
    one = reader(paused_until=NOW.date() + 9 * DAY)
    ask(client, one)
    rounds.deliver_due(lambda: NOW)
    assert len(outbox()) == 2
    for side in ("old", "new"):
        agree(one, side)
    assert moved(one)
    assert one.state_at(NOW) == "paused"


@pytest.mark.parametrize("new_email", ["", "x", "ä@example.org", OLD])
def test_an_address_that_is_none_or_hers_is_refused_where_she_typed_it(client, new_email):
    one = reader(size=3)
    page = ask(client, one, new_email)
    assert page.status_code == 400
    assert 'id="id_new_email_error"' in page.content.decode()
    assert 'name="size" value="3"' in page.content.decode()
    assert letters() == []


def test_nobody_can_fill_mailboxes_by_moving(client, settings):
    settings.LIMITS = settings.LIMITS | {"mailbox": 2}
    one = reader()
    statuses = [ask(client, one, f"new+{n}@example.org").status_code for n in range(3)]
    assert statuses == [200, 200, 400]
    assert len([to for _, to, _ in letters() if to]) == 2
    other = reader("other@example.org")
    assert ask(client, other, "new+9@example.org").status_code == 200
    assert len([to for _, to, _ in letters() if to]) == 2
    settings.LIMITS = settings.LIMITS | {"network": 1}
    asked = [ask(client, other, f"{n}@example.org", REMOTE_ADDR="192.0.2.7") for n in range(2)]
    assert [page.status_code for page in asked] == [200, 429]


def test_a_wish_that_nobody_answered_is_forgotten_with_its_address(client):
    ask(client, reader())
    rounds.deliver_due(lambda: NOW)
    retention.purge(NOW + 7 * DAY)
    assert Move.objects.exists()
    assert Letter.objects.filter(to=NEW).exists()  # A complaint would be of this address.
    retention.purge(NOW + 7 * DAY + MINUTE)
    assert NEW not in repr(everything())
