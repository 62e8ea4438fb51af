"""Changing, pausing, and what the operator does."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions import schedule
from subscriptions.actions import moderation, preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import queue, suppress
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.notices import send
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers.subscriber_pages import stances
from tests.subscriptions.actions.signup_steps import DOOR, accepted, change, subscribe

pytestmark = pytest.mark.django_db


# ---- Changing


def test_what_is_no_longer_wished_for_is_gone_and_what_stays_keeps_its_weight():
    kept, dropped = make.topic(), make.topic()
    reader = make.subscriber(interests="bread\ncake", topics=[kept, dropped])
    reader.preferences.filter(topic=kept).update(weight=2.5)
    bread = reader.own_topics.get(query="bread")
    change(reader, TopicSelection(follow=[kept], interests=["bread"]))
    assert stances(reader) == {kept.query: "follow", "bread": "follow"}
    assert reader.preferences.get(topic=kept).weight == 2.5
    assert list(reader.own_topics.all()) == [bread]
    assert Topic.objects.filter(pk=dropped.pk).exists()


def test_a_later_hour_holds_today_where_today_has_no_digest_yet():
    reader = make.subscriber(next_due_at=NOW + 2 * HOUR, hour=14)
    change(reader, hour=20)
    assert reader.next_due_at == NOW + 8 * HOUR


def test_a_later_hour_holds_from_tomorrow_where_today_had_its_digest():
    reader = make.subscriber()
    accepted(reader, NOW.date(), at=NOW - 5 * HOUR)
    change(reader, hour=20)
    assert reader.next_due_at == NOW + DAY + 8 * HOUR


@settings(max_examples=25)
@given(
    zones=st.tuples(*2 * [st.sampled_from(sorted(available_timezones() - {"localtime"}))]),
    hour=st.integers(0, 23),
    sent_at=st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda later: NOW + later),
    wait=st.timedeltas(timedelta(0), timedelta(hours=24)),
)
def test_after_a_move_the_next_digest_is_of_a_later_day_and_apart(zones, hour, sent_at, wait):
    reader = make.subscriber(timezone=zones[0], confirmed_at=NOW - DAY)
    last = schedule.local_day(sent_at, ZoneInfo(zones[0]))
    accepted(reader, last, at=sent_at)
    change(reader, now=sent_at + wait, timezone=zones[1], hour=hour)
    next_day = schedule.local_day(reader.next_due_at, reader.zone)
    if (reader.timezone, reader.hour) != (zones[0], 7):
        assert next_day > last
        assert reader.next_due_at >= sent_at + timedelta(hours=12)
        # Three days: from the first to the last hour, across the date line, one day being taken.
        assert reader.next_due_at <= sent_at + timedelta(hours=73)


@pytest.mark.parametrize("fields", [{"confirmed": False}, {"unsubscribed_at": NOW}])
def test_a_change_of_hour_makes_nothing_due_for_one_who_gets_no_digest(fields):
    reader = make.subscriber(next_due_at=None, **fields)
    change(reader, hour=20)
    assert reader.next_due_at is None


# ---- Pausing


def test_a_pause_ends_by_itself_at_her_hour_on_the_day_that_she_chose():
    reader = make.subscriber(timezone="Europe/Berlin")
    change(reader, paused_until=date(2026, 6, 10))
    assert reader.state_at(NOW) == "paused"
    assert reader.next_due_at == datetime(2026, 6, 10, 5, tzinfo=UTC)
    assert reader.state_at(reader.next_due_at) == "active"


def test_a_pause_stops_the_digest_that_waits_but_not_a_confirmation():
    reader = make.subscriber()
    for kind in Letter.Kind.values:
        queue.create(reader, kind, now=NOW, closes_at=NOW + DAY)
    change(reader, paused_until=date(2026, 6, 10))
    states = dict(reader.letters.values_list("kind", "state"))
    assert states.pop("confirm") == "planned"
    assert states.pop("digest") == "skipped"
    assert states.pop("welcome") == "skipped"


def test_resuming_brings_the_next_digest_at_her_hour_and_none_for_a_day_that_had_one():
    reader = make.subscriber(hour=20, paused_until=date(2026, 6, 10), next_due_at=NOW + 9 * DAY)
    preferences.resume(reader, now=NOW)
    assert (make.fresh(reader).paused_until, reader.next_due_at) == (None, NOW + 8 * HOUR)
    accepted(reader, NOW.date(), at=NOW)
    change(reader, paused_until=date(2026, 6, 10))
    preferences.resume(reader, now=NOW)
    assert make.fresh(reader).next_due_at == NOW + DAY + 8 * HOUR


def test_the_operator_pauses_and_resumes_only_who_gets_digests():
    reader, until = make.subscriber(), NOW.date() + 9 * DAY
    assert preferences.pause(reader, until, now=NOW)
    assert (make.fresh(reader).state_at(NOW), reader.paused_until) == ("paused", until)
    assert preferences.resume(reader, now=NOW)
    assert not preferences.resume(reader, now=NOW)
    left = make.subscriber(unsubscribed_at=NOW, next_due_at=None)
    others = [left, make.subscriber(confirmed=False), make.subscriber(suppressed_at=NOW)]
    assert not any(preferences.pause(one, until, now=NOW) for one in others)
    assert not Subscriber.objects.filter(paused_until__isnull=False).exists()


def test_a_pause_until_a_day_that_has_come_is_none():
    reader = make.subscriber(timezone="Pacific/Kiritimati")  # Where it is tomorrow already.
    assert not preferences.pause(reader, NOW.date() + DAY, now=NOW)
    assert preferences.pause(reader, NOW.date() + 2 * DAY, now=NOW)


# ---- What the operator sends again, and what he keeps from somebody


def asking(now=NOW, ago=DAY):
    """Make one who asked for the digest so long ago, with her letter, and hasn't confirmed."""
    reader = make.subscriber(confirmed=False, now=now - ago)
    signup.record_consent(reader, "asked", DOOR, now - ago)
    send.write(reader, "confirm", now - ago, closes_at=now + DAY)
    return reader


