"""A public installation: what must be configured, and what it does to be safe."""

import os
import shlex
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.config.environment import DATABASE, PUBLIC, ROOT, SERVICES, manage


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS"])
@pytest.mark.parametrize("public", [PUBLIC, PUBLIC | DATABASE | {"SITE_URL": "http://x.example"}])
def test_public_installation_without_key_or_hosts_is_refused(read_settings, public, missing):
    environment = {name: value for name, value in public.items() if name != missing}
    with pytest.raises(
        ImproperlyConfigured, match=f"^{missing} is not set.* needs it.*configuration"
    ):
        read_settings(**environment)


def test_short_key_is_refused_in_public(read_settings):
    with pytest.raises(ImproperlyConfigured, match=r"shorter than 32.*token_urlsafe.*FALLBACKS"):
        read_settings(**PUBLIC | {"SECRET_KEY": "k" * 31})
    assert read_settings(**PUBLIC | {"SECRET_KEY": "k" * 32})["SECRET_KEY"] == "k" * 32


def test_https_url_or_database_file_makes_it_public(read_settings, tmp_path):
    (tmp_path / "url").write_text(DATABASE["DATABASE_URL"])
    for public in (
        {"SITE_URL": "HTTPS://papers.example.org"},
        {"DATABASE_URL_FILE": str(tmp_path / "url")},
    ):
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
            read_settings(**public)


@pytest.mark.slow
def test_command_with_bad_settings_prints_a_sentence(data_dir):
    refused = manage("migrate", DATA_DIR=str(data_dir), SITE_URL=PUBLIC["SITE_URL"])
    assert refused.returncode == 1
    assert refused.stderr.startswith("Settings: SECRET_KEY is not set. A public installation")
    assert refused.stderr.endswith("configuration.md.\n")
    assert list(data_dir.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_service_with_bad_settings_prints_a_sentence(data_dir, name):
    command = SERVICES[name]["command"].replace("0.0.0.0:8000", "127.0.0.1:0")
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir)}
    environment |= {"EMAIL_URL": "smtp://x?connections=no"}
    how = {"capture_output": True, "text": True, "timeout": 60, "check": False}
    command = [sys.executable, "-m", *shlex.split(command)]
    refused = subprocess.run(command, cwd=ROOT, env=environment, **how)
    assert refused.returncode != 0
    assert "ImproperlyConfigured" not in refused.stderr
    said = refused.stderr.splitlines()
    assert any(line.startswith("Settings: EMAIL_URL: connections must be ") for line in said)
    if name != "web":  # Gunicorn says around it that it starts, and stops.
        assert len(said) == 1


def test_https_site_has_secure_cookies_and_hsts(read_settings):
    settings = read_settings(**PUBLIC)
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["https://papers.example.org"]
    assert settings["ALLOWED_HOSTS"] == ["papers.example.org"]


def test_debug_is_refused_on_an_https_site(read_settings):
    with pytest.raises(ImproperlyConfigured, match="DEBUG is on and SITE_URL is https"):
        read_settings(**PUBLIC, DEBUG="1")


@pytest.mark.slow
def test_django_deployment_check_passes(data_dir):
    environment = PUBLIC | {"SECRET_KEY": "x" * 25 + "abcdefghijklmnopqrstuvwxyz"}
    command = ["check", "--deploy", "--fail-level", "WARNING"]
    checked = manage(*command, DATA_DIR=str(data_dir), TRUSTED_PROXIES="1", **environment)
    assert "no issues" in checked.stdout, checked.stderr


@pytest.mark.slow
def test_web_process_imports_no_numpy_and_uses_one_thread(tmp_path):
    code = (
        "import sys, config.wsgi, config.urls; "
        "assert not {'numpy', 'scipy', 'sklearn'} & set(sys.modules); "
        "import numpy, threadpoolctl; "
        "sys.exit(any(one['num_threads'] > 1 for one in threadpoolctl.threadpool_info()))"
    )
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT).returncode == 0


# ---- What PostgreSQL is asked for, also behind a pooler: nobody waits for it for ever


@pytest.fixture
def database(read_settings):
    """Return a function that reads the database's settings, with more behind its address."""

    def read(asked_for=""):
        url = DATABASE["DATABASE_URL"] + asked_for
        return read_settings(**PUBLIC | {"DATABASE_URL": url})["DATABASES"]["default"]

    return read


def test_transaction_pooler_gets_no_session_options(database):
    """PgBouncer refuses a client that sets a timeout as it comes, and knows no cursor later."""
    asked = database("?pool_mode=transaction")
    assert asked["DISABLE_SERVER_SIDE_CURSORS"]
    assert not asked["OPTIONS"].keys() & {"options", "pool_mode"}


def test_unknown_pooler_mode_is_refused(database):
    with pytest.raises(ImproperlyConfigured, match="must be session or transaction"):
        database("?pool_mode=statement")


def test_postgresql_has_timeouts_and_iso_dates(database):
    options = database()["OPTIONS"]
    limits = ("statement_timeout=60s", "lock_timeout=5s", "datestyle=ISO")
    for option in (*limits, "idle_in_transaction_session_timeout=30s"):
        assert f"-c {option}" in options["options"]
    times = options["prepare_threshold"], options["connect_timeout"], options["tcp_user_timeout"]
    assert times == (0, 10, 30_000)
    idle, every, count = (options[f"keepalives_{one}"] for one in ("idle", "interval", "count"))
    assert idle + every * count <= 60


def test_database_options_of_the_url_are_kept(database):
    """Else the tables of who keeps us in a schema of our own are looked for in another."""
    more = "prepare_threshold=none&connect_timeout=3&tcp_user_timeout=5000"
    options = database(f"?options=-c%20search_path=paperboy&{more}")["OPTIONS"]
    assert options["options"].startswith("-c statement_timeout=60s ")
    assert options["options"].endswith(" -c search_path=paperboy")
    assert options["prepare_threshold"] is None
    assert int(options["connect_timeout"]) == 3
    assert int(options["tcp_user_timeout"]) == 5000
