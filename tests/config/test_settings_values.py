"""Which values of settings are accepted, and the sentences that refuse others."""

import sys

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.transports.esps import ESPS, esp_of
from subscriptions.delivery.transports.registry import transport_for
from tests.config.environment import PUBLIC
from tests.helpers import data_files

DATA = data_files.load("settings.toml")


@pytest.mark.parametrize(("name", "values", "sentence"), DATA["bad_values"])
def test_invalid_value_is_refused_with_a_sentence(read_settings, name, values, sentence):
    for value in values:
        with pytest.raises(ImproperlyConfigured) as refused:
            read_settings(**{"SECRET_KEY": "k" * 32, "ALLOWED_HOSTS": "*", name: value})
        assert str(refused.value).startswith(sentence)
        assert "hush" not in str(refused.value)


BAD_FILES = [*DATA["bad_secret_files"], [sys.executable, "(SECRET_KEY_FILE): not a text file"]]


@pytest.mark.parametrize(("path", "sentence"), BAD_FILES)
def test_invalid_secret_file_is_refused(read_settings, path, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(SECRET_KEY_FILE=path)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("name", "value"), DATA["good_values"])
def test_valid_value_is_accepted(read_settings, name, value):
    written = ",".join(value) if isinstance(value, list) else value
    assert read_settings(**{name: written})[name] == value


def test_secrets_are_read_from_files(read_settings, tmp_path):
    secrets = PUBLIC | DATA["secrets"]
    for name, said in secrets.items():
        (tmp_path / name).write_text(f"{said}\n")
    settings = read_settings(**{f"{name}_FILE": str(tmp_path / name) for name in secrets})
    for name in ("SECRET_KEY", "EMAIL_URL", "CELERY_BROKER_URL", "RECIPIENT_DELIMITER"):
        assert settings[name] == secrets[name]
    assert settings["SECRET_KEY_FALLBACKS"] == ["an old one", "an older one"]
    assert settings["DATABASES"]["default"]["PASSWORD"] == "hush"
    assert settings["CACHES"]["default"]["LOCATION"] == secrets["CACHE_URL"]
    assert settings["SOURCES"] == ["huggingface"]


def test_misspelt_setting_is_reported(read_settings):
    """Nothing else would tell that subscribers are on an SQLite that nobody has asked for."""
    wrong = {"DATABSE_URL": "DATABASE_URL", "METRICS_TOKEN_FILES": "METRICS_TOKEN_FILE"}
    environment = {**dict.fromkeys(wrong, "x"), "EDITOR": "vi", "POSTGRES_PASSWORD": "hush"}
    assert read_settings(**environment)["MISSPELT_SETTINGS"] == [*wrong.items()]


def test_whitespace_around_a_value_is_ignored(read_settings, data_dir):
    """A file that was written on Windows ends each line with one."""
    settings = read_settings(DATA_DIR=f"{data_dir} ", METRICS_TOKEN=" 0123456789abcdef\r")
    assert settings["DATA_DIR"] == data_dir
    assert settings["METRICS_TOKEN"] == "0123456789abcdef"


def test_log_level_may_be_lower_case(read_settings):
    assert read_settings(LOG_LEVEL="info")["LOGGING"]["root"]["level"] == "INFO"


NO_FOLDERS = [
    ({"SECRET_KEY": "a secret"}, r"^Cannot create the folder /dev/null \("),
    ({}, "Cannot store the secret key in /dev/null/secret-key"),
]


@pytest.mark.parametrize(("key", "sentence"), NO_FOLDERS)
def test_invalid_data_folder_is_named(read_settings, key, sentence):
    with pytest.raises(ImproperlyConfigured, match=sentence):
        read_settings(DATA_DIR="/dev/null", **key)


# ---- What is refused as a process starts, before anything is lost to it


@pytest.mark.parametrize(("url", "sentence"), DATA["bad_email_urls"])
def test_invalid_email_url_is_refused_with_a_sentence(url, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(url)
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("esp", ESPS.values(), ids=ESPS)
def test_api_url_is_refused_with_the_smtp_url(esp):
    with pytest.raises(ImproperlyConfigured) as refused:
        transport_for(f"{esp.name}://hush@example.org")
    assert f"EMAIL_URL={esp.email_url}," in str(refused.value)
    assert "hush" not in str(refused.value)
    assert transport_for(esp.email_url).server.tls == "starttls"
    assert esp_of(esp.email_url) is esp


@pytest.mark.parametrize("name", ["DELIVERY_LOOKUP", "PROVIDER_RATES"])
def test_removed_variable_is_refused(read_settings, name):
    with pytest.raises(ImproperlyConfigured, match=f"^{name} is no longer read. Remove it"):
        read_settings(**{name: "x"})
    read_settings(**{name: ""})


@pytest.mark.parametrize(("name", "value", "sentence"), DATA["breaking"])
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
