"""Two digests are hours apart: after a night asleep, a silence, an evening."""

import shutil
import zoneinfo
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from digest.models import Pick
from digest.operations import invariants
from digest.planning import plan
from digest.planning.due import due_of
from subscriptions import schedule
from subscriptions.actions import change_address, preferences
from subscriptions.delivery import circuit_breaker, letter_sql, queue, transitions, worker
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE, NOW, TODAY, YESTERDAY
from tests.factories.simulation import arrivals, at, had, on_one_database, subscriber, tick
from tests.helpers.threads import uncommitted

pytestmark = pytest.mark.django_db


def planned_yesterday(hour, **fields):
    """Make a subscriber whose digest of yesterday was planned at this hour, and not sent."""
    one = subscriber(hour=hour, next_due_at=at(YESTERDAY, hour), **fields)
    plan.plan(at(YESTERDAY, hour))
    return one


ASLEEP = [(0, 23), *on_one_database((7, 17), (12, 2), (23, 26), (6, 72))]


@pytest.mark.parametrize(("hour", "asleep"), ASLEEP)
def test_digests_catch_up_without_burst_after_sleep(hour, asleep):
    one = subscriber(hour=hour, next_due_at=at(YESTERDAY, hour))
    woke = at(YESTERDAY, hour) + asleep * HOUR + 50 * MINUTE
    for hours in range(50):
        tick(woke + hours * HOUR)
    moments = [moment for _, moment in arrivals()]
    assert moments[0] - woke <= timedelta(hours=18)
    assert all(schedule.MIN_GAP <= b - a <= 37 * HOUR for a, b in pairwise(moments))
    days = list(one.letters.order_by("day").values_list("day", "state", "reason"))
    assert [day for day, _, _ in days] == [YESTERDAY + n * DAY for n in range(len(days))]
    for _, state, reason in days:
        assert (state, reason) in {("accepted", ""), ("missed", "its day ended first")}


@pytest.mark.parametrize("hours", [3, pytest.param(28, marks=pytest.mark.slow)])
def test_one_digest_with_all_papers_follows_stopped_sending(hours):
    """One digest of yesterday waited; another was not planned yet. No alarm is raised meanwhile."""
    make.paper("Graph networks", day=YESTERDAY)
    one = subscriber(hour=6, next_due_at=at(YESTERDAY, 6), interests="graph networks")
    other = subscriber(hour=7, next_due_at=at(YESTERDAY, 7), interests="graph networks")
    plan.plan(at(YESTERDAY, 6))
    circuit_breaker.stop("Ada", at(YESTERDAY, 6))
    for past in range(1, hours + 1):
        tick(now := at(YESTERDAY, 6) + past * HOUR)
        assert {result.text for result in invariants.examine(now)} == {"OK"}
    assert Letter.objects.get().state == "planned"  # As it was: nobody has closed it.

    circuit_breaker.resume("Ada", now)
    assert not invariants.overdue(now, 15 * MINUTE).exists()
    assert {result.text for result in invariants.examine(now)} == {"OK"}
    tick(now + MINUTE)
    day = (now - 7 * HOUR).date()
    assert arrivals() == [(day, now + MINUTE)] * 2
    for letters in (one.letters, other.letters):
        assert Pick.objects.filter(digest__letter=letters.get(day=day)).exists()
    for later in range(1, 12):
        tick(now + later * HOUR)
    assert len(arrivals()) == 2
    assert {result.text for result in invariants.examine(now + 12 * HOUR)} == {"OK"}


def test_overdue_digests_are_counted_from_resumption():
    subscriber(next_due_at=NOW)
    circuit_breaker.stop("Ada", NOW - HOUR)
    circuit_breaker.resume("Ada", NOW + HOUR)
    assert not invariants.overdue(NOW + 74 * MINUTE, 15 * MINUTE).exists()
    assert invariants.overdue(NOW + 75 * MINUTE, 15 * MINUTE).exists()


