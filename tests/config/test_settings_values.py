"""How values may be written, and the sentence with which those are refused that make no sense."""

import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.config.environment import PUBLIC

ABOVE_ZERO = "must be a whole number above zero, not"
LIMITS = "LIMITS must be whole numbers above zero for network, all,"
HOSTS = "ALLOWED_HOSTS must be names between commas, such as"
HTTP = "must be an http(s) address"
DATABASE = "DATABASE_URL must be like postgres://user:password@host/"
BROKER = "CELERY_BROKER_URL must be like redis://:password@host"


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("NEW_DAYS", ["0", "seven", "1.5"], f"NEW_DAYS {ABOVE_ZERO} '"),
        ("NEW_DAYS", ["401"], "NEW_DAYS is 401: above KEEP_LETTERS_DAYS, readers would get papers"),
        ("CORPUS_DAYS", ["0"], f"CORPUS_DAYS {ABOVE_ZERO} '0'."),
        ("KEEP_LETTERS_DAYS", ["89"], "KEEP_LETTERS_DAYS is 89: below 90, readers would get"),
        ("KEEP_LETTERS_DAYS", ["999999"], "KEEP_LETTERS_DAYS must be 36500 at most, not 999999."),
        ("KEEP_HARVESTS_DAYS", ["13"], "KEEP_HARVESTS_DAYS is 13: below 14, days that are owed"),
        ("LOG_FORMAT", ["xml"], "LOG_FORMAT must be text or json, not 'xml'."),
        ("LOG_LEVEL", ["loud"], "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not"),
        ("PROVIDER_RATES", ["google"], "PROVIDER_RATES must be like google=600, with a number"),
        ("PROVIDER_RATES", ["google=0", "google=nan"], "PROVIDER_RATES must be letters a minute,"),
        ("RANKING", ["cut"], "RANKING must be like cut=4, with a number"),
        ("METRICS_TOKEN", ["short"], "METRICS_TOKEN is too short: make one of 16 characters"),
        ("DEBUG", ["maybe"], "DEBUG must be 1 or 0, not 'maybe'."),
        ("LIMITS", ["network=0", "network=1.5", "all=2000000000", "mail=5", "all=nan"], LIMITS),
        ("TRUSTED_PROXIES", ["nginx"], "TRUSTED_PROXIES must be a number, or networks such as"),
        ("SITE_URL", ["x.example", "ftp://x.example", "https://"], f"SITE_URL {HTTP}"),
        ("SITE_URL", ["http://papers.example.org:80a", "http://[::1"], f"SITE_URL {HTTP}"),
        ("SITE_URL", ["https://x.y/z", "https://x.y?a=b", "https://me@x.y"], "SITE_URL must be l"),
        ("CACHE_URL", ["127.0.0.1:6379", "redis://127.0.0.1:port/1"], "CACHE_URL must be like re"),
        ("ALLOWED_HOSTS", ["https://x.example", "x.example:443", "x.org y.org", "münchen"], HOSTS),
        ("SOURCE_URL", ["git.example.org/paperboy", "javascript:alert(1)"], f"SOURCE_URL {HTTP}"),
        ("CONTACT_EMAIL", ["hello", "Ada <a@x.example>"], "CONTACT_EMAIL must be like hello@"),
        ("DEFAULT_FROM_EMAIL", ["Paperboy", "Paperboy <>"], "DEFAULT_FROM_EMAIL holds no address"),
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
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_refused(read_settings, name, values, sentence):
    for value in values:
        with pytest.raises(ImproperlyConfigured) as refused:
            read_settings(**{"SECRET_KEY": "k" * 32, "ALLOWED_HOSTS": "*", name: value})
        assert str(refused.value).startswith(sentence)
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/no/such", "is /no/such, which can't be read: No such file"),
        ("/", "is /, which can't be read: Is a directory"),
        ("/dev/null", "is /dev/null, which is empty"),
        (sys.executable, "which can't be read: it holds no text"),
    ],
)
def test_a_file_that_cannot_be_the_secret_is_refused(read_settings, path, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(SECRET_KEY_FILE=path)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CELERY_BROKER_URL", "memory:"),
        ("CELERY_BROKER_URL", "redis://localhost"),
        ("CELERY_BROKER_URL", "rediss://:a%23b@[::1]:6380/2"),
        ("CELERY_BROKER_URL", "redis+socket:///run/redis"),
        ("ALLOWED_HOSTS", ["*"]),
        ("ALLOWED_HOSTS", ["x.example.", ".example.org", "127.0.0.1", "[::1]", "my_host"]),
    ],
)
def test_a_value_may_be_written_as_celery_and_requests_have_it(read_settings, name, value):
    written = ",".join(value) if isinstance(value, list) else value
    assert read_settings(**{name: written})[name] == value


