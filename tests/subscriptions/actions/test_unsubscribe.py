"""Unsubscribing, coming back, and whether an address is right."""

from datetime import UTC, date, datetime

import pytest

from subscriptions.actions import moderation, signup
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
        ("failed", "failed", 0),
    ],
)
def test_unsubscribing_ends_what_has_not_left_and_counts_what_may_yet_arrive(
    state, becomes, may_yet_arrive
):
    reader, other = make.subscriber(), make.subscriber()
    letter = queue.create(reader, "digest", now=NOW, closes_at=NOW + DAY)
    of_other = queue.create(other, "digest", now=NOW, closes_at=NOW + DAY)
    Letter.objects.update(state=state)
    assert unsubscribe(reader) == may_yet_arrive
    letter.refresh_from_db()
    of_other.refresh_from_db()
    assert (letter.state, of_other.state) == (becomes, state)
    assert goodbyes(reader).get().closes_at < NOW + 7 * DAY


def test_unsubscribing_stops_at_once_and_again_changes_nothing():
    reader = make.subscriber()
    unsubscribe(reader)
    unsubscribe(reader, now=NOW + DAY)
    assert (make.fresh(reader).unsubscribed_at, reader.next_due_at) == (NOW, None)
    assert [consent.act for consent in reader.consents.all()] == ["unsubscribed"]
    assert not Subscriber.objects.due(NOW + 30 * DAY).exists()


def test_a_second_unsubscribe_leaves_the_confirmation_that_was_asked_for_since():
    reader = make.subscriber("you@example.org")
    unsubscribe(reader)
    letter = subscribe(now=NOW + HOUR)
    unsubscribe(reader, now=NOW + HOUR + MINUTE)
    assert (make.fresh(letter).kind, letter.state) == ("confirm", "planned")


def test_the_goodbye_itself_is_not_among_what_may_yet_arrive():
    reader = make.subscriber()
    unsubscribe(reader)
    goodbyes(reader).update(state="transmitting")
    assert unsubscribe(reader, now=NOW + MINUTE) == 0


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


@pytest.mark.parametrize(
    ("story", "used"),
    [
        (["leave", "undo", "leave"], "undo"),
        (["leave", "sign up", "undo", "leave"], "confirm"),
        (["leave", "sign up", "confirm", "leave"], "undo"),
        (["bounce", "answer", "leave"], "answer"),
    ],
)
def test_what_was_answered_before_she_left_again_brings_her_not_back(story, used):
    reader, moments = make.subscriber(), [NOW + n * MINUTE for n in range(5)]
    acts = {
        "leave": lambda now: unsubscribe(reader, now=now),
        "sign up": lambda now: subscribe(reader.email, now=now),
        "confirm": lambda now: confirm(reader, now=now),
        "undo": lambda now: say_yes(goodbyes(reader).first(), now=now),
        "bounce": lambda now: bounce(reader, now),
        "answer": lambda now: say_yes(reader.letters.get(kind="bounced"), now=now),
    }
    for act, now in zip(story, moments, strict=False):
        acts[act](now)
    with pytest.raises(signup.UsedToken):
        acts[used](moments[len(story)])


def bounce(reader, now):
    """Let the reader's letters come back, and ask whether the address works."""
    Subscriber.objects.update(suppressed_at=now, suppressed_by="bounced")
    moderation.ask_if_address_works(make.fresh(reader), now=now)


def test_one_who_undoes_and_leaves_again_gets_a_new_goodbye():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + 2 * MINUTE)
    unsubscribe(reader, now=NOW + 3 * MINUTE)
    say_yes(goodbyes(reader).last(), now=NOW + 5 * MINUTE)
    assert goodbyes(reader).count() == 2
    assert make.fresh(reader).state_at(NOW + 5 * MINUTE) == "active"


def test_undoing_takes_over_nothing_that_someone_asked_for_with_her_address():
    reader = make.subscriber(interests="bread", hour=20)
    unsubscribe(reader, now=NOW + MINUTE)
    subscribe(reader.email, TopicSelection(interests=["spam"]), hour=3, now=NOW + 2 * MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + 3 * MINUTE)
    reader.refresh_from_db()
    assert (stances(reader), reader.hour, reader.asked_for) == ({"bread": "follow"}, 20, {})


def test_undoing_lifts_no_suppression():
    reader = make.subscriber()
    unsubscribe(reader)
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by="complained")
    say_yes(goodbyes(reader).get(), now=NOW + MINUTE)
    assert (make.fresh(reader).suppressed_at, reader.unsubscribed_at) == (NOW, NOW)


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
    assert make.fresh(reader).state_at(NOW + 31 * DAY) == "active"
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
    assert make.fresh(reader).suppressed_at is not None
    assert not reader.consents.exists()
