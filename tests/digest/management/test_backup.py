"""`manage.py backup`: a whole copy of the embedded database, made while somebody writes."""

import sqlite3
from contextlib import closing

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from digest.models import Pick
from digest.operations import heartbeats
from digest.planning import plan
from subscriptions.delivery import worker
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.invariants import broken

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def embedded():
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL brings its own: tests/faults/test_backups.py")


def test_backup_during_write_is_complete_and_private(embedded, tmp_path):
    heartbeats.beat("before", NOW)
    name, copy = connection.settings_dict["NAME"], tmp_path / "copy.sqlite3"
    with closing(sqlite3.connect(name, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO digest_heartbeat VALUES ('under way', '2026-06-01 12:00:00')")
        call_command("backup", str(copy))
        writer.execute("ROLLBACK")
    with closing(sqlite3.connect(copy)) as subscriber:
        assert subscriber.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert subscriber.execute("SELECT name FROM digest_heartbeat").fetchall() == [("before",)]
    assert copy.stat().st_mode & 0o777 == 0o600


def test_backup_overwrites_no_file(embedded, tmp_path):
    existing = tmp_path / "kept"
    existing.write_text("kept")
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(existing))
    assert existing.read_text() == "kept"
    with pytest.raises(CommandError, match=r"Cannot write .+: No such file or directory"):
        call_command("backup", str(tmp_path / "no" / "copy"))


def test_failed_backup_leaves_no_file(embedded, tmp_path, monkeypatch):
    """It would be copied page by page, and take the place of a good one."""
    broken, copy = tmp_path / "broken.sqlite3", tmp_path / "copy"
    monkeypatch.setitem(connection.settings_dict, "NAME", str(broken))
    broken.write_text("no database")
    with pytest.raises(CommandError, match=r"Cannot copy .+: file is not a database"):
        call_command("backup", str(copy))
    assert not copy.exists()
    broken.unlink()
    with closing(sqlite3.connect(broken)) as writer:
        writer.execute("CREATE TABLE papers AS SELECT randomblob(9000) AS title")
        writer.commit()
    content = bytearray(broken.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    broken.write_bytes(content)
    with pytest.raises(CommandError, match=r"broken\.sqlite3 is damaged \(.+ docs/maintenance\.md"):
        call_command("backup", str(copy))
    assert not copy.exists()


def test_dumped_data_loads_into_empty_database(tmp_path):
    """As docs/install.md moves from SQLite to PostgreSQL: nobody's digest comes again."""
    make.paper("Graph networks")
    make.subscriber(interests="graph networks")
    plan.plan(NOW)
    worker.deliver_due(lambda: NOW)
    before = list(Letter.objects.values()), list(Pick.objects.values())
    file = str(tmp_path / "all.json.gz")
    left_out = ["contenttypes", "auth.permission", "sessions"]
    by_name = {"use_natural_foreign_keys": True, "use_natural_primary_keys": True}
    call_command("dumpdata", exclude=left_out, output=file, **by_name)
    call_command("flush", interactive=False, verbosity=0)
    assert not Letter.objects.exists()
    call_command("loaddata", file, verbosity=0)
    assert (list(Letter.objects.values()), list(Pick.objects.values())) == before
    assert plan.plan(NOW).letters == 0
    make.subscriber()  # Numbers go on where they ended.
    assert broken(NOW) == {}
