"""arXiv's calendar: which days have a listing, and on which a submission is listed.

Submissions close at 14:00 in New York from Monday to Friday and are announced at 20:00, Friday's on
Sunday. The feeds show the new listing from the following midnight, so Monday to Friday are listing
days. On a holiday nothing closes, and submissions wait for the next day.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
CLOSES = time(14)
ONE_DAY = timedelta(days=1)
MONDAY, THURSDAY, SATURDAY, SUNDAY = 0, 3, 5, 6
OBSERVED = {SATURDAY: -1, SUNDAY: 1}  # Days from a holiday on a weekend.

#: Days that follow no rule, with whether they are a holiday. ARXIV_HOLIDAYS adds to them.
EXCEPTIONS = {date(2025, 12, 30): True, date(2026, 12, 29): True, date(2026, 12, 31): True}


def is_announcement_day(day: date) -> bool:
    """Return whether there is a listing of this day."""
    return _is_weekday(day) and not is_holiday(_weekday_from(day, -ONE_DAY))


def is_holiday(day: date) -> bool:
    """Return whether nothing closes on this weekday.

    arXiv keeps the federal holidays of the USA but Washington's Birthday, Memorial Day, Columbus
    Day and Veterans Day. One that falls on a weekend is kept on the nearest weekday.
    """
    return EXCEPTIONS.get(day, any(day in _holidays(year) for year in (day.year, day.year + 1)))


def may_lack_listing(day: date) -> bool:
    """Return whether this day is in arXiv's winter break, whose free days follow no rule."""
    return (day.month, day.day) >= (12, 24) or (day.month, day.day) <= (1, 2)


def latest_announcement_day(day: date) -> date:
    """Return the last day up to this one with a listing."""
    while not is_announcement_day(day):
        day -= ONE_DAY
    return day


def announcement_day(submitted: datetime) -> date:
    """Return the listing day of a submission that passes the checks at once. Naive is UTC."""
    moment = (submitted if submitted.tzinfo else submitted.replace(tzinfo=UTC)).astimezone(EASTERN)
    day = moment.date()
    if moment.time() >= CLOSES:
        day += ONE_DAY
    while not _is_weekday(day) or is_holiday(day):
        day += ONE_DAY
    return _weekday_from(day, ONE_DAY)


@cache
def _holidays(year):
    """Return the holidays of a year. New Year may be observed on 31 December."""
    fixed = {date(year, *day) for day in ((1, 1), (6, 19), (7, 4), (12, 25))}
    observed = {day + OBSERVED.get(day.weekday(), 0) * ONE_DAY for day in fixed}
    return observed | {
        _nth_weekday(3, MONDAY, year, 1),
        _nth_weekday(1, MONDAY, year, 9),
        _nth_weekday(4, THURSDAY, year, 11),
    }


def _nth_weekday(number, weekday, year, month):
    """Return the first, second, … such day of the month."""
    first_of_month = date(year, month, 1)
    return first_of_month + ((weekday - first_of_month.weekday()) % 7 + 7 * (number - 1)) * ONE_DAY


def _is_weekday(day):
    return day.weekday() < 5


def _weekday_from(day, step):
    """Return the next weekday after this day, or the last one before it."""
    day += step
    while not _is_weekday(day):
        day += step
    return day
