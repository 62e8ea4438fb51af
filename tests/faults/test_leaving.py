"""People leave while their letters are on their way (fault 57): the page tells the truth."""

import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import pytest

from tests.faults.invariants import check

pytestmark = [pytest.mark.services, pytest.mark.slow]

PEOPLE, LEAVING = 200, 60
ON_ITS_WAY = "may still arrive"


def leave(url) -> tuple[str, float]:
    """Press the button of a mail program. Return the page, and when it had come."""
    request = Request(url, data=b"List-Unsubscribe=One-Click", method="POST")
    with urlopen(request, timeout=60) as answer:
        return answer.read().decode(), time.time()


def test_no_digest_arrives_after_an_unannounced_unsubscribe(installation):
    """Sixty of two hundred leave through the web process while two workers deliver."""
    installation.mail.plan = lambda recipient: "slow-dot" if "7" in recipient else ""
    installation.environment["EMAIL_URL"] = installation.mail.address(connections=4)
    installation.start_web()
    installation.invite(PEOPLE)
    subscribers = installation.ask(
        "SELECT email, public_id FROM subscriptions_subscriber ORDER BY id"
    )
    leaving = subscribers[:: PEOPLE // LEAVING][:LEAVING]
    installation.start_all("one", "two", "beat")
    installation.wait_for("the first arrivals", 60, lambda: len(installation.mail.arrived) > 5)

    with ThreadPoolExecutor(6) as clicks:
        urls = [installation.unsubscribe_url(public_id) for _, public_id in reversed(leaving)]
        pages = list(clicks.map(leave, urls))
    installation.rest()

    digests = {letter["message_id"] for letter in installation.letters() if letter["message_id"]}
    dots = {
        one.recipient: one.dot_at for one in installation.mail.arrived if one.message_id in digests
    }
    late = [
        email
        for (email, _), (page, at) in zip(reversed(leaving), pages, strict=True)
        if ON_ITS_WAY not in page and dots.get(email, 0) > at
    ]
    assert late == []
    states = {letter["email"]: letter["state"] for letter in installation.letters()}
    left = {email: states[email] for email, _ in leaving}
    assert set(left.values()) <= {"accepted", "skipped"}
    assert "skipped" in left.values()  # Else all were served before anybody left.
    staying = {email: state for email, state in states.items() if email not in left}
    assert set(staying.values()) == {"accepted"}
    check(installation)
