"""The ledger: every arrow between the states of letters, and the event that tells of it.

An arrow is one conditional UPDATE on (id, state, attempt) for as many letters as take it together,
in the caller's transaction. `attempt` is the fencing token: each claim adds one, so whoever was
overtaken while asleep finds it changed, and can change nothing.
"""

import logging
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models.base import ModelState

from subscriptions import registry
from subscriptions.models import Letter, LetterEvent, Subscriber, Volley
from subscriptions.post import providers
from subscriptions.post.compression import compress, decompress
from subscriptions.post.facts import told_of
from subscriptions.statements import among, array, run

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)  # Ten minutes for the dot's answer and two to record it fit in.
MOST_PUT_OFF = 500  # So many in one claim: the transaction must be short.
SUSPECT = 2  # Stumbles after which a letter travels alone.
MAX_STUMBLES = 5
KNOWN = "known to the mail server"
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]

State = Letter.State
#: Kinds that every active subscriber is to get.
_PLAIN = (Letter.Kind.DIGEST, Letter.Kind.WELCOME)
_LETTERS, _EVENTS = Letter._meta.db_table, LetterEvent._meta.db_table
_SUBSCRIBERS = Subscriber._meta.db_table
_SUBSCRIBER = Letter._meta.get_field("subscriber")


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
        ids = _move_rows(letters, same, each, now, note[:300])
    moved = []
    for letter, own in zip(letters, each, strict=True):
        if letter.id in ids:
            for name, value in {**same, **own}.items():
                setattr(letter, name, value)
            moved.append(letter)
    return moved


def _move_rows(letters, same, each, now, note) -> set[int]:
    """Update the rows that are in the state and attempt in which we saw them, and write the events.

    Return their ids. PostgreSQL does both at once.
    """
    was = letters[0].state
    update, values = _update(letters, was, same, each)
    event = (
        f"INSERT INTO {_EVENTS} (letter_id, at, was, became, attempt, note) "
        f"SELECT id, %s, %s, %s, attempt, %s FROM "
    )
    told = [_adapt(now), was, same["state"], note]
    if connection.vendor == "postgresql":
        both = f"WITH moved AS ({update}) {event} moved RETURNING letter_id"
        return {pk for (pk,) in run(both, [*values, *told])}
    ids = {pk for pk, _ in run(update, values)}
    its, numbers = among(ids)
    run(f"{event} {_LETTERS} WHERE id {its}", [*told, *numbers])
    return ids


def _update(letters, was, same, each) -> tuple[str, list]:
    """Return the statement that changes the rows and returns (id, attempt), and its values."""
    fixed = ", ".join(f"{column} = %s" for column in _columns(same))
    names = ["id", "attempt", *each[0]]
    columns = [
        [letter.id for letter in letters],
        [letter.attempt for letter in letters],
        *([own[name] for own in each] for name in each[0]),
    ]
    places = enumerate(_columns(each[0]), start=3)
    varied = "".join(f", {column} = new.column{place}" for place, column in places)
    source, given = _rows(names, columns)
    statement = (
        f"UPDATE {_LETTERS} SET {fixed}{varied} FROM {source} "
        f"WHERE {_LETTERS}.id = new.column1 AND {_LETTERS}.attempt = new.column2 "
        f"AND {_LETTERS}.state = %s RETURNING {_LETTERS}.id, {_LETTERS}.attempt"
    )
    return statement, [*map(_adapt, same.values()), *given, was]


def _rows(names, columns) -> tuple[str, list]:
    """Return the columns of these fields as a table called new, and its values.

    For PostgreSQL a column is one array in its text form: it takes longer to read a statement with
    hundreds of values than to do what it says.
    """
    numbers = ", ".join(f"column{place}" for place in range(1, len(columns) + 1))
    if connection.vendor != "postgresql":
        cells = f"({', '.join(['%s'] * len(columns))})"
        rows = ", ".join([cells] * len(columns[0]))
        values = [_adapt(value) for row in zip(*columns, strict=True) for value in row]
        return f"(VALUES {rows}) AS new", values
    types = [_type(name) for name in names]
    arrays = ", ".join(f"CAST(%s AS {kind}[])" for kind in types)
    return f"unnest({arrays}) AS new ({numbers})", [array(column) for column in columns]