def test_unsent_digest_gives_papers_to_next_one():
    make.paper("Graph networks", day=YESTERDAY)
    one = subscriber(hour=0, next_due_at=at(YESTERDAY, 0), interests="graph networks")
    other = subscriber(hour=1, next_due_at=at(YESTERDAY, 0))
    plan.plan(at(YESTERDAY, 0))
    assert Pick.objects.get(subscriber=one).digest.day == YESTERDAY

    plan.plan(at(TODAY, 0))
    assert other.letters.get().state == "planned"  # They have an hour yet.

    states = one.letters.order_by("day").values_list("day", "state", "reason")
    assert list(states) == [(YESTERDAY, "missed", "the next day's was due"), (TODAY, "planned", "")]
    assert Pick.objects.get(subscriber=one).digest.day == TODAY


def test_expired_digest_gives_papers_to_next_one():
    """The sweeper, which comes after, would give them back too late for that."""
    make.paper("Graph networks", day=YESTERDAY)
    one = planned_yesterday(6, interests="graph networks")
    assert one.letters.get().closes_at == at(TODAY, 6)

    tick(at(TODAY, 6))
    assert Pick.objects.get().digest.day == TODAY
    states = one.letters.order_by("day").values_list("state", flat=True)
    assert list(states) == ["missed", "accepted"]


def test_next_digest_waits_while_previous_may_be_arriving():
    one = planned_yesterday(0)
    late = one.letters.get()
    transitions.claim(at(YESTERDAY, 23, 55), 1)
    late.refresh_from_db()
    assert transitions.change_state(
        [late], "transmitting", at(YESTERDAY, 23, 58), left_at=at(YESTERDAY, 23, 58)
    )

    assert plan.plan(at(TODAY, 0)).letters == 0
    assert make.fresh(one).next_due_at == at(TODAY, 11, 58)
    assert plan.plan(at(TODAY, 11, 58)).letters == 1


@pytest.mark.parametrize("hour", [9, 23])
def test_resent_digest_is_not_overtaken(hour):
    """It may have arrived: its papers stay its own, and the next digest comes after it, also where
    the first try was long ago.
    """
    one = planned_yesterday(0)
    one.letters.update(repeats=1, left_at=at(YESTERDAY, hour, 30))

    assert plan.plan(at(TODAY, 0)).letters == 0
    assert [letter.state for letter in one.letters.all()] == ["planned"]


def test_resend_expiring_with_its_day_keeps_gap():
    one = planned_yesterday(6)
    late = one.letters.get()
    one.letters.update(repeats=1, left_at=at(TODAY, 5, 40))
    assert late.closes_at == at(TODAY, 6)

    assert plan.plan(at(TODAY, 6)).letters == 0
    queue.sweep(at(TODAY, 6, 1))
    assert plan.plan(at(TODAY, 6, 1)).letters == 0
    assert make.fresh(one).next_due_at == at(TODAY, 17, 40)


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


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite holds no rows")
@pytest.mark.django_db(transaction=True)
def test_planner_waits_for_locked_letter():
    one = planned_yesterday(0)
    late = one.letters.get()
    thread, commit = uncommitted(lambda: letter_sql.locked_by_others([late.pk]))
    assert plan.plan(at(TODAY, 0)).letters == 0
    commit.set()
    thread.join()
    assert plan.plan(at(TODAY, 0)).letters == 1


def test_planner_with_stale_reads_cancels_nothing(monkeypatch):
    one = subscriber(hour=0, next_due_at=at(TODAY, 0))
    read_before = [due_of(Subscriber.objects.get(), at(TODAY, 1))]
    plan.plan(at(TODAY, 0))
    subscriber(hour=1, next_due_at=at(TODAY, 1))
    monkeypatch.setattr(plan, "due_batches", lambda *_: [read_before])
    plan.plan(at(TODAY, 1))
    assert [letter.state for letter in one.letters.all()] == ["planned"]


