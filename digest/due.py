"""Who is due: for which local day, which days ended before, and when she had her last digest."""

from dataclasses import dataclass, field
from datetime import UTC, date, timedelta

from django.db.models import F, OuterRef, Q, Subquery

from digest.choosing import Planned
from digest.models import Digest
from subscriptions import schedule
from subscriptions.models import Letter, Subscriber


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


def last_days(subscribers: list[Subscriber], before: date) -> list[date | None]:
    """Return the day of each one's last digest before that day, None where she has had none.

    What was before she signed up anew is of another time. To take a leaving back, or to confirm
    another address, begins none.
    """
    began_at = F("subscriber__began_at")
    had = Digest.objects.ranked().filter(subscriber=OuterRef("pk"), day__lt=before)
    had = had.filter(Q(subscriber__began_at=None) | Q(letter__created_at__gte=began_at))
    last = Subquery(had.order_by("-day").values("day")[:1])
    found = Subscriber.objects.filter(pk__in=[one.pk for one in subscribers])
    lasts = dict(found.values_list("pk", last))
    return [lasts.get(one.pk) for one in subscribers]


def written_on(subscribers: list[Subscriber], days: list[date | None]) -> list[date | None]:
    """Return on which day of UTC each one's digest of that day was written: papers are of days of
    UTC, and hers may have been the day before or after. Who has had none waits for it since she
    confirmed.
    """
    letters = Letter.objects.filter(subscriber__in=subscribers, day__in={*days} - {None})
    written = letters.order_by().values_list("subscriber_id", "day", "created_at")
    found = {(pk, day): at for pk, day, at in written}
    moments = [
        found.get((one.pk, day)) if day else one.began_at or one.confirmed_at
        for one, day in zip(subscribers, days, strict=True)
    ]
    return [moment and schedule.local_day(moment, UTC) for moment in moments]


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
