"""Who is due, and what goes into whose digest, written down in bulk, each with its letter.

May be run at any time by anyone, and by two at once: a day that is written down is never written
again (UNIQUE(subscriber, day)), and who was planned is no longer due. Ranking is done outside of
the transaction that writes; what changed in between is left for the next pass. A lease keeps two
from ranking the same, and no more than that hangs on it.

Papers are new to who has had no digest for a while also where they are older than a week: days on
which she paused, or wants none, or none could leave, cost her no paper (see editions.days_back).

Nobody gets two digests in a row. Of several days on which nothing ran, only the last is planned.
One that has not left when the next is due makes way for it, and its papers are ranked anew; after
one that left late, the next is put off until they are APART.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, timedelta
from itertools import batched

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from digest import coverage
from digest.editions import Issue, days_back, forget_longer, issue_of, second_chances
from digest.models import NOTHING_TO_SAY, Digest, LibraryPaper, Paper, Pick
from digest.profiles import profiles_of
from digest.ranking.choice import Choice, choose
from digest.ranking.profile import Profile
from digest.ranking.tuning import Tuning
from digest.turns import Lease
from subscriptions import schedule
from subscriptions.models import Letter, LetterEvent, Subscriber
from subscriptions.post import ledger

logger = logging.getLogger(__name__)

#: Her first digest, due when she confirms, is planned within this time.
FIRST_WITHIN = timedelta(hours=1)

SHARD = 2_000  # So many readers are ranked at once,
WRITTEN = 500  # and so many written down: all who write wait for each other on SQLite.
#: Longer than a shard takes; so long a planner that died is in the way.
LEASE = timedelta(minutes=2)
RECENT = timedelta(days=3)  # Older digests are no longer on their way to anybody.
SECOND_EVERY = 7  # Days: a second chance comes at most so often.
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


@dataclass(frozen=True)
class Planned:
    """A paper that goes into a digest, and those on the same idea that are folded into it."""

    paper: str
    choice: Choice
    relatives: tuple[str, ...] = ()
    is_second: bool = False


@dataclass
class Due:
    """One subscriber whose moment has come: the day that is planned, if any, and those missed.

    `since` is the day of her last digest, where days of hers lie between.
    """

    subscriber: Subscriber
    day: date | None
    missed: list[date]
    papers: list[Planned] = field(default_factory=list)
    considered: int = 0
    since: date | None = None


def plan(now) -> Plan:
    """Write down the digests of all who are due. Return what was written.

    Nothing is, where another is at it: what it leaves is for the next pass.
    """
    lease = Lease("planning", LEASE)
    if not Subscriber.objects.due(now).exists():
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
    for shard in shards(now):
        if not lease.renew():
            logger.warning("the lease of planning ran out; another has taken over")
            break
        dues = propose(_rested(shard, now), now)
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
    dues = [_due(subscriber, now) for subscriber in subscribers]
    wanted = [due for due in dues if due.day is not None]
    if not wanted:
        return dues
    lasts = _last_days([due.subscriber for due in wanted], max(due.day for due in wanted))
    together = defaultdict(list)
    for due, last in zip(wanted, lasts, strict=True):
        due.since = _since(due.subscriber, last, due.day)
        together[days_back(due.day, last)].append(due)
    today = schedule.local_day(now, UTC)
    for days in sorted(together):
        issue = issue_of(today, now, days=days, may_store=may_store)
        ranked = _rank([due.subscriber for due in together[days]], issue)
        for due, (papers, considered) in zip(together[days], ranked, strict=True):
            due.papers, due.considered = papers, considered
    return dues


def ranked_for(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Planned]]:
    """Return the digest that she would get on this day, and what goes into it. Writes nothing.

    The papers are kept for the next reader: who has ranked for the last one forgets the longer.
    """
    until, days = new_to(subscriber, day, now)
    issue = issue_of(until, now, days=days, may_store=False)
    ((planned, considered),) = _rank([subscriber], issue)
    since = _since(subscriber, *_last_days([subscriber], day), day)
    return Digest(subscriber=subscriber, day=day, considered=considered, since=since), planned


def preview(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Pick]]:
    """Return the digest that she would get on this day, with its picks. Writes nothing."""
    digest, planned = ranked_for(subscriber, day, now)
    forget_longer()
    picks = list(_leaders(planned, digest))
    papers = Paper.objects.in_bulk(
        [paper for one in planned for paper in (one.paper, *one.relatives)]
    )
    for pick, one in zip(picks, planned, strict=True):
        pick.paper = papers[pick.paper_id]
        pick.would_fold = [papers[paper] for paper in one.relatives]
    return digest, picks


def new_to(subscriber: Subscriber, day: date, now) -> tuple[date, int]:
    """Return which papers are new to her on her local `day`: on which day, and of how many days.

    Today it is the day of UTC.
    """
    (last,) = _last_days([subscriber], day)
    is_today = day == schedule.local_day(now, subscriber.zone)
    return schedule.local_day(now, UTC) if is_today else day, days_back(day, last)


def planned_for(subscriber: Subscriber, issue: Issue) -> list[Planned]:
    """Return the papers that she would get of this issue."""
    ((planned, _),) = _rank([subscriber], issue)
    return planned


def _rank(subscribers, issue):
    """Return, for each subscriber, her papers and how many were new to her."""
    profiles = profiles_of(subscribers)
    hidden = seen_by(subscribers, issue)
    tuning = Tuning.of(settings.RANKING)
    chosen = choose(issue.model, issue.edition, profiles, hidden, tuning)
    planned = [[_planned(choice, issue) for choice in choices] for choices in chosen]
    seconds = _second_chances(subscribers, profiles, issue, tuning)
    return [
        ([*papers[: profile.size - len(second)], *second], len(issue.ids) - len(places))
        for papers, second, profile, places in zip(planned, seconds, profiles, hidden, strict=True)
    ]


def _planned(choice, issue, *, is_second=False):
    relatives = tuple(issue.ids[place] for place in choice.relatives)
    return Planned(issue.ids[choice.paper], choice, relatives, is_second)


def _second_chances(subscribers, profiles: list[Profile], issue, tuning) -> list[list[Planned]]:
    """Return, for each subscriber, the paper that took off since it was new, or none.

    One of those that she would have got now, and has never had; and none so soon after another.
    """
    second = second_chances(issue)
    if not second.ids:
        return [[] for _ in subscribers]
    since = issue.day - timedelta(days=SECOND_EVERY)
    recent = Pick.objects.filter(
        subscriber__in=subscribers, basis=Pick.Basis.SECOND, digest__day__gt=since
    )
    had_one = set(recent.values_list("subscriber_id", flat=True))
    still_new = second.places_of(issue.ids)
    hidden = [had | still_new for had in _seen(subscribers, second, pk__in=second.ids)]
    chosen = choose(
        second.model, second.edition, [replace(one, size=1) for one in profiles], hidden, tuning
    )
    return [
        []
        if one.pk in had_one
        else [_planned(choice, second, is_second=True) for choice in choices]
        for one, choices in zip(subscribers, chosen, strict=True)
    ]


def _due(subscriber, now):
    """Return which local day is planned now, and which ended before anyone could.

    The day of confirming is due at once. Of several days whose hour has passed while nothing ran,
    only the last is planned, so that nobody gets two letters in a row.
    """
    zone = subscriber.zone
    days = [schedule.local_day(subscriber.next_due_at, zone)]
    while (following := _after(days[-1], subscriber))[1] <= now:
        days.append(following[0])
    *missed, last = days
    if schedule.closes(last, zone) <= now:
        return Due(subscriber, None, days)
    return Due(subscriber, last, missed)


def _after(day, subscriber):
    """Return her next day after this one, and its moment."""
    hers = (subscriber.hour, subscriber.zone, subscriber.weekdays)
    return schedule.first_due(day + timedelta(days=1), *hers)


def _last_days(subscribers, before) -> list[date | None]:
    """Return the day of each one's last digest before that day, None where she has had none.

    What was before she confirmed, as where she has left and come back, is of another time.
    """
    had = Digest.objects.ranked().filter(subscriber=OuterRef("pk"), day__lt=before)
    last = Subquery(had.order_by("-day").values("day")[:1])
    found = Subscriber.objects.filter(pk__in=[one.pk for one in subscribers])
    lasts = dict(found.values_list("pk", last))
    return [_in_this_time(one, lasts.get(one.pk)) for one in subscribers]


def _in_this_time(subscriber, last):
    if last is None or subscriber.confirmed_at is None:
        return None
    began = schedule.local_day(subscriber.confirmed_at, subscriber.zone)
    return last if last >= began else None


def _since(subscriber, last, day) -> date | None:
    """Return the day of her last digest, where a day of hers lies between it and this one."""
    if last is None:
        return None
    return last if _after(last, subscriber)[0] < day else None


def _rested(subscribers, now) -> list[Subscriber]:
    """Return those whose last digest is long enough ago.

    The others are put off, or left to the next pass while it is about to leave.
    """
    near = _near(subscribers, now)
    gone = _make_way([letter for letters in near.values() for letter in letters], now)
    rested, put_off = [], []
    for subscriber in subscribers:
        letters = [letter for letter in near.get(subscriber.pk, []) if letter.pk not in gone]
        if any(letter.state in Letter.NOT_LEFT for letter in letters):
            continue
        ends = (end for letter in letters if (end := ends_rest(letter, subscriber)) is not None)
        moment = max(ends, default=now)
        (rested if moment <= now else put_off).append((subscriber, moment))
    _put_off(put_off)
    return [subscriber for subscriber, _ in rested]


def _near(subscribers, now) -> dict[int, list[Letter]]:
    """Return the digests of the last days, of those who are due for a day that they lack.

    What surely did not leave and no longer may is not among them: the sweeper ends it. One that is
    claimed may be passing the fence in this moment. Who has that day was planned by another since
    she was read: nothing of hers is called off.
    """
    days = {one.pk: _due(one, now).day for one in subscribers}
    found = Letter.objects.filter(subscriber__in=subscribers, day__gt=now.date() - RECENT)
    letters = defaultdict(list)
    for letter in found.exclude(state=State.PLANNED, closes_at__lte=now, repeats=0):
        letters[letter.subscriber_id].append(letter)
    return {
        pk: hers
        for pk, hers in letters.items()
        if days[pk] is not None and all(letter.day != days[pk] for letter in hers)
    }


def ends_rest(letter: Letter, subscriber: Subscriber):
    """Return when the next digest isn't too near to this one any more, if this may have arrived."""
    surely_not = letter.state in (State.SKIPPED, State.MISSED) and not letter.repeats
    if surely_not or letter.left_at is None:
        return None
    # The day alone doesn't tell: in the zone to which she has moved, it may be the second's.
    is_first = letter.day == schedule.local_day(subscriber.confirmed_at, subscriber.zone)
    # Nor does having confirmed on it: that may have been a new address, long after her digest.
    is_first = is_first and abs(letter.created_at - subscriber.confirmed_at) <= FIRST_WITHIN
    return letter.left_at + (schedule.APART_AT_FIRST if is_first else schedule.APART)


