"""What a Postfix on this machine wrote into its log about letters of ours.

Of a letter that it takes, these lines tell, in this order:

    smtpd[7]: QID: client=…                         a queue file is begun
    cleanup[8]: QID: message-id=<…>                 the letter's header is written into it
    qmgr[9]: QID: from=<…>, … (queue active)        the file is complete, and on its way

The queue manager sees complete files alone, and Postfix says 250 once a file is complete and on the
disk (RFC 5321, 4.1.1.4: from then on it is responsible). So a line of qmgr proves that the letter
arrived, whether or not anybody read the 250. The line of cleanup proves nothing: it is written
while the rest of the letter may still be cut off. That this happened is told by

    cleanup[8]: QID: removed (canceled)             Postfix 3.10 and later
    smtpd[7]: lost connection after DATA …          earlier ones, which name no queue file here

and the latter may come before cleanup has read the header that it was sent.
"""

import gzip
import logging
import os
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

logger = logging.getLogger(__name__)

LINE = re.compile(
    rb"\x00*(?P<stamp>[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT\S+)"  # syslog's or ISO 8601
    rb" \S+ postfix[^\s\[]*/(?P<daemon>[\w-]+)\[(?P<pid>\d+)\]: (?P<said>.*)\n"
)
BEGUN = re.compile(rb"(\w+): client=")
NAMED = re.compile(rb"(\w+): message-id=\s*(\S+)")
QUEUED = re.compile(rb"(\w+): ")  # Whatever it says of a queue file: see above.
CANCELED = re.compile(rb"(\w+): removed \(canceled\)")
CUT = re.compile(rb"(?:\w+: )?(?:lost connection|timeout) after (?:DATA|BDAT)")

QUEUE_MANAGERS = {b"qmgr", b"nqmgr", b"oqmgr"}
LINE_BYTES = 1 << 16  # A longer one is no line of Postfix.
FIRST_STEP = 1 << 20  # So much of the log's end is looked at first, then twice as much, and so on.
TRIES = 3
LOCALTIME = Path("/etc/localtime")


@dataclass
class Trace:
    """What the log says of one Message-ID."""

    is_queued: bool = False
    queued_at: datetime | None = None  # As the log has it, which may be no moment.
    open: set[bytes] = field(default_factory=set)  # Queue files of which nothing more is told.
    canceled_at: datetime | None = None


class Reading:
    """What was read: `traces` by Message-ID, and from when to when the log tells of everything."""

    def __init__(self, message_ids: Collection[str]):
        self.traces: dict[str, Trace] = {}
        self.begins_at: datetime | None = None
        self.ends_at: datetime | None = None
        self._wanted = {one.encode(): one for one in message_ids}
        self._traced: dict[bytes, Trace] = {}  # by queue file
        self._canceled: dict[bytes, datetime] = {}  # queue files, also where the name comes later
        self._begun: dict[bytes, bytes] = {}  # the last queue file of each smtpd

    def begins_before(self, moment: datetime) -> bool:
        return self.begins_at is not None and self.begins_at < moment

    def goes_beyond(self, moment: datetime) -> bool:
        return self.ends_at is not None and self.ends_at > moment

    def take(self, line: re.Match, log: "LogFile") -> None:
        """Take in one line of Postfix, in the order of writing."""
        daemon = line["daemon"]
        if daemon == b"smtpd":
            self._take_smtpd(line, log)
        elif daemon == b"cleanup":
            self._take_cleanup(line, log)
        elif daemon in QUEUE_MANAGERS:
            self._take_qmgr(line, log)

    def _take_smtpd(self, line, log):
        if begun := BEGUN.match(line["said"]):
            queue_id = self._begun[line["pid"]] = begun[1]
            self._forget(queue_id)  # The ids of files that are gone are given again.
        elif CUT.match(line["said"]) and (queue_id := self._begun.pop(line["pid"], None)):
            self._cancel(queue_id, log.moment_of(line))

    def _take_cleanup(self, line, log):
        if canceled := CANCELED.match(line["said"]):
            self._cancel(canceled[1], log.moment_of(line))
        elif named := NAMED.match(line["said"]):
            self._name(*named.groups())

    def _take_qmgr(self, line, log):
        if (queued := QUEUED.match(line["said"])) and (trace := self._traced.get(queued[1])):
            trace.is_queued = True
            trace.queued_at = trace.queued_at or log.moment_of(line)

    def _name(self, queue_id, message_id):
        self._traced.pop(queue_id, None)
        if name := self._wanted.get(message_id):
            trace = self._traced[queue_id] = self._trace(name)
            trace.open.add(queue_id)
            self._cancel(queue_id, self._canceled.get(queue_id))
        elif not message_id.endswith(b">"):  # Cut off by the log: it may be one of ours.
            for full, name in self._wanted.items():
                if full.startswith(message_id):
                    self._trace(name).open.add(queue_id)

    def _trace(self, name):
        return self.traces.setdefault(name, Trace())

    def _cancel(self, queue_id, at):
        if at is None:
            return
        self._canceled[queue_id] = at
        if trace := self._traced.get(queue_id):
            trace.open.discard(queue_id)
            trace.canceled_at = at

    def _forget(self, queue_id):
        self._traced.pop(queue_id, None)
        self._canceled.pop(queue_id, None)


