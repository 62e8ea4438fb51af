"""The feed of a journal: RSS 1.0, RSS 2.0 or Atom, with the fields of Dublin Core and PRISM.

What the feed leaves out, Crossref is asked for: https://api.crossref.org.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import chain
from time import strftime
from urllib.parse import quote

from digest.sources import records
from digest.sources.arxiv import fields
from digest.sources.base import Batch, MalformedFeed
from digest.sources.biorxiv import jats_text
from digest.sources.biorxiv.source import SERVERS, natural_order
from digest.sources.daily_listing import from_json
from digest.sources.http import Refused, Unavailable, Web
from digest.sources.records import BadRecord, Record

CROSSREF = "https://api.crossref.org"
MAX_BYTES = 5_000_000  # The parser takes seconds for a broken feed of this size.
MAX_HEAD = 5_000  # Bytes before the first element.
MAX_ITEMS = 500
MAX_ASKED = 40  # Requests to Crossref in one run.
CROSSREF_CACHE = timedelta(days=30)  # Or as long as responses are kept.
#: A date that is longer ago, or in the future, is not the day of publication.
MAX_AGE = timedelta(days=60)
MIN_WORDS = 6  # Of an abstract.
MAX_CITATION = 20  # Words of a text that has only journal, volume and pages.

#: A tag with a thousand attributes, for which the parser takes quadratic time.
LONG_TAG = re.compile(rb"<[A-Za-z](?:[^<>\"']|\"[^\"<]*+\"|'[^'<]*+'){4000}")
DOI = re.compile(r"10\.\d{4,9}/[^\s?#&<>\"']{1,500}")
AFTER_DOI = re.compile(r"(?:/(?:abstract|full|html|meta|pdf))*[.,;/]*$")
ARXIV_DOI = re.compile(r"10\.48550/arxiv\.(\d{4}\.\d{4,5}|[a-z-]+/\d{7})(?:v\d+)?")
#: Other DOIs with 10.1101 belong to journals.
BIORXIV_DOI = re.compile(r"(10\.(?:1101|64898)/(?:\d{4}\.\d\d\.\d\d\.)?\d{6,})(?:v\d+)?")
FRONT_MATTER = re.compile(
    r"\W*(?:(?:issue information|editorial board|masthead|front matter|table of contents"
    r"|(?:(?:inside|outside) )?(?:(?:back|front) )?cover(?: (?:feature|image|picture))?)"
    r"\b(?! (?!and\b|page\b)\w)"
    r"|(?:contents|editorial|in (?:this|the next) issue)\W*$"
    r"|(?:(?:author|editorial|publisher) )?(?:addendum|correction|corrigendum|erratum|retraction)"
    r"(?: note| notice)?(?:\W*$| ?:| (?:for|to)(?: ?:| ?[\"“'‘]))"
    r"|expression of concern\b)",
    re.IGNORECASE,
)
IS_ASAP = re.compile(r"\[ASAP\]\s*")  # Before titles of one publisher.
AUTHORS = re.compile(r"Author\(s\):([^<]{1,5000})")  # In descriptions of another.
#: `Roe, Ada`, or names with separators other than commas, which may be so as well.
INVERTED = re.compile(r"[;\n]|^\s*[\w'’-]+\s*,(?!.*\band\b)[^,]+$")
NO_ABSTRACT = re.compile(r"Publication date:|Author\(s\):")
CITES = re.compile(r"\b(?:volume|vol|issue|pages?|pp|early ?view|ahead of print)\b", re.IGNORECASE)
CITATION = re.compile(r".{0,200}?Published online: [^;]{1,40}; doi:\S+\s*")

TEX = re.compile(r"<(?:\w+:)?tex-math\b.{0,3000}?</(?:\w+:)?tex-math>", re.DOTALL)
HEADING_END = re.compile(r"(?:[:.]|(?<![\s:.]))\s*+</(?:\w+:)?(?:h[1-6]|title)>")
BLOCK = re.compile(
    r"</?(?:br|div|h[1-6]|li|p|sec|section|td|(?:\w+:)?title)\b[^<>]*>|<jats:[^<>]*>"
)
TAG = re.compile(r"</?[A-Za-z][\w:-]*(?:\s+[\w:-]+=(?:\"[^\"<>]*\"|'[^'<>]*'))*\s*/?>")


class Journal:
    """One feed. All feeds and Crossref together are sent one request a second."""

    hosts = None
    seconds_between = 1.0
    queue = "journals"

    def __init__(
        self, name: str, title: str, url: str, *, completes: bool, crossref: str = CROSSREF
    ):
        self.name, self.title, self.url = name, title, url
        self.completes, self.crossref = completes, crossref

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield what became of preprints, then the items of the feed."""
        found, bad = {}, []
        for number, item in enumerate(_items(web.get(self.url).body), 1):
            try:
                if record := _record(item, self.title, today):
                    found.setdefault(record.id, record)
            except BadRecord as error:
                bad.append(f"item {number}: {error}")
        notes = ["A feed has its latest items only."] if since else []
        if self.completes and (publications := self._complete(web, found, today, notes)):
            # Stored first: then the items are known to be of these preprints.
            yield Batch(publications)
        yield Batch(list(found.values()), bad, note=" ".join(notes))

    def _complete(self, web, found, today, notes) -> list[Record]:
        """Add Crossref's fields to the records without authors or abstract.

        Return the publications of their preprints. An error becomes a note.
        """
        begun, asked, publications = web.now(), 0, []
        for record in list(found.values()):
            is_complete = record.abstract and record.authors
            if asked == MAX_ASKED or is_complete or not (record.journal_ref and record.doi):
                continue
            try:
                url = f"{self.crossref}/works/{quote(record.doi, safe='')}"
                entry = web.get(url, cache_for=CROSSREF_CACHE, retries=1)
                asked += entry.fetched_at >= begun
                found[record.id], published = _completed(record, entry.body, today)
                publications += published
            except MalformedFeed as error:
                notes.append(f"Crossref cannot complete {record.doi}: {error}.")
            except (Refused, Unavailable) as error:
                asked += 1
                if getattr(error, "status", None) != 404:  # Which is usual for new DOIs.
                    notes.append(f"Crossref cannot complete the items: {error}.")
                    break
        return publications


