"""Messages that are stale, doubled, or of another version (faults 13 and 38)."""

import pytest

from config.celery import app
from tests.faults.conftest import opened
from tests.faults.installation import Installation
from tests.faults.invariants import check
from tests.faults.mailserver import MailServer

pytestmark = [pytest.mark.services, pytest.mark.slow]

DELIVER = "subscriptions.tasks.deliver_letter"


@pytest.fixture(scope="module")
def at_work(postgres, template, tmp_path_factory, request):
    """An installation with a worker and no beat: what is done is done for a message."""
    mail = MailServer()
    installation = Installation(tmp_path_factory.mktemp("at-work"), postgres, template, mail)
    for running in opened(installation, request):
        running.start_workers("worker")
        yield running
    mail.close()


def test_unknown_message_costs_its_worker_nothing(at_work):
    """Fault 13: of a task that is not there yet, or with less than this version needs."""
    at_work.hint("subscriptions.tasks.deliver_by_air", 7)
    at_work.hint(DELIVER)
    at_work.invite(1)
    at_work.hint("subscriptions.tasks.deliver_letters")
    at_work.rest(30)
    check(at_work)
    assert at_work.running["worker"].poll() is None


def test_expired_ticks_are_dropped_and_one_pass_plans(installation):
    """Fault 38: five hundred minutes' worth, of which each would be done in vain."""
    ticks = {
        entry["task"]: entry["options"]
        for entry in app.conf.beat_schedule.values()
        if entry["options"].get("queue") == "tick"
    }
    for task, options in ticks.items():
        assert options["expires"] < 60
        installation.hint(task, times=250, queue="tick", expires=options["expires"] / 110)
    installation.invite(5)
    for task in ticks:
        installation.hint(task, queue="tick", expires=55)
    # It says which messages it gets, and what it did.
    celery = "celery -A tests.faults.app worker --queues tick,send --concurrency 1 --loglevel INFO"
    installation.start("worker", *celery.split(), "--hostname", "worker@installation")
    installation.rest()
    assert check(installation).accepted == 5
    for task in ticks:
        done = [line for line in installation.said("worker").splitlines() if "succeeded in" in line]
        assert sum(f"Task {task}[" in line for line in done) == 1
