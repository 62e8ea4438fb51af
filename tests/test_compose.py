"""docker-compose.yml, read: what runs, what is published, what is kept."""

import importlib.util
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {"migrate", "web", "worker", "beat"}


def test_only_the_web_server_and_the_mailbox_are_published_and_on_loopback_alone():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"web": ["127.0.0.1:8000:8000"], "mailpit": ["127.0.0.1:8025:8025"]}


def test_redis_keeps_its_messages_and_evicts_none():
    command = shlex.split(SERVICES["redis"]["command"])
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


@pytest.mark.parametrize("name", SERVICES.keys() - {"migrate"})
def test_every_service_that_stays_says_how_it_is_and_is_started_again(name):
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_nothing_of_ours_starts_before_the_database_is_migrated():
    for name in OURS - {"migrate"}:
        condition = SERVICES[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_has_its_key_from_outside_and_one_data_folder(name):
    service = SERVICES[name]
    assert service["environment"]["SECRET_KEY"].startswith("${SECRET_KEY:?")
    assert service["environment"]["DATA_DIR"] == "/data"
    assert "data:/data" in service["volumes"]


def test_the_worker_takes_from_every_queue_that_we_send_to(settings):
    command = shlex.split(SERVICES["worker"]["command"])
    queues = set(command[command.index("--queues") + 1].split(","))
    sent_to = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert queues == sent_to | {settings.CELERY_TASK_DEFAULT_QUEUE}


@pytest.mark.parametrize("module", ["gunicorn", "celery", "config.wsgi", "digest.starter"])
def test_the_commands_name_modules_that_exist(module):
    assert importlib.util.find_spec(module)
    commands = " ".join(SERVICES[name]["command"] for name in OURS)
    assert module in commands