# ---- The feed


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
    body = body.replace(b">", b">\n", 1)  # The parser looks for an encoding in the first line.
    # As a stream: a text might be taken for an address or a file.
    try:
        feed = feedparser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise MalformedFeed(f"the feed is broken ({error})") from None
    if not feed.get("version"):
        raise MalformedFeed("what came is neither RSS nor Atom")
    if not feed.entries:
        raise MalformedFeed("the feed has no items")
    return feed.entries[:MAX_ITEMS]


def _record(item, journal, today) -> Record | None:
    """Return the record of an item, or None for front matter and corrections."""
    item = {name: value for name, value in item.items() if value}
    title = records.plain(_without_tags(item.get("title", "")), records.MAX_TITLE)
    title = IS_ASAP.sub("", title)
    if FRONT_MATTER.match(title):
        return None
    if not re.search(r"[^\W\d_]", title):
        raise BadRecord("it has no title")
    texts = [item.get("summary", ""), *(part["value"] or "" for part in item.get("content", []))]
    doi = _doi(*(item.get(name, "") for name in ("prism_doi", "dc_identifier", "id", "link")))
    publication = records.plain(_without_tags(item.get("prism_publicationname", "")), 300)
    arxiv, is_preprint = ARXIV_DOI.fullmatch(doi), bool(_ids_of_preprint(doi))
    link = f"https://doi.org/{doi}" if doi else item.get("link", "")
    dates = [item.get("published_parsed"), item.get("updated_parsed")]
    days = [strftime("%Y-%m-%d", moment) for moment in dates if moment]
    return Record(
        id=arxiv[1] if arxiv else _identity(doi, title),
        title=title,
        abstract=max(map(_abstract, texts), key=len),
        day=_recent([*days, item.get("prism_publicationdate", "")], today),
        authors=_authors(item, texts[0]),
        url="" if arxiv else records.web_address(link),
        journal_ref="" if is_preprint else publication or journal,
        doi="" if arxiv or len(doi) > fields.MAX_FIELD else doi,
    )


