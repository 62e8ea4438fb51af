"""When a digest is due: the subscriber's hour, in their time zone, on their days of the week.

Pure functions of dates and moments. A wall time that a clock change skips is due later by the
jump, or earlier by it if later would be the next day. A wall time that occurs twice is due the
first time. A local day that never existed (Apia, 30 December 2011) is never due.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

LATE_LIMIT = timedelta(hours=6)  # A letter may be sent this long after its local day.
MIN_GAP = timedelta(hours=12)  # Between two digests, whatever was changed or came late.
MIN_GAP_AFTER_FIRST = timedelta(hours=6)  # After a first digest that was sent at once.
EVERY_DAY = 0b1111111  # Days of the week as bits; Monday is the lowest.
WEEKDAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # In forms and files.


def due_moment(day: date, hour: int, zone: ZoneInfo) -> datetime | None:
    """Return the moment (UTC) of `hour` on the local `day`, or None if there is no such day."""
    for fold in (0, 1):  # With fold 1, a skipped hour is read on the clock after the change.
        moment = datetime.combine(day, time(hour, fold=fold), zone).astimezone(UTC)
        if moment.astimezone(zone).date() == day:
            return moment
    return None


@lru_cache(maxsize=4_096)  # The same for many subscribers.
def next_due(
    day: date, hour: int, zone: ZoneInfo, weekdays: int = EVERY_DAY
) -> tuple[date, datetime]:
    """Return the first existing digest day on or after local `day`, and its moment (UTC)."""
    while not is_digest_day(day, weekdays) or (moment := due_moment(day, hour, zone)) is None:
        day += timedelta(days=1)
    return day, moment


def is_digest_day(day: date, weekdays: int) -> bool:
    """Return whether `day` is one of the `weekdays`. No bits count as every day."""
    return bool((weekdays & EVERY_DAY or EVERY_DAY) >> day.weekday() & 1)


def first_of_next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def weekday_names(weekdays: int) -> list[str]:
    return [name for number, name in enumerate(WEEKDAY_NAMES) if weekdays >> number & 1]


@lru_cache(maxsize=4_096)
def send_deadline(day: date, zone: ZoneInfo) -> datetime:
    """Return the moment (UTC) from which a letter for the local `day` may no longer be sent."""
    midnight = datetime.combine(day + timedelta(days=1), time(0), zone)
    return midnight.astimezone(UTC) + LATE_LIMIT


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()
