"""A backup made while letters leave is put back, and the days since count as sent (fault 49).

By the very commands of docs/maintenance.md. Nobody gets two.
"""

import threading
from datetime import UTC, datetime

import pytest

from tests.faults.installation import LETTERS, PEOPLE, PICKS
from tests.faults.test_crashes import give_times

pytestmark = [pytest.mark.services, pytest.mark.slow]

#: Of so many due letters, so many have left at least when the backup is made.
HAS_GONE, HAS_LEFT = 12, 6


def test_restored_backup_doubles_no_letter(installation, mail, postgres):
    file = installation.folder / f"{installation.database}_restored"
    give_times(installation)
    installation.environment["FAULT_AT"] = "after_250:2"
    installation.invite(HAS_GONE)
    with installation.connect() as connection:
        people = {"address": "later@host-%s.example.org", "first": 101, "last": 110}
        connection.execute(PEOPLE, people)  # Whose letters are written after the backup.
    moments, lock = [], threading.Lock()

    def once_some_have_left(recipient):
        with lock:  # Several arrive at once.
            if is_time := len(mail.arrived) >= HAS_LEFT and not moments:
                moments.append(datetime.now(UTC))
        if is_time:
            postgres.dump(installation.database, file)

    mail.at_dot = once_some_have_left
    installation.deliver()
    today = datetime.now(UTC).date()
    installation.import_papers(100, 5, today)  # Which the backup lacks.
    with installation.connect() as connection:
        connection.execute(LETTERS, {"picks": PICKS})
    installation.deliver()
    assert moments
    assert installation.struck("after_250") == 2
    assert len(mail.copies()) == HAS_GONE + 10
    installation.kill("passes")

    installation.environment["DATABASE_URL"] = postgres.url(postgres.restore(file))
    before = installation.states()
    assert before.get("accepted", 0) < HAS_GONE, before
    assert sum(before.values()) == HAS_GONE, before
    installation.manage("sending", "stop")
    with installation.connect() as connection:
        connection.execute("UPDATE subscriptions_subscriber SET next_due_at = now()")
    said = installation.manage("sending", "skip", "--since", moments[0].isoformat())
    assert "10 digests that came due since" in said
    installation.manage("sending", "resume")
    installation.manage("tick")
    installation.deliver()
    assert installation.states() == {"accepted": HAS_GONE + 10}
    assert len(mail.copies()) == HAS_GONE + 10
