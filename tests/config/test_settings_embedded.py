"""With nothing set, or little: everything is embedded."""

import re
import stat

import pytest

from config.env import generated_secret
from tests.config.environment import ROOT, manage
from tests.helpers.threads import at_once


def test_defaults_embed_everything(read_settings, data_dir):
    settings = read_settings()
    database = settings["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == str(data_dir / "paperboy.sqlite3")
    assert settings["CELERY_BROKER_URL"].startswith("memory:")
    assert settings["EMAIL_URL"] == "file:"
    assert settings["SITE_URL"] == "http://127.0.0.1:8000"
    assert settings["DEBUG"] is False
    assert "*" not in settings["ALLOWED_HOSTS"]


def test_empty_variable_equals_an_unset_one(read_settings):
    """Files for `docker compose` are full of them."""
    names = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    names += ["CACHE_URL", "DEBUG", "NEW_DAYS"]
    with_nothing, with_empty = read_settings(), read_settings(**dict.fromkeys(names, ""))
    plain = {key for key, value in with_nothing.items() if isinstance(value, str | int | list)}
    plain |= {"LOGGING", "DATABASES", "CACHES"}
    assert {key: with_nothing[key] for key in plain if key.isupper()} == {
        key: with_empty[key] for key in plain if key.isupper()
    }


def test_secret_key_is_made_once_and_is_private(read_settings, data_dir):
    keys = {read_settings()["SECRET_KEY"] for _ in range(2)}
    (key,) = keys
    assert len(key) >= 50
    assert stat.S_IMODE((data_dir / "secret-key").stat().st_mode) == 0o600
    assert (data_dir / "secret-key").read_text() == key


@pytest.mark.slow
def test_database_folder_is_made_with_a_given_key(tmp_path):
    data_dir = tmp_path / "a" / "new one"
    checked = manage("check", DATA_DIR=str(data_dir), SECRET_KEY="a secret")
    assert checked.returncode == 0, checked.stderr
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_concurrent_processes_share_one_key(data_dir):
    assert len(set(at_once(*20 * [lambda: generated_secret(data_dir / "new" / "secret-key")]))) == 1
    assert [file.name for file in (data_dir / "new").iterdir()] == ["secret-key"]


SITES = [
    ({"SITE_URL": ""}, "http://127.0.0.1:8117"),
    ({"SITE_URL_FILE": "{folder}/address"}, "http://papers.example.org"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("named", "leads_to"), SITES)
def test_links_have_the_served_port_unless_configured(data_dir, named, leads_to):
    (data_dir / "address").write_text("http://papers.example.org")
    named = {name: text.format(folder=data_dir) for name, text in named.items()}
    program = (
        "from django.conf import settings; from digest.management import embedded_server; "
        "embedded_server.use_port(8117); print(settings.SITE_URL)"
    )
    process = manage("shell", "-v0", "-c", program, DATA_DIR=str(data_dir), **named)
    assert process.stdout.strip() == leads_to, process.stderr
