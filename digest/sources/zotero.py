"""Libraries in Zotero, by its Web API v3 (https://www.zotero.org/support/dev/web_api/v3/start).

Never tried with the real service.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from digest.http.client import Unavailable, Web
from digest.sources import bibliographies
from digest.sources.base import MalformedFeed
from digest.sources.daily_listing import parse_json
from digest.sources.records import Record

MAX_PAGES = 10  # Of 100 items, the most that the API allows.
MAX_VERSION = 2**31 - 1  # The database's limit.
NON_PAPER_TYPES = ("attachment", "note", "annotation")
ADDRESS = re.compile(
    r"(?:(?:https?://)?(?:www\.|api\.)?zotero\.org/)?(?:(users|groups)/)?([1-9]\d{0,9})"
    # An address with an incomplete key does not match: it does not mean the whole library.
    r"(?:/(?:[^/?#]+/)?collections/([a-z0-9]{8})(?![^/?#])|(?!.*/collections/.))(?:[/?#].*)?",
    re.ASCII | re.IGNORECASE,
)
KEY = re.compile(r"[A-Za-z0-9]{1,64}")
ARXIV_ID = re.compile(r"^arxiv:\s*(\S{1,60})", re.IGNORECASE | re.MULTILINE)

FIELDS = {"title": "title", "abstract": "abstractNote", "doi": "DOI", "url": "url"}
FIELDS |= {"date": "date", "type": "itemType", "added": "dateAdded"}

#: The key of its item, when it was added, and the paper.
type Paper = tuple[str, datetime, Record]


class Library(NamedTuple):
    """A library at a version.

    Attributes:
        papers: those that were added last, the latest first. None: those of the known version.
        wait: seconds until the next request to Zotero, if it asks for a pause.
    """

    version: int
    papers: list[Paper] | None
    wait: float


def path_of(address: str) -> str:
    """Return the path of a library or of one of its collections, or an empty string.

    >>> path_of("https://www.zotero.org/groups/2373/soups/library"), path_of("475425")
    ('groups/2373', 'users/475425')
    >>> path_of("https://www.zotero.org/groups/2373/soups/collections/AB12CD34/items")
    'groups/2373/collections/AB12CD34'
    """
    match = ADDRESS.fullmatch(address.strip())
    if match is None:
        return ""
    path = f"{(match[1] or 'users').lower()}/{match[2]}"
    return f"{path}/collections/{match[3].upper()}" if match[3] else path


class Zotero:
    """Zotero's server."""

    name, seconds_between = "zotero", 1.0

    def __init__(self, base: str = "https://api.zotero.org"):
        self.base, self.hosts = base, frozenset({urlsplit(base).netloc})

    def read(self, web: Web, path: str, key: str, old_version: int, limit: int) -> Library:
        """Return the latest papers at a path, unless its version is still `old_version`.

        A changed library is read again in full, so that deletions and restorations need no rules.

        Raises Refused, Unavailable or MalformedFeed.
        """
        headers = {"Zotero-API-Version": "3"} | ({"Zotero-API-Key": key} if key else {})
        condition = {"If-Modified-Since-Version": str(old_version)} if old_version else {}
        params = {"format": "json", "sort": "dateAdded", "direction": "desc", "limit": "100"}
        item_keys: set[str] = set()
        added_at: dict[str, datetime] = {}
        entries: list[bibliographies.Entry] = []
        version, wait = 0, 0.0
        for _ in range(MAX_PAGES):
            page = params | {"start": str(len(item_keys))}
            url = f"{self.base}/{path}/items/top"
            response = web.get(url, page, headers=headers | condition)
            condition = {}
            pause = response.headers.get("backoff", "")
            wait = max(wait, float(pause) if re.fullmatch(r"[0-9]{1,9}", pause) else 0.0)
            try:
                if response.status == 304:
                    current = int(response.headers.get("last-modified-version", old_version))
                    if current >= old_version:
                        return Library(old_version, None, wait)
                    continue  # It was restored to an older version.
                rows = {str(row["key"])[:16]: row["data"] for row in parse_json(response.body, "")}
                current = int(response.headers["last-modified-version"])
                total = int(response.headers["total-results"])
                new_keys = rows.keys() - item_keys
                new_items = {key: _fields(data) for key, data in rows.items() if key in new_keys}
                for key, fields in new_items.items():
                    added_at[key] = datetime.fromisoformat(fields["added"]).astimezone(UTC)
                if not 0 <= current <= MAX_VERSION or (total > len(item_keys) and not new_keys):
                    raise ValueError
            except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
                raise MalformedFeed("Zotero sent something else than a list of items") from None
            if current != (version or current):
                raise Unavailable("the library changed while it was read")
            version, item_keys = current, item_keys | new_keys
            entries += (
                item for item in new_items.items() if item[1]["type"] not in NON_PAPER_TYPES
            )
            if len(item_keys) >= total or len(entries) >= limit:
                break
        # Together, because the LaTeX of one call is limited.
        records = bibliographies.records_of(entries[:limit])
        papers = [(key, added_at[key], record) for key, record in records if record]
        return Library(version, papers, wait)


def _fields(data: dict) -> bibliographies.Fields:
    """Return an item's fields by BibTeX's names, its type, and when it was added."""
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    arxiv_match = ARXIV_ID.search(f"{texts.get('archiveID')}\n{texts.get('extra')}")
    fields = {
        name: texts.get(key, "")[: bibliographies.MAX_ABSTRACT] for name, key in FIELDS.items()
    }
    return fields | {"eprint": arxiv_match[1] if arxiv_match else ""}
