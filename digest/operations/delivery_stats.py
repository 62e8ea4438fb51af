"""How many digests were sent on which day, and how late."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Count, F

from digest.operations.invariants import State, _first_since
from subscriptions.models import Letter, LetterEvent


@dataclass(frozen=True)
class Day:
    """How many letters were created for a day, and how many are in each state."""

    day: date
    written: int
    states: dict[str, int]


@dataclass(frozen=True)
class Figures:
    """Delivery in the last 24 hours, and in the last days.

    Attributes:
        lag_median, lag_p99: time from a digest's planning to the mail server's acceptance.
        left: letters that were sent.
        doubted, repeated, unknown: of these, how many were uncertain for a time, were sent again,
            or ended with an unknown outcome.
    """

    accepted: int
    lag_median: timedelta | None
    lag_p99: timedelta | None
    left: int
    doubted: int
    repeated: int
    unknown: int
    days: list[Day]


def figures(now) -> Figures:
    """Return the figures of the last day and week."""
    since = now - timedelta(days=1)
    letters = _written_since(since)
    left = letters.filter(left_at__isnull=False)
    lags = letters.filter(state=State.ACCEPTED, day__isnull=False)
    lags = lags.annotate(lag=F("ended_at") - F("created_at")).order_by("lag")
    count = lags.count()
    doubts = LetterEvent.objects.filter(letter__gte=_first_since(since), became=State.UNCERTAIN)
    return Figures(
        accepted=letters.filter(state=State.ACCEPTED).count(),
        lag_median=_at(lags, count // 2),
        lag_p99=_at(lags, count * 99 // 100),
        left=left.count(),
        doubted=left.filter(pk__in=doubts.values("letter")).count(),
        repeated=left.filter(repeats__gt=0).count(),
        unknown=left.filter(state=State.FAILED, reason__startswith=Letter.UNKNOWN).count(),
        days=_days(now),
    )


def _written_since(moment):
    return Letter.objects.filter(pk__gte=_first_since(moment), created_at__gte=moment)


def _at(lags, place):
    return lags.values_list("lag", flat=True)[place : place + 1].first()


def _days(now) -> list[Day]:
    """Return the last seven days that have letters, the newest first."""
    letters = _written_since(now - timedelta(days=8)).filter(day__isnull=False)
    counts: dict[date, Counter] = {}
    for day, state, count in letters.values_list("day", "state").annotate(Count("pk")):
        counts.setdefault(day, Counter())[state] = count
    newest = sorted(counts, reverse=True)[:7]
    return [Day(day, counts[day].total(), dict(counts[day])) for day in newest]
