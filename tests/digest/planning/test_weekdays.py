"""Days of the week, and what is new to who has had no digest for days."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.models import Digest, Pick
from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import change_address, preferences, signup
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.explanations import background_papers
from tests.factories.make import CONSENT_SOURCE, DAY, NOW, TODAY
from tests.factories.planning import past_digest
from tests.factories.simulation import at, tick

pytestmark = pytest.mark.django_db

MONDAYS, WORKDAYS, WEEKENDS = 0b0000001, 0b0011111, 0b1100000  # TODAY is a Monday.


def live(first, days):
    """Let so many days pass."""
    for n in range(days):
        for hour in (0, 7, 19):
            tick(at(first + n * DAY, hour))


def subscriber(**fields):
    """Make a subscriber of long standing."""
    return make.subscriber(**{"confirmed_at": NOW - 400 * DAY} | fields)


def days_of(subscriber, *states):
    letters = subscriber.letters.filter(state__in=states or ["accepted"]).order_by("day")
    return list(letters.values_list("day", flat=True))


# ---- Days of the week


@given(
    day=st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    weekdays=st.integers(1, schedule.EVERY_DAY),
    zone=st.sampled_from(["UTC", "Pacific/Auckland", "America/New_York"]),
)
def test_next_due_day_is_first_wanted_weekday(day, weekdays, zone):
    due_day, moment = schedule.next_due(day, 7, ZoneInfo(zone), weekdays)
    assert schedule.local_day(moment, ZoneInfo(zone)) == due_day
    passed = [(day + n * DAY).weekday() for n in range((due_day - day).days)]
    assert [weekdays >> one & 1 for one in [*passed, due_day.weekday()]] == [0] * len(passed) + [1]


def test_digests_come_only_on_wanted_weekdays():
    one = subscriber(weekdays=WORKDAYS, wants_quiet_days=True, next_due_at=at(TODAY, 7))
    live(TODAY, 9)
    assert days_of(one) == [TODAY + n * DAY for n in (0, 1, 2, 3, 4, 7, 8)]


CHANGES = [
    (schedule.EVERY_DAY, {"weekdays": WEEKENDS}, date(2026, 6, 6)),
    (MONDAYS, {"paused_until": date(2026, 6, 10)}, date(2026, 6, 15)),
]


@pytest.mark.parametrize(("weekdays", "change", "due"), CHANGES)
def test_settings_change_schedules_digest_on_wanted_weekday(weekdays, change, due):
    one = subscriber(weekdays=weekdays, next_due_at=at(TODAY + DAY, 7))
    past_digest(one, TODAY)
    preferences.change(one, None, change, now=NOW)
    assert make.fresh(one).next_due_at == at(due, 7)


def test_minimum_gap_ends_on_wanted_weekday():
    """Sunday's left late, so Monday's would come twelve hours later: on Tuesday."""
    one = subscriber(weekdays=MONDAYS, hour=23, next_due_at=at(TODAY, 23))
    past_digest(one, TODAY - DAY)
    Letter.objects.update(left_at=at(TODAY, 14))
    plan.plan(at(TODAY, 23))
    assert make.fresh(one).next_due_at == at(TODAY + 7 * DAY, 23)
    assert days_of(one, "planned") == []


def test_sleep_on_unwanted_weekdays_misses_no_digest():
    one = subscriber(weekdays=MONDAYS, wants_quiet_days=True, next_due_at=at(TODAY, 7))
    tick(at(TODAY, 7))
    tick(at(TODAY + 15 * DAY, 7))
    states = one.letters.order_by("day").values_list("day", "state")
    assert list(states) == [(TODAY + n * DAY, "missed" if n else "accepted") for n in (0, 7, 14)]


# ---- What is new after days without a digest


def test_weekly_digest_covers_whole_week():
    """Also those of their last digest's own day, which came in after it had left."""
    one = subscriber(weekdays=MONDAYS, next_due_at=at(TODAY, 7), size=50)
    past_digest(one, TODAY - 7 * DAY)
    days = [TODAY - n * DAY for n in range(16)]
    for day in days:
        make.paper(f"Graphs {day}", day=day, came_in_at=at(day, 8))
    plan.plan(at(TODAY, 7))
    picked = set(Pick.objects.values_list("paper__day", flat=True))
    assert {*days[:8]} <= picked
    assert picked.isdisjoint(days[14:])
    assert Digest.objects.get(day=TODAY).since is None  # It is the subscriber's usual gap.


