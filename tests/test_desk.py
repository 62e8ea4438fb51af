"""The database's work beside the lines': a job is left where it would wait, and gone on with."""

import time

import pytest
from django.db import DataError, NotSupportedError, OperationalError, connection, transaction
from django.utils import translation

from subscriptions.models import Volley
from subscriptions.post.desk import Desk
from subscriptions.post.lines import Lines
from subscriptions.post.transports import transport_for
from subscriptions.statements import among, run
from tests.make import NOW
from tests.volleys.held import another_session

LONG = "SELECT pg_sleep(0.3)"


@pytest.fixture
def desk(transactional_db):
    if connection.vendor != "postgresql":
        pytest.skip("a job waits for PostgreSQL alone")
    desk = Desk()
    yield desk
    desk.close()


@pytest.fixture
def lines():
    lines = Lines(transport_for("file:"))
    yield lines
    lines.close()


def test_the_lines_go_on_while_the_database_works(desk, lines):
    came_of, turns = [], 0
    desk.give(lambda: run(LONG) and run("SELECT 7"), came_of.append)
    while not came_of:
        lines.pump(0.01, desk)
        turns += 1
    assert turns > 10
    assert came_of[0].result() == [(7,)]
    assert desk.is_free


def test_who_asks_the_database_amid_a_job_is_told_so_instead_of_waiting_for_ever(desk):
    desk.give(lambda: run(LONG), lambda came_of: None)
    with pytest.raises(RuntimeError, match="in the midst of a query"):
        Volley.objects.count()
    desk.close()
    assert Volley.objects.count() == 0


def test_closing_brings_the_job_to_its_end(desk):
    def job():
        with transaction.atomic():
            Volley.objects.create(created_at=NOW, mime=b"")
            run(LONG)

    desk.give(job, lambda came_of: came_of.result())
    desk.close()
    assert Volley.objects.count() == 1


def test_closing_waits_for_a_silent_database_so_long_and_no_longer(desk, monkeypatch):
    monkeypatch.setattr("subscriptions.post.desk.SILENT_SECONDS", 0.2)
    came_of, began = [], time.monotonic()
    desk.give(lambda: run("SELECT pg_sleep(5)"), came_of.append)
    desk.close()
    assert time.monotonic() - began < 4
    with pytest.raises(OperationalError, match="the database is silent"):
        came_of[0].result()
    assert run("SELECT 1") == [(1,)]


def test_a_database_that_says_something_now_and_then_is_not_silent(desk, monkeypatch):
    monkeypatch.setattr("subscriptions.post.desk.SILENT_SECONDS", 1)
    came_of = []
    desk.give(lambda: [run("SELECT pg_sleep(0.4)") for _ in range(4)], came_of.append)
    desk.close()
    assert len(came_of[0].result()) == 4


def test_once_a_job_is_done_the_database_is_waited_for_as_ever(desk):
    desk.give(lambda: run("SELECT 1"), lambda came_of: came_of.result())
    desk.close()
    began = time.thread_time()
    run(LONG)
    assert time.thread_time() - began < 0.1


def test_a_job_speaks_the_language_of_who_gives_it(desk):
    came_of = []
    with translation.override("de"):
        desk.give(translation.get_language, came_of.append)
    assert came_of[0].result() == "de"


def test_what_breaks_a_job_is_what_came_of_it(desk):
    came_of = []
    desk.give(lambda: run(LONG) and run("SELECT 1 / %s", [0]), came_of.append)
    desk.close()
    with pytest.raises(DataError, match="division by zero"):
        came_of[0].result()
    assert run("SELECT 1") == [(1,)]


def test_a_session_that_is_ended_amid_a_job_breaks_that_job_alone(desk):
    came_of = []
    ((session,),) = run("SELECT pg_backend_pid()")
    desk.give(lambda: run(LONG), came_of.append)
    with another_session() as other:
        other.execute("SELECT pg_terminate_backend(%s)", [session])
    desk.close()
    with pytest.raises(OperationalError):
        came_of[0].result()
    connection.close()
    desk.give(lambda: run("SELECT 1"), came_of.append)
    desk.close()
    assert came_of[1].result() == [(1,)]


@pytest.mark.django_db
def test_a_job_is_done_at_once_amid_a_transaction():
    desk, came_of = Desk(), []
    desk.give(lambda: run("SELECT 1"), came_of.append)
    assert came_of[0].result() == [(1,)]
    assert desk.is_free


@pytest.mark.django_db
def test_numbers_are_looked_for_however_many_they_are():
    rows = [Volley.objects.create(created_at=NOW, mime=b"") for _ in range(3)]
    for some in ([], rows[:1], rows):
        its, numbers = among(row.pk for row in some)
        table = Volley._meta.db_table
        found = run(f"SELECT id FROM {table} WHERE id {its} ORDER BY id", numbers)
        assert found == [(row.pk,) for row in some]


def test_a_statement_is_planned_once_in_a_session(desk):
    for number in (1, 2, 3):
        assert run("SELECT CAST(%s AS bigint) + 1 AS planned_once", [number]) == [(number + 1,)]
    looked = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s"
    assert run(looked, ["%planned_once%"]) == [(1,)]


@pytest.fixture
def migrate(desk):
    """Return a function that changes the type of what a prepared statement reads."""
    run("CREATE TABLE changing (number integer)")
    run("INSERT INTO changing VALUES (7)")

    def migrate():
        with another_session() as other:
            other.execute("ALTER TABLE changing ALTER number TYPE bigint")

    yield migrate
    run("DROP TABLE changing")


def test_a_statement_is_planned_anew_when_a_migration_has_changed_what_it_reads(migrate):
    assert run("SELECT number FROM changing") == [(7,)]
    migrate()
    assert run("SELECT number FROM changing") == [(7,)]


def test_a_job_reads_on_when_a_migration_has_changed_what_it_reads(desk, migrate):
    came_of = []
    run("SELECT number FROM changing")
    migrate()
    desk.give(lambda: (run("SELECT number FROM changing"), run(LONG)), came_of.append)
    desk.close()
    assert came_of[0].result()[0] == [(7,)]


def test_amid_a_transaction_a_migration_costs_that_transaction_alone(migrate):
    run("SELECT number FROM changing")
    migrate()
    with pytest.raises(NotSupportedError), transaction.atomic():
        run("SELECT number FROM changing")
    with transaction.atomic():
        assert run("SELECT number FROM changing") == [(7,)]
