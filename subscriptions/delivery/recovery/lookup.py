"""Delivery lookups: find out afterwards whether the mail server accepted a letter.

A lookup is asked about letters that were handed to the mail server and got no reply, once the
server has ended the session. "yes" and "no" are certain, by evidence. Anything else is "unknown".
"""

import os
from collections.abc import Collection
from datetime import datetime, timedelta
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.recovery import postfix_log
from subscriptions.delivery.transports.registry import file_name, stamp
from subscriptions.models import Letter

Answer = Literal["yes", "no", "unknown"]

#: Postfix's smtpd_timeout, and a little for the log to be written. Until then, the server may wait
#: for the end of data of a suspended client, or log later what it did.
SETTLING_TIME = timedelta(minutes=5, seconds=10)
TICK = timedelta(seconds=1)  # Logs may have times in whole seconds.


class DeliveryLookup:
    """The base of all lookups. It knows nothing: another machine's mail server cannot be asked."""

    def look_up(self, letters: Collection[Letter]) -> dict[str, Answer]:
        """Return, for each Message-ID, whether any attempt of that letter was accepted.

        The letters passed a final check, the last one at `left_at`.
        """
        return {letter.message_id: "unknown" for letter in letters}

    def accepted(self, message_ids: Collection[str], since: datetime) -> dict[str, datetime | None]:
        """Return those of these Message-IDs that surely were accepted, frozen since then.

        Each has a time by which the letter had been rendered, if known.
        """
        return {}


class OutboxLookup(DeliveryLookup):
    """The folder of FileTransport. A letter whose file exists was accepted."""

    def __init__(self, folder: Path):
        self.folder = folder

    def look_up(self, letters):
        try:
            file_names = set(os.listdir(self.folder))
        except OSError:  # The disk may not be mounted.
            return super().look_up(letters)
        files = {row.message_id: file_name(row.kind, row.frozen_at, row.pk) for row in letters}
        return {name: "yes" if file in file_names else "no" for name, file in files.items()}

    def accepted(self, message_ids, since):
        first_stamp, times = stamp(since), {}
        for file in self.folder.glob("*-*-*.eml"):
            if file.name.split("-")[1] >= first_stamp:
                with file.open("rb") as letter:
                    headers = BytesHeaderParser().parse(letter)
                if (message_id := (headers["Message-ID"] or "").strip()) in message_ids:
                    times[message_id] = parsedate_to_datetime(headers["Date"])
        return times


class PostfixLookup(DeliveryLookup):
    """The log of a Postfix on this machine, so that both use the same clock.

    - "yes": the queue manager had the letter.
    - "no": the log says that the last attempt was cut off. Or it covers the time from before the
      letter was frozen until the server had surely timed out, and does not mention the letter.
    - "unknown": the log does not cover that time, cannot be read, or only says that the letter's
      header came in. That happens if Postfix is killed, or while the queue manager is full. Such a
      letter may have been accepted.
    """

    def __init__(self, path: Path):
        self.path = path

    def look_up(self, letters):
        if not letters:
            return {}
        since = min(letter.frozen_at for letter in letters) - TICK
        message_ids = {letter.message_id for letter in letters}
        reading = postfix_log.read(self.path, message_ids, since)
        return {letter.message_id: _answer(letter, reading) for letter in letters}

    def accepted(self, message_ids, since):
        traces = postfix_log.read(self.path, message_ids, since).traces
        return {name: trace.queued_at for name, trace in traces.items() if trace.is_queued}


def _answer(letter, reading) -> Answer:
    trace = reading.traces.get(letter.message_id, postfix_log.Trace())
    if trace.is_queued:
        return "yes"
    if trace.open_queue_ids or reading.begins_at >= letter.frozen_at - TICK:
        return "unknown"
    was_cut_off = trace.canceled_at and trace.canceled_at >= letter.left_at - TICK
    return "no" if was_cut_off or reading.ends_at > letter.left_at + SETTLING_TIME else "unknown"


def configured_lookup() -> DeliveryLookup:
    """Return the lookup that DELIVERY_LOOKUP names. Raises ImproperlyConfigured for another."""
    scheme, _, path = settings.DELIVERY_LOOKUP.partition(":")
    if scheme == "postfix" and Path(path).is_absolute():
        return PostfixLookup(Path(path))
    if settings.DELIVERY_LOOKUP:
        raise ImproperlyConfigured(
            "DELIVERY_LOOKUP must be empty or like postfix:/var/log/mail.log, with the full path "
            f"of Postfix's log, not {settings.DELIVERY_LOOKUP!r}."
        )
    is_outbox = settings.EMAIL_URL.startswith("file:")
    return OutboxLookup(Path(settings.DATA_DIR) / "outbox") if is_outbox else DeliveryLookup()
