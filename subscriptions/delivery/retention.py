"""How long delivery keeps its records: events, delivery reports and letters.

Only records of ended letters are deleted, in batches with a short transaction each, so that nobody
waits and an interrupted purge can continue. sweep.py deletes the bytes of letters.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from subscriptions.db import first_id_since
from subscriptions.models import Letter, LetterEvent, LetterFact

BATCH = 100  # Letters: with their digests and picks, a tenth of a second.
EVENT_BATCH = 2_000
MAX_BATCHES = 5_000  # Of one kind in one purge: minutes. It runs each hour.

State = Letter.State


def purge(now) -> None:
    """Delete records older than the operator's settings.

    A letter's events are deleted together, so that its history is complete or absent. The digest of
    a letter is deleted with it.
    """
    _purge_events(now - settings.KEEP_EVENTS)
    _purge_letters(now - settings.KEEP_LETTERS)
    LetterFact.objects.filter(noted_at__lt=now - settings.KEEP_EVENTS).delete()


def _purge_events(cutoff) -> None:
    """Delete the events of letters that ended before `cutoff` or were deleted."""
    last_id = 0
    for _ in range(MAX_BATCHES):
        events = LetterEvent.objects.filter(pk__gt=last_id).order_by("pk")
        events = list(events.values_list("pk", "letter_id", "at")[:EVENT_BATCH])
        if not events or events[0][2] >= cutoff:
            break
        ids = {letter_id for _, letter_id, _ in events}
        letters = Letter.objects.filter(Q(ended_at=None) | Q(ended_at__gte=cutoff), pk__in=ids)
        old_ids = ids.difference(letters.values_list("pk", flat=True))
        LetterEvent.objects.filter(letter__in=old_ids).delete()
        last_id = events[-1][0]


def _purge_letters(cutoff) -> None:
    """Delete letters that ended before `cutoff` and that no next digest is planned from.

    These are letters without a day, and digests that have a successor. A subscriber's last day is
    planned from. Their last digest that was not missed shows that they are not new. The last one
    that was sent shows which papers they have had.
    """
    later = Letter.objects.filter(subscriber=OuterRef("subscriber"), day__gt=OuterRef("day"))
    is_dispensable = (
        Q(day=None)
        | Q(Exists(later.filter(state=State.ACCEPTED)), state=State.ACCEPTED)
        | Q(Exists(later.exclude(state=State.MISSED)), state__in=[State.SKIPPED, State.FAILED])
        | Q(Exists(later), state=State.MISSED)
    )
    ended = Letter.objects.filter(pk__lt=first_id_since(Letter, "created_at", cutoff))
    ended = ended.filter(is_dispensable, ended_at__lt=cutoff).order_by("pk")
    last_id = 0
    for _ in range(MAX_BATCHES):
        with transaction.atomic():
            # Locked first, as erasing does. Rows that others have locked are left to the next hour.
            letters = ended.filter(pk__gt=last_id).select_for_update(of=("self",), skip_locked=True)
            ids = list(letters.values_list("pk", flat=True)[:BATCH])
            Letter.objects.filter(pk__in=ids).delete()
        if len(ids) < BATCH:
            break
        last_id = ids[-1]
