"""What says afterwards whether a letter arrived at the mail server, where its answer got lost.

An oracle is asked about letters past the fence of which nobody knows, once the server must have
made up its mind. "yes" and "no" are certain, each by evidence; all else is "unknown".
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal, Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.recovery import postfix_log
from subscriptions.delivery.transports.registry import file_name, stamp

Answer = Literal["yes", "no", "unknown"]

#: smtpd_timeout, and a little for the log to be written. Until then, a server may wait for the dot
#: of a client that was halted, or tell later what it did.
SETTLED = timedelta(minutes=5, seconds=10)
TICK = timedelta(seconds=1)  # Logs may tell the time in whole seconds.


@dataclass(frozen=True)
class Question:
    """A letter that nobody knows about. `left_at` is when its last attempt passed the fence."""

    message_id: str
    letter_id: int
    kind: str
    frozen_at: datetime
    left_at: datetime


class Oracle(Protocol):
    def look_up(self, questions: Collection[Question]) -> dict[str, Answer]:
        """Return, for each Message-ID, whether any attempt of that letter arrived."""

    def accepted(self, message_ids: Collection[str], since: datetime) -> dict[str, datetime | None]:
        """Return those of these Message-IDs that surely arrived, of letters frozen since then, each
        with a moment by which it had been written, where that is known.
        """


class NoOracle:
    """Knows nothing: what a mail server elsewhere did can't be seen from here."""

    def look_up(self, questions):
        return {question.message_id: "unknown" for question in questions}

    def accepted(self, message_ids, since):
        return {}


class Outbox:
    """The folder into which FileTransport puts letters. What is there has arrived."""

    def __init__(self, folder: Path):
        self.folder = folder

    def look_up(self, questions):
        try:
            there = set(os.listdir(self.folder))
        except OSError:  # Maybe on a disk that isn't mounted.
            return NoOracle().look_up(questions)
        return {
            question.message_id: "yes" if file_name(question) in there else "no"
            for question in questions
        }

    def accepted(self, message_ids, since):
        first, found = stamp(since), {}
        for file in self.folder.glob("*-*-*.eml"):
            if file.name.split("-")[1] >= first:
                with file.open("rb") as letter:
                    headers = BytesHeaderParser().parse(letter)
                if (name := (headers["Message-ID"] or "").strip()) in message_ids:
                    found[name] = parsedate_to_datetime(headers["Date"])
        return found


class PostfixLog:
    """The log of a Postfix on this machine, whose clock both share.

    "yes": the queue manager had it. "no": the log tells that the last attempt was cut off, or, from
    before the letter was frozen until the server had surely given up waiting, doesn't mention it.
    "unknown": the log doesn't reach so far, can't be read, or says only that the letter's header
    came in. That happens when Postfix is killed, and while the queue manager has no room for more;
    such a letter may have been taken, so it is no "no".
    """

    def __init__(self, path: Path):
        self.path = path

    def look_up(self, questions):
        if not questions:
            return {}
        since = min(question.frozen_at for question in questions) - TICK
        names = {question.message_id for question in questions}
        reading = postfix_log.read(self.path, names, since)
        return {question.message_id: _answer(question, reading) for question in questions}

    def accepted(self, message_ids, since):
        traces = postfix_log.read(self.path, message_ids, since).traces
        return {name: trace.queued_at for name, trace in traces.items() if trace.is_queued}


def _answer(question, reading) -> Answer:
    trace = reading.traces.get(question.message_id, postfix_log.Trace())
    if trace.is_queued:
        return "yes"
    if trace.open or not reading.begins_before(question.frozen_at - TICK):
        return "unknown"
    was_cut_off = trace.canceled_at and trace.canceled_at >= question.left_at - TICK
    return "no" if was_cut_off or reading.goes_beyond(question.left_at + SETTLED) else "unknown"


def ours() -> Oracle:
    """Return the oracle that the settings name. Raises ImproperlyConfigured."""
    return oracle_for(settings.ORACLE, settings.EMAIL_URL, settings.DATA_DIR)


def oracle_for(name: str, email_url: str, data_dir: Path) -> Oracle:
    """Return the oracle that ORACLE names. Raises ImproperlyConfigured for one that isn't ours."""
    scheme, _, path = name.partition(":")
    if scheme == "postfix" and Path(path).is_absolute():
        return PostfixLog(Path(path))
    if name:
        raise ImproperlyConfigured(
            f"ORACLE is {name!r}, which is no oracle of ours. It may be empty, or "
            f"postfix:/var/log/mail.log, with the whole path of that Postfix's log."
        )
    return Outbox(Path(data_dir) / "outbox") if email_url.startswith("file:") else NoOracle()