def _doi(*texts) -> str:
    """Return the first DOI in the texts, in lower case, or an empty string."""
    found = next(filter(None, map(DOI.search, texts)), None)
    return AFTER_DOI.sub("", found[0]).lower() if found else ""


def _identity(doi, title) -> str:
    try:
        return records.canonical_id(f"doi:{doi}")
    except BadRecord:  # Without a DOI, or with one that no address can have.
        return records.id_from_title(title)


def _ids_of_preprint(doi) -> list[str]:
    """Return the ids that a preprint with this DOI may have. None for other DOIs."""
    if found := ARXIV_DOI.fullmatch(doi):
        return [found[1]]
    found = BIORXIV_DOI.fullmatch(doi)
    return [f"{server}:{found[1]}" for server in SERVERS] if found else []


def _recent(dates, today) -> date | None:
    """Return the first of the dates that may be a day of publication, or None."""
    for text in dates:
        try:
            day = date.fromisoformat(text[:10])
        except ValueError:
            continue
        if today - MAX_AGE <= day <= today:
            return day
    return None


def _authors(item, summary) -> list[str]:
    """Return the authors, who have an element each, or one line for all."""
    names = [author.get("name") or "" for author in item.get("authors", [])]
    names = [_without_tags(name) for name in names if "@" not in name] or AUTHORS.findall(summary)
    if len(names) == 1 and not INVERTED.search(names[0]):
        return fields.author_names(names[0])
    names = [part for name in names for part in re.split(r"[;\n]", name[: fields.MAX_AUTHORS])]
    return records.names(list(map(natural_order, names)))


def _abstract(html) -> str:
    """Return the abstract in a text with markup, or "" if it repeats the citation only."""
    text = jats_text.abstract(CITATION.sub("", _without_tags(html[: 4 * records.MAX_ABSTRACT])))
    text = records.plain(text, records.MAX_ABSTRACT)
    count = len(text.split())
    is_citation = NO_ABSTRACT.match(text) or (count < MAX_CITATION and CITES.search(text))
    return "" if count < MIN_WORDS or is_citation else text


def _without_tags(html) -> str:
    """Remove the tags of HTML, MathML and JATS. Headings end with a colon."""
    html = BLOCK.sub("\n", HEADING_END.sub(": ", TEX.sub("", html)))
    return TAG.sub("", html).strip()


# ---- Crossref


def _completed(record, body, today) -> tuple[Record, list[Record]]:
    """Return the record with Crossref's fields, and the publications of its preprints.

    Raises MalformedFeed.
    """
    answer = from_json(body, "Crossref")
    try:
        work = answer["message"]
        names = [
            f"{author.get('given') or ''} {author.get('family') or author.get('name') or ''}"
            for author in work.get("author") or []
        ]
        abstract, journals = work.get("abstract") or "", work.get("container-title") or [""]
        published = [*((work.get("published") or {}).get("date-parts") or []), []][0]
        day = "-".join(f"{number:02}" for number in published)
        record = replace(
            record,
            abstract=record.abstract or _abstract(abstract),
            day=record.day or _recent([day], today),
            authors=record.authors or records.names(names),
            journal_ref=records.plain(_without_tags(journals[0]), 300) or record.journal_ref,
        )
        relations = work.get("relation") or {}
        related = [relations.get(kind) or [] for kind in ("has-preprint", "is-version-of")]
        dois = [row["id"] for row in chain(*related) if row["id-type"] == "doi"]
        preprints = [one for text in dois for one in _ids_of_preprint(_doi(text))]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedFeed("Crossref sent JSON, but no work") from None
    return record, [
        records.publication(identity, record.journal_ref, record.doi) for identity in preprints
    ]
