"""Every transition between the states of letters, each recorded as an event.

A transition is one conditional UPDATE on (id, state, attempt) for many letters, in the caller's
transaction. `attempt` is a fencing token: each claim adds one, so a worker that was suspended past
its lease can change nothing. letter_sql.py has the statements.
"""

import logging
import sys
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q

from subscriptions import hooks
from subscriptions.delivery import letter_sql
from subscriptions.mail import kinds
from subscriptions.models import Letter, Message, MimeBatch, Subscriber
from subscriptions.models.delivery import reported_ids
from subscriptions.security import suppression_list

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ZSTD_OPTIONS = {
    # Letters of one batch repeat each other, which the lowest level finds as well.
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.checksum_flag: 1,
}


logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)  # Ten minutes for a reply, and some to record it, fit in.
SUSPECT_AFTER = 2  # Failed attempts after which a letter is claimed alone.
MAX_FAILED_ATTEMPTS = 5
KNOWN_REPLY = "known to the mail server"
LATE = "its day ended first"
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]

State = Letter.State


class ConcurrentUpdate(Exception):
    """Another worker has changed this letter, or may have. The caller must leave it alone."""


def change_state(
    letters: Sequence[Letter],
    new_state: str,
    now: datetime,
    *,
    note: str = "",
    rows: Sequence[Mapping] | None = None,
    **fields,
) -> list[Letter]:
    """Move letters from one state, the same for all, to another. Return those that changed.

    The others were changed by another worker since they were read. All letters get `fields`, and
    each letter its mapping of `rows`. A lease ends with the state that it was given for.
    """
    if not letters:
        return []
    fields = {"state": new_state, "lease_until": None} | fields
    rows = [{}] * len(letters) if rows is None else rows
    with transaction.atomic(savepoint=False):
        ids = letter_sql.update_states(letters, fields, rows, now, note[:300])
    changed_letters = []
    for letter, row in zip(letters, rows, strict=True):
        if letter.id in ids:
            for name, value in {**fields, **row}.items():
                setattr(letter, name, value)
            changed_letters.append(letter)
    return changed_letters


# ---- Claiming


def claim(
    now: datetime,
    limit: int,
    ids: Sequence[int] | None = None,
    *,
    medium: Q = Letter.EMAILS,
) -> tuple[list[Letter], bool]:
    """Claim up to `limit` due letters of a medium, or of `ids`, in the caller's transaction.

    Return them, and whether no others are due. Letters that a person waits for come first, then the
    digests that have waited longest, messages of operators last. Letters that are late or no
    longer wanted end here, and so do resends that are known to have arrived. Without `ids`,
    `crash_suspects` are left out.
    """
    claimed: list[Letter] = []
    due_letters = Letter.objects.due(now).filter(medium).order_by("next_try_at", "pk")
    due_letters = due_letters.select_for_update(skip_locked=True, of=("self",))
    for queue in _queues(ids):
        while (room := limit - len(claimed)) > 0:
            letters = list(due_letters.filter(queue).prefetch_related("subscriber")[:room])
            sendable_letters = _sendable_letters(letters, now)
            rows = [{"attempt": letter.attempt + 1} for letter in sendable_letters]
            fields = {"rows": rows, "lease_until": now + LEASE}
            claimed += change_state(sendable_letters, State.CLAIMED, now, **fields)
            if len(letters) < room:
                break
        else:
            return claimed, False
    return claimed, True


def _queues(ids) -> list[Q]:
    """Return the queues to claim from: letters that a person waits for, digests, messages."""
    if ids is not None:
        return [Q(pk__in=ids)]
    is_message = Q(kind=Letter.Kind.MESSAGE)
    queues = [
        Q(~is_message, day__isnull=True),
        Q(day__isnull=False),
        Q(is_message, day__isnull=True),
    ]
    return [Q(queue, failed_attempts__lt=SUSPECT_AFTER) for queue in queues]


def crash_suspects(now: datetime, medium: Q = Letter.EMAILS, limit: int = 10) -> list[int]:
    """Return the ids of due letters whose attempts failed repeatedly.

    Each must be claimed alone: rendering it may be what kills workers, and with them the attempts
    of other letters.
    """
    due = Letter.objects.due(now).filter(medium, failed_attempts__gte=SUSPECT_AFTER)
    return list(due.order_by("next_try_at", "pk").values_list("pk", flat=True)[:limit])


def _sendable_letters(letters, now) -> list[Letter]:
    """Return the locked letters that are still to be sent, and end the others."""
    if known_ids := reported_ids([letter.id for letter in letters if letter.repeats]):
        known_letters = [letter for letter in letters if letter.id in known_ids]
        end(known_letters, State.ACCEPTED, "", now, last_reply=KNOWN_REPLY)
        letters = [letter for letter in letters if letter.id not in known_ids]
    sendable_letters = []
    for letter in letters:
        if letter.closes_at <= now:
            end([letter], State.MISSED, LATE, now)
        elif reason := skip_reason(letter, letter.subscriber, now):
            end([letter], State.SKIPPED, reason, now)
        else:
            sendable_letters.append(letter)
    return sendable_letters


