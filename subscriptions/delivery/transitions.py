"""The ledger: every arrow between the states of letters, and the event that tells of it.

An arrow is one conditional UPDATE on (id, state, attempt) for as many letters as take it together,
in the caller's transaction. `attempt` is the fencing token: each claim adds one, so whoever was
overtaken while asleep finds it changed, and can change nothing. letter_sql.py has the statements.
"""

import logging
import sys
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from subscriptions import hooks
from subscriptions.db import in_ids
from subscriptions.delivery import letter_sql, throttling
from subscriptions.models import Letter, Subscriber, Volley
from subscriptions.models.delivery import told_of
from subscriptions.security import suppression_list

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OPTIONS = {
    # Letters of one volley repeat each other, which the lowest level sees as well.
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.checksum_flag: 1,
}


def compress(pieces: Iterable[bytes]) -> bytes:
    """Return the pieces, one after the other, as one frame with a checksum."""
    compressor = zstd.ZstdCompressor(options=OPTIONS)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


def decompress(data: bytes) -> bytes:
    """Return what was compressed. Raises ValueError where it is damaged."""
    try:
        return zstd.decompress(data)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from None


logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)  # The ten minutes of a reply and two to record it fit in.
MOST_PUT_OFF = 500  # So many in one claim: the transaction must be short.
SUSPECT = 2  # Stumbles after which a letter travels alone.
MAX_STUMBLES = 5
KNOWN = "known to the mail server"
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]

State = Letter.State
#: Kinds that every active subscriber is to get.
_PLAIN = (Letter.Kind.DIGEST, Letter.Kind.WELCOME)


class Overtaken(Exception):
    """Another worker has changed this letter since, or may. Whoever sees this does nothing more."""


# ---- The arrow


def move(
    letters: Sequence[Letter],
    to: str,
    now: datetime,
    *,
    note: str = "",
    each: Sequence[Mapping] | None = None,
    **same,
) -> list[Letter]:
    """Move letters, all in one state, to another. Return those that moved, changed as their rows.

    The others have been changed by somebody else since they were read. `same` are fields that all
    of them get, `each` those that differ. A lease ends with the state it was given for.
    """
    if not letters:
        return []
    same = {"state": to, "lease_until": None} | same
    each = [{}] * len(letters) if each is None else each
    with transaction.atomic(savepoint=False):
        ids = letter_sql.move(letters, same, each, now, note[:300])
    moved = []
    for letter, own in zip(letters, each, strict=True):
        if letter.id in ids:
            for name, value in {**same, **own}.items():
                setattr(letter, name, value)
            moved.append(letter)
    return moved


# ---- Claiming


def claim(
    now: datetime,
    limit: int,
    ids: Sequence[int] | None = None,
    *,
    looks_for_awaited: bool = True,
    is_counting: bool = True,
) -> tuple[list[Letter], bool]:
    """Take the one right to deliver `limit` letters that are due, or those of `ids` that are.

    Return them, and whether no others are due. In the caller's transaction. Letters that a person
    waits for come before the digests, of which those come first that have waited longest. What is
    too late or not wanted any more ends here, and of what waits to be sent again, what is known by
    now to have arrived. Without `ids`, those that `suspects` returns are left out. Who claims many
    times a second need not look for awaited letters, nor count for providers, each time.
    """
    claimed: list[Letter] = []
    waiting: Counter[str] = Counter()  # Letters for each provider that were put off.
    for queue, numbers in _queues(ids, looks_for_awaited):
        while (room := limit - len(claimed)) > 0 and waiting.total() < MOST_PUT_OFF:
            letters = letter_sql.lock_due(queue, numbers, now, room)
            claimed += _claim(letters, now, waiting if is_counting else None)
            if len(letters) < room:
                break
        else:
            return claimed, False
    return claimed, True


def _queues(ids, looks_for_awaited) -> list[tuple[str, list]]:
    """Return which letters are claimed, those that come first first: conditions with their values.

    Letters that a person waits for are of no day.
    """
    if ids is not None:
        its, numbers = in_ids(ids)
        return [(f"id {its}", numbers)]
    days = ("NULL", "NOT NULL") if looks_for_awaited else ("NOT NULL",)
    return [(f"day IS {day} AND stumbles < {SUSPECT:d}", []) for day in days]


def suspects(now: datetime, limit: int = 10) -> list[int]:
    """Return the ids of due letters whose attempts broke again and again.

    Each is to be claimed alone: it may be what kills the workers that compose it, and the letters
    that were claimed with it.
    """
    due = Letter.objects.due(now).filter(stumbles__gte=SUSPECT).order_by("next_try_at", "pk")
    return list(due.values_list("pk", flat=True)[:limit])


