"""Find a paper by what people paste: an id, an address, a DOI or a title."""

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import chain

from digest.models import Paper, title_lookup
from digest.sources.biorxiv.source import SERVERS
from digest.sources.publishers import ADDRESSES
from digest.sources.records import canonical_id

#: An arXiv id, with or without a version, alone or in a URL.
ARXIV_ID = re.compile(
    r"(?:(?<![\w.])|(?<=arxiv\.))(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?!\d)",
    re.IGNORECASE | re.ASCII,
)
#: A DOI, alone or in a URL, and what bioRxiv's URLs have after it. Not DOIs with other characters,
#: as some old ones have: a part of such a DOI would be another one.
DOI = re.compile(r"(?<![\w.])10\.\d{4,9}/[\w./()-]{1,90}+(?![:;<>]?[\w(])", re.ASCII)
AFTER_DOI = re.compile(r"(?:v\d+)?(?:\.[a-z][a-z-]*)*[./()-]*$", re.ASCII)
ARXIV_DOI = "10.48550/arxiv."
PMID = re.compile(
    r"(?:\bpmid:?\s?|\bpubmed(?:\.ncbi\.nlm\.nih\.gov)?/|/article/med/)(\d{1,8})(?!\w)",
    re.IGNORECASE | re.ASCII,
)
PMCID = re.compile(r"(?<![a-z])pmc(\d{4,9})(?!\w)", re.IGNORECASE | re.ASCII)
ORCID = re.compile(r"(?<![\w-])\d{4}-\d{4}-\d{4}-\d{3}[\dXx](?![\w-])", re.ASCII)
SUBJECT_CLASS = re.compile(r"\.[a-z]{2}(?=/)")
MIN_TITLE_LENGTH = 8  # Characters of the beginning of a title.


def find_paper(query: str) -> Paper | None:
    """Return the paper with this id, URL or title, or None."""
    query = " ".join(query.split())[:500]
    if (paper := paper_by_id(query)) or not query:
        return paper
    newest = _newest(title_lookup.with_title(Paper.objects.all(), query))
    if newest is None:
        # A few letters are no beginning of a title, unless they name what it is about: "LoRA: …".
        beginning = query if len(query) >= MIN_TITLE_LENGTH else f"{query}:"
        newest = _newest(title_lookup.with_title_start(Paper.objects.all(), beginning))
    return newest


def _newest(papers):
    """Return the first of the papers in the model's order.

    Sorted here: the database might read all papers by their day instead.
    """
    rows = papers.order_by().values_list("pk", "day")
    newest = min(rows, key=lambda row: (-row[1].toordinal(), row[0]), default=None)
    return Paper.objects.filter(pk=newest[0]).first() if newest else None


def paper_by_id(text: str) -> Paper | None:
    """Return the paper whose id or URL is in the text, or None."""
    return papers_by_reference([text]).get(text)


def papers_by_reference(texts: Iterable[str]) -> dict[str, Paper]:
    """Return the paper whose id or URL is in each text. Runs two queries, or fewer.

    A text without a known paper has none.
    """
    ids_by_text, texts_by_doi = {}, defaultdict(list)
    for text in texts:
        arxiv_id, reference = find_arxiv_id(text), find_reference(text)
        is_prefixed_id = ":" in text and " " not in text  # As all ids but arXiv's are.
        ids_by_text[text] = [arxiv_id, reference, text[:100] if is_prefixed_id else ""]
        if doi := find_doi(reference):
            ids_by_text[text] += [f"{server}:{doi}" for server in (*SERVERS, "doi")]
            texts_by_doi[doi].append(text)
    if texts_by_doi:
        for doi, pk in Paper.objects.with_doi(texts_by_doi).values_list("lower_doi", "pk"):
            for text in texts_by_doi[doi]:
                ids_by_text[text].append(pk)
    ids = set(chain.from_iterable(ids_by_text.values())) - {""}
    papers = {paper.pk: paper for paper in Paper.objects.filter(pk__in=ids)} if ids else {}
    return {
        text: papers[next(paper_id for paper_id in ids if paper_id in papers)]
        for text, ids in ids_by_text.items()
        if not papers.keys().isdisjoint(ids)
    }


def papers_by_id(ids: Iterable[str]) -> dict[str, Paper]:
    """Return the papers with these ids, with title and abstract. Without ids, runs no query."""
    ids = set(ids)
    return Paper.objects.only("title", "abstract").in_bulk(ids) if ids else {}


def find_reference(text: str) -> str:
    """Return the first reference in a text: an arXiv id, "doi:10.1000/1", "pmid:123", "pmcid:1234"
    or "orcid:0000-0002-1825-0097". Empty if there is none.
    """
    matches = ((pattern.match(text), template) for pattern, template in ADDRESSES)
    doi = find_doi(text) or next((match.expand(doi) for match, doi in matches if match), "")
    if doi and not doi.startswith(ARXIV_DOI):
        return f"doi:{doi.lower()}"
    if arxiv_id := find_arxiv_id(text):
        return arxiv_id
    if match := PMID.search(text):
        return f"pmid:{match[1]}"
    if match := PMCID.search(text):
        return f"pmcid:{match[1]}"
    match = ORCID.search(text)
    return f"orcid:{match[0].upper()}" if match else ""


def find_arxiv_id(text: str) -> str:
    """Return the first arXiv id in the text, without its version, or an empty string."""
    match = ARXIV_ID.search(text)
    return canonical_id(SUBJECT_CLASS.sub("", match[0].lower())) if match else ""


def find_doi(text: str) -> str:
    """Return the first DOI in the text, in lower case, or an empty string."""
    match = DOI.search(text.lower())
    return AFTER_DOI.sub("", match[0]) if match else ""
