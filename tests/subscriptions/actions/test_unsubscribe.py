"""Unsubscribing, coming back, and whether an address is right."""

from datetime import UTC, date, datetime

import pytest

from subscriptions.actions import erase, moderation, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import queue
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.subscriber_pages import stances
from tests.subscriptions.actions.signup_steps import (
    DAY,
    HOUR,
    MINUTE,
    accepted,
    bouncing,
    confirm,
    goodbyes,
    say_yes,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.django_db


# ---- Unsubscribing


@pytest.mark.parametrize(
    ("state", "becomes", "may_yet_arrive"),
    [
        ("planned", "skipped", 0),
        ("claimed", "skipped", 0),
        ("transmitting", "transmitting", 1),
        ("uncertain", "uncertain", 1),
        ("accepted", "accepted", 0),
        ("failed", "failed", 0),
    ],
)
def test_unsubscribing_ends_what_has_not_left_and_counts_what_may_yet_arrive(
    state, becomes, may_yet_arrive
):
    reader = make.subscriber()
    letter = queue.write(reader, "digest", now=NOW, closes_at=NOW + DAY)
    Letter.objects.update(state=state)
    assert unsubscribe(reader) == may_yet_arrive
    letter.refresh_from_db()
    assert letter.state == becomes


def test_unsubscribing_stops_at_once_and_again_changes_nothing():
    reader = make.subscriber()
    unsubscribe(reader)
    unsubscribe(reader, now=NOW + DAY)
    reader.refresh_from_db()
    assert (reader.unsubscribed_at, reader.next_due_at) == (NOW, None)
    assert [consent.act for consent in reader.consents.all()] == ["unsubscribed"]
    assert not Subscriber.objects.due(NOW + 30 * DAY).exists()


def test_one_last_letter_says_goodbye_after_those_that_wait_are_called_off():
    reader = make.subscriber()
    queue.write(reader, "digest", now=NOW, closes_at=NOW + DAY)
    unsubscribe(reader, now=NOW + HOUR)
    assert list(reader.letters.order_by("pk").values_list("kind", "state")) == [
        ("digest", "skipped"),
        ("goodbye", "planned"),
    ]
    goodbye = goodbyes(reader).get()
    assert goodbye.created_at == NOW + HOUR
    assert goodbye.created_at < goodbye.closes_at < goodbye.created_at + 7 * DAY


def test_a_second_unsubscribe_leaves_the_confirmation_that_was_asked_for_since():
    reader = make.subscriber("you@example.org")
    unsubscribe(reader)
    letter = subscribe(now=NOW + HOUR)
    unsubscribe(reader, now=NOW + HOUR + MINUTE)
    letter.refresh_from_db()
    assert (letter.kind, letter.state) == ("confirm", "planned")


def test_the_goodbye_itself_is_not_among_what_may_yet_arrive():
    reader = make.subscriber()
    unsubscribe(reader)
    goodbyes(reader).update(state="transmitting")
    assert unsubscribe(reader, now=NOW + MINUTE) == 0


def test_the_letters_of_others_go_on():
    reader, other = make.subscriber(), make.subscriber()
    letter = queue.write(other, "digest", now=NOW, closes_at=NOW + DAY)
    unsubscribe(reader)
    erase.erase(reader, now=NOW)
    letter.refresh_from_db()
    assert letter.state == "planned"


# ---- Coming back


def test_undoing_brings_all_back_as_it_was():
    reader = make.subscriber(
        interests="bread",
        topics=[make.topic()],
        muted=[make.topic()],
        timezone="Europe/Berlin",
        hour=20,
        size=3,
        language="de",
        wants_quiet_days=True,
        paused_until=date(2026, 6, 10),
    )
    before, wishes = Subscriber.objects.values().get(), stances(reader)
    unsubscribe(reader, now=NOW + MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + HOUR)
    moved = {"confirmed_at": NOW + HOUR, "next_due_at": datetime(2026, 6, 10, 18, tzinfo=UTC)}
    assert Subscriber.objects.values().get() == before | moved
    assert stances(reader) == wishes
    assert [consent.act for consent in reader.consents.all()] == ["unsubscribed", "confirmed"]


def test_after_undoing_the_next_digest_comes_at_her_hour_and_none_for_a_day_that_had_one():
    early, late = make.subscriber(hour=7), make.subscriber(hour=20)
    accepted(early, NOW.date(), at=NOW - 5 * HOUR)
    for reader in (early, late):
        unsubscribe(reader)
        say_yes(goodbyes(reader).get(), now=NOW + HOUR)
        reader.refresh_from_db()
    assert early.next_due_at == datetime(2026, 6, 2, 7, tzinfo=UTC)
    assert late.next_due_at == datetime(2026, 6, 1, 20, tzinfo=UTC)


def test_one_who_undoes_and_leaves_again_gets_a_new_goodbye_and_the_old_one_is_used_up():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    old = goodbyes(reader).get()
    say_yes(old, now=NOW + 2 * MINUTE)
    unsubscribe(reader, now=NOW + 3 * MINUTE)
    new = goodbyes(reader).last()
    with pytest.raises(signup.UsedToken):
        say_yes(old, now=NOW + 4 * MINUTE)
    say_yes(new, now=NOW + 5 * MINUTE)
    assert goodbyes(reader).count() == 2
    assert new.subscriber.state_at(NOW + 5 * MINUTE) == "active"


def test_undoing_takes_over_nothing_that_someone_asked_for_with_her_address():
    reader = make.subscriber(interests="bread", hour=20)
    unsubscribe(reader, now=NOW + MINUTE)
    subscribe(reader.email, TopicSelection(interests=["spam"]), hour=3, now=NOW + 2 * MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + 3 * MINUTE)
    reader.refresh_from_db()
    assert (stances(reader), reader.hour, reader.asked_for) == ({"bread": "follow"}, 20, {})


def test_a_sign_up_from_before_she_undid_does_not_bring_her_back_when_she_leaves_again():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    subscribe(reader.email, now=NOW + 2 * MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + 3 * MINUTE)
    unsubscribe(reader, now=NOW + 4 * MINUTE)
    with pytest.raises(signup.UsedToken):
        confirm(reader, now=NOW + 5 * MINUTE)


def test_the_goodbye_of_one_who_signed_up_again_and_left_again_is_used_up():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    old = goodbyes(reader).get()
    subscribe(reader.email, now=NOW + 2 * MINUTE)
    confirm(reader, now=NOW + 3 * MINUTE)
    unsubscribe(reader, now=NOW + 4 * MINUTE)
    with pytest.raises(signup.UsedToken):
        say_yes(old, now=NOW + 5 * MINUTE)


def test_undoing_lifts_no_suppression():
    reader = make.subscriber()
    unsubscribe(reader)
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by="complained")
    say_yes(goodbyes(reader).get(), now=NOW + MINUTE)
    reader.refresh_from_db()
    assert (reader.suppressed_at, reader.unsubscribed_at) == (NOW, NOW)