@pytest.mark.parametrize("state", ["planned", "missed"])
def test_deferred_digest_does_not_delay_next_one(state):
    one = planned_yesterday(0)
    one.letters.update(left_at=at(YESTERDAY, 23, 58), attempt=3, state=state)
    assert plan.plan(at(TODAY, 0)).letters == 1


def test_address_change_keeps_gap_after_late_digest():
    """What they confirm then is an address: it makes that digest no first one."""
    one = planned_yesterday(6)
    worker.deliver_due(lambda: at(YESTERDAY, 23))
    asked_at = at(YESTERDAY, 23, 20)
    change_address.request(one, "new@example.org", now=asked_at)
    for side in ("old", "new"):
        change_address.approve(
            one, side, asked_at, source=CONSENT_SOURCE, now=asked_at + 10 * MINUTE
        )

    assert plan.plan(at(TODAY, 6)).letters == 0
    assert (make.fresh(one).email, one.next_due_at) == ("new@example.org", at(TODAY, 11))


@pytest.mark.parametrize("changed", [{}, {"hour": 8}])
def test_second_digest_comes_at_chosen_hour_after_evening_signup(changed):
    """Also where they choose that hour after the first one."""
    one = make.subscriber(hour=7, wants_quiet_days=True, now=at(TODAY, 22))
    tick(at(TODAY, 22))
    preferences.change(one, None, changed, now=at(TODAY, 22, 30))
    tick(make.fresh(one).next_due_at)
    due = at(TODAY + DAY, changed.get("hour", 7))
    assert arrivals() == [(TODAY, at(TODAY, 22)), (TODAY + DAY, due)]


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


