"""arXiv's calendar: which days have a listing, and on which a submission is listed.

Submissions close at 14:00 in New York from Monday to Friday and are announced at 20:00, Friday's on
Sunday. The feeds show the new listing from the following midnight, so Monday to Friday are listing
days. On a holiday nothing closes, and submissions wait for the next day.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

EASTERN = ZoneInfo("America/New_York")
CLOSES = time(14)
ONE_DAY = timedelta(days=1)

# As arXiv announced them. Those of 2027 are not known yet: add them here. After a holiday that is
# missing here, empty feeds are reported as an error.
HOLIDAYS = {
    date.fromisoformat(day)
    for day in (
        *("2025-01-01", "2025-01-20", "2025-06-19", "2025-07-04", "2025-09-01"),
        *("2025-11-27", "2025-12-25", "2025-12-30"),
        *("2026-01-01", "2026-01-19", "2026-06-19", "2026-07-03", "2026-09-07"),
        *("2026-11-26", "2026-12-25", "2026-12-29", "2026-12-31"),
    )
}


def is_announcement_day(day: date) -> bool:
    """Return whether there is a listing of this day."""
    return _is_weekday(day) and _weekday_from(day, -ONE_DAY) not in HOLIDAYS


def latest_announcement_day(day: date) -> date:
    """Return the last day up to this one with a listing."""
    while not is_announcement_day(day):
        day -= ONE_DAY
    return day


def announcement_of(submitted: datetime) -> date:
    """Return the listing day of a submission that passes the checks at once. Naive is UTC."""
    moment = (submitted if submitted.tzinfo else submitted.replace(tzinfo=UTC)).astimezone(EASTERN)
    day = moment.date()
    if moment.time() >= CLOSES:
        day += ONE_DAY
    while not _is_weekday(day) or day in HOLIDAYS:
        day += ONE_DAY
    return _weekday_from(day, ONE_DAY)


def _is_weekday(day):
    return day.weekday() < 5


def _weekday_from(day, step):
    """Return the next weekday after this day, or the last one before it."""
    day += step
    while not _is_weekday(day):
        day += step
    return day