@cache
def _type(name):
    """Return the type of a field as PostgreSQL casts to it."""
    return Letter._meta.get_field(name).cast_db_type(connection).partition(" GENERATED")[0]


def _columns(fields):
    return [Letter._meta.get_field(name).column for name in fields]


def _adapt(value):
    """Return a value as the database's driver takes it: a row's number, or a moment."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value.pk if isinstance(value, Volley) else value


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
    if ids is not None:
        its, numbers = among(ids)
        queues = [(f"id {its}", numbers)]
    else:
        queues = [(f"day IS {day} AND stumbles < {SUSPECT:d}", []) for day in ("NULL", "NOT NULL")]
        queues = queues[not looks_for_awaited :]
    claimed: list[Letter] = []
    waiting: Counter[str] = Counter()  # Letters for each provider that were put off.
    for queue, numbers in queues:
        while (room := limit - len(claimed)) > 0 and waiting.total() < MOST_PUT_OFF:
            letters = _locked(queue, numbers, now, room)
            claimed += _claim(letters, now, waiting if is_counting else None)
            if len(letters) < room:
                break
        else:
            return claimed, False
    return claimed, True


def suspects(now: datetime, limit: int = 10) -> list[int]:
    """Return the ids of due letters whose attempts broke again and again.

    Each is to be claimed alone: it may be what kills the workers that compose it, and the letters
    that were claimed with it.
    """
    due = Letter.objects.due(now).filter(stumbles__gte=SUSPECT).order_by("next_try_at", "pk")
    return list(due.values_list("pk", flat=True)[:limit])


def _locked(queue: str, numbers: list, now, limit) -> list[Letter]:
    """Return the next of these letters, with their subscribers, but for those others are at."""
    letters = _instances(
        Letter,
        f"ended_at IS NULL AND state = 'planned' AND next_try_at <= %s AND {queue} "
        f"ORDER BY next_try_at, id LIMIT %s {_lock('FOR UPDATE')}",
        [_adapt(now), *numbers, limit],
    )
    readers = _readers(letters)
    for letter in letters:
        _SUBSCRIBER.set_cached_value(letter, readers[letter.subscriber_id])
    return letters


def _readers(letters) -> dict[int, Subscriber]:
    """Return the letters' subscribers by their numbers."""
    if not letters:
        return {}
    its, numbers = among({letter.subscriber_id for letter in letters})
    return {reader.id: reader for reader in _instances(Subscriber, f"id {its}", numbers)}


def _instances(model, where: str, values=()) -> list:
    """Return the rows as instances. What has to be converted in Python is read where it is used."""
    if connection.vendor != "postgresql":
        return list(
            model.objects.raw(f"SELECT * FROM {model._meta.db_table} WHERE {where}", values)
        )
    names, columns = _plain_columns(model)
    rows = run(f"SELECT {columns} FROM {model._meta.db_table} WHERE {where}", values)
    return [_instance(model, names, row) for row in rows]


def _instance(model, names, row):
    """Return what from_db would, a field at a time and with two signals, in a third of the time."""
    instance = model.__new__(model)
    instance.__dict__.update(zip(names, row, strict=True))
    instance._state = state = ModelState()
    state.db, state.adding = DEFAULT_DB_ALIAS, False
    return instance


@cache
def _plain_columns(model) -> tuple[list[str], str]:
    """Return the fields that PostgreSQL's driver reads as they are, and their columns."""
    fields = [one for one in model._meta.concrete_fields if not hasattr(one, "from_db_value")]
    quoted = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    return [field.attname for field in fields], quoted


