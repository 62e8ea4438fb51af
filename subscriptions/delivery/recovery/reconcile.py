"""After a restored backup: what left in the lost hours must not leave again.

The database has forgotten letters that the mail server took, and would plan and send them anew. Yet
a digest's Message-ID is made of its reader and day alone, so that it can be made again for every
reader and lost day, and looked for where the database is not: in the acceptance journal, and with
the oracle. What they know is written down as accepted.
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
from subscriptions.models import Letter, LetterEvent, Subscriber, delivery

#: So much further back than the lost hours is looked: days are older than their letters, and a name
#: that is found is always the same letter's.
SLACK = timedelta(days=1)
CHUNK = 500
REASON = "found by reconcile"

State = Letter.State


class Refused(Exception):
    """It can't be done now. Says why, in a sentence."""


@dataclass(frozen=True)
class Found:
    """How many letters turned out to have left: those that waited, and those without a row.

    Of the latter, so many are `unlisted`: the journal lacks what they were about. `goodbyes` are
    letters without a row to readers who had unsubscribed, whoever they are.
    """

    since: datetime
    waiting: int
    lost: int
    unlisted: int
    goodbyes: int


@dataclass(frozen=True)
class Evidence:
    """What is known of an email that left, besides that it did: a moment by which it was written,
    and what it was about (see mail.Content), None where either is unknown.
    """

    written_by: datetime | None
    item_ids: Sequence[str] | None = None


@dataclass(frozen=True)
class LostDay:
    """A reader's local day of which the database knows no letter."""

    subscriber: Subscriber
    day: date


def reconcile(now: datetime, since: datetime | None = None, *, dry_run: bool = False) -> Found:
    """Write down as accepted what left after `since`, which is when the database's memory ends: at
    its last event, where it isn't given. May be run again at any time.

    Raises Refused while letters may leave, unless nothing is to be written.
    """
    if not dry_run and circuit_breaker.current().stopped_at is None:
        raise Refused("Letters may leave at any moment. Stop sending first, then reconcile.")
    since = since or _last_event()
    waiting = _known(_waiting(since), since)
    days = _lost_days(since, now)
    lost = _known(days, since)
    if not dry_run:
        _write_down({message_id: days[message_id] for message_id in lost}, lost, now)
        # Read again: to look takes long, and meanwhile days are planned, and claims let go of.
        there = _waiting(since)
        _accept({name: there[name] for name in {**waiting, **lost} if name in there}, now)
    unlisted = sum(evidence.item_ids is None for evidence in lost.values())
    return Found(since, len(waiting), len(lost), unlisted, _goodbyes(since))


def _last_event() -> datetime:
    """Return when the database's memory ends. What workers have written since sending was stopped,
    as of a claim that ran out, is none of the hours before.
    """
    events = LetterEvent.objects.all()
    if (stopped_at := circuit_breaker.current().stopped_at) is not None:
        events = events.filter(at__lte=stopped_at)
    last = events.aggregate(last=Max("at"))["last"]
    if last is None:
        raise Refused("The database knows of no letter. Say since when its memory is missing.")
    return last


def _waiting(since) -> dict[str, Letter]:
    """Return the open letters by the names that they have or will have, and those of which nobody
    knew before they were looked for here.
    """
    unknown = Letter.objects.filter(state=State.FAILED, reason__startswith=Letter.UNKNOWN)
    letters = Letter.objects.open() | unknown.filter(ended_at__gte=since - SLACK)
    return {
        letter.message_id or message_ids.of(letter): letter
        for letter in letters.select_related("subscriber").iterator()
    }


def _lost_days(since, now) -> dict[str, LostDay]:
    """Return the days without a letter, of all readers, by the names that their digests would have.

    Also of those who want none any more: they may have left since.
    """
    first = (since - 2 * SLACK).date()
    known = set(Letter.objects.filter(day__gte=first).values_list("subscriber_id", "day"))
    return {
        message_ids.of_digest(subscriber.public_id, day): LostDay(subscriber, day)
        for subscriber in Subscriber.objects.only("public_id", "timezone").iterator()
        for day in _days(subscriber, since, now)
        if (subscriber.pk, day) not in known
    }


def _days(subscriber, since, now) -> list[date]:
    """Return the local days from then to now, with a margin for a change of time zone."""
    first = schedule.local_day(since - SLACK, subscriber.zone)
    last = schedule.local_day(now + SLACK, subscriber.zone)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _known(message_ids: Collection[str], since) -> dict[str, Evidence]:
    """Return the evidence of those that arrived."""
    since -= SLACK
    told = delivery.names_told_of(message_ids, since) | lookup.ours().accepted(message_ids, since)
    found = {message_id: Evidence(at) for message_id, at in told.items()}
    for entry in journal.accepted(journal.folder_of_journals(), since):
        name = entry.message_id
        # The entry of bytes that were sent once more has no items.
        if name in message_ids and (name not in found or entry.item_ids is not None):
            found[name] = Evidence(datetime.fromisoformat(entry.at), entry.item_ids)
    return found


def _goodbyes(since) -> int:
    """Return of how many goodbyes the journal knows, and the database doesn't."""
    noted = journal.accepted_ids(journal.folder_of_journals(), since)
    names = {name for name in noted if name.startswith(f"<{Letter.Kind.GOODBYE}.")}
    known = Letter.objects.filter(kind=Letter.Kind.GOODBYE, message_id__in=names)
    return len(names - set(known.values_list("message_id", flat=True)))


def _accept(waiting: dict[str, Letter], now) -> None:
    """End letters as accepted, unless somebody else has changed them in this moment."""
    pairs = sorted(waiting.items(), key=lambda pair: pair[1].state)
    for _, of_one_state in groupby(pairs, key=lambda pair: pair[1].state):
        for some in batched(of_one_state, CHUNK, strict=False):
            letters = [letter for _, letter in some]
            names = [{"message_id": message_id} for message_id, _ in some]
            transitions.end(letters, State.ACCEPTED, REASON, now, each=names)


def _write_down(lost: dict[str, LostDay], known: dict[str, Evidence], now) -> None:
    for some in batched(lost.items(), CHUNK, strict=False):
        with transaction.atomic():
            _write_some(dict(some), known, now)


def _write_some(lost, known, now):
    """Write the letters of days that nobody has planned meanwhile: planning takes this lock too."""
    readers = {one.subscriber.pk for one in lost.values()}
    here = {
        subscriber.pk
        for subscriber in Subscriber.objects.select_for_update()
        .filter(pk__in=readers)
        .order_by("pk")
    }
    taken = set(Letter.objects.filter(subscriber__in=readers).values_list("subscriber_id", "day"))
    letters = [
        _letter(message_id, one, now)
        for message_id, one in lost.items()
        if one.subscriber.pk in here and (one.subscriber.pk, one.day) not in taken
    ]
    Letter.objects.bulk_create(letters)
    LetterEvent.objects.bulk_create(
        LetterEvent(letter=letter, at=now, became=State.ACCEPTED, attempt=0, note=REASON)
        for letter in letters
    )
    for add in hooks.on_reconciled:
        add(letters, known)


def _letter(message_id, lost, now):
    return Letter(
        subscriber=lost.subscriber,
        kind=Letter.Kind.DIGEST,
        day=lost.day,
        state=State.ACCEPTED,
        reason=REASON,
        created_at=now,
        closes_at=schedule.send_deadline(lost.day, lost.subscriber.zone),
        message_id=message_id,
        frozen_at=now,  # It was earlier, and nobody knows when.
        ended_at=now,
    )
