"""What a reader changes of what she reads and when: topics, settings, a pause.

Each takes its moment as an argument, and may be called twice: the second time changes nothing.
"""

from django.db import transaction

from subscriptions import rhythm, schedule
from subscriptions.models import Letter, Subscriber
from subscriptions.post import office
from subscriptions.wishes import Wishes, set_preferences

Kind = Letter.Kind


def change(subscriber: Subscriber, wishes: Wishes | None, settings: dict, *, now) -> None:
    """Replace what she reads, where wishes are given; set the given settings.

    These are timezone, hour, weekdays, size, language, wants_quiet_days, wants_near and
    paused_until, by the names of Subscriber's fields.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        before = _clock(subscriber)
        for name, value in settings.items():
            setattr(subscriber, name, value)
        if _clock(subscriber) != before:
            rhythm.reschedule(subscriber, now)
        subscriber.save()
        if wishes is not None:
            set_preferences(subscriber, wishes)
        if subscriber.state_at(now) == "paused":
            office.cancel(subscriber, "paused", now, kinds=[Kind.DIGEST, Kind.WELCOME])


def pause(subscriber: Subscriber, until, *, now) -> bool:
    """Let no digest come before this local day of hers. Return whether that changes anything: it
    doesn't for one who gets none, nor on a day that has come.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        is_past = until <= schedule.local_day(now, subscriber.zone)
        if is_past or subscriber.state_at(now) not in ("active", "paused"):
            return False
        change(subscriber, None, {"paused_until": until}, now=now)
        return True


def resume(subscriber: Subscriber, *, now) -> bool:
    """End a pause: the next digest comes at her hour. Return whether there was one."""
    with transaction.atomic():
        subscriber = subscriber.locked()
        if subscriber.paused_until is None:
            return False
        subscriber.paused_until = None
        rhythm.reschedule(subscriber, now)
        subscriber.save()
        return True


def _clock(subscriber):
    """Return what her next digest's moment is computed from."""
    return subscriber.timezone, subscriber.hour, subscriber.weekdays, subscriber.paused_until
