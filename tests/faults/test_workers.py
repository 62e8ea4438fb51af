"""Workers are killed, halted, told to stop and poisoned (faults 5, 6, 9 and 11)."""

import json
import os
import signal
import threading
import time

import pytest

from tests.faults.invariants import check

pytestmark = [pytest.mark.services, pytest.mark.slow]


def claims(house):
    events = "SELECT at FROM subscriptions_letterevent"
    return [at for (at,) in house.ask(f"{events} WHERE became = 'claimed' ORDER BY id")]


def test_a_worker_that_is_told_to_stop_ends_what_it_began_and_claims_no_more(house):
    """Fault 6: nothing is in doubt when it is gone, and the next one goes on."""
    house.mail.at_dot = lambda recipient: time.sleep(0.5)
    house.invite(200)
    house.start_workers("worker")
    house.hint("subscriptions.tasks.deliver_letters")
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
    house.start_workers("worker-0", "worker-1")
    (letter,) = house.letters()
    house.hint("subscriptions.tasks.deliver_letter", letter["id"], times=50)
    house.rest()
    house.wait_for("idle workers", 60, lambda: house.listening() == 2)
    assert check(house).arrived == 1
    assert len(claims(house)) == len(house.mail.arrived) == 1


# ---- Poison (fault 11)

QUICK = {
    "subscriptions.delivery.transitions:LEASE": 1,
    "subscriptions.delivery.transitions:BACKOFF": [0.2],
    "subscriptions.delivery.recovery.sweep:HOLD": 0.5,
}
GMAIL_CLIPS = 102_000  # Octets of HTML; the whole letter is shorter here.
SICK = "reader@host-3.example.org"


def fate(house):
    """Return the state, attempts and stumbles of the email that is sick, and why it ended."""
    (letter,) = [one for one in house.letters() if one["email"] == SICK]
    return [letter[name] for name in ("state", "attempt", "stumbles", "reason")]


def test_a_paper_that_cannot_be_written_costs_one_digest(house):
    house.environment["FAULT_TIMES"] = json.dumps(QUICK)
    house.invite(8)
    house.poison(SICK, title="Broken", authors=5)
    house.deliver()
    state, attempt, _, reason = fate(house)
    assert (state, attempt, reason[:6]) == ("failed", 5, "broken")
    assert check(house).accepted == 7


def test_a_paper_of_a_megabyte_and_one_of_control_characters_are_sent(house):
    house.invite(8)
    house.poison(SICK, title="W" * 1_000_000, abstract="word " * 200_000)
    controls = "\x01\x1b[31m\r\nBcc: x@example.org\r\n.\r\n\u202e"
    house.poison("reader@host-4.example.org", title=controls)
    house.deliver()
    assert check(house).accepted == 8
    assert max(letter["mime_size"] for letter in house.letters()) < GMAIL_CLIPS


def test_a_letter_that_kills_its_worker_is_given_up_and_the_others_are_sent(house):
    house.environment["FAULT_TIMES"] = json.dumps(QUICK)
    house.environment["FAULT_POISON"] = f"of-{SICK}:dies"
    house.invite(8)
    house.poison(SICK, title="Deadly")
    house.deliver()
    assert fate(house)[:2] == ["failed", 5]
    assert check(house, has_oracle=False).accepted == 7


# ---- Limits (faults 10 and 12)


def test_a_letter_that_takes_all_memory_costs_itself_alone(house):
    """Fault 10: it meets the limit amid a volley, and the others need what it gives back."""
    house.environment |= {"FAULT_POISON": f"of-{SICK}:eats", "FAULT_MEMORY": "1000"}
    # To eat takes longer than the short leases last, on a busy machine.
    minutes = {"BACKOFF": [60], "LEASE": 60}
    times = {f"subscriptions.delivery.transitions:{name}": one for name, one in minutes.items()}
    house.environment["FAULT_TIMES"] = json.dumps(times)
    house.invite(100)
    house.poison(SICK, title="Greedy")
    house.tick()
    assert fate(house)[:3] == ["planned", 1, 1]
    others = [one for one in house.letters() if one["email"] != SICK]
    assert {(one["state"], one["attempt"]) for one in others} == {("accepted", 1)}
    assert len(house.mail.arrived) == 99


HARD = {"task_time_limit": 2, "task_soft_time_limit": None}


LIMITS = [{"task_soft_time_limit": 2}]
LIMITS += [HARD | {"task_acks_on_timeout": acknowledges} for acknowledges in (True, False)]


@pytest.mark.nightly
@pytest.mark.parametrize("limits", LIMITS)
def test_a_letter_that_is_never_done_is_found_by_the_time_limit_and_no_other_is_lost(house, limits):
    """Fault 12: the soft limit ends each round that meets it, and the worker lives; by the hard one
    it is killed, and the message is gone, whatever is said about it.
    """
    house.environment |= {
        "FAULT_POISON": f"of-{SICK}:sleeps",
        "FAULT_TIMES": json.dumps(QUICK),
        "FAULT_CELERY": json.dumps(limits),
    }
    house.invite(8)
    house.poison(SICK, title="Slow")
    house.start_workers("worker")
    house.start("beat")
    house.rest()
    assert ("Hard time limit" in house.said("worker")) is ("task_time_limit" in limits)
    assert fate(house)[:2] == ["failed", 5]
    assert check(house).accepted == 7
