"""A digest moves to another address: both have to say yes, and neither learns of others."""

from datetime import timedelta
from functools import partial

import pytest
from django.test import Client

from digest import planning, upkeep
from subscriptions import correspondence, erasing, links, moving, returns, seals, signup
from subscriptions.models import Letter, LetterFact, Move, Subscriber
from subscriptions.post import delivery, office, recording, suppression
from subscriptions.post.line import Verdict
from tests import make
from tests.make import NOW
from tests.promised import broken
from tests.tables import everything
from tests.threads import at_once, errors_of

pytestmark = pytest.mark.django_db

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
OLD, NEW = "old@example.org", "new@example.org"
DOOR = signup.Door("a test")


def reader(email=OLD, **fields):
    return make.subscriber(email, **{"confirmed_at": NOW - 9 * DAY} | fields)


def ask(client, subscriber, new_email=NEW, **request):
    """Ask for the move on the page of preferences."""
    sent = {"action": "move", "new_email": new_email}
    return client.post(links.preferences_url(subscriber), sent, follow=True, **request)


def agree(subscriber, side, *, asked_at=NOW, now=NOW + MINUTE):
    return moving.agree(subscriber, side, asked_at, door=DOOR, now=now)


def moved(subscriber):
    subscriber.refresh_from_db()
    return subscriber.email == NEW


def letters():
    return list(Letter.objects.order_by("pk").values_list("kind", "to", "state"))


def parts(message):
    return [message.get_body([kind]).get_content() for kind in ("plain", "html")]


# ---- Both say yes


def test_it_moves_when_both_have_followed_their_letters(client, outbox):
    one = reader(interests="bread", paused_until=None)
    page = ask(client, one)
    assert "Both have to say yes" in page.content.decode()
    delivery.deliver_due(lambda: NOW)
    to_old, to_new = outbox()
    assert (to_old["To"], to_new["To"]) == (OLD, NEW)
    assert to_old["Message-ID"] != to_new["Message-ID"]
    for message, side in ((to_new, "new"), (to_old, "old")):
        url = links.move_url(one, side, NOW)
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
    delivery.deliver_due(lambda: NOW)
    to_old, to_new = outbox()
    pages = [client.get(links.move_url(one, side, NOW)).content.decode() for side in ("old", "new")]
    pages += [client.post(links.move_url(one, "new", NOW)).content.decode()]
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
        page = client.post(links.move_url(one, side, NOW))
        assert "says yes, too" in page.content.decode()
    assert not moved(one)
    assert one.consents.count() == 1


def test_looking_moves_nothing(client):
    one = reader()
    ask(client, one)
    before = everything()
    for side in ("old", "new"):
        for look in (client.get, client.head):
            assert look(links.move_url(one, side, NOW)).status_code == 200
    assert everything() == before


def test_a_second_yes_after_it_has_moved_says_so_and_changes_nothing(client, clock):
    one = reader()
    ask(client, one)
    for side in ("old", "new"):
        agree(one, side, now=NOW)
    before, clock.now = everything(), NOW + MINUTE
    for look in (client.post, client.get):
        for side in ("old", "new"):
            page = look(links.move_url(one, side, NOW)).content.decode()
            assert "Your digest has moved" in page
    assert everything() == before


def test_the_next_digest_comes_to_the_new_address_and_has_no_paper_twice(outbox):
    make.paper("Graph networks")
    one = reader(interests="graph networks", next_due_at=NOW)
    planning.plan(NOW)
    moving.ask(one, NEW, now=NOW)
    delivery.deliver_due(lambda: NOW)
    for side in ("old", "new"):
        agree(one, side)
    make.paper("Graph networks again", day=NOW.date() + DAY)
    for hours in (19, 24):
        planning.plan(NOW + timedelta(hours=hours))
        delivery.deliver_due(lambda hours=hours: NOW + timedelta(hours=hours))
    digests = [message for message in outbox() if message["List-Id"]]
    assert [message["To"] for message in digests] == [OLD, NEW]
    assert "Graph networks again" in digests[1]["Subject"]
    assert broken(NOW + timedelta(hours=24)) == {}


