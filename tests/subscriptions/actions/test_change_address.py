"""A subscriber moves the digest to another address."""

from functools import partial

import pytest
from django.test import Client

from digest.operations import retention
from digest.planning import plan
from subscriptions.actions import change_address, erase, moderation, signup
from subscriptions.bounces import process
from subscriptions.delivery import outcomes, worker
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.models import Letter, LetterFact, Move, Subscriber
from subscriptions.security import suppression_list, tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE, NOW, TODAY
from tests.helpers.invariants import broken
from tests.helpers.tables import everything
from tests.helpers.threads import at_once, errors_of
from tests.subscriptions.actions.change_address_steps import agree, agree_both

pytestmark = pytest.mark.django_db

OLD, NEW = "old@example.org", "new@example.org"


def subscriber(email=OLD, **fields):
    return make.subscriber(email, **{"confirmed_at": NOW - 9 * DAY} | fields)


def ask(client, subscriber, new_email=NEW, **request):
    """Ask for the move on the page of preferences."""
    sent = {"action": "move", "new_email": new_email}
    return client.post(tokens.preferences_url(subscriber), sent, follow=True, **request)


def moved(subscriber):
    subscriber.refresh_from_db()
    return subscriber.email == NEW


def letters():
    return list(Letter.objects.order_by("pk").values_list("kind", "to", "state"))


@pytest.fixture
def mover():
    """A subscriber who asked to move from OLD to NEW."""
    mover = subscriber()
    change_address.request(mover, NEW, now=NOW)
    return mover


# ---- Both addresses agree


def parts(message):
    return [message.get_body([kind]).get_content() for kind in ("plain", "html")]


def test_address_changes_after_both_addresses_agree(client, outbox):
    mover = subscriber(interests="bread", paused_until=None)
    page = ask(client, mover)
    assert "Both must confirm" in page.text
    worker.deliver_due(lambda: NOW)
    to_old, to_new = outbox()
    assert (to_old["To"], to_new["To"]) == (OLD, NEW)
    assert to_old["Message-ID"] != to_new["Message-ID"]
    for message, side in ((to_new, "new"), (to_old, "old")):
        url = tokens.move_url(mover, side, NOW)
        for part in parts(message):
            assert url in part
        assert not moved(mover)
        assert Client(enforce_csrf_checks=True).post(url).status_code == 200
    assert moved(mover)
    assert [consent.act for consent in mover.consents.all()] == ["moved", "moved"]
    assert mover.preferences.get().topic.query == "bread"


def test_new_address_does_not_learn_the_old_one(client, mover, outbox):
    worker.deliver_due(lambda: NOW)
    to_old, to_new = outbox()
    pages = [client.get(tokens.move_url(mover, side, NOW)).text for side in ("old", "new")]
    pages += [client.post(tokens.move_url(mover, "new", NOW)).text]
    for said in (*parts(to_new), *pages[1:]):
        assert OLD not in said
        assert "/preferences/" not in said
    for said in (*parts(to_old), pages[0]):
        assert NEW in said


def test_next_digest_goes_to_the_new_address_without_repeats(outbox):
    make.paper("Graph networks")
    mover = subscriber(interests="graph networks", next_due_at=NOW)
    plan.plan(NOW)
    change_address.request(mover, NEW, now=NOW)
    worker.deliver_due(lambda: NOW)
    agree_both(mover)
    make.paper("Graph networks again", day=TODAY + DAY)
    for hours in (19, 24):
        plan.plan(NOW + hours * HOUR)
        worker.deliver_due(lambda hours=hours: NOW + hours * HOUR)
    digests = [message for message in outbox() if message["List-Id"]]
    assert [message["To"] for message in digests] == [OLD, NEW]
    assert "Graph networks again" in digests[1]["Subject"]
    assert broken(NOW + 24 * HOUR) == {}


# ---- The request


def test_later_request_replaces_the_earlier_one(client, clock):
    mover = subscriber()
    ask(client, mover, "first@example.org")
    clock.now = NOW + MINUTE
    ask(client, mover)
    assert letters()[:2] == [("move", "", "skipped"), ("move", "elsewhere", "skipped")]
    assert letters()[2:] == [("move", "", "planned"), ("move", NEW, "planned")]
    assert client.post(tokens.move_url(mover, "new", NOW)).status_code == 410
    agree_both(mover, asked_at=clock.now)
    assert moved(mover)


