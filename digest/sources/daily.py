"""What sources have in common that have a list for each day, in pages of JSON.

JSON is read within limits: no broken bytes, no endless nesting, no endless number.
"""

import json
from datetime import date, timedelta

from digest.sources.plug import Batch, MalformedFeed
from digest.sources.records import BadRecord, Record

DAYS_AGAIN = 3  # Lists are amended for days, and votes come in: so many of the last are read again.
A_WEEK = timedelta(days=7)


class Listing:
    """What a day's list told so far. `trouble` says why it is not whole, or not gone on with."""

    def __init__(self, day: date):
        self.day = day
        self.found: dict[str, Record] = {}
        self.bad: list[str] = []
        self.pages = 0
        self.trouble = ""

    @property
    def pages_read(self) -> str:
        """How many pages there were, in words."""
        return f"{self.pages} page{'s' if self.pages != 1 else ''}"

    def endless(self, is_again: bool, most: int) -> str:
        """Say why the next page is not asked for, or nothing where it may be."""
        if is_again:
            return f"The last of {self.pages_read} of {self.day} repeats those before."
        if self.pages >= most:
            return f"The list of {self.day} has no end; {self.pages_read} were read."
        return ""

    def batch(self, *, cursor: str, today: date) -> Batch:
        is_empty = not (self.found or self.bad)
        nothing = "Nothing is listed yet." if is_empty and self.day == today else ""
        state = "empty" if is_empty else "fresh"
        return Batch(
            list(self.found.values()),
            self.bad,
            cursor=cursor,
            day=self.day,
            state="incomplete" if self.trouble else state,
            note=self.trouble or nothing,
        )


def day_of(cursor: str, today: date) -> date | None:
    """Return the day at which a cursor says to go on, or None where it says nothing."""
    try:
        day = date.fromisoformat(cursor)
    except ValueError:
        return None
    return day if day <= today else None


def listed_on(said, day: date) -> date:
    """Return the day on which a paper says that it was put on the list of this day.

    That of Monday has some of Saturday. What is further off is a mistake.
    """
    try:
        listed = date.fromisoformat(said[:10] if isinstance(said, str) else "")
    except ValueError:
        return day
    return listed if day - A_WEEK <= listed <= day else day


def from_json(body: bytes, whose: str):
    """Return what JSON says, or raise MalformedFeed, which names the one whose it is."""
    try:
        return json.loads(body.decode(), parse_int=_whole_number)
    except UnicodeDecodeError:
        raise MalformedFeed(f"what {whose} sent is not valid UTF-8") from None
    except (ValueError, RecursionError):
        raise MalformedFeed(f"{whose} sent something that is not JSON") from None


def text_of(row: dict, name: str) -> str:
    """Return a text that a row has, empty where it has none. Raise BadRecord if it's no text."""
    value = row.get(name) or ""
    if not isinstance(value, str):
        raise BadRecord(f"{name} is no text")
    return value


def _whole_number(digits):
    """Python refuses whole numbers of thousands of digits, which would cost us the whole answer."""
    return int(digits) if len(digits) < 20 else float(digits)
