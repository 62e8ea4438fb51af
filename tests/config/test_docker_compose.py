"""What docker-compose.yml, Dockerfile and .env.example guarantee to those who deploy."""

import re
import shlex
from importlib.util import find_spec
from itertools import pairwise

import pytest
from django.conf import settings
from django.core.management import get_commands

from config.celery import app
from tests.config.environment import ROOT, SERVICES

OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def options_of(name):
    """Return the options of a service's command: what stands behind each."""
    words = shlex.split(SERVICES[name]["command"])
    return {option: value for option, value in pairwise(words) if option.startswith("-")}


def test_only_caddy_is_published_to_other_machines():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.pop("caddy") == ["80:80", "443:443"]
    assert published == {"web": ["127.0.0.1:8000:8000"], "mailpit": ["127.0.0.1:8025:8025"]}


def test_commands_name_existing_modules():
    commands = "\n".join(service["command"] for service in OURS.values())
    assert set(re.findall(r"manage\.py (\w+)", commands)) <= get_commands().keys()
    modules = re.findall(r"(?:gunicorn|celery -A|from) ([a-z.]+)", commands)
    assert {"config.wsgi", "config"} <= set(modules)
    assert all(find_spec(module) for module in modules)


@pytest.mark.django_db  # Celery's checks of the models ask it.
def test_every_scheduled_task_is_registered():
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= app.tasks.keys()


def test_worker_listens_to_every_used_queue():
    sent_to = {settings.CELERY_TASK_DEFAULT_QUEUE}
    sent_to |= {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    for entry in app.conf.beat_schedule.values():
        route = app.amqp.router.route(entry.get("options", {}), entry["task"])
        sent_to.add(route["queue"].name)
    assert set(options_of("worker")["--queues"].split(",")) == sent_to


def test_image_contains_the_code_only():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    everything, *kept = [rule for rule in rules if not rule.startswith("#")]
    assert everything == "*"
    folders = {name for name in settings.INSTALLED_APPS if (ROOT / name).is_dir()}
    assert {f"!{name}" for name in folders | {"config", "templates", "static"}} <= set(kept)
    assert not {"!.env", "!var", "!.git"} & set(kept)