@pytest.mark.parametrize(("state", "reason"), [("accepted", ""), ("skipped", "nothing to say")])
def test_digest_after_pause_has_best_of_gap(outbox, state, reason):
    one = subscriber(interests="graph networks", next_due_at=at(TODAY - 12 * DAY, 7))
    past_digest(one, TODAY - 13 * DAY)
    past_digest(one, TODAY - 12 * DAY, state, reason)
    preferences.change(one, None, {"paused_until": TODAY}, now=at(TODAY - 12 * DAY, 8))
    old = make.paper("Graph networks in the gap", day=TODAY - 10 * DAY)
    background_papers(12, day=TODAY - 11 * DAY)
    live(TODAY, 1)
    digest = Digest.objects.get(day=TODAY)
    assert (digest.since, digest.considered) == (TODAY - 12 * DAY, 13)
    assert [pick.paper for pick in digest.picks.all()] == [old]
    # A day on which nothing was sent has no "last digest" that they would know of.
    assert outbox()[0].as_string().count("best of 13 papers from the past 12 days") == 2


def test_pause_before_first_digest_loses_no_paper():
    one = make.subscriber(now=at(TODAY - 12 * DAY), subscribed_at=at(TODAY - 12 * DAY))
    one.schedule_from(TODAY)
    one.save()
    days = [TODAY - age * DAY for age in (10, 21)]
    papers = [make.paper("Graph networks", day=day, came_in_at=at(day, 8)) for day in days]
    live(TODAY, 1)
    digest = Digest.objects.get()
    assert digest.since is None  # They had none that it could be compared with.
    assert [pick.paper for pick in digest.picks.all()] == papers[:1]


ENDS = [
    ("missed", "its day ended first", TODAY - 3 * DAY),
    ("failed", "refused: 550", TODAY - 3 * DAY),
    ("failed", "unknown: the mail server never answered", TODAY - 3 * DAY),
    ("accepted", "", None),
]


@pytest.mark.parametrize(("state", "reason", "since"), ENDS)
def test_unsent_digest_does_not_shorten_the_gap(state, reason, since):
    one = subscriber(next_due_at=at(TODAY, 7))
    past_digest(one, TODAY - 3 * DAY)
    past_digest(one, TODAY - 2 * DAY, state, reason)
    past_digest(one, TODAY - DAY, state, reason)
    plan.plan(at(TODAY, 7))
    assert one.digests.get(day=TODAY).since == since


def leave(one, day):
    signup.unsubscribe(one.public_id, source=CONSENT_SOURCE, now=at(day))
    goodbyes = one.letters.filter(kind="goodbye", ended_at=None)
    goodbyes.update(state="accepted", ended_at=at(day))


def undo(one, day):
    """Follow the link in their last goodbye."""
    goodbye = one.letters.filter(kind="goodbye").latest("pk")
    signup.confirm(one, goodbye.created_at, kind="goodbye", source=CONSENT_SOURCE, now=at(day))


def sign_up_anew(one, day):
    signup.subscribe(one.email, signup.SignUpRequest(), source=CONSENT_SOURCE, now=at(day, 11))
    signup.confirm(make.fresh(one), one.asked_at, source=CONSENT_SOURCE, now=at(day))


def move(one, day):
    """Change the subscriber's address."""
    change_address.request(one, "new@example.org", now=at(day, 11))
    for side in ("old", "new"):
        change_address.approve(one, side, at(day, 11), source=CONSENT_SOURCE, now=at(day))
    one.refresh_from_db()


STORIES = [([move, leave, undo], TODAY - 20 * DAY), ([leave, sign_up_anew, leave, undo], None)]


@pytest.mark.parametrize(("acts", "since"), STORIES)
def test_only_new_sign_up_restarts_the_gap(acts, since):
    day = TODAY - 20 * DAY
    one = subscriber(next_due_at=at(TODAY, 7))
    past_digest(one, day)
    preferences.pause(one, TODAY + DAY, now=at(day, 20))
    for number, act in enumerate(acts):
        act(one, TODAY - (len(acts) - number) * DAY)
    live(TODAY, 2)
    assert one.digests.completed().filter(day__gt=day).earliest("day").since == since


def test_paper_sent_long_ago_is_not_resent():
    """As after a restored backup. Planning reads no more than the last digests at first."""
    one = subscriber(interests="graph networks", next_due_at=at(TODAY, 7))
    old, new = (make.paper(f"Graph networks of {what}") for what in ("roads", "cars"))
    past_digest(one, TODAY - 40 * DAY).picks.create(subscriber=one, paper=old, position=1, score=1)
    past_digest(one, TODAY - DAY)
    plan.plan(at(TODAY, 7))
    assert [pick.paper for pick in one.digests.get(day=TODAY).picks.all()] == [new]


# ---- The form