def test_address_of_a_cancelled_request_is_purged(mover):
    """The address may be a stranger's, who never asked for anything."""
    Letter.objects.filter(to=NEW).update(state=Letter.State.TRANSMITTING)
    change_address.keep_address(mover, now=NOW)
    Letter.objects.filter(to=NEW).update(state=Letter.State.ACCEPTED, ended_at=NOW)
    retention.purge(NOW + 7 * DAY + MINUTE)
    assert NEW not in repr(everything())


@pytest.mark.parametrize("is_old", [True, False])
def test_expired_link_says_how_to_ask_again(client, mover, clock, is_old):
    shown = client.get(tokens.preferences_url(mover)).text
    assert "change it to <strong>new@example.org</strong>" in shown
    if is_old:
        clock.now = NOW + 7 * DAY + MINUTE
    else:
        client.post(tokens.preferences_url(mover), {"action": "stay"})
        assert {state for _, _, state in letters()} == {"skipped"}
        assert "You asked to change it" not in client.get(tokens.preferences_url(mover)).text
    for send in (client.get, client.post):
        response = send(tokens.move_url(mover, "new", NOW))
        page = response.text
        assert response.status_code == 410
        assert "start again in your preferences" in page
        assert "Sign up again" not in page  # That is another digest, and moves none.


@pytest.mark.parametrize("side", ["old", "new"])
def test_unsubscribed_or_erased_subscriber_does_not_change_address(client, mover, side):
    agree(mover, side)
    signup.unsubscribe(mover.public_id, source=CONSENT_SOURCE, now=NOW + MINUTE)
    assert not Move.objects.exists()
    assert client.post(tokens.move_url(mover, "old", NOW)).status_code == 410
    assert {state for kind, _, state in letters() if kind == "move"} == {"skipped"}
    erase.erase(mover, now=NOW)
    assert client.post(tokens.move_url(mover, "old", NOW)).status_code == 404
    assert not Move.objects.exists()


PENDING = {"confirmed": False, "confirmed_at": None}
NO_DIGESTS = [{"unsubscribed_at": NOW}, PENDING, {"suppressed_at": NOW}]


@pytest.mark.parametrize("fields", NO_DIGESTS)
def test_subscriber_without_digests_cannot_change_address(client, fields):
    mover = subscriber(**fields)
    assert ask(client, mover).status_code == 400
    assert "New address" not in client.get(tokens.preferences_url(mover)).text
    assert letters() == []


@pytest.mark.parametrize("new_email", ["", "x", "ä@example.org", OLD])
def test_invalid_or_unchanged_address_is_a_field_error(client, new_email):
    mover = subscriber(size=3)
    page = ask(client, mover, new_email)
    assert page.status_code == 400
    assert 'id="id_new_email_error"' in page.text
    assert 'name="size" value="3"' in page.text
    assert letters() == []


def test_unanswered_request_is_purged_with_its_address(client):
    ask(client, subscriber())
    worker.deliver_due(lambda: NOW)
    retention.purge(NOW + 7 * DAY)
    assert Move.objects.exists()
    assert Letter.objects.filter(to=NEW).exists()  # A complaint would be of this address.
    retention.purge(NOW + 7 * DAY + MINUTE)
    assert NEW not in repr(everything())


# ---- The new address is taken


def test_request_for_a_subscribed_address_discloses_nothing(client, outbox):
    mover, other = subscriber(), subscriber(NEW)
    known = ask(client, mover).text
    worker.deliver_due(lambda: NOW)
    assert [(message["To"], message["Subject"]) for message in outbox()] == [
        (OLD, "Change your email address at Paperboy?"),
        (NEW, "You’re already subscribed to Paperboy"),
    ]
    page = client.post(tokens.move_url(mover, "old", NOW)).text
    assert "One step left" in page
    assert client.post(tokens.move_url(other, "new", NOW)).status_code == 410
    change_address.keep_address(mover, now=NOW)
    assert ask(client, mover, "nobody@example.org").text.replace("nobody@example.org", NEW) == known


@pytest.mark.parametrize("reason", ["complained", "bounced", "asked"])
def test_blocked_new_address_gets_no_letter(client, reason):
    if reason == "asked":
        suppression_list.add(NEW, reason, NOW)
    else:
        subscriber(NEW, suppressed_at=NOW, suppressed_by=reason)
    assert "Both must confirm" in ask(client, subscriber()).text
    assert letters() == [("move", "", "planned")]


