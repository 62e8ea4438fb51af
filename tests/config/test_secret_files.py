"""What is secret may stand in files."""

import sys

import pytest
from django.core.exceptions import ImproperlyConfigured


def test_what_is_secret_may_stand_in_files(read_settings, tmp_path):
    told = {
        "SECRET_KEY": "a secret of more than 32 characters",
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
    assert settings["SECRET_KEY"] == told["SECRET_KEY"]
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
