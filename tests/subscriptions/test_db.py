"""Indexes on tables that grow are built beside those who write, and again after a failure."""

import pytest
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

from subscriptions.db import AddIndexConcurrently

NAME = "letters_by_stage"


@pytest.fixture
def operation(transactional_db):
    """An index that is not there yet, and is gone afterwards."""
    yield AddIndexConcurrently("letter", models.Index(fields=["stage"], name=NAME))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX IF EXISTS {NAME}")


def state():
    return MigrationLoader(None).project_state()


def run(operation, name="database_forwards"):
    before, after = state(), state()
    operation.state_forwards("subscriptions", after)
    ends = (before, after) if name == "database_forwards" else (after, before)
    with connection.schema_editor(atomic=False) as editor:
        getattr(operation, name)("subscriptions", editor, *ends)


def numbers():
    """Return the number of each index of this name, and whether it is valid: PostgreSQL's."""
    sql = "SELECT indexrelid, indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
    with connection.cursor() as cursor:
        cursor.execute(sql, [NAME])
        return cursor.fetchall()


def names():
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, "subscriptions_letter"))


def test_index_is_built_and_dropped(operation):
    assert not operation.atomic
    run(operation)
    assert NAME in names()
    run(operation, "database_backwards")
    assert NAME not in names()


def test_existing_index_is_left_unchanged(operation):
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    run(operation)
    built = numbers()
    run(operation)
    assert numbers() == built


def test_invalid_index_is_rebuilt(operation):
    """As after a lock that was not free, or a death: the index is there, and nobody may use it."""
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    run(operation)
    ((number, _),) = numbers()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s", [number])
    run(operation)
    ((another, is_valid),) = numbers()
    assert is_valid
    assert another != number
