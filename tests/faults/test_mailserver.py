"""The mail server and the way to it fail while real workers deliver (faults 20 to 27)."""

import json

import pytest

from tests.faults.invariants import check
from tests.faults.mailserver import MailServer

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


def test_restarted_mail_server_gets_each_letter_once(installation):
    """Fault 24: the due hour finds nobody listening."""
    installation.environment["FAULT_TIMES"] = json.dumps(PATIENCE)
    port = installation.mail.port
    installation.mail.close()
    installation.invite(60)
    installation.start_all("one", "two", "beat")
    installation.wait_for("the breaker", 60, lambda: failures(installation) >= 2)
    assert installation.states() == {"planned": 60}
    installation.mail = MailServer(port)
    try:
        installation.rest()
        assert check(installation).accepted == 60
        assert {letter["attempt"] for letter in installation.letters()} == {1}
        assert failures(installation) == 0
    finally:
        installation.mail.close()


def failures(installation) -> int:
    rows = installation.ask("SELECT failures FROM subscriptions_sending")
    return rows[0][0] if rows else 0
