"""Workers are killed, halted, stopped and poisoned (faults 5, 6, 9 and 11)."""

import json
import os
import signal
import threading
import time

import pytest

from tests.faults.invariants import check
from tests.helpers.data_files import cases

pytestmark = [pytest.mark.services, pytest.mark.slow]


def claims(installation):
    events = "SELECT at FROM subscriptions_letterevent"
    return [at for (at,) in installation.ask(f"{events} WHERE new_state = 'claimed' ORDER BY id")]


@pytest.mark.parametrize("arrived", [0, 40])
def test_stopping_worker_leaves_nothing_uncertain(installation, arrived):
    """Fault 6: it claims no more, finishes what was handed over, and ends within 30 seconds."""
    mail = installation.mail
    mail.at_dot = lambda recipient: time.sleep(0.3)
    installation.invite(100)
    installation.start_workers("worker")
    installation.hint("subscriptions.tasks.deliver_letters")
    installation.wait_for("letters under way", 60, lambda: len(mail.arrived) >= arrived)
    ((stopped_at,),) = installation.ask("SELECT now() + interval '1 second'")
    signalled_at = time.monotonic()
    os.kill(installation.running["worker"].pid, signal.SIGTERM)
    installation.running["worker"].wait(60)
    assert time.monotonic() - signalled_at < 30
    assert all(at < stopped_at for at in claims(installation))
    assert set(installation.states()) <= {"accepted", "planned"}
    mail.at_dot = lambda recipient: None
    installation.deliver()
    assert check(installation).accepted == 100
    assert not any(letter["repeats"] for letter in installation.letters())


def test_fifty_hints_of_one_letter_make_one_claim(installation):
    """Fault 9: two workers find the letter due before either claims it; the others come later."""
    meeting = threading.Barrier(2)
    installation.mail.at_greeting = lambda: meeting.wait(60)
    installation.mail.plan = lambda recipient: "slow-dot"
    installation.invite(1)
    installation.start_workers("worker-0", "worker-1")
    (letter,) = installation.letters()
    installation.hint("subscriptions.tasks.deliver_letter", letter["id"], times=50)
    installation.rest()
    installation.wait_for("idle workers", 60, lambda: installation.listening() == 2)
    assert check(installation).arrived == 1
    assert len(claims(installation)) == len(installation.mail.arrived) == 1


# ---- Poison (fault 11)

QUICK = cases("fault_times")["poison"]
GMAIL_CLIPS = 102_000  # Octets of HTML; the whole letter is shorter here.
SICK = "reader@host-3.example.org"


def fate(installation):
    """Return state, attempts, failed attempts and end of the email that is sick."""
    (letter,) = [one for one in installation.letters() if one["email"] == SICK]
    return [letter[name] for name in ("state", "attempt", "failed_attempts", "reason")]


def test_letter_that_kills_its_worker_is_given_up(installation):
    installation.environment["FAULT_TIMES"] = json.dumps(QUICK)
    installation.environment["FAULT_POISON"] = f"of-{SICK}:dies"
    installation.invite(8)
    installation.poison(SICK, title="Deadly")
    installation.poison("reader@host-1.example.org", title="W" * 1_000_000, abstract="w " * 400_000)
    controls = "\x01\x1b[31m\r\nBcc: x@example.org\r\n.\r\n\u202e"
    installation.poison("reader@host-4.example.org", title=controls)
    installation.deliver()
    assert fate(installation)[:2] == ["failed", 3]
    assert check(installation, is_certain=False).accepted == 7
    assert max(letter["mime_size"] for letter in installation.letters()) < GMAIL_CLIPS


# ---- Limits (faults 10 and 12)


def test_letter_exhausting_memory_costs_itself_only(installation):
    """Fault 10: it meets the limit amid a batch, and the others need what it gives back."""
    installation.environment |= {"FAULT_POISON": f"of-{SICK}:eats", "FAULT_MEMORY": "1000"}
    # To eat takes longer than the short leases last, on a busy machine.
    minutes = {"BACKOFF": [60], "LEASE": 60}
    times = {f"subscriptions.delivery.transitions:{name}": one for name, one in minutes.items()}
    installation.environment["FAULT_TIMES"] = json.dumps(times)
    installation.invite(100)
    installation.poison(SICK, title="Greedy")
    installation.tick()
    assert fate(installation)[:3] == ["planned", 1, 1]
    others = [one for one in installation.letters() if one["email"] != SICK]
    assert {(one["state"], one["attempt"]) for one in others} == {("accepted", 1)}
    assert len(installation.mail.arrived) == 99


HARD = {"task_time_limit": 2, "task_soft_time_limit": None}


LIMITS = [HARD | {"task_acks_on_timeout": acknowledges} for acknowledges in (True, False)]


@pytest.mark.nightly
@pytest.mark.parametrize("limits", LIMITS)
def test_endless_letter_is_found_by_the_time_limit(installation, limits):
    """Fault 12: the worker is killed, and the message is gone, whatever is said about it."""
    installation.environment |= {
        "FAULT_POISON": f"of-{SICK}:sleeps",
        "FAULT_TIMES": json.dumps(QUICK),
        "FAULT_CELERY": json.dumps(limits),
    }
    installation.invite(8)
    installation.poison(SICK, title="Slow")
    installation.start_workers("worker")
    installation.start("beat")
    installation.rest()
    assert "Hard time limit" in installation.said("worker")
    assert fate(installation)[:2] == ["failed", 3]
    assert check(installation).accepted == 7
