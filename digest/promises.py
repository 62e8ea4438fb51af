"""The promises as queries: each counts the rows that break one, 0 where all is well."""

from datetime import timedelta

from django.db.models import Count, Exists, F, OuterRef, Q

from digest.models import Digest, Pick
from subscriptions.models import Letter, LetterEvent, Subscriber

LATE = timedelta(minutes=30)
CLOCKS = timedelta(minutes=1)  # Moments of two machines are compared, read outside of any lock.
State = Letter.State


def broken(now) -> dict[str, int]:
    """Return, for each promise in words, how many rows break it."""
    letters = Letter.objects.all()
    return {
        "every subscriber who is due has her day written down": Subscriber.objects.due(
            now - LATE
        ).count(),
        "every letter whose day has ended has an end": letters.open()
        .filter(closes_at__lt=now - LATE)
        .count(),
        "no claim outlives its lease": letters.filter(lease_until__lt=now - LATE).count(),
        "every end has its moment": letters.exclude(state__in=Letter.OPEN)
        .filter(ended_at=None)
        .count(),
        "every day that ended unsent says why": letters.filter(
            state__in=[State.SKIPPED, State.FAILED, State.MISSED], reason=""
        ).count(),
        "no letter passes the fence after its reader has left": _fenced_after_leaving(),
        "at most one repeat of a letter": letters.filter(repeats__gt=1).count(),
        "an attempt is a claim": letters.annotate(
            claims=Count("events", filter=Q(events__became=State.CLAIMED))
        )
        .exclude(claims=F("attempt"))
        .count(),
        "every digest has a letter of its own day": Digest.objects.exclude(
            letter__day=F("day")
        ).count(),
        "picks belong to letters that left or may yet": Pick.objects.filter(
            digest__letter__state__in=[State.SKIPPED, State.MISSED], digest__letter__repeats=0
        ).count(),
    }


def _fenced_after_leaving():
    passed = LetterEvent.objects.filter(
        letter__subscriber=OuterRef("pk"),
        became=State.TRANSMITTING,
        at__gt=OuterRef("unsubscribed_at") + CLOCKS,
    ).exclude(letter__kind__in=[Letter.Kind.CONFIRM, Letter.Kind.GOODBYE])
    return Subscriber.objects.filter(Exists(passed)).count()
