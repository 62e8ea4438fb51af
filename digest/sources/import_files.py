"""Read files of papers: JSON lines, plain or gzipped, and arXiv's metadata snapshot.

Reads line by line, so that memory does not depend on the file's size.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from email.utils import parsedate_to_datetime
from pathlib import Path

from digest.sources import records
from digest.sources.daily_listing import count_of, text_of
from digest.sources.records import BadRecord, Record

MAX_LINE = 2_000_000  # Bytes. The longest line of arXiv's snapshot is far below.


def read(path: Path, on_bad_line: Callable[[int, str], None], on_bytes: Callable[[int], None]):
    """Yield the file's records, and report bad lines by number, and the bytes that were read.

    Raises OSError if the file can't be read, also after the records of an incomplete gzip file.
    """
    for line_number, line in _lines(path, on_bytes):
        if not line.strip():
            continue
        try:
            yield parse(line)
        except BadRecord as error:
            on_bad_line(line_number, str(error))


def parse(line: bytes) -> Record:
    """Return the record of a line. Raises BadRecord."""
    if len(line) > MAX_LINE:
        raise BadRecord("the line is too long")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRecord("not JSON") from None
    if not isinstance(row, dict):
        raise BadRecord("not a JSON object")
    title = records.clean(text_of(row, "title"), records.MAX_TITLE)
    if not title:
        raise BadRecord("no title")
    identity = text_of(row, "id")  # A number such as 2506.04230 would lose its last digit.
    is_snapshot = "versions" in row or "update_date" in row
    has_id = identity or is_snapshot
    return Record(
        id=records.canonical_id(identity) if has_id else records.id_from_title(title),
        title=title,
        abstract=records.clean(text_of(row, "abstract"), records.MAX_ABSTRACT),
        **(_snapshot_fields(row) if is_snapshot else _row_fields(row)),
    )


def _row_fields(row):
    return {
        "day": _day(row.get("date")),
        "authors": records.clean_names(row.get("authors")),
        "categories": _categories(row.get("categories")),
        "upvotes": count_of(row, "upvotes"),
        "url": records.web_address(text_of(row, "url")),
    }


def _snapshot_fields(row):
    authors = row.get("authors_parsed") or []
    if not isinstance(authors, list):
        raise BadRecord("authors_parsed must be a list")
    names = map(_full_name, authors[: records.MAX_NAMES])
    return {
        # The submission date of the first version, not the announcement.
        "day": _first_version_day(row),
        "day_is_estimate": True,
        "authors": list(filter(None, names)),
        "categories": _categories(text_of(row, "categories")),
    }


def _categories(value):
    """Return the categories of a list, or of a text such as "cs.LG stat.ML"."""
    return records.clean_names(value.split() if isinstance(value, str) else value)


def _first_version_day(row):
    try:
        return _check_year(parsedate_to_datetime(row["versions"][0]["created"]).date())
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError):
        return _day(row.get("update_date"))


def _full_name(name_parts):
    """Return ["Curie", "Marie", ""] as Marie Curie."""
    if not isinstance(name_parts, list):
        raise BadRecord("an author must be a list of names")
    family_name, given_name, suffix, *_ = map(str, [*name_parts, "", "", ""])
    return records.clean(" ".join([given_name, family_name, suffix]), 200)


def _day(value):
    if not value:
        return None
    try:
        day = date.fromisoformat(str(value)[:10])
    except ValueError:
        raise BadRecord(f"{str(value)[:30]!r} is not a date like 2025-06-07") from None
    return _check_year(day)


def _check_year(day):
    if not 1900 <= day.year < 2100:
        raise BadRecord(f"{day} cannot be the day of a paper")
    return day


def _lines(path, on_bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbered lines of a plain or gzipped file, whatever its name is."""
    with open(path, "rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        position = 0
        for number in range(1, 2**63):
            try:
                line = file.readline(MAX_LINE + 1)
                while line and not line.endswith(b"\n") and (chunk := file.readline(MAX_LINE)):
                    line = line[: MAX_LINE + 1] + chunk[-1:]  # Too long; only its end matters.
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                text = f"the gzip file is broken after line {number - 1}: {error}"
                raise OSError(text) from error
            if not line:
                return
            on_bytes(raw.tell() - position)
            position = raw.tell()
            yield number, line
