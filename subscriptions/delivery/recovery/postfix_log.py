"""Read what a Postfix on this machine logged about letters.

For a letter that it accepts, it logs these lines, in this order:

    smtpd[7]: QID: client=…                         a queue file is begun
    cleanup[8]: QID: message-id=<…>                 the letter's header is written to it
    qmgr[9]: QID: from=<…>, … (queue active)        the file is complete

The queue manager only handles complete files, and Postfix replies 250 once a file is complete and
on disk (RFC 5321, 4.1.1.4: from then on it is responsible). So a line of qmgr proves that the
letter was accepted, whether or not anyone read the 250. The line of cleanup proves nothing, since
the rest of the letter may still be cut off. These lines report that:

    cleanup[8]: QID: removed (canceled)             Postfix 3.10 and later
    smtpd[7]: lost connection after DATA …          earlier versions; without a queue file

The latter may come before the line of cleanup.
"""

import gzip
import logging
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

logger = logging.getLogger(__name__)

LINE = re.compile(
    rb"\x00*(?P<stamp>[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S+)"  # syslog's or ISO 8601
    rb" \S+ postfix[^\s\[]*/(?P<daemon>[\w-]+)\[(?P<pid>\d+)\]: (?P<text>.*)\n"
)
CLIENT = re.compile(rb"(\w+): client=")
MESSAGE_ID = re.compile(rb"(\w+): message-id=\s*(\S+)")
QUEUED = re.compile(rb"(\w+): ")  # Any line about a queue file: see above.
CANCELED = re.compile(rb"(\w+): removed \(canceled\)")
CUT = re.compile(rb"(?:\w+: )?(?:lost connection|timeout) after (?:DATA|BDAT)")

LINE_BYTES = 1 << 16  # Postfix writes no longer lines.
FIRST_READ_BYTES = 1 << 20  # At the log's end. Then twice as many are read, and so on.
TRIES = 3
#: A time that covers no moment.
NO_PERIOD = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
LOCALTIME = Path("/etc/localtime")


@dataclass
class Trace:
    """What the log says about one Message-ID."""

    is_queued: bool = False
    queued_at: datetime | None = None  # None if the log's time cannot be parsed.
    open_queue_ids: set[bytes] = field(default_factory=set)  # Queue files without a later line.
    canceled_at: datetime | None = None


class Reading:
    """The result: `traces` by Message-ID, and the time that the log covers completely."""

    def __init__(self, message_ids: Collection[str]):
        self.traces: dict[str, Trace] = defaultdict(Trace)
        self.begins_at, self.ends_at = NO_PERIOD
        self._message_ids = {message_id.encode(): message_id for message_id in message_ids}
        self._by_queue_id: dict[bytes, Trace] = {}  # by queue file
        self._cancel_times: dict[bytes, datetime] = {}  # by queue file, also before its Message-ID
        self._last_queue_ids: dict[bytes, bytes] = {}  # the last queue file of each smtpd

    def take(self, line: re.Match, log: "LogFile") -> None:
        """Process one line of Postfix. Call in the order of writing."""
        text = line["text"]
        match line["daemon"]:
            case b"smtpd":
                if client := CLIENT.match(text):
                    queue_id = self._last_queue_ids[line["pid"]] = client[1]
                    self._by_queue_id.pop(queue_id, None)  # Ids of deleted files are reused.
                    self._cancel_times.pop(queue_id, None)
                elif CUT.match(text) and (queue_id := self._last_queue_ids.pop(line["pid"], None)):
                    self._cancel(queue_id, log.moment_of(line))
            case b"cleanup":
                if canceled := CANCELED.match(text):
                    self._cancel(canceled[1], log.moment_of(line))
                elif match := MESSAGE_ID.match(text):
                    self._trace(*match.groups())
            case b"qmgr" | b"nqmgr" | b"oqmgr":
                if (queued := QUEUED.match(text)) and (trace := self._by_queue_id.get(queued[1])):
                    trace.is_queued = True
                    trace.queued_at = trace.queued_at or log.moment_of(line)

    def _trace(self, queue_id, message_id):
        self._by_queue_id.pop(queue_id, None)
        if wanted_id := self._message_ids.get(message_id):
            trace = self._by_queue_id[queue_id] = self.traces[wanted_id]
            trace.open_queue_ids.add(queue_id)
            self._cancel(queue_id, self._cancel_times.get(queue_id))
        elif not message_id.endswith(b">"):  # Cut off by the log: it may be one of these.
            for full_id, wanted_id in self._message_ids.items():
                if full_id.startswith(message_id):
                    self.traces[wanted_id].open_queue_ids.add(queue_id)

    def _cancel(self, queue_id, moment):
        if moment is None:
            return
        self._cancel_times[queue_id] = moment
        if trace := self._by_queue_id.get(queue_id):
            trace.open_queue_ids.discard(queue_id)
            trace.canceled_at = moment


