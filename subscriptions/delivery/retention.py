"""How long the post office keeps what it wrote down: events, facts, letters, and journals.

Only what has ended goes, a batch at a time, each in a short transaction of its own, so that nobody
waits and a purge that dies is gone on with. Letters' bytes go by themselves: see sweep.py.
"""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from subscriptions.db import first_since
from subscriptions.delivery.recovery import journal
from subscriptions.delivery.recovery.journal import folder_of_journals
from subscriptions.models import Letter, LetterEvent, LetterFact, Provider, UselessMail

KEEP_JOURNALS = timedelta(days=14)
KEEP_PROVIDERS = timedelta(days=30)  # What it said of our pace long ago says nothing of today.
BATCH = 100  # Letters: with their digests and picks, a tenth of a second.
EVENTS = 2_000  # So many events are looked at for each batch of them.
MOST = 5_000  # Batches of one kind in one purge: minutes. It runs each hour.

State = Letter.State


def purge(now) -> dict[str, int]:
    """Throw away what is older than the operator keeps it. Return how much it was.

    A letter's events go together, so that those that are there tell its whole story. What hangs on
    a letter in the upper room goes with it.
    """
    Provider.objects.filter(counted_at__lt=now - KEEP_PROVIDERS).delete()
    return {
        "events": _purge_events(now - settings.KEEP_EVENTS),
        "letters": _purge_letters(now - settings.KEEP_LETTERS),
        "journals": journal.purge(folder_of_journals(), now - KEEP_JOURNALS),
        "facts": _purge_facts(now - settings.KEEP_EVENTS),
    }


def _purge_events(before) -> int:
    """Delete the events of letters that ended before then, and of those that are gone."""
    gone = seen = 0
    for _ in range(MOST):
        events = LetterEvent.objects.filter(pk__gt=seen).order_by("pk")
        events = list(events.values_list("pk", "letter_id", "at")[:EVENTS])
        if not events or events[0][2] >= before:
            break
        letters = {letter_id for _, letter_id, _ in events}
        kept = Letter.objects.filter(Q(ended_at=None) | Q(ended_at__gte=before), pk__in=letters)
        ended = letters.difference(kept.values_list("pk", flat=True))
        gone += LetterEvent.objects.filter(letter__in=ended).delete()[0]
        seen = events[-1][0]
    return gone


def _purge_facts(before) -> int:
    """Delete what was told of letters before then, and how much told of none."""
    UselessMail.objects.filter(day__lt=before.date()).delete()
    gone = 0
    for _ in range(MOST):
        old = LetterFact.objects.filter(noted_at__lt=before).order_by("noted_at")
        ids = list(old.values_list("pk", flat=True)[:EVENTS])
        gone += LetterFact.objects.filter(pk__in=ids).delete()[0]
        if len(ids) < EVENTS:
            break
    return gone


def _purge_letters(before) -> int:
    """Delete letters that ended before then, and that nobody's next letter is reckoned from.

    These are letters of no day, and those of a day that have a successor: a reader's last day is
    planned from, the last that she was told of says that she is no new reader, and the last that
    was sent which news she has had.
    """
    newer = Letter.objects.filter(subscriber=OuterRef("subscriber"), day__gt=OuterRef("day"))
    sent, told = newer.filter(state=State.ACCEPTED), newer.exclude(state=State.MISSED)
    is_dispensable = (
        Q(day=None)
        | Q(Exists(sent), state=State.ACCEPTED)
        | Q(Exists(told), state__in=[State.SKIPPED, State.FAILED])
        | Q(Exists(newer), state=State.MISSED)
    )
    old = Letter.objects.filter(pk__lt=first_since(Letter, "created_at", before))
    old = old.filter(is_dispensable, ended_at__lt=before).order_by("pk")
    gone = seen = 0
    for _ in range(MOST):
        with transaction.atomic():
            # Locked first, as erasing does, and what somebody else is at is left for the next hour.
            found = old.filter(pk__gt=seen).select_for_update(of=("self",), skip_locked=True)
            ids = list(found.values_list("pk", flat=True)[:BATCH])
            Letter.objects.filter(pk__in=ids).delete()
        gone += len(ids)
        if len(ids) < BATCH:
            break
        seen = ids[-1]
    return gone
