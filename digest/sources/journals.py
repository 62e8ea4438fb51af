"""The feed of a journal: RSS 1.0, RSS 2.0 or Atom, with the fields of Dublin Core and PRISM.

What the feed leaves out, Crossref is asked for (https://api.crossref.org), and for abstracts Europe
PMC.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, timedelta
from itertools import batched, chain
from time import strftime
from urllib.parse import quote, unquote

from digest.http.client import Refused, Unavailable, Web
from digest.sources import europepmc, publishers, records
from digest.sources.arxiv import fields
from digest.sources.base import Batch, MalformedFeed
from digest.sources.biorxiv.source import SERVERS, natural_order
from digest.sources.daily_listing import parse_json
from digest.sources.records import BadRecord, Record
from subscriptions import child_process

CROSSREF = "https://api.crossref.org"
# A large feed has 1.1 MB, 22,000 tags and 16 namespaces. For more, the parser takes too long.
MAX_BYTES = 2_000_000
MAX_TAGS = 50_000
MAX_NAMESPACES = 500
MAX_HEAD = 5_000  # Bytes before the first element.
MAX_ITEMS = 500
MAX_REQUESTS = 40  # Requests to Crossref in one run.
MAX_IDS = 20  # Of articles, in one request.
CROSSREF_CACHE = timedelta(days=30)  # Or as long as responses are kept.
#: A date that is longer ago, or in the future, is not the day of publication.
MAX_AGE = timedelta(days=60)

#: A tag with a thousand attributes, for which the parser takes quadratic time.
LONG_TAG = re.compile(rb"<[A-Za-z](?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+'){4000}")
NAMESPACE = re.compile(rb"xmlns[\w:.-]*+\s*=\s*[\"'][^\"'<>]*")
#: A word in which the parser looks for an email address, for which it takes quadratic time.
LONG_WORD = re.compile(rb"(?<![\w.+-])[\w.+-]{1001}")
DOI = re.compile(publishers.DOI)
AFTER_DOI = re.compile(r"(?:/(?:abstract|full|html|meta|pdf))*[.,;/]*$")
ARXIV_DOI = re.compile(r"10\.48550/arxiv\.(\d{4}\.\d{4,5}|[a-z-]+/\d{7})(?:v\d+)?")
#: Other DOIs with 10.1101 belong to journals.
BIORXIV_DOI = re.compile(r"(10\.(?:1101|64898)/(?:\d{4}\.\d\d\.\d\d\.)?\d{6,})(?:v\d+)?")
#: `Roe, Ada`, or names with separators other than commas, which may be so as well.
INVERTED = re.compile(r"[;\n]|^\s*[\w'’-]+\s*,(?!.*\band\b)[^,]+$")


class Journal:
    """One feed. All feeds, Crossref and Europe PMC for them are sent one request a second."""

    hosts = None
    seconds_between = 1.0
    queue = "journals"

    abstracts_from = europepmc.BASE

    def __init__(
        self, name: str, title: str, url: str, *, completes: bool, crossref: str = CROSSREF
    ):
        self.name, self.title, self.url = name, title, url
        self.completes, self.crossref = completes, crossref

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield what became of preprints, then the items of the feed."""
        body = web.get(self.url).body
        feed = web.retried(lambda: _read_in_child_process(body, self.title, today), self.url)
        papers = {row["id"]: Record.from_json(row) for row in feed["records"]}
        notes = ["A feed has its latest items only."] if since else []
        if self.completes and (publications := self._complete(web, papers, today, notes)):
            # Stored first: then the items are known to be of these preprints.
            yield Batch(publications)
        yield Batch(list(papers.values()), feed["errors"], note=" ".join(notes))

    def _complete(self, web, papers, today, notes) -> list[Record]:
        """Add Crossref's fields to the records without DOI, authors or abstract, then abstracts.

        Return the publications of their preprints. An error becomes a note.
        """
        started_at, num_requests, publications = web.now(), 0, []
        for url, records_by_key in list(self._requests(papers)):
            if num_requests == MAX_REQUESTS:
                break
            try:
                response = web.get(url, cache_for=CROSSREF_CACHE, retries=1)
                num_requests += response.fetched_at >= started_at
                completed, journal_papers = _complete_records(records_by_key, response.body, today)
                papers |= completed
                publications += journal_papers
            except MalformedFeed as error:
                notes.append(f"Crossref cannot complete {next(iter(records_by_key))}: {error}.")
            except (Refused, Unavailable) as error:
                num_requests += 1
                if getattr(error, "status", None) != 404:  # Which is usual for new DOIs.
                    notes.append(f"Crossref cannot complete the items: {error}.")
                    break
        notes += add_abstracts(web, papers, self.abstracts_from)
        return publications

    def _requests(self, papers) -> Iterator[tuple[str, dict[str, Record]]]:
        """Yield the address of each request to Crossref, and its records by DOI or PII."""
        incomplete = {}
        for record in papers.values():
            if pii := not record.doi and publishers.PII.search(record.url):
                incomplete[re.sub(r"\W", "", pii[1])] = record
            elif record.journal_ref and record.doi and not (record.abstract and record.authors):
                yield f"{self.crossref}/works/{quote(record.doi, safe='')}", {record.doi: record}
        for ids in batched(incomplete.items(), MAX_IDS):
            filters = ",".join(f"alternative-id:{pii}" for pii, _ in ids)
            yield f"{self.crossref}/works?filter={filters}&rows=100", dict(ids)