def test_two_spellings_of_one_address_are_two_addresses_here(client, outbox):
    one = reader("you@example.org")
    ask(client, one, "You@Example.org")
    delivery.deliver_due(lambda: NOW)
    assert [message["To"] for message in outbox()] == ["you@example.org", "You@example.org"]
    for side in ("old", "new"):
        agree(one, side)
    one.refresh_from_db()
    assert one.email == "You@example.org"


# ---- Who else is there


def test_an_address_that_reads_here_is_told_so_by_a_letter_and_nobody_else_is(client, outbox):
    one, other = reader(), reader(NEW)
    known = ask(client, one).content.decode()
    delivery.deliver_due(lambda: NOW)
    assert [(message["To"], message["Subject"]) for message in outbox()] == [
        (OLD, "Should your digest of Paperboy move?"),
        (NEW, "You already get Paperboy"),
    ]
    page = client.post(links.move_url(one, "old", NOW)).content.decode()
    assert "says yes, too" in page
    assert client.post(links.move_url(other, "new", NOW)).status_code == 410
    moving.stay(one, now=NOW)
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
        seals.keep(NEW, "asked", NOW)
    else:
        reader(NEW, **fields)
    assert "Both have to say yes" in ask(client, reader()).content.decode()
    assert letters() == [("move", "", "planned")]


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
    page = client.post(links.move_url(one, "new", NOW))
    assert (page.status_code, moved(one)) == (200, False)
    assert "Nothing has moved" in page.content.decode()
    assert Subscriber.objects.count() == 2


def test_nobody_moves_to_an_address_that_is_kept_from_letters_since(client):
    one = reader()
    ask(client, one)
    agree(one, "old")
    make.subscriber(NEW, confirmed=False, suppressed_at=NOW, suppressed_by="complained")
    with pytest.raises(moving.Taken):
        agree(one, "new")
    assert not moved(one)


def test_who_signs_the_new_address_up_in_that_very_moment_keeps_it(client, monkeypatch):
    one = reader()
    ask(client, one)
    agree(one, "old")
    make.subscriber(NEW)
    locked = moving._both
    monkeypatch.setattr(moving, "_both", lambda *found: (locked(*found)[0], None))
    with pytest.raises(moving.Taken):
        agree(one, "new")
    assert not moved(one)


@pytest.mark.parametrize(
    ("act", "refused"),
    [
        (lambda one: moving.ask(one, "third@example.org", now=NOW + MINUTE), moving.NotOpen),
        (lambda one: erasing.erase(one, now=NOW), Subscriber.DoesNotExist),
    ],
)
def test_a_yes_waits_for_who_replaces_the_wish_or_erases_all_in_that_very_moment(
    act, refused, monkeypatch
):
    one = reader()
    moving.ask(one, NEW, now=NOW)
    locked = moving._both

    def lock_after_another(*found):
        monkeypatch.setattr(moving, "_both", locked)
        act(one)
        return locked(*found)

    monkeypatch.setattr(moving, "_both", lock_after_another)
    with pytest.raises(refused):
        agree(one, "new")
    assert not one.consents.exists()


# ---- Another thought


def test_who_stays_gets_the_other_letters_that_wait():
    one = reader()
    moving.ask(one, NEW, now=NOW)
    correspondence.write(one, "link", NOW, NOW + DAY)
    moving.stay(one, now=NOW)
    assert letters() == [
        ("move", "", "skipped"),
        ("move", Letter.ELSEWHERE, "skipped"),
        ("link", "", "planned"),
    ]


