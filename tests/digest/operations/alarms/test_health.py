"""How the service is: strangers learn that something is wrong, and operators what."""

import resource

import pytest
from django.db import connection

from digest.operations import alarms
from subscriptions.delivery import circuit_breaker
from tests.digest.operations.alarms.heartbeats import HOUR, beaten
from tests.factories import make
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


def test_strangers_learn_that_something_is_wrong_and_no_more(client, roomy):
    beaten(HOUR)
    make.subscriber("secret@example.org", next_due_at=NOW - HOUR)
    roomy["free"] = 0
    circuit_breaker.trip("auth", "535 wrong password for secret-user", NOW)
    alarm = alarms.ActiveAlarm("promises", "A promise is broken (once): 7.", "once", HOUR)
    alarms.record([alarm], NOW)
    response = client.get("/healthz/")
    assert response.status_code == 200
    assert response.json()["degraded"] == [
        "No letters leave for now: the panel says why.",
        "Nothing was planned for some minutes.",
        "Digests are late.",
        "A promise is not kept.",
        "A disk is nearly full.",
    ]


def test_an_embedded_database_that_can_not_be_written_is_not_ready(client):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # As a full disk does.
    try:
        response = client.get("/healthz/")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if connection.vendor == "postgresql":  # Its disk is another.
        assert response.status_code == 200
        return
    assert response.status_code == 503
    (said,) = response.json()["reasons"]
    assert said == "Nothing can be saved, and no letters leave: File too large."
    assert client.get("/healthz/").status_code == 200


def test_operators_learn_all_of_it(panel):
    beaten(HOUR)
    alarm = alarms.ActiveAlarm("disk", "3 MB are left for /x on host-7.", "host-7", HOUR)
    alarms.record([alarm], NOW)
    page = panel.get("/admin/").content.decode()
    assert "Something needs doing" in page
    assert "The last tick was 11:00 UTC on 1 June 2026" in page
    assert "3 MB are left for /x on host-7." in page
