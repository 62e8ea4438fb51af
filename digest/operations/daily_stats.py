"""Daily counts that stay when the counted rows are deleted.

One row for each day (UTC) and measure. A run counts the days that may have changed since they were
counted, and those that were never counted. The counts contain no personal data.
"""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, F, Q, Sum, Value
from django.db.models.functions import Concat, Trim

from digest.models import Coverage, DailyCount, Feedback, Harvest
from subscriptions import db
from subscriptions.models import Consent, Letter, LetterFact, Subscriber

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MAX_BACK = 365 * DAY


class Measure(NamedTuple):
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


def count_days(now: datetime) -> None:
    """Count the days that may have changed, and those of the last year that were never counted.

    Not those before the first consent, email or import, nor those whose rows may be deleted.
    """
    firsts: list[datetime] = []
    for model, field in [(Consent, "at"), (Letter, "created_at"), (Harvest, "started_at")]:
        firsts += model.objects.order_by("pk").values_list(field, flat=True)[:1]
    today = datetime.combine(now.date(), time.min, UTC)
    rows = DailyCount.objects.filter(day__gte=today - MAX_BACK)
    counted_at = {(row.measure, row.day): row.counted_at for row in rows.defer("counts")}
    for measure in MEASURES:
        begin = max(min(firsts, default=now), now - MAX_BACK)
        if measure.retention:
            begin = max(begin, now - getattr(settings, measure.retention) + DAY)
        begin = datetime.combine(begin.date(), time.min, UTC)
        while begin <= now:
            last_time = counted_at.get((measure.name, begin.date()))
            end = begin + DAY
            if last_time is None or last_time < end + measure.settles:
                fields = {"counts": measure.count(begin, end), "counted_at": now}
                key = {"day": begin.date(), "measure": measure.name}
                DailyCount.objects.update_or_create(fields, **key)
            begin = end


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
    return _sum_by_source(rows, had="stored", missing=F("announced") - F("stored"))


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
    sums = rows.values_list("source")
    return {
        f"{source} {key}": total
        for key, field in fields.items()
        for source, total in sums.annotate(total=Sum(field))
    }


MEASURES = [
    Measure("subscribers", _subscribers, timedelta(0)),
    Measure("consents", _consents, HOUR),
    Measure("letters", _letters, 3 * DAY, "KEEP_LETTERS"),
    Measure("facts", _facts, HOUR, "KEEP_EVENTS"),
    Measure("feedback", _feedback, HOUR),
    Measure("harvests", _harvests, DAY, "KEEP_HARVESTS"),
    Measure("coverage", _coverage, 3 * DAY, "KEEP_HARVESTS"),
]
