"""The sweep: expired leases, late letters, and letters of unknown outcome.

If a letter was handed over and there was no reply, its outcome is unknown. It is held until the
server has surely ended the session. A delivery report or a bounce proves that it arrived: it is
accepted. Otherwise it is sent once more with the same bytes and Message-ID. If that fails, or there
is no reply again, it ends as failed for an unknown outcome and keeps its picks.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import chain

from django.conf import settings
from django.db import DataError, Error, IntegrityError, transaction
from django.db.models import QuerySet

from subscriptions.delivery import circuit_breaker, letter_sql, message_ids, transitions
from subscriptions.delivery.transitions import ConcurrentUpdate
from subscriptions.models import Letter, delivery

logger = logging.getLogger(__name__)

HOLD = timedelta(minutes=15)  # Longer than servers keep a silent connection open.
CHUNK = 500
MAX_CHUNKS = 20  # Chunks of one kind in one sweep: the next comes in a minute.
FORGOTTEN = "the database had forgotten that it left"

State = Letter.State


def sweep(now) -> None:
    """Recover letters. Can be run at any time, and by several processes at once.

    Late letters do not end while sending is stopped: after a restored backup, they may have been
    sent.
    """
    open_letters = Letter.objects.open()
    if not circuit_breaker.is_stopped():
        late = open_letters.filter(closes_at__lte=now)
        _end_late(late.filter(state=State.PLANNED), now)
        _end_late(late.filter(state=State.CLAIMED, lease_until__lte=now), now)
    expired = open_letters.filter(lease_until__lte=now)
    for letter in chain.from_iterable(_chunks(expired.filter(state=State.CLAIMED))):
        with _logged_errors(letter):
            transitions.record_failed_attempt(letter, now)
    for letter in chain.from_iterable(_chunks(expired.filter(state=State.TRANSMITTING))):
        with _logged_errors(letter):
            mark_uncertain(letter, now, note="no answer")
    held = open_letters.filter(state=State.UNCERTAIN, next_try_at__lte=now)
    for letters in _chunks(held.select_related("subscriber")):
        reported_ids = delivery.reported_ids([letter.pk for letter in letters])
        for letter in letters:
            with _logged_errors(letter):
                _resolve(letter, now, is_reported=letter.pk in reported_ids)
    transitions.delete_unneeded_bytes()


def mark_uncertain(letter: Letter, now, *, note: str, **fields) -> None:
    """Hold a letter of unknown outcome. Raises ConcurrentUpdate."""
    fields |= {"note": note, "next_try_at": now + HOLD}
    if not transitions.change_state([letter], State.UNCERTAIN, now, **fields):
        raise ConcurrentUpdate


def accept_late(letter_id: int, attempt: int, message_id: str, reply: str, now) -> None:
    """End a letter that was accepted in this attempt, whatever happened to it since.

    The database may have lost the attempt after a failover or a restored backup. Raises
    ConcurrentUpdate if another attempt is past the final check, or the letter has ended otherwise,
    or the id now belongs to another letter (after a restored backup).
    """
    with transaction.atomic():
        # The same lock as letter_sql's: it does not wait for inserts of delivery reports.
        letters = Letter.objects.select_for_update(of=("self",), no_key=True)
        letter = letters.select_related("subscriber").filter(pk=letter_id).first()
        if letter is None:
            raise ConcurrentUpdate
        if message_id != (letter.message_id or message_ids.for_letter(letter)):
            raise ConcurrentUpdate("its number was another letter's")
        if letter.state == State.ACCEPTED:
            return
        is_ours = letter.attempt == attempt or letter.state != State.TRANSMITTING
        if letter.state not in Letter.OPEN or not is_ours:
            raise ConcurrentUpdate
        reason = "" if letter.message_id else FORGOTTEN
        fields = {"message_id": message_id, "last_reply": reply[:300], "stage": "dot"}
        transitions.end([letter], State.ACCEPTED, reason, now, **fields)


def _chunks(letters: QuerySet) -> Iterator[list[Letter]]:
    """Yield these letters in chunks, without rows that others have locked."""
    last_id = 0
    for _ in range(MAX_CHUNKS):
        chunk = list(letters.filter(pk__gt=last_id).order_by("pk")[:CHUNK])
        if not chunk:
            return
        last_id = chunk[-1].pk
        locked_ids = _locked_by_others(letter.pk for letter in chunk)
        if free_letters := [letter for letter in chunk if letter.pk not in locked_ids]:
            yield free_letters


def _locked_by_others(ids) -> set[int]:
    """Return the ids of letters whose rows others have locked. Waiting would delay the rest."""
    with transaction.atomic():
        return letter_sql.locked_by_others(ids)


@contextmanager
def _logged_errors(letter: Letter):
    """Log an error in the block instead of raising it, in a transaction.

    Otherwise each sweep would stop at the same letter, and never reach the letters after it.
    """
    try:
        with transaction.atomic():
            yield
    except ConcurrentUpdate:
        pass
    except Exception as error:
        if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
            raise  # The database is down, or a row is locked.
        logger.exception("Letter %s: recovery failed", letter.pk)


def _end_late(letters: QuerySet, now):
    for chunk in _chunks(letters):
        with _logged_errors(chunk[0]):
            transitions.end(chunk, State.MISSED, "its day ended first", now)


def _resolve(letter, now, *, is_reported):
    """Accept, resend or end a letter of unknown outcome."""
    if is_reported:
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
