"""Database helpers: prepared statements, a retry after a race, and the first row since a moment."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import wraps

from django.db import (
    DEFAULT_DB_ALIAS,
    DataError,
    Error,
    IntegrityError,
    NotSupportedError,
    connection,
    connections,
)

LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL: waiting for the lock took too long.


def run_sql(sql: str, values: Sequence = ()) -> list[tuple]:
    """Run a statement that PostgreSQL plans once per session. Return its rows, if any.

    For SQL that runs many times a second: planning takes as long as running it, and building it
    with the ORM takes longer. Keep the text constant, or each variant is a statement of its own.
    """
    try:
        return _run_once(sql, values)
    except NotSupportedError:  # A concurrent migration changed the type of a column.
        if connection.in_atomic_block:
            raise  # The driver forgets its plans when it rolls back.
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    return _run_once(sql, values)


def _run_once(sql, values):
    db = connections[DEFAULT_DB_ALIAS]  # `connection` would look it up at each use.
    if db.vendor == "postgresql":
        from django.db.backends.postgresql.base import ServerBindingCursor

        db.close_if_health_check_failed()
        db.ensure_connection()
        cursor = ServerBindingCursor(db.connection)
        cursor = db.make_debug_cursor(cursor) if db.queries_logged else db.make_cursor(cursor)
    else:
        cursor = db.cursor()
    with cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def in_ids(ids: Iterable[int]) -> tuple[str, list]:
    """Return an SQL condition that a column is one of these ids, and its values."""
    if connection.vendor == "postgresql":
        return "= ANY(CAST(%s AS bigint[]))", [list(ids)]
    return f"IN ({', '.join(f'{number:d}' for number in ids)})", []


def retry_on_integrity_error(function):
    """Decorate a function to run once more if a concurrent change broke a constraint."""

    @wraps(function)
    def retried(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except IntegrityError:
            return function(*args, **kwargs)

    return retried


def is_retryable(error: Exception) -> bool:
    """Return whether it is the database's: it may be down, or a row locked."""
    return isinstance(error, Error) and not isinstance(error, DataError | IntegrityError)


def is_lock_timeout(error) -> bool:
    return getattr(error.__cause__, "sqlstate", "") == LOCK_NOT_AVAILABLE


SLACK = timedelta(hours=1)  # The order of ids and that of moments may differ by this much.


def first_id_since(model, field: str, moment) -> int:
    """Return the id from which on the model's rows are of `moment` or later, by `field`.

    Ids grow with time, so a binary search finds it without an index. Rows within SLACK of the
    moment may be on the wrong side. The last row may be erased meanwhile.
    """
    rows = model.objects.order_by("pk").values_list("pk", field)
    first_row, last_row = rows.first(), rows.last()
    if first_row is None or last_row is None:
        return 0
    low, high = first_row[0], last_row[0] + 1
    while low < high:
        middle = (low + high) // 2
        row = rows.filter(pk__gte=middle).first()
        if row is None or row[1] >= moment:
            high = middle
        else:
            low = row[0] + 1
    return low


def rows_since(model, field: str, moment):
    """Return the model's rows of `moment` or later, by `field`, without an index on it."""
    first_id = first_id_since(model, field, moment - SLACK)
    return model.objects.filter(pk__gte=first_id, **{f"{field}__gte": moment})
