"""Nobody ticks (fault 37): it is noticed, made up for, and needs no beat."""

import json
import time
from urllib.request import urlopen

import pytest

from tests.faults.invariants import check

pytestmark = [pytest.mark.services, pytest.mark.nightly]

PEOPLE = 20
SILENT = "The scheduler has not run for some minutes."


@pytest.fixture
def late(installation):
    """An installation in which nothing has ticked for three hours, while people are due."""
    installation.welcome(PEOPLE, hours=3)
    with installation.connect() as connection:
        connection.execute(
            "INSERT INTO digest_heartbeat VALUES ('tick', now() - interval '3 hours')"
        )
    return installation


def degraded(installation):
    """Return what the web server says is amiss."""
    with urlopen(installation.environment["SITE_URL"] + "/healthz/", timeout=20) as answer:
        return json.load(answer)["degraded"]


def assert_each_got_one(installation):
    letters = installation.ask("SELECT subscriber_id, state FROM subscriptions_letter")
    assert len({subscriber for subscriber, _ in letters}) == len(letters) == PEOPLE
    assert {state for _, state in letters} == {"accepted"}
    assert len(installation.mail.arrived) == len(installation.mail.copies()) == PEOPLE
    check(installation)


def test_hours_without_beat_are_reported_and_caught_up(late):
    late.start_web()
    assert SILENT in degraded(late)
    late.start_all("worker", "beat")
    late.wait_for("letters", 60, lambda: len(late.mail.arrived) == PEOPLE)
    late.rest()
    assert_each_got_one(late)
    assert SILENT not in degraded(late)


def test_cron_needs_neither_beat_nor_redis(late):
    late.redis.kill()
    began = time.monotonic()
    said = late.manage("tick")
    assert time.monotonic() - began < 60
    assert f"Sent {PEOPLE} of {PEOPLE}" in said
    assert_each_got_one(late)
