"""When a reader's day is due: her hour, in her zone, on her days, through every change of clocks.

Plain functions of days and moments. A wall time that a change of clocks skips comes as much later
as the clocks jump, or as much earlier where that would be the next day; one that comes twice, on
the first. A local day that never was (Apia, 30 December 2011) is never due.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

GRACE = timedelta(hours=6)  # So long after its local day a letter may still leave.
APART = timedelta(hours=12)  # Whatever was changed, or came late, digests stay so far apart;
APART_AT_FIRST = timedelta(hours=6)  # but for the first, which comes at once, and the one after it.
EVERY_DAY = 0b1111111  # Days of the week as bits, Monday's the lowest.
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # As forms and files have them.


def due_moment(day: date, hour: int, zone: ZoneInfo) -> datetime | None:
    """Return the moment (UTC) of `hour` on the local `day`; None where there is no such day."""
    for fold in (0, 1):  # With fold 1, a skipped hour is read on the clock after the change.
        moment = datetime.combine(day, time(hour, fold=fold), zone).astimezone(UTC)
        if moment.astimezone(zone).date() == day:
            return moment
    return None


def first_due(
    day: date, hour: int, zone: ZoneInfo, weekdays: int = EVERY_DAY
) -> tuple[date, datetime]:
    """Return the first local day from `day` on that exists and is wanted, and its moment."""
    while not is_wanted(day, weekdays) or (moment := due_moment(day, hour, zone)) is None:
        day += timedelta(days=1)
    return day, moment


def is_wanted(day: date, weekdays: int) -> bool:
    """Return whether the day is one of these days of the week; where there is none, all are."""
    return bool((weekdays & EVERY_DAY or EVERY_DAY) >> day.weekday() & 1)


def named(weekdays: int) -> list[str]:
    """Return the names of the days of the week that are set."""
    return [name for number, name in enumerate(NAMES) if weekdays >> number & 1]


def closes(day: date, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) from which a letter for the local `day` may no longer leave."""
    midnight = datetime.combine(day + timedelta(days=1), time(0), zone)
    return midnight.astimezone(UTC) + GRACE


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """Return the date that the reader's calendar shows at `moment`."""
    return moment.astimezone(zone).date()
