"""bioRxiv and medRxiv, by their API (https://api.biorxiv.org).

Each version of a paper is a row in the list of the day on which it was posted. Other lists have the
papers that journals published on a day.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from digest.http.client import Refused, Unavailable, Web
from digest.sources import daily_listing, records
from digest.sources.arxiv import fields
from digest.sources.base import Batch, MalformedFeed
from digest.sources.biorxiv import jats_text
from digest.sources.daily_listing import Listing, text_of
from digest.sources.records import BadRecord, Record

#: The servers with their names.
SERVERS = {"biorxiv": "bioRxiv", "medrxiv": "medRxiv"}
ROWS = [
    line.split("\t")
    for line in Path(__file__).with_name("categories.tsv").read_text("utf-8").splitlines()
]
#: The categories of each server, with the name and the group of the topic.
TOPICS = {
    server: {name.lower(): (f"{title}: {name}", title) for owner, name in ROWS if owner == server}
    for server, title in SERVERS.items()
}

JOURNAL_DAYS = 28  # A preprint may be matched with its journal's paper weeks later,
JOURNAL_CACHE = timedelta(hours=20)  # so these lists are requested once a day.
JOURNALS_CURSOR = "journals of "  # The prefix of a cursor in their lists.

MAX_PAGES = 100  # Of one day.
MAX_ROWS = 1_000  # In one response. The documentation says 100.
MIN_ROWS = 30  # A shorter page is the last, if the number of rows is unknown.
MAX_VERSION = 10_000

NOTHING = re.compile(r"no \w+ found", re.IGNORECASE)
#: The prefix was 10.1101 until December 2025, and is 10.64898 since.
DOI = re.compile(
    r"(?:(?:https?://)?(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/[\w.()/-]+?)(?:v\d{1,3})?",
    re.ASCII | re.IGNORECASE,
)
#: With the date of acceptance. DOIs before 11 December 2019 have none.
DATED = re.compile(r"10\.\d+/(\d{4})\.(\d\d)\.(\d\d)\.\d+")
LAST_UNDATED = date(2019, 12, 10)

#: The beginning of the abstract of a withdrawn paper.
WITHDRAWAL = re.compile(
    r"\W*(?:withdrawal statement(?-i:(?!s))"
    r"|(?:the authors|(?:bio|med)rxiv) (?:has|have) withdrawn\b)",
    re.IGNORECASE,
)
LICENCES = {
    "cc0": "https://creativecommons.org/publicdomain/zero/1.0/",
    **{
        f"cc_{terms.replace('-', '_')}": f"https://creativecommons.org/licenses/{terms}/4.0/"
        for terms in ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")
    },
}


class BioRxiv:
    """The lists of one of the servers, of the days up to `today` (UTC)."""

    seconds_between = 1.0  # No limit is documented.
    queue = "biorxiv"  # Both servers have one host.

    def __init__(self, server: str = "biorxiv", base: str = "https://api.biorxiv.org"):
        self.name, self.base = server, base
        self.hosts = frozenset({urlsplit(base).netloc})

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield a batch for each day's list, then for each day's list of journal papers."""
        journal_day = since or today - timedelta(days=JOURNAL_DAYS - 1)
        if cursor.startswith(JOURNALS_CURSOR):
            day_text = cursor.removeprefix(JOURNALS_CURSOR)
            journal_day = daily_listing.cursor_day(day_text, today) or journal_day
        else:
            posted_day = daily_listing.first_day(cursor, today, since)
            end_cursor = f"{JOURNALS_CURSOR}{journal_day}"
            yield from self._posted(web, posted_day, today, end_cursor)
        yield from self._published(web, journal_day, today)

    def _posted(self, web, day, today, end_cursor):
        """Yield the posted papers. The cursor after the last day is `end_cursor`.

        A day that can't be read is skipped with a note. After two in a row, the error is raised.
        """
        skipped_day: date | None = None
        while day <= today:
            next_day = day + timedelta(days=1)
            listing = _Listing(day, partial(_record, server=self.name, day=day))
            try:
                self._read_pages(listing, web, "details")
            except (Refused, Unavailable, MalformedFeed) as error:
                pages_read = listing.pages_read
                listing.problem = f"The list of {day} broke off after {pages_read}: {error}."
                yield listing.batch(cursor=str(skipped_day or day), today=today)
                if skipped_day or day == today:
                    raise
                skipped_day = day
            else:
                cursor = str(next_day) if day < today else end_cursor
                yield listing.batch(cursor=cursor, today=today)
                skipped_day = None
            day = next_day

    def _published(self, web, day, today):
        """Yield the papers that journals published. An error becomes a note."""
        while day <= today:
            next_day = day + timedelta(days=1)
            listing = _Listing(day, partial(_publication, server=self.name))
            try:
                self._read_pages(listing, web, "pubs", cache_for=JOURNAL_CACHE)
            except (Refused, Unavailable, MalformedFeed) as error:
                yield Batch([], note=f"What journals published can't be read: {error}.")
                return
            cursor = f"{JOURNALS_CURSOR}{next_day}" if day < today else ""
            publications = list(listing.records.values())
            yield Batch(publications, listing.errors, cursor=cursor, note=listing.problem)
            day = next_day

    def _read_pages(self, listing, web, kind, cache_for=timedelta(0)):
        """Read all pages of a day's list."""
        while not (listing.is_read or listing.problem):
            path = f"{self.name}/{listing.day}/{listing.day}/{listing.row_count}"
            page = web.get(f"{self.base}/{kind}/{path}/json", cache_for=cache_for)
            if not page.body.strip():  # It does not mean that there are no papers.
                raise Unavailable("bioRxiv sent an empty answer")
            listing.add(*_answer(page.body))


