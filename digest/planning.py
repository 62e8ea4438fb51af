"""Who is due, and what goes into whose digest, written down in bulk, each with its letter.

May be run at any time by anyone, and by two at once: a day that is written down is never written
again (UNIQUE(subscriber, day)), and who was planned is no longer due. Ranking is done outside of
the transaction that writes; what changed in between is left for the next pass. A lease keeps two
from ranking the same, and no more than that hangs on it.

Papers are new to a subscriber that came in since their last completed day was planned: days on
which they paused, or want none, or none could leave, cost them no paper (see due.new_after).

Nobody gets two digests in a row: of several days on which nothing ran, only the last is planned,
and what is late makes way, or is kept at a distance (see rests).
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import batched

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from digest import coverage
from digest.choosing import rank
from digest.due import Due, due_of, last_completed, new_after, save_moments, since_last, still_due
from digest.indexing import model_store
from digest.indexing.candidates import days_back, for_digests, forget_longer, note_arrivals
from digest.leases import Lease
from digest.models import NOTHING_TO_SAY, Digest, Paper, Pick
from digest.spacing import close_older, rested, still_rested
from subscriptions import schedule
from subscriptions.models import Letter, LetterEvent, Subscriber
from subscriptions.post import sending

logger = logging.getLogger(__name__)

SHARD = 2_000  # So many readers are ranked at once,
WRITTEN = 500  # and so many written down: all who write wait for each other on SQLite.
#: Longer than a shard takes; so long a planner that died is in the way.
LEASE = timedelta(minutes=2)

State = Letter.State


@dataclass
class Plan:
    """What a pass of planning wrote down."""

    letters: int = 0
    quiet: int = 0
    missed: int = 0

    def __add__(self, other):
        return Plan(
            self.letters + other.letters, self.quiet + other.quiet, self.missed + other.missed
        )


def plan(now) -> Plan:
    """Write down the digests of all who are due. Return what was written.

    Nothing is, where another is at it: what it leaves is for the next pass. Nor while sending is
    stopped: where a backup was restored, what looks as if it waited may have left.
    """
    lease = Lease("planning", LEASE)
    if not Subscriber.objects.due(now).exists() or sending.is_stopped():
        return Plan()
    if not lease.take():
        logger.info("another is planning")
        return Plan()
    try:
        return _plan(lease, now)
    finally:
        lease.give_back()


def _plan(lease, now):
    total = Plan()
    close_older(now)
    note_arrivals(schedule.local_day(now, UTC), now)
    for shard in shards(now):
        if not lease.renew():
            logger.warning("the lease of planning ran out; another has taken over")
            break
        dues = propose(rested(shard, now), now)
        for some in batched(dues, WRITTEN):
            total += _write_down(some, coverage.receipt_to_keep(now), now)
    forget_longer()
    return total


def shards(now) -> Iterator[list[Subscriber]]:
    """Yield those who are due, in the order of their rows, SHARD at a time.

    While the day's papers are still to come, all but the first digests wait for them, HARVEST_GRACE
    at most.
    """
    due, after = Subscriber.objects.due(now).order_by("pk"), 0
    if coverage.is_awaited(now):
        had = Exists(Digest.objects.filter(subscriber=OuterRef("pk")))
        due = due.filter(Q(next_due_at__lte=now - settings.HARVEST_GRACE) | ~had)
    while shard := list(due.filter(pk__gt=after)[:SHARD]):
        yield shard
        after = shard[-1].pk


def propose(subscribers: list[Subscriber], now, *, may_store=True) -> list[Due]:
    """Rank for these subscribers. Return what is due to each. Writes no digest.

    Asks a constant number of queries for each length of time, however many they are.
    """
    dues = [due_of(subscriber, now) for subscriber in subscribers]
    wanted = [due for due in dues if due.day is not None]
    if not wanted:
        return dues
    lasts = last_completed([due.subscriber for due in wanted], max(due.day for due in wanted))
    model = model_store.current(now, may_store=may_store)
    today = schedule.local_day(now, UTC)
    together = defaultdict(list)
    for due, last in zip(wanted, lasts, strict=True):
        last_day, planned_at = last or (None, None)
        due.since = since_last(due.subscriber, last_day, due.day)
        new = new_after(due.subscriber, planned_at, now)
        together[days_back(today, new)].append((due, new))
    for days, some in sorted(together.items()):
        window = for_digests(model, today, days)
        ranked = rank([due.subscriber for due, _ in some], window, [new for _, new in some])
        for (due, _), (papers, considered) in zip(some, ranked, strict=True):
            due.papers, due.considered = papers, considered
    return dues


def digest_of(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Pick]]:
    """Return the subscriber's digest of this day with its picks: as planned, or else a preview."""
    digest = Digest.objects.filter(subscriber=subscriber, day=day).select_related("letter").first()
    if digest is None:
        return preview(subscriber, day, now)
    return digest, list(digest.picks.whole())


