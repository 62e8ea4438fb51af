"""What keeps two digests of a reader apart, whatever came late or was changed.

One that has not left when the next is due makes way for it, and its papers are ranked anew; after
one that left late, the next is put off until they are APART.
"""

from collections import defaultdict
from datetime import timedelta

from django.db import transaction
from django.db.models import Q

from digest.due import Due, due_of, save_moments, still_due
from subscriptions import rhythm
from subscriptions.models import Letter, Subscriber
from subscriptions.post import ledger

RECENT = timedelta(days=3)  # Older digests are no longer on their way to anybody.
CHUNK = 500

State = Letter.State


def rested(subscribers: list[Subscriber], now) -> list[Subscriber]:
    """Return those whose last digest is long enough ago.

    The others are put off, or left to the next pass while it is about to leave.
    """
    near = _near(subscribers, now)
    gone = _make_way([letter for letters in near.values() for letter in letters], now)
    may_have_it, put_off = [], []
    for subscriber in subscribers:
        letters = [letter for letter in near.get(subscriber.pk, []) if letter.pk not in gone]
        if any(letter.state in Letter.NOT_LEFT for letter in letters):
            continue
        ends = (end for letter in letters if (end := ends_rest(letter, subscriber)) is not None)
        moment = max(ends, default=now)
        (may_have_it if moment <= now else put_off).append((subscriber, moment))
    if put_off:
        moments = {subscriber.pk: moment for subscriber, moment in put_off}
        with transaction.atomic():
            dues = still_due([Due(subscriber, None, []) for subscriber, _ in put_off])
            for due in dues:
                due.subscriber.is_due_at(moments[due.subscriber.pk])
            save_moments(dues)
    return [subscriber for subscriber, _ in may_have_it]


def close_older(now) -> None:
    """End what still waits of days before the recent ones, as after a week without sending: its
    papers are for the digests that are planned next.
    """
    older = Letter.objects.open().filter(day__lte=now.date() - RECENT, state__in=Letter.NOT_LEFT)
    seen = 0
    while letters := list(older.filter(pk__gt=seen).order_by("pk")[:CHUNK]):
        seen = letters[-1].pk
        _make_way(letters, now, "its day ended first")


def _near(subscribers, now) -> dict[int, list[Letter]]:
    """Return the digests of the last days, of those who are due for a day that they lack.

    Who has that day was planned by another since she was read: nothing of hers is called off.
    """
    days = {one.pk: due_of(one, now).day for one in subscribers}
    found = Letter.objects.filter(subscriber__in=subscribers, day__gt=now.date() - RECENT)
    letters = defaultdict(list)
    for letter in found:
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
    return letter.left_at + rhythm.apart(letter, subscriber)


def _make_way(letters, now, reason="the next day's was due") -> set[int]:
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
            ended += ledger.end(some, State.MISSED, reason, now)
    return {letter.pk for letter in ended}


def still_rested(dues: list[Due], now) -> list[Due]:
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
