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


@pytest.mark.parametrize("public", [PUBLIC, PUBLIC | DATABASE])
def test_a_public_installation_with_a_short_key_is_refused(read_settings, public):
    with pytest.raises(ImproperlyConfigured, match=r"shorter than 32.*token_urlsafe.*FALLBACKS"):
        read_settings(**public | {"SECRET_KEY": "k" * 31})
    assert read_settings(**public | {"SECRET_KEY": "k" * 32})["SECRET_KEY"] == "k" * 32


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


@pytest.mark.parametrize(("said", "times"), [("", 1), ("1", 1), ("0", 0)])
def test_a_letter_of_which_nobody_knows_is_repeated_once_or_never(read_settings, said, times):
    assert read_settings(REPEAT_UNKNOWN=said)["MAX_REPEATS"] == times


def test_a_web_process_that_ranks_nothing_imports_no_numpy(tmp_path):
    code = (
        "import sys, django; django.setup(); import config.urls, config.wsgi; "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'scipy', 'sklearn')))"
    )
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


def test_a_page_of_a_web_server_multiplies_in_one_thread(tmp_path):
    code = (
        "import config.wsgi, sys; assert 'numpy' not in sys.modules; import numpy, threadpoolctl; "
        "used = [one['num_threads'] for one in threadpoolctl.threadpool_info()]; "
        "sys.exit(any(one > 1 for one in used))"
    )
    env = {name: os.environ[name] for name in ("PATH",)} | {"DATA_DIR": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0
