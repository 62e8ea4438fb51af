"""The promises as queries: each finds the rows that break one, none where all is well.

They look at some letters at a time, by their numbers, and at what belongs to these, so that a
ledger of any size can be asked in slices: of the last two days, the newest AT_ONCE letters each
five minutes and the others each hour. What is asked of events holds for letters whose events are
kept (see subscriptions/post/retention.py).
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, Window
from django.db.models.functions import Coalesce, Lag

from digest import coverage
from digest.counts import counted
from digest.models import Digest, Pick
from subscriptions.models import Letter, LetterEvent, Subscriber, Volley
from subscriptions.post import retention, sending
from subscriptions.schedule import APART_AT_FIRST

RECENT = timedelta(days=2)
SOON = timedelta(days=16)  # So far off a next digest is at most, where nobody paused.
LATE = timedelta(minutes=30)  # So long after her moment a digest is planned at the latest.
SWEPT = timedelta(minutes=10)  # The sweeper comes each minute.
ENDED = timedelta(minutes=45)  # A last try may be under way: its lease and the hold pass first.
CLOCKS = timedelta(minutes=1)  # Moments of two machines are compared, read outside of any lock.
SLICE = 100_000
AT_ONCE = 500_000  # Letters that are asked of each five minutes: some seconds of PostgreSQL.
EXAMPLES = 5

Kind, State = Letter.Kind, Letter.State


#: Reads what `Finding.said` writes: how many rows, of which table, and the numbers of some.
SAID = re.compile(r"broken by ([\d,]+) rows? \((\w+) (\d+(?:, \d+)*)")


@dataclass(frozen=True)
class Slice:
    """The letters from one number to another, and what belongs to them.

    The bounds are said of each table: what the database has to guess, it reads as a whole.
    """

    low: int
    high: int

    @property
    def letters(self) -> QuerySet:
        return Letter.objects.order_by().filter(pk__range=(self.low, self.high))

    @property
    def events(self) -> QuerySet:
        return LetterEvent.objects.order_by().filter(letter__gte=self.low, letter__lte=self.high)

    @property
    def digests(self) -> QuerySet:
        return Digest.objects.order_by().filter(letter__gte=self.low, letter__lte=self.high)

    def told(self, now) -> QuerySet:
        """Return those of the letters whose events are kept."""
        kept = Q(ended_at=None) | Q(ended_at__gt=now - settings.KEEP_EVENTS)
        return self.letters.filter(kept)

    def has(self, **event) -> Exists:
        """Return the condition that a letter has an event like this."""
        return Exists(self.events.filter(letter=OuterRef("pk"), **event))


@dataclass(frozen=True)
class Promise:
    """A promise in a word and in a sentence, and what finds the rows that break it.

    One that `is_about_now` is asked once, with no slice: it finds its rows by an index, however
    many letters there are.
    """

    name: str
    sentence: str
    broken_by: Callable[[Slice | None, datetime], QuerySet]
    is_about_now: bool = False


@dataclass
class Finding:
    """How many rows break a promise, and the numbers of some of them."""

    promise: Promise
    count: int = 0
    kind: str = "letter"
    examples: list[int] = field(default_factory=list)

    @property
    def said(self) -> str:
        """Return the finding in words, without any address."""
        if not self.count:
            return "kept"
        more = ", …" if self.count > len(self.examples) else ""
        numbers = ", ".join(map(str, self.examples))
        return f"broken by {counted(self.count, 'row')} ({self.kind} {numbers}{more})"


def examine(now, since=None, newest=None) -> list[Finding]:
    """Ask which rows break each promise: among all letters, those written `since` then, or so many
    of the newest of these.
    """
    findings = [Finding(promise) for promise in PROMISES]
    for finding in findings:
        if finding.promise.is_about_now:
            _add(finding, finding.promise.broken_by(None, now))
    _examine_slices(findings, _numbers(since, newest), now)
    return findings


def examine_older(now, since, newest) -> list[Finding]:
    """Ask of the letters written since then that are not among so many of the newest."""
    findings = [Finding(promise) for promise in PROMISES]
    older = range(_numbers(since).start, _numbers(since, newest).start)
    _examine_slices(findings, older, now)
    return findings


def _numbers(since, newest=None) -> range:
    """Return the numbers of the letters, of those written since then, or of the newest of these."""
    letters = Letter.objects.order_by("pk")
    first, last = letters.first(), letters.last()
    if first is None:
        return range(0)
    begin = first.pk if since is None else _first_since(since)
    end = last.pk + 1
    return range(begin if newest is None else max(begin, end - newest), end)


def _examine_slices(findings, numbers, now):
    """Ask of the letters of these numbers, SLICE at a time."""
    for low in range(numbers.start, numbers.stop, SLICE):
        some = Slice(low, min(low + SLICE, numbers.stop) - 1)
        for finding in findings:
            if not finding.promise.is_about_now:
                _add(finding, finding.promise.broken_by(some, now))


def _first_since(moment) -> int:
    """Return a number from which on all letters are that were written since then."""
    return retention.first_since(Letter, "created_at", moment - retention.SLACK)


def _add(finding, rows):
    count = rows.count()
    if count:
        finding.count += count
        finding.kind = rows.model._meta.model_name
        room = EXAMPLES - len(finding.examples)
        finding.examples += rows.order_by("pk").values_list("pk", flat=True)[:room]


# ---- Never silence


def overdue(now, late: timedelta) -> QuerySet:
    """Return the subscribers whose digest should have been planned for so long.

    Digests may wait for the day's papers, HARVEST_GRACE at most, and while the last one may be sent
    again: two would come in a row. None is planned while sending is stopped.
    """
    if not sending.is_on_since(now - late):
        return Subscriber.objects.none()
    wait = late + (settings.HARVEST_GRACE if coverage.is_awaited(now) else timedelta(0))
    again = Letter.objects.open().filter(day__isnull=False, closes_at__gt=now)
    again = again.exclude(state__in=Letter.NOT_LEFT, repeats=0)
    again = again.filter(subscriber=OuterRef("pk"))
    return Subscriber.objects.due(now - wait).exclude(Exists(again))


def _not_planned(_, now):
    return overdue(now, LATE)


def _never_due(_, now):
    """Her days of the week come once a week at least, but for dates that some zone leaves out."""
    paused = Q(paused_until__gte=now.date() - timedelta(days=1))
    too_late = Q(next_due_at__gt=now + SOON) & ~paused
    return Subscriber.objects.wanting().filter(Q(next_due_at=None) | too_late)


def _open_too_long(_, now):
    """While sending is stopped, letters are not closed."""
    if not sending.is_on_since(now - ENDED):
        return Letter.objects.none()
    return Letter.objects.open().filter(closes_at__lt=now - ENDED)


def _forgotten(_, now):
    """A lease that ran out, a question that was not asked, or no moment set for either."""
    held = Q(state__in=[State.CLAIMED, State.TRANSMITTING])
    held &= Q(lease_until=None) | Q(lease_until__lt=now - SWEPT)
    waiting = Q(state=State.PLANNED, next_try_at=None)
    asked = Q(state=State.UNCERTAIN) & (Q(next_try_at=None) | Q(next_try_at__lt=now - SWEPT))
    return Letter.objects.open().filter(held | waiting | asked)


def _end_without_moment(some, now):
    ended = ~Q(state__in=Letter.OPEN)
    return some.letters.filter(ended & Q(ended_at=None) | ~ended & Q(ended_at__isnull=False))


def _end_without_reason(some, now):
    return some.letters.filter(state__in=[State.SKIPPED, State.FAILED, State.MISSED], reason="")


def _day_without_digest(some, now):
    its_own = some.digests.filter(letter=OuterRef("pk"))
    of_its_day = its_own.filter(day=OuterRef("day"))
    return some.letters.filter(
        Q(day__isnull=False) & ~Exists(of_its_day) | Q(day=None) & Exists(its_own)
    )


# ---- One letter


def _repeated(some, now):
    return some.letters.filter(repeats__gt=1)


def _tried_uncounted(some, now):
    """After a silence: a repeat, or a stumble where the mail server surely has nothing."""
    tried = some.events.filter(was=State.UNCERTAIN, became=State.PLANNED).values("letter")
    counted = F("letter__repeats") + F("letter__stumbles")
    uncounted = tried.annotate(again=Count("pk")).filter(again__gt=counted)
    return some.letters.filter(pk__in=uncounted.values("letter"))


def _bytes_lost(_, now):
    """What passed the fence may have to be sent again, as it was."""
    there = Exists(Volley.objects.filter(pk=OuterRef("volley")))
    return Letter.objects.open().exclude(mime_size=0).filter(~there)


# ---- One digest a day


def _too_near(some, now):
    """Digests that left too near to that of the day before, before it or after: who moves to an
    earlier date and signs up anew has the dates in the other order. That one is looked up for each,
    by the index of readers and days: it may have any number.
    """
    may_have_arrived = Q(left_at__isnull=False)
    may_have_arrived &= ~Q(state__in=[State.SKIPPED, State.MISSED], repeats=0)
    earlier = Letter.objects.filter(
        may_have_arrived, subscriber=OuterRef("subscriber"), day__lt=OuterRef("day")
    )
    before = Subquery(earlier.order_by("-day").values("left_at")[:1])
    rest = APART_AT_FIRST - CLOCKS
    too_near = Q(left_at__lt=F("before") + rest, left_at__gt=F("before") - rest)
    return some.letters.alias(before=before).filter(may_have_arrived, too_near, day__isnull=False)


# ---- Not after leaving


def _fenced_after_leaving(some, now):
    """By the clock, and where her goodbye is kept, by the order of their events as well: a pass may
    be told what time it is (tick --now).
    """
    left_at = OuterRef("subscriber__unsubscribed_at")
    goodbyes = LetterEvent.objects.filter(
        letter__subscriber=OuterRef("subscriber"),
        letter__kind=Kind.GOODBYE,
        letter__created_at=left_at,  # Not an earlier one, though the clock was set back since.
    )
    goodbye = Coalesce(Subquery(goodbyes.order_by("pk").values("pk")[:1]), 0)
    late = some.has(became=State.TRANSMITTING, at__gt=left_at + CLOCKS, pk__gt=OuterRef("goodbye"))
    of_leavers = some.letters.filter(subscriber__unsubscribed_at__isnull=False)
    of_leavers = of_leavers.alias(goodbye=goodbye)
    return of_leavers.exclude(kind__in=[Kind.CONFIRM, Kind.GOODBYE, Kind.LINK]).filter(late)


# ---- No paper lost, none twice (that is a constraint)


def _picks_of_none(some, now):
    """A letter that was repeated, or of which nobody knows, may have arrived: its picks stay."""
    never_left = Q(repeats=0) & (
        Q(state__in=[State.SKIPPED, State.MISSED])
        | Q(state=State.FAILED) & ~Q(reason__startswith=Letter.UNKNOWN)
    )
    picks = Pick.objects.filter(digest=OuterRef("pk"))
    with_picks = some.digests.filter(Exists(picks), letter=OuterRef("pk"))
    return some.letters.filter(never_left, Exists(with_picks))


# ---- The ledger is whole


def _attempts_unclaimed(some, now):
    """Claims are counted among the events alone: to join them to all letters takes five times as
    long.
    """
    claims = some.events.filter(became=State.CLAIMED).values("letter").annotate(claims=Count("pk"))
    miscounted = Q(pk__in=claims.exclude(claims=F("letter__attempt")).values("letter"))
    never_claimed = Q(attempt__gt=0) & ~some.has(became=State.CLAIMED)
    return some.told(now).filter(miscounted | never_claimed)


def _last_step_elsewhere(some, now):
    steps = some.events.filter(letter=OuterRef("pk")).order_by("-pk")
    last = Coalesce(Subquery(steps.values("became")[:1]), Value("nowhere"))
    return some.told(now).annotate(last=last).filter(~Q(state=F("last")))


def _steps_apart(some, now):
    """Steps that do not begin where the one before ended. The first begins with nothing."""
    before = Window(Lag("became", default=Value("")), partition_by="letter", order_by="pk")
    apart = some.events.annotate(before=before).exclude(was=F("before"))
    return some.letters.filter(pk__in=apart.values("letter"))


def _accepted_without_proof(some, now):
    """The server said nothing, or nothing left. What was found out since says so in its event."""
    unsaid = Q(last_reply="") | Q(message_id="") | Q(frozen_at=None)
    unproved = unsaid | ~some.has(became=State.TRANSMITTING)
    accepted = some.events.filter(letter=OuterRef("pk"), became=State.ACCEPTED)
    found_out = Exists(accepted.exclude(note=""))
    return some.told(now).filter(unproved & ~found_out, state=State.ACCEPTED)


PROMISES = [
    Promise("planned", "every subscriber who is due has her day written down", _not_planned, True),
    Promise("due", "every subscriber who wants digests has a next one soon", _never_due, True),
    Promise("ended", "every letter whose day has ended has an end", _open_too_long, True),
    Promise("held", "no claim outlives its lease, and no doubt its question", _forgotten, True),
    Promise("moments", "every end has its moment", _end_without_moment),
    Promise("reasons", "every day that ended unsent says why", _end_without_reason),
    Promise("days", "every digest has a letter of its own day", _day_without_digest),
    Promise("once", "at most one repeat of a letter", _repeated),
    Promise("counted", "every try after a silence is counted", _tried_uncounted),
    Promise("apart", "no two digests of a reader leave within some hours", _too_near),
    Promise("bytes", "what may be sent again has kept its bytes", _bytes_lost, True),
    Promise(
        "leavers", "no letter passes the fence after its reader has left", _fenced_after_leaving
    ),
    Promise("picks", "picks belong to letters that left or may yet", _picks_of_none),
    Promise("claims", "an attempt is a claim", _attempts_unclaimed),
    Promise("steps", "every step of a letter begins where the last ended", _steps_apart),
    Promise("states", "a letter is where its last step led", _last_step_elsewhere),
    Promise("proofs", "what was sent had passed the fence, and was taken", _accepted_without_proof),
]


# ---- Figures


@dataclass(frozen=True)
class Day:
    """How many letters were written for a day, and what became of them."""

    day: date
    written: int
    states: dict[str, int]


@dataclass(frozen=True)
class Figures:
    """What the last 24 hours were like, and the last days.

    The lag is from a digest's planning, in the minute that it is due, to the mail server's yes;
    None where there was none. `doubted` is how many of those that left nobody knew of for a time.
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
    """Return the last seven days for which letters were written, the newest first."""
    letters = _written_since(now - timedelta(days=8)).filter(day__isnull=False)
    counts: dict[date, Counter] = {}
    for day, state, count in letters.values_list("day", "state").annotate(Count("pk")):
        counts.setdefault(day, Counter())[state] = count
    newest = sorted(counts, reverse=True)[:7]
    return [Day(day, counts[day].total(), dict(counts[day])) for day in newest]