def held(ids: Iterable[int]) -> set[int]:
    """Lock the rows of letters for the caller's transaction. Return the ids of those that others
    have locked.
    """
    its, numbers = among(ids)
    where = f"FROM {_LETTERS} WHERE id {its}"
    there = {pk for (pk,) in run(f"SELECT id {where}", numbers)}
    return there - {pk for (pk,) in run(f"SELECT id {where} {_lock('FOR NO KEY UPDATE')}", numbers)}


def _lock(kind: str) -> str:
    """Return the clause that locks rows, and leaves out those that others have locked."""
    return f"{kind} SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""


def _claim(letters, now, waiting) -> list[Letter]:
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
    allowed = wanted
    if waiting is not None:
        allotment = providers.allot(wanted, now, waiting)
        allowed = allotment.allowed
        _put_off(allotment.put_off)
    each = [{"attempt": letter.attempt + 1} for letter in allowed]
    return move(allowed, State.CLAIMED, now, each=each, lease_until=now + LEASE)


def _put_off(put_off: Sequence[tuple[Letter, datetime]]) -> None:
    """Let letters wait until their moments. They stay planned, so it is no arrow."""
    if not put_off:
        return
    rows = ", ".join(f"({letter.id:d}, %s)" for letter, _ in put_off)
    moment = "CAST(new.column2 AS timestamptz)"
    if connection.vendor != "postgresql":
        moment = "new.column2"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_LETTERS} SET next_try_at = {moment} FROM (VALUES {rows}) AS new "
            f"WHERE {_LETTERS}.id = new.column1",
            [_adapt(moment) for _, moment in put_off],
        )


def why_unwanted(letter: Letter, subscriber: Subscriber, now) -> str:
    """Return why this letter must not be sent to its subscriber now, or nothing."""
    kind = letter.kind
    state = subscriber.state_at(now)
    if kind == Letter.Kind.BOUNCED:
        return "" if subscriber.may_vouch(letter.created_at) else "nothing to ask"
    if state == "suppressed":
        return "suppressed"
    if kind == Letter.Kind.GOODBYE:
        return "" if subscriber.may_come_back(letter.created_at) else "she came back"
    if kind == Letter.Kind.CONFIRM:
        return ""
    if kind == Letter.Kind.LINK:
        return "" if subscriber.confirmed_at else state
    if kind == Letter.Kind.MOVE:
        return "" if state in ("active", "paused") else state
    return "" if state == "active" else state


# ---- The fence


@dataclass(frozen=True)
class Frozen:
    """A letter's bytes, and under which name and moment they were made."""

    mime: bytes
    message_id: str
    frozen_at: datetime


@dataclass
class Fenced:
    """Which letters may have their dot, and which wait for another look. No others may leave."""

    passed: list[Letter]
    waiting: list[Letter]


def fence(letters: Sequence[Letter], frozen: Mapping[int, Frozen], now: datetime) -> Fenced:
    """Let claimed letters pass the fence: from here they may have left.

    In the caller's transaction, under the lock that unsubscribing takes: whoever has left by then
    is not sent the dot. From here a letter's lease runs anew, so that nobody doubts it while the
    server may still answer. One whose reader somebody holds (she is at her preferences, say) waits.
    """
    wants = _locked_readers(letters)
    unsure = [one for one in letters if not (one.kind in _PLAIN and wants.get(one.subscriber_id))]
    readers = _readers([one for one in unsure if one.subscriber_id in wants])
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
    return Fenced(_freeze_and_pass(passing, frozen, now), waiting)


def _locked_readers(letters) -> dict[int, bool]:
    """Lock the letters' readers but those whom others hold. Return of each by her number whether
    nothing speaks against a letter of the list to her.
    """
    its, numbers = among({letter.subscriber_id for letter in letters})
    rows = run(
        f"SELECT id, confirmed_at IS NOT NULL AND unsubscribed_at IS NULL "
        f"AND suppressed_at IS NULL AND paused_until IS NULL "
        f"FROM {_SUBSCRIBERS} WHERE id {its} {_lock('FOR NO KEY UPDATE')}",
        numbers,
    )
    return dict(rows)


