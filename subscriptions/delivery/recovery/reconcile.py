"""After a restored backup: record letters that were sent since the backup as accepted.

The restored database does not know these letters, and would plan and send them again. A digest's
Message-ID depends on its subscriber and day alone, so it can be computed for every subscriber and
lost day, and looked for in the acceptance journal and with the delivery lookup.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import batched, groupby

from django.db import transaction
from django.db.models import Max

from subscriptions import hooks, schedule
from subscriptions.delivery import circuit_breaker, message_ids, transitions
from subscriptions.delivery.recovery import journal, lookup
from subscriptions.models import Letter, LetterEvent, Message, Subscriber, delivery

#: The search begins so much earlier than the lost hours, since days are older than their letters. A
#: Message-ID that is found always belongs to the same letter.
SLACK = timedelta(days=1)
CHUNK = 500
REASON = "found by reconcile"

State = Letter.State


class Refused(Exception):
    """It cannot be done now. The message says why, in a sentence."""


@dataclass(frozen=True)
class ReconcileReport:
    """How many letters turned out to have been sent.

    `waiting` letters have a row, `lost` ones have none. Of the lost, `unlisted` have no item ids in
    the journal. `goodbyes` are goodbye letters without a row, whose subscribers are unknown.
    """

    since: datetime
    waiting: int
    lost: int
    unlisted: int
    goodbyes: int


@dataclass(frozen=True)
class Evidence:
    """What is known of an email that was sent: a time by which it had been rendered, and its
    `item_ids` (see mail.Content). None if unknown.
    """

    written_by: datetime | None
    item_ids: Sequence[str] | None = None


#: A subscriber's local day without a letter in the database.
type LostDay = tuple[Subscriber, date]


def reconcile(
    now: datetime, since: datetime | None = None, *, dry_run: bool = False
) -> ReconcileReport:
    """Record letters that were sent after `since`, by default the last event, as accepted.

    Can be run again at any time. Raises Refused unless sending is stopped, or it is a dry run.
    """
    if not dry_run and circuit_breaker.current().stopped_at is None:
        raise Refused("Sending is on. Run `manage.py sending stop` first, then reconcile.")
    since = since or _last_event()
    waiting = _find_evidence(_unresolved_letters(since), since)
    days = _lost_days(since, now)
    lost = _find_evidence(days, since)
    if not dry_run:
        # Nobody knows who got messages since the backup.
        Message.objects.unwritten(now).update(stopped_at=now)
        for batch in batched(lost, CHUNK, strict=False):
            _create_letters({message_id: days[message_id] for message_id in batch}, lost, now)
        # Read again: searching takes long, and meanwhile days are planned and claims released.
        unresolved = _unresolved_letters(since)
        evidence_by_id = {**waiting, **lost}
        _accept({name: unresolved[name] for name in evidence_by_id if name in unresolved}, now)
    unlisted = sum(evidence.item_ids is None for evidence in lost.values())
    return ReconcileReport(since, len(waiting), len(lost), unlisted, _count_goodbyes(since))


def _last_event() -> datetime:
    """Return the time of the last event before sending was stopped.

    Workers have recorded later events since then, such as expired claims.
    """
    events = LetterEvent.objects.all()
    if (stopped_at := circuit_breaker.current().stopped_at) is not None:
        events = events.filter(at__lte=stopped_at)
    last_event_at = events.aggregate(last=Max("at"))["last"]
    if last_event_at is None:
        raise Refused("The database has no emails. Name the time of the backup with --since.")
    return last_event_at


def _unresolved_letters(since) -> dict[str, Letter]:
    """Return the open letters, and those that ended with unknown outcome, by Message-ID."""
    unknown = Letter.objects.filter(state=State.FAILED, reason__startswith=Letter.UNKNOWN)
    letters = Letter.objects.open() | unknown.filter(ended_at__gte=since - SLACK)
    return {
        letter.message_id or message_ids.for_letter(letter): letter
        for letter in letters.select_related("subscriber").iterator()
    }


def _lost_days(since, now) -> dict[str, LostDay]:
    """Return the days without a letter by the Message-IDs that their digests would have.

    Includes subscribers who have unsubscribed: they may have done so since.
    """
    first_day = (since - 2 * SLACK).date()
    planned = set(Letter.objects.filter(day__gte=first_day).values_list("subscriber_id", "day"))
    return {
        message_ids.for_digest(subscriber.public_id, day): (subscriber, day)
        for subscriber in Subscriber.objects.only("public_id", "timezone").iterator()
        for day in _local_days(subscriber, since, now)
        if (subscriber.pk, day) not in planned
    }


def _local_days(subscriber, since, now) -> list[date]:
    """Return the local days from then to now, with a margin for a change of time zone."""
    first_day = schedule.local_day(since - SLACK, subscriber.zone)
    last_day = schedule.local_day(now + SLACK, subscriber.zone)
    return [first_day + timedelta(days=n) for n in range((last_day - first_day).days + 1)]


def _find_evidence(message_ids: Collection[str], since) -> dict[str, Evidence]:
    """Return the evidence for the letters that were sent, by Message-ID."""
    since -= SLACK
    times = delivery.reported_message_ids(message_ids, since)
    times |= lookup.configured_lookup().accepted(message_ids, since)
    evidence = {message_id: Evidence(rendered_at) for message_id, rendered_at in times.items()}
    for entry in journal.accepted_entries(journal.folder_of_journals(), since):
        message_id = entry.message_id
        # The entry of a resend has no item ids.
        is_better = message_id not in evidence or entry.item_ids is not None
        if message_id in message_ids and is_better:
            evidence[message_id] = Evidence(datetime.fromisoformat(entry.at), entry.item_ids)
    return evidence


def _count_goodbyes(since) -> int:
    """Return how many goodbye letters are in the journal and not in the database."""
    accepted_ids = journal.accepted_ids(journal.folder_of_journals(), since)
    goodbye_ids = {id_ for id_ in accepted_ids if id_.startswith(f"<{Letter.Kind.GOODBYE}.")}
    goodbyes = Letter.objects.filter(kind=Letter.Kind.GOODBYE, message_id__in=goodbye_ids)
    return len(goodbye_ids - set(goodbyes.values_list("message_id", flat=True)))


def _accept(waiting: dict[str, Letter], now) -> None:
    """End letters as accepted, unless another session changes them at this moment."""
    pairs = sorted(waiting.items(), key=lambda pair: pair[1].state)
    for _, same_state in groupby(pairs, key=lambda pair: pair[1].state):
        for batch in batched(same_state, CHUNK, strict=False):
            letters = [letter for _, letter in batch]
            fields = [{"message_id": message_id} for message_id, _ in batch]
            transitions.end(letters, State.ACCEPTED, REASON, now, rows=fields)


@transaction.atomic
def _create_letters(days: dict[str, LostDay], evidence: dict[str, Evidence], now) -> None:
    """Create letters of days that were not planned meanwhile. Planning takes the same lock."""
    ids = {subscriber.pk for subscriber, _ in days.values()}
    subscribers = Subscriber.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    existing_ids = {subscriber.pk for subscriber in subscribers}
    planned = set(Letter.objects.filter(subscriber__in=ids).values_list("subscriber_id", "day"))
    letters = [
        Letter(
            subscriber=subscriber,
            kind=Letter.Kind.DIGEST,
            day=day,
            state=State.ACCEPTED,
            reason=REASON,
            created_at=now,
            closes_at=schedule.send_deadline(day, subscriber.zone),
            message_id=message_id,
            frozen_at=now,  # It was earlier, at an unknown time.
            ended_at=now,
        )
        for message_id, (subscriber, day) in days.items()
        if subscriber.pk in existing_ids and (subscriber.pk, day) not in planned
    ]
    Letter.objects.bulk_create(letters)
    event = {"at": now, "new_state": State.ACCEPTED, "attempt": 0, "note": REASON}
    LetterEvent.objects.bulk_create(LetterEvent(letter=letter, **event) for letter in letters)
    receiver_ids = {letter.subscriber_id for letter in letters}
    for subscriber in subscribers:
        if subscriber.is_monthly and subscriber.pk in receiver_ids:  # The month has its digest.
            subscriber.reschedule(now)
            subscriber.save(update_fields=["next_due_at"])
    for callback in hooks.on_reconciled:
        callback(letters, evidence)
