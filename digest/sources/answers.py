"""JSON from outside, read within limits: no broken bytes, no endless nesting, no endless number."""

import json

from digest.sources.plug import MalformedFeed
from digest.sources.records import BadRecord


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