def _claim(letters, now, waiting) -> list[Letter]:
    """Claim those of these locked letters that may leave now; end or put off the others."""
    wanted = _wanted(letters, now)
    if waiting is not None:
        allotment = throttling.allot(wanted, now, waiting)
        letter_sql.put_off(allotment.put_off)
        wanted = allotment.allowed
    each = [{"attempt": letter.attempt + 1} for letter in wanted]
    return move(wanted, State.CLAIMED, now, each=each, lease_until=now + LEASE)


def _wanted(letters, now) -> list[Letter]:
    """Return those of these locked letters that are to be sent yet, and end the others."""
    if told := told_of([letter.id for letter in letters if letter.repeats]):
        arrived = [letter for letter in letters if letter.id in told]
        end(arrived, State.ACCEPTED, "", now, last_reply=KNOWN)
        letters = [letter for letter in letters if letter.id not in told]
    late = [letter for letter in letters if letter.closes_at <= now]
    end(late, State.MISSED, "its day ended first", now)
    wanted = []
    for letter in letters:
        if letter.closes_at > now:
            if reason := why_unwanted(letter, letter.subscriber, now):
                end([letter], State.SKIPPED, reason, now)
            else:
                wanted.append(letter)
    return wanted


def why_unwanted(letter: Letter, subscriber: Subscriber, now) -> str:
    """Return why this letter must not be sent to its subscriber now, or nothing."""
    kind = letter.kind
    state = subscriber.state_at(now)
    if kind == Letter.Kind.BOUNCED:
        return "" if subscriber.can_confirm_address(letter.created_at) else "nothing to ask"
    if state == "suppressed":
        return "suppressed"
    if kind == Letter.Kind.GOODBYE:
        return "" if subscriber.can_resubscribe(letter.created_at) else "she came back"
    if kind == Letter.Kind.CONFIRM:
        return ""
    if kind == Letter.Kind.LINK:
        return "" if subscriber.confirmed_at else state
    if kind == Letter.Kind.MOVE:
        if letter.to and suppression_list.is_blocked(letter.to, now):
            return "suppressed"
        return "" if state in ("active", "paused") else state
    return "" if state == "active" else state


# ---- The final check


@dataclass(frozen=True)
class Frozen:
    """A letter's bytes, under which name and moment they were made, and the `item_ids` of their
    content, which aren't kept with them.
    """

    mime: bytes
    message_id: str
    frozen_at: datetime
    item_ids: Sequence[str] | None = None


@dataclass
class Checked:
    """Which letters may be sent, and which wait for another look. No others may leave."""

    passed: list[Letter]
    waiting: list[Letter]


def final_check(letters: Sequence[Letter], frozen: Mapping[int, Frozen], now: datetime) -> Checked:
    """Look once more whether claimed letters are wanted. From here those that are may have left.

    In the caller's transaction, under the lock that unsubscribing takes: whoever has left by then
    is sent no end of data. From here a letter's lease runs anew, so that nobody doubts it while the
    server may still answer. One whose reader somebody holds (she is at her preferences, say) waits.
    """
    wants = letter_sql.lock_readers(letters)
    unsure = [one for one in letters if not (one.kind in _PLAIN and wants.get(one.subscriber_id))]
    readers = letter_sql.readers_of([one for one in unsure if one.subscriber_id in wants])
    passing, waiting = [], []
    for letter in letters:
        reader = readers.get(letter.subscriber_id)
        if letter.lease_until <= now:
            continue  # Anybody's: the sweeper sees to its row.
        if letter.subscriber_id not in wants:
            if Subscriber.objects.filter(pk=letter.subscriber_id).exists():
                waiting.append(letter)
        elif letter.closes_at <= now:
            end([letter], State.MISSED, "its day ended first", now)
        elif reader is not None and (reason := why_unwanted(letter, reader, now)):
            end([letter], State.SKIPPED, reason, now)
        else:
            passing.append(letter)
    return Checked(_freeze_and_pass(passing, frozen, now), waiting)


def _freeze_and_pass(letters, frozen, now) -> list[Letter]:
    """Move them past the final check, with the bytes of those that have none yet: what is sent
    from here on is the same, however often.
    """
    marks = {"lease_until": now + LEASE, "left_at": now}
    again = [letter for letter in letters if letter.mime_size]
    fresh = [letter for letter in letters if not letter.mime_size]
    passed = move(again, State.TRANSMITTING, now, **marks)
    if not fresh:
        return passed
    mimes = [frozen[letter.id].mime for letter in fresh]
    volley = letter_sql.store_volley(compress(mimes), now)
    each, place = [], 0
    for letter, mime in zip(fresh, mimes, strict=True):
        each.append(
            {
                "message_id": frozen[letter.id].message_id,
                "frozen_at": frozen[letter.id].frozen_at,
                "mime_at": place,
                "mime_size": len(mime),
            }
        )
        place += len(mime)
    return passed + move(fresh, State.TRANSMITTING, now, each=each, volley=volley, **marks)


