"""The acceptance journal: what a mail server took, on the disk before the database knows."""

import fcntl
import json
import os
import resource
import signal
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from subscriptions.delivery.recovery import journal
from subscriptions.delivery.recovery.journal import Entry, Journal, accepted_ids, purge, replay
from tests.factories.make import DAY, NOW
from tests.helpers import data_files
from tests.helpers.threads import at_once
from tests.subscriptions.delivery.steps import before


@pytest.fixture
def folder(data_dir):
    return data_dir / "journal"


def entry(number=1, *, reply="250 2.0.0 Ok: queued as 4F1B2", at=NOW):
    return Entry(number, 1, f"<digest.{number}@paperboy.example>", reply, at.isoformat())


def killed(folder, *entries):
    """Leave a journal as a killed process does."""
    left = Journal(folder)
    left.write(entries)
    left.abandon()
    return left.path


def replayed(folder):
    entries = []
    replay(folder, entries.extend)
    return entries


def test_item_ids_are_stored_apart_from_the_entries(folder):
    listed = replace(entry(2), item_ids=["2606.00001", "2606.00002"])
    quiet = replace(entry(3), item_ids=[])
    path = killed(folder, entry(1), listed, quiet)
    assert replayed(folder) == [entry(1), listed, quiet]
    assert replayed(folder) == []
    lines = path.with_suffix(journal.REPLAYED).read_text().splitlines()
    names = [set(json.loads(line)) for line in lines]
    fields = {"letter_id", "attempt", "message_id", "reply", "at"}
    assert [one for one in names if "letter_id" in one] == [fields] * 3
    assert len(lines) == 4


def test_open_or_closed_journal_is_not_replayed(folder):
    mine = Journal(folder)
    mine.write([entry()])
    assert replayed(folder) == []
    mine.close()
    assert replayed(folder) == []
    assert accepted_ids(folder, NOW) == {entry().message_id}


def test_unused_journal_leaves_no_file(folder):
    Journal(folder).close()
    assert list(folder.iterdir()) == []


def test_entries_are_replayed_again_after_a_failure(folder):
    killed(folder, entry())

    def fail(entries):
        raise FileNotFoundError("the database is gone")

    with pytest.raises(FileNotFoundError):
        replay(folder, fail)
    assert replayed(folder) == [entry()]


def test_torn_last_line_is_ignored(folder, caplog):
    path = killed(folder, entry(1), entry(2))
    os.truncate(path, path.stat().st_size - 20)
    assert replayed(folder) == [entry(1)]
    assert "incomplete line" in caplog.text
    assert "paperboy.example" not in caplog.text


NO_ENTRIES = [line.encode() for line in data_files.load("journal_lines.txt")]
NO_ENTRIES += [b"\xff\xfe", b"[" * 100_000]


@pytest.mark.parametrize("line", NO_ENTRIES)
def test_invalid_line_hides_no_other_entry(folder, line):
    path = killed(folder, entry(1))
    with path.open("ab") as file:
        file.write(line + b"\n")
        file.write(path.read_bytes().replace(b'"letter_id": 1', b'"letter_id": 2'))
    assert [one.letter_id for one in replayed(folder)] == [1, 2]


def test_write_cut_by_a_full_disk_is_reported(folder):
    mine = Journal(folder)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="10 of"):
            mine.write([entry(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    mine.write([entry(2)])
    mine.abandon()
    assert replayed(folder) == [entry(2)]


def test_many_acceptances_take_one_write_and_sync(folder, monkeypatch):
    calls, write, sync = [], os.write, os.fsync
    monkeypatch.setattr(os, "write", lambda *args: calls.append("write") or write(*args))
    monkeypatch.setattr(
        os, "fsync", lambda one: calls.append(os.readlink(f"/proc/self/fd/{one}")) or sync(one)
    )
    mine = Journal(folder)
    mine.write([entry(number) for number in range(50)])
    mine.abandon()
    assert calls == [str(folder), "write", str(mine.path)]


def test_journal_is_private_and_has_no_address(folder):
    path = killed(folder, entry(reply="250 ok, for <reader@example.org>"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "reader" not in path.read_text()


def replay_before_the_next(monkeypatch, folder, owner, name):
    """Replay what is in the folder just before a function is called for the first time."""

    def replay_once(*_):
        monkeypatch.undo()
        replay(folder, lambda entries: None)

    before(monkeypatch, owner, name, replay_once)


def test_new_file_is_never_visible_unlocked(folder, monkeypatch):
    """Else it would be taken for a dead one's, and what is written into it later be lost."""
    replay_before_the_next(monkeypatch, folder, fcntl, "flock")
    mine = Journal(folder)
    mine.write([entry()])
    mine.abandon()
    assert replayed(folder) == [entry()]


def test_concurrent_replays_record_each_entry_once(folder):
    for number in range(20):
        killed(folder, entry(number))
    recorded = []
    at_once(*2 * [lambda: replay(folder, recorded.extend)])
    assert sorted(one.letter_id for one in recorded) == list(range(20))


def test_file_replayed_concurrently_is_left_alone(folder, monkeypatch):
    killed(folder, entry())
    replay_before_the_next(monkeypatch, folder, fcntl, "flock")
    assert replayed(folder) == []


def test_accepted_ids_are_read_from_every_file(folder):
    killed(folder, entry(1), entry(2, at=NOW - 2 * DAY))
    replay(folder, lambda entries: None)
    mine = Journal(folder)
    mine.write([entry(3)])
    found = accepted_ids(folder, NOW - DAY)
    mine.close()
    assert found == {entry(1).message_id, entry(3).message_id}


def test_file_replayed_during_reading_is_still_read(folder, monkeypatch):
    killed(folder, entry())
    replay_before_the_next(monkeypatch, folder, Path, "open")
    assert accepted_ids(folder, NOW) == {entry().message_id}


def test_file_that_cannot_be_marked_is_replayed_again(folder, caplog):
    path = killed(folder, entry())
    in_the_way = path.with_suffix(journal.REPLAYED)
    in_the_way.mkdir()
    assert replayed(folder) == [entry()]
    assert "Cannot mark the journal" in caplog.text
    in_the_way.rmdir()
    assert replayed(folder) == [entry()]


def test_only_old_replayed_or_unstarted_files_are_purged(folder):
    old, unborn, open_one, young = (killed(folder, entry(number)) for number in range(4))
    endings = {old: journal.REPLAYED, unborn: journal.STARTING, open_one: journal.OPEN}
    for path, ending in endings.items():
        os.utime(path.rename(path.with_suffix(ending)), (0, 0))
    young.rename(young.with_suffix(journal.REPLAYED))
    purge(folder, NOW - DAY)
    assert {path.suffix for path in folder.iterdir()} == {journal.REPLAYED, journal.OPEN}
    assert [one.letter_id for one in replayed(folder)] == [2]


def test_unreadable_journal_does_not_stop_other_replays(folder):
    killed(folder, entry(1))
    (folder / "2026-01-01-a-folder.jsonl").mkdir()
    assert replayed(folder) == [entry(1)]
