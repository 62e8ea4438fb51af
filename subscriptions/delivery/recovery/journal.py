"""The acceptance journal: acceptances are on disk before they are in the database.

Each round of delivery appends to a file of its own, which it keeps locked. After a crash, the next
sweep replays the file into the database. So no acceptance is lost if the database fails between the
server's 250 and our commit. A process that is killed before it reads the 250 writes nothing: see
lookup.py.
"""

import fcntl
import json
import logging
import os
import re
import secrets
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from subscriptions.delivery.transports.registry import sync_folder
from subscriptions.delivery.transports.smtp_replies import without_addresses

logger = logging.getLogger(__name__)

OPEN = ".jsonl"
REPLAYED = ".replayed"
STARTING = ".new"  # Not locked yet, so `replay` must not take it.
MAX_REPLY_LENGTH = 300
ITEMS = "items"  # The only key of a line that holds the `item_ids` of the entries after it.


@dataclass(frozen=True)
class Entry:
    """One acceptance, with the attempt, the server's reply, and the time (ISO 8601, with zone).

    `item_ids` are those of the composer's Content, or None if unknown.
    """

    letter_id: int
    attempt: int
    message_id: str
    reply: str
    at: str
    item_ids: Sequence[str] | None = None


class NotAllRecorded(Exception):
    """Not all entries of a file could be recorded yet. The message says why."""


class Journal:
    """The file of one round in one process. Raises OSError if the folder cannot be written to.

    A forked child must not use it. The child shares the lock, so that the file is not replayed
    while either process runs.
    """

    def __init__(self, folder: Path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{_file_name()}{OPEN}"
        draft = self.path.with_suffix(STARTING)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(draft, flags, 0o600)
        self._is_torn = self._is_used = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(draft, self.path)
            sync_folder(folder)
        except BaseException:
            self.abandon()
            raise

    def write(self, entries: Collection[Entry]) -> None:
        """Write these entries to disk, with one write and one fsync.

        Raises OSError if that fails, as on a full disk. Some entries may be on disk all the same.
        """
        lines = b"".join(_lines(entries))
        if self._is_torn:
            lines = b"\n" + lines
        self._is_used = self._is_torn = True
        if (byte_count := os.write(self._descriptor, lines)) != len(lines):
            raise OSError(f"{self.path.name}: {byte_count} of {len(lines)} bytes were written")
        os.fsync(self._descriptor)
        self._is_torn = False

    def close(self) -> None:
        """Close the journal, whose entries are all recorded in the database."""
        try:
            if self._is_used:
                os.rename(self.path, self.path.with_suffix(REPLAYED))
            else:
                self.path.unlink()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as a crash would: its entries are replayed."""
        os.close(self._descriptor)


def replay(folder: Path, record: Callable[[list[Entry]], None]) -> None:
    """Call `record` with the entries of each unlocked file.

    A file counts as replayed when `record` has returned, so `record` must accept the same entries
    twice. After NotAllRecorded, the next file is replayed; other exceptions are raised. Several
    processes may replay at once.
    """
    for path in sorted(folder.glob(f"*{OPEN}")):
        with ExitStack() as stack:
            try:
                file = stack.enter_context(path.open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.stat()  # It may have been replayed before it was locked.
                entries = list(_entries(file, path))
            except (FileNotFoundError, BlockingIOError):
                continue  # It was replayed, or its owner runs.
            except OSError as error:  # Other files are replayed all the same.
                logger.error("Cannot replay the journal %s: %s", path.name, error)
                continue
            try:
                if entries:
                    record(entries)
            except NotAllRecorded as reason:
                logger.error("Cannot replay the journal %s yet: %s", path.name, reason)
                continue
            try:
                os.rename(path, path.with_suffix(REPLAYED))
            except OSError as error:  # It is replayed again, which changes nothing.
                logger.error("Cannot mark the journal %s as replayed: %s", path.name, error)


def accepted_ids(folder: Path, since: datetime, **options) -> set[str]:
    """Return the Message-IDs of the entries that `accepted_entries` yields."""
    return {entry.message_id for entry in accepted_entries(folder, since, **options)}


def accepted_entries(
    folder: Path, since: datetime, *, endings: Collection[str] = (OPEN, REPLAYED)
) -> Iterator[Entry]:
    """Yield the entries from `since` on, in files with these endings."""
    for path in [path for ending in endings for path in folder.glob(f"*{ending}")]:
        with suppress(FileNotFoundError), _open_or_replayed(path) as file:
            for entry in _entries(file, path):
                if datetime.fromisoformat(entry.at) >= since:
                    yield entry


def purge(folder: Path, cutoff: datetime) -> None:
    """Delete the replayed files that were last changed before `cutoff`."""
    for path in [*folder.glob(f"*{REPLAYED}"), *folder.glob(f"*{STARTING}")]:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < cutoff.timestamp():
                path.unlink()


def _file_name():
    day = timezone.now().astimezone(UTC).date()
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60]
    return f"{day}-{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _lines(entries) -> Iterator[bytes]:
    """Yield the entries as lines, after a line with the `item_ids` of all.

    A process of an older version skips that line. It would also skip an entry with an unknown
    field, so `item_ids` is no field. Addresses that the server repeats in its reply are removed.
    """
    if items := {e.message_id: e.item_ids for e in entries if e.item_ids is not None}:
        yield json.dumps({ITEMS: items}).encode() + b"\n"
    for entry in entries:
        fields = vars(entry) | {"reply": without_addresses(entry.reply)[:MAX_REPLY_LENGTH]}
        del fields["item_ids"]
        yield json.dumps(fields).encode() + b"\n"


def _open_or_replayed(path):
    try:
        return path.open("rb")
    except FileNotFoundError:
        return path.with_suffix(REPLAYED).open("rb")


def _entries(file, path) -> Iterator[Entry]:
    """Yield the entries of a file. Torn lines are skipped: their write did not return."""
    item_ids: dict[str, list[str]] = {}
    for line in file:
        try:
            fields = json.loads(line)
            if ITEMS in fields:
                items = dict(fields[ITEMS])
                item_ids = {name: [str(id_) for id_ in ids] for name, ids in items.items()}
                continue
            entry = Entry(**fields, item_ids=item_ids.get(fields["message_id"]))
            texts, numbers = (entry.message_id, entry.reply), (entry.letter_id, entry.attempt)
            are_ids = all(type(n) is int and 0 <= n < 2**63 for n in numbers)
            has_zone = datetime.fromisoformat(entry.at).tzinfo is not None
            if not (are_ids and has_zone and all(isinstance(text, str) for text in texts)):
                raise ValueError
            yield entry
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
            if line.strip():
                logger.warning("The journal %s has an incomplete line", path.name)


def folder_of_journals() -> Path:
    """Return the folder of this machine's journals."""
    return Path(settings.DATA_DIR) / "journal"
