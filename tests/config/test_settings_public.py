"""A public installation: what it must be told, and what it does to be safe."""

import os
import shlex
import subprocess
import sys

import pytest
import yaml
from django.core.exceptions import ImproperlyConfigured

from tests.config.environment import DATABASE, PUBLIC, ROOT, manage


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS"])
@pytest.mark.parametrize("public", [PUBLIC, PUBLIC | DATABASE | {"SITE_URL": "http://x.example"}])
def test_a_public_installation_without_a_key_or_its_hosts_is_refused(
    read_settings, public, missing
):
    environment = {name: value for name, value in public.items() if name != missing}
    with pytest.raises(ImproperlyConfigured, match=f"^{missing} is not set.* needs it.*README"):
        read_settings(**environment)


def test_a_public_installation_with_a_short_key_is_refused(read_settings):
    with pytest.raises(ImproperlyConfigured, match=r"shorter than 32.*token_urlsafe.*FALLBACKS"):
        read_settings(**PUBLIC | {"SECRET_KEY": "k" * 31})
    assert read_settings(**PUBLIC | {"SECRET_KEY": "k" * 32})["SECRET_KEY"] == "k" * 32


def test_an_https_address_in_capitals_and_a_database_in_a_file_are_public_too(
    read_settings, tmp_path
):
    (tmp_path / "url").write_text(DATABASE["DATABASE_URL"])
    for public in (
        {"SITE_URL": "HTTPS://papers.example.org"},
        {"DATABASE_URL_FILE": str(tmp_path / "url")},
    ):
        with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set"):
            read_settings(**public)


@pytest.mark.slow
def test_every_command_of_a_public_installation_is_refused_with_a_sentence(data_dir):
    refused = manage("migrate", DATA_DIR=str(data_dir), SITE_URL=PUBLIC["SITE_URL"])
    assert refused.returncode == 1
    assert refused.stderr.startswith("Settings: SECRET_KEY is not set. A public installation")
    assert refused.stderr.endswith("README.md.\n")
    assert list(data_dir.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_every_service_of_docker_compose_is_refused_with_a_sentence(data_dir, name):
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]
    command = service["command"].replace("0.0.0.0:8000", "127.0.0.1:0")
    refused = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATA_DIR": str(data_dir),
            "EMAIL_URL": "smtp://x?connections=no",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode != 0
    assert "ImproperlyConfigured" not in refused.stderr
    said = refused.stderr.splitlines()
    assert any(line.startswith("Settings: EMAIL_URL: connections must be ") for line in said)
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


@pytest.mark.slow
def test_djangos_own_check_for_deployments_finds_nothing(data_dir):
    environment = PUBLIC | {"SECRET_KEY": "x" * 25 + "abcdefghijklmnopqrstuvwxyz"}
    command = ["check", "--deploy", "--fail-level", "WARNING"]
    checked = manage(*command, DATA_DIR=str(data_dir), TRUSTED_PROXIES="1", **environment)
    assert "no issues" in checked.stdout, checked.stderr


@pytest.mark.parametrize(("said", "times"), [("", 1), ("1", 1), ("0", 0)])
def test_a_letter_of_which_nobody_knows_is_repeated_once_or_never(read_settings, said, times):
    assert read_settings(REPEAT_UNKNOWN=said)["MAX_REPEATS"] == times


@pytest.mark.slow
def test_a_web_process_imports_no_numpy_and_then_multiplies_in_one_thread(tmp_path):
    code = (
        "import sys, config.wsgi, config.urls; "
        "assert not {'numpy', 'scipy', 'sklearn'} & set(sys.modules); "
        "import numpy, threadpoolctl; "
        "sys.exit(any(one['num_threads'] > 1 for one in threadpoolctl.threadpool_info()))"
    )
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT).returncode == 0
