"""The mail server and the way to it fail while real workers deliver (faults 20 to 27)."""

import json
import re
import threading
import time

import pytest

from tests.faults.invariants import check
from tests.faults.mailserver import MailServer
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.services

#: One conversation in three goes wrong, the first time: each in its own way.
ONCE = [
    "450-rcpt-once",
    "421-data-once",
    "451-dot-once",
    "drop-data-once",
    "drop-dot-once",
    "lose-dot-once",
    "garble-dot-once",
    "drop-after-once",
    "slow-dot-once",
]
PATIENCE = {
    "subscriptions.post.smtp_line:SECONDS": dict(mail=1, rcpt=1, data=1, body=1, dot=2),
    "subscriptions.post.smtp_server:CONNECT_SECONDS": 1,
    "subscriptions.post.smtp_server:COMMAND_SECONDS": 1,
    "subscriptions.post.sending:PAUSES": dict(unreachable=[1], auth=[1], tls=[1]),
    "subscriptions.post.providers:FIRST_HOLD": 1,
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
def test_what_goes_wrong_once_in_every_way_costs_nobody_her_letter(at_work):
    """Faults 15 to 21 and 27, at once, on lines that are used again."""
    house = at_work
    house.mail.plan = odd_ones
    house.environment["EMAIL_URL"] = house.mail.url(connections=4)
    house.invite(90)
    start(house)
    house.rest()
    outcome = check(house, has_oracle=False)
    assert outcome.accepted == 90
    # Only what was kept and not answered for came twice.
    twice = {one.recipient for one in house.mail.arrived if arrivals(house, one.recipient) == 2}
    assert {odd_ones(recipient) for recipient in twice} <= {"drop-dot-once", "garble-dot-once"}


def odd_ones(recipient) -> str:
    number = number_of(recipient)
    return ONCE[number // 3 % len(ONCE)] if number % 3 == 0 else ""


def number_of(recipient) -> int:
    """Return which of the invited this is."""
    return int(re.search(r"\d+", recipient)[0])


def arrivals(house, recipient):
    return sum(one.recipient == recipient for one in house.mail.arrived)


@pytest.mark.nightly
def test_connections_that_are_cut_and_swallowed_lose_no_letter(at_work):
    """Fault 22: each second all connections are reset, then nothing passes for a while."""
    house = at_work
    proxy = Proxy(house.mail.port)
    house.environment["EMAIL_URL"] = f"smtp://127.0.0.1:{proxy.port}?connections=4"
    house.mail.plan = lambda recipient: "slow-dot" if number_of(recipient) % 10 == 5 else ""
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