def preview(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Pick]]:
    """Return the digest that she would get on this day, with its picks. Writes nothing."""
    until, new, last_day = new_to(subscriber, day, now)
    window = for_digests(model_store.current(now, may_store=False), until, days_back(until, new))
    ((planned, considered),) = rank([subscriber], window, [new])
    forget_longer()
    since = since_last(subscriber, last_day, day)
    digest = Digest(subscriber=subscriber, day=day, considered=considered, since=since)
    picks = list(_leaders(planned, digest))
    papers = Paper.objects.in_bulk(
        [paper for one in planned for paper in (one.paper, *one.relatives)]
    )
    for pick, one in zip(picks, planned, strict=True):
        pick.paper = papers[pick.paper_id]
        pick.would_fold = [papers[paper] for paper in one.relatives]
    return digest, picks


def new_to(subscriber: Subscriber, day: date, now) -> tuple[date, datetime | None, date | None]:
    """Return which papers are new to the subscriber on their local `day`: until which day of UTC
    they are dated, and after when they came in (see due.new_after); and their last completed day.
    """
    (last,) = last_completed([subscriber], day)
    last_day, planned_at = last or (None, None)
    is_today = day == schedule.local_day(now, subscriber.zone)
    until = schedule.local_day(now, UTC) if is_today else day
    return until, new_after(subscriber, planned_at, now), last_day


def _write_down(dues, receipt, now):
    """Write letters, digests and picks of some of those who are due in one transaction."""
    with transaction.atomic():
        dues = still_rested(still_due(dues), now)
        days = _unwritten(dues)
        told = Digest.objects.told().filter(subscriber__in=[due.subscriber for due, _ in days])
        told = set(told.values_list("subscriber_id", flat=True))  # The first digest says welcome.
        letters = [_letter(due, day, due.subscriber.pk not in told, now) for due, day in days]
        Letter.objects.bulk_create(letters)
        LetterEvent.objects.bulk_create(
            LetterEvent(letter=letter, at=now, became=letter.state, attempt=0, note=letter.reason)
            for letter in letters
        )
        digests = Digest.objects.bulk_create(
            _digest(due, day, letter, receipt)
            for (due, day), letter in zip(days, letters, strict=True)
        )
        with_days = zip(days, digests, strict=True)
        write_picks([(digest, due.papers) for (due, day), digest in with_days if day == due.day])
        for due in dues:  # At her hour, on the day after the last that was looked at.
            last = due.day or due.missed[-1]
            due.subscriber.is_due_from(last + timedelta(days=1))
        save_moments(dues)
    states = [letter.state for letter in letters]
    return Plan(
        letters=states.count(State.PLANNED),
        quiet=states.count(State.SKIPPED),
        missed=states.count(State.MISSED),
    )


def _unwritten(dues):
    """Return the days of each that are due or were missed, but for those with a digest."""
    days = [(due, day) for due in dues for day in [*due.missed, due.day] if day is not None]
    had = Digest.objects.filter(
        subscriber__in=[due.subscriber for due in dues], day__in={day for _, day in days}
    )
    taken = set(had.values_list("subscriber_id", "day"))
    return [(due, day) for due, day in days if (due.subscriber.pk, day) not in taken]


def _letter(due, day, is_first, now):
    closes_at = schedule.closes(day, due.subscriber.zone)
    letter = Letter(
        subscriber=due.subscriber,
        kind=Letter.Kind.DIGEST,
        day=day,
        created_at=now,
        closes_at=closes_at,
        next_try_at=now,
    )
    if day != due.day:
        letter.state, letter.reason, letter.ended_at = State.MISSED, "its day ended first", now
    elif not due.papers and is_first:
        letter.kind = Letter.Kind.WELCOME
    elif not due.papers and not due.subscriber.wants_quiet_days:
        letter.state, letter.reason, letter.ended_at = State.SKIPPED, NOTHING_TO_SAY, now
    return letter


def _digest(due, day, letter, receipt):
    digest = Digest(subscriber=due.subscriber, day=day, letter=letter)
    if day == due.day:
        digest.considered, digest.since = due.considered, due.since
        digest.receipt = receipt
    return digest


def write_picks(planned):
    """Write down the picks of digests, and then those that are folded into them."""
    leaders = Pick.objects.bulk_create(
        [pick for digest, papers in planned for pick in _leaders(papers, digest)]
    )
    everything = [one for _, papers in planned for one in papers]
    Pick.objects.bulk_create(
        [
            Pick(
                digest=leader.digest,
                subscriber=leader.subscriber,
                paper_id=paper,
                leader=leader,
                score=leader.score,
                basis=leader.basis,
                topic_name=leader.topic_name,
                group=leader.group,
            )
            for leader, one in zip(leaders, everything, strict=True)
            for paper in one.relatives
        ]
    )


def _leaders(planned, digest):
    """Yield the picks of a digest, as rows to be stored or shown."""
    for position, one in enumerate(planned, start=1):
        yield Pick(
            digest=digest,
            subscriber=digest.subscriber,
            paper_id=one.paper,
            position=position,
            score=one.choice.score,
            basis=Pick.Basis.SECOND if one.is_second else one.choice.basis,
            topic_name=one.choice.topic,
            group=one.group,
            terms=list(one.choice.terms),
        )
