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
from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import pytest

from tests.faults.conftest import opened
from tests.faults.installation import PICKS, Installation, fill
from tests.faults.invariants import check

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

    def invite(self, count, address="reader-%s@example.org"):
        """Let so many people be due whose digests are planned."""
        now = datetime.now(UTC)
        papers = [paper for (paper,) in self.ask("SELECT id FROM digest_paper ORDER BY id")]
        with sqlite3.connect(self.file) as connection:
            for number in range(1, count + 1):
                add_planned_digest(connection, address % number, now, papers)
        connection.close()


def add_planned_digest(connection, email, now, papers):
    """Add a subscriber with a planned digest of three papers."""
    moment, day = str(now)[:26], str(now.date())
    subscriber = add_subscriber(connection, email, moment)
    ours = {"subscriber_id": subscriber}
    moments = {"created_at": moment, "next_try_at": moment}
    moments["closes_at"] = str(now + timedelta(hours=20))[:26]
    of_day = {"kind": "digest", "day": day, "state": "planned"}
    letter = insert(connection, "subscriptions_letter", **ours, **of_day, **moments)
    event = {"letter_id": letter, "at": moment, "new_state": "planned"}
    insert(connection, "subscriptions_letterevent", **event)
    made = ours | {"letter_id": letter, "day": day, "considered": 30, "receipt": "{}"}
    digest = insert(connection, "digest_digest", public_id=uuid.uuid4().hex, **made)
    for place in range(PICKS):
        pick = ours | {"digest_id": digest, "position": place + 1, "score": 0.5, "basis": "trend"}
        paper = papers[(subscriber + place) % len(papers)]
        insert(connection, "digest_pick", paper_id=paper, terms="[]", **pick)


def add_subscriber(connection, email, moment, size=10, **fields):
    """Add an active subscriber. Return the row's number."""
    settings = {"timezone": "UTC", "hour": 7, "size": size, "language": "en", "learns": 1}
    moments = {"asked_at": moment, "pending_settings": "{}", "confirmed_at": moment}
    who = {"email": email, "public_id": uuid.uuid4().hex}
    return insert(connection, "subscriptions_subscriber", **who, **settings, **moments, **fields)


def insert(connection, table, **values):
    """Insert a row, with what a new one has where nothing is said."""
    columns = connection.execute(f"PRAGMA table_info({table})")
    for _, name, kind, is_needed, default, is_key in columns:
        if is_needed and default is None and not is_key and name not in values:
            values[name] = "" if kind.startswith(("varchar", "text")) else 0
    columns = ", ".join(f'"{name}"' for name in values)
    places = ", ".join("?" * len(values))
    statement = f"INSERT INTO {table} ({columns}) VALUES ({places})"
    return connection.execute(statement, list(values.values())).lastrowid


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
    small.invite(300)
    accepted = set()
    for _ in range(4):
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
    assert 0 < len(accepted) < 300
    small.come_to_rest()
    assert is_whole(small)
    outcome = check(small, is_certain=False)
    assert outcome.arrived >= 300 - outcome.unknown
    assert outcome.accepted + outcome.unknown == 300


def test_no_paper_is_repeated_after_restoring_a_copy(small):
    """Fault 49."""
    small.environment |= {"EMAIL_URL": small.mail.address(connections=4), "FAULT_AT": "after_250:1"}
    now = datetime.now(UTC)
    today, tomorrow = now.date(), now + timedelta(days=1)
    with sqlite3.connect(small.file) as connection:
        for number in range(12):
            moment = str(now)[:26]
            due = {"size": 14, "next_due_at": moment}
            add_subscriber(connection, f"r{number}@example.org", moment, **due)
    connection.close()
    copy = small.folder / "copy.sqlite3"
    small.manage("backup", str(copy))
    small.import_papers(100, 5, today)  # Which the copy lacks.
    small.start("tick", sys.executable, "-m", "tests.faults.tick", "plan")
    small.running.pop("tick").wait(60)
    assert small.struck("after_250") == 1
    small.come_to_rest()
    assert len(small.mail.copies()) == 12
    lacked = {f"2606.{number:05}".encode() for number in range(100, 105)}
    assert any(lacked & arrival.papers for arrival in small.mail.arrived)

    shutil.copy(copy, small.file)
    for ending in ("-wal", "-shm"):
        small.file.with_name(small.file.name + ending).unlink(missing_ok=True)
    small.manage("sending", "stop")
    said = small.manage("sending", "skip", "--since", now.isoformat())
    assert "12 digests that came due since" in said
    small.manage("sending", "resume")
    small.import_papers(100, 5, today)  # They are harvested again,
    small.import_papers(200, 5, tomorrow.date())  # and others of the next day.
    small.ask("UPDATE subscriptions_subscriber SET next_due_at = ?", str(tomorrow)[:26])
    small.manage("tick", "--now", (tomorrow + timedelta(minutes=1)).isoformat())
    assert len(small.mail.copies()) == 24
    assert small.mail.papers_twice() == set()


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
