"""Redis forgets, dies, fills up or is lied to: a message is only a hint.

Faults 30, 32 to 34, 36 and 40.
"""

import json
import pickle
import signal
import time

import pytest

from tests.faults.conftest import opened
from tests.faults.installation import Installation
from tests.faults.invariants import check
from tests.faults.mailserver import MailServer
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.services, pytest.mark.slow]

QUEUE = "paperboy:send"


class Payload:
    """Leaves a mark where somebody unpickles it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (type(self.mark).touch, (self.mark,))


def message(body: bytes, content_type: str, encoding: str) -> str:
    """Return a message as Celery puts it into Redis."""
    headers = {"lang": "py", "task": "subscriptions.tasks.deliver_letters", "id": "1"}
    delivery = {"exchange": "", "routing_key": "send"}
    properties = {"delivery_mode": 2, "delivery_tag": "1", "delivery_info": delivery}
    properties |= {"body_encoding": encoding, "correlation_id": "1", "reply_to": "1"}
    envelope = {"body": body.decode(), "content-type": content_type, "headers": headers}
    return json.dumps(envelope | {"content-encoding": "binary", "properties": properties})


@pytest.fixture(scope="module")
def office(postgres, template, tmp_path_factory, request):
    """An installation with a beat and a worker that has delivered, so that both are at work."""
    mail = MailServer()
    installation = Installation(tmp_path_factory.mktemp("office"), postgres, template, mail)
    for running in opened(installation, request):
        running.start_all("beat", "worker")
        arrive(running)
        yield running
    mail.close()


def push(installation, text):
    installation.redis.call("LPUSH", QUEUE, text)
    installation.wait_for("taken", 20, lambda: installation.redis.call("LLEN", QUEUE) == "0")


def arrive(installation):
    """Let people be due. Each gets their email, by the processes that were there."""
    installation.invite(5)
    installation.rest()
    assert check(installation).accepted == len(installation.letters())
    assert all(process.poll() is None for process in installation.running.values())


def test_restarted_redis_is_reconnected(office):
    """Fault 30: nobody restarts the worker or the beat."""
    office.redis.kill()
    office.invite(5)
    time.sleep(3)
    office.redis.start()
    arrive(office)


@pytest.fixture
def wire(installation):
    """A way to Redis that can be cut and stalled."""
    wire = Proxy(installation.redis.port)
    installation.environment["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{wire.port}/0"
    yield wire
    wire.close()


@pytest.mark.nightly
@pytest.mark.parametrize("how", ["halted", "stalled"])
def test_silent_redis_is_reconnected_within_a_minute(installation, wire, how):
    """Fault 32: connections stay open, and nothing comes back over them for ninety seconds."""
    installation.invite(5)
    installation.start_all("beat", "worker")
    installation.rest()
    if how == "halted":
        installation.redis.signal(signal.SIGSTOP)
    wire.is_stalling = how == "stalled"
    installation.invite(20)
    time.sleep(90)
    if how == "halted":
        installation.redis.signal(signal.SIGCONT)
    wire.is_stalling = False
    arrive(installation)


def test_full_redis_costs_no_worker_and_no_letter(office):
    """Fault 33: Redis takes nothing more, and can't note that a hint was taken."""
    worker = office.running["worker"]
    worker.send_signal(signal.SIGSTOP)
    office.redis.call("LPUSH", QUEUE, message(b"W1tdLHt9LHt9XQ==", "application/json", "base64"))
    office.redis.call("CONFIG", "SET", "maxmemory", "1mb")
    assert "OOM" in office.redis.call("LPUSH", "anything", "x")
    worker.send_signal(signal.SIGCONT)
    office.invite(5)
    time.sleep(3)
    office.redis.call("CONFIG", "SET", "maxmemory", "0")
    arrive(office)


def test_hint_lost_with_its_worker_is_repeated(installation):
    """Fault 34: it was taken from the queue, and nothing was done about it."""
    installation.environment["FAULT_AT"] = "hint_taken:1"
    installation.invite(5)
    installation.start_all("beat", "worker")
    installation.rest()
    assert installation.struck("hint_taken") == 1
    assert check(installation).accepted == 5


def test_two_beats_send_nothing_twice(installation, mail):
    """Fault 36: they plan, sweep and hint at the same time."""
    installation.start_all("beat", "beat-2", "worker", "worker-2")
    installation.wait_for(
        "beats", 60, lambda: installation.redis.call("EXISTS", "_kombu.binding.tick")
    )
    for _ in range(3):
        installation.invite(15)
        time.sleep(1)
    installation.rest()
    assert check(installation).accepted == len(mail.arrived) == 45


def test_malformed_messages_are_discarded_unexecuted(office, tmp_path):
    """Fault 40: whoever can write to Redis can't run code here. Celery itself would give up, at no
    JSON as at a body that is no base64.
    """
    mark = tmp_path / "unpickled"
    poison = pickle.dumps(Payload(mark), protocol=0)
    unreadable = [
        message(poison, "application/x-python-serialize", "utf-8"),
        message(b"[[], {}, null]", "application/x-unheard-of", "utf-8"),
        message(b"{not json", "application/json", "utf-8"),
    ]
    no_base64 = json.loads(message(b"{}", "application/json", "base64")) | {"body": "x"}
    parts = json.loads(message(b"{}", "application/json", "utf-8"))
    nobody = [parts | {name: value} for name in parts for value in (None, 1, [], {}, "x")]
    unreadable += ["rubbish", "7", "[]", "{}", "null", *map(json.dumps, [no_base64, *nobody])]
    for text in unreadable:
        push(office, text)
    arrive(office)
    assert "unreadable message: Error: Invalid base64" in office.said("worker")
    assert not mark.exists()