class _Listing(Listing):
    """The list of a day, as far as it was read.

    While it is read, rows may move between pages: some come twice, others are missed. So the number
    of distinct rows is compared with the total.
    """

    def __init__(self, day: date, parse: Callable[[Any], Record]):
        super().__init__(day)
        self.parse = parse
        self.keys: set[str] = set()
        self.total: int | None = None
        self.row_count = 0
        self.is_read = False

    @property
    def missing(self) -> int:
        return max((self.total or 0) - len(self.keys), 0)

    def add(self, rows: list, position: int | None, total: int | None) -> None:
        """Add a page: its rows, the number of the first, and the number of all rows."""
        previous_count, first_row = len(self.keys), self.row_count
        for row in rows:
            self.row_count += 1
            self._add(row)
        self.page_count += 1
        if total is not None:
            self.total = total
        # A request beyond the last row would be an error.
        is_short = len(rows) < MIN_ROWS
        is_complete = is_short if self.total is None else self.row_count >= self.total
        self.is_read = is_complete or not rows
        is_repeated = len(self.keys) == previous_count
        self.problem = self._problem(position, first_row, is_repeated)

    def _add(self, row):
        key = _key(row)
        if key in self.keys:
            return
        self.keys.add(key)
        try:
            if not isinstance(row, dict):
                raise BadRecord("it is no paper's row")
            record = self.parse(row)
        except BadRecord as error:
            self.errors.append(f"{_name(row) or f'{self.day}, row {self.row_count}'}: {error}")
            return
        earlier_version = self.records.get(record.id)
        self.records[record.id] = _merge(earlier_version, record) if earlier_version else record

    def _problem(self, position, first_row, is_repeated):
        """Return why the list is incomplete, or an empty string."""
        if position not in (None, first_row):
            return f"Of {self.day}, row {first_row} was asked for, and came from row {position}."
        if self.missing and self.is_read:
            return f"Of {self.total} rows of {self.day}, {self.missing} did not come."
        if self.is_read:
            is_certain = self.total is not None or not self.row_count
            return "" if is_certain else f"How long the list of {self.day} is, was not said."
        return self.stop_reason(is_repeated, MAX_PAGES)

    def batch(self, *, cursor, today) -> Batch:
        batch = super().batch(cursor=cursor, today=today)
        # Without a total, nothing is known about its completeness.
        state = "" if self.problem and self.total is None else batch.state
        return replace(batch, state=state, missing=self.missing)


def _merge(*versions: Record) -> Record:
    """Return the later version of a paper, with the day of the earlier one."""
    old, new = sorted(versions, key=lambda record: record.version or 0)
    announcement = {"day_is_estimate": old.day_is_estimate, "announced_as": old.announced_as}
    return replace(new, day=old.day, **announcement)


