"""Lists of journals: those that come with Paperboy, and those that operators type or upload."""

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from digest.sources import crossref, xml

MAX_JOURNALS = 200
#: Title of the group, title of the journal, ISSNs or a DOI prefix.
FILE = Path(__file__).with_name("journals.tsv")


class Journal(NamedTuple):
    """`address`: of a feed. A journal that is only a name has neither address nor ids."""

    title: str
    address: str = ""
    ids: str = ""


@cache
def known() -> dict[str, list[Journal]]:
    """Return the journals that come with Paperboy, by group."""
    groups: dict[str, list[Journal]] = {}
    for line in FILE.read_text("utf-8").splitlines():
        group, title, ids = line.split("\t")
        groups.setdefault(group, []).append(Journal(title, ids=ids))
    return groups


def find(text: str) -> list[Journal]:
    """Return the known journals with one of these ISSNs, this title, or else these words in it."""
    every = [journal for group in known().values() for journal in group]
    ids = set(_ids_in(text))
    words = _words(text)
    exact = [j for j in every if ids.intersection(j.ids.split(", ")) or _words(j.title) == words]
    return exact or ([] if ids else [j for j in every if f" {words} " in f" {_words(j.title)} "])


def _words(text):
    words = " ".join(re.findall(r"\w+", text.casefold().replace("&", " and ")))
    return words.removeprefix("the ")


def read(data: bytes) -> list[list[str]]:
    """Return the fields of each `Journal` in a file of OPML or CSV, or in typed lines.

    Raises ValueError. Runs in a child process.
    """
    is_opml = data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    rows = list(dict.fromkeys(_opml(data) if is_opml else _lines(data)))
    if len(rows) > MAX_JOURNALS:
        raise ValueError(f"These are {len(rows)} journals. Add {MAX_JOURNALS} at once, at most.")
    return list(map(list, rows))


def _opml(data) -> Iterator[Journal]:
    for outline in xml.parse(data).iter("outline"):
        if address := outline.get("xmlUrl", "").strip():
            title = outline.get("title") or outline.get("text") or address
            yield Journal(title.strip(), address)


def _lines(data) -> Iterator[Journal]:
    """Yield a journal for each line with a name, ISSNs, a prefix or an address, in any order."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError("The file is not UTF-8.") from None
    delimiter = max(",;\t", key="".join(lines[:1]).count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    journals = [_journal(list(filter(None, row))) for row in rows if any(row)]
    if any(_is_located(journal) for journal in journals[1:]) and not _is_located(journals[0]):
        journals = journals[1:] if len(rows[0]) > 1 else journals  # Without the headers.
    yield from journals


def _journal(cells):
    address = next((cell for cell in cells if re.match(r"https?://", cell, re.IGNORECASE)), "")
    ids = list(dict.fromkeys(part for cell in cells for part in _ids_in(cell)))
    names = [cell for cell in cells if cell != address and not _ids_in(cell)]
    if not address and not ids:
        return Journal(", ".join(names)[:200])
    return Journal((names or [""])[0][:200], "" if ids else address, ", ".join(ids))


def _is_located(journal):
    return bool(journal.address or journal.ids)


def _ids_in(cell) -> list[str]:
    """Return the ISSNs and DOI prefixes if a cell has nothing else."""
    parts = re.split(r"[\s,;]+", cell.strip())
    is_ids = all(crossref.ISSN.fullmatch(part) or crossref.PREFIX.fullmatch(part) for part in parts)
    return parts if is_ids else []
