"""Check that the announced papers are stored, by source, category and day.

A feed may be yesterday's, or valid and empty. So a day is *verified* only when every category has
shown the list of that day and all of it is stored.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Sum

from digest.models import Coverage, Paper
from digest.papers import registry
from digest.sources.arxiv import calendar
from digest.sources.base import Batch

#: After the announcement. Until then, an empty or old list is only late.
MAX_LATENESS = timedelta(hours=3)
#: After the announcement. In the winter break, a list that is not there then does not come.
ALARM_AFTER = timedelta(hours=6)
#: Digests don't wait for a source that was not read for longer: it may not be in use.
MAX_UNUSED = timedelta(days=10)

ONE_DAY = timedelta(days=1)

ALL_CATEGORIES = "all"
State = Coverage.State
COMPLETE = (State.FRESH, State.QUIET)


@dataclass(frozen=True)
class Receipt:
    """How many papers arXiv announced on a day, how many are stored, and whether that is all."""

    day: date
    announced: int
    had: int
    is_verified: bool


def release_time(day: date) -> datetime:
    """Return when arXiv's list of this day must be there: it is rebuilt at midnight, US Eastern."""
    return datetime.combine(day, time(0, 30), calendar.EASTERN)


def expected_day(now: datetime) -> date:
    """Return the newest day whose arXiv list must be there at `now`."""
    day = now.astimezone(UTC).date()  # Its midnight in New York is of the same day in UTC.
    while not (calendar.is_announcement_day(day) and release_time(day) <= now):
        day -= ONE_DAY
    return day


def record(source: str, batch: Batch, now: datetime) -> None:
    """Store the state of a batch's day and category, if it has one."""
    if not batch.state or (source == "arxiv" and not batch.category):
        return
    has_list = batch.state == "fresh" or (batch.state == "incomplete" and bool(batch.records))
    day, state = (batch.day, State.FRESH) if has_list else _day_and_state(source, batch, now)
    # A cross-listed paper counts once, in the category that announces it as new.
    has_kinds = any(record.announced_as for record in batch.records)
    new_ids = {r.id for r in batch.records if r.announced_as == "new" or not has_kinds}
    unreadable = len(batch.errors) + batch.missing
    note = batch.note
    if has_list and batch.errors and not note:
        note = f"{len(batch.errors)} of them could not be read: {batch.errors[0]}"
    Coverage.objects.update_or_create(
        source=source,
        category=batch.category or ALL_CATEGORIES,
        day=day,
        defaults={
            "state": State.FAILED if batch.missing else state,
            "announced": has_list * (batch.offset + len(new_ids) + unreadable),
            "stored": has_list * (batch.offset + Paper.objects.filter(pk__in=new_ids).count()),
            "note": note,
            "checked_at": now,
        },
    )


def record_failure(source: str, error: str, now: datetime) -> None:
    """Store that arXiv could not be read for the day that is expected now."""
    if source != "arxiv":
        return  # Nothing waits for other sources.
    day, fields = expected_day(now), {"state": State.FAILED, "note": error, "checked_at": now}
    rows = Coverage.objects.filter(source=source, day=day)
    rows.exclude(state__in=COMPLETE).update(**fields)
    if not rows.exists():
        Coverage.objects.create(source=source, category=ALL_CATEGORIES, day=day, **fields)


def is_verified(now: datetime) -> bool:
    """Return whether arXiv's newest list is stored: every category was read completely.

    In the winter break, also whether there is no list, so that nothing is missing.
    """
    day = expected_day(now)
    if set(_states(day)) <= set(COMPLETE):
        return True
    return now >= release_time(day) + ALARM_AFTER and _is_skipped(day)


def is_awaited(now: datetime) -> bool:
    """Return whether digests should wait: arXiv is in use and its newest list is not verified.

    If arXiv skipped the list before, in the winter break, they have waited already.
    """
    fresh_lists = Coverage.objects.filter(source="arxiv", state=State.FRESH)
    recent_lists = fresh_lists.filter(day__gte=(now - MAX_UNUSED).date())
    if not recent_lists.exists() or is_verified(now):
        return False
    return not _is_skipped(calendar.latest_announcement_day(expected_day(now) - ONE_DAY))


def _is_skipped(day):
    """Return whether arXiv answered, but showed no list of this day of the winter break."""
    return calendar.may_lack_listing(day) and set(_states(day)) <= {State.WAITING, State.STALLED}


def _states(day) -> list[str]:
    """Return the state of each category that is read. It is empty if none was stored."""
    rows = Coverage.objects.filter(source="arxiv", day=day)
    states = dict(rows.values_list("category", "state"))
    return [states.get(category, "") for category in registry.arxiv_categories()]


def receipt(now: datetime) -> Receipt | None:
    """Return the receipt of the newest list, or None if arXiv is not in use."""
    rows = Coverage.objects.filter(source="arxiv", day=expected_day(now))
    sums = rows.aggregate(announced=Sum("announced"), stored=Sum("stored"))
    if sums["announced"] is None:
        return None
    return Receipt(expected_day(now), sums["announced"], sums["stored"], is_verified(now))


def receipt_json(now: datetime) -> dict:
    """Return the receipt of the newest list as a digest stores it, or an empty dict."""
    latest = receipt(now)
    return asdict(latest) | {"day": latest.day.isoformat()} if latest else {}


def alarms(now: datetime) -> list[str]:
    """Return sentences about lists that should be stored and are not."""
    day = expected_day(now)
    recent_lists = Coverage.objects.filter(source="arxiv", day__gte=day - MAX_UNUSED, day__lt=day)
    if not recent_lists.exists() or is_verified(now) or now < release_time(day) + ALARM_AFTER:
        return []
    rows = Coverage.objects.filter(source="arxiv", day=day).exclude(state__in=COMPLETE)
    categories_by_state: dict[str, list[str]] = {}
    for row in rows:
        categories_by_state.setdefault(row.get_state_display(), []).append(row.category)
    problems = [
        f"{', '.join(categories)}: {state}" for state, categories in categories_by_state.items()
    ]
    details = "; ".join(problems) or "not every category was fetched"
    return [f"arXiv's list of {day:%A, %-d %B} is incomplete: {details}."]


def _day_and_state(source, batch, now):
    """Return the day and state of a list that is empty, old or unreadable."""
    if source != "arxiv":
        if batch.state == "incomplete":
            return batch.day, State.FAILED
        return batch.day, State.QUIET if batch.day.weekday() >= 5 else State.WAITING
    today, list_day = now.astimezone(calendar.EASTERN).date(), expected_day(now)
    if batch.state == "incomplete":
        return list_day, State.FAILED
    if not calendar.is_announcement_day(today):
        return today, State.QUIET
    return list_day, State.WAITING if now < release_time(list_day) + MAX_LATENESS else State.STALLED
