"""Daily counts that stay when the counted rows are deleted.

One row for each day (UTC) and measure. A run counts the days that may have changed since they were
counted, and those that were never counted. The counts contain no personal data.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Count, F, Min, Q, Sum, Value
from django.db.models.functions import Concat, Trim

from digest.models import Coverage, DailyCount, Feedback, Harvest
from subscriptions import db
from subscriptions.models import Consent, Letter, LetterFact, Subscriber

MAX_BACK = timedelta(days=366)
MAX_DAYS_PER_RUN = 40  # The next run goes on.
RECOUNT_AFTER = timedelta(hours=1)  # Until the day has settled.
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True)
class Measure:
    """Something that is counted for each day.

    Attributes:
        count: returns the counts from one moment to another.
        settles: how long after the day the counts may change.
        retention: the setting that says how long the counted rows are kept.
    """

    name: str
    count: Callable[[datetime, datetime], dict[str, int]]
    settles: timedelta
    retention: str = ""

    def is_due(self, day: date, counted_at: datetime | None, now: datetime) -> bool:
        """Return whether a day that was counted at this time, or never, is to be counted."""
        if self.retention and start_of_day(day) <= now - getattr(settings, self.retention):
            return False  # Some of its rows may be deleted.
        end = start_of_day(day) + DAY
        if counted_at is None or now < end:
            return True
        return counted_at < end + self.settles and counted_at <= now - RECOUNT_AFTER


def start_of_day(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def count_days(now: datetime) -> int:
    """Count the days that are due, the newest first. Return their number.

    Days of the last year, back to the first day with any row.
    """
    rows = DailyCount.objects.filter(day__gt=now.date() - MAX_BACK)
    counted_at = {(row.day, row.measure): row.counted_at for row in rows.defer("counts")}
    day_count, today = 0, now.date()
    first_day = max(min(_first_days(), default=today), today - MAX_BACK + DAY)
    for days_ago in range((today - first_day).days + 1):
        day = today - days_ago * DAY
        due = [m for m in MEASURES if m.is_due(day, counted_at.get((day, m.name)), now)]
        for measure in due:
            counts = measure.count(start_of_day(day), start_of_day(day) + DAY)
            defaults = {"counts": counts, "counted_at": now}
            DailyCount.objects.update_or_create(defaults, day=day, measure=measure.name)
        day_count += bool(due)
        if day_count == MAX_DAYS_PER_RUN:
            break
    return day_count


def _first_days() -> Iterator[date]:
    """Yield the day of the first row of some tables."""
    for model, field in [(Consent, "at"), (Letter, "created_at"), (Harvest, "started_at")]:
        first = model.objects.order_by("pk").values_list(field, flat=True).first()
        if first is not None:
            yield first.date()
    first = Coverage.objects.aggregate(day=Min("day"))["day"]
    if first is not None:
        yield first


# ---- What is counted


def _subscribers(begin, end):
    """Count subscribers by their state at the end of the day, according to their dates.

    For days before the first count, those who have resubscribed or were erased since are missing.
    """
    suppressed, unsubscribed = Q(suppressed_at__lt=end), Q(unsubscribed_at__lt=end)
    confirmed, paused = Q(confirmed_at__lt=end), Q(paused_until__gt=begin.date())
    is_subscribed = ~suppressed & ~unsubscribed
    people = Subscriber.objects.people().filter(Q(asked_at__lt=end) | confirmed)
    return people.aggregate(
        active=Count("pk", filter=is_subscribed & confirmed & ~paused),
        paused=Count("pk", filter=is_subscribed & confirmed & paused),
        pending=Count("pk", filter=is_subscribed & ~confirmed),
        unsubscribed=Count("pk", filter=~suppressed & unsubscribed),
        suppressed=Count("pk", filter=suppressed),
    )


def _consents(begin, end):
    of_people = _rows_between(Consent, "at", begin, end).filter(subscriber__channel="")
    return _count_by(of_people, F("act"))


def _letters(begin, end):
    """Count the letters that were created on this day, by kind and state."""
    created = _rows_between(Letter, "created_at", begin, end)
    return _count_by(created, Concat("kind", Value(" "), "state"))


def _facts(begin, end):
    """Count the delivery reports of this day, by grade and kind."""
    reports = LetterFact.objects.filter(noted_at__gte=begin, noted_at__lt=end)
    return _count_by(reports, Trim(Concat("grade", Value(" "), "kind")))


def _feedback(begin, end):
    return _count_by(Feedback.objects.filter(at__gte=begin, at__lt=end), F("value"))


def _harvests(begin, end):
    """Sum the papers of the day's runs by source, without backfills."""
    runs = Harvest.objects.filter(since=None, started_at__gte=begin, started_at__lt=end)
    # The keys are stored, so they stay when a field is renamed.
    return _sum_by_source(runs, seen="records", new="new", changed="changed", bad="unreadable")


def _coverage(begin, end):
    """Sum the papers that were announced for this day, and those that are missing, by source."""
    rows = Coverage.objects.filter(day=begin.date())
    sums = _sum_by_source(rows, announced="announced", had="stored")
    for source in {key.split()[0] for key in sums}:
        announced, stored = sums.pop(f"{source} announced"), sums[f"{source} had"]
        sums[f"{source} missing"] = max(announced - stored, 0)
    return sums


def _rows_between(model, field, begin, end):
    """Return the rows from one moment to another, of a table whose ids are in this order."""
    first_id = db.first_id_since(model, field, begin - db.SLACK)
    end_id = db.first_id_since(model, field, end + db.SLACK)
    moments = {f"{field}__gte": begin, f"{field}__lt": end}
    return model.objects.filter(pk__gte=first_id, pk__lt=end_id, **moments)


def _count_by(rows, key):
    return dict(rows.values_list(key).annotate(Count("pk")))


def _sum_by_source(rows, **fields):
    """Return the sums of these fields, by source and keyword."""
    sums = rows.values("source").annotate(**{f"{key}_sum": Sum(fields[key]) for key in fields})
    return {f"{row['source']} {key}": row[f"{key}_sum"] for row in sums for key in fields}


MEASURES = [
    Measure("subscribers", _subscribers, timedelta(0)),
    Measure("consents", _consents, HOUR),
    Measure("letters", _letters, 3 * DAY, "KEEP_LETTERS"),
    Measure("facts", _facts, HOUR, "KEEP_EVENTS"),
    Measure("feedback", _feedback, HOUR),
    Measure("harvests", _harvests, DAY, "KEEP_HARVESTS"),
    Measure("coverage", _coverage, 3 * DAY, "KEEP_HARVESTS"),
]
