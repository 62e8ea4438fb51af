"""`manage.py upgrade`: tables change beside those who use them, and one upgrade at a time."""

import os
import subprocess
import sys
import threading
import time
from subprocess import PIPE, STDOUT

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from digest.operations import health, upgrade
from subscriptions.models import Letter, Topic
from tests.subscriptions.delivery.worker.held_locks import another_session


@pytest.fixture
def postgresql(transactional_db, monkeypatch):
    """Only PostgreSQL has locks of tables. Waits are short."""
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    monkeypatch.setattr(upgrade, "LOCK_SECONDS", 1)
    monkeypatch.setattr(upgrade, "PAUSE_SECONDS", 0.1)


@pytest.mark.slow
def test_concurrent_first_starts_set_up_once(tmp_path):
    """On SQLite; on PostgreSQL, `demo` finds the tables there."""
    (tmp_path / "data").mkdir(mode=0o755)
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), "SOURCES": ""}
    command = [sys.executable, "manage.py", "demo", "--no-serve"]
    both = [
        subprocess.Popen(command, env=environment, text=True, stdout=PIPE, stderr=STDOUT)
        for _ in range(2)
    ]
    outputs = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    letters = [file.name.partition("-")[0] for file in (tmp_path / "data/outbox").iterdir()]
    assert sorted(letters) == ["confirm", "digest"]
    password = (tmp_path / "data/admin-password").read_text().strip()
    assert all(f"password {password} " in one for one in outputs)
    # Where DATA_DIR was there before, others on this machine may look into it.
    files = [file for file in (tmp_path / "data").rglob("*") if not file.match("data/files/*/*")]
    assert [file.name for file in files if file.is_file() and file.stat().st_mode & 0o077] == []


def test_upgrade_refuses_transaction_pooler(db, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", True)
    monkeypatch.setattr(upgrade, "_migration_lock", None)  # Nobody asks for the lock.
    call_command("upgrade")  # A service begins where nothing is to be migrated.
    newer = health.migrations_of_this_version() | {("digest", "9999_next")}
    monkeypatch.setattr(health, "migrations_of_this_version", lambda: newer)
    with pytest.raises(
        CommandError, match=r"1 migration is missing.* address of PostgreSQL itself"
    ):
        call_command("upgrade")


def test_locked_table_is_retried_without_blocking_readers(postgresql, monkeypatch):
    """Whoever reads the table meanwhile stands behind the change in the queue."""
    messages, seconds = [], []

    def change(*args, **options):
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE subscriptions_letter ADD COLUMN later integer NULL")

    monkeypatch.setattr(upgrade, "call_command", change)
    writer = another_session()
    writer.execute("LOCK TABLE subscriptions_letter IN ROW EXCLUSIVE MODE")

    def read():
        began = time.monotonic()
        Letter.objects.count()
        seconds.append(time.monotonic() - began)
        connection.close()

    def tell(text):
        messages.append(text)
        if len(messages) == 2:
            writer.close()

    changing = threading.Thread(target=upgrade.migrate, args=(tell,))
    changing.start()
    time.sleep(0.3)
    read()
    changing.join()
    try:
        assert messages == ["A table is in use. Retrying."] * 2
        assert seconds[0] < 3
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE subscriptions_letter DROP COLUMN IF EXISTS later")


def test_concurrent_upgrades_are_serialized(postgresql, monkeypatch):
    messages = []
    first = another_session()
    first.execute("SELECT pg_advisory_lock(%s)", [upgrade.NUMBER])

    def tell(text):
        messages.append(text)
        first.close()

    monkeypatch.setattr(upgrade, "call_command", lambda *args, **options: messages.append("done"))
    upgrade.migrate(tell)
    assert messages == ["Another upgrade is running. Waiting.", "done"]


@pytest.mark.django_db(transaction=True)
def test_repeated_upgrade_creates_starter_topics_once(capsys):
    call_command("upgrade")
    call_command("upgrade")
    assert capsys.readouterr().out.count("The database is up to date.") == 2
    assert Topic.objects.count() > 100


@pytest.mark.django_db(transaction=True)
def test_other_errors_are_raised_at_once(monkeypatch):
    def breaks(*args, **options):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(upgrade, "call_command", breaks)
    with pytest.raises(OperationalError, match="the disk is full"):
        upgrade.migrate(pytest.fail)