def test_zone_change_across_date_line_repeats_no_date():
    """From the first zone of a date to the last and back, right after a digest."""
    one = had(YESTERDAY, at(YESTERDAY, 0), hour=14, timezone="Pacific/Kiritimati")
    preferences.change(one, None, {"timezone": "Pacific/Honolulu"}, now=at(YESTERDAY, 1))
    for hours in range(1, 80):
        tick(at(YESTERDAY, hours % 24) + hours // 24 * DAY)
    assert arrivals()[1:] == [(TODAY, at(TODAY + DAY, 0)), (TODAY + DAY, at(TODAY + 2 * DAY, 0))]


def test_eastward_zone_change_keeps_gaps_after_first_digest():
    """In the new zone, the day of the second digest is the one of the confirmation."""
    one = make.subscriber(hour=0, timezone="Pacific/Honolulu", wants_quiet_days=True)
    tick(NOW)
    preferences.change(one, None, {"timezone": "Pacific/Kiritimati"}, now=NOW + HOUR)
    for hours in range(1, 31):
        tick(NOW + hours * HOUR)
    first, second, third = (moment for _, moment in arrivals())
    assert second - first >= schedule.MIN_GAP_AFTER_FIRST
    assert third - second >= schedule.MIN_GAP


def test_second_digest_keeps_minimum_gap_after_first():
    make.subscriber(hour=0, wants_quiet_days=True, now=at(TODAY, 23, 50))
    for hours in range(9):
        tick(at(TODAY, 23, 50) + hours * HOUR)
    # At midnight, ten minutes later, it would be no news.
    assert arrivals() == [(TODAY, at(TODAY, 23, 50)), (TODAY + DAY, at(TODAY + DAY, 5, 50))]


# ---- Clocks: zones and their rules, machines whose clocks jump


QUARTER = 15 * MINUTE  # All clocks of today differ by so much or a multiple.


# ---- Changes of clocks


CHANGES = [
    # The gap: 02:00 is skipped, and it is 03:00 at 01:00 UTC.
    ("Europe/Berlin", 2, date(2027, 3, 28), ["27 01:00", "28 01:00", "29 00:00"]),
    *on_one_database(
        # The overlap: the first of two 02:00s is at 00:00 UTC.
        ("Europe/Berlin", 2, date(2026, 10, 25), ["24 00:00", "25 00:00", "26 01:00"]),
        # No midnight on that day: it begins at 01:00.
        ("Africa/Cairo", 0, date(2026, 4, 24), ["22 22:00", "23 22:00", "24 21:00"]),
        # The clocks jump by half an hour.
        ("Australia/Lord_Howe", 2, date(2026, 10, 4), ["02 15:30", "03 15:30", "04 15:00"]),
    ),
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


@contextmanager
def zones_of(folder):
    """Read the zones from this folder, as after an update of the system's."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(folder)])
    ZoneInfo.clear_cache()
    try:
        yield
    finally:
        zoneinfo.reset_tzpath(before)
        ZoneInfo.clear_cache()


def rules(folder, name, like):
    """Write a folder in which the zone `name` has the rules of another."""
    source = next(path for root in zoneinfo.TZPATH if (path := Path(root) / like).is_file())
    target = folder / name
    target.parent.mkdir(parents=True)
    shutil.copy(source, target)
    return folder


RULES = [
    ("Etc/GMT+11", "Etc/GMT-13", 0),  # As Samoa moved across the date line.
    pytest.param("Etc/GMT-2", "Etc/GMT-3", 23, marks=pytest.mark.slow),
    pytest.param("Etc/GMT-3", "Etc/GMT-2", 0, marks=pytest.mark.slow),
    pytest.param("Etc/GMT-13", "Etc/GMT+11", 23, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("planned_first", [True, False])
@pytest.mark.parametrize(("old", "new", "hour"), RULES)
def test_changed_zone_rules_repeat_no_digest(tmp_path, hour, planned_first, old, new):
    name = "Europe/Berlin"
    before, after = rules(tmp_path / "old", name, old), rules(tmp_path / "new", name, new)
    with zones_of(before):
        moment = schedule.due_moment(TODAY, hour, ZoneInfo(name))
        had(YESTERDAY, moment - DAY, timezone=name, hour=hour)
        if planned_first:
            plan.plan(moment)
    with zones_of(after):
        for hours in range(80):
            tick(moment + hours * HOUR)
    days, moments = zip(*arrivals(), strict=True)
    assert len(days) == len(set(days)) >= 4
    assert Letter.objects.count() == len(set(Letter.objects.values_list("day")))
    assert all(later - earlier >= schedule.MIN_GAP for earlier, later in pairwise(moments))


# ---- Clocks that jump


@pytest.mark.parametrize("was_sent", [True, False])
def test_clock_ahead_by_a_day_repeats_no_digest(was_sent):
    """Today's is missed where its hour was still to come: by the clock, it was yesterday's."""
    one = had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    if was_sent:
        tick(at(TODAY, 7))
    tick(at(TODAY + DAY, 8))  # It is 08:00 today, in truth; or 06:00 with today's to come.
    for hours in range(70):
        tick(at(TODAY, 7) + hours * HOUR)
    ahead = [(TODAY + DAY, at(TODAY + DAY, 8)), (TODAY + 2 * DAY, at(TODAY + 2 * DAY, 7))]
    today = [(TODAY, at(TODAY, 7))] if was_sent else []
    assert arrivals()[1:] == today + ahead
    assert one.letters.get(day=TODAY).state == ("accepted" if was_sent else "missed")


def test_planner_with_fast_clock_sends_nothing_early():
    one = had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    plan.plan(at(TODAY, 7))  # By the database's clock, it is 06:50.
    assert worker.deliver_due(lambda: at(TODAY, 6, 50))["accepted"] == 0
    assert one.letters.get(day=TODAY).state == "planned"
    tick(at(TODAY, 7))
    assert arrivals()[-1] == (TODAY, at(TODAY, 7))


def test_clock_stepping_back_repeats_no_digest():
    had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    for now in (at(TODAY, 7), at(TODAY, 5), at(TODAY, 6), at(TODAY, 7), at(TODAY, 8)):
        tick(now)
    assert arrivals()[1:] == [(TODAY, at(TODAY, 7))]
