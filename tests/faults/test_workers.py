"""Workers are killed, halted, told to stop and poisoned (faults 5, 6, 9 and 11)."""

import json
import os
import random
import signal
import threading
import time

import pytest
from celery import Celery

from tests.faults.invariants import check

pytestmark = pytest.mark.services


def hint(house, task, *arguments, times=1):
    """Put a message for a task into the queue of letters, so often."""
    with Celery(broker=house.redis.url) as sender:
        sender.conf.broker_transport_options = {"global_keyprefix": "paperboy:"}
        for _ in range(times):
            sender.send_task(task, arguments, queue="send")


def start_workers(house, *names):
    """Start workers, and wait until all listen."""
    before = listening(house)
    for name in names:
        house.start(name)
    house.wait_for("workers", 60, lambda: listening(house) == before + len(names))


def listening(house):
    """Return how many workers wait for a message."""
    clients = dict(
        line.split(":") for line in house.redis.call("INFO", "clients").split() if ":" in line
    )
    return int(clients["blocked_clients"])


def claims(house):
    return [
        at
        for (at,) in house.ask(
            "SELECT at FROM subscriptions_letterevent WHERE became = 'claimed' ORDER BY id"
        )
    ]


@pytest.mark.nightly
def test_workers_that_are_killed_each_second_deliver_all(house):
    """Fault 5, for a quarter of a minute."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    house.mail.at_dot = lambda recipient: time.sleep(0.3)
    house.invite(200)
    house.start("beat")
    workers = ["worker-0", "worker-1", "worker-2"]
    start_workers(house, *workers)
    for _ in range(15):
        time.sleep(1)
        name = chance.choice(workers)
        house.kill(name)
        house.start(name)
    house.rest(90)
    outcome = check(house, has_oracle=False)
    assert outcome.accepted + outcome.unknown == 200


def test_a_worker_that_is_told_to_stop_ends_what_it_began_and_claims_no_more(house):
    """Fault 6: nothing is in doubt when it is gone, and the next one goes on."""
    house.mail.at_dot = lambda recipient: time.sleep(0.5)
    house.invite(200)
    start_workers(house, "worker")
    hint(house, "subscriptions.tasks.deliver_letters")
    house.wait_for("letters under way", 60, lambda: len(house.mail.arrived) >= 10)
    ((told_at,),) = house.ask("SELECT now() + interval '1 second'")
    os.kill(house.running["worker"].pid, signal.SIGTERM)
    house.running["worker"].wait(60)
    assert claims(house)[-1] < told_at
    assert set(house.states()) == {"accepted", "planned"}
    house.mail.at_dot = lambda recipient: None
    house.deliver()
    assert check(house).accepted == 200


def test_fifty_hints_of_one_letter_are_one_claim(house):
    """Fault 9: two workers find the letter due before either claims it; the others come later."""
    meeting = threading.Barrier(2)
    house.mail.at_greeting = lambda: meeting.wait(60)
    house.mail.plan = lambda recipient: "slow-dot"
    house.invite(1)
    start_workers(house, "worker-0", "worker-1")
    (letter,) = house.letters()
    hint(house, "subscriptions.tasks.deliver_letter", letter["id"], times=50)
    house.rest()
    house.wait_for("idle workers", 60, lambda: listening(house) == 2)
    assert check(house).arrived == 1
    assert len(claims(house)) == len(house.mail.arrived) == 1


# ---- Poison (fault 11)

QUICK = {
    "subscriptions.post.ledger:LEASE": 1,
    "subscriptions.post.ledger:BACKOFF": [0.2],
    "subscriptions.post.doubts:HOLD": 0.5,
}
GMAIL_CLIPS = 102_000  # Octets of HTML; the whole letter is shorter here.
SICK = "reader@host-3.example.org"


def fate(house, address=SICK):
    (letter,) = [one for one in house.letters() if one["email"] == address]
    return letter


def test_a_paper_that_cannot_be_written_costs_one_digest(house):
    house.environment["FAULT_TIMES"] = json.dumps(QUICK)
    house.invite(8)
    house.poison(SICK, title="Broken", authors=5)
    house.deliver()
    letter = fate(house)
    assert (letter["state"], letter["attempt"]) == ("failed", 5)
    assert letter["reason"].startswith("broken")
    assert check(house).accepted == 7


def test_a_paper_of_a_megabyte_and_one_of_control_characters_are_sent(house):
    house.invite(8)
    house.poison(SICK, title="W" * 1_000_000, abstract="word " * 200_000)
    house.poison(
        "reader@host-4.example.org", title="\x01\x1b[31m\r\nBcc: x@example.org\r\n.\r\n\u202e"
    )
    house.deliver()
    assert check(house).accepted == 8
    assert max(letter["mime_size"] for letter in house.letters()) < GMAIL_CLIPS


def test_a_letter_that_kills_its_worker_is_given_up_and_the_others_are_sent(house):
    house.environment["FAULT_TIMES"] = json.dumps(QUICK)
    house.environment["FAULT_POISON"] = f"of-{SICK}"
    house.invite(8)
    house.poison(SICK, title="Deadly")
    house.deliver()
    letter = fate(house)
    assert (letter["state"], letter["attempt"]) == ("failed", 5)
    assert check(house, has_oracle=False).accepted == 7
