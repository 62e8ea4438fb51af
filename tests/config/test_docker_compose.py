"""What docker-compose.yml, Dockerfile and .env.example guarantee to those who deploy."""

import re
import shlex
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import yaml
from django.conf import settings
from django.core.management import get_commands

from config.celery import app

ROOT = Path(__file__).resolve().parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def options_of(name):
    """Return the options of a service's command: what stands behind each."""
    words = shlex.split(SERVICES[name]["command"])
    return {option: value for option, value in pairwise(words) if option.startswith("-")}


def test_only_caddy_is_published_to_other_machines():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.pop("caddy") == ["80:80", "443:443"]
    assert published == {"web": ["127.0.0.1:8000:8000"], "mailpit": ["127.0.0.1:8025:8025"]}


def test_redis_evicts_no_message():
    options = options_of("redis")
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--appendonly"] == "yes"
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]


def test_what_runs_on_says_how_it_is_and_is_started_again():
    for name in SERVICES.keys() - {"migrate"}:
        assert SERVICES[name]["healthcheck"]["test"]
        assert SERVICES[name]["restart"] == "unless-stopped"


def test_migrations_run_once_and_before_all_that_needs_them():
    assert SERVICES["migrate"]["restart"] == "no"
    for name in OURS.keys() - {"migrate"}:
        wait = SERVICES[name]["depends_on"]["migrate"]["condition"]
        assert wait == "service_completed_successfully"


def test_commands_name_what_exists():
    commands = "\n".join(service["command"] for service in OURS.values())
    assert set(re.findall(r"manage\.py (\w+)", commands)) <= get_commands().keys()
    modules = re.findall(r"(?:gunicorn|celery -A|from) ([a-z.]+)", commands)
    assert {"config.wsgi", "config"} <= set(modules)
    assert all(find_spec(module) for module in modules)


def test_the_worker_listens_to_every_queue_that_something_is_sent_to():
    sent_to = {settings.CELERY_TASK_DEFAULT_QUEUE}
    sent_to |= {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    for entry in app.conf.beat_schedule.values():
        route = app.amqp.router.route(entry.get("options", {}), entry["task"])
        sent_to.add(route["queue"].name)
    assert set(options_of("worker")["--queues"].split(",")) == sent_to


def test_who_is_stopped_has_time_to_finish_and_the_worker_hears_of_it():
    grace = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT
    assert SERVICES["worker"]["environment"]["REMAP_SIGTERM"] == "SIGQUIT"


def test_all_of_ours_are_one_image_with_one_environment_and_one_data_folder():
    environments = [
        {k: v for k, v in service["environment"].items() if k != "REMAP_SIGTERM"}
        for service in OURS.values()
    ]
    assert all(environment == environments[0] for environment in environments)
    assert environments[0]["SECRET_KEY"].startswith("${SECRET_KEY:?")  # Nothing starts without.
    assert {service["image"] for service in OURS.values()} == {"${PAPERBOY_IMAGE:-paperboy}"}
    assert all(service["volumes"] == ["data:/data"] for service in OURS.values())


def test_ours_can_do_nothing_that_only_root_can():
    assert all(service["cap_drop"] == ["ALL"] for service in OURS.values())
    assert all(service["security_opt"] == ["no-new-privileges:true"] for service in OURS.values())
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER (?!root)\w+$", last_stage, re.MULTILINE)


def test_every_setting_of_the_example_is_one_that_something_reads():
    example = (ROOT / ".env.example").read_text()
    settings_file = (ROOT / "config" / "settings.py").read_text()
    subscribers = settings_file + (ROOT / "docker-compose.yml").read_text()
    names = re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)
    assert "SECRET_KEY" in names
    assert [name for name in names if name not in subscribers] == []


def test_the_example_gives_nothing_away_and_sets_nothing_but_the_key():
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["SECRET_KEY="]


def test_the_image_holds_the_code_and_nothing_that_lies_about():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    everything, *kept = [rule for rule in rules if not rule.startswith("#")]
    assert everything == "*"
    folders = {name for name in settings.INSTALLED_APPS if (ROOT / name).is_dir()}
    assert {f"!{name}" for name in folders | {"config", "templates", "static"}} <= set(kept)
    assert not {"!.env", "!var", "!.git"} & set(kept)
