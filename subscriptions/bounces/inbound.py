"""Process one message that came back by mail: record it, log it as useless, or keep it as a file.

A message to a subscriber's own address unsubscribes, whatever its body says.

The same whether a mail server pipes it in or it was in a mailbox. When `receive` returns, the
message can be deleted: it is recorded or useless, or a copy is kept because it cannot be read.
"""

import logging
from datetime import datetime
from typing import Literal

from django.db import DataError, Error

from subscriptions.bounces import parse, process, unreadable
from subscriptions.bounces.parse import MAX_OCTETS, NoReport

logger = logging.getLogger(__name__)

Outcome = Literal["recorded", "known", "useless", "aside"]


def receive(mime: bytes, now: datetime, recipients: tuple[str, ...] = ()) -> Outcome:
    """Record what a message reports or asks for. `recipients` are those of its envelope, if known.

    Raises Django's database errors, and OSError if an unreadable message cannot be kept. The
    message must then stay where it is, to be tried again.
    """
    try:
        if process.unsubscribe(parse.addresses_of_request(mime, recipients), now):
            return "recorded"
        report = parse.parse_report(mime, recipients)
        return "recorded" if process.record(report, now) else "known"
    except NoReport as reason:
        logger.info("Ignored a message: %s", reason)
        return "useless"
    except Exception as error:
        if isinstance(error, Error) and not isinstance(error, DataError):
            raise
        # Because of the message itself, so that trying again would fail as well.
        unreadable.keep(mime[:MAX_OCTETS], now)
        # The error's message may contain an address.
        logger.warning("Cannot parse a bounce; kept as %s", type(error).__name__)
        return "aside"