def add_abstracts(web: Web, papers: dict[str, Record], europe_pmc: str) -> list[str]:
    """Add the missing abstracts that Europe PMC has. Return an error as a note."""
    keys_by_doi = {record.doi: key for key, record in papers.items() if not record.abstract}
    try:
        for dois in batched(filter(None, keys_by_doi), europepmc.MAX_DOIS):
            for doi, abstract in europepmc.abstracts(web, dois, europe_pmc).items():
                papers[keys_by_doi[doi]] = replace(papers[keys_by_doi[doi]], abstract=abstract)
    except Unavailable:  # The next run asks again.
        pass
    except (MalformedFeed, Refused) as error:
        return [f"Europe PMC cannot complete the items: {error}."]
    return []


# ---- The feed


def _read_in_child_process(body, title, today):
    """Return what `read` returns, in a child process. Raises MalformedFeed or Unavailable."""
    try:
        return child_process.run_limited(read, body, title, today)
    except child_process.Busy as error:
        raise Unavailable(str(error)) from None
    except child_process.ParseError as error:
        raise MalformedFeed(str(error)) from None


def read(body: bytes, title: str, today: str) -> dict[str, list]:
    """Return the records of a journal's feed as JSON has them, and the errors of its items."""
    papers, errors = {}, []
    for number, item in enumerate(_items(body), 1):
        try:
            if record := _record(item, title, date.fromisoformat(today)):
                papers.setdefault(record.id, asdict(record))
        except BadRecord as error:
            errors.append(f"item {number}: {error}")
    return {"records": list(papers.values()), "errors": errors}


def _items(body):
    """Return the items as feedparser reads them. Raises MalformedFeed."""
    import feedparser  # It takes a tenth of a second, which only workers pay.

    if len(body) > MAX_BYTES:
        raise MalformedFeed(f"the feed is larger than {MAX_BYTES / 1_000_000:g} MB")
    if b"<!ENTITY" in body:
        raise MalformedFeed("the XML brings a DTD or entities of its own")
    if not re.search(rb"<\w", body[:MAX_HEAD]) or b">" not in body[:1000]:
        raise MalformedFeed("what came is neither RSS nor Atom")
    if LONG_TAG.search(body):
        raise MalformedFeed("a tag of the XML is too long")
    if LONG_WORD.search(body):
        raise MalformedFeed("a word of the XML is longer than 1,000 characters")
    if body.count(b"<") > MAX_TAGS:
        raise MalformedFeed(f"the XML has more than {MAX_TAGS:,} tags")
    if len(set(NAMESPACE.findall(body))) > MAX_NAMESPACES:
        raise MalformedFeed(f"the XML has more than {MAX_NAMESPACES} namespaces")
    body = body.replace(b">", b">\n", 1)  # The parser looks for an encoding in the first line.
    # As a stream: a text might be taken for an address or a file.
    feed = feedparser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    if not feed.get("version"):
        raise MalformedFeed("what came is neither RSS nor Atom")
    if not feed.entries:
        raise MalformedFeed("the feed has no items")
    return feed.entries[:MAX_ITEMS]


def _record(item, journal, today) -> Record | None:
    """Return the record of an item, or None for front matter, corrections and news."""
    item = {name: value for name, value in item.items() if value}
    title = publishers.paper_title(item.get("title", ""), item.get("prism_section", ""))
    if not title:
        return None
    texts = [item.get("summary", ""), *(part["value"] or "" for part in item.get("content", []))]
    abstracts, field_sets = zip(*(publishers.read(text, title) for text in texts), strict=True)
    extra_fields = dict(chain(*(values.items() for values in field_sets)))
    addresses = [item.get(name, "") for name in ("prism_doi", "dc_identifier", "id", "link")]
    link_dois = [pattern.sub(doi, addresses[-1]) for pattern, doi in publishers.ADDRESSES]
    doi = _doi(*addresses, extra_fields.get("doi", ""), *link_dois)
    if publishers.NEWS_DOI.match(doi):
        return None
    journal_fields = ("prism_publicationname", "prism_publicationtitle", "dc_source", "journal")
    journals = [
        publishers.journal(text, title) for text in map((item | extra_fields).get, journal_fields)
    ]
    publication = next(filter(None, journals), journal)
    arxiv_match, is_preprint = ARXIV_DOI.fullmatch(doi), bool(preprint_ids(doi))
    link = f"https://doi.org/{doi}" if doi else item.get("link", "")
    dates = [item.get("published_parsed"), item.get("updated_parsed")]
    days = [strftime("%Y-%m-%d", parsed_date) for parsed_date in dates if parsed_date]
    return Record(
        id=arxiv_match[1] if arxiv_match else identity_of(doi, title),
        title=title,
        abstract=max(reversed(abstracts), key=lambda text: len(text.replace(" ", ""))),
        day=_recent_day([*days, item.get("prism_publicationdate", "")], today),
        authors=_authors(item, extra_fields.get("authors", ""), {journal, publication}),
        url="" if arxiv_match else records.web_address(link),
        journal_ref="" if is_preprint else publication,
        doi="" if arxiv_match or len(doi) > fields.MAX_FIELD else doi,
    )


