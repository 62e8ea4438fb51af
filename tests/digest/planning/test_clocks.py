"""Clocks: zones and their rules, machines whose clocks jump.

What each day's moment is, is in test_schedule.py. Here the moments go through planning and
delivery.
"""

import shutil
import zoneinfo
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from digest.planning import plan
from subscriptions import schedule
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter
from tests.factories.simulation import (
    DAY,
    HOUR,
    MINUTE,
    TODAY,
    YESTERDAY,
    arrivals,
    at,
    had,
    on_one_database,
    reader,
    tick,
)

pytestmark = pytest.mark.django_db
QUARTER = 15 * MINUTE  # All clocks of today differ by so much or a multiple.


# ---- Changes of clocks


@pytest.mark.parametrize(
    ("zone", "hour", "night", "moments"),
    [
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
    ],
)
def test_each_local_date_has_one_digest_when_the_clocks_change(zone, hour, night, moments):
    zone = ZoneInfo(zone)
    _, first = schedule.next_due(night - DAY, hour, zone)
    last = schedule.due_moment(night + DAY, hour, zone) + HOUR
    one = reader(timezone=zone.key, hour=hour, next_due_at=first, confirmed_at=first - 9 * DAY)
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


@pytest.mark.parametrize("planned_first", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "hour"),
    [
        ("Etc/GMT+11", "Etc/GMT-13", 0),  # As Samoa moved across the date line.
        pytest.param("Etc/GMT-2", "Etc/GMT-3", 23, marks=pytest.mark.slow),
        pytest.param("Etc/GMT-3", "Etc/GMT-2", 0, marks=pytest.mark.slow),
        pytest.param("Etc/GMT-13", "Etc/GMT+11", 23, marks=pytest.mark.slow),
    ],
)
def test_a_change_of_a_zones_rules_between_planning_and_sending_never_makes_two_letters(
    tmp_path, hour, planned_first, old, new
):
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
def test_a_clock_that_was_a_day_ahead_doubles_nothing(was_sent):
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


def test_a_planner_whose_clock_is_ahead_of_the_database_sends_nothing_early():
    one = had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    plan.plan(at(TODAY, 7))  # By the database's clock, it is 06:50.
    assert rounds.deliver_due(lambda: at(TODAY, 6, 50))["accepted"] == 0
    assert one.letters.get(day=TODAY).state == "planned"
    tick(at(TODAY, 7))
    assert arrivals()[-1] == (TODAY, at(TODAY, 7))


def test_a_clock_that_steps_back_by_two_hours_doubles_nothing():
    had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    for now in (at(TODAY, 7), at(TODAY, 5), at(TODAY, 6), at(TODAY, 7), at(TODAY, 8)):
        tick(now)
    assert arrivals()[1:] == [(TODAY, at(TODAY, 7))]
