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
from tests.subscriptions.actions.signup_steps import CONSENT_SOURCE, accepted, change, subscribe

pytestmark = pytest.mark.django_db


# ---- Changing


def test_removed_topics_are_deleted_and_others_keep_their_weight():
    kept, dropped = make.topic(), make.topic()
    subscriber = make.subscriber(interests="bread\ncake", topics=[kept, dropped])
    subscriber.preferences.filter(topic=kept).update(weight=2.5)
    bread = subscriber.own_topics.get(query="bread")
    change(subscriber, TopicSelection(follow=[kept], interests=["bread"]))
    assert stances(subscriber) == {kept.query: "follow", "bread": "follow"}
    assert subscriber.preferences.get(topic=kept).weight == 2.5
    assert list(subscriber.own_topics.all()) == [bread]
    assert Topic.objects.filter(pk=dropped.pk).exists()


@pytest.mark.parametrize("digests", [0, 1])
def test_later_hour_applies_today_before_todays_digest(digests):
    subscriber = make.subscriber(next_due_at=NOW + 2 * HOUR, hour=14)
    if digests:
        accepted(subscriber, NOW.date(), at=NOW - 5 * HOUR)
    change(subscriber, hour=20)
    assert subscriber.next_due_at == NOW + digests * DAY + 8 * HOUR


@settings(max_examples=25)
@given(
    zones=st.tuples(*2 * [st.sampled_from(sorted(available_timezones() - {"localtime"}))]),
    hour=st.integers(0, 23),
    sent_at=st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda later: NOW + later),
    wait=st.timedeltas(timedelta(0), timedelta(hours=24)),
)
def test_next_digest_is_a_day_later_after_moving_zones(zones, hour, sent_at, wait):
    subscriber = make.subscriber(timezone=zones[0], confirmed_at=NOW - DAY)
    last = schedule.local_day(sent_at, ZoneInfo(zones[0]))
    accepted(subscriber, last, at=sent_at)
    change(subscriber, now=sent_at + wait, timezone=zones[1], hour=hour)
    next_day = schedule.local_day(subscriber.next_due_at, subscriber.zone)
    if (subscriber.timezone, subscriber.hour) != (zones[0], 7):
        assert next_day > last
        assert subscriber.next_due_at >= sent_at + timedelta(hours=12)
        # Three days: from the first to the last hour, across the date line, one day being taken.
        assert subscriber.next_due_at <= sent_at + timedelta(hours=73)


@pytest.mark.parametrize("fields", [{"confirmed": False}, {"unsubscribed_at": NOW}])
def test_change_of_hour_schedules_nothing_without_a_subscription(fields):
    subscriber = make.subscriber(next_due_at=None, **fields)
    change(subscriber, hour=20)
    assert subscriber.next_due_at is None


# ---- Pausing


def test_pause_ends_at_the_digest_hour_of_its_day():
    subscriber = make.subscriber(timezone="Europe/Berlin")
    change(subscriber, paused_until=date(2026, 6, 10))
    assert subscriber.state_at(NOW) == "paused"
    assert subscriber.next_due_at == datetime(2026, 6, 10, 5, tzinfo=UTC)
    assert subscriber.state_at(subscriber.next_due_at) == "active"


def test_pause_stops_the_waiting_digest_but_no_confirmation():
    subscriber = make.subscriber()
    for kind in Letter.Kind.values:
        queue.create(subscriber, kind, now=NOW, closes_at=NOW + DAY)
    change(subscriber, paused_until=date(2026, 6, 10))
    states = dict(subscriber.letters.values_list("kind", "state"))
    assert states.pop("confirm") == "planned"
    assert states.pop("digest") == "skipped"
    assert states.pop("welcome") == "skipped"


def test_next_digest_after_resuming_comes_at_the_hour():
    subscriber = make.subscriber(hour=20, paused_until=date(2026, 6, 10), next_due_at=NOW + 9 * DAY)
    preferences.resume(subscriber, now=NOW)
    assert (make.fresh(subscriber).paused_until, subscriber.next_due_at) == (None, NOW + 8 * HOUR)
    accepted(subscriber, NOW.date(), at=NOW)
    change(subscriber, paused_until=date(2026, 6, 10))
    preferences.resume(subscriber, now=NOW)
    assert make.fresh(subscriber).next_due_at == NOW + DAY + 8 * HOUR