def _make_way(letters, now) -> set[int]:
    """End those that have not left, their papers given back. Return which were ended.

    What somebody is at in this moment stays, and what goes out again after a silence: it may have
    arrived.
    """
    waiting = [one.pk for one in letters if one.state in Letter.NOT_LEFT and not one.repeats]
    if not waiting:
        return set()
    with transaction.atomic():
        free = Letter.objects.select_for_update(skip_locked=True).filter(pk__in=waiting)
        free, ended = list(free.order_by("pk")), []
        for state in Letter.NOT_LEFT:
            some = [letter for letter in free if letter.state == state]
            ended += ledger.end(some, State.MISSED, "the next day's was due", now)
    return {letter.pk for letter in ended}


def _put_off(put_off):
    """Set when each is due, unless that was changed since."""
    if not put_off:
        return
    moments = {subscriber.pk: moment for subscriber, moment in put_off}
    with transaction.atomic():
        dues = _still_due([Due(subscriber, None, []) for subscriber, _ in put_off])
        for due in dues:
            due.subscriber.is_due_at(moments[due.subscriber.pk])
        _save_moments(dues)


def seen_by(subscribers: list[Subscriber], issue: Issue) -> list[set[int]]:
    """Return, for each subscriber, where the papers stand that must not come again."""
    return _seen(subscribers, issue, day__gte=issue.day - timedelta(days=issue.days))