def skip_reason(letter: Letter, subscriber: Subscriber, now) -> str:
    """Return why this letter must not be sent to its subscriber now, or ""."""
    rules = kinds.rules_of(letter.kind)
    state = subscriber.state_at(now)
    if state == "suppressed" and state not in rules.states:
        return state
    if letter.to and suppression_list.is_blocked(letter.to, now):
        return "suppressed"
    if state not in rules.states or not rules.holds_for(subscriber, letter.created_at):
        return rules.reason or state
    if letter.kind == letter.Kind.MESSAGE:
        message = Message.objects.filter(pk=letter.operator_message_id, stopped_at=None)
        return "" if message.exists() else "the message was stopped"
    return ""


# ---- The final check


@dataclass(frozen=True)
class FrozenMessage:
    """The bytes of a letter, with the Message-ID and time that are in them."""

    mime: bytes
    message_id: str
    frozen_at: datetime


@dataclass
class FinalCheck:
    """The letters that may be sent, and those whose subscriber's row others have locked."""

    passed: list[Letter]
    locked: list[Letter]


def final_check(
    letters: Sequence[Letter], frozen: Mapping[int, FrozenMessage], now: datetime
) -> FinalCheck:
    """Check once more that claimed letters are wanted. Those that passed may be sent.

    Call in a transaction. It takes the lock that unsubscribing takes, so that a subscriber who has
    unsubscribed by then gets no end of data. The lease starts anew, so that nobody treats a letter
    as uncertain while the server may still reply. If others have locked the subscriber's row (a
    change of preferences, say), it is tried again later.
    """
    if not letters:
        return FinalCheck([], [])
    is_active_by_id = letter_sql.lock_subscribers(letters)
    unsure_letters = []
    for letter in letters:
        is_for_all_active = not letter.to and kinds.rules_of(letter.kind).is_for_all_active
        is_active = is_active_by_id.get(letter.subscriber_id)
        if is_active is not None and not (is_for_all_active and is_active):
            unsure_letters.append(letter)
    subscribers = Subscriber.objects.in_bulk({letter.subscriber_id for letter in unsure_letters})
    passed, locked = [], []
    for letter in letters:
        subscriber = subscribers.get(letter.subscriber_id)
        if letter.lease_until <= now:
            continue  # The sweeper handles its row.
        if letter.subscriber_id not in is_active_by_id:
            if Subscriber.objects.filter(pk=letter.subscriber_id).exists():
                locked.append(letter)
        elif letter.closes_at <= now:
            end([letter], State.MISSED, LATE, now)
        elif subscriber is not None and (reason := skip_reason(letter, subscriber, now)):
            end([letter], State.SKIPPED, reason, now)
        else:
            passed.append(letter)
    return FinalCheck(_freeze_and_pass(passed, frozen, now), locked)


def _freeze_and_pass(letters, frozen, now) -> list[Letter]:
    """Move letters past the final check, and store the bytes of those that have none yet."""
    fields = {"lease_until": now + LEASE, "left_at": now}
    resent_letters = [letter for letter in letters if letter.mime_size]
    new_letters = [letter for letter in letters if not letter.mime_size]
    passed = change_state(resent_letters, State.TRANSMITTING, now, **fields)
    if not new_letters:
        return passed
    mimes = [frozen[letter.id].mime for letter in new_letters]
    batch = MimeBatch.objects.create(created_at=now, mime=_compressed(b"".join(mimes)))
    rows, offset = [], 0
    for letter, mime in zip(new_letters, mimes, strict=True):
        message = frozen[letter.id]
        row = {"message_id": message.message_id, "frozen_at": message.frozen_at}
        rows.append(row | {"mime_offset": offset, "mime_size": len(mime)})
        offset += len(mime)
    fields["mime_batch"] = batch
    return passed + change_state(new_letters, State.TRANSMITTING, now, rows=rows, **fields)


def _compressed(mime) -> bytes:
    return zstd.compress(mime, options=ZSTD_OPTIONS)


class DamagedBytes(Exception):
    """The frozen bytes of a letter are lost or damaged."""


def frozen_bytes(letter: Letter) -> bytes:
    """Return the bytes of a letter that passed the final check before. Raises DamagedBytes."""
    batch = MimeBatch.objects.filter(pk=letter.mime_batch_id).first()
    if batch is None:
        raise DamagedBytes("its bytes are gone")
    try:
        mime = zstd.decompress(batch.mime)[letter.mime_offset :][: letter.mime_size]
    except zstd.ZstdError as error:
        raise DamagedBytes(f"its bytes can't be read: {error}") from None
    if len(mime) != letter.mime_size:
        raise DamagedBytes("its bytes are not all there")
    return mime


# ---- Endings