class LogFile:
    """One file of the log, as it was when it was opened. Raises OSError where it can't be read."""

    def __init__(self, path: Path, stack: ExitStack):
        self.path = path
        self._raw = stack.enter_context(path.open("rb"))
        self._status = os.fstat(self._raw.fileno())
        is_packed = path.suffix == ".gz"
        self._lines = gzip.GzipFile(fileobj=self._raw) if is_packed else self._raw
        self._steps_from = 0 if is_packed else self._status.st_size
        self._zone = _machine_zone()
        self.changed_at = datetime.fromtimestamp(self._status.st_mtime, UTC)

    def is_in_place(self) -> bool:
        """Return whether its path still leads to it: it was not rotated away meanwhile."""
        try:
            return self.path.stat().st_ino == self._status.st_ino
        except FileNotFoundError:
            return False

    def was_truncated(self) -> bool:
        """Return whether it was emptied while it was read, as logrotate's copytruncate does."""
        return os.fstat(self._raw.fileno()).st_size < self._status.st_size

    def rewind(self, since: datetime) -> datetime | None:
        """Go to a place from before `since`, not far from it, or else to the file's start. Return
        the moment of the first line of Postfix from there on.
        """
        step = FIRST_STEP
        while True:
            start = max(0, self._steps_from - step)
            self._go_to(start)
            at = next((self.moment_of(line) for line in self), None)
            if start == 0 or (at and at < since):
                self._go_to(start)
                return at
            step *= 2

    def __iter__(self) -> Iterator[re.Match]:
        """Yield the lines of Postfix that are complete."""
        while line := self._lines.readline(LINE_BYTES):
            if found := LINE.match(line):
                yield found

    def moment_of(self, line: re.Match) -> datetime | None:
        """Return when it was written, to the second or better."""
        try:
            stamp = line["stamp"].decode("ascii")
            if stamp[0].isalpha():
                return self._with_its_year(stamp)
            moment = datetime.fromisoformat(stamp)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=self._zone)

    def _go_to(self, start):
        self._lines.seek(start)
        if start:
            self._lines.readline()  # The rest of a line.

    def _with_its_year(self, stamp):
        """The last year in which it lies before the file's last change: syslog writes none."""
        last = self.changed_at + timedelta(days=1)
        for year in range(last.year, last.year - 5, -1):  # There is no 29 February in most.
            try:
                local = datetime.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S")  # noqa: DTZ007
            except ValueError:
                continue
            if (moment := local.replace(tzinfo=self._zone).astimezone(UTC)) <= last:
                return moment
        return None


def read(path: Path, message_ids: Collection[str], since: datetime) -> Reading:
    """Read what the log says of these Message-IDs from `since` on.

    The log is the file at `path` with those that were rotated away from it, whose names begin so
    (mail.log.1, mail.log.2.gz). What can't be read, or changes under the reader's hands, makes the
    reading cover no time; what was found in it counts.
    """
    reading = Reading(message_ids)
    with ExitStack() as stack:
        try:
            files, begins_at = _open(path, since, stack)
            ends_at = _take_all(files, reading)
        except (OSError, EOFError, zlib.error) as error:
            logger.warning("the log at %s can't be read: %s", path, error)
            return reading
    reading.begins_at, reading.ends_at = begins_at, ends_at
    return reading


def _open(path, since, stack):
    """Open the files that are needed, newest first, while none of them is rotated away."""
    for _ in range(TRIES):
        files, begins_at = [], None
        try:
            for each in _newest_first(path):
                files.append(LogFile(each, stack))
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


def _take_all(files, reading):
    """Read the files, the oldest first. Return up to when they tell of everything."""
    ends_at = None
    for file in reversed(files):
        line = None
        for line in file:
            reading.take(line, file)
        if file.was_truncated():
            raise OSError(f"{file.path} was emptied meanwhile")
        if line and (at := file.moment_of(line)):
            # A line from after the file's last change is from a clock in another zone.
            ends_at = min(at, file.changed_at)
    return ends_at


def _machine_zone():
    """Return the zone that syslog and Postfix write in. It isn't that of this process: Django
    sets TZ to its own.
    """
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC
