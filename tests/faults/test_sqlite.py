"""The embedded database (faults 46 and 47): many write, one delivers, and it is killed."""

import os
import random
import shutil
import sqlite3
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.faults.conftest import opened
from tests.faults.installation import PICKS, Installation, fill
from tests.faults.invariants import check
from tests.helpers.statements import statements

STATEMENTS = statements(Path(__file__).with_suffix(".sql")).values()
pytestmark = [pytest.mark.services, pytest.mark.slow]


def leave(url):
    """Unsubscribe by the button of a mail program."""
    request = Request(url, data=b"List-Unsubscribe=One-Click", method="POST")
    with urlopen(request, timeout=60) as answer:
        return answer.read()


class SmallInstallation(Installation):
    """An installation on the embedded defaults: one file, no broker, passes by hand or by cron."""

    def __init__(self, folder, template, mail):
        self.folder, self.mail, self.running = folder, mail, {}
        self.file = folder / "data" / "paperboy.sqlite3"
        self.file.parent.mkdir()
        shutil.copy(template, self.file)
        self.environment = self._settings()

    def close(self):
        for name in list(self.running):
            self.kill(name)

    def come_to_rest(self):
        """Let passes follow each other until no letter is open."""

        def is_at_rest():
            self.tick()
            return self._open() == 0

        self.wait_for("rest", 60, is_at_rest)

    def ask(self, query, *values):
        with sqlite3.connect(self.file, timeout=30) as connection:
            found = connection.execute(query.replace("%s", "?"), values).fetchall()
        connection.close()
        return found

    def invite(self, count):
        """Let so many people be due whose digests are planned."""
        values = {"count": count, "picks": PICKS, "now": str(datetime.now(UTC))[:26]}
        with sqlite3.connect(self.file) as connection:
            for statement in STATEMENTS:
                connection.execute(statement, values)
        connection.close()


@pytest.fixture(scope="session")
def small_template(tmp_path_factory):
    """A file with all tables and a few papers."""
    if "DATABASE_URL" in os.environ:
        pytest.skip("brings its own SQLite: runs with the tests on the embedded defaults")
    folder = tmp_path_factory.mktemp("small")
    (folder / "data").mkdir()
    fill(folder)
    file = folder / "data" / "paperboy.sqlite3"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return file


@pytest.fixture
def small(tmp_path, small_template, mail, request):
    yield from opened(SmallInstallation(tmp_path, small_template, mail), request)


def is_whole(installation):
    return installation.ask("PRAGMA integrity_check") == [("ok",)]


def test_worker_killed_on_sqlite_loses_nothing(small):
    """Fault 47: the file stays whole, and what was called accepted stays so."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)
    small.environment["EMAIL_URL"] = small.mail.address(connections=4)
    small.invite(200)
    accepted = set()
    for _ in range(3):
        small.start("tick", sys.executable, "-m", "tests.faults.tick")
        so_far = len(small.mail.arrived)
        deadline = time.monotonic() + 60
        while len(small.mail.arrived) < so_far + 10 and small.running["tick"].poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.1))
        small.kill("tick")
        assert is_whole(small)
        now = {one["id"] for one in small.letters() if one["state"] == "accepted"}
        assert accepted <= now
        accepted = now
    assert 0 < len(accepted) < 200
    small.come_to_rest()
    assert is_whole(small)
    outcome = check(small, is_certain=False)
    assert outcome.arrived >= 200 - outcome.unknown
    assert outcome.accepted + outcome.unknown == 200


@pytest.mark.parametrize(
    ("seconds", "people"), [(3, 120), pytest.param(30, 600, marks=pytest.mark.nightly)]
)
def test_concurrent_processes_meet_no_locked_sqlite(small, seconds, people):
    """Fault 46: people leave by the web while a worker delivers and a planner plans."""
    small.start_web()
    small.environment["EMAIL_URL"] = small.mail.address(connections=4)
    small.invite(people)
    subscribers = small.ask("SELECT email, public_id FROM subscriptions_subscriber ORDER BY id")
    small.ask("UPDATE subscriptions_subscriber SET next_due_at = datetime('now') WHERE id % 5 = 0")
    until = time.monotonic() + seconds

    def work():
        while time.monotonic() < until:
            small.tick()

    def plan():
        while time.monotonic() < until:
            small.manage("tick")

    threads = [threading.Thread(target=work), threading.Thread(target=plan)]
    for thread in threads:
        thread.start()
    leaving = subscribers[: people // 3]
    urls = [small.unsubscribe_url(uuid.UUID(public_id)) for _, public_id in leaving]
    with ThreadPoolExecutor(8) as clicks:
        pages = []
        while time.monotonic() < until:  # Again and again: the later clicks write nothing new.
            pages += clicks.map(leave, urls)
    for thread in threads:
        thread.join(120)
    small.come_to_rest()
    assert "locked" not in "".join(log.read_text() for log in small.folder.glob("*.log"))
    assert len(pages) >= len(leaving)
    states = {letter["email"]: letter["state"] for letter in small.letters()}
    assert {states[email] for email, _ in leaving} <= {"accepted", "skipped"}
    assert is_whole(small)
    check(small)
