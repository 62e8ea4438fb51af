"""What each day was like, in counts that stay when the rows they were made of are thrown away.

A tally is one row for a day (UTC) and a measure. A run counts the days that may have changed since
they were counted, and those that nobody has counted, so it may be run at any time, by anyone, and
fills what a still beat has left out. Nothing in a tally leads to a reader.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db.models import Count, F, Min, Q, Sum, Value
from django.db.models.functions import Concat, Trim

from digest.models import Coverage, Feedback, Harvest, Tally
from subscriptions.models import Consent, Letter, LetterFact, Subscriber
from subscriptions.post import retention

YEAR = timedelta(days=366)  # So far back days are counted that nobody has counted yet.
DAYS_A_RUN = 40  # So many of them at most, so that no run is a long one: the next goes on.
AGAIN = timedelta(hours=1)  # So often a past day is counted again, until it has settled.
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@dataclass(frozen=True)
class Measure:
    """What is counted of a day, from one moment to another.

    Its counts `settle` so long after the day, and may change until then. The rows that they are
    made of are kept for `kept` where that is a setting: older days can't be counted any more.
    """

    name: str
    count: Callable[[datetime, datetime], dict[str, int]]
    settles: timedelta
    kept: str = ""

    def is_countable(self, day: date, now: datetime) -> bool:
        """Return whether all rows of this day are still there."""
        return not self.kept or begin_of(day) > now - getattr(settings, self.kept)

    def is_due(self, day: date, counted_at: datetime | None, now: datetime) -> bool:
        """Return whether the day is to be counted, that was counted at this moment, or never."""
        end = begin_of(day) + DAY
        if counted_at is None or now < end:
            return True
        return counted_at < end + self.settles and counted_at <= now - AGAIN


def begin_of(day: date) -> datetime:
    """Return the moment when a day begins."""
    return datetime.combine(day, time.min, UTC)


def count(now: datetime) -> int:
    """Count what is due, the newest days first. Return how many days that were."""
    tallies = Tally.objects.filter(day__gt=now.date() - YEAR)
    known = {(one.day, one.measure): one.counted_at for one in tallies.defer("counts")}
    days = 0
    for day in _days(now):
        due = [one for one in MEASURES if one.is_due(day, known.get((day, one.name)), now)]
        due = [one for one in due if one.is_countable(day, now)]
        for measure in due:
            counts = measure.count(begin_of(day), begin_of(day) + DAY)
            Tally.objects.update_or_create(
                day=day, measure=measure.name, defaults={"counts": counts, "counted_at": now}
            )
        days += bool(due)
        if days == DAYS_A_RUN:
            break
    return days


def _days(now) -> Iterator[date]:
    """Yield the days of the last year, from today back to the first on which anything happened."""
    today = now.date()
    first = max(min(_beginnings(), default=today), today - YEAR + DAY)
    for back in range((today - first).days + 1):
        yield today - back * DAY


def _beginnings() -> Iterator[date]:
    """Yield the first day of what is written down in the order in which it happens."""
    for model, name in [(Consent, "at"), (Letter, "created_at"), (Harvest, "started_at")]:
        first = model.objects.order_by("pk").values_list(name, flat=True).first()
        if first is not None:
            yield first.date()
    first = Coverage.objects.aggregate(day=Min("day"))["day"]
    if first is not None:
        yield first


# ---- What is counted


def _subscribers(begin, end):
    """Count readers by their state at the day's end, as far as their dates tell.

    Of days before the first tally, whoever has come back or was erased since is left out.
    """
    suppressed, left = Q(suppressed_at__lt=end), Q(unsubscribed_at__lt=end)
    confirmed, paused = Q(confirmed_at__lt=end), Q(paused_until__gt=begin.date())
    stayed = ~suppressed & ~left
    return Subscriber.objects.filter(Q(asked_at__lt=end) | confirmed).aggregate(
        active=Count("pk", filter=stayed & confirmed & ~paused),
        paused=Count("pk", filter=stayed & confirmed & paused),
        pending=Count("pk", filter=stayed & ~confirmed),
        unsubscribed=Count("pk", filter=~suppressed & left),
        suppressed=Count("pk", filter=suppressed),
    )


def _consents(begin, end):
    return _grouped(_numbered(Consent, "at", begin, end), F("act"))


def _letters(begin, end):
    """Count the letters that were written on this day, by kind and state."""
    written = _numbered(Letter, "created_at", begin, end)
    return _grouped(written, Concat("kind", Value(" "), "state"))


def _facts(begin, end):
    """Count what was told on this day of letters, by grade and kind."""
    told = LetterFact.objects.filter(noted_at__gte=begin, noted_at__lt=end)
    return _grouped(told, Trim(Concat("grade", Value(" "), "kind")))


def _feedback(begin, end):
    return _grouped(Feedback.objects.filter(at__gte=begin, at__lt=end), F("value"))


def _harvests(begin, end):
    """Sum up what the day's runs saw, by source. Backfills, which bring years, are apart."""
    runs = Harvest.objects.filter(since=None, started_at__gte=begin, started_at__lt=end)
    return _summed(runs, ("seen", "new", "changed", "bad"))


def _coverage(begin, end):
    """Sum up what was announced for this day, and how many of it are missing, by source."""
    sums = _summed(Coverage.objects.filter(day=begin.date()), ("announced", "had"))
    for source in {key.split()[0] for key in sums}:
        announced, had = sums.pop(f"{source} announced"), sums[f"{source} had"]
        sums[f"{source} missing"] = max(announced - had, 0)
    return sums


def _numbered(model, name, begin, end):
    """Return the rows from one moment to another, of a table that is numbered in their order."""
    first = retention.first_since(model, name, begin - retention.SLACK)
    last = retention.first_since(model, name, end + retention.SLACK)
    moments = {f"{name}__gte": begin, f"{name}__lt": end}
    return model.objects.filter(pk__gte=first, pk__lt=last, **moments)


def _grouped(rows, name):
    return dict(rows.values_list(name).annotate(Count("pk")))


def _summed(rows, names):
    """Return the sums of these columns, named by source and column."""
    sums = rows.values("source").annotate(**{f"{name}_sum": Sum(name) for name in names})
    return {f"{row['source']} {name}": row[f"{name}_sum"] for row in sums for name in names}


MEASURES = [
    Measure("subscribers", _subscribers, timedelta(0)),
    Measure("consents", _consents, HOUR),
    Measure("letters", _letters, 3 * DAY, "KEEP_LETTERS"),
    Measure("facts", _facts, HOUR, "KEEP_EVENTS"),
    Measure("feedback", _feedback, HOUR),
    Measure("harvests", _harvests, DAY, "KEEP_HARVESTS"),
    Measure("coverage", _coverage, 3 * DAY, "KEEP_HARVESTS"),
]
