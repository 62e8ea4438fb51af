"""How values may be written, and the sentence with which those are refused that make no sense."""

import sys

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

import manage
from subscriptions.delivery.transports.esps import ESPS, esp_of
from subscriptions.delivery.transports.registry import transport_for
from tests.config.environment import PUBLIC

ABOVE_ZERO = "must be a whole number above zero, not"
LIMITS = "LIMITS must be whole numbers from 1 to a billion for network, all,"
HOSTS = "ALLOWED_HOSTS must be host names with commas, such as"
HTTP = "must be an http(s) URL"
DATABASE = "DATABASE_URL must be like postgres://user:password@host/"
BROKER = "CELERY_BROKER_URL must be like redis://:password@host"


BAD_VALUES = [
    ("NEW_DAYS", ["0", "seven", "1.5"], f"NEW_DAYS {ABOVE_ZERO} '"),
    ("NEW_DAYS", ["401"], "NEW_DAYS is 401. Use KEEP_LETTERS_DAYS at most, or papers"),
    ("CORPUS_DAYS", ["0"], f"CORPUS_DAYS {ABOVE_ZERO} '0'."),
    ("KEEP_LETTERS_DAYS", ["89"], "KEEP_LETTERS_DAYS is 89. Use 90 or more, or papers"),
    ("KEEP_LETTERS_DAYS", ["999999"], "KEEP_LETTERS_DAYS must be at most 36500, not 999999."),
    ("KEEP_HARVESTS_DAYS", ["13"], "KEEP_HARVESTS_DAYS is 13. Use 14 or more, or missed"),
    ("LOG_FORMAT", ["xml"], "LOG_FORMAT must be text or json, not 'xml'."),
    ("LOG_LEVEL", ["loud"], "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not"),
    ("PROVIDER_RATES", ["google"], "PROVIDER_RATES must be like google=600, not"),
    ("PROVIDER_RATES", ["google=0", "google=nan"], "PROVIDER_RATES must be emails per minute,"),
    ("ARXIV_HOLIDAYS", ["2027-05-20", "+2027-02-30", "+ -"], "ARXIV_HOLIDAYS must be like +2026-1"),
    ("RANKING", ["cut"], "RANKING must be like cut=0.5, not"),
    ("METRICS_TOKEN", ["short"], "METRICS_TOKEN is too short. Use at least 16 characters"),
    ("LLM_URL", ["http://127.0.0.1/v1"], "LLM_URL and LLM_MODEL belong together. Set both"),
    ("DEBUG", ["maybe"], "DEBUG must be 1 or 0, not 'maybe'."),
    ("LIMITS", ["network=0", "network=1.5", "all=2000000000", "mail=5", "all=nan"], LIMITS),
    ("TRUSTED_PROXIES", ["nginx"], "TRUSTED_PROXIES must be a number or networks such as"),
    ("SITE_URL", ["x.example", "ftp://x.example", "https://"], f"SITE_URL {HTTP}"),
    ("SITE_URL", ["http://papers.example.org:80a", "http://[::1"], f"SITE_URL {HTTP}"),
    ("SITE_URL", ["https://x.y/z", "https://x.y?a=b", "https://me@x.y"], "SITE_URL must be l"),
    ("CACHE_URL", ["127.0.0.1:6379", "redis://127.0.0.1:port/1"], "CACHE_URL must be like re"),
    ("ALLOWED_HOSTS", ["https://x.example", "x.example:443", "x.org y.org", "münchen"], HOSTS),
    ("SOURCE_URL", ["git.example.org/paperboy", "javascript:alert(1)"], f"SOURCE_URL {HTTP}"),
    ("CONTACT_EMAIL", ["hello", "Ada <a@x.example>"], "CONTACT_EMAIL must be like hello@"),
    ("DEFAULT_FROM_EMAIL", ["Paperboy", "Paperboy <>"], "DEFAULT_FROM_EMAIL has no email address"),
    # What httpx2 can't read would end each look for alarms.
    ("ALARM_WEBHOOK", ["x/hush", "http://[::1/hush", "ftp://x/hush"], f"ALARM_WEBHOOK {HTTP}."),
    ("DATABASE_URL", ["papers", "mysql://you:hush@127.0.0.1/papers"], DATABASE),
    ("DATABASE_URL", ["postgres://you:hush#1@127.0.0.1/x", "postgres://a:hush@b/"], DATABASE),
    ("DATABASE_URL", ["postgres://you:hush@127.0.0.1:port/papers"], DATABASE),
    # Celery would ask a host of that name by AMQP, for ever, or break off without a name.
    ("CELERY_BROKER_URL", ["rubbish", "127.0.0.1:6379/0", "http://:hush@127.0.0.1/0"], BROKER),
    ("CELERY_BROKER_URL", ["redis//:hush@x/0", "redis://:hush@x:port/0"], BROKER),
    ("CELERY_BROKER_URL", ["redis://:hush#1@x/0", "redis://:hush/1@x/0"], BROKER),
    ("CELERY_BROKER_URL", ["redis://:hush[1@x/0", "redis://:hush@x/first"], BROKER),
    ("SECRET_KEY_FILE", ["/x"], "SECRET_KEY and SECRET_KEY_FILE are"),
]


