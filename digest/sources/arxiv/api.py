"""arXiv's query API: single papers by their ids."""

from datetime import datetime
from itertools import batched
from xml.etree.ElementTree import Element

from digest.sources import records, xml
from digest.sources.arxiv import calendar, fields, taxonomy
from digest.sources.base import MalformedFeed
from digest.sources.records import BadRecord, Record

ATOM = "{http://www.w3.org/2005/Atom}"
ARXIV = "{http://arxiv.org/schemas/atom}"
MAX_IDS = 100  # In one request.


def requests_for(ids: list[str]) -> list[dict[str, str]]:
    """Return the parameters of the requests for these papers.

    Other ids than arXiv's are left out: the API would refuse the whole request.
    """
    id_patterns = (records.NEW_ID, records.OLD_ID)
    arxiv_ids = sorted({text for text in ids if any(p.fullmatch(text) for p in id_patterns)})
    return [
        {"id_list": ",".join(batch), "max_results": str(len(batch))}
        for batch in batched(arxiv_ids, MAX_IDS)
    ]


def parse(body: bytes) -> tuple[list[Record], list[str]]:
    """Return the records, and the errors of bad ones. Raises MalformedFeed."""
    root = xml.parse(body)
    if root.tag != f"{ATOM}feed":
        raise MalformedFeed("this is XML, but no Atom feed")
    papers, errors = [], []
    for entry in root.iterfind(f"{ATOM}entry"):
        url = entry.findtext(f"{ATOM}id", "").strip()
        if "arxiv.org/api/errors" in url:
            message = records.clean(entry.findtext(f"{ATOM}summary", ""), 200)
            raise MalformedFeed(f"arXiv's API answers: {message}")
        try:
            papers.append(_record(entry))
        except BadRecord as error:
            errors.append(f"{records.clean(url, 80).rpartition('/abs/')[2]}: {error}")
    return papers, errors


def _record(entry: Element) -> Record:
    def text(name, namespace=ATOM):
        return xml.text(entry, f"{namespace}{name}")

    authors = [xml.text(author, f"{ATOM}name") for author in entry.iterfind(f"{ATOM}author")]
    # The primary category first. The terms include classes of ACM and MSC.
    elements = [*entry.iterfind(f"{ARXIV}primary_category"), *entry.iterfind(f"{ATOM}category")]
    terms = taxonomy.canonical_names([element.get("term", "") for element in elements])
    try:
        day = calendar.announcement_day(datetime.fromisoformat(text("published").strip()))
    except (ValueError, OverflowError):
        day = None
    return fields.record(
        text("id"),
        text("title"),
        text("summary"),
        [term for term in terms if term in taxonomy.HARVESTED],
        day=day,
        day_is_estimate=True,
        authors=records.clean_names(authors),
        comments=text("comment", ARXIV),
        journal_ref=text("journal_ref", ARXIV),
        doi=text("doi", ARXIV),
    )
