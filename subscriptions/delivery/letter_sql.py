"""SQL statements that read, lock and change many letters, and their subscribers, at once.

Used by transitions.py, because the ORM takes longer to build such a statement than the database to
run it. Each function works in the caller's transaction, and decides nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from django.db import connection

from subscriptions.db import in_ids, run_sql
from subscriptions.models import Letter, LetterEvent, MimeBatch, Subscriber

_LETTERS, _EVENTS = Letter._meta.db_table, LetterEvent._meta.db_table
_SUBSCRIBERS = Subscriber._meta.db_table


# ---- Changing


def update_states(letters, fields: Mapping, rows: Sequence[Mapping], now, note: str) -> set[int]:
    """Update the rows whose state and attempt are as we read them, and insert their events.

    Return their ids. PostgreSQL does both at once. Only transitions.change_state may call this.
    """
    old_state = letters[0].state
    update, values = _update(letters, old_state, fields, rows)
    event_sql = (
        f"INSERT INTO {_EVENTS} (letter_id, at, old_state, new_state, attempt, note) "
        f"SELECT id, %s, %s, %s, attempt, %s FROM "
    )
    event_values = [_adapt(now), old_state, fields["state"], note]
    if connection.vendor == "postgresql":
        statement = f"WITH changed AS ({update}) {event_sql} changed RETURNING letter_id"
        return {pk for (pk,) in run_sql(statement, [*values, *event_values])}
    ids = {pk for pk, _ in run_sql(update, values)}
    condition, id_values = in_ids(ids)
    run_sql(f"{event_sql} {_LETTERS} WHERE id {condition}", [*event_values, *id_values])
    return ids


def _update(letters, old_state, fields, rows) -> tuple[str, list]:
    """Return the statement that changes the rows and returns (id, attempt), and its values."""
    fixed_sql = ", ".join(f"{column} = %s" for column in _columns(fields))
    field_names = ["id", "attempt", *rows[0]]
    columns = [
        [letter.id for letter in letters],
        [letter.attempt for letter in letters],
        *([row[name] for row in rows] for name in rows[0]),
    ]
    numbered = enumerate(_columns(rows[0]), start=3)
    varied_sql = "".join(f", {column} = new.column{number}" for number, column in numbered)
    table, table_values = _values_table(field_names, columns)
    statement = (
        f"UPDATE {_LETTERS} SET {fixed_sql}{varied_sql} FROM {table} "
        f"WHERE {_LETTERS}.id = new.column1 AND {_LETTERS}.attempt = new.column2 "
        f"AND {_LETTERS}.state = %s RETURNING {_LETTERS}.id, {_LETTERS}.attempt"
    )
    return statement, [*map(_adapt, fields.values()), *table_values, old_state]


def _values_table(field_names, columns) -> tuple[str, list]:
    """Return SQL for a table called new with the columns of these fields, and its values.

    The columns have the names that SQLite gives them: column1, column2 …

    On PostgreSQL each column is one array: parsing a statement with hundreds of values
    would take longer than running it.
    """
    column_names = ", ".join(f"column{number}" for number in range(1, len(columns) + 1))
    if connection.vendor != "postgresql":
        cells = f"({', '.join(['%s'] * len(columns))})"
        rows = ", ".join([cells] * len(columns[0]))
        values = [_adapt(value) for row in zip(*columns, strict=True) for value in row]
        return f"(VALUES {rows}) AS new", values
    arrays = ", ".join(f"CAST(%s AS {_type(name)}[])" for name in field_names)
    return f"unnest({arrays}) AS new ({column_names})", columns


@cache
def _type(name):
    """Return the type to which PostgreSQL casts a value of the field."""
    return Letter._meta.get_field(name).cast_db_type(connection).partition(" GENERATED")[0]


def _columns(fields):
    return [Letter._meta.get_field(name).column for name in fields]


def _adapt(value):
    """Return a value as the database driver takes it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value.pk if isinstance(value, MimeBatch) else value


# ---- Locking


def lock_subscribers(letters) -> dict[int, bool]:
    """Lock the subscribers of these letters, except rows that others have locked.

    Returns a dict: subscriber id -> whether they may get letters of the list.
    """
    condition, id_values = in_ids({letter.subscriber_id for letter in letters})
    can_skip = connection.features.has_select_for_update_skip_locked
    skip_locked = "FOR NO KEY UPDATE SKIP LOCKED" if can_skip else ""
    rows = run_sql(
        f"SELECT id, confirmed_at IS NOT NULL AND unsubscribed_at IS NULL "
        f"AND suppressed_at IS NULL AND paused_until IS NULL "
        f"FROM {_SUBSCRIBERS} WHERE id {condition} {skip_locked}",
        id_values,
    )
    return dict(rows)
