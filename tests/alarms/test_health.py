"""How the service is: strangers learn that something is wrong, and operators what."""

import pytest

from digest import alarms
from subscriptions.post import sending
from tests import make
from tests.alarms.heartbeats import HOUR, beaten
from tests.make import NOW

pytestmark = pytest.mark.django_db


def test_strangers_learn_that_something_is_wrong_and_no_more(client, roomy):
    beaten(HOUR)
    make.subscriber("secret@example.org", next_due_at=NOW - HOUR)
    roomy["free"] = 0
    sending.trip("auth", "535 wrong password for secret-user", NOW)
    alarms.note([alarms.Found("promises", "A promise is broken (once): 7.", "once", HOUR)], NOW)
    response = client.get("/healthz/")
    assert response.status_code == 200
    assert response.json()["degraded"] == [
        "No letters leave for now: the panel says why.",
        "Nothing was planned for some minutes.",
        "Digests are late.",
        "A promise is not kept.",
        "A disk is nearly full.",
    ]


def test_operators_learn_all_of_it(panel):
    beaten(HOUR)
    alarms.note([alarms.Found("disk", "3 MB are left for /x on host-7.", "host-7", HOUR)], NOW)
    page = panel.get("/admin/").content.decode()
    assert "Something needs doing" in page
    assert "The last tick was 11:00 UTC on 1 June 2026" in page
    assert "3 MB are left for /x on host-7." in page