@pytest.mark.parametrize(("name", "values", "sentence"), BAD_VALUES)
def test_a_value_that_makes_no_sense_is_named_and_refused(read_settings, name, values, sentence):
    for value in values:
        with pytest.raises(ImproperlyConfigured) as refused:
            read_settings(**{"SECRET_KEY": "k" * 32, "ALLOWED_HOSTS": "*", name: value})
        assert str(refused.value).startswith(sentence)
        assert "hush" not in str(refused.value)


BAD_FILES = [
    ("/no/such", "Cannot read /no/such (SECRET_KEY_FILE): No such file"),
    ("/", "Cannot read / (SECRET_KEY_FILE): Is a directory"),
    ("/dev/null", "The file /dev/null (SECRET_KEY_FILE) is empty"),
    (sys.executable, "(SECRET_KEY_FILE): not a text file"),
]


@pytest.mark.parametrize(("path", "sentence"), BAD_FILES)
def test_a_file_that_cannot_be_the_secret_is_refused(read_settings, path, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(SECRET_KEY_FILE=path)
    assert sentence in str(refused.value)


GOOD_VALUES = [
    ("CELERY_BROKER_URL", "memory:"),
    ("CELERY_BROKER_URL", "redis://localhost"),
    ("CELERY_BROKER_URL", "rediss://:a%23b@[::1]:6380/2"),
    ("CELERY_BROKER_URL", "redis+socket:///run/redis"),
    ("ALLOWED_HOSTS", ["*"]),
    ("ALLOWED_HOSTS", ["x.example.", ".example.org", "127.0.0.1", "[::1]", "my_host"]),
]


@pytest.mark.parametrize(("name", "value"), GOOD_VALUES)
def test_a_value_may_be_written_as_celery_and_requests_have_it(read_settings, name, value):
    written = ",".join(value) if isinstance(value, list) else value
    assert read_settings(**{name: written})[name] == value


def test_what_is_secret_may_stand_in_files(read_settings, tmp_path):
    secrets = {
        **PUBLIC,
        "SECRET_KEY_FALLBACKS": "an old one\nan older one\n",
        "DATABASE_URL": "postgres://you:hush@db.example.org/papers",
        "EMAIL_URL": "smtp://you:hush@mail.example.org:587",
        "CELERY_BROKER_URL": "redis://:hush@redis.example.org/0",
        "CACHE_URL": "redis://:hush@redis.example.org/1",
        "SOURCES": "huggingface",
        "RECIPIENT_DELIMITER": "-",
    }
    for name, said in secrets.items():
        (tmp_path / name).write_text(f"{said}\n")
    settings = read_settings(**{f"{name}_FILE": str(tmp_path / name) for name in secrets})
    for name in ("SECRET_KEY", "EMAIL_URL", "CELERY_BROKER_URL", "RECIPIENT_DELIMITER"):
        assert settings[name] == secrets[name]
    assert settings["SECRET_KEY_FALLBACKS"] == ["an old one", "an older one"]
    assert settings["DATABASES"]["default"]["PASSWORD"] == "hush"
    assert settings["CACHES"]["default"]["LOCATION"] == secrets["CACHE_URL"]
    assert settings["SOURCES"] == ["huggingface"]


def test_sources_and_the_delimiter_may_be_set_to_nothing(read_settings):
    settings = read_settings(SOURCES="", RECIPIENT_DELIMITER="")
    assert (settings["SOURCES"], settings["RECIPIENT_DELIMITER"]) == ([], "")


def test_what_nearly_has_the_name_of_a_setting_is_noticed(read_settings):
    """Nothing else would tell that subscribers are on an SQLite that nobody has asked for."""
    wrong = {"DATABSE_URL": "DATABASE_URL", "METRICS_TOKEN_FILES": "METRICS_TOKEN_FILE"}
    environment = {**dict.fromkeys(wrong, "x"), "EDITOR": "vi", "POSTGRES_PASSWORD": "hush"}
    assert read_settings(**environment)["MISSPELT_SETTINGS"] == [*wrong.items()]


def test_blanks_around_a_value_are_none_of_it(read_settings, data_dir):
    """A file that was written on Windows ends each line with one."""
    settings = read_settings(DATA_DIR=f"{data_dir} ", METRICS_TOKEN=" 0123456789abcdef\r")
    assert settings["DATA_DIR"] == data_dir
    assert settings["METRICS_TOKEN"] == "0123456789abcdef"


def test_a_level_of_the_log_may_be_written_small(read_settings):
    assert read_settings(LOG_LEVEL="info")["LOGGING"]["root"]["level"] == "INFO"


NO_FOLDERS = [
    ({"SECRET_KEY": "a secret"}, r"^Cannot create the folder /dev/null \("),
    ({}, "Cannot store the secret key in /dev/null/secret-key"),
]


@pytest.mark.parametrize(("key", "sentence"), NO_FOLDERS)
def test_a_data_folder_that_cannot_be_one_is_named(read_settings, key, sentence):
    with pytest.raises(ImproperlyConfigured, match=sentence):
        read_settings(DATA_DIR="/dev/null", **key)


# ---- What is refused as a process starts, before anything is lost to it


NO_NUMBER = "EMAIL_URL has no valid port."
HUSH = "smtp://you:hush"
LINKS = "SITE_URL must be written as links are (an intern"
DELIMITER = "RECIPIENT_DELIMITER must be one character, such as + or"


MAIL_SERVERS = [
    ("file:///srv/letters", "EMAIL_URL=file: takes no path: emails are written to"),
    ("gopher:", "EMAIL_URL must be file: or"),
    ("mail.example.org:25", "EMAIL_URL must be file: or"),
    ("smtp:", "EMAIL_URL has no host: write it like"),
    ("smtp://mail.example.org:mail", NO_NUMBER),
    (f"{HUSH}#1@mail.example.org", f"{NO_NUMBER} Write it like"),
    (f"{HUSH}[1@mail.example.org", f"{NO_NUMBER} Write it like"),
    ("smtp://you:25#1@mail.example.org", "EMAIL_URL has something after host and port. Write"),
    (f"{HUSH}@x.org:25?tls=maybe", "EMAIL_URL: tls must be none, starttls or implicit, not"),
    ("smtp://x.org?tsl=starttls", "EMAIL_URL takes the options tls and connections, not tsl."),
]


@pytest.mark.parametrize(("url", "sentence"), MAIL_SERVERS)
def test_a_mail_server_that_makes_no_sense_is_refused_with_a_sentence(url, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(url)
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("esp", ESPS.values(), ids=ESPS)
def test_a_providers_api_is_refused_with_the_line_to_write_instead(esp):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(f"{esp.name}://hush@example.org")
    assert f"EMAIL_URL={esp.email_url}," in str(refused.value)
    assert "hush" not in str(refused.value)
    assert transport_for(esp.email_url).server.tls == "starttls"
    assert esp_of(esp.email_url) is esp


@pytest.mark.parametrize("name", ["DKIM_KEY_FILE", "DKIM_SELECTOR"])
def test_a_variable_that_is_gone_is_refused_with_what_to_do(read_settings, name):
    with pytest.raises(ImproperlyConfigured, match=f"^{name} is no longer read. Remove it"):
        read_settings(**{name: "x"})
    read_settings(**{name: ""})


@pytest.mark.parametrize("command", ["evaluate", "replay"])
def test_removed_command_is_refused_with_line_to_write(monkeypatch, command):
    monkeypatch.setattr(sys, "argv", ["manage.py", command, "x"])
    with pytest.raises(SystemExit, match=f"run `uv run python -m tests.benchmarks.{command} x`"):
        manage.main()


BREAKING = [
    ("ORACLE", "postfix", "ORACLE must be empty or like postfix:/var/log/mail.log,"),
    ("TRANSACTIONAL_FROM_EMAIL", "hello", "TRANSACTIONAL_FROM_EMAIL: 'hello' is no address"),
    ("REPLY_TO_EMAIL", "me@x.org, you@x.org", "REPLY_TO_EMAIL: 'me@x.org, you@x.org' is no"),
    ("BOUNCE_ADDRESS", "returned@", "BOUNCE_ADDRESS: 'returned@' is no address that letters"),
    ("BOUNCE_ADDRESS", "re turned@x.org", "BOUNCE_ADDRESS: 're turned@x.org' is no address"),
    ("RECIPIENT_DELIMITER", "@", DELIMITER),
    ("RECIPIENT_DELIMITER", "++", DELIMITER),
    ("BOUNCE_MAILBOX", "imaps://me:hush@x:port/INBOX", "BOUNCE_MAILBOX must be like maildir:"),
    ("SITE_URL", "https://bücher.example", LINKS),
    ("SITE_URL", 'https://a.example"><x', LINKS),
    ("DEFAULT_FROM_EMAIL", "d@bücher.example", "DEFAULT_FROM_EMAIL: 'd@bücher.example' is no"),
    ("DEFAULT_FROM_EMAIL", "Foo <foo bar@b.example>", "DEFAULT_FROM_EMAIL: 'Foo <foo bar@b"),
    ("RANKING", "cut=20", "RANKING: cut must be a probability from 0 to less than 1, not 20.0."),
    ("SOURCES", "arxiv,pubmed", "SOURCES has unknown names: pubmed. Choose from arxiv,"),
    ("ARXIV_CATEGORIES", "cs,cs.lg", "ARXIV_CATEGORIES: cs.lg is not an arXiv"),
    ("ARXIV_CATEGORIES", "bread", "ARXIV_CATEGORIES: bread is not an arXiv"),
]


@pytest.mark.parametrize(("name", "value", "sentence"), BREAKING)
def test_settings_that_break_email_are_refused(read_settings, settings, name, value, sentence):
    given = {"SECRET_KEY": "k" * 32, "ALLOWED_HOSTS": "*", name: value}
    setattr(settings, name, read_settings(**given)[name])
    with pytest.raises(ImproperlyConfigured) as refused:
        start()
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


def start():
    """Start our apps, as each process does."""
    for label in ("subscriptions", "digest"):
        apps.get_app_config(label).ready()
