"""How long delivery keeps its records: events, delivery reports and letters.

Only records of ended letters are deleted, letters in batches with a short transaction each, so that
nobody waits. sweep.py deletes the bytes of letters.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from subscriptions.db import first_id_since
from subscriptions.models import Letter, LetterEvent, LetterFact

BATCH = 100  # Letters: with their digests and picks, a tenth of a second.

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
    kept_letters = Letter.objects.filter(Q(ended_at=None) | Q(ended_at__gte=cutoff))
    LetterEvent.objects.filter(at__lt=cutoff).exclude(letter__in=kept_letters).delete()


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
    ids = range(BATCH)
    while len(ids) == BATCH:
        with transaction.atomic():
            # Locked first, as erasing does. Rows that others have locked are left to the next hour.
            letters = ended.filter(pk__gt=last_id).select_for_update(of=("self",), skip_locked=True)
            ids = list(letters.values_list("pk", flat=True)[:BATCH])
            Letter.objects.filter(pk__in=ids).delete()
        last_id = max(ids, default=last_id)
