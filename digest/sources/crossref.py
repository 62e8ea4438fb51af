"""Journals and preprint servers at Crossref, by ISSN or DOI prefix (https://api.crossref.org).

Works are listed by the day on which their DOI was registered (UTC). So a later deposit of an old
work makes no new paper, and a day can be read again.
"""

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from urllib.parse import quote, urlsplit

from digest.http.client import Refused, Unavailable, Web
from digest.sources import europepmc, journals, publishers, records
from digest.sources.arxiv import fields
from digest.sources.base import Batch, MalformedFeed
from digest.sources.daily_listing import cursor_day, parse_json
from digest.sources.records import PUBLISHED, BadRecord, Record

OPENALEX = "https://api.openalex.org"
#: Of the fields that may be selected. References would be most of an answer.
FIELDS = "DOI,abstract,author,container-title,created,issued,relation,title,type,update-to"
ROWS = 200
MAX_PAGES = 200  # Of one list.
MAX_DAYS = 7  # In one list.
LATE = timedelta(days=2)  # A work may be listed that long after its registration.
ONE_DAY = timedelta(days=1)
#: A work that was published longer before its registration is not new, …
MAX_DELAY = timedelta(days=60)
#: … or no paper: publishers register their archives.
MAX_AGE = timedelta(days=365)
MAX_LOOK_UPS = 20  # Requests to OpenAlex for one list.
MAX_WORDS = 5_000  # Of an abstract.
MAX_FOUND = 10  # Journals with a name.
TRIAL_PAPERS = 10
PAPER_TYPES = {"journal-article", "posted-content", "proceedings-article", "book-chapter", "report"}
WITHDRAWALS = {"retraction", "withdrawal", "removal"}
#: What a work lacks or has in another form than documented.
UNREADABLE = (AttributeError, IndexError, KeyError, TypeError, ValueError)

ISSN = re.compile(r"(\d{4})-?(\d{3}[\dXx])", re.ASCII)
PREFIX = re.compile(r"10\.\d{4,9}", re.ASCII)


def parse_ids(text: str) -> list[str]:
    """Return ISSNs as 1234-5679, or DOI prefixes. Raises ValueError, which says what is wrong.

    >>> parse_ids("24699950; 2469-9969")
    ['2469-9950', '2469-9969']
    """
    ids = []
    for part in filter(None, re.split(r"[\s,;]+", text)):
        if match := ISSN.fullmatch(part):
            part = f"{match[1]}-{match[2].upper()}"
            if not _has_check_digit(part):
                raise ValueError(f"{part} is no ISSN: its last digit does not fit.")
        elif not PREFIX.fullmatch(part):
            raise ValueError(f"{part[:40]} is neither an ISSN nor a DOI prefix.")
        ids.append(part)
    if len({part.startswith("10.") for part in ids}) > 1:
        raise ValueError("Enter ISSNs or DOI prefixes, not both.")
    return list(dict.fromkeys(ids))


def _has_check_digit(issn):
    digits = [10 if digit == "X" else int(digit) for digit in issn.replace("-", "")]
    return sum(digit * (8 - n) for n, digit in enumerate(digits)) % 11 == 0


