"""arXiv's OAI-PMH lists: all papers that were changed since a day, page by page.

In the format `arXivRaw`, because only it has the date of the first version.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

from digest.sources import records, xml
from digest.sources.arxiv import calendar, fields, taxonomy
from digest.sources.base import MalformedFeed
from digest.sources.records import BadRecord, Record

OAI = "{http://www.openarchives.org/OAI/2.0/}"
RAW = "{http://arxiv.org/OAI/arXivRaw/}"


class ExpiredToken(Exception):
    """The token has expired. The list has to be read from its beginning."""


@dataclass(frozen=True)
class Page:
    """One page of a list. `token` is for the next page, and empty on the last."""

    records: list[Record] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    datestamps: list[date] = field(default_factory=list)
    token: str = ""

    @property
    def complete_before(self) -> date | None:
        """The day before which the list is complete, if it is sorted, as arXiv's is."""
        is_sorted = self.datestamps == sorted(self.datestamps)
        return self.datestamps[0] if self.datestamps and is_sorted else None


def params(begin: date, category: str, token: str) -> dict[str, str]:
    """Return the parameters of a request for the changes since a day, or for the next page."""
    if token:
        return {"verb": "ListRecords", "resumptionToken": token}
    query = {"verb": "ListRecords", "metadataPrefix": "arXivRaw", "from": begin.isoformat()}
    return query | ({"set": oai_set(category)} if category else {})


def oai_set(category: str) -> str:
    """Return `cs:cs:LG` for cs.LG, `physics:hep-th` for hep-th, `cs:cs` for cs."""
    return f"{taxonomy.group_of(category)}:{category.replace('.', ':')}"


def parse(body: bytes) -> Page:
    """Return the page. Raises ExpiredToken or MalformedFeed."""
    root = xml.parse(body)
    if root.tag != f"{OAI}OAI-PMH":
        raise MalformedFeed("this is XML, but no answer of OAI-PMH")
    if (error := root.find(f"{OAI}error")) is not None:
        code, message = error.get("code", ""), error.text or ""
        if code == "noRecordsMatch":
            return Page()
        if code == "badResumptionToken":
            raise ExpiredToken(message)
        raise MalformedFeed(f"OAI-PMH answers {code}: {records.clean(message, 200)}")
    record_list = root.find(f"{OAI}ListRecords")
    if record_list is None:
        raise MalformedFeed("this OAI-PMH answer holds no list")
    page = Page(token=record_list.findtext(f"{OAI}resumptionToken", "").strip())
    for element in record_list.iterfind(f"{OAI}record"):
        _read(element, page)
    return page


def _read(element: Element, page: Page) -> None:
    header = element.find(f"{OAI}header")
    record_name = header.findtext(f"{OAI}identifier", "") if header is not None else ""
    record_name = records.clean(record_name.replace(xml.BROKEN, "?"), 80)
    record_name = record_name.removeprefix("oai:arXiv.org:") or "a record"
    try:
        if header is not None and header.get("status") == "deleted":
            page.deleted.append(records.canonical_id(record_name))
        else:
            page.records.append(_record(element))
    except BadRecord as error:
        page.errors.append(f"{record_name}: {error}")
    with suppress(ValueError, AttributeError):
        date_text = header.findtext(f"{OAI}datestamp", "").strip()[:10]
        page.datestamps.append(date.fromisoformat(date_text))


def _record(element: Element) -> Record:
    raw = element.find(f"{OAI}metadata/{RAW}arXivRaw")
    if raw is None:
        raise BadRecord("no metadata of arXiv's")

    def text(name):
        return xml.text(raw, f"{RAW}{name}")

    versions = raw.findall(f"{RAW}version")
    last_version = versions[-1] if versions else raw
    identity, comments = records.canonical_id(text("id")), text("comments")
    return fields.record(
        f"{identity}{last_version.get('version', '')}",
        text("title"),
        text("abstract"),
        text("categories").split(),
        day=_listing_day(xml.text(versions[0], f"{RAW}date"), identity) if versions else None,
        day_is_estimate=True,
        authors=fields.author_names(text("authors")),
        is_withdrawn=_is_withdrawn(last_version, comments),
        comments=comments,
        journal_ref=text("journal-ref"),
        doi=text("doi"),
        license=text("license"),
    )


def _listing_day(submitted, identity):
    """Return the usual announcement day of a paper that was submitted then.

    Not before the month in its id, which is that of the announcement.
    """
    try:
        day = calendar.announcement_day(parsedate_to_datetime(submitted))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(day, records.month_of(identity) or day)


def _is_withdrawn(last_version, comments):
    """Return whether the last version is a withdrawal: flagged I, or empty with a comment."""
    is_empty = xml.text(last_version, f"{RAW}size").strip() == "0kb"
    is_flagged = "I" in xml.text(last_version, f"{RAW}source_type")
    return is_flagged or (is_empty and "withdrawn" in comments.casefold())