def _seen(subscribers, issue, **among) -> list[set[int]]:
    """Return, for each subscriber, where the papers stand that she has had or brought along,
    `among` some, or had under other ids, however long ago.
    """
    picks = Pick.objects.filter(subscriber__in=subscribers)
    theirs = picks.filter(**{f"paper__{name}": value for name, value in among.items()})
    # Apart: joined by OR, all picks that they ever had would be read.
    under_others = picks.filter(paper__in=issue.edition.aliases)
    known = LibraryPaper.objects.filter(
        subscriber__in=subscribers, identity__in=Paper.objects.filter(**among).values("pk")
    )
    rows = _pairs(theirs, "paper_id").union(
        _pairs(under_others, "paper_id"), _pairs(known, "identity"), all=True
    )
    had = defaultdict(set)
    for subscriber_id, paper_id in rows.order_by():  # The model's order is none of a union's.
        had[subscriber_id].add(paper_id)
    return [issue.places_of(had[subscriber.pk]) for subscriber in subscribers]


def _pairs(rows, paper):
    return rows.order_by().values_list("subscriber_id", paper)


def _write_down(dues, receipt, now):
    """Write letters, digests and picks of some of those who are due in one transaction."""
    with transaction.atomic():
        dues = _still_rested(_still_due(dues), now)
        days = _unwritten(dues)
        firsts = _without_digests([due.subscriber for due, _ in days])
        letters = [_letter(due, day, due.subscriber.pk in firsts, now) for due, day in days]
        Letter.objects.bulk_create(letters)
        LetterEvent.objects.bulk_create(_event(letter, now) for letter in letters)
        digests = Digest.objects.bulk_create(
            _digest(due, day, letter, receipt)
            for (due, day), letter in zip(days, letters, strict=True)
        )
        with_days = zip(days, digests, strict=True)
        write_picks([(digest, due.papers) for (due, day), digest in with_days if day == due.day])
        _advance(dues)
    states = [letter.state for letter in letters]
    return Plan(
        letters=states.count(State.PLANNED),
        quiet=states.count(State.SKIPPED),
        missed=states.count(State.MISSED),
    )


