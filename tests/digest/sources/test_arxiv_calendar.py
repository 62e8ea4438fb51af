"""When arXiv announces, and what its categories are."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources.arxiv import calendar, taxonomy
from digest.sources.arxiv.calendar import EASTERN, announcement_of, is_announcement_day


def test_a_submission_is_listed_after_the_next_closing_time():
    for submitted, listed in [
        ("2026-06-01 14:00", "2026-06-03"),  # Monday to Tuesday, 14:00: Tuesday evening.
        ("2026-06-02 13:59", "2026-06-03"),
        ("2026-06-02 14:00", "2026-06-04"),
        ("2026-06-04 14:00", "2026-06-08"),  # Thursday to Friday: Sunday evening.
        ("2026-06-05 13:59", "2026-06-08"),
        ("2026-06-05 14:00", "2026-06-09"),  # Friday to Monday: Monday evening.
        ("2026-06-08 13:59", "2026-06-09"),
        ("2026-09-07 09:00", "2026-09-09"),  # Labor Day: nothing closes on Monday.
        ("2026-07-02 15:00", "2026-07-07"),  # Friday is free, so Sunday has nothing to announce.
        ("2026-11-26 09:00", "2026-11-30"),  # Thanksgiving.
        ("2026-12-30 15:00", "2027-01-04"),
    ]:
        moment = datetime.fromisoformat(submitted).replace(tzinfo=EASTERN)
        assert announcement_of(moment) == date.fromisoformat(listed)
        assert announcement_of(moment.astimezone(UTC)) == date.fromisoformat(listed)


LISTING_DAYS = ["2026-06-01", "2026-06-05", "2026-07-03", "2026-12-31"]  # Holidays, too.
OTHER_DAYS = ["2026-06-06", "2026-06-07", "2026-01-02", "2026-01-20", "2026-06-22", "2026-11-27"]


def test_there_is_no_listing_at_weekends_and_on_the_day_after_a_holiday():
    for day in LISTING_DAYS + OTHER_DAYS:
        assert is_announcement_day(date.fromisoformat(day)) == (day in LISTING_DAYS)


def test_the_latest_listing_on_a_sunday_is_fridays():
    assert calendar.latest_announcement_day(date(2026, 6, 7)) == date(2026, 6, 5)
    assert calendar.latest_announcement_day(date(2026, 6, 22)) == date(2026, 6, 19)


@pytest.mark.slow
@given(st.integers(0, 45 * 365 * 24 * 60))
def test_every_submission_is_listed_on_a_listing_day_within_a_week(minutes):
    submitted = datetime(1991, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    day = announcement_of(submitted)
    assert is_announcement_day(day)
    announced_at = datetime.combine(day - timedelta(days=1), time(20), EASTERN)
    assert submitted + timedelta(hours=6) <= announced_at < submitted + timedelta(days=7)


def test_there_are_155_categories_and_each_belongs_to_an_archive():
    assert len(taxonomy.CATEGORIES) == 155
    assert len(taxonomy.ARCHIVES) == 20
    assert {taxonomy.archive_of(name) for name in taxonomy.CATEGORIES} == set(taxonomy.ARCHIVES)


def test_aliases_and_closed_archives_count_as_the_category_that_they_are():
    assert set(taxonomy.ALIASES) | set(taxonomy.ALIASES.values()) <= set(taxonomy.CATEGORIES)
    assert set(taxonomy.CLOSED.values()) <= set(taxonomy.CATEGORIES)
    assert taxonomy.canonical("cs.SY") == "eess.SY"
    assert taxonomy.canonical("cmp-lg") == "cs.CL"
    assert taxonomy.canonical("cs.LG") == "cs.LG"
    for name in [*taxonomy.CATEGORIES, *taxonomy.CLOSED, "what.is"]:
        assert taxonomy.canonical(taxonomy.canonical(name)) == taxonomy.canonical(name)
    assert taxonomy.merged(["math.NA", "cs.LG", "cs.NA"]) == ["math.NA", "cs.LG"]
