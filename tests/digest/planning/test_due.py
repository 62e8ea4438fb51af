"""Whose day is due, and when the next one is."""

from datetime import UTC, datetime, timedelta

import pytest

from digest.models import Digest
from digest.planning import plan as planning
from digest.planning import spacing
from subscriptions import schedule
from subscriptions.actions import preferences
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.factories.planning import TODAY, digests, titles

pytestmark = pytest.mark.django_db


def test_the_second_digest_is_due_at_her_hour_of_the_next_local_day():
    make.subscriber(timezone="America/New_York", hour=6)
    planning.plan(NOW)

    assert Subscriber.objects.get().next_due_at == datetime(2026, 6, 2, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "state",
    [
        {"confirmed": False},
        {"unsubscribed_at": NOW, "next_due_at": NOW},
        {"suppressed_at": NOW, "next_due_at": NOW},
    ],
)
def test_nothing_is_planned_for_who_does_not_want_it(state):
    make.paper("Graphs")
    make.subscriber(interests="graphs", **state)
    planning.plan(NOW)
    assert not Digest.objects.exists()


def test_nothing_is_planned_during_a_pause_and_then_it_is():
    reader = make.subscriber(interests="graphs", hour=7)
    until = TODAY + timedelta(days=3)
    preferences.change(reader, TopicSelection(), {"paused_until": until}, now=NOW)

    for day in range(3):
        planning.plan(NOW + timedelta(days=day))
    assert not Digest.objects.exists()

    planning.plan(NOW + timedelta(days=3))
    assert [digest.day for digest in digests()] == [until]


def test_days_on_which_nothing_ran_are_missed_and_only_the_last_is_planned():
    make.paper("Graphs", day=TODAY + timedelta(days=4))
    make.subscriber(interests="graphs")

    plan = planning.plan(NOW + timedelta(days=4))

    assert (plan.letters, plan.missed) == (1, 4)
    assert [digest.letter.state for digest in digests()] == ["missed"] * 4 + ["planned"]
    assert [digest.day for digest in digests()] == [TODAY + timedelta(days=n) for n in range(5)]
    assert [len(titles(digest)) for digest in digests()] == [0, 0, 0, 0, 1]


def test_a_day_may_still_be_planned_in_the_grace_after_it():
    make.paper("Graphs")
    make.subscriber(interests="graphs", hour=20)
    planning.plan(datetime(2026, 6, 2, 5, 59, tzinfo=UTC))
    assert [(d.day, d.letter.state) for d in digests()] == [(TODAY, "planned")]


@pytest.mark.parametrize("state", ["skipped", "missed"])
def test_the_next_digest_keeps_its_distance_to_one_that_was_repeated_however_that_ended(state):
    """It may have arrived."""
    reader = make.subscriber(confirmed_at=NOW - timedelta(days=9))
    letter = Letter(subscriber=reader, day=NOW.date(), created_at=NOW, left_at=NOW, state=state)
    assert spacing.gap_ends_at(letter, reader) is None
    letter.repeats = 1
    assert spacing.gap_ends_at(letter, reader) == NOW + schedule.MIN_GAP


@pytest.mark.parametrize(
    ("confirmed_at", "apart"),
    [
        (timedelta(minutes=-20), schedule.MIN_GAP),  # Then came her hour.
        (timedelta(0), schedule.MIN_GAP_AFTER_FIRST),
        (timedelta(minutes=20), schedule.MIN_GAP),  # It was there before.
    ],
)
def test_a_digest_that_did_not_come_because_she_confirmed_is_no_first_one(confirmed_at, apart):
    """She has taken a leaving back, or moved to another address."""
    reader = make.subscriber(hour=NOW.hour, confirmed_at=NOW + confirmed_at)
    letter = Letter(day=NOW.date(), created_at=NOW, left_at=NOW + timedelta(hours=9))
    assert spacing.gap_ends_at(letter, reader) == letter.left_at + apart
