"""Who is due, and what goes into whose digest, written down in bulk, each with its letter.

May be run at any time by anyone, and by two at once: a day that is written down is never written
again (UNIQUE(subscriber, day)), and who was planned is no longer due. Ranking is done outside of
the transaction that writes; what changed in between is left for the next pass.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from digest import coverage
from digest.editions import Issue, issue_of
from digest.models import Digest, Paper, Pick
from digest.ranking.choice import Choice, Interest, Profile, choose
from digest.sources.taxonomy import merged
from subscriptions import schedule
from subscriptions.models import Letter, LetterEvent, Subscriber, TopicPreference

logger = logging.getLogger(__name__)

SHARD = 500
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


@dataclass
class Due:
    """One subscriber whose moment has come: the day that is planned, if any, and those missed."""

    subscriber: Subscriber
    day: date | None
    missed: list[date]
    choices: list[Choice] = field(default_factory=list)
    considered: int = 0


def plan(now) -> Plan:
    """Write down the digests of all who are due. Return what was written."""
    total = Plan()
    for shard in shards(now):
        issue, dues = propose(shard, now)
        total += _write_down(issue, dues, coverage.receipt(now), now)
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


def propose(subscribers: list[Subscriber], now, *, may_store=True) -> tuple[Issue, list[Due]]:
    """Rank for these subscribers. Return the issue and what is due to each. Writes no digest.

    Asks a constant number of queries, however many they are.
    """
    issue = issue_of(schedule.local_day(now, UTC), now, may_store=may_store)
    dues = [_due(subscriber, now) for subscriber in subscribers]
    wanted = [due for due in dues if due.day is not None]
    ranked = _rank([due.subscriber for due in wanted], issue)
    for due, (choices, considered) in zip(wanted, ranked, strict=True):
        due.choices, due.considered = choices, considered
    return issue, dues


def preview(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Pick]]:
    """Return the digest that she would get on this day, with its picks. Writes nothing."""
    issue = issue_of(day, now, may_store=False)
    ((choices, considered),) = _rank([subscriber], issue)
    digest = Digest(subscriber=subscriber, day=day, considered=considered)
    picks = list(_picks(issue, choices, digest))
    papers = Paper.objects.in_bulk([pick.paper_id for pick in picks])
    for pick in picks:
        pick.paper = papers[pick.paper_id]
    return digest, picks


def _rank(subscribers, issue):
    """Return, for each subscriber, her choices and how many papers were new to her."""
    seen = _seen([subscriber.pk for subscriber in subscribers], issue)
    hidden = [seen[subscriber.pk] for subscriber in subscribers]
    chosen = choose(issue.model, issue.edition, profiles_of(subscribers), hidden)
    return [
        (choices, len(issue.ids) - len(places))
        for choices, places in zip(chosen, hidden, strict=True)
    ]


def profiles_of(subscribers: list[Subscriber]) -> list[Profile]:
    """Return what the ranking knows of each. One query, however many they are."""
    preferences = TopicPreference.objects.filter(subscriber__in=subscribers)
    follows, mutes = defaultdict(list), defaultdict(list)
    for preference in preferences.select_related("topic").order_by("pk"):
        topic = preference.topic
        chosen = mutes if preference.stance == TopicPreference.Stance.MUTE else follows
        interest = Interest(
            topic.name, topic.query, preference.weight, tuple(merged(topic.categories))
        )
        chosen[preference.subscriber_id].append(interest)
    return [Profile(tuple(follows[one.pk]), tuple(mutes[one.pk]), one.size) for one in subscribers]


def _due(subscriber, now):
    """Return which local day is planned now, and which ended before anyone could.

    The day of confirming is due at once. Of several days whose hour has passed while nothing ran,
    only the last is planned, so that nobody gets two letters in a row.
    """
    zone = subscriber.zone
    day = schedule.local_day(subscriber.next_due_at, zone)
    days = [day]
    while (following := schedule.first_due(days[-1] + timedelta(days=1), subscriber.hour, zone))[
        1
    ] <= now:
        days.append(following[0])
    *missed, last = days
    if schedule.closes(last, zone) <= now:
        return Due(subscriber, None, days)
    return Due(subscriber, last, missed)


def _seen(subscriber_ids, issue):
    """Return, for each subscriber, where the papers stand that she has had."""
    seen = defaultdict(set)
    first = issue.day - timedelta(days=settings.NEW_DAYS)
    picks = Pick.objects.filter(subscriber__in=subscriber_ids, paper__day__gte=first)
    for subscriber_id, paper_id in picks.values_list("subscriber_id", "paper_id"):
        if paper_id in issue.places:
            seen[subscriber_id].add(issue.places[paper_id])
    return seen


def _write_down(issue, dues, receipt, now):
    """Write letters, digests and picks of one shard in one transaction."""
    with transaction.atomic():
        dues = _still_due(dues)
        days = [(due, day) for due in dues for day in [*due.missed, due.day] if day is not None]
        taken = set(
            Digest.objects.filter(
                subscriber__in=[due.subscriber for due in dues],
                day__in={day for _, day in days},
            ).values_list("subscriber_id", "day")
        )
        days = [(due, day) for due, day in days if (due.subscriber.pk, day) not in taken]
        firsts = _without_letters([due.subscriber for due, _ in days])
        letters = [_letter(due, day, due.subscriber.pk in firsts, now) for due, day in days]
        Letter.objects.bulk_create(letters)
        LetterEvent.objects.bulk_create(_event(letter, now) for letter in letters)
        digests = Digest.objects.bulk_create(
            Digest(
                subscriber=due.subscriber,
                day=day,
                letter=letter,
                considered=due.considered if day == due.day else 0,
                receipt=receipt.as_json() if receipt and day == due.day else {},
            )
            for (due, day), letter in zip(days, letters, strict=True)
        )
        Pick.objects.bulk_create(
            pick
            for (due, day), digest in zip(days, digests, strict=True)
            if day == due.day
            for pick in _picks(issue, due.choices, digest)
        )
        _advance(dues)
    states = [letter.state for letter in letters]
    return Plan(
        letters=states.count(State.PLANNED),
        quiet=states.count(State.SKIPPED),
        missed=states.count(State.MISSED),
    )


def _still_due(dues):
    """Return those who are as they were when they were ranked, their rows locked."""
    rows = Subscriber.objects.select_for_update().wanting()
    rows = rows.filter(pk__in=[due.subscriber.pk for due in dues]).order_by("pk")
    moments = dict(rows.values_list("pk", "next_due_at"))
    return [due for due in dues if moments.get(due.subscriber.pk) == due.subscriber.next_due_at]


def _without_letters(subscribers):
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
    elif not due.choices and is_first:
        letter.kind = Letter.Kind.WELCOME
    elif not due.choices:
        letter.state, letter.reason, letter.ended_at = State.SKIPPED, "nothing to say", now
    return letter


def _event(letter, now):
    return LetterEvent(letter=letter, at=now, became=letter.state, attempt=0, note=letter.reason)


def _picks(issue, choices, digest):
    """Yield the picks of a digest, as rows to be stored or shown."""
    for position, choice in enumerate(choices, start=1):
        yield Pick(
            digest=digest,
            subscriber=digest.subscriber,
            paper_id=issue.ids[choice.paper],
            position=position,
            score=choice.score,
            basis=choice.basis,
            topic_name=choice.topic,
            terms=list(choice.terms),
        )


def _advance(dues):
    """Set when each is due next: at her hour, on the day after the last that was looked at."""
    subscribers = []
    for due in dues:
        last = due.day or due.missed[-1]
        due.subscriber.is_due_from(last + timedelta(days=1))
        subscribers.append(due.subscriber)
    Subscriber.objects.bulk_update(subscribers, ["next_due_at"], batch_size=200)
