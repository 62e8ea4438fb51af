"""Determine which local day of a subscriber is due, was missed, or was completed last."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from digest.indexing.candidate_windows import start_of
from digest.models import Digest
from digest.models.bulk_insert import among
from digest.ranking.profile import Profile
from digest.ranking.ranking import Choice
from subscriptions import schedule
from subscriptions.models import Letter, Subscriber

ONE_DAY = timedelta(days=1)


@dataclass(eq=False)
class DueSubscriber:
    """A subscriber whose digest is due, in one pass of planning.

    Attributes
    ----------
    day : date or None
        The local day to plan; None if all days have ended.
    missed : tuple of date
        The local days that ended before they were planned.
    new_after : datetime or None
        The moment after which papers are new to the subscriber; None if all are.
    skipped_since : date or None
        The day of the last digest, if there were digest days in between (Digest.since).
    profile : Profile
    member_profiles : list of Profile or None
        If a group's digest goes to the subscriber, the profiles of the members.
    groups : list of (str, list of int)
        The groups whose member the subscriber is: their names, and to whom their digests go.
    excluded : set of str
        The ids of papers that the subscriber must not get again.
    sent_until : date or None
        The day until which all announced papers may have been sent (see restoring.py).
    papers : list of Choice
        The papers of the digest, once they are ranked.
    considered : int
        How many papers were new to the subscriber.
    """

    subscriber: Subscriber
    day: date | None
    missed: tuple[date, ...] = ()
    new_after: datetime | None = None
    skipped_since: date | None = None
    profile: Profile = field(default_factory=Profile)
    member_profiles: list[Profile] | None = None
    groups: list[tuple[str, list[int]]] = field(default_factory=list)
    excluded: set[str] = field(default_factory=set)
    sent_until: date | None = None
    papers: list[Choice] = field(default_factory=list)
    considered: int = 0

    @property
    def days(self) -> list[date]:
        """The days that get a digest, planned or missed, in their order."""
        return [*self.missed] if self.day is None else [*self.missed, self.day]


def due_of(subscriber: Subscriber, now) -> DueSubscriber:
    """Return which local day is planned now, and which days were missed.

    The day of confirming is due at once. Of several days whose hour has passed, only the last is
    planned, so that nobody gets two digests in a row.
    """
    zone = subscriber.zone
    days = [schedule.local_day(subscriber.next_due_at, zone)]
    while (next_digest := _next_digest(days[-1] + ONE_DAY, subscriber))[1] <= now:
        days.append(next_digest[0])
    if subscriber.is_monthly:  # The digest of the month moves to the last of these days.
        days = sorted({days[0], days[-1]})
    if schedule.send_deadline(days[-1], zone) <= now:
        return DueSubscriber(subscriber, None, tuple(days))
    return DueSubscriber(subscriber, days[-1], tuple(days[:-1]))


def _next_digest(day, subscriber):
    """Return the subscriber's first digest day on or after this one, and its moment."""
    return schedule.next_due(day, subscriber.hour, subscriber.zone, subscriber.weekdays)


def last_completed(
    subscribers: Collection[Subscriber], end_day: date
) -> dict[int, tuple[date, datetime]]:
    """Return the last completed day before a day, and when it was planned, by subscriber id.

    Days before the subscriber's latest sign-up don't count. Undoing an unsubscription or changing
    the address is no sign-up.
    """
    digests = Digest.objects.completed().filter(subscriber=OuterRef("pk"), day__lt=end_day)
    subscribed_at = Coalesce(OuterRef("subscribed_at"), Value(datetime.min.replace(tzinfo=UTC)))
    digests = digests.filter(letter__created_at__gte=subscribed_at).order_by("-day")
    # A subquery with a limit runs for each subscriber, by an index. With a join, PostgreSQL may
    # read all digests.
    rows = Subscriber.objects.filter(among("pk", (subscriber.pk for subscriber in subscribers)))
    last_ids = rows.values_list(Subquery(digests.values("pk")[:1]), flat=True)
    digests = Digest.objects.filter(among("pk", filter(None, last_ids))).order_by()
    rows = digests.values_list("subscriber_id", "day", "letter__created_at", "letter__reason")
    return {
        # When a day that was counted as sent was planned is unknown.
        pk: (day, start_of(day) - ONE_DAY if reason == Letter.COUNTED_AS_SENT else planned_at)
        for pk, day, planned_at, reason in rows
    }


def new_after(subscriber: Subscriber, planned_at: datetime | None, now) -> datetime | None:
    """Return the moment after which papers are new to a subscriber, or None for all of NEW_DAYS.

    `planned_at`: when their last completed day was planned; None before the first digest. If a
    first digest is later than NEW_DAYS, as after a pause, papers since the confirmation are new.
    """
    subscribed_at = subscriber.subscribed_at or subscriber.confirmed_at
    new_since = now - timedelta(days=settings.NEW_DAYS)
    is_long_ago = subscribed_at is not None and subscribed_at < new_since
    return subscribed_at if planned_at is None and is_long_ago else planned_at


def skipped_since(subscriber: Subscriber, last_day: date | None, day: date) -> date | None:
    """Return the day of the last digest, if there were digest days between it and this one."""
    if last_day is None:
        return None
    next_day, _ = _next_digest(subscriber.first_day_after(last_day), subscriber)
    return last_day if next_day < day else None


def lock_unchanged(subscribers: Collection[Subscriber]) -> set[int]:
    """Lock the subscribers who are due as when they were read. Return their ids.

    Locked rows are left to the next pass, because waiting for one would delay the others.
    """
    expected = {subscriber.pk: subscriber.next_due_at for subscriber in subscribers}
    rows = Subscriber.objects.select_for_update(skip_locked=True).subscribed()
    rows = rows.filter(among("pk", expected)).order_by("pk").values_list("pk", "next_due_at")
    return {pk for pk, next_due_at in rows if next_due_at == expected[pk]}


def set_next_due(moments: Mapping[int, datetime]) -> None:
    """Set `next_due_at` by subscriber id, in the caller's transaction."""
    ids_by_moment = defaultdict(list)
    for pk, moment in moments.items():
        ids_by_moment[moment].append(pk)
    for moment, ids in ids_by_moment.items():
        Subscriber.objects.filter(among("pk", ids)).update(next_due_at=moment)
