"""Subscribing and confirming."""

import threading
from datetime import date
from functools import partial

import pytest
from django.db import connection

from subscriptions import hooks
from subscriptions.actions import erase, preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Consent, Letter, Subscriber, Topic, TopicPreference
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.subscriber_pages import stances
from tests.helpers.threads import at_once, errors_of, uncommitted
from tests.subscriptions.actions.signup_steps import (
    DAY,
    DOOR,
    HOUR,
    MINUTE,
    accepted,
    change,
    confirm,
    goodbyes,
    say_yes,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.django_db


# ---- Subscribing


def test_what_is_due_at_once_is_so_by_the_databases_clock(monkeypatch):
    """Behind a web server whose clock is ahead, letters and first digests would wait as long."""
    monkeypatch.setattr("subscriptions.delivery.clock.database_now", lambda: NOW - HOUR)
    letter = subscribe()
    assert letter in Letter.objects.due(NOW - HOUR)
    confirm(letter.subscriber)
    assert letter.subscriber in Subscriber.objects.due(NOW - HOUR)


def test_signing_up_again_at_once_changes_the_wishes_and_sends_no_second_letter():
    subscribe(wishes=TopicSelection(interests=["bread"]))
    again = subscribe(wishes=TopicSelection(interests=["cake"]), hour=9, now=NOW + MINUTE)
    someone = Subscriber.objects.get()
    assert again is None
    assert Letter.objects.count() == 1
    assert (stances(someone), someone.hour) == ({"cake": "follow"}, 9)


def test_whoever_lost_the_confirmation_can_have_another_after_a_while_or_once_it_failed():
    letter = subscribe()
    assert subscribe(now=NOW + MINUTE) is None
    Letter.objects.filter(pk=letter.pk).update(state="failed")
    assert subscribe(now=NOW + MINUTE) is not None
    assert subscribe(now=NOW + 11 * MINUTE) is not None


@pytest.mark.parametrize("paused_until", [None, date(2026, 7, 1)])
def test_nobody_can_change_a_readers_settings_by_typing_her_address(paused_until):
    reader = make.subscriber(interests="bread", hour=8, paused_until=paused_until)
    subscribe(
        reader.email.upper(), TopicSelection(interests=["spam"]), timezone="Asia/Tokyo", hour=3
    )
    reader.refresh_from_db()
    assert stances(reader) == {"bread": "follow"}
    assert (reader.hour, reader.timezone) == (8, "UTC")
    assert reader.asked_at == NOW
    assert not reader.consents.exists()


def test_a_sign_up_sets_the_language_until_she_reads_here_or_has_read_here():
    languages = []
    for state in ({"confirmed": False}, {}, {"unsubscribed_at": NOW}):
        someone = make.subscriber(**state)
        signup.subscribe(someone.email, signup.SignUpRequest(language="de"), source=DOOR, now=NOW)
        someone.refresh_from_db()
        languages.append(someone.language)
    assert languages == ["de", "en", "en"]


def test_one_who_reads_already_is_told_so_once_a_day():
    reader = make.subscriber()
    written = [subscribe(reader.email, now=NOW + n * HOUR) is not None for n in range(0, 49, 6)]
    assert written == [n % 24 == 0 for n in range(0, 49, 6)]


# ---- Confirming


def test_one_who_left_may_come_back_the_same_minute():
    subscribe()
    someone = Subscriber.objects.get()
    confirm(someone, now=NOW + MINUTE)
    preferences.pause(someone, NOW.date() + 9 * DAY, now=NOW + MINUTE)
    unsubscribe(someone, now=NOW + 2 * MINUTE)
    assert subscribe(wishes=TopicSelection(interests=["bread"]), now=NOW + 3 * MINUTE) is not None
    confirm(someone, now=NOW + 4 * MINUTE)
    assert make.fresh(someone).state_at(NOW + 4 * MINUTE) == "active"
    assert stances(someone) == {"bread": "follow"}
    assert someone in Subscriber.objects.due(NOW + 4 * MINUTE)


def test_one_who_had_a_digest_on_an_earlier_day_is_due_at_once():
    someone = make.subscriber(hour=7)
    accepted(someone, NOW.date() - DAY, NOW - DAY)
    unsubscribe(someone)
    subscribe(someone.email, now=NOW + MINUTE)
    confirm(someone, now=NOW + 2 * MINUTE)
    assert someone in Subscriber.objects.due(NOW + 2 * MINUTE)


def test_a_confirmation_does_not_lift_a_suppression():
    subscribe()
    someone = Subscriber.objects.get()
    Subscriber.objects.update(suppressed_at=NOW)
    confirm(someone, now=NOW + HOUR)
    assert make.fresh(someone).state_at(NOW + HOUR) == "suppressed"
    assert someone.confirmed_at is None


# ---- Who never confirmed


def test_who_asks_anew_while_others_are_forgotten_is_not(monkeypatch):
    for name, days in (("first", 32), ("second", 31)):
        subscribe(f"{name}@example.org", now=NOW - days * DAY)
    monkeypatch.setattr(hooks, "erasers", [lambda _: subscribe("second@example.org")])
    assert erase.forget_unconfirmed(NOW - 30 * DAY, NOW) == 1
    assert Subscriber.objects.get().email == "second@example.org"


@pytest.mark.django_db(transaction=True)
def test_who_is_asking_anew_in_this_very_moment_is_not_forgotten():
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    subscribe(now=NOW - 31 * DAY)
    thread, commit = uncommitted(subscribe)
    threading.Timer(0.5, commit.set).start()
    assert erase.forget_unconfirmed(NOW - 30 * DAY, NOW) == 0
    commit.set()
    thread.join(30)
    assert Subscriber.objects.get().asked_at == NOW


# ---- Several at once


@pytest.mark.django_db(transaction=True)
def test_eight_sign_ups_of_one_person_are_one_subscriber_with_one_letter():
    spellings = ["you@example.org", "You@example.org", "YOU@example.org", "yoU@example.org"]
    wishes = TopicSelection(interests=["bread"])
    came_of = at_once(*2 * [lambda s=s: subscribe(s, wishes) for s in spellings])
    assert errors_of(came_of) == []
    someone = Subscriber.objects.get()
    assert someone.consents.count() == 8
    assert someone.letters.count() == 1
    assert stances(someone) == {"bread": "follow"}


@pytest.mark.django_db(transaction=True)
def test_eight_clicks_on_confirm_or_unsubscribe_are_one():
    subscribe()
    someone = Subscriber.objects.get()
    confirming = at_once(*8 * [lambda: confirm(someone)])
    unsubscribing = at_once(*8 * [lambda: unsubscribe(someone)])
    assert errors_of(confirming + unsubscribing) == []
    acts = [consent.act for consent in someone.consents.all()]
    assert sorted(acts) == ["asked", "confirmed", "unsubscribed"]
    assert goodbyes(someone).count() == 1


@pytest.mark.django_db(transaction=True)
def test_undoing_amid_clicks_that_unsubscribe_leaves_one_goodbye_for_each_leaving():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    goodbye = goodbyes(reader).get()
    came_of = at_once(
        *5 * [lambda: say_yes(goodbye, now=NOW + 2 * MINUTE)],
        *5 * [lambda: unsubscribe(reader, now=NOW + 3 * MINUTE)],
    )
    assert {type(error) for error in errors_of(came_of)} <= {signup.UsedToken}
    left = reader.consents.filter(act="unsubscribed").count()
    assert goodbyes(reader).count() == left


@pytest.mark.parametrize(
    ("fields", "act"),
    [
        ({}, lambda one: preferences.change(one, None, {"hour": 9}, now=NOW)),
        ({}, lambda one: preferences.pause(one, NOW.date() + 9 * DAY, now=NOW)),
        ({"paused_until": NOW.date() + DAY}, lambda one: preferences.resume(one, now=NOW)),
        (
            {"suppressed_at": NOW, "suppressed_by": "bounced"},
            lambda one: signup.unsuppress(one, source=DOOR, now=NOW),
        ),
    ],
)
def test_what_another_click_has_changed_since_the_page_asked_stays(fields, act):
    one = make.subscriber(**fields)
    Subscriber.objects.filter(pk=one.pk).update(size=3, unsubscribed_at=NOW)
    act(one)
    assert (make.fresh(one).size, one.unsubscribed_at, one.paused_until) == (3, NOW, None)


@pytest.mark.django_db(transaction=True)
def test_of_eight_changes_at_once_one_wins_whole():
    reader = make.subscriber(interests="bread")

    def change_to(n):
        wishes = TopicSelection(interests=[f"bread {n}"])
        change(Subscriber.objects.get(), wishes, hour=n, size=n + 1)

    assert errors_of(at_once(*(partial(change_to, n) for n in range(8)))) == []
    assert make.fresh(reader).size == reader.hour + 1
    assert stances(reader) == {f"bread {reader.hour}": "follow"}


@pytest.mark.django_db(transaction=True)
def test_nothing_of_her_is_left_when_she_erases_amid_other_clicks():
    reader = make.subscriber(interests="bread")
    wishes = TopicSelection(interests=["cake"])
    came_of = at_once(
        *5 * [lambda: erase.erase(reader, now=NOW)],
        *5 * [lambda: preferences.change(reader, wishes, {"hour": 9}, now=NOW)],
        *5 * [lambda: unsubscribe(reader)],
        *5 * [lambda: preferences.resume(reader, now=NOW)],
    )
    assert {type(error) for error in errors_of(came_of)} <= {Subscriber.DoesNotExist}
    for model in (Subscriber, TopicPreference, Topic, Letter, Consent):
        assert not model.objects.exists()