@pytest.mark.parametrize(
    "end",
    [
        lambda one: moving.stay(one, now=NOW),
        lambda one: signup.unsubscribe(one.public_id, door=DOOR, now=NOW),
        lambda one: moving.ask(one, "elsewhere@example.org", now=NOW),
    ],
)
def test_who_ends_her_move_ends_no_one_elses(end):
    one, other = reader(), reader("other@example.org")
    moving.ask(other, NEW, now=NOW)
    assert moving.under_way(one) is None
    moving.ask(one, "third@example.org", now=NOW)
    end(one)
    assert moving.under_way(other).new_email == NEW


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
    assert client.post(links.move_url(one, "new", NOW)).status_code == 410
    for side in ("old", "new"):
        agree(one, side, asked_at=clock.now)
    assert moved(one)


def test_a_wish_can_be_taken_back(client):
    one = reader()
    ask(client, one)
    shown = client.get(links.preferences_url(one)).content.decode()
    assert "is to move to <strong>new@example.org</strong>" in shown
    client.post(links.preferences_url(one), {"action": "stay"})
    assert client.post(links.move_url(one, "new", NOW)).status_code == 410
    assert {state for _, _, state in letters()} == {"skipped"}
    assert "is to move to" not in client.get(links.preferences_url(one)).content.decode()


def test_the_address_of_a_wish_that_was_taken_back_while_its_letter_left_is_forgotten():
    """The address may be a stranger's, who never asked for anything."""
    one = reader()
    moving.ask(one, NEW, now=NOW)
    Letter.objects.filter(to=NEW).update(state=Letter.State.TRANSMITTING)
    moving.stay(one, now=NOW)
    Letter.objects.filter(to=NEW).update(state=Letter.State.ACCEPTED, ended_at=NOW)
    upkeep.purge(NOW + 7 * DAY + MINUTE)
    assert NEW not in repr(everything())


@pytest.mark.parametrize("is_old", [True, False])
def test_a_link_that_moves_nothing_any_more_says_how_to_ask_again(client, clock, is_old):
    one = reader()
    ask(client, one)
    if is_old:
        clock.now = NOW + 7 * DAY + MINUTE
    else:
        client.post(links.preferences_url(one), {"action": "stay"})
    for send in (client.get, client.post):
        response = send(links.move_url(one, "new", NOW))
        page = response.content.decode()
        assert response.status_code == 410
        assert "ask for it anew in your preferences" in page
        assert "Sign up again" not in page  # That is another digest, and moves none.


@pytest.mark.parametrize("side", ["old", "new"])
def test_one_who_has_left_or_is_erased_does_not_move(client, side):
    one = reader()
    ask(client, one)
    agree(one, side)
    signup.unsubscribe(one.public_id, door=DOOR, now=NOW + MINUTE)
    assert not Move.objects.exists()
    assert client.post(links.move_url(one, "old", NOW)).status_code == 410
    assert {state for kind, _, state in letters() if kind == "move"} == {"skipped"}
    erasing.erase(one, now=NOW)
    assert client.post(links.move_url(one, "old", NOW)).status_code == 404
    assert not Move.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [{"unsubscribed_at": NOW}, {"confirmed": False, "confirmed_at": None}, {"suppressed_at": NOW}],
)
def test_who_gets_no_digest_can_not_move_it(client, fields):
    one = reader(**fields)
    page = ask(client, one)
    assert page.status_code == 400
    assert "New address" not in client.get(links.preferences_url(one)).content.decode()
    assert letters() == []


def test_one_who_pauses_moves_with_her_pause(client, outbox):
    one = reader(paused_until=NOW.date() + 9 * DAY)
    ask(client, one)
    delivery.deliver_due(lambda: NOW)
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
    delivery.deliver_due(lambda: NOW)
    upkeep.purge(NOW + 7 * DAY)
    assert Move.objects.exists()
    assert Letter.objects.filter(to=NEW).exists()  # A complaint would be of this address.
    upkeep.purge(NOW + 7 * DAY + MINUTE)
    assert NEW not in repr(everything())


# ---- What comes back from the new address


