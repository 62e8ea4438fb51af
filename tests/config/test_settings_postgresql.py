"""What PostgreSQL is asked for, also behind a pooler: nobody waits for it for ever."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.config.environment import DATABASE, PUBLIC


@pytest.fixture
def database(read_settings):
    """Return a function that reads the database's settings, with more behind its address."""

    def read(asked_for=""):
        url = DATABASE["DATABASE_URL"] + asked_for
        return read_settings(**PUBLIC | {"DATABASE_URL": url})["DATABASES"]["default"]

    return read


@pytest.mark.parametrize(("asked_for", "first"), [("", 0), ("?prepare_threshold=none", None)])
def test_statements_are_prepared_but_behind_a_pooler_that_cannot(database, asked_for, first):
    assert database(asked_for)["OPTIONS"]["prepare_threshold"] == first


def test_a_pooler_that_hands_sessions_on_is_told_nothing_that_it_refuses(database):
    """PgBouncer refuses a client that sets a timeout as it comes, and knows no cursor later."""
    asked = database("?pool_mode=transaction")
    assert asked["DISABLE_SERVER_SIDE_CURSORS"]
    assert not asked["OPTIONS"].keys() & {"options", "pool_mode"}


def test_a_pooler_of_an_unknown_kind_is_refused(database):
    with pytest.raises(ImproperlyConfigured, match="must be session or transaction"):
        database("?pool_mode=statement")


def test_what_a_database_is_asked_for_is_added_to_what_we_ask_for(database):
    """Else the tables of who keeps us in a schema of our own are looked for in another."""
    options = database("?options=-c%20search_path=paperboy")["OPTIONS"]["options"]
    assert options.startswith("-c statement_timeout=60s ")
    assert options.endswith(" -c search_path=paperboy")


@pytest.mark.parametrize(("asked_for", "seconds"), [("", 10), ("?connect_timeout=3", 3)])
def test_a_database_in_a_black_hole_keeps_nobody_for_minutes(database, asked_for, seconds):
    assert int(database(asked_for)["OPTIONS"]["connect_timeout"]) == seconds


def test_nobody_hangs_in_postgresql_and_its_moments_can_be_read(database):
    options = database()["OPTIONS"]["options"]
    limits = ("statement_timeout=60s", "lock_timeout=5s", "datestyle=ISO")
    for option in (*limits, "idle_in_transaction_session_timeout=30s"):
        assert f"-c {option}" in options


@pytest.mark.parametrize(("asked_for", "seconds"), [("", 30_000), ("?tcp_user_timeout=5000", 5000)])
def test_an_answer_of_the_database_that_is_lost_is_not_waited_for_until_tcp_gives_up(
    database, asked_for, seconds
):
    options = database(asked_for)["OPTIONS"]
    assert int(options["tcp_user_timeout"]) == seconds
    idle, every, count = (options[f"keepalives_{one}"] for one in ("idle", "interval", "count"))
    assert idle + every * count <= 60
