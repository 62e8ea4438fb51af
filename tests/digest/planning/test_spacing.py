"""Two digests are hours apart: after a night asleep, a silence, an evening."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from digest.models import Pick
from digest.operations import invariants
from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import preferences
from subscriptions.delivery import queue, transitions, worker
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, TODAY, YESTERDAY
from tests.factories.simulation import arrivals, at, had, subscriber, tick
from tests.helpers.threads import uncommitted

pytestmark = pytest.mark.django_db


def planned_yesterday(hour, **fields):
    """Make a subscriber whose digest of yesterday was planned at this hour, and not sent."""
    one = subscriber(hour=hour, next_due_at=at(YESTERDAY, hour), **fields)
    plan.plan(at(YESTERDAY, hour))
    return one


def test_unsent_digest_gives_papers_to_next_one():
    make.paper("Graph networks", day=YESTERDAY)
    one = planned_yesterday(0, interests="graph networks")
    assert Pick.objects.get().digest.day == YESTERDAY
    plan.plan(at(TODAY, 0))
    states = one.letters.order_by("day").values_list("state", "reason")
    assert list(states) == [("missed", "the next day's was due"), ("planned", "")]
    assert Pick.objects.get().digest.day == TODAY


def test_resent_digest_is_not_overtaken():
    one = planned_yesterday(0)
    one.letters.update(repeats=1, left_at=at(YESTERDAY, 9))  # It may have arrived.
    assert plan.plan(at(TODAY, 0)).letters == 0
    assert one.letters.get().state == "planned"


@pytest.mark.parametrize("state", ["transmitting", "uncertain"])
def test_next_digest_waits_for_possible_resend(state):
    """As after a day without power: nobody has asked yet what became of it."""
    one = planned_yesterday(0)
    began, woke = at(YESTERDAY, 0, 1), at(TODAY, 0, 1)
    one.letters.update(state=state, left_at=began, lease_until=began, next_try_at=began)

    assert plan.plan(woke).letters == 0
    assert invariants.overdue(woke + HOUR, invariants.MAX_PLANNING_DELAY).count() == 0
    queue.sweep(woke)
    while one.letters.get().state != "planned":
        queue.sweep(woke := woke + 15 * MINUTE)
    worker.deliver_due(lambda: woke)
    assert plan.plan(woke + MINUTE).letters == 0
    assert make.fresh(one).next_due_at == woke + schedule.MIN_GAP


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_final_check_at_day_end_is_seen_by_planner(monkeypatch):
    one = planned_yesterday(6)
    closes_at = one.letters.get().closes_at
    assert closes_at == at(TODAY, 6)
    with transaction.atomic():
        ((late,), _) = transitions.claim(closes_at - MINUTE, 1)
    moment = closes_at - timedelta(milliseconds=10)
    frozen = {late.pk: transitions.FrozenMessage(b"Date: now", "<m@x>", moment)}
    thread, commit = uncommitted(lambda: transitions.final_check([late], frozen, moment))

    rank = plan.rank_due

    def rank_behind_it(*args, **options):
        commit.set()
        thread.join()
        return rank(*args, **options)

    monkeypatch.setattr(plan, "rank_due", rank_behind_it)
    for _ in range(2):
        assert plan.plan(closes_at).letters == 0
    assert one.letters.get().state == "transmitting"
    assert make.fresh(one).next_due_at == moment + schedule.MIN_GAP


@pytest.mark.parametrize("state", ["planned", "missed"])
def test_deferred_digest_does_not_delay_next_one(state):
    one = planned_yesterday(0)
    one.letters.update(left_at=at(YESTERDAY, 23, 58), attempt=3, state=state)
    assert plan.plan(at(TODAY, 0)).letters == 1


SIGN_UPS = [
    (22, 7, {}, 7, 0),
    (22, 7, {"hour": 8}, 8, 0),
    (23, 0, {}, 5, 50),  # At midnight, ten minutes later, it would be no news.
]


@pytest.mark.parametrize(("signed_up", "hour", "changed", "due_hour", "minute"), SIGN_UPS)
def test_second_digest_follows_evening_sign_up(signed_up, hour, changed, due_hour, minute):
    now = at(TODAY, signed_up, minute)
    one = make.subscriber(hour=hour, wants_quiet_days=True, now=now)
    tick(now)
    preferences.change(one, None, changed, now=now + MINUTE)
    due_at = at(TODAY + DAY, due_hour, minute)
    tick(make.fresh(one).next_due_at)
    tick(due_at)
    assert arrivals() == [(TODAY, now), (TODAY + DAY, due_at)]


ON_ITS_WAY = [
    ("planned", None, at(TODAY, 11)),  # It may leave in this moment.
    ("claimed", None, at(TODAY, 11)),
    ("transmitting", at(YESTERDAY, 22, 59), at(TODAY, 10, 59)),
    ("uncertain", at(YESTERDAY, 22, 30), at(TODAY, 10, 30)),
    ("skipped", None, at(TODAY, 0)),
]


@pytest.mark.parametrize(("state", "left_at", "due_at"), ON_ITS_WAY)
def test_changed_hour_keeps_gap_to_digest_under_way(state, left_at, due_at):
    one = subscriber(hour=22, next_due_at=at(YESTERDAY, 22))
    plan.plan(at(YESTERDAY, 22))
    one.letters.update(state=state, left_at=left_at)
    preferences.change(one, None, {"hour": 0}, now=at(YESTERDAY, 23))
    assert make.fresh(one).next_due_at == due_at


QUARTER = 15 * MINUTE  # All clocks of today differ by so much or a multiple.
CHANGES = [
    # The gap: 02:00 is skipped, and it is 03:00 at 01:00 UTC.
    ("Europe/Berlin", 2, date(2027, 3, 28), ["27 01:00", "28 01:00", "29 00:00"]),
    # The overlap: the first of two 02:00s is at 00:00 UTC.
    ("Europe/Berlin", 2, date(2026, 10, 25), ["24 00:00", "25 00:00", "26 01:00"]),
    # A day that never was.
    ("Pacific/Apia", 7, date(2011, 12, 30), ["29 17:00", "30 17:00"]),
]


@pytest.mark.parametrize(("zone", "hour", "night", "moments"), CHANGES)
def test_each_date_has_one_digest_when_clocks_change(zone, hour, night, moments):
    zone = ZoneInfo(zone)
    _, first = schedule.next_due(night - DAY, hour, zone)
    last = schedule.due_moment(night + DAY, hour, zone) + HOUR
    one = subscriber(timezone=zone.key, hour=hour, next_due_at=first, confirmed_at=first - 9 * DAY)
    days = (night - DAY, night, night + DAY)
    now = first - QUARTER
    while now <= last:
        plan.plan(now)
        now += QUARTER
    letters = one.letters.order_by("day")
    there = [day for day in days if day != date(2011, 12, 30)]
    assert [letter.day for letter in letters] == there
    assert [f"{letter.created_at:%d %H:%M}" for letter in letters] == moments


# ---- Clocks that jump


JUMPS = {"back": [7, 5, 6, 7, 8], "a day ahead": [7, 32, *range(7, 77)]}


@pytest.mark.parametrize("hours", JUMPS.values(), ids=JUMPS)
def test_jumping_clock_repeats_no_digest(hours):
    had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    for hour in hours:
        tick(at(TODAY, 0) + hour * HOUR)
    expected = [at(TODAY, 7)]
    if len(hours) > 5:
        expected += [at(TODAY + DAY, 8), at(TODAY + 2 * DAY, 7)]
    assert arrivals()[1:] == [(moment.date(), moment) for moment in expected]
