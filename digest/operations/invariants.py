"""The invariants as queries: each finds the rows that violate one.

They examine a range of letters at a time, with the rows that belong to these, so that the tables
may have any size. A worker examines the letters of the last two days once a day. Invariants about
events hold for letters whose events are kept (see subscriptions/delivery/retention.py).
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import (
    Count,
    Exists,
    F,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    Window,
)
from django.db.models.functions import Coalesce, Lag

from digest.models import Digest, Pick
from digest.numbers import counted
from digest.papers import coverage
from subscriptions import db
from subscriptions.delivery import circuit_breaker
from subscriptions.mail import kinds
from subscriptions.models import Letter, LetterEvent, MimeBatch, Subscriber
from subscriptions.schedule import MIN_GAP_AFTER_FIRST

RECENT = timedelta(days=2)
MAX_NEXT_DUE = timedelta(days=16)  # Without a pause, the next digest is due by then.
MAX_NEXT_MONTHLY = timedelta(days=40)
MAX_PLANNING_DELAY = timedelta(minutes=30)
SWEEP_DELAY = timedelta(minutes=10)  # It runs each minute.
#: Longer than the lease of the last attempt and the hold after it.
CLOSING_DELAY = timedelta(minutes=45)
CLOCK_SKEW = timedelta(minutes=1)  # Between two machines.
RANGE_SIZE = 100_000
MAX_EXAMPLES = 5

Kind, State = Letter.Kind, Letter.State


class LetterRange(NamedTuple):
    """The letters with these ids, and the rows that belong to them.

    Each queryset has the bounds, because a database that has to guess them reads whole tables.
    """

    low: int
    high: int

    @property
    def rows(self) -> QuerySet:
        return Letter.objects.order_by().filter(pk__range=self)

    @property
    def events(self) -> QuerySet:
        return LetterEvent.objects.order_by().filter(letter__pk__range=self)

    @property
    def digests(self) -> QuerySet:
        return Digest.objects.order_by().filter(letter__pk__range=self)

    def with_events(self, now) -> QuerySet:
        """Return the letters whose events are kept."""
        return self.rows.filter(Q(ended_at=None) | Q(ended_at__gt=now - settings.KEEP_EVENTS))

    def has_event(self, **event) -> Exists:
        """Return the condition that a letter has an event with these fields."""
        return Exists(self.events.filter(letter=OuterRef("pk"), **event))


#: Functions that return the rows that violate an invariant, which has their name. Their docstrings
#: say what holds.
ABOUT_LETTERS: list[Callable[[LetterRange, datetime], QuerySet]] = []
#: Those that are checked once, without a range of letters: an index finds the rows.
ABOUT_NOW: list[Callable[[datetime], QuerySet]] = []


def about_letters(violations):
    """Add the decorated function to the invariants of a range of letters."""
    ABOUT_LETTERS.append(violations)
    return violations


def about_now(violations):
    """Add the decorated function to the invariants that are checked once."""
    ABOUT_NOW.append(violations)
    return violations


class Result(NamedTuple):
    """How many rows violate an invariant, and the ids of some. `text` is without addresses."""

    name: str
    sentence: str
    count: int
    examples: list[int]
    text: str


def examine(now, since=None) -> list[Result]:
    """Check each invariant for all letters, or those created `since`."""
    ranges = list(_letter_ranges(since))
    results = [_result(violations, [violations(now)]) for violations in ABOUT_NOW]
    for violations in ABOUT_LETTERS:
        results.append(_result(violations, [violations(letters, now) for letters in ranges]))
    return results


def _result(violations, querysets) -> Result:
    count, examples, text = 0, [], "OK"
    for rows in querysets:
        if number := rows.count():
            count += number
            missing = MAX_EXAMPLES - len(examples)
            examples += rows.order_by("pk").values_list("pk", flat=True)[:missing]
            kind = rows.model._meta.model_name
    if count:
        ids = ", ".join(map(str, examples)) + (", …" if count > len(examples) else "")
        text = f"violated by {counted(count, 'row')} ({kind} {ids})"
    sentence = violations.__doc__.partition(".")[0]
    return Result(violations.__name__.rstrip("_"), sentence, count, examples, text)


def _letter_ranges(since) -> Iterator[LetterRange]:
    ids = Letter.objects.aggregate(first=Min("pk"), last=Max("pk"))
    if ids["last"] is None:
        return
    first_id = ids["first"]
    if since is not None:
        first_id = db.first_id_since(Letter, "created_at", since - db.SLACK)
    for low in range(first_id, ids["last"] + 1, RANGE_SIZE):
        yield LetterRange(low, low + RANGE_SIZE - 1)


# ---- Every day ends in a state


def overdue(now, delay: timedelta) -> QuerySet:
    """Return the subscribers whose digest has been due for longer than `delay`.

    Not those who may wait: for the day's papers, at most HARVEST_GRACE; or while the previous
    digest may be sent again. None while sending is stopped, since then nothing is planned.
    """
    if not circuit_breaker.is_on_since(now - delay):
        return Subscriber.objects.none()
    wait = delay + (settings.HARVEST_GRACE if coverage.is_awaited(now) else timedelta(0))
    resendable_letters = Letter.objects.open().filter(day__isnull=False, closes_at__gt=now)
    resendable_letters = resendable_letters.exclude(state__in=Letter.UNSENT, repeats=0)
    resendable_letters = resendable_letters.filter(subscriber=OuterRef("pk"))
    return Subscriber.objects.due(now - wait).exclude(Exists(resendable_letters))


@about_now
def planned(now):
    """Digests are planned on time."""
    return overdue(now, MAX_PLANNING_DELAY)


@about_now
def due(now):
    """Every active subscriber has a next digest date."""
    # Digest days come at least once a week, except for dates that a time zone leaves out.
    is_paused = Q(paused_until__gte=now.date() - timedelta(days=1))
    exceeds_month = Q(is_monthly=False) | Q(next_due_at__gt=now + MAX_NEXT_MONTHLY)
    is_too_late = Q(next_due_at__gt=now + MAX_NEXT_DUE) & exceeds_month & ~is_paused
    return Subscriber.objects.subscribed().filter(Q(next_due_at=None) | is_too_late)


@about_now
def ended(now):
    """No email stays open after its day."""
    if not circuit_breaker.is_on_since(now - CLOSING_DELAY):  # While stopped, letters stay open.
        return Letter.objects.none()
    return Letter.objects.open().filter(closes_at__lt=now - CLOSING_DELAY)


@about_now
def held(now):
    """No email is stuck with a worker or a lookup.

    Find letters with an expired lease, an overdue lookup, or no time for either.
    """
    is_held = Q(state__in=[State.CLAIMED, State.TRANSMITTING])
    is_held &= Q(lease_until=None) | Q(lease_until__lt=now - SWEEP_DELAY)
    is_unscheduled = Q(state=State.PLANNED, next_try_at=None)
    is_lost = Q(next_try_at=None) | Q(next_try_at__lt=now - SWEEP_DELAY)
    is_lost &= Q(state=State.UNCERTAIN)
    return Letter.objects.open().filter(is_held | is_unscheduled | is_lost)


@about_letters
def moments(letters, now):
    """Every finished email has an end time."""
    is_ended = ~Q(state__in=Letter.OPEN)
    return letters.rows.filter(is_ended & Q(ended_at=None) | ~is_ended & Q(ended_at__isnull=False))


@about_letters
def reasons(letters, now):
    """Every unsent email has a reason."""
    return letters.rows.filter(state__in=[State.SKIPPED, State.FAILED, State.MISSED], reason="")


@about_letters
def days(letters, now):
    """Every digest has one email of the same day."""
    own_digests = letters.digests.filter(letter=OuterRef("pk"))
    lacks_digest = Q(day__isnull=False) & ~Exists(own_digests.filter(day=OuterRef("day")))
    return letters.rows.filter(lacks_digest | Q(day=None) & Exists(own_digests))


# ---- One letter


@about_letters
def once(letters, now):
    """No email is resent more than once."""
    return letters.rows.filter(repeats__gt=1)


@about_letters
def counted_(letters, now):
    """Every resend is counted.

    Find letters with more attempts after an uncertain one than were counted.

    Such an attempt is a resend, or a failed attempt if the mail server surely has nothing.
    """
    retries = letters.events.filter(old_state=State.UNCERTAIN, new_state=State.PLANNED)
    counted_retries = F("letter__repeats") + F("letter__failed_attempts")
    uncounted_retries = (
        retries.values("letter").annotate(count=Count("pk")).filter(count__gt=counted_retries)
    )
    return letters.rows.filter(pk__in=uncounted_retries.values("letter"))


@about_now
def bytes_(now):
    """Every email that may be resent has its stored text."""
    # After the final check, a letter may have to be sent again with the same bytes.
    is_stored = Exists(MimeBatch.objects.filter(pk=OuterRef("mime_batch")))
    return Letter.objects.open().exclude(mime_size=0).filter(~is_stored)


# ---- One digest a day


@about_letters
def apart(letters, now):
    """No duplicate digest within six hours.

    Find digests that were sent too soon before or after the digest of an earlier day.

    After a move to a time zone with an earlier date, the dates may be in the other order. The
    earlier digest is looked up by the index on subscriber and day: it may have any id.
    """
    may_have_arrived = Q(left_at__isnull=False)
    may_have_arrived &= ~Q(state__in=[State.SKIPPED, State.MISSED], repeats=0)
    digests = Letter.objects.filter(subscriber=OuterRef("subscriber"), day__lt=OuterRef("day"))
    earlier_digests = digests.filter(may_have_arrived)
    previous_left_at = Subquery(earlier_digests.order_by("-day").values("left_at")[:1])
    min_gap = MIN_GAP_AFTER_FIRST - CLOCK_SKEW
    left_at = F("previous_left_at")
    is_too_soon = Q(left_at__lt=left_at + min_gap, left_at__gt=left_at - min_gap)
    digests = letters.rows.filter(day__isnull=False).alias(previous_left_at=previous_left_at)
    return digests.filter(may_have_arrived, is_too_soon)


# ---- No digest after an unsubscribe


@about_letters
def leavers(letters, now):
    """No email is sent after unsubscribing.

    Find letters that were sent after the unsubscribe.

    By time and, if the goodbye's events are kept, by their order: `tick --now` sets the time.
    """
    unsubscribed_at, goodbye = OuterRef("subscriber__unsubscribed_at"), OuterRef("goodbye")
    goodbyes = LetterEvent.objects.filter(
        letter__subscriber=OuterRef("subscriber"),
        letter__kind=Kind.GOODBYE,
        letter__created_at=unsubscribed_at,  # Not an earlier one, even if the clock was set back.
    )
    begin = unsubscribed_at + CLOCK_SKEW
    was_sent = letters.has_event(new_state=State.TRANSMITTING, at__gt=begin, pk__gt=goodbye)
    first_goodbye = Coalesce(Subquery(goodbyes.order_by("pk").values("pk")[:1]), 0)
    of_leavers = letters.rows.filter(subscriber__unsubscribed_at__isnull=False)
    of_leavers = of_leavers.alias(goodbye=first_goodbye)
    return of_leavers.filter(was_sent, kind__in=kinds.kinds_excluding("unsubscribed"))


# ---- No paper is lost (that none is sent twice is a constraint)


@about_letters
def picks(letters, now):
    """Unsent digests release their papers."""
    # A letter that was resent, or whose outcome is unknown, may have arrived: its picks stay.
    was_never_sent = Q(repeats=0) & (
        Q(state__in=[State.SKIPPED, State.MISSED])
        | Q(state=State.FAILED) & ~Q(reason__startswith=Letter.UNKNOWN)
    )
    picks = Pick.objects.filter(digest=OuterRef("pk"))
    with_picks = letters.digests.filter(Exists(picks), letter=OuterRef("pk"))
    return letters.rows.filter(was_never_sent, Exists(with_picks))


# ---- Letters and their events agree


@about_letters
def claims(letters, now):
    """Every attempt was claimed by one worker."""
    # Claims are counted among the events alone: a join with all letters takes five times as long.
    claims = letters.events.filter(new_state=State.CLAIMED).values("letter")
    claims = claims.annotate(claims=Count("pk"))
    is_miscounted = Q(pk__in=claims.exclude(claims=F("letter__attempt")).values("letter"))
    was_never_claimed = Q(attempt__gt=0) & ~letters.has_event(new_state=State.CLAIMED)
    return letters.with_events(now).filter(is_miscounted | was_never_claimed)


@about_letters
def states(letters, now):
    """The state of every email matches its last step."""
    events = letters.events.filter(letter=OuterRef("pk")).order_by("-pk")
    last_state = Coalesce(Subquery(events.values("new_state")[:1]), Value("nowhere"))
    return letters.with_events(now).annotate(last=last_state).filter(~Q(state=F("last")))


@about_letters
def steps(letters, now):
    """The steps of every email form an unbroken sequence."""
    # The first event begins with no state, each other with that of the event before.
    lag = Lag("new_state", default=Value(""))
    previous_state = Window(lag, partition_by="letter", order_by="pk")
    events = letters.events.annotate(previous=previous_state)
    misplaced_events = events.exclude(old_state=F("previous"))
    return letters.rows.filter(pk__in=misplaced_events.values("letter"))


@about_letters
def proofs(letters, now):
    """Every sent email has the mail server's reply."""
    # An acceptance that a lookup found has a note in its event.
    no_reply = Q(last_reply="") | Q(message_id="") | Q(frozen_at=None)
    lacks_proof = no_reply | ~letters.has_event(new_state=State.TRANSMITTING)
    accepted = letters.events.filter(letter=OuterRef("pk"), new_state=State.ACCEPTED)
    was_looked_up = Exists(accepted.exclude(note=""))
    return letters.with_events(now).filter(lacks_proof & ~was_looked_up, state=State.ACCEPTED)