class Damaged(Exception):
    """The frozen bytes of a letter are not what they were."""


def frozen_bytes(letter: Letter) -> bytes:
    """Return the bytes of a letter that passed the final check before. Raises Damaged."""
    volley = Volley.objects.filter(pk=letter.volley_id).first()
    if volley is None:
        raise Damaged("its bytes are gone")
    try:
        mime = decompress(bytes(volley.mime))[letter.mime_at :][: letter.mime_size]
    except ValueError as error:
        raise Damaged(f"its bytes can't be read: {error}") from None
    if len(mime) != letter.mime_size:
        raise Damaged("its bytes are not all there")
    return mime


# ---- Endings


def accept(letters: Sequence[Letter], replies: Sequence[str], now: datetime) -> list[Letter]:
    """End letters as accepted, in the server's words. Return those that moved."""
    each = [{"last_reply": reply[:300]} for reply in replies]
    facts = {"ended_at": now, "reason": "", "stage": "dot"}
    return move(letters, State.ACCEPTED, now, each=each, **facts)


def end(
    letters: Sequence[Letter],
    state: str,
    reason: str,
    now: datetime,
    *,
    surely_never_left: bool | None = None,
    **facts,
) -> list[Letter]:
    """End letters' stories, all from one state: of those that surely never left, their papers are
    given back. Return those that ended.

    After a repeat or a silence, a letter may have arrived in spite of how its story ends, unless
    the caller knows.
    """
    was = letters[0].state if letters else ""
    is_sure = state != State.ACCEPTED and was != State.UNCERTAIN
    reason = reason[:300]
    with transaction.atomic(savepoint=False):
        ended = move(letters, state, now, note=reason, reason=reason, ended_at=now, **facts)
        if surely_never_left is None:
            never_left = [letter.id for letter in ended if is_sure and letter.repeats == 0]
        else:
            never_left = [letter.id for letter in ended if surely_never_left]
        if never_left:
            for take_back in hooks.on_never_left:
                take_back(never_left)
    return ended


def drop_volleys() -> int:
    """Drop the bytes that no letter needs any more. Return how many volleys went.

    A volley and its letters are written in one transaction, so that none is seen without them.
    """
    needed = Letter.objects.open().exclude(volley=None).values("volley_id")
    return Volley.objects.exclude(pk__in=needed).delete()[0]


def erase_bytes(letters: Collection[Letter]) -> None:
    """Overwrite the bytes of letters, in the caller's transaction, whether or not they have ended.

    Those of others in the same volleys stay where they are: they may have to be sent again.
    """
    volleys = {letter.volley_id for letter in letters if letter.mime_size}
    for volley in Volley.objects.select_for_update().filter(pk__in=volleys).order_by("pk"):
        try:
            mime = bytearray(decompress(bytes(volley.mime)))
        except ValueError:  # Damaged: nothing in it can be sent again.
            volley.delete()
            continue
        for letter in letters:
            if letter.volley_id == volley.pk:
                end = letter.mime_at + letter.mime_size
                mime[letter.mime_at : end] = bytes(letter.mime_size)
        volley.mime = compress([bytes(mime)])
        volley.save(update_fields=["mime"])


# ---- Back to waiting


def put_back(letter: Letter, now: datetime, *, until: datetime | None = None, **facts) -> None:
    """Let a letter that surely did not leave wait for its next try. Raises Overtaken."""
    until = max(until or now, next_try(letter, now))
    _or_overtaken(move([letter], State.PLANNED, now, next_try_at=until, **facts))


def release(letters: Sequence[Letter], now: datetime, note: str) -> list[Letter]:
    """Let letters that were not tried, or surely were not sent, wait for whoever comes next."""
    return move(letters, State.PLANNED, now, next_try_at=now, note=note)


def stumble(letter: Letter, now: datetime, why: str = "", **ending) -> None:
    """Put a letter back whose attempt broke; after too many, give it up. Raises Overtaken.

    `ending` is what `end` is told besides.
    """
    stumbles = letter.stumbles + 1
    if stumbles < MAX_STUMBLES:
        return put_back(letter, now, stumbles=stumbles, note=why)
    reason = f"broken: {why}" if why else "broken: it could not be written"
    _or_overtaken(end([letter], State.FAILED, reason, now, **ending))
    logger.error("letter %s: given up after %s broken attempts", letter.id, MAX_STUMBLES)


def next_try(letter: Letter, now: datetime) -> datetime:
    """Return when to try again: later each time, and not all at once."""
    wait = BACKOFF[min(max(letter.attempt, 1), len(BACKOFF)) - 1]
    jitter = zlib.crc32(b"%d.%d" % (letter.id, letter.attempt)) % 256 / 256
    return now + wait * (1 + jitter / 4)


def _or_overtaken(moved):
    if not moved:
        raise Overtaken
