"""The sweep: expired leases, late letters, and letters of unknown outcome.

If a letter was handed over and there was no reply, its outcome is unknown. It is held until the
server has surely ended the session. A delivery report or a bounce proves that it arrived: it is
accepted. Otherwise it is sent once more with the same bytes and Message-ID. If that fails, or there
is no reply again, it ends as failed for an unknown outcome and keeps its picks.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from subscriptions.db import is_retryable
from subscriptions.delivery import circuit_breaker, transitions
from subscriptions.delivery.transitions import ConcurrentUpdate
from subscriptions.models import Letter, delivery

logger = logging.getLogger(__name__)

UNCERTAIN_WAIT = timedelta(minutes=15)  # Longer than servers keep a silent connection open.
CHUNK = 100  # Letters that are recovered in one transaction.

State = Letter.State


def sweep(now) -> None:
    """Recover letters. Can be run at any time, and by several processes at once.

    Late letters do not end while sending is stopped: after a restored backup, they may have been
    sent.
    """
    open_letters = Letter.objects.open()
    if not circuit_breaker.is_stopped():
        late = open_letters.filter(closes_at__lte=now)
        _recover(late.filter(state=State.PLANNED), now, _miss)
        _recover(late.filter(state=State.CLAIMED, lease_until__lte=now), now, _miss)
    expired = open_letters.filter(lease_until__lte=now)
    _recover(expired.filter(state=State.CLAIMED), now, transitions.record_failed_attempt)
    mark_unanswered = partial(mark_uncertain, note="no answer")
    _recover(expired.filter(state=State.TRANSMITTING), now, mark_unanswered)
    held = open_letters.filter(state=State.UNCERTAIN, next_try_at__lte=now)
    _recover(held.prefetch_related("subscriber"), now, _resolve)
    transitions.delete_unneeded_bytes()


def mark_uncertain(letter: Letter, now, *, note: str, **fields) -> None:
    """Hold a letter of unknown outcome. Raises ConcurrentUpdate."""
    fields |= {"note": note, "next_try_at": now + UNCERTAIN_WAIT}
    if not transitions.change_state([letter], State.UNCERTAIN, now, **fields):
        raise ConcurrentUpdate


def accept_late(letter: Letter, reply: str, now) -> None:
    """End a letter that was accepted in this attempt, whatever happened to its row since.

    Raises ConcurrentUpdate if another attempt is past the final check, or the letter has ended
    otherwise.
    """
    with transaction.atomic():
        rows = Letter.objects.select_for_update(of=("self",), no_key=True)
        row = rows.filter(pk=letter.pk).first()
        if row is None or row.state not in (*Letter.OPEN, State.ACCEPTED):
            raise ConcurrentUpdate
        if row.attempt != letter.attempt and row.state == State.TRANSMITTING:
            raise ConcurrentUpdate
        if row.state != State.ACCEPTED:
            fields = {"last_reply": reply[:300], "stage": "dot"}
            transitions.end([row], State.ACCEPTED, "", now, **fields)


def _recover(letters: QuerySet, now, recover: Callable[[Letter, datetime], None]) -> None:
    """Call `recover` for these letters, without rows that others have locked.

    An error is logged: otherwise each sweep would stop at the same letter, and never reach the
    letters after it.
    """
    last_id, count = 0, CHUNK
    while count == CHUNK:
        with transaction.atomic():
            free = letters.select_for_update(of=("self",), no_key=True, skip_locked=True)
            chunk = list(free.filter(pk__gt=last_id).order_by("pk")[:CHUNK])
            for letter in chunk:
                try:
                    with transaction.atomic():
                        recover(letter, now)
                except ConcurrentUpdate:
                    pass
                except Exception as error:
                    if is_retryable(error):
                        raise
                    logger.exception("Letter %s: recovery failed", letter.pk)
                last_id = letter.pk
            count = len(chunk)


def _miss(letter, now):
    transitions.end([letter], State.MISSED, transitions.LATE, now)


def _resolve(letter, now):
    """Accept, resend or end a letter of unknown outcome."""
    if delivery.reported_ids([letter.pk]):
        transitions.end([letter], State.ACCEPTED, "", now, last_reply=transitions.KNOWN_REPLY)
        return
    is_wanted = letter.closes_at > now and not transitions.skip_reason(
        letter, letter.subscriber, now
    )
    if is_wanted and letter.repeats < settings.MAX_REPEATS:
        fields = {"note": "nobody knows: sent again", "repeats": letter.repeats + 1}
        transitions.change_state([letter], State.PLANNED, now, next_try_at=now, **fields)
        return
    logger.error("Email %s: outcome unknown", letter.pk)
    resend_note = ", once resent" if letter.repeats else ""
    reason = f"{Letter.UNKNOWN}{resend_note}: there was no clear answer"
    transitions.end([letter], State.FAILED, reason, now)