def _doi(*texts) -> str:
    """Return the first DOI in the texts, in lower case, or an empty string."""
    match = next(filter(None, (DOI.search(unquote(text)) for text in texts)), None)
    return AFTER_DOI.sub("", match[0]).lower() if match else ""


def identity_of(doi, title) -> str:
    try:
        return records.canonical_id(f"doi:{doi}")
    except BadRecord:  # Without a DOI, or with one that no address can have.
        return records.id_from_title(title)


def preprint_ids(doi) -> list[str]:
    """Return the ids that a preprint with this DOI may have. None for other DOIs."""
    if match := ARXIV_DOI.fullmatch(doi):
        return [match[1]]
    match = BIORXIV_DOI.fullmatch(doi)
    return [f"{server}:{match[1]}" for server in SERVERS] if match else []


def _recent_day(date_texts, today) -> date | None:
    """Return the first of the dates that may be a day of publication, or None."""
    for text in date_texts:
        try:
            day = date.fromisoformat(text[:10])
        except ValueError:
            continue
        if today - MAX_AGE <= day <= today:
            return day
    return None


def _authors(item, author_line, journals) -> list[str]:
    """Return the authors, who have an element each, or one line for all."""
    authors = item.get("authors") or []
    if isinstance(authors, str):  # An element of this name, which is no author of the format's.
        authors = [{"name": authors}]
    names = [author.get("name") or "" for author in authors]
    names = [publishers.strip_tags(name) for name in names if "@" not in name]
    names = [name for name in names if name.strip() not in journals] or [author_line]
    names = [publishers.ET_AL.sub("", name) for name in names]
    if len(names) == 1 and not INVERTED.search(names[0]):
        return fields.author_names(names[0])
    names = [part for name in names for part in re.split(r"[;\n\f]", name[: fields.MAX_AUTHORS])]
    return records.clean_names(list(map(natural_order, names)))


# ---- Crossref


def _complete_records(by_key, body, today) -> tuple[dict[str, Record], list[Record]]:
    """Return records with Crossref's fields, by their ids before, and publications of preprints.

    Raises MalformedFeed.
    """
    content = parse_json(body, "Crossref")
    completed, publications = {}, []
    try:
        message = content["message"]
        is_list = "items" in message
        for work in message["items"] if is_list else [message | {"alternative-id": [*by_key]}]:
            for record in filter(None, map(by_key.get, work.get("alternative-id") or [])):
                completed[record.id], dois = merge_work(record, work, today)
                record = completed[record.id]
                publications += [
                    records.publication(identity, record.journal_ref, record.doi)
                    for identity in chain(*(preprint_ids(_doi(text)) for text in dois))
                ]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedFeed("Crossref sent JSON, but no work") from None
    return completed, publications


def merge_work(record, work, today) -> tuple[Record, list[str]]:
    """Return the record with the fields of a work of Crossref, and the DOIs of its preprints."""
    names = [
        f"{author.get('given') or ''} {author.get('family') or author.get('name') or ''}"
        for author in work.get("author") or []
    ]
    journals = work.get("container-title") or [""]
    date_parts = [*((work.get("published") or {}).get("date-parts") or []), []][0]
    day = "-".join(f"{number:02}" for number in date_parts)
    if not record.doi and (doi := _doi(work["DOI"])):
        url = records.web_address(f"https://doi.org/{doi}")
        record = replace(record, id=identity_of(doi, record.title), doi=doi, url=url)
    relations = work.get("relation") or {}
    preprint_rows = [relations.get(kind) or [] for kind in ("has-preprint", "is-version-of")]
    return replace(
        record,
        abstract=record.abstract or publishers.read(work.get("abstract") or "", record.title)[0],
        day=record.day or _recent_day([day], today),
        authors=record.authors or records.clean_names(names),
        journal_ref=records.clean(publishers.strip_tags(journals[0]), 300) or record.journal_ref,
    ), [row["id"] for row in chain(*preprint_rows) if row["id-type"] == "doi"]
