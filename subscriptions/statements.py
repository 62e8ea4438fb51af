"""SQL that is run many times a second, which PostgreSQL reads and plans once in each session.

To do so takes it as long as to run it, and the ORM takes longer still to write it. What differs
from run to run is a value, or the text would be another statement each time.
"""

from collections.abc import Iterable, Sequence

from django.db import DEFAULT_DB_ALIAS, NotSupportedError, connection, connections


def run(sql: str, values: Sequence = ()) -> list[tuple]:
    """Run a statement. Return its rows, none where it has no such thing."""
    try:
        return _run(sql, values)
    except NotSupportedError:  # A migration beside us has changed the type of what it reads.
        if connection.in_atomic_block:
            raise  # The driver forgets its plans as it rolls back.
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    return _run(sql, values)


def _run(sql, values):
    """Run it with a cursor as Django's are, whose values travel apart from the statement."""
    ours = connections[DEFAULT_DB_ALIAS]  # `connection` looks it up each time that it is named.
    if ours.vendor == "postgresql":
        from django.db.backends.postgresql.base import ServerBindingCursor

        ours.close_if_health_check_failed()
        ours.ensure_connection()
        cursor = ServerBindingCursor(ours.connection)
        cursor = ours.make_debug_cursor(cursor) if ours.queries_logged else ours.make_cursor(cursor)
    else:
        cursor = ours.cursor()
    with cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def among(numbers: Iterable[int]) -> tuple[str, list]:
    """Return how SQL says that something is one of these numbers, and the values of that."""
    if connection.vendor == "postgresql":
        return "= ANY(CAST(%s AS bigint[]))", [array(numbers)]
    return f"IN ({', '.join(f'{number:d}' for number in numbers)})", []


def array(values: Iterable) -> str:
    """Return values of one kind, texts or what has no quote in it, as PostgreSQL reads an array."""
    values = list(values)
    if values and isinstance(values[0], str):
        values = [value.replace("\\", r"\\").replace('"', r"\"") for value in values]
    return '{"' + '","'.join(map(str, values)) + '"}' if values else "{}"
