"""Which local day is due to a subscriber, which days were missed, and which was completed last."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from digest.indexing.candidates import start_of
from digest.models import Digest
from digest.models.bulk_insert import among
from digest.planning.selection import Planned
from subscriptions import schedule
from subscriptions.delivery.recovery import reconcile
from subscriptions.models import Subscriber

ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Due:
    """A subscriber whose digest is due.

    Attributes
    ----------
    day : date or None
        The local day to plan; None if all days have ended.
    missed : tuple of date
        The local days that ended before they were planned.
    papers : list of Planned
        The papers of the digest, once they are ranked.
    considered : int
        How many papers were new to the subscriber.
    since : date or None
        The day of the last digest, if there were digest days in between.
    """

    subscriber: Subscriber
    day: date | None
    missed: tuple[date, ...] = ()
    papers: Collection[Planned] = ()
    considered: int = 0
    since: date | None = None

    @property
    def days(self) -> list[date]:
        """The days that get a digest, planned or missed, in their order."""
        return [*self.missed] if self.day is None else [*self.missed, self.day]


def due_of(subscriber: Subscriber, now) -> Due:
    """Return which local day is planned now, and which days were missed.

    The day of confirming is due at once. Of several days whose hour has passed, only the last is
    planned, so that nobody gets two digests in a row.
    """
    zone = subscriber.zone
    days = [schedule.local_day(subscriber.next_due_at, zone)]
    while (following := _next_digest(days[-1], subscriber))[1] <= now:
        days.append(following[0])
    if schedule.send_deadline(days[-1], zone) <= now:
        return Due(subscriber, None, tuple(days))
    return Due(subscriber, days[-1], tuple(days[:-1]))


def _next_digest(day, subscriber):
    """Return the subscriber's next digest day after this one, and its moment."""
    theirs = subscriber.hour, subscriber.zone, subscriber.weekdays
    return schedule.next_due(day + ONE_DAY, *theirs)


def last_completed(
    subscribers: Collection[Subscriber], before: date
) -> dict[int, tuple[date, datetime]]:
    """Return each one's last completed day before that day, and when it was planned, by the
    subscriber's id.

    Days before the subscriber's latest sign-up don't count. Undoing an unsubscription or changing
    the address is no sign-up.
    """
    had = Digest.objects.completed().filter(subscriber=OuterRef("pk"), day__lt=before)
    began_at = Coalesce(OuterRef("began_at"), Value(datetime.min.replace(tzinfo=UTC)))
    had = had.filter(letter__created_at__gte=began_at).order_by("-day")
    # A subquery with a limit is run for each subscriber, by an index: joined, PostgreSQL may read
    # all digests that there are.
    of_each = Subscriber.objects.filter(among("pk", (one.pk for one in subscribers)))
    last = of_each.values_list(Subquery(had.values("pk")[:1]), flat=True)
    found = Digest.objects.filter(among("pk", filter(None, last))).order_by()
    rows = found.values_list("subscriber_id", "day", "letter__created_at", "letter__reason")
    return {
        # Of a day that was recovered from a log, nobody knows when it was planned.
        pk: (day, start_of(day) - ONE_DAY if reason == reconcile.REASON else planned_at)
        for pk, day, planned_at, reason in rows
    }


def new_after(subscriber: Subscriber, planned_at: datetime | None, now) -> datetime | None:
    """Return the moment after which papers that came in are new to a subscriber whose last
    completed day was planned at `planned_at`. None means a first digest, with all of NEW_DAYS.

    If the first digest has been waited for longer than that, as after a pause, all that came in
    since the subscriber confirmed is new.
    """
    began_at = subscriber.began_at or subscriber.confirmed_at
    is_long_ago = began_at is not None and began_at < now - timedelta(days=settings.NEW_DAYS)
    return began_at if planned_at is None and is_long_ago else planned_at


def since_last(subscriber: Subscriber, last: date | None, day: date) -> date | None:
    """Return the day of the last digest, if there were digest days between it and this one."""
    if last is None:
        return None
    return last if _next_digest(last, subscriber)[0] < day else None


def lock_unchanged(subscribers: Collection[Subscriber]) -> set[int]:
    """Lock the subscribers that are due as when they were read. Return their ids.

    Rows that others hold are left to the next pass: waiting for one would delay all the rest.
    """
    rows = Subscriber.objects.select_for_update(skip_locked=True).subscribed()
    rows = rows.filter(among("pk", (one.pk for one in subscribers))).order_by("pk")
    moments = dict(rows.values_list("pk", "next_due_at"))
    return {one.pk for one in subscribers if moments.get(one.pk) == one.next_due_at}


def set_next_due(moments: Mapping[int, datetime]) -> None:
    """Set when subscribers are due next, by their ids, in the caller's transaction."""
    together = defaultdict(list)
    for pk, moment in moments.items():
        together[moment].append(pk)
    for moment, ids in together.items():
        Subscriber.objects.filter(among("pk", ids)).update(next_due_at=moment)
