"""What the environment may say, and the sentence with which the rest is refused."""

import os
import re
import runpy
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from config.environment import generated_secret
from subscriptions.post.transports import transport_for
from tests.threads import at_once

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = {
    "SITE_URL": "https://papers.example.org",
    "SECRET_KEY": "a secret",
    "ALLOWED_HOSTS": "papers.example.org",
}
DATABASE = {"DATABASE_URL": "postgres://you@127.0.0.1/papers"}


@pytest.fixture
def read_settings(monkeypatch, data_dir):
    """Return a function that reads settings.py in an environment that holds nothing else."""

    def read(**environment):
        with monkeypatch.context() as patched:
            patched.setattr(os, "environ", {"DATA_DIR": str(data_dir)} | environment)
            return runpy.run_path(str(ROOT / "config" / "settings.py"))

    return read


def manage(*arguments, **environment):
    """Run a command in a process of its own, in an environment that holds nothing else."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


# ---- With nothing set


def test_with_nothing_set_everything_is_embedded(read_settings, data_dir):
    settings = read_settings()
    database = settings["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == str(data_dir / "paperboy.sqlite3")
    assert settings["CELERY_BROKER_URL"].startswith("memory:")
    assert settings["EMAIL_URL"] == "file:"
    assert settings["SITE_URL"] == "http://127.0.0.1:8000"
    assert settings["DEBUG"] is False
    assert "*" not in settings["ALLOWED_HOSTS"]


@pytest.mark.parametrize(
    "name",
    [
        "ALLOWED_HOSTS",
        "CACHE_URL",
        "CELERY_BROKER_URL",
        "DATABASE_URL",
        "DEBUG",
        "DEFAULT_FROM_EMAIL",
        "DKIM_DOMAIN",
        "DKIM_KEY_FILE",
        "DKIM_SELECTOR",
        "EMAIL_URL",
        "LIMITS",
        "LOG_LEVEL",
        "NEW_DAYS",
        "REPLY_TO_EMAIL",
        "SECRET_KEY",
        "SECRET_KEY_FALLBACKS",
        "SITE_NAME",
        "SITE_URL",
        "SOURCE_URL",
        "TRANSACTIONAL_FROM_EMAIL",
        "TRUSTED_PROXIES",
    ],
)
def test_an_empty_variable_is_as_good_as_none(read_settings, name):
    """Files for `docker compose` are full of them."""
    with_nothing, with_empty = read_settings(), read_settings(**{name: ""})
    plain = {key for key, value in with_nothing.items() if isinstance(value, str | int | list)}
    plain |= {"LOGGING", "DATABASES", "CACHES"}
    assert {key: with_nothing[key] for key in plain if key.isupper()} == {
        key: with_empty[key] for key in plain if key.isupper()
    }


def test_the_key_is_made_once_and_only_its_owner_can_read_it(read_settings, data_dir):
    keys = {read_settings()["SECRET_KEY"] for _ in range(2)}
    (key,) = keys
    assert len(key) >= 50
    assert stat.S_IMODE((data_dir / "secret-key").stat().st_mode) == 0o600
    assert (data_dir / "secret-key").read_text() == key


def test_a_key_that_is_given_leaves_no_file(read_settings, data_dir):
    assert read_settings(SECRET_KEY="a secret")["SECRET_KEY"] == "a secret"
    assert list(data_dir.iterdir()) == []


def test_the_embedded_database_has_its_folder_also_where_the_key_is_given(tmp_path):
    data_dir = tmp_path / "a" / "new one"
    checked = manage("check", DATA_DIR=str(data_dir), SECRET_KEY="a secret")
    assert checked.returncode == 0, checked.stderr
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_processes_that_start_at_once_have_one_key(data_dir):
    keys = at_once(*20 * [lambda: generated_secret(data_dir / "new" / "secret-key")])
    assert len(set(keys)) == 1
    assert [file.name for file in (data_dir / "new").iterdir()] == ["secret-key"]


def test_limits_are_changed_one_by_one(read_settings):
    limits = read_settings(LIMITS="network=50, all=5000")["LIMITS"]
    assert (limits["network"], limits["all"], limits["mailbox"]) == (50, 5000, 3)


def test_the_limits_are_those_that_the_documentation_tells(read_settings):
    limits = read_settings()["LIMITS"]
    told = (ROOT / "docs" / "security.md").read_text()
    assert dict(re.findall(r"^\| `([a-z]+)` \| (\d+) \|", told, re.MULTILINE)) == {
        name: str(most) for name, most in limits.items()
    }
    said = ",".join(f"{name}={most}" for name, most in limits.items())
    assert f"| `LIMITS` | `{said}` |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(
    ("named", "leads_to"),
    [
        ({}, "http://127.0.0.1:8117"),
        ({"SITE_URL": ""}, "http://127.0.0.1:8117"),
        ({"SITE_URL": "http://papers.example.org"}, "http://papers.example.org"),
        ({"SITE_URL_FILE": "{folder}/address"}, "http://papers.example.org"),
    ],
)
def test_links_lead_to_the_port_that_is_served_unless_the_site_is_elsewhere(
    data_dir, named, leads_to
):
    (data_dir / "address").write_text("http://papers.example.org")
    named = {name: text.format(folder=data_dir) for name, text in named.items()}
    program = (
        "from django.conf import settings; from digest import embedded; "
        "embedded.use_port(8117); print(settings.SITE_URL)"
    )
    told = manage("shell", "-v0", "-c", program, DATA_DIR=str(data_dir), **named)
    assert told.stdout.strip() == leads_to, told.stderr


# ---- A public installation


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS"])
@pytest.mark.parametrize(
    "public",
    [PUBLIC, PUBLIC | DATABASE, PUBLIC | DATABASE | {"SITE_URL": "http://papers.example.org"}],
)
def test_a_public_installation_without_a_key_or_its_hosts_is_refused(
    read_settings, public, missing
):
    environment = {name: value for name, value in public.items() if name != missing}
    with pytest.raises(ImproperlyConfigured, match=f"^{missing} is not set.* needs it.*README"):
        read_settings(**environment)


def test_an_https_address_in_capitals_is_public_too(read_settings):
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        read_settings(SITE_URL="HTTPS://papers.example.org")


def test_every_command_of_a_public_installation_is_refused_with_a_sentence(data_dir):
    refused = manage("migrate", DATA_DIR=str(data_dir), SITE_URL=PUBLIC["SITE_URL"])
    assert refused.returncode == 1
    assert refused.stderr.startswith("Settings: SECRET_KEY is not set. A public installation")
    assert refused.stderr.endswith("README.md.\n")
    assert list(data_dir.iterdir()) == []


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"SITE_URL": "http://papers.example.org/of"}, "Settings: SITE_URL must be like https:"),
        ({"EMAIL_URL": "smtp://mx?connections=many"}, "Settings: EMAIL_URL: connections must be "),
    ],
)
def test_every_service_of_docker_compose_is_refused_with_a_sentence(data_dir, name, bad, sentence):
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]
    command = service["command"].replace("0.0.0.0:8000", "127.0.0.1:0")
    refused = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir)} | bad,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert "ImproperlyConfigured" not in refused.stderr
    said = refused.stderr.splitlines()
    assert any(line.startswith(sentence) for line in said)
    if name != "web":  # Gunicorn says around it that it starts, and stops.
        assert len(said) == 1


def test_behind_https_cookies_and_the_browser_stay_there(read_settings):
    settings = read_settings(**PUBLIC)
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert settings["CSRF_TRUSTED_ORIGINS"] == ["https://papers.example.org"]
    assert settings["ALLOWED_HOSTS"] == ["papers.example.org"]


def test_an_https_site_does_not_show_its_code_to_visitors(read_settings):
    with pytest.raises(ImproperlyConfigured, match="DEBUG is on, and SITE_URL is https"):
        read_settings(**PUBLIC, DEBUG="1")


@pytest.mark.parametrize("proxies", ["", "1"])
def test_djangos_own_check_for_deployments_finds_nothing(data_dir, proxies):
    environment = PUBLIC | {"SECRET_KEY": "x" * 25 + "abcdefghijklmnopqrstuvwxyz"}
    checked = manage(
        *["check", "--deploy", "--fail-level", "WARNING"],
        DATA_DIR=str(data_dir),
        TRUSTED_PROXIES=proxies,
        **environment,
    )
    assert "no issues" in checked.stdout, checked.stderr


@pytest.mark.parametrize(("asked_for", "first"), [("", 0), ("?prepare_threshold=none", None)])
def test_statements_are_prepared_but_behind_a_pooler_that_cannot(read_settings, asked_for, first):
    url = f"postgres://you@127.0.0.1/papers{asked_for}"
    settings = read_settings(SECRET_KEY="s", ALLOWED_HOSTS="papers.example.org", DATABASE_URL=url)
    assert settings["DATABASES"]["default"]["OPTIONS"]["prepare_threshold"] == first


def test_a_pooler_that_hands_sessions_on_is_told_nothing_that_it_refuses(read_settings):
    """PgBouncer refuses a client that sets a timeout as it comes, and knows no cursor later."""
    url = "postgres://you@127.0.0.1/papers?pool_mode=transaction"
    settings = read_settings(SECRET_KEY="s", ALLOWED_HOSTS="papers.example.org", DATABASE_URL=url)
    database = settings["DATABASES"]["default"]
    assert database["DISABLE_SERVER_SIDE_CURSORS"]
    assert not database["OPTIONS"].keys() & {"options", "pool_mode"}


def test_a_pooler_of_an_unknown_kind_is_refused(read_settings):
    url = "postgres://you@127.0.0.1/papers?pool_mode=statement"
    with pytest.raises(ImproperlyConfigured, match="must be session or transaction"):
        read_settings(SECRET_KEY="s", ALLOWED_HOSTS="papers.example.org", DATABASE_URL=url)


def test_what_a_database_is_asked_for_is_added_to_what_we_ask_for(read_settings):
    """Else the tables of who keeps us in a schema of our own are looked for in another."""
    url = "postgres://you@127.0.0.1/papers?options=-c%20search_path=paperboy"
    settings = read_settings(SECRET_KEY="s", ALLOWED_HOSTS="papers.example.org", DATABASE_URL=url)
    options = settings["DATABASES"]["default"]["OPTIONS"]["options"]
    assert options.startswith("-c statement_timeout=60s ")
    assert options.endswith(" -c search_path=paperboy")


@pytest.mark.parametrize(("asked_for", "seconds"), [("", 10), ("?connect_timeout=3", 3)])
def test_a_database_in_a_black_hole_keeps_nobody_for_minutes(read_settings, asked_for, seconds):
    url = f"postgres://you@127.0.0.1/papers{asked_for}"
    settings = read_settings(SECRET_KEY="s", ALLOWED_HOSTS="papers.example.org", DATABASE_URL=url)
    assert int(settings["DATABASES"]["default"]["OPTIONS"]["connect_timeout"]) == seconds


@pytest.mark.parametrize(("said", "times"), [("", 1), ("1", 1), ("0", 0)])
def test_a_letter_of_which_nobody_knows_is_repeated_once_or_never(read_settings, said, times):
    assert read_settings(REPEAT_UNKNOWN=said)["MAX_REPEATS"] == times


# ---- Secrets in files


def test_what_is_secret_may_stand_in_files(read_settings, tmp_path):
    told = {
        "SECRET_KEY": "a secret",
        "SECRET_KEY_FALLBACKS": "an old one\nan older one\n",
        "DATABASE_URL": "postgres://you:hush@db.example.org/papers",
        "EMAIL_URL": "smtp://you:hush@mail.example.org:587",
        "CELERY_BROKER_URL": "redis://:hush@redis.example.org/0",
        "CACHE_URL": "redis://:hush@redis.example.org/1",
    }
    files = {}
    for name, said in told.items():
        (tmp_path / name).write_text(f"{said}\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    settings = read_settings(ALLOWED_HOSTS="papers.example.org", **files)
    assert settings["SECRET_KEY"] == "a secret"
    assert settings["SECRET_KEY_FALLBACKS"] == ["an old one", "an older one"]
    assert settings["DATABASES"]["default"]["PASSWORD"] == "hush"
    assert settings["EMAIL_URL"] == told["EMAIL_URL"]
    assert settings["CELERY_BROKER_URL"] == told["CELERY_BROKER_URL"]
    assert settings["CACHES"]["default"]["LOCATION"] == told["CACHE_URL"]


def test_what_may_be_set_to_nothing_may_stand_in_a_file_too(read_settings, tmp_path):
    files = {}
    for name, said in {"SOURCES": "huggingface", "RECIPIENT_DELIMITER": "-"}.items():
        (tmp_path / name).write_text(f"{said}\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    settings = read_settings(**files)
    assert (settings["SOURCES"], settings["RECIPIENT_DELIMITER"]) == (["huggingface"], "-")
    settings = read_settings(SOURCES="", RECIPIENT_DELIMITER="")
    assert (settings["SOURCES"], settings["RECIPIENT_DELIMITER"]) == ([], "")


def test_a_database_that_a_file_names_makes_an_installation_public(read_settings, tmp_path):
    (tmp_path / "url").write_text("postgres://you@127.0.0.1/papers")
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
        read_settings(DATABASE_URL_FILE=str(tmp_path / "url"))


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SECRET_KEY_FILE": "/no/such"}, "is /no/such, which can't be read: No such file"),
        ({"SECRET_KEY_FILE": "/"}, "is /, which can't be read: Is a directory"),
        ({"SECRET_KEY_FILE": "/dev/null"}, "is /dev/null, which is empty"),
        ({"SECRET_KEY_FILE": sys.executable}, "which can't be read: it holds no text"),
        ({"SECRET_KEY_FILE": "/x", "SECRET_KEY": "hush"}, "SECRET_KEY and SECRET_KEY_FILE are"),
    ],
)
def test_a_file_that_cannot_be_the_secret_is_refused(read_settings, environment, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**environment)
    assert sentence in str(refused.value)
    assert "hush" not in str(refused.value)


# ---- What makes no sense


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("NEW_DAYS", "0", "NEW_DAYS must be a whole number above zero, not '0'."),
        ("NEW_DAYS", "-1", "NEW_DAYS must be a whole number above zero, not '-1'."),
        ("NEW_DAYS", "seven", "NEW_DAYS must be a whole number above zero, not 'seven'."),
        ("NEW_DAYS", "1.5", "NEW_DAYS must be a whole number above zero, not '1.5'."),
        ("CORPUS_DAYS", "0", "CORPUS_DAYS must be a whole number above zero, not '0'."),
        ("KEEP_LETTERS_DAYS", "999999", "KEEP_LETTERS_DAYS must be 36500 at most, not 999999."),
        ("ALARM_LATE_MINUTES", "9" * 20, "ALARM_LATE_MINUTES must be 36500 at most, not 999"),
        ("KEEP_HARVESTS_DAYS", "13", "KEEP_HARVESTS_DAYS is 13: below 14, days that are owed"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be text or json, not 'xml'."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not"),
        ("PROVIDER_RATES", "google", "PROVIDER_RATES must be like google=600, with a number"),
        ("PROVIDER_RATES", "google=0", "PROVIDER_RATES must be letters a minute, and more than"),
        ("PROVIDER_RATES", "google=nan", "PROVIDER_RATES must be letters a minute, and more than"),
        ("RANKING", "floor", "RANKING must be like floor=0.2, with a number"),
        ("METRICS_TOKEN", "short", "METRICS_TOKEN is too short: make one of 16 characters"),
        ("DEBUG", "maybe", "DEBUG must be 1 or 0, not 'maybe'."),
        ("LIMITS", "network=0", "LIMITS must be whole numbers above zero for network, all,"),
        ("LIMITS", "network=1.5", "LIMITS must be whole numbers above zero for network, all,"),
        ("LIMITS", "all=2000000000", "LIMITS must be whole numbers above zero for network, all,"),
        ("LIMITS", "mail=5", "LIMITS must be whole numbers above zero for network, all,"),
        ("LIMITS", "all=nan", "LIMITS must be whole numbers above zero for network, all,"),
        ("TRUSTED_PROXIES", "nginx", "TRUSTED_PROXIES must be a number, or networks such as"),
        ("SITE_URL", "papers.example.org", "SITE_URL must be an http(s) address"),
        ("SITE_URL", "ftp://papers.example.org", "SITE_URL must be an http(s) address"),
        ("SITE_URL", "https://", "SITE_URL must be an http(s) address"),
        ("SITE_URL", "http://papers.example.org:80a", "SITE_URL must be an http(s) address"),
        ("SITE_URL", "http://[::1", "SITE_URL must be an http(s) address"),
        ("CACHE_URL", "127.0.0.1:6379", "CACHE_URL must be like redis://host:6379/1."),
        ("CACHE_URL", "redis://127.0.0.1:port/1", "CACHE_URL must be like redis://host:6379/1."),
        ("SITE_URL", "https://papers.example.org/papers", "SITE_URL must be like https://papers."),
        ("SITE_URL", "https://papers.example.org?a=b", "SITE_URL must be like https://papers."),
        ("SITE_URL", "https://me@papers.example.org", "SITE_URL must be like https://papers."),
        ("ALLOWED_HOSTS", "https://x.example", "ALLOWED_HOSTS must be names between commas, such"),
        ("ALLOWED_HOSTS", "x.example:443", "ALLOWED_HOSTS must be names between commas, such as"),
        ("ALLOWED_HOSTS", "x.example y.example", "ALLOWED_HOSTS must be names between commas, su"),
        ("ALLOWED_HOSTS", "münchen.example", "ALLOWED_HOSTS must be names between commas, such"),
        ("SOURCE_URL", "git.example.org/paperboy", "SOURCE_URL must be an http(s) address"),
        ("SOURCE_URL", "javascript:alert(1)", "SOURCE_URL must be an http(s) address"),
        ("DEFAULT_FROM_EMAIL", "Paperboy", "DEFAULT_FROM_EMAIL holds no address"),
        ("DEFAULT_FROM_EMAIL", "Paperboy <>", "DEFAULT_FROM_EMAIL holds no address"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_refused(read_settings, name, value, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**{"SECRET_KEY": "a secret", "ALLOWED_HOSTS": "*", name: value})
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "url",
    [
        "papers",
        "mysql://you:hush@127.0.0.1/papers",
        "postgres://you:hush#1@127.0.0.1/papers",
        "postgres://you:hush@127.0.0.1:port/papers",
        "postgres://you:hush@127.0.0.1/",
    ],
)
def test_a_database_that_cannot_be_found_by_its_address_is_refused(read_settings, url):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**PUBLIC | {"DATABASE_URL": url})
    assert str(refused.value).startswith("DATABASE_URL must be like postgres://user:password@host/")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "rubbish",
        "127.0.0.1:6379/0",
        "redis//:hush@127.0.0.1/0",
        "redis://:hush@127.0.0.1:port/0",
        "redis://:hush#1@127.0.0.1/0",
        "redis://:hush/1@127.0.0.1/0",
        "redis://:hush[1@127.0.0.1/0",
        "redis://:hush@127.0.0.1/first",
        "http://:hush@127.0.0.1/0",
    ],
)
def test_a_broker_that_cannot_be_found_by_its_address_is_refused(read_settings, url):
    """Celery would ask a host of that name by AMQP, for ever, or break off without a name."""
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(CELERY_BROKER_URL=url)
    assert str(refused.value).startswith("CELERY_BROKER_URL must be like redis://:password@host")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "memory:",
        "redis://",
        "redis://localhost",
        "rediss://:a%23b@[::1]:6380/2",
        "redis+socket:///run/redis",
    ],
)
def test_a_broker_may_be_named_as_celery_has_them(read_settings, url):
    assert read_settings(CELERY_BROKER_URL=url)["CELERY_BROKER_URL"] == url


@pytest.mark.parametrize("hosts", ["*", ".example.org", "x.example.,127.0.0.1,[::1],my_host"])
def test_hosts_are_named_as_requests_name_them(read_settings, hosts):
    assert read_settings(ALLOWED_HOSTS=hosts)["ALLOWED_HOSTS"] == hosts.split(",")


@pytest.mark.parametrize("url", ["hooks.example.org/hush", "http://[::1/hush", "ftp://x/hush"])
def test_a_webhook_that_is_none_is_refused_and_not_repeated(read_settings, url):
    """What httpx can't read would end each look for alarms."""
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(ALARM_WEBHOOK=url)
    assert str(refused.value) == "ALARM_WEBHOOK must be an http(s) address."