def test_a_confirmation_is_sent_again_with_a_link_that_holds_from_then_on():
    reader = asking(ago=6 * DAY)
    letter = moderation.ask_to_confirm(reader, now=NOW)
    assert (letter.kind, letter.state) == ("confirm", "planned")
    assert make.fresh(reader).asked_at == NOW
    assert moderation.ask_to_confirm(reader, now=NOW + 9 * MINUTE) is None
    assert moderation.ask_to_confirm(reader, now=NOW + 11 * MINUTE) is not None


def test_nobody_is_asked_for_ever_to_confirm():
    reader = asking()
    days = [NOW + n * DAY for n in range(30)]
    asked = [day for day in days if moderation.ask_to_confirm(reader, now=day) is not None]
    assert asked == days[:6]
    assert reader.consents.count() == 1, "that she asked is her own word alone"


NOT_WAITING = [{"confirmed_at": NOW}, {"unsubscribed_at": NOW}, {"suppressed_at": NOW}]
NOT_WAITING += [{"confirmed_at": NOW, "paused_until": NOW.date() + 9 * DAY}]


@pytest.mark.parametrize("fields", NOT_WAITING)
def test_who_is_not_waiting_to_confirm_is_not_asked_to(fields):
    reader = asking()
    Subscriber.objects.update(**fields)
    assert moderation.ask_to_confirm(reader, now=NOW) is None


def test_what_the_operator_keeps_from_somebody_is_called_off_and_only_he_lets_it_go():
    reader = make.subscriber(suppressed_at=NOW, suppressed_by="complained")
    waiting = queue.create(reader, "digest", now=NOW, closes_at=NOW + DAY)
    assert moderation.suppress(reader, "asked by phone", now=NOW)
    assert not moderation.suppress(reader, "again", now=NOW + HOUR)
    waiting.refresh_from_db()
    reader.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("skipped", "suppressed")
    assert (reader.state_at(NOW), reader.suppressed_reason) == ("suppressed", "asked by phone")
    assert not signup.unsuppress(reader, now=NOW, source=DOOR), "she can't"
    assert moderation.ask_if_address_works(reader, now=NOW) is None
    assert subscribe(reader.email) is None
    assert moderation.unsuppress(reader, now=NOW), "he can"


def test_a_complaint_does_not_hand_her_the_key_to_what_the_operator_decided():
    reader = make.subscriber()
    moderation.suppress(reader, "asked by phone", now=NOW)
    with transaction.atomic():
        suppress.after_complaint(reader.pk, "reported", NOW + HOUR)
    assert make.fresh(reader).suppressed_by == "operator"
    assert not signup.unsuppress(reader, now=NOW + HOUR, source=DOOR)
