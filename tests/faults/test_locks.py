"""Others are at work in the database: they end our sessions and hold locks (fault 44).

Nothing of ours waits for them without an end, and nobody waits so for us.
"""

import signal
import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.faults.invariants import check

pytestmark = [pytest.mark.services, pytest.mark.nightly]

LOCK_SECONDS = 5  # config.settings
OTHERS = "pid <> pg_backend_pid() AND datname = current_database()"


def test_locked_table_delays_letters_and_hangs_nobody(installation, mail):
    """Fault 44: whoever waits for the lock gives up after five seconds, and comes again."""
    mail.at_dot = lambda recipient: time.sleep(0.3)
    installation.start_web()
    installation.invite(120)
    installation.start_all("one", "two", "beat")
    installation.wait_for("letters under way", 60, lambda: len(mail.arrived) > 10)
    with installation.connect() as connection, connection.transaction():
        # As ALTER TABLE or a dump does.
        connection.execute("LOCK TABLE subscriptions_letter IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        asked = []
        while time.monotonic() < began + 4 * LOCK_SECONDS:
            asked.append(seconds_of_a_page(installation))
        assert max(asked) < LOCK_SECONDS + 3
        waits = installation.ask(
            f"SELECT max(now() - query_start) FROM pg_stat_activity "
            f"WHERE wait_event_type = 'Lock' AND {OTHERS}"
        )
        assert all(wait is None or wait.total_seconds() < LOCK_SECONDS + 2 for (wait,) in waits)
    installation.rest()
    assert check(installation).accepted == 120
    assert "lock timeout" in installation.said("one") + installation.said("two")
    assert all(process.poll() is None for process in installation.running.values())


def seconds_of_a_page(installation):
    """Return how long the page of a letter takes, whatever it says."""
    ((token,),) = installation.ask("SELECT public_id FROM subscriptions_subscriber LIMIT 1")
    began = time.monotonic()
    try:
        urlopen(installation.unsubscribe_url(token), timeout=60).close()
    except HTTPError as error:
        error.close()
    return time.monotonic() - began


def test_halted_worker_with_locks_is_disconnected(installation):
    """Fault 44: after thirty seconds the others have its letters, and it does nothing more."""
    installation.invite(20)
    first = (sys.executable, "-m", "tests.faults.tick")
    installation.start("first", *first, FAULT_AT="in_claim:1:stop")
    installation.wait_for("halt", 60, lambda: installation.struck("in_claim") == 1)
    began = time.monotonic()
    installation.deliver(seconds=90)
    assert time.monotonic() - began > 20, "it held no lock"
    installation.signal("first", signal.SIGCONT)
    assert installation.running["first"].wait(60) == 0
    assert check(installation).accepted == 20
    assert {letter["attempt"] for letter in installation.letters()} == {1}
