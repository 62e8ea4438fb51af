"""Europe PMC: PubMed and preprints, searched for phrases (https://europepmc.org/RestfulWebService).

A day's list has the papers that Europe PMC added on that day (CREATION_DATE) and whose title or
abstract has one of the phrases. Papers are added days or weeks after their publication.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import date, timedelta
from hashlib import sha256
from urllib.parse import urlsplit

from digest.http.client import Web
from digest.sources import records
from digest.sources.arxiv import fields
from digest.sources.base import Batch, MalformedFeed
from digest.sources.biorxiv.source import LICENCES, MAX_VERSION, SERVERS, WITHDRAWAL
from digest.sources.daily_listing import REREAD_DAYS, count_of, cursor_day, parse_json
from digest.sources.records import BadRecord, Record

BASE = "https://www.ebi.ac.uk"
SEARCH = "/europepmc/webservices/rest/search"
PAGE_SIZE = 100
PARAMS = {"resultType": "core", "synonym": "false", "format": "json"}
MAX_PAPERS = 1_000  # Of one day, shared by its queries: each takes memory in ranking.
MAX_QUERY = 1_500  # Characters, without the date.
CACHE = timedelta(hours=20)  # Earlier days are requested once a day.
MAX_DOIS = 50  # In one query.
MAX_COUNT = 1_000_000_000
MAX_DELAY = timedelta(days=60)  # A paper that was added later after its publication is not new.

PHRASE_PART = re.compile(r'"([^"]*)"|([^\W_]+)')
WORD = re.compile(r"[^\W_]+")
HEADING = re.compile(r"<h\d>\s*+([^<>]{1,100}?)[:.\s]{0,9}</h\d>")
DOI = re.compile(r"10\.\d{4,9}/[^\s\"]+", re.ASCII)
VERSION = re.compile(r"[/._-]?v(\d{1,3})$")
#: Beginnings of kinds: these, and those below without an abstract, are left out.
NOTICES = ("correct", "corrig", "erratum", "published err", "expression of concern", "retraction")
OPINIONS = ("editorial", "letter", "comment", "news", "interview", "biography")


class EuropePmc:
    """What was added on the days up to `today` (UTC) and has one of the phrases.

    A paper has a phrase if it has all its words, and literally what is in quotes there; "|"
    separates alternatives: `diabetes "type 2|type II"`.
    """

    name = "europepmc"
    seconds_between = 1.0  # No limit is documented.

    def __init__(self, phrases: Iterable[str], base: str = BASE):
        self.address = base + SEARCH
        self.hosts = frozenset({urlsplit(base).netloc})
        self.queries = _queries(phrases)
        self.limit = max(MAX_PAPERS // max(len(self.queries), 1), 1)
        self.page_size = min(PAGE_SIZE, self.limit)
        self.version = sha256("\n".join(self.queries).encode()).hexdigest()[:12]

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield a batch for each page of each query of each day.

        A cursor names a page: version, day, number of the query, papers read, Europe PMC's mark.
        A cursor of other queries begins anew, and so does an unreadable list.
        """
        count = len(self.queries)
        day, number, read_count, mark = since or today - timedelta(days=REREAD_DAYS - 1), 0, 0, "*"
        if not count:
            yield Batch([], note="No topic in use has words to search for")
            return
        if cursor.startswith(self.version):
            *parts, mark = cursor.split(" ", 4)
            day, number, read_count = date.fromisoformat(parts[1]), int(parts[2]), int(parts[3])
        while day <= today:
            try:
                rows, total, next_mark = self._page(web, day, number, mark, is_past=day < today)
            except MalformedFeed:
                yield Batch([], cursor=f"{self.version} {day} {number} 0 *")
                raise
            category = f"{number + 1}/{count}" if count > 1 else ""
            list_day, offset, note = day, read_count, ""
            read_count += len(rows)
            missing = max(total - read_count, 0)
            is_end = not missing or len(rows) < self.page_size or next_mark in ("", mark)
            if is_end or read_count >= self.limit:
                if missing:
                    reason = "they did not come" if is_end else "they are too many"
                    note = f"Of {total:,} papers of {day}, {missing:,} were not read: {reason}"
                    missing *= is_end  # What is too much is left out on purpose.
                number, read_count, next_mark = number + 1, 0, "*"
                if number == count:
                    day, number = day + timedelta(days=1), 0
            mark = next_mark
            cursor = f"{self.version} {day} {number} {read_count} {mark}" if day <= today else ""
            state = "fresh" if offset or rows else "empty"
            papers, errors = _parse_rows(rows, list_day)
            yield Batch(papers, errors, cursor, list_day, category, state, note, missing, offset)

    def _page(self, web, day, query_number, mark, is_past):
        """Return the rows of a page, how many rows there are in all, and the mark of the next."""
        query = f"{self.queries[query_number]} AND CREATION_DATE:[{day} TO {day}]"
        params = {**PARAMS, "query": query, "pageSize": str(self.page_size), "cursorMark": mark}
        for cache_for in (CACHE if is_past else timedelta(0), timedelta(0)):
            response = web.get(self.address, params, cache_for=cache_for)
            content = parse_json(response.body, "Europe PMC")
            # Now and then, and after an old mark, an answer has nothing but its version.
            total = content.get("hitCount") if isinstance(content, dict) else None
            if isinstance(total, int) and 0 <= total < MAX_COUNT:
                rows = _items(content, "resultList", "result")[: self.page_size]
                next_mark = content.get("nextCursorMark")
                is_text = isinstance(next_mark, str) and next_mark.isprintable()
                return rows, total, next_mark if is_text else ""
        raise MalformedFeed("Europe PMC sent JSON, but no list of papers")