def accept(letters: Sequence[Letter], replies: Sequence[str], now: datetime) -> list[Letter]:
    """End letters as accepted, with the server's replies. Return those that changed."""
    rows = [{"last_reply": reply[:300]} for reply in replies]
    fields = {"ended_at": now, "reason": "", "stage": "dot"}
    return change_state(letters, State.ACCEPTED, now, rows=rows, **fields)


def end(
    letters: Sequence[Letter], state: str, reason: str, now: datetime, **fields
) -> list[Letter]:
    """End letters, all from one state. Return those that changed.

    Papers of letters that surely were not sent may be sent again. An uncertain letter, or one that
    was resent, may have arrived. If a resend fails, the letter ends as unknown, with the reason.
    """
    if not letters:
        return []
    is_sure = state != State.ACCEPTED and letters[0].state != State.UNCERTAIN
    resent_letters = [letter for letter in letters if is_sure and letter.repeats]
    others = [letter for letter in letters if letter not in resent_letters]
    fields["ended_at"] = now

    def end_with(letters, state, reason):
        return change_state(letters, state, now, note=reason, reason=reason[:300], **fields)

    with transaction.atomic(savepoint=False):
        unknown_reason = f"{Letter.UNKNOWN}, once resent: {reason}"
        ended_letters = end_with(resent_letters, State.FAILED, unknown_reason)
        other_letters = end_with(others, state, reason)
        if is_sure and other_letters:
            unsent_ids = [letter.id for letter in other_letters]
            for callback in hooks.on_not_sent:
                callback(unsent_ids)
            # After the commit: it locks subscribers, and letters are locked after them.
            transaction.on_commit(partial(_reschedule_monthly, unsent_ids, now), robust=True)
    return ended_letters + other_letters


def _reschedule_monthly(letter_ids, now):
    """Let subscribers whose monthly digest was not sent get it on their next digest day."""
    digests = Letter.objects.filter(pk__in=letter_ids, day__isnull=False)
    subscribers = Subscriber.objects.subscribed().filter(is_monthly=True)
    subscribers = subscribers.filter(pk__in=digests.values("subscriber")).order_by("pk")
    with transaction.atomic():
        for subscriber in subscribers.select_for_update():
            subscriber.reschedule(now)
            subscriber.save(update_fields=["next_due_at"])


def delete_unneeded_bytes() -> None:
    """Delete the bytes that no open letter needs.

    Bytes and letters are written in one transaction, so that no row is seen without its letters.
    """
    needed = Letter.objects.open().exclude(mime_batch=None).values("mime_batch_id")
    MimeBatch.objects.exclude(pk__in=needed).delete()


def erase_bytes(letters: Collection[Letter]) -> None:
    """Overwrite the bytes of letters, whether or not they have ended. Call in a transaction.

    Bytes of other letters in the same rows stay: those letters may have to be sent again.
    """
    batch_ids = {letter.mime_batch_id for letter in letters if letter.mime_size}
    for batch in MimeBatch.objects.select_for_update().filter(pk__in=batch_ids).order_by("pk"):
        try:
            mime = bytearray(zstd.decompress(batch.mime))
        except zstd.ZstdError:  # Damaged: nothing in it can be sent again.
            batch.delete()
            continue
        for letter in letters:
            if letter.mime_batch_id == batch.pk:
                end_offset = letter.mime_offset + letter.mime_size
                mime[letter.mime_offset : end_offset] = bytes(letter.mime_size)
        batch.mime = _compressed(mime)
        batch.save(update_fields=["mime"])


# ---- Back to waiting


def put_back(letter: Letter, now: datetime, *, retry_at: datetime | None = None, **fields) -> None:
    """Let a letter that surely was not sent wait for its next attempt, until `closes_at` at most.

    After it, the sweep ends the letter as missed. Raises ConcurrentUpdate.
    """
    retry_at = max(retry_at or now, next_try_at(letter, now))
    if not change_state([letter], State.PLANNED, now, next_try_at=retry_at, **fields):
        raise ConcurrentUpdate


def record_failed_attempt(letter: Letter, now: datetime, note: str = "") -> None:
    """Put back a letter whose attempt failed; after too many, end it. Raises ConcurrentUpdate."""
    failed_attempts = letter.failed_attempts + 1
    if failed_attempts < MAX_FAILED_ATTEMPTS:
        return put_back(letter, now, failed_attempts=failed_attempts, note=note)
    if not end([letter], State.FAILED, f"broken: {note or 'it could not be written'}", now):
        raise ConcurrentUpdate
    logger.error("Email %s: given up after %s failed attempts", letter.id, MAX_FAILED_ATTEMPTS)


def next_try_at(letter: Letter, now: datetime) -> datetime:
    """Return when to try again: later after each attempt, with jitter."""
    wait = BACKOFF[min(max(letter.attempt, 1), len(BACKOFF)) - 1]
    jitter = zlib.crc32(b"%d.%d" % (letter.id, letter.attempt)) % 256 / 256
    return now + wait * (1 + jitter / 4)
