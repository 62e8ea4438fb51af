"""What PostgreSQL is asked for, also behind a pooler: nobody waits for it for ever."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.settings.environment import DATABASE, PUBLIC


@pytest.mark.parametrize(("asked_for", "first"), [("", 0), ("?prepare_threshold=none", None)])
def test_statements_are_prepared_but_behind_a_pooler_that_cannot(read_settings, asked_for, first):
    url = f"postgres://you@127.0.0.1/papers{asked_for}"
    settings = read_settings(**PUBLIC, DATABASE_URL=url)
    assert settings["DATABASES"]["default"]["OPTIONS"]["prepare_threshold"] == first


def test_a_pooler_that_hands_sessions_on_is_told_nothing_that_it_refuses(read_settings):
    """PgBouncer refuses a client that sets a timeout as it comes, and knows no cursor later."""
    url = "postgres://you@127.0.0.1/papers?pool_mode=transaction"
    settings = read_settings(**PUBLIC, DATABASE_URL=url)
    database = settings["DATABASES"]["default"]
    assert database["DISABLE_SERVER_SIDE_CURSORS"]
    assert not database["OPTIONS"].keys() & {"options", "pool_mode"}


def test_a_pooler_of_an_unknown_kind_is_refused(read_settings):
    url = "postgres://you@127.0.0.1/papers?pool_mode=statement"
    with pytest.raises(ImproperlyConfigured, match="must be session or transaction"):
        read_settings(**PUBLIC, DATABASE_URL=url)


def test_what_a_database_is_asked_for_is_added_to_what_we_ask_for(read_settings):
    """Else the tables of who keeps us in a schema of our own are looked for in another."""
    url = "postgres://you@127.0.0.1/papers?options=-c%20search_path=paperboy"
    settings = read_settings(**PUBLIC, DATABASE_URL=url)
    options = settings["DATABASES"]["default"]["OPTIONS"]["options"]
    assert options.startswith("-c statement_timeout=60s ")
    assert options.endswith(" -c search_path=paperboy")


@pytest.mark.parametrize(("asked_for", "seconds"), [("", 10), ("?connect_timeout=3", 3)])
def test_a_database_in_a_black_hole_keeps_nobody_for_minutes(read_settings, asked_for, seconds):
    url = f"postgres://you@127.0.0.1/papers{asked_for}"
    settings = read_settings(**PUBLIC, DATABASE_URL=url)
    assert int(settings["DATABASES"]["default"]["OPTIONS"]["connect_timeout"]) == seconds


@pytest.mark.parametrize(
    "option",
    [
        "statement_timeout=60s",
        "lock_timeout=5s",
        "idle_in_transaction_session_timeout=30s",
        "datestyle=ISO",
    ],
)
def test_nobody_hangs_in_postgresql_and_its_moments_can_be_read(read_settings, option):
    database = read_settings(**PUBLIC, **DATABASE)["DATABASES"]["default"]
    assert f"-c {option}" in database["OPTIONS"]["options"]


@pytest.mark.parametrize(("asked_for", "seconds"), [("", 30_000), ("?tcp_user_timeout=5000", 5000)])
def test_an_answer_of_the_database_that_is_lost_is_not_waited_for_until_tcp_gives_up(
    read_settings, asked_for, seconds
):
    url = f"postgres://you@127.0.0.1/papers{asked_for}"
    options = read_settings(**PUBLIC | {"DATABASE_URL": url})["DATABASES"]["default"]["OPTIONS"]
    assert int(options["tcp_user_timeout"]) == seconds
    idle, every, count = (options[f"keepalives_{one}"] for one in ("idle", "interval", "count"))
    assert idle + every * count <= 60