def abstracts(web: Web, dois: Iterable[str], base: str = BASE) -> dict[str, str]:
    """Return the abstracts of the papers with these DOIs (in lower case), as far as there are any.

    Raises MalformedFeed, web.Unavailable or web.Refused.
    """
    query = " OR ".join(f'DOI:"{doi}"' for doi in dois)
    params = {**PARAMS, "query": query, "pageSize": str(PAGE_SIZE)}
    response = web.get(base + SEARCH, params, cache_for=CACHE, retries=1)
    abstracts_by_doi = {}
    for row in _items(parse_json(response.body, "Europe PMC"), "resultList", "result"):
        try:
            doi, abstract = _doi(_text(row, "doi")), _abstract(row)
        except BadRecord:
            continue
        if doi in dois and abstract:
            abstracts_by_doi[doi] = abstract
    return abstracts_by_doi


def titles_and_abstracts(result: object) -> Iterator[tuple[str, str]]:
    """Yield the title and the abstract of each paper of a result list."""
    for row in _items(result, "result"):
        with suppress(BadRecord):
            if title := records.clean(_text(row, "title"), records.MAX_TITLE).removesuffix("."):
                yield title, _abstract(row)


def _queries(phrases: Iterable[str]) -> list[str]:
    """Join phrases by OR into as few queries as their length allows.

    Only words and spaces of a phrase get into a query, in quotes or in lower case, so that it
    cannot have operators.
    """
    groups = [""]
    for clause in filter(None, dict.fromkeys(map(_clause, phrases))):
        longer_group = f"{groups[-1]} OR {clause}" if groups[-1] else clause
        if len(longer_group) <= MAX_QUERY:
            groups[-1] = longer_group
        elif len(clause) <= MAX_QUERY:
            groups.append(clause)
    return [f"({group}) AND (SRC:MED OR SRC:PPR)" for group in groups if group]


def _clause(phrase):
    conditions = []
    for quoted, word in PHRASE_PART.findall(phrase):
        alternatives = [" ".join(WORD.findall(part)) for part in quoted.split("|")]
        terms = [f'TITLE_ABS:"{words}"' for words in alternatives if words]
        terms += [f"TITLE_ABS:{word.lower()}"] * bool(word)
        if terms:
            conditions.append(f"({' OR '.join(terms)})" if len(terms) > 1 else terms[0])
    return f"({' AND '.join(conditions)})" if conditions else ""


# ---- A row


def _items(row, *names) -> list:
    """Return the list at these names, as in {"authorList": {"author": […]}}.

    A single item may stand for a list. What is not there is an empty list.
    """
    for name in names:
        row = row.get(name) if isinstance(row, dict) else None
    return row if isinstance(row, list) else [row] if row else []


def _text(row, *names) -> str:
    """Return the text at these names, or an empty string. Raises BadRecord if it is no text."""
    value = next(iter(_items(row, *names)), "")
    if not isinstance(value, str):
        raise BadRecord(f"{names[-1]} is no text")
    return value


