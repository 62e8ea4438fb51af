"""What a subscriber was sent on each of the last days, or why there was no digest."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from django.db.models import Prefetch
from django.utils.formats import date_format

from digest.models import Digest, Pick
from subscriptions import schedule
from subscriptions.delivery import status
from subscriptions.models import Subscriber

DAYS = 14


@dataclass(frozen=True)
class Day:
    """One local day of a subscriber: its digest, if there is one, and a sentence about it."""

    day: date
    text: str
    digest: Digest | None = None
    picks: list[Pick] = field(default_factory=list)


def history_of(subscriber: Subscriber, now) -> list[Day]:
    """Return a subscriber's last days, today first, at most back to the confirmation."""
    today = schedule.local_day(now, subscriber.zone)
    if subscriber.confirmed_at is None:
        return [Day(today, why_stopped(subscriber, today))]
    confirmed_day = schedule.local_day(subscriber.confirmed_at, subscriber.zone)
    first_day = max(confirmed_day, today - timedelta(days=DAYS - 1))
    digests = Digest.objects.filter(subscriber=subscriber, day__gte=first_day)
    picks = Prefetch("picks", queryset=Pick.objects.with_papers(), to_attr="whole_picks")
    digests = digests.select_related("letter__subscriber").prefetch_related(picks)
    digest_days = {
        digest.day: Day(digest.day, status.describe(digest.letter, now), digest, digest.whole_picks)
        for digest in digests
    }
    days = [today - timedelta(days=n) for n in range((today - first_day).days + 1)]
    return [digest_days.get(day) or Day(day, _why_no_digest(subscriber, day, now)) for day in days]


def why_stopped(subscriber: Subscriber, day: date) -> str:
    """Return what stops a subscriber's digests on a local day, or an empty string."""

    def has_happened(moment):
        return moment is not None and schedule.local_day(moment, subscriber.zone) <= day

    if has_happened(subscriber.suppressed_at):
        by_operator = subscriber.suppressed_by == Subscriber.Suppression.OPERATOR
        reason = by_operator and subscriber.suppressed_reason.rstrip(".")
        return f"Blocked: {reason or subscriber.get_suppressed_by_display()}."
    if has_happened(subscriber.unsubscribed_at):
        return "Unsubscribed."
    if subscriber.confirmed_at is None:
        return "Not confirmed yet."
    if subscriber.paused_until and day < subscriber.paused_until:
        return f"Paused until {date_format(subscriber.paused_until)}."
    return ""


def _why_no_digest(subscriber, day, now) -> str:
    """Return why there is no digest of a day, according to the subscriber's row."""
    if text := why_stopped(subscriber, day):
        return text
    due_at = subscriber.next_due_at
    if due_at and schedule.local_day(due_at, subscriber.zone) == day:
        return f"Due at {due_at.astimezone(subscriber.zone):%H:%M} ({subscriber.timezone})."
    if subscriber.is_monthly or not schedule.is_digest_day(day, subscriber.weekdays):
        return "Not a delivery day."
    return "No digest: paused, other settings, or a digest of another day."
