"""The mail server and the way to it fail while real workers deliver (faults 20 to 27)."""

import json
import re
import threading
import time

import pytest

from tests.faults.invariants import check
from tests.faults.mailserver import MailServer
from tests.faults.proxy import Proxy

pytestmark = [pytest.mark.services, pytest.mark.slow]

PATIENCE = {
    "subscriptions.delivery.transports.smtp_connection:SECONDS": dict(
        mail=1, rcpt=1, data=1, body=1, dot=2
    ),
    "subscriptions.delivery.transports.smtp:CONNECT_SECONDS": 1,
    "subscriptions.delivery.transports.smtp:COMMAND_SECONDS": 1,
    "subscriptions.delivery.circuit_breaker:PAUSES": dict(unreachable=[1], auth=[1], tls=[1]),
    "subscriptions.delivery.throttling:FIRST_HOLD": 1,
}


@pytest.fixture
def at_work(house):
    """Start two workers and beat, with little patience."""
    house.environment["FAULT_TIMES"] = json.dumps(PATIENCE)
    return house


def start(house):
    for name in ("one", "two", "beat"):
        house.start(name)


def test_a_mail_server_that_is_away_and_comes_back_gets_each_letter_once(at_work):
    """Fault 24: the due hour finds nobody listening."""
    house, port = at_work, at_work.mail.port
    house.mail.close()
    house.invite(60)
    start(house)
    house.wait_for("the breaker", 60, lambda: failures(house) >= 2)
    assert house.states() == {"planned": 60}
    house.mail = MailServer(port)
    try:
        house.rest()
        outcome = check(house)
        assert (outcome.accepted, outcome.arrived) == (60, 60)
        assert {letter["attempt"] for letter in house.letters()} == {1}
        assert failures(house) == 0
    finally:
        house.mail.close()


def failures(house) -> int:
    rows = house.ask("SELECT failures FROM subscriptions_sending")
    return rows[0][0] if rows else 0


@pytest.mark.nightly
def test_connections_that_are_cut_and_swallowed_lose_no_letter(at_work):
    """Fault 22: each second all connections are reset, then nothing passes for a while."""
    house = at_work
    proxy = Proxy(house.mail.port)
    house.environment["EMAIL_URL"] = f"smtp://127.0.0.1:{proxy.port}?connections=4"
    house.mail.plan = lambda recipient: "slow-dot" if re.search(r"5\D", recipient) else ""
    house.invite(120)
    start(house)
    house.wait_for("the first arrivals", 60, lambda: len(house.mail.arrived) > 3)
    over = threading.Event()
    weather = threading.Thread(target=be_bad, args=(proxy, over))
    weather.start()
    time.sleep(5)
    over.set()
    weather.join()
    house.rest()
    proxy.close()
    outcome = check(house, has_oracle=False)
    assert outcome.accepted + outcome.unknown == 120


def be_bad(proxy, over):
    while not over.wait(0.5):
        proxy.cut()
        proxy.is_stalling = not proxy.is_stalling
    proxy.cut()
    proxy.is_stalling = False
