"""The moments at which days are due, through every change of clocks."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions import schedule
from tests.helpers import data_files

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
QUARTER = timedelta(minutes=15)  # All clocks of today differ by so much or a multiple.
FIRST, LAST = date(2026, 1, 1), date(2027, 12, 31)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
DATA = data_files.load("schedule.toml")


def wall(moment, zone):
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(("zone", "day", "hour", "clock"), DATA["skipped_hours"])
def test_skipped_hour_is_due_after_the_jump(zone, day, hour, clock):
    zone = ZoneInfo(zone)
    moment = schedule.due_moment(date.fromisoformat(day), hour, zone)
    assert wall(moment, zone) == f"{day} {clock}"


@pytest.mark.parametrize(("zone", "day", "hour", "offset"), DATA["repeated_hours"])
def test_repeated_hour_is_due_the_first_time(zone, day, hour, offset):
    zone = ZoneInfo(zone)
    moment = schedule.due_moment(date.fromisoformat(day), hour, zone)
    assert moment.astimezone(zone).utcoffset() == offset * HOUR
    assert wall(moment, zone) == f"{day} {hour:02}:00"


@pytest.mark.parametrize("hour", [0, 7, 23])
@pytest.mark.parametrize(("zone", "day"), DATA["moved_date_lines"][:2])
def test_skipped_day_is_never_due(zone, day, hour):
    zone, day = ZoneInfo(zone), date.fromisoformat(day)
    assert schedule.due_moment(day, hour, zone) is None
    moment = schedule.due_moment(day + DAY, hour, zone)
    assert schedule.next_due(day, hour, zone) == (day + DAY, moment)


@pytest.mark.slow
def test_every_zone_is_due_once_a_day():
    """At midnight, where most zones change their calendars, and at another hour, zone by zone."""
    for number, zone in enumerate(zones()):
        dates = dates_shown(zone, FIRST, LAST)
        for hour in (0, number % 24):
            moments = list(moments_of(zone, hour, dates))
            assert all(20 * HOUR <= b - a <= 28 * HOUR for a, b in pairwise(moments)), zone
            shifted = [moment for moment in moments if moment.astimezone(zone).hour != hour]
            assert {schedule.local_day(one, zone) for one in shifted} <= days_of_change(zone), zone


@pytest.mark.parametrize(("zone", "lost"), DATA["moved_date_lines"])
def test_moved_date_line_skips_only_its_day(zone, lost):
    zone, lost = ZoneInfo(zone), date.fromisoformat(lost)
    dates = dates_shown(zone, lost - 30 * DAY, lost + 30 * DAY)
    assert lost not in dates
    for hour in range(24):
        moments = list(moments_of(zone, hour, dates))
        assert all(20 * HOUR <= b - a <= 28 * HOUR for a, b in pairwise(moments)), hour


@given(zone=st.deferred(lambda: st.sampled_from(zones())), day=st.dates(FIRST, LAST))
def test_deadline_is_six_hours_after_the_local_day(zone, day):
    ends = quarters(day, zone)[-1] + QUARTER
    assert schedule.send_deadline(day, zone) == ends + timedelta(hours=6)


def test_deadline_before_a_skipped_day_is_its_end():
    zone = ZoneInfo("Pacific/Apia")
    closes = schedule.send_deadline(date(2011, 12, 29), zone)
    assert wall(closes, zone) == "2011-12-31 06:00"


def dates_shown(zone, first, last):
    """Return the dates that the zone's calendar shows, looked at four times a day."""
    looks = [MIDNIGHT + (first - FIRST) + n * DAY / 4 for n in range(4 * (last - first).days)]
    return sorted({schedule.local_day(look, zone) for look in looks})


def moments_of(zone, hour, dates):
    """Yield the moment that follows each day's, of all these dates."""
    day = dates[0]
    for expected in dates:
        found, moment = schedule.next_due(day, hour, zone)
        assert found == expected, zone
        yield moment
        day = found + DAY


@cache
def zones():
    return [ZoneInfo(name) for name in sorted(available_timezones() - {"localtime"})]


@cache
def days_of_change(zone):
    """Return the local days, of two years, in which the zone's clocks are changed."""
    midnights = [MIDNIGHT + n * DAY for n in range((LAST - FIRST).days + 1)]
    return {
        schedule.local_day(moment, zone)
        for before, after in pairwise(midnights)
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset()
        for moment in (before, before + DAY / 2, after)
    }


def quarters(day, zone):
    """Return the moments of the day, a quarter of an hour apart, as the calendar shows it."""
    noon = MIDNIGHT + (day - FIRST) + DAY / 2
    moments = [noon + n * QUARTER for n in range(-120, 121)]
    return [moment for moment in moments if schedule.local_day(moment, zone) == day]
