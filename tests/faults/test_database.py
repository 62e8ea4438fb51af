"""The database goes away at the wrong moment (faults 41 and 43)."""

import json
import threading
import time

import pytest

from tests.faults.invariants import check
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.services, pytest.mark.slow]

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"  # CommandComplete, in PostgreSQL's protocol.


@pytest.fixture
def proxy(installation, postgres):
    """Let the installation's processes reach the database through a proxy, and us without it."""
    proxy = Proxy(postgres.port)
    yield proxy
    proxy.close()


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.nightly)])
def test_database_outage_amid_a_due_day_repeats_nothing(
    installation, mail, postgres, proxy, seconds
):
    """A living worker keeps what it cannot commit. The usual leases, or they would expire."""
    times = {"transitions:LEASE": 900, "sweep:UNCERTAIN_WAIT": 900}
    times = {f"subscriptions.delivery.{name}": number for name, number in times.items()}
    installation.environment["FAULT_TIMES"] = json.dumps(times)
    mail.at_dot = lambda recipient: time.sleep(0.2)
    installation.invite(200)
    address = installation.environment["DATABASE_URL"]
    proxied = address.replace(f":{postgres.port}/", f":{proxy.port}/")

    def be_away():
        while len(mail.arrived) < 30:
            time.sleep(0.05)
        proxy.is_refusing = True
        proxy.cut()
        time.sleep(seconds)
        proxy.is_refusing = False

    outage = threading.Thread(target=be_away)
    outage.start()
    installation.deliver(seconds + 60, DATABASE_URL=proxied)
    outage.join()
    assert check(installation).accepted == 200
    assert "Not recorded yet" in installation.said("passes")
    assert not any(letter["repeats"] for letter in installation.letters())


@pytest.mark.parametrize("state", ["claimed", "transmitting", "accepted"])
def test_commit_with_a_lost_answer_is_not_repeated(installation, postgres, mail, proxy, state):
    """Fault 43: the database has claimed, checked or recorded, and its word for it gets lost."""
    installation.invite(1)
    swallowed = []

    def swallow(data):
        if swallowed or COMMITTED not in data or state not in installation.states():
            return False
        swallowed.append(data)
        return True

    proxy.swallow = swallow
    address = installation.environment["DATABASE_URL"]
    installation.deliver(DATABASE_URL=address.replace(f":{postgres.port}/", f":{proxy.port}/"))
    installation.wait_for("a lost word", 10, lambda: swallowed)
    assert check(installation).arrived == 1
    assert installation.running["passes"].wait(30) == 0
    assert "Not recorded yet" in installation.said("passes")
    assert not any(letter["repeats"] for letter in installation.letters())
    ((most,),) = installation.ask(
        "SELECT max(count) FROM (SELECT count(*) FROM subscriptions_letterevent "
        "GROUP BY new_state, attempt) one"
    )
    assert most == 1, "an event was written twice"
