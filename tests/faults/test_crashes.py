"""A worker dies at each point of a letter's way (faults 1 to 4): what arrives, what is known.

Where nobody can say whether the server has a letter, it is sent once more. Where an oracle can
(here the log of the server, as a Postfix writes it), each arrives exactly once. Then faults 7 and
8: workers that are halted for longer than they may be.
"""

import json
import signal
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.invariants import check

pytestmark = [pytest.mark.services, pytest.mark.slow]

TIMES = {
    "subscriptions.delivery.transitions:LEASE": 1.5,
    "subscriptions.delivery.transitions:BACKOFF": [0.2],
    "subscriptions.delivery.recovery.sweep:HOLD": 1,
    "subscriptions.delivery.recovery.lookup:SETTLED": 0.5,
}
PEOPLE = 5
#: Where the worker strikes itself down, or the server does it, and whether that keeps the letter.
BEFORE_THE_DOT = ["after_claim", "before_fence", "K1"]
IN_DOUBT = [
    "after_fence",
    "K3",
    *(pytest.param(each, marks=pytest.mark.nightly) for each in ("after_250", "K2", "K2-lose")),
]


@pytest.fixture
def deaths(house, mail):
    """Let people be due, and the worker die once at a point. Return the outcome, at rest."""

    def deaths(point, *, people=PEOPLE, has_oracle=False):
        give_times(house)
        if has_oracle:
            consult_log(house)
        where, _, order = point.partition("-")
        house.invite(people)
        if where.startswith("K"):
            mail.kills[where] = 1
            mail.plan = lambda recipient: "lose-dot" if order and mail.kills[where] else ""
        else:
            house.environment["FAULT_AT"] = f"{where}:1"
        house.deliver()
        assert house.struck(where) == 1 or where.startswith("K")
        assert not mail.kills[where]
        return check(house, has_oracle=has_oracle)

    return deaths


def give_times(house, **more):
    house.environment["FAULT_TIMES"] = json.dumps(TIMES | more)


def consult_log(house):
    """Let the mail server write a log, and the house read it."""
    house.mail.log = house.folder / "mail.log"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    house.mail.log.write_text(f"{yesterday.isoformat()} mail postfix/master[1]: daemon started\n")
    house.environment["ORACLE"] = f"postfix:{house.mail.log}"


def events(house, became):
    ((count,),) = house.ask(
        "SELECT count(*) FROM subscriptions_letterevent WHERE became = %s", became
    )
    return count


def test_nothing_dies_and_all_arrive(house):
    house.invite(40)
    house.tick()
    assert check(house).accepted == 40


@pytest.mark.parametrize("point", BEFORE_THE_DOT)
def test_a_worker_that_dies_before_the_dot_leaves_no_doubt(deaths, house, point):
    outcome = deaths(point, people=1)  # Of more, some may be further than the one it dies with.
    assert (outcome.accepted, outcome.doubled) == (1, 0)
    assert events(house, "uncertain") == 0


@pytest.mark.parametrize("point", ["after_journal", "before_commit"])
def test_what_is_in_the_journal_is_known_without_an_oracle(deaths, house, point):
    """Fault 2: the worker dies between the journal and the database."""
    outcome = deaths(point, people=1)  # Of more, some may wait for their answers, and be in doubt.
    assert (outcome.accepted, outcome.doubled) == (1, 0)
    assert events(house, "uncertain") == 0


@pytest.mark.parametrize("point", IN_DOUBT)
def test_with_an_oracle_each_arrives_exactly_once(deaths, house, point):
    outcome = deaths(point, has_oracle=True)
    assert (outcome.accepted, outcome.arrived) == (PEOPLE, PEOPLE)
    assert events(house, "uncertain") > 0
    assert not any(letter["repeats"] for letter in house.letters())


@pytest.mark.parametrize("point", IN_DOUBT)
def test_without_an_oracle_what_is_in_doubt_is_sent_once_more_and_counted(deaths, house, point):
    outcome = deaths(point)
    assert (outcome.accepted, outcome.arrived) == (PEOPLE, PEOPLE)
    repeats = sum(letter["repeats"] for letter in house.letters())
    assert repeats == events(house, "uncertain") > 0
    if point in ("after_fence", "K2-lose"):
        assert outcome.doubled == 0
    else:  # The server had one at least; of the others past the fence it may not have seen the dot.
        assert 1 <= outcome.doubled <= repeats


def test_a_letter_that_always_dies_at_its_fence_ends_as_unknown(house):
    """Fault 3: it is lost, and says so: the alert is in the log, and nobody gets its papers."""
    give_times(house)
    house.environment["FAULT_AT"] = "after_fence:9"
    house.invite(1)
    house.deliver()
    outcome = check(house, has_oracle=False)
    assert (outcome.unknown, outcome.arrived, house.struck("after_fence")) == (1, 0, 2)
    ((picks,),) = house.ask("SELECT count(*) FROM digest_pick")
    assert picks > 0
    assert "outcome unknown" in house.said("passes")


def test_an_oracle_lets_it_be_sent_until_it_is_there(house):
    """Fault 3, with an oracle: dying twice between fence and dot costs nothing but time."""
    give_times(house)
    consult_log(house)
    house.environment["FAULT_AT"] = "after_fence:2"
    house.invite(1)
    house.deliver()
    assert (check(house).accepted, house.struck("after_fence")) == (1, 2)


def _halt(house, point, meanwhile=lambda: None):
    """Let a worker be halted at a point, another deliver, and the first go on to its end."""
    give_times(house)
    house.invite(1)
    # Until all rests: on a slow machine, its first claim may end before the letter is composed.
    first = (sys.executable, "-m", "tests.faults.tick", "rest")
    house.start("first", *first, FAULT_AT=f"{point}:1:stop")
    house.wait_for("halt", 60, lambda: house.struck(point) == 1)
    meanwhile()
    house.deliver()
    house.signal("first", signal.SIGCONT)
    assert house.running["first"].wait(60) == 0


def test_a_worker_that_slept_over_its_lease_sends_nothing_more(house, mail):
    """Fault 7: halted with a claim, it finds at its fence that another has delivered."""
    _halt(house, "after_claim")
    assert (check(house).accepted, mail.dots) == (1, 1)


def test_a_worker_halted_before_its_dot_cannot_send_it_to_a_server_that_hung_up(house, mail):
    """Fault 8: servers end a silent conversation before the letter is sent again."""
    _halt(house, "after_fence", meanwhile=mail.hang_up)
    outcome = check(house, has_oracle=False)
    assert (outcome.accepted, outcome.doubled, mail.dots) == (1, 0, 1)


def test_a_server_without_an_end_to_its_patience_gets_a_counted_double(house, mail):
    """Fault 8, where the server waits for ever: the one repeat is owned up to."""
    _halt(house, "after_fence")
    outcome = check(house, has_oracle=False)
    assert (outcome.accepted, outcome.doubled, mail.dots) == (1, 1, 2)