def test_only_subscribed_addresses_are_paused_and_resumed():
    subscriber, until = make.subscriber(), NOW.date() + 9 * DAY
    assert preferences.pause(subscriber, until, now=NOW)
    assert (make.fresh(subscriber).state_at(NOW), subscriber.paused_until) == ("paused", until)
    assert preferences.resume(subscriber, now=NOW)
    assert not preferences.resume(subscriber, now=NOW)
    left = make.subscriber(unsubscribed_at=NOW, next_due_at=None)
    others = [left, make.subscriber(confirmed=False), make.subscriber(suppressed_at=NOW)]
    assert not any(preferences.pause(one, until, now=NOW) for one in others)
    assert not Subscriber.objects.filter(paused_until__isnull=False).exists()


def test_pause_until_a_past_day_is_refused():
    subscriber = make.subscriber(timezone="Pacific/Kiritimati")  # Where it is tomorrow already.
    assert not preferences.pause(subscriber, NOW.date() + DAY, now=NOW)
    assert preferences.pause(subscriber, NOW.date() + 2 * DAY, now=NOW)


# ---- What the operator sends again, and what an operator's suppression does


def asking(now=NOW, ago=DAY):
    """Make one who asked for the digest so long ago, with their letter, and hasn't confirmed."""
    subscriber = make.subscriber(confirmed=False, now=now - ago)
    signup.record_consent(subscriber, "asked", CONSENT_SOURCE, now - ago)
    send.write(subscriber, "confirm", now - ago, closes_at=now + DAY)
    return subscriber


def test_confirmation_is_sent_again_with_a_new_link():
    subscriber = asking(ago=6 * DAY)
    letter = moderation.ask_to_confirm(subscriber, now=NOW)
    assert (letter.kind, letter.state) == ("confirm", "planned")
    assert make.fresh(subscriber).asked_at == NOW
    assert moderation.ask_to_confirm(subscriber, now=NOW + 9 * MINUTE) is None
    assert moderation.ask_to_confirm(subscriber, now=NOW + 11 * MINUTE) is not None


def test_requests_to_confirm_are_limited():
    subscriber = asking()
    days = [NOW + n * DAY for n in range(30)]
    asked = [day for day in days if moderation.ask_to_confirm(subscriber, now=day) is not None]
    assert asked == days[:6]
    assert subscriber.consents.count() == 1, "the operator's emails add no consent"


NOT_WAITING = [{"confirmed_at": NOW}, {"unsubscribed_at": NOW}, {"suppressed_at": NOW}]
NOT_WAITING += [{"confirmed_at": NOW, "paused_until": NOW.date() + 9 * DAY}]


@pytest.mark.parametrize("fields", NOT_WAITING)
def test_only_pending_subscribers_are_asked_to_confirm(fields):
    subscriber = asking()
    Subscriber.objects.update(**fields)
    assert moderation.ask_to_confirm(subscriber, now=NOW) is None


def test_operators_block_cancels_letters_and_only_operators_lift_it():
    subscriber = make.subscriber(suppressed_at=NOW, suppressed_by="complained")
    waiting = queue.create(subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    assert moderation.suppress(subscriber, "asked by phone", now=NOW)
    assert not moderation.suppress(subscriber, "again", now=NOW + HOUR)
    waiting.refresh_from_db()
    subscriber.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("skipped", "suppressed")
    assert subscriber.state_at(NOW) == "suppressed"
    assert subscriber.suppressed_reason == "asked by phone"
    assert not signup.unsuppress(subscriber, now=NOW, source=CONSENT_SOURCE), "a subscriber cannot"
    assert moderation.ask_if_address_works(subscriber, now=NOW) is None
    assert subscribe(subscriber.email) is None
    assert moderation.unsuppress(subscriber, now=NOW), "an operator can"


def test_operators_block_is_not_replaced_by_a_complaint():
    subscriber = make.subscriber()
    moderation.suppress(subscriber, "asked by phone", now=NOW)
    with transaction.atomic():
        suppress.after_complaint(subscriber.pk, "reported", NOW + HOUR)
    assert make.fresh(subscriber).suppressed_by == "operator"
    assert not signup.unsuppress(subscriber, now=NOW + HOUR, source=CONSENT_SOURCE)
