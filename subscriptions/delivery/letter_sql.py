"""The rows of letters, and of their readers, as the ledger reads, locks and changes them.

Many at once, in one statement: the ORM takes longer to write it than the database to run it. Each
function here works in the caller's transaction, and decides nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models.base import ModelState

from subscriptions.db import array_literal, in_ids, run_sql
from subscriptions.models import Letter, LetterEvent, Subscriber, Volley

_LETTERS, _EVENTS = Letter._meta.db_table, LetterEvent._meta.db_table
_SUBSCRIBERS = Subscriber._meta.db_table
_SUBSCRIBER = Letter._meta.get_field("subscriber")


# ---- Changing


def move(letters, same: Mapping, each: Sequence[Mapping], now, note: str) -> set[int]:
    """Update the rows that are in the state and attempt in which we saw them, and write the events.

    Return their ids. PostgreSQL does both at once. See ledger.move, which alone may call this.
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
        return {pk for (pk,) in run_sql(both, [*values, *told])}
    ids = {pk for pk, _ in run_sql(update, values)}
    its, numbers = in_ids(ids)
    run_sql(f"{event} {_LETTERS} WHERE id {its}", [*told, *numbers])
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
    return f"unnest({arrays}) AS new ({numbers})", [array_literal(column) for column in columns]


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


def put_off(waits: Sequence[tuple[Letter, datetime]]) -> None:
    """Let letters wait until their moments. They stay planned, so it is no arrow."""
    if not waits:
        return
    rows = ", ".join(f"({letter.id:d}, %s)" for letter, _ in waits)
    given = "new.column2"
    if connection.vendor == "postgresql":
        given = f"CAST({given} AS timestamptz)"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_LETTERS} SET next_try_at = {given} FROM (VALUES {rows}) AS new "
            f"WHERE {_LETTERS}.id = new.column1",
            [_adapt(moment) for _, moment in waits],
        )


def store_volley(mime: bytes, now: datetime) -> Volley:
    """Store the compressed bytes of letters. Return the row."""
    sql = f"INSERT INTO {Volley._meta.db_table} (created_at, mime) VALUES (%s, %s) RETURNING id"
    ((number,),) = run_sql(sql, [_adapt(now), mime])
    return Volley(number, now, mime)


# ---- Locking


def lock_due(queue: str, numbers: list, now, limit) -> list[Letter]:
    """Return the next of these letters, with their subscribers, but for those others are at."""
    letters = _instances(
        Letter,
        f"ended_at IS NULL AND state = 'planned' AND next_try_at <= %s AND {queue} "
        f"ORDER BY next_try_at, id LIMIT %s {_lock('FOR UPDATE')}",
        [_adapt(now), *numbers, limit],
    )
    readers = readers_of(letters)
    for letter in letters:
        _SUBSCRIBER.set_cached_value(letter, readers[letter.subscriber_id])
    return letters


def lock_readers(letters) -> dict[int, bool]:
    """Lock the subscribers of these letters, except rows that others have locked.

    Returns a dict: subscriber id -> whether they may get letters of the list.
    """
    its, numbers = in_ids({letter.subscriber_id for letter in letters})
    rows = run_sql(
        f"SELECT id, confirmed_at IS NOT NULL AND unsubscribed_at IS NULL "
        f"AND suppressed_at IS NULL AND paused_until IS NULL "
        f"FROM {_SUBSCRIBERS} WHERE id {its} {_lock('FOR NO KEY UPDATE')}",
        numbers,
    )
    return dict(rows)


def held(ids: Iterable[int]) -> set[int]:
    """Lock the rows of letters for the caller's transaction. Return the ids of those that others
    have locked.
    """
    its, numbers = in_ids(ids)
    where = f"FROM {_LETTERS} WHERE id {its}"
    there = {pk for (pk,) in run_sql(f"SELECT id {where}", numbers)}
    return there - {
        pk for (pk,) in run_sql(f"SELECT id {where} {_lock('FOR NO KEY UPDATE')}", numbers)
    }


def _lock(kind: str) -> str:
    """Return the clause that locks rows, and leaves out those that others have locked."""
    return f"{kind} SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""


# ---- Reading


def readers_of(letters) -> dict[int, Subscriber]:
    """Return the letters' subscribers by their numbers."""
    if not letters:
        return {}
    its, numbers = in_ids({letter.subscriber_id for letter in letters})
    return {reader.id: reader for reader in _instances(Subscriber, f"id {its}", numbers)}


def _instances(model, where: str, values=()) -> list:
    """Return the rows as instances. What has to be converted in Python is read where it is used."""
    if connection.vendor != "postgresql":
        return list(
            model.objects.raw(f"SELECT * FROM {model._meta.db_table} WHERE {where}", values)
        )
    names, columns = _plain_columns(model)
    rows = run_sql(f"SELECT {columns} FROM {model._meta.db_table} WHERE {where}", values)
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
