"""Her data, who never confirmed, and twenty who act at once."""

import threading

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
    MINUTE,
    change,
    confirm,
    goodbyes,
    say_yes,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.django_db


# ---- Her data


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


# ---- Twenty at once


@pytest.mark.django_db(transaction=True)
def test_twenty_sign_ups_of_one_person_are_one_subscriber_with_one_letter():
    spellings = ["you@example.org", "You@example.org", "YOU@example.org", "yoU@example.org"]
    wishes = TopicSelection(interests=["bread"])
    came_of = at_once(*5 * [lambda s=s: subscribe(s, wishes) for s in spellings])
    assert errors_of(came_of) == []
    someone = Subscriber.objects.get()
    assert someone.consents.count() == 20
    assert someone.letters.count() == 1
    assert stances(someone) == {"bread": "follow"}


@pytest.mark.django_db(transaction=True)
def test_twenty_clicks_on_confirm_or_unsubscribe_are_one():
    subscribe()
    someone = Subscriber.objects.get()
    confirming = at_once(*20 * [lambda: confirm(someone)])
    unsubscribing = at_once(*20 * [lambda: unsubscribe(someone)])
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
    one.refresh_from_db()
    assert (one.size, one.unsubscribed_at, one.paused_until) == (3, NOW, None)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_changes_at_once_one_wins_whole():
    reader = make.subscriber(interests="bread")
    came_of = at_once(
        *(
            lambda n=n: change(
                Subscriber.objects.get(),
                TopicSelection(interests=[f"bread {n}"]),
                hour=n,
                size=n + 1,
            )
            for n in range(20)
        )
    )
    assert errors_of(came_of) == []
    reader.refresh_from_db()
    assert reader.size == reader.hour + 1
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
