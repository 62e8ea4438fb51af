"""The acceptance journal: what the mail server took is on our disk before the database knows.

A run of delivery appends to a file of its own, which it keeps locked while it lives. What a dead
owner left is replayed into the database by whoever comes next. It covers a database that is lost,
or away, between the server's 250 and our commit; a process killed before it read the 250 has
nothing to write (see lookup.py for that).
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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from subscriptions.delivery.transports.smtp_replies import without_addresses

logger = logging.getLogger(__name__)

OPEN = ".jsonl"
REPLAYED = ".replayed"
UNBORN = ".new"  # Not locked yet, and no business of those who replay.
REPLY_CHARACTERS = 300
MAX_ITEMS = 1_000  # Of one email.
ITEMS = "items"  # The only key of a line that holds the `item_ids` of the entries after it.


@dataclass(frozen=True)
class Entry:
    """One acceptance: by which attempt, in whose words, and when (ISO 8601, with zone).

    `item_ids` name what the email was about, as its composer did; None where that is unknown.
    """

    letter_id: int
    attempt: int
    message_id: str
    reply: str
    at: str
    item_ids: Sequence[str] | None = None


class Unrecorded(Exception):
    """Not all that a file holds could be recorded yet. Says why."""


class Journal:
    """The file of one run in one process. A forked child must not use it, and need not: the lock
    is shared with it, so that the file stays the parent's as long as either lives.

    Raises OSError where the folder can't be written to.
    """

    def __init__(self, folder: Path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{_name()}{OPEN}"
        unborn = self.path.with_suffix(UNBORN)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
        self._descriptor = os.open(unborn, flags, 0o600)
        self._is_torn = self._is_used = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(unborn, self.path)
            _sync(folder)
        except BaseException:
            self.leave()
            raise

    def write(self, entries: Collection[Entry]) -> None:
        """Bring these acceptances to the disk, with one write and one fsync for all.

        Raises OSError where that failed, as on a full disk; some of them may be there all the same.
        The caller records them in the database as ever, and tells the operator.
        """
        lines = b"".join(_lines(entries))
        if self._is_torn:
            lines = b"\n" + lines
        self._is_used = self._is_torn = True
        if (written := os.write(self._descriptor, lines)) != len(lines):
            raise OSError(f"{self.path.name}: {written} of {len(lines)} bytes were written")
        os.fsync(self._descriptor)
        self._is_torn = False

    def close(self) -> None:
        """End the journal, once all that it holds is recorded in the database."""
        try:
            if self._is_used:
                os.rename(self.path, self.path.with_suffix(REPLAYED))
            else:
                self.path.unlink()
        finally:
            self.leave()

    def leave(self) -> None:
        """Give the file up as a crash would: what it holds is replayed."""
        os.close(self._descriptor)


def replay(folder: Path, record: Callable[[list[Entry]], None]) -> int:
    """Hand what dead owners left to `record`, a file at a time. Return how many entries it was.

    A file counts as replayed only when `record` has returned, so `record` must take the same
    entries twice. Where it raises Unrecorded the next file has its turn; what it raises else goes
    through. Whoever else replays meanwhile does no harm.
    """
    count = 0
    for path in sorted(folder.glob(f"*{OPEN}")):
        with ExitStack() as stack:
            try:
                file = _open_if_free(path, stack)
                entries = list(_entries(file, path)) if file else []
            except OSError as error:  # One that can't be read costs itself alone.
                logger.error("the journal %s can't be replayed: %s", path.name, error)
                continue
            try:
                if entries:
                    record(entries)
            except Unrecorded as reason:
                logger.error("the journal %s can't be replayed yet: %s", path.name, reason)
                continue
            if file:
                _mark_replayed(path)
            count += len(entries)
    return count


def _mark_replayed(path):
    try:
        os.rename(path, path.with_suffix(REPLAYED))
    except OSError as error:  # It is replayed again, which changes nothing.
        logger.error("the journal %s can't be marked as replayed: %s", path.name, error)


def accepted_ids(
    folder: Path, since: datetime, *, of: Collection[str] = (OPEN, REPLAYED)
) -> set[str]:
    """Return the Message-IDs of all that was accepted from `since` on, replayed or not, or `of`
    files with such an ending alone.
    """
    return {entry.message_id for entry in accepted(folder, since, of=of)}


def accepted(
    folder: Path, since: datetime, *, of: Collection[str] = (OPEN, REPLAYED)
) -> Iterator[Entry]:
    """Yield the entries from `since` on, as `accepted_ids` finds them."""
    for path in [path for ending in of for path in folder.glob(f"*{ending}")]:
        with suppress(FileNotFoundError), _open_or_replayed(path) as file:
            for entry in _entries(file, path):
                if datetime.fromisoformat(entry.at) >= since:
                    yield entry


def purge(folder: Path, before: datetime) -> int:
    """Delete the replayed files that were last written to before then. Return how many."""
    count = 0
    for path in [*folder.glob(f"*{REPLAYED}"), *folder.glob(f"*{UNBORN}")]:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                count += 1
    return count


def _name():
    day = timezone.now().astimezone(UTC).date()
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60]
    return f"{day}-{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _sync(folder):
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lines(entries) -> Iterator[bytes]:
    """Yield the entries as lines. Some servers repeat the address in what they say: not here.

    The `item_ids` of all are in a line before them. A process of an older version skips that line;
    it would skip an entry with a field that it does not know.
    """
    if items := {one.message_id: one.item_ids for one in entries if one.item_ids is not None}:
        yield json.dumps({ITEMS: items}).encode() + b"\n"
    for entry in entries:
        told = vars(entry) | {"reply": without_addresses(entry.reply)[:REPLY_CHARACTERS]}
        del told["item_ids"]
        yield json.dumps(told).encode() + b"\n"


def _open_if_free(path, stack):
    """Open and lock a file for replay. Return None where its owner lives, or it was replayed."""
    with suppress(FileNotFoundError, BlockingIOError):
        file = stack.enter_context(path.open("rb"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    return None


def _open_or_replayed(path):
    try:
        return path.open("rb")
    except FileNotFoundError:
        return path.with_suffix(REPLAYED).open("rb")


def _entries(file, path) -> Iterator[Entry]:
    """Yield the entries of a file. A torn line was never told to anybody as written."""
    item_ids: dict[str, list[str]] = {}
    for line in file:
        try:
            told = json.loads(line)
            if isinstance(told, dict) and told.keys() == {ITEMS}:
                item_ids = _items(told[ITEMS])
                continue
            entry = Entry(**told)
            if not _is_ours(entry):
                raise ValueError
            yield replace(entry, item_ids=item_ids.get(entry.message_id)) if item_ids else entry
        except (ValueError, TypeError, OverflowError, RecursionError):
            if line.strip():
                logger.warning("the journal %s holds a torn line", path.name)


def _items(told) -> dict[str, list[str]]:
    """Return what a line says of items. Raises ValueError or TypeError where it is torn."""
    items = dict(told)
    for ids in items.values():
        if len(ids) > MAX_ITEMS or not all(isinstance(one, str) and one.isascii() for one in ids):
            raise ValueError
    return items


def _is_ours(entry):
    return (
        _is_number(entry.letter_id)
        and _is_number(entry.attempt)
        and isinstance(entry.message_id, str)
        and isinstance(entry.reply, str)
        and entry.item_ids is None  # They have a line of their own.
        and datetime.fromisoformat(entry.at).tzinfo is not None
    )


def _is_number(value):
    """Return whether the database could have given it: about any other, it would ask in vain."""
    return type(value) is int and 0 <= value < 2**63


def folder_of_journals() -> Path:
    """Return where the journals of this machine are."""
    return Path(settings.DATA_DIR) / "journal"
