"""The sweep: expired leases, late letters, and letters of unknown outcome.

If a letter was handed to the mail server and there was no reply, its outcome is unknown. It is held
until the server has surely ended the session. Then the journal may have an acceptance from before a
crash, the delivery lookup (lookup.py) may know whether the mail server has it, and a bounce proves
that it was sent. If it arrived, it is accepted. If not, it is sent again. If that stays unknown, it
is sent once more with the same bytes and Message-ID. If that fails, or there is no reply again, it
is looked up again, and else ends as failed for an unknown outcome and keeps its picks.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import batched, chain

from django.conf import settings
from django.db import DataError, Error, IntegrityError, transaction
from django.db.models import Min, QuerySet

from subscriptions.delivery import circuit_breaker, letter_sql, message_ids, transitions
from subscriptions.delivery.recovery import journal, lookup
from subscriptions.delivery.recovery.journal import folder_of_journals
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

    The journals come first. If they cannot be replayed, nothing else is done: a letter that is
    known to be accepted must not become uncertain or be sent again. Late letters do not end while
    sending is stopped: after a restored backup, they may have been sent.
    """
    open_letters = Letter.objects.open().exclude(pk__in=_replay_journals(now))
    if not circuit_breaker.is_stopped():
        late = open_letters.filter(closes_at__lte=now)
        _end_late(late.filter(state=State.PLANNED), now)
        _end_late(late.filter(state=State.CLAIMED, lease_until__lte=now), now)
    expired = open_letters.filter(lease_until__lte=now)
    for letter in chain.from_iterable(_chunks(expired.filter(state=State.CLAIMED))):
        with _logged_errors(f"letter {letter.pk}"):
            transitions.record_failed_attempt(letter, now)
    for letter in chain.from_iterable(_chunks(expired.filter(state=State.TRANSMITTING))):
        with _logged_errors(f"letter {letter.pk}"):
            mark_uncertain(letter, now, note="no answer")
    held = open_letters.filter(state=State.UNCERTAIN, next_try_at__lte=now)
    _resolve_held(held.select_related("subscriber"), now)
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


def _replay_journals(now) -> set[int]:
    """Record the acceptances in the journals of dead workers.

    Return the ids of accepted letters that could not be recorded, since others lock their rows.
    """
    unrecorded_ids = set()

    def record(entries):
        for batch in batched(entries, CHUNK, strict=False):
            unrecorded_ids.update(_locked_by_others(entry.letter_id for entry in batch))
            for entry in batch:
                if entry.letter_id not in unrecorded_ids:
                    with _logged_errors(f"letter {entry.letter_id}"):
                        accept_late(
                            entry.letter_id, entry.attempt, entry.message_id, entry.reply, now
                        )
        if count := sum(entry.letter_id in unrecorded_ids for entry in entries):
            raise journal.NotAllRecorded(f"the rows of {count} letters are held")

    journal.replay(folder_of_journals(), record)
    return unrecorded_ids


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
def _logged_errors(subject: str):
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
        logger.exception("%s: recovery failed", subject)


def _end_late(letters: QuerySet, now):
    for chunk in _chunks(letters):
        with _logged_errors(f"{len(chunk)} late letters, from letter {chunk[0].pk} on"):
            transitions.end(chunk, State.MISSED, "its day ended first", now)


def _resolve_held(held: QuerySet, now):
    """Find out the outcome of letters by lookup, bounces and journals, and act on it."""
    journaled_ids = _find_journaled(held)
    for letters in _chunks(held):
        try:
            emails = [letter for letter in letters if not letter.subscriber.channel]
            answers = lookup.configured_lookup().look_up(emails)
        except Exception:  # As if the lookup knew nothing.
            logger.exception("The delivery lookup failed")
            answers = {}
        reported_ids = delivery.reported_ids([letter.pk for letter in letters])
        for letter in letters:
            if letter.message_id in journaled_ids or letter.pk in reported_ids:
                answers[letter.message_id] = "yes"
            with _logged_errors(f"letter {letter.pk}"):
                _resolve(answers.get(letter.message_id, "unknown"), letter, now)


def _find_journaled(letters: QuerySet) -> set[str]:
    """Return the Message-IDs in journals of running workers, since the first of these letters.

    A suspended worker's journal is not replayed for hours. Read once for all uncertain letters: the
    journals of many workers take seconds.
    """
    since = letters.aggregate(first=Min("created_at"))["first"]
    if since is None:
        return set()
    try:
        return journal.accepted_ids(folder_of_journals(), since, endings=[journal.OPEN])
    except OSError:  # As if nothing was found.
        logger.exception("Cannot replay the journals")
        return set()


def _resolve(answer, letter, now):
    """Accept, end or resend a letter of unknown outcome, by the lookup's answer."""
    end_reason = letter.reason or "its day ended first"  # A failed resend has one.
    if not letter.reason and letter.closes_at > now:
        end_reason = transitions.skip_reason(letter, letter.subscriber, now)
    if answer == "yes":
        transitions.end([letter], State.ACCEPTED, "", now, last_reply=transitions.KNOWN_REPLY)
    elif answer == "no" and end_reason:  # It surely did not arrive, and must not any more.
        is_failure = end_reason.startswith((Letter.REFUSED, transitions.BROKEN))
        state = State.FAILED if is_failure else State.SKIPPED
        transitions.end([letter], state, end_reason, now, is_surely_unsent=letter.repeats == 0)
    elif answer == "no":
        note = "the mail server does not have it"
        transitions.record_failed_attempt(letter, now, note, is_surely_unsent=letter.repeats == 0)
    elif letter.repeats < settings.MAX_REPEATS and not end_reason:
        fields = {"note": "nobody knows: sent again", "repeats": letter.repeats + 1}
        transitions.change_state([letter], State.PLANNED, now, next_try_at=now, **fields)
    else:
        logger.error("Email %s: outcome unknown", letter.pk)
        resend_note = ", once resent" if letter.repeats else ""
        reason = f"{Letter.UNKNOWN}{resend_note}: {letter.reason or 'there was no clear answer'}"
        transitions.end([letter], State.FAILED, reason, now)
