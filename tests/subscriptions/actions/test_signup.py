"""Subscribing and confirming."""

from datetime import date

import pytest

from subscriptions.actions import preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.subscriber_pages import stances
from tests.subscriptions.actions.signup_steps import (
    DAY,
    DOOR,
    HOUR,
    MINUTE,
    accepted,
    confirm,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.django_db


# ---- Subscribing


def test_what_is_due_at_once_is_so_by_the_databases_clock(monkeypatch):
    """Behind a web server whose clock is ahead, letters and first digests would wait as long."""
    monkeypatch.setattr("subscriptions.delivery.clock.of_database", lambda: NOW - HOUR)
    letter = subscribe()
    assert letter in Letter.objects.due(NOW - HOUR)
    confirm(letter.subscriber)
    assert letter.subscriber in Subscriber.objects.due(NOW - HOUR)


def test_dots_and_plus_tags_stay_apart():
    for address in ("firstlast@example.org", "first.last@example.org", "firstlast+a@example.org"):
        subscribe(address)
    assert Subscriber.objects.count() == 3


def test_signing_up_again_at_once_changes_the_wishes_and_sends_no_second_letter():
    subscribe(wishes=TopicSelection(interests=["bread"]))
    again = subscribe(wishes=TopicSelection(interests=["cake"]), hour=9, now=NOW + MINUTE)
    someone = Subscriber.objects.get()
    assert again is None
    assert Letter.objects.count() == 1
    assert (stances(someone), someone.hour) == ({"cake": "follow"}, 9)


def test_whoever_lost_the_confirmation_can_have_another_after_a_while():
    subscribe()
    assert subscribe(now=NOW + 10 * MINUTE) is not None


def test_a_confirmation_that_failed_does_not_stand_in_the_way_of_another():
    letter = subscribe()
    Letter.objects.filter(pk=letter.pk).update(state="failed")
    assert subscribe(now=NOW + MINUTE) is not None


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


@pytest.mark.parametrize(
    "fields", [{"confirmed_at": None}, {"unsubscribed_at": NOW}, {"suppressed_at": NOW}]
)
def test_nobody_is_due_who_does_not_want_letters(fields):
    wanting = make.subscriber(next_due_at=NOW)
    make.subscriber(next_due_at=NOW, **fields)
    assert list(Subscriber.objects.due(NOW)) == [wanting]


# ---- Confirming


def test_of_two_letters_the_other_is_used_too_once_one_is():
    subscribe()
    first = Subscriber.objects.get()
    subscribe(now=NOW + HOUR)
    confirm(Subscriber.objects.get(), now=NOW + 2 * HOUR)
    unsubscribe(first, now=NOW + 3 * HOUR)
    with pytest.raises(signup.UsedToken):
        signup.confirm(first, first.asked_at, source=DOOR, now=NOW + 4 * HOUR)


def test_one_who_left_may_come_back_the_same_minute():
    subscribe()
    someone = Subscriber.objects.get()
    confirm(someone, now=NOW + MINUTE)
    preferences.pause(someone, NOW.date() + 9 * DAY, now=NOW + MINUTE)
    unsubscribe(someone, now=NOW + 2 * MINUTE)
    assert subscribe(wishes=TopicSelection(interests=["bread"]), now=NOW + 3 * MINUTE) is not None
    confirm(someone, now=NOW + 4 * MINUTE)
    someone.refresh_from_db()
    assert someone.state_at(NOW + 4 * MINUTE) == "active"
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
    someone.refresh_from_db()
    assert someone.state_at(NOW + HOUR) == "suppressed"
    assert someone.confirmed_at is None
