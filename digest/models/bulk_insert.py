"""Find and insert rows by the thousand, without what Django does for each of them."""

from collections.abc import Iterable, Sequence

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import DateField, F, JSONField, Lookup, Model, UUIDField

from subscriptions import db


class Among(Lookup):
    """Whether a column is one of many numbers: `__in`, but one value for PostgreSQL."""

    prepare_rhs = False

    def as_sql(self, compiler, connection):
        if not self.rhs:
            raise EmptyResultSet
        column, values = self.process_lhs(compiler, connection)
        condition, numbers = db.in_ids(self.rhs)
        return f"{column} {condition}", [*values, *numbers]


def among(column: str, numbers: Iterable[int]) -> Among:
    """Return the condition that a column is one of these numbers, for QuerySet.filter."""
    return Among(F(column), [*numbers])


def reserve_ids(model: type[Model], count: int) -> Sequence[int]:
    """Return ids for new rows, so that rows may refer to each other before they are inserted.

    Call in the transaction that inserts them: on SQLite, its lock reserves the ids.
    """
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT nextval(ids) FROM generate_series(1, %s),"
                " to_regclass(pg_get_serial_sequence(%s, 'id')) AS ids",
                [count, table],
            )
            return [number for (number,) in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        (last,) = cursor.fetchone() or (0,)
    return range(last + 1, last + count + 1)


def insert(model: type[Model], names: Sequence[str], rows: Iterable[tuple], **constants) -> None:
    """Insert rows with values for the fields `names`, and `constants` in each of them, by COPY on
    PostgreSQL. The other fields get their defaults.
    """
    fields = {field.attname: field for field in model._meta.concrete_fields}
    for name, field in fields.items():
        if name not in names and not field.primary_key and not field.has_db_default():
            constants.setdefault(name, field.get_default())
    names = [*names, *constants]
    columns = ", ".join(connection.ops.quote_name(fields[name].column) for name in names)
    table = f"{connection.ops.quote_name(model._meta.db_table)} ({columns})"
    is_copied = connection.vendor == "postgresql"
    # Django adapts what the driver can't. (A DateTimeField is a DateField.)
    adapted = (JSONField,) if is_copied else (JSONField, DateField, UUIDField)
    positions = [n for n, name in enumerate(names) if isinstance(fields[name], adapted)]

    def values(row):
        row = [*row, *constants.values()]
        for position in positions:
            row[position] = fields[names[position]].get_db_prep_save(row[position], connection)
        return row

    with connection.cursor() as cursor:
        if is_copied:
            sql = f"COPY {table} FROM STDIN"
            with connection.wrap_database_errors, cursor.copy(sql) as copy:
                for row in rows:
                    copy.write_row(values(row))
        else:
            marks = ", ".join(["%s"] * len(names))
            sql = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608, names of our own columns
            cursor.executemany(sql, map(values, rows))
