"""How values may be written, and the sentence with which those are refused that make no sense."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.config.environment import PUBLIC


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("NEW_DAYS", "0", "NEW_DAYS must be a whole number above zero, not '0'."),
        ("NEW_DAYS", "seven", "NEW_DAYS must be a whole number above zero, not 'seven'."),
        ("NEW_DAYS", "1.5", "NEW_DAYS must be a whole number above zero, not '1.5'."),
        ("NEW_DAYS", "401", "NEW_DAYS is 401: above KEEP_LETTERS_DAYS, readers would get papers"),
        ("CORPUS_DAYS", "0", "CORPUS_DAYS must be a whole number above zero, not '0'."),
        ("KEEP_LETTERS_DAYS", "89", "KEEP_LETTERS_DAYS is 89: below 90, readers would get papers"),
        ("KEEP_LETTERS_DAYS", "999999", "KEEP_LETTERS_DAYS must be 36500 at most, not 999999."),
        ("ALARM_LATE_MINUTES", "9" * 20, "ALARM_LATE_MINUTES must be 36500 at most, not 999"),
        ("KEEP_HARVESTS_DAYS", "13", "KEEP_HARVESTS_DAYS is 13: below 14, days that are owed"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT must be text or json, not 'xml'."),
        ("LOG_LEVEL", "loud", "LOG_LEVEL must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not"),
        ("PROVIDER_RATES", "google", "PROVIDER_RATES must be like google=600, with a number"),
        ("PROVIDER_RATES", "google=0", "PROVIDER_RATES must be letters a minute, and more than"),
        ("PROVIDER_RATES", "google=nan", "PROVIDER_RATES must be letters a minute, and more than"),
        ("RANKING", "cut", "RANKING must be like cut=4, with a number"),
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
        ("CONTACT_EMAIL", "hello", "CONTACT_EMAIL must be like hello@example.org, not 'hello'."),
        ("CONTACT_EMAIL", "Ada <a@x.example>", "CONTACT_EMAIL must be like hello@example.org, not"),
        ("DEFAULT_FROM_EMAIL", "Paperboy", "DEFAULT_FROM_EMAIL holds no address"),
        ("DEFAULT_FROM_EMAIL", "Paperboy <>", "DEFAULT_FROM_EMAIL holds no address"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_and_refused(read_settings, name, value, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**{"SECRET_KEY": "k" * 32, "ALLOWED_HOSTS": "*", name: value})
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
    """What httpx2 can't read would end each look for alarms."""
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
    assert read_settings(**environment)["MISSPELT_SETTINGS"] == [
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


def test_a_level_of_the_log_may_be_written_small(read_settings):
    assert read_settings(LOG_LEVEL="info")["LOGGING"]["root"]["level"] == "INFO"


def test_a_data_folder_that_cannot_be_one_is_named(read_settings):
    with pytest.raises(ImproperlyConfigured, match=r"^DATA_DIR is /dev/null, which is no"):
        read_settings(DATA_DIR="/dev/null", SECRET_KEY="a secret")


def test_a_folder_that_takes_no_key_is_named(read_settings):
    with pytest.raises(ImproperlyConfigured, match="No key can be kept in /dev/null/secret-key"):
        read_settings(DATA_DIR="/dev/null")