def _answer(body) -> tuple[list, int | None, int | None]:
    """Return the arguments of `_Listing.add`."""
    content = daily_listing.parse_json(body, "bioRxiv")
    if not isinstance(content, dict):
        raise MalformedFeed("bioRxiv sent JSON, but no list of papers")
    messages = content.get("messages")
    message = next(iter(messages), None) if isinstance(messages, list) else None
    message = message if isinstance(message, dict) else {}
    status = str(message.get("status") or "ok")
    if NOTHING.match(status):
        return [], None, _count(message.get("total"))
    if status.lower() != "ok":
        raise MalformedFeed(f"bioRxiv answers: {records.clean(status, 200)}")
    rows = daily_listing.rows_of(content.get("collection"), "bioRxiv", MAX_ROWS)
    return rows, _count(message.get("cursor")), _count(message.get("total"))


def _count(value) -> int | None:
    """Return a number that may be a string, or None."""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else None


def _key(row) -> str:
    """Return a key that is equal for equal rows."""
    key_fields = ("doi", "version") if isinstance(row, dict) and row.get("doi") else ()
    return repr([row.get(name) for name in key_fields] or row)


def _name(row):
    doi = row.get("doi") if isinstance(row, dict) else None
    return records.clean(doi, 60) if isinstance(doi, str) else ""


# ---- A row


def _record(row, server, day) -> Record:
    doi = _doi(text_of(row, "doi"))
    if not doi:
        raise BadRecord("it has no DOI")
    title = records.clean(jats_text.replace_marks(text_of(row, "title")), records.MAX_TITLE)
    if not title:
        raise BadRecord("it has no title")
    abstract = jats_text.clean_abstract(text_of(row, "abstract"))
    abstract = records.clean(abstract, records.MAX_ABSTRACT)
    version = _count(row.get("version"))
    is_first = version in (None, 0, 1)
    posted_day = daily_listing.listing_day(row.get("date"), day)
    authors = text_of(row, "authors")[: fields.MAX_AUTHORS]
    category = records.clean(text_of(row, "category"), 100).lower().replace("_", " ")
    return Record(
        id=records.canonical_id(f"{server}:{doi}"),
        title=title,
        abstract=abstract,
        day=posted_day if is_first else min(_accepted_on(doi), posted_day),
        day_is_estimate=not is_first,
        # A line such as `Roe, K. L.; van der Berg, J.`
        authors=records.clean_names([natural_order(name) for name in authors.split(";")]),
        affiliations=records.clean_affiliations([text_of(row, "author_corresponding_institution")]),
        categories=[category] if category not in ("", "na") else [],
        url=f"https://doi.org/{doi}",
        version=version if version and version < MAX_VERSION else None,
        announced_as="new" if is_first else "replace",
        # A withdrawal is a version with such a type or abstract.
        is_withdrawn="withdrawn" in text_of(row, "type").lower()
        or bool(WITHDRAWAL.match(abstract))
        or fields.says_withdrawn(title, abstract),
        doi=_doi(text_of(row, "published")) or doi,  # The journal's, as with arXiv.
        license=LICENCES.get(text_of(row, "license").lower(), ""),
    )


def _publication(row, server) -> Record:
    """Return the journal and DOI of a published paper."""
    doi, journal_doi = _doi(text_of(row, "preprint_doi")), _doi(text_of(row, "published_doi"))
    if not doi or not journal_doi:
        raise BadRecord("it has not both DOIs")
    journal = records.clean(text_of(row, "published_journal"), 500)
    journal = journal if journal not in ("", "NA") else f"doi:{journal_doi}"
    return records.publication(records.canonical_id(f"{server}:{doi}"), journal, journal_doi)


def _doi(text) -> str:
    """Return a DOI in lower case, or an empty string."""
    match = DOI.fullmatch(text.strip())
    return match[1].lower() if match else ""


def _accepted_on(doi) -> date:
    """Return the date in a DOI, or the last day before DOIs had dates."""
    match = DATED.fullmatch(doi)
    try:
        return max(date(*map(int, match.groups())), LAST_UNDATED) if match else LAST_UNDATED
    except ValueError:
        return LAST_UNDATED


def natural_order(name):
    """Return a name such as `Roe, K. L.` with the given names first."""
    parts = [" ".join(part.split()) for part in name.split(",")]
    suffixes = [part for part in parts[1:] if part.casefold() in fields.SUFFIXES]
    given_names = [part for part in parts[1:] if part.casefold() not in fields.SUFFIXES]
    # With more parts, the order is unknown.
    return " ".join([*given_names, parts[0], *suffixes]) if len(given_names) < 2 else name