def fact(letter, kind, grade=""):
    made = {"kind": kind, "grade": grade, "noted_at": NOW, "via": "mail", "key": kind}
    returns._act_on(LetterFact.objects.create(letter=letter, **made), letter, NOW)


def test_a_mistyped_address_does_not_keep_letters_from_the_old_one(client):
    one = reader()
    ask(client, one)
    letter = Letter.objects.get(to=NEW)
    for kind, grade in (("bounced", "hard"), ("bounced", "soft"), ("complained", "")):
        LetterFact.objects.all().delete()
        fact(letter, kind, grade)
    refused = Verdict("refused", "rcpt", "550 5.1.1 no such user", about="address")
    (claimed,), _ = delivery.ledger.claim(NOW, 1, [letter.pk])
    recording.of_verdict(refused, "<x@x>", NEW)(claimed, NOW)
    one.refresh_from_db()
    assert one.suppressed_at is None
    letter.refresh_from_db()
    assert letter.state == "failed"
    assert seals.is_kept(NEW, NOW)  # Its owner reported the letter: nobody has it written to again.
    assert not seals.is_kept(OLD, NOW)


def test_what_comes_back_from_the_old_address_says_nothing_of_the_new_one():
    one = reader(next_due_at=NOW, wants_quiet_days=True)
    planning.plan(NOW)
    delivery.deliver_due(lambda: NOW)
    digest = one.letters.get(day__isnull=False)
    moving.ask(one, NEW, now=NOW)
    for side in ("old", "new"):
        agree(one, side)
    suppression.after_hard_bounce(digest, "550 5.1.1 no such user", NOW + DAY)
    one.refresh_from_db()
    assert one.suppressed_at is None


def test_a_refusal_of_the_old_address_that_comes_as_she_moves_says_nothing_of_the_new_one():
    one = reader(next_due_at=NOW, wants_quiet_days=True)
    planning.plan(NOW)
    (claimed,), _ = delivery.ledger.claim(NOW, 1)
    moving.ask(one, NEW, now=NOW)
    for side in ("old", "new"):
        agree(one, side)
    refused = Verdict("refused", "rcpt", "550 5.1.1 no such user", about="address")
    recording.of_verdict(refused, "<x@x>", OLD)(claimed, NOW + MINUTE)
    one.refresh_from_db()
    assert one.suppressed_at is None
    claimed.refresh_from_db()
    assert claimed.state == "failed"


# ---- At one moment


@pytest.mark.django_db(transaction=True)
def test_many_clicks_at_once_are_one_move():
    one = reader()
    moving.ask(one, NEW, now=NOW)
    sides = [partial(agree, one, side) for side in ("old", "new")]
    raised = at_once(*5 * sides)
    assert errors_of(raised) == []
    assert moved(one)
    assert one.consents.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_for_each_others_address_at_once_are_both_answered():
    """Each writes a letter to the other, for which the other's row must not be held."""
    pair = [reader("one@example.org"), reader("two@example.org")]
    asks = [
        partial(moving.ask, one, other.email, now=NOW)
        for one, other in zip(pair, reversed(pair), strict=True)
    ]
    assert at_once(*asks) == [None, None]
    assert Letter.objects.filter(kind="confirm").count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_one_address_one_gets_it():
    pair = [reader("one@example.org"), reader("two@example.org")]
    for one in pair:
        moving.ask(one, NEW, now=NOW)
        agree(one, "old")
    at_once(*[partial(agree, one, "new") for one in pair])
    assert Subscriber.objects.filter(email=NEW).count() == 1
    assert Subscriber.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_who_erases_everything_amid_her_move_leaves_nothing():
    one = reader()
    moving.ask(one, NEW, now=NOW)
    agree(one, "old")
    at_once(
        partial(agree, one, "new"), partial(erasing.erase, one, now=NOW), partial(office.sweep, NOW)
    )
    assert not Subscriber.objects.exists()
    assert not Move.objects.exists()