def _parse_rows(rows, day):
    """Return the records of rows, each paper once, and errors."""
    papers: dict[str, Record] = {}
    errors = []
    for row in rows:
        try:
            kinds = [str(kind).lower() for kind in _items(row, "pubTypeList", "pubType")]
            excluded_kinds = NOTICES if _text(row, "abstractText") else NOTICES + OPINIONS
            if not any(kind.startswith(excluded_kinds) for kind in kinds):
                record = _record(row, day, is_withdrawn="retracted publication" in kinds)
                papers[record.id] = record
        except BadRecord as error:
            errors.append(
                f"{records.clean(' '.join(map(str, _items(row, 'id')))[:60], 60)}: {error}"
            )
    return list(papers.values()), errors


def _record(row, day, is_withdrawn) -> Record:
    title = records.clean(_text(row, "title"), records.MAX_TITLE).removesuffix(".")
    if not title:
        raise BadRecord("it has no title")
    abstract = _abstract(row)
    is_preprint = _text(row, "source") == "PPR"
    version = count_of(row, "versionNumber") if is_preprint else None
    doi = _doi(_text(row, "doi"))
    journal = records.clean(_text(row, "journalInfo", "journal", "title"), 500)
    journal_ref = _journal_reference(row) if is_preprint else journal
    days = [_text(row, "firstPublicationDate")]
    days += [_text(item, "firstPublishDate") for item in _items(row, "versionList", "version")]
    first_day = min(filter(None, (cursor_day(text, day) for text in days)), default=day)
    is_new = (version or 1) < 2 and first_day > day - MAX_DELAY
    authors = _items(row, "authorList", "author")
    page = f"europepmc.org/article/{_text(row, 'source')}/{_text(row, 'id')}"
    return Record(
        id=_identity(row, VERSION.sub("", doi) if is_preprint else doi, is_preprint),
        title=title,
        abstract=abstract,
        day=day if is_new else first_day,
        day_is_estimate=True,
        authors=records.clean_names([_author(author) for author in authors]),
        affiliations=records.clean_affiliations(
            _text(affiliation, "affiliation")
            for author in authors
            for affiliation in _items(author, "authorAffiliationDetailsList", "authorAffiliation")
        ),
        url=records.web_address(f"https://{f'doi.org/{doi}' if doi else page}"),
        version=version if version and version < MAX_VERSION else None,
        is_withdrawn=is_withdrawn
        or bool(WITHDRAWAL.match(abstract))
        or fields.says_withdrawn(title, abstract),
        journal_ref=journal_ref,
        doi=_doi(journal_ref) or doi if is_preprint else doi,
        only_adds=True,
        license=LICENCES.get(re.sub(r"\W", "_", _text(row, "license").lower()), ""),
    )


def _abstract(row) -> str:
    return records.clean(HEADING.sub(r" \1: ", _text(row, "abstractText")), records.MAX_ABSTRACT)


def _identity(row, doi, is_preprint):
    """Return the id that other sources use as well, or one of Europe PMC. Raises BadRecord."""
    server = _text(row, "bookOrReportDetails", "publisher").lower()
    prefix = server if is_preprint and server in SERVERS else "doi"
    try:
        return records.canonical_id(f"{prefix}:{doi}")
    except BadRecord:  # It has no DOI, or one with characters that an id can't have.
        number = _text(row, "id").removeprefix("PPR")
        return records.canonical_id(f"{'ppr' if is_preprint else 'pmid'}:{number}")


def _author(author):
    given_name, family_name = _text(author, "firstName"), _text(author, "lastName")
    full_name = _text(author, "fullName") or _text(author, "collectiveName")
    return f"{given_name} {family_name}" if given_name and family_name else full_name


def _journal_reference(row):
    """Return the reference of a preprint's journal publication, or an empty string."""
    for link in _items(row, "commentCorrectionList", "commentCorrection"):
        if _text(link, "type").lower() == "preprint of":
            return records.clean(_text(link, "reference") or f"PubMed {_text(link, 'id')}", 500)
    return ""


def _doi(text):
    """Return the first DOI in a text, in lower case, or an empty string."""
    match = DOI.search(text.lower())
    return match[0].rstrip(".;,") if match else ""