def _still_due(dues):
    """Return those who are as they were when they were ranked, their rows locked. Those whose rows
    others hold are left to the next pass: whoever waited for one would keep all others waiting.
    """
    rows = Subscriber.objects.select_for_update(skip_locked=True).wanting()
    rows = rows.filter(pk__in=[due.subscriber.pk for due in dues]).order_by("pk")
    moments = dict(rows.values_list("pk", "next_due_at"))
    return [due for due in dues if moments.get(due.subscriber.pk) == due.subscriber.next_due_at]


def _still_rested(dues, now):
    """Return those to whom no other day's digest may leave any more, or has left since they were
    looked at: one that was planned anew meanwhile, or left so long ago that they are rested, and
    may go out again. The next pass sees to theirs.
    """
    days = {due.subscriber.pk: due.day for due in dues}
    near = Letter.objects.filter(subscriber__in=days, day__gt=now.date() - RECENT)
    may_leave = Q(state__in=Letter.OPEN, closes_at__gt=now)
    others = near.filter(may_leave | Q(left_at__gte=now)).values_list("subscriber_id", "day")
    waiting = {pk for pk, day in others if day != days[pk]}
    return [due for due in dues if due.day is None or due.subscriber.pk not in waiting]


def _unwritten(dues):
    """Return the days of each that are due or were missed, but for those with a digest."""
    days = [(due, day) for due in dues for day in [*due.missed, due.day] if day is not None]
    had = Digest.objects.filter(
        subscriber__in=[due.subscriber for due in dues], day__in={day for _, day in days}
    )
    taken = set(had.values_list("subscriber_id", "day"))
    return [(due, day) for due, day in days if (due.subscriber.pk, day) not in taken]


def _without_digests(subscribers):
    """Return the numbers of those who have had no digest yet: theirs says welcome."""
    had = Digest.objects.told().filter(subscriber__in=subscribers)
    had = set(had.values_list("subscriber_id", flat=True))
    return {subscriber.pk for subscriber in subscribers} - had


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


def _event(letter, now):
    return LetterEvent(letter=letter, at=now, became=letter.state, attempt=0, note=letter.reason)


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
            terms=list(one.choice.terms),
        )


def _advance(dues):
    """Set when each is due next: at her hour, on the day after the last that was looked at."""
    for due in dues:
        last = due.day or due.missed[-1]
        due.subscriber.is_due_from(last + timedelta(days=1))
    _save_moments(dues)


def _save_moments(dues):
    subscribers = [due.subscriber for due in dues]
    Subscriber.objects.bulk_update(subscribers, ["next_due_at"], batch_size=200)