# ---- Whether her address is right


def test_one_whose_letters_came_back_is_asked_at_most_once_in_seven_days():
    reader = bouncing()
    asked = [
        moderation.ask_if_address_works(reader, now=NOW + day * DAY) is not None
        for day in range(15)
    ]
    assert [day for day in range(15) if asked[day]] == [0, 7, 14]
    assert set(reader.letters.values_list("kind", flat=True)) == {"bounced"}


@pytest.mark.parametrize(
    "fields",
    [
        {"suppressed_at": None},
        {"suppressed_by": ""},
        {"suppressed_by": "complained"},
        {"unsubscribed_at": NOW},
        {"confirmed_at": None},
    ],
)
def test_nobody_else_is_asked(fields):
    reader = bouncing()
    Subscriber.objects.update(**fields)
    assert moderation.ask_if_address_works(reader, now=NOW + DAY) is None
    assert not Letter.objects.exists()


def test_saying_that_the_address_is_right_makes_digests_go_on_without_those_of_the_past():
    reader = bouncing(hour=20, suppressed_reason="550 mailbox full", next_due_at=NOW)
    letter = moderation.ask_if_address_works(reader, now=NOW + 30 * DAY)
    say_yes(letter, now=NOW + 31 * DAY)
    reader.refresh_from_db()
    assert reader.state_at(NOW + 31 * DAY) == "active"
    assert (reader.suppressed_at, reader.suppressed_by, reader.suppressed_reason) == (None, "", "")
    assert reader.next_due_at == NOW + 31 * DAY + 8 * HOUR
    assert reader.confirmed_at == NOW
    assert [consent.act for consent in reader.consents.all()] == ["confirmed"]
    say_yes(letter, now=NOW + 32 * DAY)
    assert reader.consents.count() == 1


@pytest.mark.parametrize("since", [{"suppressed_by": "complained"}, {"suppressed_at": NOW + DAY}])
def test_saying_so_does_not_outweigh_what_came_after_the_question(since):
    reader = bouncing()
    letter = moderation.ask_if_address_works(reader, now=NOW + HOUR)
    Subscriber.objects.update(**since)
    say_yes(letter, now=NOW + 2 * DAY)
    reader.refresh_from_db()
    assert reader.suppressed_at is not None
    assert not reader.consents.exists()


def test_saying_so_brings_nobody_back_who_has_left_since():
    reader = bouncing()
    letter = moderation.ask_if_address_works(reader, now=NOW + HOUR)
    unsubscribe(reader, now=NOW + 2 * HOUR)
    letter.refresh_from_db()
    say_yes(letter, now=NOW + 3 * HOUR)
    assert letter.state == "skipped"
    reader.refresh_from_db()
    assert (reader.suppressed_at, reader.unsubscribed_at) == (NOW, NOW + 2 * HOUR)


def test_a_question_that_was_answered_brings_nobody_back_who_left_after():
    reader = bouncing()
    letter = moderation.ask_if_address_works(reader, now=NOW + HOUR)
    say_yes(letter, now=NOW + 2 * HOUR)
    unsubscribe(reader, now=NOW + 3 * HOUR)
    with pytest.raises(signup.UsedToken):
        say_yes(letter, now=NOW + 4 * HOUR)


def test_a_confirmation_is_no_answer_to_whether_the_address_is_right():
    reader = bouncing()
    confirm(reader, now=NOW + HOUR)
    reader.refresh_from_db()
    assert reader.suppressed_at == NOW
    assert not reader.consents.exists()
