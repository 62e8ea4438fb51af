"""Who is due: for which local day, which days ended before, and when she had her last digest."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db.models import F, OuterRef, Q, Subquery

from digest.choosing import Planned
from digest.indexing.candidates import start_of
from digest.models import Digest
from subscriptions import schedule
from subscriptions.models import Subscriber
from subscriptions.post import reconcile


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


def due_of(subscriber: Subscriber, now) -> Due:
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


def last_completed(
    subscribers: list[Subscriber], before: date
) -> list[tuple[date, datetime] | None]:
    """Return each one's last completed day before that day, and the moment at which it was planned.
    None where there is none.

    What was before a subscriber signed up anew is of another time. To take a leaving back, or to
    confirm another address, begins none.
    """
    began_at = F("subscriber__began_at")
    had = Digest.objects.completed().filter(subscriber=OuterRef("pk"), day__lt=before)
    had = had.filter(Q(subscriber__began_at=None) | Q(letter__created_at__gte=began_at))
    last = had.order_by("-day")
    found = Subscriber.objects.filter(pk__in=[one.pk for one in subscribers]).annotate(
        last_day=Subquery(last.values("day")[:1]),
        planned_at=Subquery(last.values("letter__created_at")[:1]),
        reason=Subquery(last.values("letter__reason")[:1]),
    )
    rows, lasts = found.values_list("pk", "last_day", "planned_at", "reason"), {}
    for pk, day, planned_at, reason in rows.exclude(last_day=None):
        if (
            reason == reconcile.REASON
        ):  # It was written down later: nobody knows when it was planned.
            planned_at = start_of(day) - timedelta(days=1)
        lasts[pk] = day, planned_at
    return [lasts.get(one.pk) for one in subscribers]


def new_after(subscriber: Subscriber, planned_at: datetime | None, now) -> datetime | None:
    """Return after which moment papers are new that came in, where the subscriber's last completed
    day was planned at that one. None means a first digest, with all papers of the last NEW_DAYS.

    Of a subscriber who has waited longer for the first one, what came in since they confirmed is
    new: nothing is lost to who was paused, or could get no email.
    """
    began_at = subscriber.began_at or subscriber.confirmed_at
    is_long_ago = began_at is not None and began_at < now - timedelta(days=settings.NEW_DAYS)
    return began_at if planned_at is None and is_long_ago else planned_at


def since_last(subscriber: Subscriber, last: date | None, day: date) -> date | None:
    """Return the day of her last digest, where a day of hers lies between it and this one."""
    if last is None:
        return None
    return last if _after(last, subscriber)[0] < day else None


def still_due(dues: list[Due]) -> list[Due]:
    """Return those who are as they were when they were read, their rows locked. Those whose rows
    others hold are left to the next pass: whoever waited for one would keep all others waiting.
    """
    rows = Subscriber.objects.select_for_update(skip_locked=True).wanting()
    rows = rows.filter(pk__in=[due.subscriber.pk for due in dues]).order_by("pk")
    moments = dict(rows.values_list("pk", "next_due_at"))
    return [due for due in dues if moments.get(due.subscriber.pk) == due.subscriber.next_due_at]


def save_moments(dues: list[Due]) -> None:
    """Save when each is due next, in the caller's transaction."""
    subscribers = [due.subscriber for due in dues]
    Subscriber.objects.bulk_update(subscribers, ["next_due_at"], batch_size=200)
