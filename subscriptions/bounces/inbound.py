"""One message that came back by mail: read, recorded, counted or set aside.

It is the same whether a mail server pipes it in or a mailbox holds it. What this returns is safe to
be forgotten: it is recorded, or it is of no use. Whatever can't be read is kept in a folder, once,
and is no reason to try again.
"""

import logging
from datetime import datetime
from typing import Literal

from django.db import DataError, Error

from subscriptions.bounces import parse, process, unreadable
from subscriptions.bounces.parse import MOST_OCTETS, NoReport
from subscriptions.models.delivery import UselessMail, count_useless

logger = logging.getLogger(__name__)

Outcome = Literal["recorded", "known", "useless", "aside"]


def receive(mime: bytes, now: datetime, recipients: tuple[str, ...] = ()) -> Outcome:
    """Record what a message reports. `recipients` are those of its envelope, where known.

    Raises Django's database errors, and OSError where there is no room to set it aside: the message
    must be kept where it is, and be tried again.
    """
    try:
        report = parse.read(mime, recipients)
        return "recorded" if process.record(report, now) else "known"
    except NoReport as reason:
        count_useless(reason.why, now)
        return "useless"
    except Error as error:
        if not isinstance(error, DataError):
            raise
        return _set_aside(mime, error, now)
    except Exception as error:  # By the message alone, so that trying again would be the same.
        return _set_aside(mime, error, now)


def _set_aside(mime, error, now) -> Outcome:
    unreadable.keep(mime[:MOST_OCTETS], now)
    # Its own words may hold an address.
    logger.warning("a message that came back can't be read (%s): set aside", type(error).__name__)
    count_useless(UselessMail.Why.UNREADABLE, now)
    return "aside"