WAYS_TO_SHUT = [
    lambda other: erase.erase(other, now=NOW, for_good=True),
    lambda other: moderation.suppress(other, "a test", now=NOW),
]


@pytest.mark.parametrize("shut", WAYS_TO_SHUT)
def test_address_blocked_while_its_letter_waits_gets_none(client, outbox, shut):
    """It waits for an hour where the mail server is busy, and for days where sending is stopped."""
    other = subscriber(NEW, unsubscribed_at=NOW)
    ask(client, subscriber())
    shut(other)
    worker.deliver_due(lambda: NOW)
    assert [message["To"] for message in outbox()] == [OLD]
    assert letters() == [("move", "", "accepted"), ("move", NEW, "skipped")]


@pytest.mark.parametrize("fields", NO_DIGESTS[:2])
def test_pending_or_former_subscriber_gives_up_the_address(client, fields):
    other = subscriber(NEW, interests="cake", **fields)
    mover = subscriber(interests="bread")
    spelt = "New@example.org"
    ask(client, mover, spelt)
    assert letters() == [("move", "", "planned"), ("move", spelt, "planned")]
    agree_both(mover)
    assert make.fresh(mover).email == spelt
    assert not Subscriber.objects.filter(pk=other.pk).exists()
    assert mover.preferences.get().topic.query == "bread"


def test_address_is_kept_by_whoever_signed_up_meanwhile(client, mover):
    agree(mover, "old")
    subscriber(NEW)
    page = client.post(tokens.move_url(mover, "new", NOW))
    assert (page.status_code, moved(mover)) == (200, False)
    assert "Address not changed" in page.text
    assert Subscriber.objects.count() == 2


def test_address_blocked_meanwhile_is_not_taken(mover):
    agree(mover, "old")
    make.subscriber(NEW, confirmed=False, suppressed_at=NOW, suppressed_by="complained")
    with pytest.raises(change_address.AddressTaken):
        agree(mover, "new")
    assert not moved(mover)


# ---- Bounces and complaints


def fact(letter, kind, grade=""):
    made = {"kind": kind, "grade": grade, "noted_at": NOW, "via": "mail", "key": kind}
    process._act_on(LetterFact.objects.create(letter=letter, **made), letter, NOW)


def test_bounced_new_address_does_not_block_the_old(mover):
    letter = Letter.objects.get(to=NEW)
    (claimed,), _ = worker.transitions.claim(NOW, 1, [letter.pk])
    for kind, grade in (("bounced", "hard"), ("bounced", "soft"), ("complained", "")):
        LetterFact.objects.all().delete()
        fact(letter, kind, grade)
    refused = DeliveryResult("refused", "rcpt", "550 5.1.1 no such user", scope="address")
    outcomes.record_result(claimed, NOW, refused)
    assert make.fresh(mover).suppressed_at is None
    assert make.fresh(letter).state == "failed"
    assert suppression_list.contains(NEW, NOW)  # Its owner reported the letter.
    assert not suppression_list.contains(OLD, NOW)


@pytest.mark.parametrize("kind", ["complained", "unsubscribed"])
def test_complaint_about_the_question_counts_after_the_change(mover, kind):
    worker.deliver_due(lambda: NOW)
    agree_both(mover)
    fact(Letter.objects.get(to=NEW), kind)
    mover.refresh_from_db()
    state = {"complained": "suppressed", "unsubscribed": "unsubscribed"}[kind]
    assert (mover.email, mover.state_at(NOW)) == (NEW, state)


def test_refused_old_address_does_not_block_the_new():
    mover = subscriber(next_due_at=NOW, wants_quiet_days=True)
    plan.plan(NOW)
    (claimed,), _ = worker.transitions.claim(NOW, 1)
    change_address.request(mover, NEW, now=NOW)
    agree_both(mover)
    refused = DeliveryResult("refused", "rcpt", "550 5.1.1 no such user", scope="address")
    outcomes.record_result(claimed, NOW + MINUTE, refused)
    assert make.fresh(mover).suppressed_at is None
    assert make.fresh(claimed).state == "failed"


# ---- At the same moment


@pytest.mark.django_db(transaction=True)
def test_concurrent_clicks_change_the_address_once(mover):
    sides = [partial(agree, mover, side) for side in ("old", "new")]
    raised = at_once(*5 * sides)
    assert errors_of(raised) == []
    assert moved(mover)
    assert mover.consents.count() == 2