class LogFile:
    """One file of the log, as it was when it was opened. Raises OSError."""

    def __init__(self, path: Path, stack: ExitStack):
        self.path = path
        self._raw = stack.enter_context(path.open("rb"))
        self._status = os.fstat(self._raw.fileno())
        is_packed = path.suffix == ".gz"
        self._lines = gzip.GzipFile(fileobj=self._raw) if is_packed else self._raw
        self._readable_size = 0 if is_packed else self._status.st_size
        self._zone = _machine_zone()
        self.changed_at = datetime.fromtimestamp(self._status.st_mtime, UTC)

    def is_in_place(self) -> bool:
        """Return whether it was not rotated meanwhile."""
        try:
            return self.path.stat().st_ino == self._status.st_ino
        except FileNotFoundError:
            return False

    def was_truncated(self) -> bool:
        """Return whether it was emptied while it was read, as logrotate's copytruncate does."""
        return os.fstat(self._raw.fileno()).st_size < self._status.st_size

    def rewind(self, since: datetime) -> datetime | None:
        """Seek to a line shortly before `since`, or to the start of the file.

        Return the time of the first line of Postfix from there on.
        """
        step = FIRST_READ_BYTES
        while True:
            start = max(0, self._readable_size - step)
            self._go_to(start)
            moment = next((self.moment_of(line) for line in self), None)
            if start == 0 or (moment and moment < since):
                self._go_to(start)
                return moment
            step *= 2

    def __iter__(self) -> Iterator[re.Match]:
        """Yield the lines of Postfix that are complete."""
        while line := self._lines.readline(LINE_BYTES):
            if match := LINE.match(line):
                yield match

    def moment_of(self, line: re.Match) -> datetime | None:
        """Return when the line was written, to the second or better."""
        try:
            stamp = line["stamp"].decode("ascii")
            if stamp[0].isalpha():
                return self._with_year(stamp)
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone)

    def _go_to(self, start):
        self._lines.seek(start)
        if start:
            self._lines.readline()  # The rest of a line.

    def _with_year(self, stamp):
        """Parse a time of syslog, without year: the last one before the file's last change."""
        latest = self.changed_at + timedelta(days=1)
        for year in range(latest.year, latest.year - 5, -1):  # Most have no 29 February.
            try:
                local_time = datetime.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007
            except ValueError:
                continue
            if (moment := local_time.replace(tzinfo=self._zone).astimezone(UTC)) <= latest:
                return moment
        return None


def read(path: Path, message_ids: Collection[str], since: datetime) -> Reading:
    """Read what the log says about these Message-IDs from `since` on.

    The log is the file at `path` and the rotated files, whose names begin the same (mail.log.1,
    mail.log.2.gz). If a file cannot be read, or changes meanwhile, the reading covers no time. What
    was found counts all the same.
    """
    reading, ends_at = Reading(message_ids), None
    with ExitStack() as stack:
        try:
            files, begins_at = _open(path, since, stack)
            for file in reversed(files):
                line = None
                for line in file:
                    reading.take(line, file)
                if file.was_truncated():
                    raise OSError(f"{file.path} was emptied meanwhile")
                if line and (moment := file.moment_of(line)):
                    # A line later than the file's last change has times of another zone.
                    ends_at = min(moment, file.changed_at)
        except (OSError, EOFError, zlib.error) as error:
            logger.warning("Cannot read the log %s: %s", path, error)
            return reading
    if begins_at and ends_at:
        reading.begins_at, reading.ends_at = begins_at, ends_at
    return reading


def _open(path, since, stack):
    """Open the necessary files, newest first. Try again if one is rotated meanwhile."""
    for _ in range(TRIES):
        files, begins_at = [], None
        try:
            for file_path in _newest_first(path):
                files.append(LogFile(file_path, stack))
                begins_at = files[-1].rewind(since) or begins_at
                if begins_at and begins_at < since:
                    break
        except FileNotFoundError:
            continue
        if all(file.is_in_place() for file in files):
            return files, begins_at
    raise OSError("it is gone, or rotated again and again")


def _newest_first(path):
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    return sorted(filter(Path.is_file, files), key=lambda file: file.stat().st_mtime, reverse=True)


def _machine_zone():
    """Return the time zone of syslog and Postfix. Django sets TZ of this process to its own."""
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC
