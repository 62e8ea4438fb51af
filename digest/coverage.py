"""Proof that what was announced is here: for each source, category and day, what came of it.

A feed can look fresh and be yesterday's, or valid and empty. So a day is *verified* only when every
category has shown the list of that very day, and all of it is stored; until then it is waited for,
and said to be missing.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Sum

from digest.models import Coverage, Paper
from digest.sources import calendar, taxonomy
from digest.sources.plug import Batch

#: So long after the announcement, an empty or old list is only late.
LATE = timedelta(hours=3)
#: So long after it, nothing having come in is an alarm.
ALARM = timedelta(hours=6)
#: A source that was not verified in so many days is not waited for: it may not be in use.
IN_USE = timedelta(days=10)

ALL = "all"
State = Coverage.State
WELL = (State.FRESH, State.QUIET)


@dataclass(frozen=True)
class Receipt:
    """How many papers arXiv announced on a day, how many are here, and whether that is all."""

    day: date
    announced: int
    had: int
    is_verified: bool


def out_at(day: date) -> datetime:
    """Return when arXiv's list of this day must be out: it is rebuilt at midnight, US Eastern."""
    return datetime.combine(day, time(0, 30), calendar.EASTERN)


def expected_day(now: datetime) -> date:
    """Return the newest day whose arXiv list must be out at `now`."""
    day = now.astimezone(UTC).date()  # Its midnight in New York is of the same day in UTC.
    while not (calendar.is_announcement_day(day) and out_at(day) <= now):
        day -= timedelta(days=1)
    return day


def write_down(source: str, batch: Batch, now: datetime) -> None:
    """Write down what a batch says about its day and category; nothing where it says nothing."""
    if not batch.state or (source == "arxiv" and not batch.category):
        return
    is_there = batch.state == "fresh" or (batch.state == "incomplete" and batch.records)
    day, state = (batch.day, State.FRESH) if is_there else _missing(source, batch, now)
    # A cross-list is announced elsewhere: each counts once.
    tells = any(record.announced_as for record in batch.records)
    news = [record for record in batch.records if record.announced_as == "new" or not tells]
    announced = {record.id for record in news}
    spoiled = len(batch.bad) + batch.missing  # Announced, and not here.
    note = batch.note
    if is_there and batch.bad and not note:
        note = f"{len(batch.bad)} of them could not be read: {batch.bad[0]}"
    Coverage.objects.update_or_create(
        source=source,
        category=batch.category or ALL,
        day=day,
        defaults={
            "state": State.FAILED if batch.missing else state,
            "announced": len(announced) + spoiled if is_there else 0,
            "had": Paper.objects.filter(pk__in=announced).count() if is_there else 0,
            "note": note,
            "checked_at": now,
        },
    )


def note_failure(source: str, error: str, now: datetime) -> None:
    """Write down that the source could not be read for the day that is expected now."""
    if source != "arxiv":
        return  # Its run says so, and nothing waits for it.
    day, failed = expected_day(now), {"state": State.FAILED, "note": error, "checked_at": now}
    rows = Coverage.objects.filter(source=source, day=day)
    rows.exclude(state__in=WELL).update(**failed)
    if not rows.exists():
        Coverage.objects.create(source=source, category=ALL, day=day, **failed)


def is_verified(now: datetime) -> bool:
    """Return whether all of arXiv's newest list is here: every category was read, and is well."""
    rows = Coverage.objects.filter(source="arxiv", day=expected_day(now), state__in=WELL)
    wanted = set(settings.ARXIV_CATEGORIES or taxonomy.ARCHIVES)
    return wanted <= set(rows.values_list("category", flat=True))


def is_awaited(now: datetime) -> bool:
    """Return whether digests should wait: the source is in use, and its newest list is not here."""
    used = Coverage.objects.filter(
        source="arxiv", state=State.FRESH, day__gte=(now - IN_USE).date()
    )
    return used.exists() and not is_verified(now)


def receipt(now: datetime) -> Receipt | None:
    """Return what came of the newest list, None where arXiv is not in use."""
    rows = Coverage.objects.filter(source="arxiv", day=expected_day(now))
    sums = rows.aggregate(announced=Sum("announced"), had=Sum("had"))
    if sums["announced"] is None:
        return None
    return Receipt(expected_day(now), sums["announced"], sums["had"], is_verified(now))


def receipt_to_keep(now: datetime) -> dict:
    """Return the receipt as a digest keeps it: empty where there is none."""
    found = receipt(now)
    return asdict(found) | {"day": found.day.isoformat()} if found else {}


def alarms(now: datetime) -> list[str]:
    """Return, in sentences, what should have come in and did not."""
    day = expected_day(now)
    used = Coverage.objects.filter(source="arxiv", day__gte=day - IN_USE, day__lt=day)
    if not used.exists() or is_verified(now) or now < out_at(day) + ALARM:
        return []
    rows = Coverage.objects.filter(source="arxiv", day=day).exclude(state__in=WELL)
    by_state: dict[str, list[str]] = {}
    for row in rows:
        by_state.setdefault(row.get_state_display(), []).append(row.category)
    named = [f"{', '.join(categories)}: {said}" for said, categories in by_state.items()]
    what = "; ".join(named) or "not every category was asked for"
    return [f"arXiv's list of {day:%A, %-d %B} has not come in whole: {what}."]


def _missing(source, batch, now):
    """Return the day of a list that is empty, old or unreadable, and what that means."""
    if source != "arxiv":
        if batch.state == "incomplete":
            return batch.day, State.FAILED
        return batch.day, State.QUIET if batch.day.weekday() >= 5 else State.WAITING
    today, expected = now.astimezone(calendar.EASTERN).date(), expected_day(now)
    if batch.state == "incomplete":
        return expected, State.FAILED
    if not calendar.is_announcement_day(today):
        return today, State.QUIET
    return expected, State.WAITING if now < out_at(expected) + LATE else State.STALLED