class Crossref:
    """The works with one of these ISSNs or DOI prefixes."""

    seconds_between = 1.0  # Ten a second are allowed, with an address in the User-Agent.
    queue = "journals"

    def __init__(
        self,
        name: str,
        title: str,
        ids: list[str],
        *,
        base: str = journals.CROSSREF,
        abstracts_from: str = europepmc.BASE,
        openalex: str = OPENALEX,
    ):
        self.name, self.title, self.base = name, title, base
        self.abstracts_from, self.openalex = abstracts_from, openalex
        self.hosts = frozenset(urlsplit(url).netloc for url in (base, abstracts_from, openalex))
        # A filter that is repeated means "or".
        self.filters = [f"{'prefix' if PREFIX.fullmatch(one) else 'issn'}:{one}" for one in ids]

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield a batch for each day of registration that has works.

        A cursor is the first day that was not read. A list that can't be read is noted in the
        coverage of its last day, and read again by the next run.
        """
        start = cursor_day(cursor, today) or (since or today) - LATE
        while start <= today:
            end = min(start + timedelta(days=MAX_DAYS - 1), today)
            try:
                works, total = self._works(web, start, end)
            except (MalformedFeed, Refused, Unavailable) as error:
                note = f"What was registered from {start} to {end} cannot be read: {error}."
                yield Batch([], cursor=str(start), day=end, state="incomplete", note=note)
                raise
            papers_by_day, updates, errors = self._parse(works, start, end)
            # Stored first: then articles are known to be of these preprints.
            yield Batch(updates, errors, cursor=str(start))
            notes = self._add_abstracts(web, papers_by_day.values())
            if missing := max(total - len(works), 0):
                notes.append(f"Of {total:,} works from {start} to {end}, {missing:,} did not come.")
            next_start = end + ONE_DAY
            next_cursor = str(next_start) if next_start <= today else ""
            for day in (start + n * ONE_DAY for n in range((next_start - start).days)):
                papers = list(papers_by_day.get(day, {}).values())
                if day < end:
                    yield Batch(papers, cursor=str(start), day=day, state="fresh")
                else:
                    state, note = "incomplete" if missing else "fresh", " ".join(notes)
                    yield Batch(papers, [], next_cursor, day, "", state, note, missing)
            start = next_start

    def latest(self, web: Web, today: date) -> Batch:
        """Return the latest papers, without abstracts of other services."""
        works, _, _ = self._page(web, today - MAX_AGE, today, sort="created", order="desc")
        papers_by_day = self._parse(works, today - MAX_AGE, today)[0]
        papers = [record for papers in papers_by_day.values() for record in papers.values()]
        note = "" if papers else "Crossref has no papers of it from the last year"
        return Batch(papers[:TRIAL_PAPERS], note=note)

    def find_journals(self, web: Web, text: str) -> list[tuple[str, str]]:
        """Return the titles and ISSNs of the journals with this ISSN, or these words in the title.

        Raises MalformedFeed, web.Unavailable or web.Refused.
        """
        try:
            if ISSN.fullmatch(text):
                rows = [_message(web.get(f"{self.base}/journals/{text}"))]
            else:
                params = {"query": text, "rows": str(MAX_FOUND)}
                rows = _message(web.get(f"{self.base}/journals", params))["items"]
            found = [(records.clean(row["title"], 200), row["ISSN"]) for row in rows]
        except Refused as error:
            if error.status == 404:
                return []
            raise
        except UNREADABLE:
            raise MalformedFeed("Crossref sent JSON, but no journals") from None
        titles_and_ids = []
        for title, issns in found:
            with suppress(ValueError):
                titles_and_ids.append((title, ", ".join(parse_ids(" ".join(issns)))))
        return [(title, ids) for title, ids in titles_and_ids if ids]

    def _works(self, web, start, end):
        """Return the works that were registered on these days, and how many there are."""
        works: dict[str, object] = {}
        mark, total = "*", 0
        for _ in range(MAX_PAGES):
            rows, total, mark = self._page(web, start, end, cursor=mark)
            for row in rows:  # Rows may come twice, as the order changes.
                is_work = isinstance(row, dict) and "DOI" in row
                works[str(row["DOI"]) if is_work else repr(row)] = row
            if len(rows) < ROWS or not isinstance(mark, str):
                break
        return list(works.values()), total

    def _page(self, web, start, end, **options):
        days = [f"from-created-date:{start}", f"until-created-date:{end}"]
        params = {"filter": ",".join([*self.filters, *days]), "rows": str(ROWS), "select": FIELDS}
        message = _message(web.get(f"{self.base}/works", params | options))
        rows, total = message.get("items"), message.get("total-results")
        if not isinstance(rows, list) or not isinstance(total, int):
            raise MalformedFeed("Crossref sent JSON, but no list of works")
        return rows, total, message.get("next-cursor")

    def _parse(self, works, start, end):
        """Return the papers by day of registration and id, updates of known papers, and errors."""
        papers_by_day: dict[date, dict[str, Record]] = {}
        updates: list[Record] = []
        errors: list[str] = []
        for work in works:
            try:
                day = date.fromisoformat(work["created"]["date-time"][:10])
                if not start <= day <= end:
                    continue
                for record in _records(work, day, self.title):
                    if record.announced_as == PUBLISHED:
                        updates.append(record)
                    else:
                        papers_by_day.setdefault(day, {})[record.id] = record
            except BadRecord as error:
                errors.append(f"{work['DOI'][:60]}: {error}")
            except UNREADABLE as error:
                errors.append(f"a work is not in Crossref's form ({type(error).__name__})")
        return papers_by_day, updates, errors

    def _add_abstracts(self, web, groups: Iterable[dict[str, Record]]) -> list[str]:
        """Add missing abstracts of Europe PMC, then of OpenAlex. Return errors as notes."""
        notes: list[str] = []
        look_ups = 0
        for papers in groups:
            notes += journals.add_abstracts(web, papers, self.abstracts_from)
            for key, record in papers.items():
                if not record.doi or record.abstract or look_ups == MAX_LOOK_UPS:
                    continue
                look_ups += 1
                try:
                    papers[key] = replace(record, abstract=self._openalex_abstract(web, record))
                except Unavailable:  # The next run asks again.
                    look_ups = MAX_LOOK_UPS
        return list(dict.fromkeys(notes))

    def _openalex_abstract(self, web, record) -> str:
        """Return the abstract that OpenAlex has as a list of places for each word, or nothing."""
        url = f"{self.openalex}/works/doi:{quote(record.doi, safe='/')}"
        params = {"select": "abstract_inverted_index"}
        try:
            body = web.get(url, params, cache_for=europepmc.CACHE, retries=1).body
            index = parse_json(body, "OpenAlex")["abstract_inverted_index"] or {}
            places = [(place, word) for word, places in index.items() for place in places]
            text = " ".join(word for _, word in sorted(places)[:MAX_WORDS])
        except (MalformedFeed, Refused, *UNREADABLE):  # Usually 404.
            return ""
        return publishers.read(text, record.title)[0]


# ---- A work


def _message(response) -> dict:
    content = parse_json(response.body, "Crossref")
    message = content.get("message") if isinstance(content, dict) else None
    if not isinstance(message, dict):
        raise MalformedFeed("Crossref sent JSON without a message")
    return message


def _records(work, created: date, title: str) -> list[Record]:
    """Return the records of a work: of preprints that it publishes or papers that it retracts, too.

    None for front matter, corrections, and what is no paper.
    """
    doi, is_preprint = work["DOI"].lower(), work["type"] == "posted-content"
    # Some publishers write a paper's own corrections and versions there.
    updates = {row["DOI"].lower(): row["type"] for row in work.get("update-to") or []}
    own_update = updates.pop(doi, "")
    if updates:
        return [
            Record(journals.identity_of(old, old), "", announced_as=PUBLISHED, is_withdrawn=True)
            for old, kind in updates.items()
            if kind in WITHDRAWALS
        ]
    published_day = _published(work) or created
    is_paper = work["type"] in PAPER_TYPES and created - published_day < MAX_AGE
    if not is_paper or publishers.NEWS_DOI.match(doi):
        return []
    paper_title = publishers.paper_title((work.get("title") or [""])[0])
    if not paper_title:
        return []
    match = europepmc.VERSION.search(doi) if is_preprint else None
    version = int(match[1]) if match else None
    record = Record(
        id=journals.identity_of(doi[: match.start()] if match else doi, paper_title),
        title=paper_title,
        day=created if created - published_day < MAX_DELAY else published_day,
        url=records.web_address(f"https://doi.org/{doi}"),
        # A later version updates the paper, and creates none.
        announced_as=PUBLISHED if version and version > 1 else "",
        version=version,
        journal_ref="" if is_preprint else title,
        doi=doi if len(doi) <= fields.MAX_FIELD else "",
        affiliations=records.clean_affiliations(
            place["name"]
            for author in work.get("author") or []
            for place in author.get("affiliation") or []
            if place.get("name")
        ),
    )
    record, preprint_dois = journals.merge_work(record, work, created)
    is_withdrawn = own_update in WITHDRAWALS or fields.says_withdrawn(record.title, record.abstract)
    record = replace(record, is_withdrawn=is_withdrawn)
    if is_preprint:
        return [replace(record, journal_ref="")]
    publications = [
        records.publication(identity, record.journal_ref, record.doi)
        for preprint_doi in preprint_dois
        for identity in journals.preprint_ids(preprint_doi.lower())
    ]
    return [*publications, record]


def _published(work) -> date | None:
    """Return the last day on which a work may have been published, or None."""
    parts = ((work.get("issued") or {}).get("date-parts") or [[]])[0]
    year, month, day = [*parts, None, None, None][:3]
    try:
        month = month or 12
        return date(year, month, day or monthrange(year, month)[1])
    except (TypeError, ValueError):
        return None
