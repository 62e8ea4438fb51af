"""Keep two digests of a subscriber apart, also after delays and changes of settings.

A digest that was not sent before the next one is due is cancelled, and its papers are ranked anew.
After one that was sent late, the next is delayed until they are schedule.MIN_GAP apart.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, timedelta
from itertools import chain

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
    nearby_letters = _letters_nearby(dues, now)
    cancelled_ids = _supersede(list(chain(*nearby_letters.values())), now)
    ready_dues, delayed = [], {}
    for due in dues:
        subscriber = due.subscriber
        letters = nearby_letters.get(subscriber.pk, ())
        letters = [letter for letter in letters if letter.pk not in cancelled_ids]
        if any(letter.state in Letter.UNSENT for letter in letters):
            continue
        gap_ends = (gap_ends_at(letter, subscriber) for letter in letters)
        gap_end = max(filter(None, gap_ends), default=now)
        if gap_end <= now:
            ready_dues.append(due)
        else:
            delayed[subscriber] = gap_end
    if delayed:
        with transaction.atomic():
            unchanged = lock_unchanged(delayed)
            for subscriber, gap_end in delayed.items():
                subscriber.schedule_at(gap_end)
            moments = {subscriber.pk: subscriber.next_due_at for subscriber in delayed}
            set_next_due({pk: moments[pk] for pk in unchanged})
    return ready_dues


def expire_old(now) -> None:
    """End unsent digests of days before the recent ones, as after a week without sending."""
    unsent = Letter.objects.open().filter(day__lte=now.date() - RECENT, state__in=Letter.UNSENT)
    last_pk = 0
    while letters := list(unsent.filter(pk__gt=last_pk).order_by("pk")[:CHUNK]):
        last_pk = letters[-1].pk
        _supersede(letters, now, "its day ended first")


def _letters_nearby(dues, now) -> dict[int, list[Letter]]:
    """Return the digests that may be too near to those that are due, by subscriber id.

    For example yesterday's digest, which is not sent yet or was sent an hour ago. Leaves out
    subscribers whose due day another planner has written meanwhile.
    """
    days = {due.subscriber.pk: due.day for due in dues if due.day is not None}
    # By the index on subscriber and day, so that the cost doesn't grow with a history.
    may_be_recent = Q(state__in=Letter.UNSENT) | Q(left_at__gt=now - schedule.MIN_GAP)
    candidates = Letter.objects.filter(among("subscriber", days), day__gt=now.date() - RECENT)
    letters_by_id = defaultdict(list)
    for letter in candidates.filter(may_be_recent | Q(day__in={*days.values()})).order_by():
        letters_by_id[letter.subscriber_id].append(letter)
    return {
        pk: letters
        for pk, letters in letters_by_id.items()
        if days[pk] not in [letter.day for letter in letters]
    }


def gap_ends_at(letter: Letter, subscriber):
    """Return when the next digest may be sent, or None if this letter surely never left."""
    was_never_sent = letter.state in (State.SKIPPED, State.MISSED) and not letter.repeats
    if was_never_sent or letter.left_at is None:
        return None
    return letter.left_at + subscriber.min_gap_after(letter)


def _supersede(letters, now, reason="the next day's was due") -> set[int]:
    """Cancel unsent digests and release their papers. Return the ids of the cancelled digests.

    Letters that a worker holds stay, and so do resent ones, which may have arrived.
    """
    unsent_letters = (letter for letter in letters if letter.state in Letter.UNSENT)
    unsent_ids = [letter.pk for letter in unsent_letters if not letter.repeats]
    if not unsent_ids:
        return set()
    with transaction.atomic():
        rows = Letter.objects.select_for_update(skip_locked=True).filter(pk__in=unsent_ids)
        locked_letters, cancelled = list(rows.order_by("pk")), []
        for state in Letter.UNSENT:
            batch = [letter for letter in locked_letters if letter.state == state]
            cancelled += transitions.end(batch, State.MISSED, reason, now)
    return {letter.pk for letter in cancelled}


def lock_days(dues: Collection[DueSubscriber], now) -> list[tuple[DueSubscriber, list[date]]]:
    """Lock the subscribers that may be planned. Return each with the days without a digest.

    Leaves out subscribers who have changed since they were read, and those whose digest of another
    day may be sent, or has been sent, meanwhile. The next pass plans them.
    """
    unchanged_ids = lock_unchanged([due.subscriber for due in dues])
    dues_by_id = {due.subscriber.pk: due for due in dues if due.subscriber.pk in unchanged_ids}
    days = {day for due in dues_by_id.values() for day in due.days}
    may_be_sent = Q(state__in=Letter.OPEN, closes_at__gt=now) | Q(left_at__gte=now)
    # In a statement of its own, which sees what was committed before the rows were locked.
    start = min({*days, now.date() - RECENT})
    letters = Letter.objects.filter(among("subscriber", unchanged_ids), day__gte=start).order_by()
    planned_days, waiting_ids = set(), set()
    rows = letters.filter(may_be_sent | Q(day__in=days)).annotate(is_on_its_way=may_be_sent)
    for pk, day, is_on_its_way in rows.values_list("subscriber_id", "day", "is_on_its_way"):
        planned_days.add((pk, day))
        if is_on_its_way and dues_by_id[pk].day not in (day, None):
            waiting_ids.add(pk)
    return [
        (due, [day for day in due.days if (pk, day) not in planned_days])
        for pk, due in dues_by_id.items()
        if pk not in waiting_ids
    ]