def test_what_nearly_has_the_name_of_a_setting_is_noticed(read_settings):
    """Nothing else would tell that readers are on an SQLite that nobody has asked for."""
    environment = {
        "DATABSE_URL": "postgres://you:hush@db.example.org/papers",
        "METRICS_TOKEN_FILES": "/run/secrets/token",
        "EDITOR": "vi",
        "POSTGRES_PASSWORD": "hush",
    }
    assert read_settings(**environment)["SLIPS"] == [
        ("DATABSE_URL", "DATABASE_URL"),
        ("METRICS_TOKEN_FILES", "METRICS_TOKEN_FILE"),
    ]


def test_blanks_around_a_value_are_none_of_it(read_settings, data_dir):
    """A file that was written on Windows ends each line with one."""
    settings = read_settings(
        DATA_DIR=f"{data_dir} ", METRICS_TOKEN=" 0123456789abcdef\r", SITE_NAME="Our Papers "
    )
    assert settings["DATA_DIR"] == data_dir
    assert settings["METRICS_TOKEN"] == "0123456789abcdef"
    assert settings["SITE_NAME"] == "Our Papers"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("file:/srv/letters", "EMAIL_URL=file: takes no path: letters become files in outbox/ of"),
        ("file:///srv/letters", "EMAIL_URL=file: takes no path: letters become files in outbox/"),
        ("gopher:", "EMAIL_URL begins with 'gopher', which is no transport of ours."),
        ("mail.example.org:25", "EMAIL_URL begins with"),
        ("smtp:", "EMAIL_URL names no host: smtp://host:port."),
        ("smtp://mail.example.org:mail", "EMAIL_URL holds a port that is no number."),
        ("smtp://you:hush#1@mail.example.org", "EMAIL_URL holds a port that is no number. What is"),
        ("smtp://you:25#1@mail.example.org", "EMAIL_URL holds more than a host and a port. What"),
        ("smtp://you:hush[1@mail.example.org", "EMAIL_URL holds a port that is no number. What is"),
        ("mailgun://hush[1@example.org", "EMAIL_URL holds a bracket: in a key, it stands as %5B"),
        ("mailgun", "EMAIL_URL must say mailgun://KEY@DOMAIN."),
        ("Postmark", "EMAIL_URL must say postmark://KEY."),
        (
            "smtp://mail.example.org?tls=maybe",
            "EMAIL_URL: tls must be none, starttls or implicit, not 'maybe'.",
        ),
        (
            "smtp://mail.example.org?tsl=starttls",
            "EMAIL_URL knows tls and connections behind its ?, not tsl.",
        ),
    ],
)
def test_a_mail_server_that_makes_no_sense_is_refused_with_a_sentence(url, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(url)
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


def test_no_sentence_about_the_mail_server_tells_its_password():
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for("smtp://you:hush@mail.example.org:25?tls=maybe")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("EMAIL_URL", "gopher:", "EMAIL_URL begins with 'gopher'"),
        ("RANKING", "flor=0.2", "RANKING: flor is no setting"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_lost_to_it(
    data_dir, name, value, sentence
):
    refused = manage("check", DATA_DIR=str(data_dir), **{name: value})
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Settings: {sentence}")


@pytest.fixture
def begin(read_settings, settings):
    """Return a function that lets a room begin, as each process does, with a variable."""

    def begin(room, name, value):
        setattr(settings, name, read_settings(**{name: value})[name])
        apps.get_app_config(room).ready()

    return begin


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "ORACLE",
            "postfix",
            "ORACLE is 'postfix', which is no oracle of ours. It may be empty, or",
        ),
        ("TRANSACTIONAL_FROM_EMAIL", "hello", "TRANSACTIONAL_FROM_EMAIL: 'hello' is no address"),
        ("REPLY_TO_EMAIL", "me@x.org, you@x.org", "REPLY_TO_EMAIL: 'me@x.org, you@x.org' is no"),
        ("BOUNCE_ADDRESS", "returned@", "BOUNCE_ADDRESS: 'returned@' is no address that letters"),
        ("BOUNCE_ADDRESS", "re turned@x.org", "BOUNCE_ADDRESS: 're turned@x.org' is no address"),
        ("RECIPIENT_DELIMITER", "@", "RECIPIENT_DELIMITER must be one sign, such as + or -, or"),
        ("RECIPIENT_DELIMITER", "++", "RECIPIENT_DELIMITER must be one sign, such as + or -, or"),
        (
            "BOUNCE_MAILBOX",
            "imaps://me:hush@x:port/INBOX",
            "BOUNCE_MAILBOX holds a port that is no",
        ),
    ],
)
def test_what_no_letter_could_leave_or_come_back_with_is_refused_at_the_start(
    begin, name, value, sentence
):
    with pytest.raises(ImproperlyConfigured) as refused:
        begin("subscriptions", name, value)
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RANKING", "flor=0.2", "RANKING: flor is no setting; there are duplicate, expansion,"),
        ("RANKING", "floor=20", "RANKING: floor must be a number from 0 to 10, not 20.0."),
        ("SOURCES", "arxiv,pubmed", "SOURCES names pubmed; there are arxiv, huggingface,"),
        (
            "ARXIV_CATEGORIES",
            "cs,cs.lg",
            "ARXIV_CATEGORIES names cs.lg, which arXiv has not: did you mean cs.LG?",
        ),
        (
            "ARXIV_CATEGORIES",
            "bread",
            "ARXIV_CATEGORIES names bread, which arXiv has not: they are like cs.LG, and archives",
        ),
    ],
)
def test_what_no_digest_could_be_made_with_is_refused_at_the_start(begin, name, value, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        begin("digest", name, value)
    assert str(refused.value).startswith(sentence)


def test_a_level_of_the_log_may_be_written_small(read_settings):
    assert read_settings(LOG_LEVEL="info")["LOGGING"]["root"]["level"] == "INFO"


def test_a_data_folder_that_cannot_be_one_is_named(read_settings):
    with pytest.raises(ImproperlyConfigured, match=r"^DATA_DIR is /dev/null, which is no"):
        read_settings(DATA_DIR="/dev/null", SECRET_KEY="a secret")


def test_a_folder_that_takes_no_key_is_named(read_settings):
    with pytest.raises(ImproperlyConfigured, match="No key can be kept in /dev/null/secret-key"):
        read_settings(DATA_DIR="/dev/null")


def test_a_web_process_that_ranks_nothing_imports_no_numpy(tmp_path):
    code = (
        "import sys, django; django.setup(); import config.urls, config.wsgi; "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'scipy', 'sklearn')))"
    )
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


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


def test_a_page_of_a_web_server_multiplies_in_one_thread(tmp_path):
    code = (
        "import config.wsgi, sys; assert 'numpy' not in sys.modules; import numpy, threadpoolctl; "
        "used = [one['num_threads'] for one in threadpoolctl.threadpool_info()]; "
        "sys.exit(any(one > 1 for one in used))"
    )
    env = {name: os.environ[name] for name in ("PATH",)} | {"DATA_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0