def _freeze_and_pass(letters, frozen, now) -> list[Letter]:
    """Move them past the fence, with the bytes of those that have none yet: what is sent from here
    on is the same, however often.
    """
    marks = {"lease_until": now + LEASE, "left_at": now}
    again = [letter for letter in letters if letter.volley_id is not None]
    fresh = [letter for letter in letters if letter.volley_id is None]
    passed = move(again, State.TRANSMITTING, now, **marks)
    if not fresh:
        return passed
    mimes = [frozen[letter.id].mime for letter in fresh]
    volley = _stored(compress(mimes), now)
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


def _stored(mime, now) -> Volley:
    sql = f"INSERT INTO {Volley._meta.db_table} (created_at, mime) VALUES (%s, %s) RETURNING id"
    ((number,),) = run(sql, [_adapt(now), mime])
    return Volley(number, now, mime)


class Damaged(Exception):
    """The frozen bytes of a letter are not what they were."""


def frozen_bytes(letter: Letter) -> bytes:
    """Return the bytes of a letter that passed the fence before. Raises Damaged."""
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
    """End letters past the fence as accepted, in the server's words. Return those that moved."""
    each = [{"last_reply": reply[:300]} for reply in replies]
    facts = {"ended_at": now, "reason": "", "stage": "dot", "volley": None}
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
        ended = move(
            letters, state, now, note=reason, reason=reason, ended_at=now, volley=None, **facts
        )
        if surely_never_left is None:
            never_left = [letter.id for letter in ended if is_sure and letter.repeats == 0]
        else:
            never_left = [letter.id for letter in ended if surely_never_left]
        if never_left:
            for take_back in registry.on_never_left:
                take_back(never_left)
    return ended


def drop_volleys(now: datetime, older_than: timedelta) -> int:
    """Drop the bytes that no letter needs any more. Return how many volleys went.

    Those of a moment ago stay, whose letters another transaction may be about to write.
    """
    needed = Letter.objects.open().exclude(volley=None).values("volley_id")
    old = Volley.objects.filter(created_at__lt=now - older_than).exclude(pk__in=needed)
    return old.delete()[0]


# ---- Back to waiting


def put_back(letter: Letter, now: datetime, *, until: datetime | None = None, **facts) -> None:
    """Let a letter that surely did not leave wait for its next try. Raises Overtaken."""
    until = max(until or now, next_try(letter, now))
    _or_overtaken(move([letter], State.PLANNED, now, next_try_at=until, **facts))


def reopen(letter: Letter, kind: str, now: datetime, note: str) -> None:
    """Let a letter that surely never left be written anew, as of this kind. Raises Overtaken.

    Its bytes and what was said to them are forgotten; its attempts go on being counted, so that who
    was overtaken stays so. One that broke again and again goes on travelling alone.
    """
    unwritten = {"message_id": "", "frozen_at": None, "mime_at": 0, "mime_size": 0, "left_at": None}
    unsaid = {"reason": "", "ended_at": None, "stage": "", "last_reply": ""}
    stumbles = min(letter.stumbles, SUSPECT)
    _or_overtaken(
        move(
            [letter],
            State.PLANNED,
            now,
            note=note,
            kind=kind,
            next_try_at=now,
            stumbles=stumbles,
            **unwritten,
            **unsaid,
        )
    )


def release(letters: Sequence[Letter], now: datetime, note: str) -> list[Letter]:
    """Let letters that were not tried, or surely got no dot, wait for whoever comes next."""
    return move(letters, State.PLANNED, now, next_try_at=now, note=note)


def stumble(
    letter: Letter, now: datetime, why: str = "", *, is_repeat: bool = False, **ending
) -> None:
    """Put a letter back whose attempt broke; after too many, give it up. Raises Overtaken.

    `is_repeat`: this attempt may have arrived, and the next is its repeat. `ending` is what `end`
    is told besides.
    """
    stumbles = letter.stumbles + 1
    if stumbles < MAX_STUMBLES:
        repeats = max(letter.repeats, int(is_repeat))
        return put_back(letter, now, stumbles=stumbles, repeats=repeats, note=why)
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
