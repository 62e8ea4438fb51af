"""Parsing for sources that have a list for each day, in pages of JSON.

JSON is parsed with limits on encoding, nesting and the length of numbers.
"""

import json
from datetime import date, timedelta

from digest.sources.base import Batch, MalformedFeed
from digest.sources.records import BadRecord, Record

REREAD_DAYS = 3  # The last days are read again, because lists and votes change.
ONE_WEEK = timedelta(days=7)


class Listing:
    """The list of a day, as far as it was read. `problem` says why it is incomplete."""

    def __init__(self, day: date):
        self.day = day
        self.records: dict[str, Record] = {}
        self.errors: list[str] = []
        self.page_count = 0
        self.problem = ""

    @property
    def pages_read(self) -> str:
        return f"{self.page_count} page{'s' if self.page_count != 1 else ''}"

    def stop_reason(self, is_repeated: bool, max_pages: int) -> str:
        """Return why the next page is not requested, or an empty string."""
        if is_repeated:
            return f"The last of {self.pages_read} of {self.day} repeats those before."
        if self.page_count >= max_pages:
            return f"The list of {self.day} has no end; {self.pages_read} were read."
        return ""

    def batch(self, *, cursor: str, today: date) -> Batch:
        is_empty = not (self.records or self.errors)
        note = "Nothing is listed yet." if is_empty and self.day == today else ""
        state = "empty" if is_empty else "fresh"
        return Batch(
            list(self.records.values()),
            self.errors,
            cursor=cursor,
            day=self.day,
            state="incomplete" if self.problem else state,
            note=self.problem or note,
        )


def cursor_day(cursor: str, today: date) -> date | None:
    """Return the day of a cursor, or None."""
    try:
        day = date.fromisoformat(cursor)
    except ValueError:
        return None
    return day if day <= today else None


def first_day(cursor: str, today: date, since: date | None) -> date:
    """Return the day with which a run begins or goes on."""
    return cursor_day(cursor, today) or since or today - timedelta(days=REREAD_DAYS - 1)


def listing_day(date_text, day: date) -> date:
    """Return the day on which a paper was put on the list of this day.

    Monday's list has papers of Saturday. A day that is further off is a mistake.
    """
    try:
        listed_day = date.fromisoformat(date_text[:10] if isinstance(date_text, str) else "")
    except ValueError:
        return day
    return listed_day if day - ONE_WEEK <= listed_day <= day else day


def parse_json(body: bytes, sender: str):
    """Return the parsed JSON. Raises MalformedFeed, which names the sender."""
    try:
        return json.loads(body.decode(), parse_int=_whole_number)
    except UnicodeDecodeError:
        raise MalformedFeed(f"what {sender} sent is not valid UTF-8") from None
    except (ValueError, RecursionError):
        raise MalformedFeed(f"{sender} sent something that is not JSON") from None


def rows_of(value, sender: str, limit: int) -> list:
    """Return a list of rows. Raises MalformedFeed if it is none, or has too many."""
    if not isinstance(value, list):
        raise MalformedFeed(f"{sender} sent JSON, but no list of papers")
    if len(value) > limit:
        raise MalformedFeed(f"{sender} sent {len(value)} rows at once")
    return value


def text_of(row: dict, name: str) -> str:
    """Return a text field of a row, or an empty string. Raises BadRecord if it is no text."""
    value = row.get(name) or ""
    if not isinstance(value, str):
        raise BadRecord(f"{name} is no text")
    return value


def count_of(row: dict, name: str) -> int | None:
    """Return a count of a row, or None. Raises BadRecord if it is no count."""
    value = row.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise BadRecord(f"{name} is no count")
    return value


def _whole_number(digits):
    # Python refuses integers of thousands of digits.
    return int(digits) if len(digits) < 20 else float(digits)
