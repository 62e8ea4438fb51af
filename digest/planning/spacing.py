"""Keep two digests of a subscriber apart, also after delays and changes of settings.

A digest that was not sent before the next one is due is cancelled, and its papers are ranked anew.
After one that was sent late, the next is delayed until they are schedule.MIN_GAP apart.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, timedelta

from django.db import transaction
from django.db.models import Q

from digest.models.bulk_insert import among
from digest.planning.due import DueSubscriber, lock_unchanged, set_next_due
from subscriptions import schedule
from subscriptions.delivery import transitions
from subscriptions.models import Letter

RECENT = timedelta(days=3)  # No older digest is still being sent.
CHUNK = 500

State = Letter.State


def due_after_gap(dues: list[DueSubscriber], now) -> list[DueSubscriber]:
    """Return the dues whose previous digest was sent long enough ago.

    Others are delayed, or left to the next pass while the previous digest may still be sent.
    """
    recent = _recent_letters(dues, now)
    cancelled = _supersede([letter for letters in recent.values() for letter in letters], now)
    ready, delayed = [], {}
    for due in dues:
        subscriber = due.subscriber
        letters = [letter for letter in recent.get(subscriber.pk, ()) if letter.pk not in cancelled]
        if any(letter.state in Letter.UNSENT for letter in letters):
            continue
        ends = (gap_ends_at(letter, subscriber) for letter in letters)
        gap_end = max(filter(None, ends), default=now)
        if gap_end <= now:
            ready.append(due)
        else:
            delayed[subscriber] = gap_end
    if delayed:
        with transaction.atomic():
            unchanged = lock_unchanged(delayed)
            for subscriber, gap_end in delayed.items():
                subscriber.schedule_at(gap_end)
            moments = {subscriber.pk: subscriber.next_due_at for subscriber in delayed}
            set_next_due({pk: moments[pk] for pk in unchanged})
    return ready


def expire_old(now) -> None:
    """End unsent digests of days before the recent ones, as after a week without sending."""
    older = Letter.objects.open().filter(day__lte=now.date() - RECENT, state__in=Letter.UNSENT)
    last_pk = 0
    while letters := list(older.filter(pk__gt=last_pk).order_by("pk")[:CHUNK]):
        last_pk = letters[-1].pk
        _supersede(letters, now, "its day ended first")


def _recent_letters(dues, now):
    """Return the digests that may be too near to those that are due, by subscriber id.

    Without subscribers whose day another planner has written meanwhile: theirs are not cancelled.
    """
    days = {due.subscriber.pk: due.day for due in dues if due.day is not None}
    # By the index on subscriber and day, so that the cost doesn't grow with a history.
    is_near = Q(state__in=Letter.UNSENT) | Q(left_at__gt=now - schedule.MIN_GAP)
    recent = Letter.objects.filter(among("subscriber", days), day__gt=now.date() - RECENT)
    letters = defaultdict(list)
    for letter in recent.filter(is_near | Q(day__in={*days.values()})).order_by():
        letters[letter.subscriber_id].append(letter)
    planned_ids = {pk for pk in letters if days[pk] in [letter.day for letter in letters[pk]]}
    return {pk: letters[pk] for pk in letters if pk not in planned_ids}


def gap_ends_at(letter: Letter, subscriber):
    """Return when the next digest may be sent after this one, or None if it surely never left."""
    surely_not = letter.state in (State.SKIPPED, State.MISSED) and not letter.repeats
    if surely_not or letter.left_at is None:
        return None
    return letter.left_at + subscriber.min_gap_after(letter)


def _supersede(letters, now, reason="the next day's was due") -> set[int]:
    """Cancel unsent digests and release their papers. Return the ids of those cancelled.

    Letters that a worker holds stay, and so do resent ones, which may have arrived.
    """
    unsent = (letter for letter in letters if letter.state in Letter.UNSENT)
    unsent_ids = [letter.pk for letter in unsent if not letter.repeats]
    if not unsent_ids:
        return set()
    with transaction.atomic():
        unlocked = Letter.objects.select_for_update(skip_locked=True).filter(pk__in=unsent_ids)
        unlocked, cancelled = list(unlocked.order_by("pk")), []
        for state in Letter.UNSENT:
            batch = [letter for letter in unlocked if letter.state == state]
            cancelled += transitions.end(batch, State.MISSED, reason, now)
    return {letter.pk for letter in cancelled}


def lock_days(dues: Collection[DueSubscriber], now) -> list[tuple[DueSubscriber, list[date]]]:
    """Lock the subscribers that may be planned, and return the days that each still lacks.

    Left to the next pass are subscribers who have changed since they were read, and those whose
    digest of another day may be sent, or has been sent, meanwhile.
    """
    unchanged = lock_unchanged([due.subscriber for due in dues])
    dues = {due.subscriber.pk: due for due in dues if due.subscriber.pk in unchanged}
    days = {day for due in dues.values() for day in due.days}
    may_leave = Q(state__in=Letter.OPEN, closes_at__gt=now) | Q(left_at__gte=now)
    # In a statement of its own, which sees what was committed before the rows were locked.
    first = min({*days, now.date() - RECENT})
    letters = Letter.objects.filter(among("subscriber", unchanged), day__gte=first).order_by()
    planned_days, waiting_ids = set(), set()
    rows = letters.filter(may_leave | Q(day__in=days)).annotate(is_on_its_way=may_leave)
    for pk, day, is_on_its_way in rows.values_list("subscriber_id", "day", "is_on_its_way"):
        planned_days.add((pk, day))
        if is_on_its_way and dues[pk].day not in (day, None):
            waiting_ids.add(pk)
    return [
        (due, [day for day in due.days if (pk, day) not in planned_days])
        for pk, due in dues.items()
        if pk not in waiting_ids
    ]