def test_what_is_secret_may_stand_in_files(read_settings, tmp_path):
    told = {
        **PUBLIC,
        "SECRET_KEY_FALLBACKS": "an old one\nan older one\n",
        "DATABASE_URL": "postgres://you:hush@db.example.org/papers",
        "EMAIL_URL": "smtp://you:hush@mail.example.org:587",
        "CELERY_BROKER_URL": "redis://:hush@redis.example.org/0",
        "CACHE_URL": "redis://:hush@redis.example.org/1",
        "SOURCES": "huggingface",
        "RECIPIENT_DELIMITER": "-",
    }
    for name, said in told.items():
        (tmp_path / name).write_text(f"{said}\n")
    settings = read_settings(**{f"{name}_FILE": str(tmp_path / name) for name in told})
    for name in ("SECRET_KEY", "EMAIL_URL", "CELERY_BROKER_URL", "RECIPIENT_DELIMITER"):
        assert settings[name] == told[name]
    assert settings["SECRET_KEY_FALLBACKS"] == ["an old one", "an older one"]
    assert settings["DATABASES"]["default"]["PASSWORD"] == "hush"
    assert settings["CACHES"]["default"]["LOCATION"] == told["CACHE_URL"]
    assert settings["SOURCES"] == ["huggingface"]


def test_sources_and_the_delimiter_may_be_set_to_nothing(read_settings):
    settings = read_settings(SOURCES="", RECIPIENT_DELIMITER="")
    assert (settings["SOURCES"], settings["RECIPIENT_DELIMITER"]) == ([], "")


def test_what_nearly_has_the_name_of_a_setting_is_noticed(read_settings):
    """Nothing else would tell that readers are on an SQLite that nobody has asked for."""
    environment = {
        "DATABSE_URL": "postgres://you:hush@db.example.org/papers",
        "METRICS_TOKEN_FILES": "/run/secrets/token",
        "EDITOR": "vi",
        "POSTGRES_PASSWORD": "hush",
    }
    assert read_settings(**environment)["MISSPELT_SETTINGS"] == [
        ("DATABSE_URL", "DATABASE_URL"),
        ("METRICS_TOKEN_FILES", "METRICS_TOKEN_FILE"),
    ]


def test_blanks_around_a_value_are_none_of_it(read_settings, data_dir):
    """A file that was written on Windows ends each line with one."""
    settings = read_settings(DATA_DIR=f"{data_dir} ", METRICS_TOKEN=" 0123456789abcdef\r")
    assert settings["DATA_DIR"] == data_dir
    assert settings["METRICS_TOKEN"] == "0123456789abcdef"


def test_a_level_of_the_log_may_be_written_small(read_settings):
    assert read_settings(LOG_LEVEL="info")["LOGGING"]["root"]["level"] == "INFO"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ({"SECRET_KEY": "a secret"}, r"^DATA_DIR is /dev/null, which is no"),
        ({}, "No key can be kept in /dev/null/secret-key"),
    ],
)
def test_a_data_folder_that_cannot_be_one_is_named(read_settings, key, sentence):
    with pytest.raises(ImproperlyConfigured, match=sentence):
        read_settings(DATA_DIR="/dev/null", **key)
