"""Database work beside other tasks: a job is left where it would wait, and gone on with."""

import time

import pytest
from django.db import DataError, NotSupportedError, OperationalError, connection, transaction
from django.utils import translation

from subscriptions.db import run_sql
from subscriptions.delivery.worker.greenlet_db import Database
from subscriptions.delivery.worker.greenlets import Hub
from subscriptions.models import MimeBatch
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.held_locks import another_session

LONG = "SELECT pg_sleep(0.1)"


@pytest.fixture
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def database(hub, transactional_db):
    if connection.vendor != "postgresql":
        pytest.skip("a job waits for PostgreSQL alone")
    return Database(hub)


def done(database, job):
    """Have a task do a job. Return what came of it."""
    came_of = []
    database.hub.spawn(lambda: came_of.append(database.do(job)))
    database.hub.run()
    return came_of[0]


def test_other_tasks_run_while_the_database_works(database):
    turns = []

    def count():
        while not turns or not database.is_free:
            database.hub.park(0.01)
            turns.append(1)

    database.hub.spawn(count)
    assert done(database, lambda: run_sql(LONG) and run_sql("SELECT 7")) == [(7,)]
    assert len(turns) > 2
    assert database.is_free


def test_jobs_run_one_after_the_other(database):
    order = []

    def job(number):
        run_sql(LONG)
        order.append(number)

    for number in (1, 2, 3):
        database.hub.spawn(database.do, lambda number=number: job(number))
    database.hub.run()
    assert order == [1, 2, 3]


def test_query_during_a_job_raises(database):
    def ask():
        with pytest.raises(RuntimeError, match="Another task"):
            MimeBatch.objects.count()

    database.hub.spawn(database.do, lambda: run_sql(LONG))
    database.hub.spawn(ask)
    database.hub.run()
    assert MimeBatch.objects.count() == 0


def test_running_job_is_finished_when_other_tasks_are_killed(database):
    def job():
        with transaction.atomic():
            MimeBatch.objects.create(created_at=NOW, mime=b"")
            run_sql(LONG)

    hub = database.hub
    hub.spawn(database.do, job)
    hub.spawn(hub.park)
    hub.run(condition=lambda: not database.is_free)
    hub.kill(spared=database.busy_task)
    hub.run(condition=lambda: database.is_free)
    assert MimeBatch.objects.count() == 1


def test_silent_database_times_out(database, monkeypatch):
    monkeypatch.setattr("subscriptions.delivery.worker.greenlet_db.MAX_SILENCE_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(OperationalError, match="the database is silent"):
        done(database, lambda: run_sql("SELECT pg_sleep(5)"))
    assert time.monotonic() - began < 4
    assert run_sql("SELECT 1") == [(1,)]


def test_database_with_occasional_results_is_not_silent(database, monkeypatch):
    monkeypatch.setattr("subscriptions.delivery.worker.greenlet_db.MAX_SILENCE_SECONDS", 0.5)
    assert len(done(database, lambda: [run_sql("SELECT pg_sleep(0.2)") for _ in range(4)])) == 4


def test_queries_after_a_job_wait_without_polling(database):
    done(database, lambda: run_sql("SELECT 1"))
    began = time.thread_time()
    run_sql("SELECT pg_sleep(0.3)")
    assert time.thread_time() - began < 0.1


def test_task_has_the_language_of_its_parent(database):
    with translation.override("de"):
        assert done(database, translation.get_language) == "de"


def test_job_raises_its_error(database):
    with pytest.raises(DataError, match="division by zero"):
        done(database, lambda: run_sql(LONG) and run_sql("SELECT 1 / %s", [0]))
    assert run_sql("SELECT 1") == [(1,)]


def test_session_ended_during_a_job_breaks_only_that_job(database):
    ((session,),) = run_sql("SELECT pg_backend_pid()")

    def end_session():
        with another_session() as other:
            other.execute("SELECT pg_terminate_backend(%s)", [session])

    database.hub.spawn(end_session)
    with pytest.raises(OperationalError):
        done(database, lambda: run_sql(LONG))
    connection.close()
    assert done(database, lambda: run_sql("SELECT 1")) == [(1,)]


@pytest.mark.django_db
def test_job_within_a_transaction_runs_at_once(hub):
    assert Database(hub).do(lambda: run_sql("SELECT 1")) == [(1,)]


def test_statement_is_prepared_once_per_session(database):
    for number in (1, 2, 3):
        assert run_sql("SELECT CAST(%s AS bigint) + 1 AS planned_once", [number]) == [(number + 1,)]
    looked = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s"
    assert run_sql(looked, ["%planned_once%"]) == [(1,)]


@pytest.fixture
def migrate(database):
    """Return a function that changes the type of what a prepared statement reads."""
    run_sql("CREATE TABLE changing (number integer)")
    run_sql("INSERT INTO changing VALUES (7)")

    def migrate():
        with another_session() as other:
            other.execute("ALTER TABLE changing ALTER number TYPE bigint")

    yield migrate
    run_sql("DROP TABLE changing")


def test_job_survives_a_migration_of_its_columns(database, migrate):
    run_sql("SELECT number FROM changing")
    migrate()
    rows, _ = done(database, lambda: (run_sql("SELECT number FROM changing"), run_sql(LONG)))
    assert rows == [(7,)]


def test_migration_within_a_transaction_breaks_only_that(migrate):
    run_sql("SELECT number FROM changing")
    migrate()
    with pytest.raises(NotSupportedError), transaction.atomic():
        run_sql("SELECT number FROM changing")
    with transaction.atomic():
        assert run_sql("SELECT number FROM changing") == [(7,)]
