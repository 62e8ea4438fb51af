"""Messages that are stale, doubled, or of another version (faults 13, 35, 38 and 39)."""

import json

import pytest

from config.celery import app
from tests.faults.conftest import open_house
from tests.faults.house import House
from tests.faults.invariants import check
from tests.faults.mailserver import MailServer

pytestmark = [pytest.mark.services, pytest.mark.slow]

DELIVER = "subscriptions.tasks.deliver_letter"


@pytest.fixture(scope="module")
def at_work(postgres, template, tmp_path_factory, request):
    """A house with a worker and no beat: what is done is done for a message."""
    mail = MailServer()
    house = House(tmp_path_factory.mktemp("at-work"), postgres, template, mail)
    with open_house(house, request):
        house.start_workers("worker")
        yield house
    mail.close()


def is_idle(house):
    waiting = [house.redis.call("LLEN", f"paperboy:{name}") for name in ("tick", "send", "ingest")]
    return waiting == ["0"] * 3 and house.listening() == 1


def test_a_message_of_a_newer_version_is_served_as_far_as_it_is_known(at_work):
    """Fault 13: old workers run on while the new version is installed."""
    at_work.invite(2)
    *_, first, second = at_work.letters()
    at_work.hint(DELIVER, first["id"], kwargs={"urgency": 9})
    at_work.hint(DELIVER, second["id"], "by air")
    at_work.rest(30)
    assert check(at_work).accepted == 2


def test_a_message_that_nobody_knows_costs_its_worker_nothing(at_work):
    """Fault 13: of a task that is not there yet, or with less than this version needs."""
    at_work.hint("subscriptions.tasks.deliver_by_air", 7)
    at_work.hint(DELIVER)
    at_work.invite(1)
    at_work.hint("subscriptions.tasks.deliver_letters")
    at_work.rest(30)
    check(at_work)
    assert at_work.running["worker"].poll() is None


def grow(house, count):
    """Return Redis's keys and memory before and after so many tasks."""

    def look():
        keys = sorted(house.redis.call("KEYS", "*").split())
        return keys, int(house.redis.info("memory")["used_memory"])

    house.hint(DELIVER, 0, times=20)
    house.wait_for("idle worker", 30, lambda: is_idle(house))
    before = look()
    house.hint(DELIVER, 0, times=count)
    house.wait_for("idle worker", 600, lambda: is_idle(house))
    return before, look()


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_tasks_leave_nothing_behind_in_redis(at_work, count):
    """Fault 39."""
    (keys, memory), (keys_after, memory_after) = grow(at_work, count)
    assert keys_after == keys
    assert memory_after < memory + 200_000


def test_ticks_that_waited_for_workers_are_thrown_away_and_one_pass_plans(house):
    """Fault 38: five hundred minutes' worth, of which each would be done in vain."""
    ticks = {
        entry["task"]: entry["options"]
        for entry in app.conf.beat_schedule.values()
        if entry["options"].get("queue") == "tick"
    }
    for task, options in ticks.items():
        assert options["expires"] < 60
        house.hint(task, times=250, queue="tick", expires=options["expires"] / 110)
    house.invite(5)
    for task in ticks:
        house.hint(task, queue="tick", expires=55)
    house.start("worker", *talkative("worker"))
    house.rest()
    assert check(house).accepted == 5
    for task in ticks:
        done = [line for line in house.said("worker").splitlines() if "succeeded in" in line]
        assert sum(f"Task {task}[" in line for line in done) == 1


def talkative(name):
    """Return the command for a worker that says which messages it gets, and what it did."""
    celery = "celery -A tests.faults.app worker --queues tick,send --concurrency 1 --loglevel INFO"
    return [*celery.split(), "--hostname", f"{name}@house"]


@pytest.mark.nightly
def test_a_message_that_comes_twice_does_nothing_more(house, mail):
    """Fault 35: Redis gives out again what a worker has kept waiting for too long."""
    options = {"global_keyprefix": "paperboy:", "visibility_timeout": 2}
    options |= {"unacked_restore_interval": 0.5, "unacked_restore_throttle": 1}
    house.environment["FAULT_CELERY"] = json.dumps(
        {"broker_transport_options": options, "worker_prefetch_multiplier": 8}
    )
    mail.plan = lambda recipient: "slow-dot"
    house.environment["EMAIL_URL"] = mail.address(connections=1)
    house.invite(12)
    for letter in house.letters():
        house.hint(DELIVER, letter["id"])
    for name in ("worker-0", "worker-1"):
        house.start(name, *talkative(name))
    house.rest()
    said = house.said("worker-0") + house.said("worker-1")
    assert said.count(f"Task {DELIVER}[") - said.count("succeeded in") > 12, "none came twice"
    assert check(house).accepted == 12
    assert {letter["attempt"] for letter in house.letters()} == {1}
