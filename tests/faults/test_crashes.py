"""A worker dies at each point of a letter's way (faults 1 to 4): what arrives, what is known.

Where nobody can say whether the server has a letter, it is sent once more. Then faults 7 and 8:
workers that are halted for longer than they may be.
"""

import json
import signal
import sys

import pytest

from tests.faults.invariants import check
from tests.helpers.data_files import cases

pytestmark = [pytest.mark.services, pytest.mark.slow]

TIMES = cases("fault_times")["crashes"]
PEOPLE = 5
#: Where the worker strikes itself down, or the server does it, and whether that keeps the letter.
BEFORE_THE_DOT = ["after_claim", "before_final_check", "K1"]
NIGHTLY = [pytest.param(one, marks=pytest.mark.nightly) for one in ("after_250", "K2", "K2-lose")]
IN_DOUBT = ["after_final_check", "before_commit", "K3", *NIGHTLY]


@pytest.fixture
def deaths(installation, mail):
    """Let people be due, and the worker die once at a point. Return the outcome, at rest."""

    def deaths(point, *, people=PEOPLE):
        give_times(installation)
        where, _, order = point.partition("-")
        installation.invite(people)
        if where.startswith("K"):
            mail.kills[where] = 1
            mail.plan = lambda recipient: "lose-dot" if order and mail.kills[where] else ""
        else:
            installation.environment["FAULT_AT"] = f"{where}:1"
        installation.deliver()
        assert installation.struck(where) == 1 or where.startswith("K")
        assert not mail.kills[where]
        return check(installation, is_certain=False)

    return deaths


def give_times(installation, **more):
    installation.environment["FAULT_TIMES"] = json.dumps(TIMES | more)


def events(installation, became):
    ((count,),) = installation.ask(
        "SELECT count(*) FROM subscriptions_letterevent WHERE new_state = %s", became
    )
    return count


@pytest.mark.parametrize("point", BEFORE_THE_DOT)
def test_crash_before_the_dot_leaves_nothing_uncertain(deaths, installation, point):
    """Fault 1."""
    outcome = deaths(point, people=1)  # Of more, others may be further, or wait for their answers.
    assert (outcome.accepted, outcome.doubled) == (1, 0)
    assert events(installation, "uncertain") == 0


@pytest.mark.parametrize("point", IN_DOUBT)
def test_uncertain_letter_is_resent_once(deaths, installation, point):
    outcome = deaths(point)
    assert (outcome.accepted, outcome.arrived) == (PEOPLE, PEOPLE)
    repeats = sum(letter["repeats"] for letter in installation.letters())
    assert repeats == events(installation, "uncertain") > 0
    if point in ("after_final_check", "K2-lose"):
        assert outcome.doubled == 0
    else:  # The server had one at least. It may not have seen the dot of the others.
        assert 1 <= outcome.doubled <= repeats


def test_letter_dying_at_every_final_check_ends_unknown(installation):
    """Fault 3: it is lost, and says so: the alert is in the log, and nobody gets its papers."""
    give_times(installation)
    installation.environment["FAULT_AT"] = "after_final_check:9"
    installation.invite(1)
    installation.deliver()
    outcome = check(installation, is_certain=False)
    assert (outcome.unknown, outcome.arrived, installation.struck("after_final_check")) == (1, 0, 2)
    ((picks,),) = installation.ask("SELECT count(*) FROM digest_pick")
    assert picks > 0
    assert "outcome unknown" in installation.said("passes")


def _halt(installation, point, meanwhile=lambda: None):
    """Let a worker be halted at a point, another deliver, and the first go on to its end."""
    give_times(installation)
    installation.invite(1)
    # Until all rests: on a slow machine, its first claim may end before the letter is composed.
    first = (sys.executable, "-m", "tests.faults.tick", "rest")
    installation.start("first", *first, FAULT_AT=f"{point}:1:stop")
    installation.wait_for("halt", 60, lambda: installation.struck(point) == 1)
    meanwhile()
    installation.deliver()
    installation.signal("first", signal.SIGCONT)
    assert installation.running["first"].wait(60) == 0


def test_worker_past_its_lease_sends_nothing_more(installation, mail):
    """Fault 7: halted with a claim, it finds at its final check that another has delivered."""
    _halt(installation, "after_claim")
    assert (check(installation).accepted, mail.dots) == (1, 1)


def test_worker_halted_before_its_dot_cannot_send_late(installation, mail):
    """Fault 8: servers end a silent conversation before the letter is sent again."""
    _halt(installation, "after_final_check", meanwhile=mail.hang_up)
    outcome = check(installation, is_certain=False)
    assert (outcome.accepted, outcome.doubled, mail.dots) == (1, 0, 1)


def test_patient_server_gets_a_counted_double(installation, mail):
    """Fault 8, where the server waits for ever: the one repeat is owned up to."""
    _halt(installation, "after_final_check")
    outcome = check(installation, is_certain=False)
    assert (outcome.accepted, outcome.doubled, mail.dots) == (1, 1, 2)
