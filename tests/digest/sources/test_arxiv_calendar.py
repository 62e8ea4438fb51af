"""When arXiv announces, and what its categories are."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources.arxiv import calendar, taxonomy
from digest.sources.arxiv.calendar import EASTERN, announcement_day, is_announcement_day
from tests.helpers.data_files import cases

CASES = cases("arxiv_calendar")


def test_submission_is_listed_after_next_deadline():
    for submitted, listed, _note in CASES["submissions"]:
        moment = datetime.fromisoformat(submitted).replace(tzinfo=EASTERN)
        assert announcement_day(moment) == date.fromisoformat(listed)
        assert announcement_day(moment.astimezone(UTC)) == date.fromisoformat(listed)


@pytest.mark.parametrize("year", [int(year) for year in CASES["holidays"]])
def test_holidays_of_a_year_follow_the_rules(year):
    """As arXiv announced them; from 2027 on, those of the USA."""
    days = [date(year, 1, 1) + timedelta(days=n) for n in range(366)]
    free = [day for day in days if day.year == year and day.weekday() < 5]
    free = [f"{day:%m-%d}" for day in free if calendar.is_holiday(day)]
    assert " ".join(free) == CASES["holidays"][str(year)]


def test_the_setting_adds_and_removes_holidays(monkeypatch):
    monkeypatch.setitem(calendar.EXCEPTIONS, date(2027, 5, 20), True)
    monkeypatch.setitem(calendar.EXCEPTIONS, date(2027, 1, 18), False)
    assert not is_announcement_day(date(2027, 5, 21))
    assert is_announcement_day(date(2027, 1, 19))


@pytest.mark.parametrize(("day", "latest"), CASES["latest_listings"])
def test_no_listing_at_weekends_or_after_holidays(day, latest):
    """Holidays themselves have one."""
    assert str(calendar.latest_announcement_day(date.fromisoformat(day))) == latest
    assert is_announcement_day(date.fromisoformat(day)) == (day == latest)


@pytest.mark.slow
@given(st.integers(0, 45 * 365 * 24 * 60))
def test_every_submission_is_listed_within_a_week(minutes):
    submitted = datetime(1991, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    day = announcement_day(submitted)
    assert is_announcement_day(day)
    announced_at = datetime.combine(day - timedelta(days=1), time(20), EASTERN)
    assert submitted + timedelta(hours=6) <= announced_at < submitted + timedelta(days=7)


def test_aliases_and_closed_archives_are_canonicalized():
    assert set(taxonomy.ALIASES) | set(taxonomy.ALIASES.values()) <= set(taxonomy.CATEGORIES)
    assert set(taxonomy.CLOSED.values()) <= set(taxonomy.CATEGORIES)
    assert taxonomy.canonical("cs.SY") == "eess.SY"
    assert taxonomy.canonical("cmp-lg") == "cs.CL"
    assert taxonomy.canonical("cs.LG") == "cs.LG"
    for name in [*taxonomy.CATEGORIES, *taxonomy.CLOSED, "what.is"]:
        assert taxonomy.canonical(taxonomy.canonical(name)) == taxonomy.canonical(name)
    assert taxonomy.canonical_names(["math.NA", "cs.LG", "cs.NA"]) == ["math.NA", "cs.LG"]
