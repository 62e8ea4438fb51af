"""Look up one paper, or the works of an ORCID, at services whose hosts never change.

A reference is an arXiv id, "doi:10.1000/1", "pmid:123", "pmcid:1234" (of PMC1234) or
"orcid:0000-0002-1825-0097"; nothing else goes into a request. Services that papers are harvested
from are asked within the same pace.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from digest.http.client import Refused, Unavailable, Web
from digest.sources import europepmc, publishers, records
from digest.sources.arxiv import api
from digest.sources.base import MalformedFeed
from digest.sources.daily_listing import parse_json

MAX_WORKS = 30  # Of an ORCID, the latest.
#: Keeps answers out of the cache of responses: they belong to a subscriber.
JSON, ATOM = {"Accept": "application/json"}, {"Accept": "application/atom+xml"}


@dataclass(frozen=True)
class Service:
    """A service by its address. `name`: whose lock for requests it takes."""

    name: str
    base: str
    seconds_between: float = 1.0

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({urlsplit(self.base).netloc})


ARXIV = Service("arxiv", "https://export.arxiv.org", 3.0)
CROSSREF = Service("journals", "https://api.crossref.org")
EUROPE_PMC = Service("europepmc", europepmc.BASE)
ORCID = Service("orcid", "https://pub.orcid.org")


SERVICES = {"arXiv": ARXIV, "Crossref": CROSSREF, "Europe PMC": EUROPE_PMC, "ORCID": ORCID}


class Finding(NamedTuple):
    """A paper, or the papers of an ORCID: the title of each, and a reference if there is one."""

    title: str = ""
    abstract: str = ""
    works: list[str] = []


class LookUps:
    """Asks the services, each through the HTTP client that `web_for` returns for it."""

    def __init__(
        self,
        web_for: Callable[[Service], Web],
        *,
        arxiv: Service = ARXIV,
        crossref: Service = CROSSREF,
        europe_pmc: Service = EUROPE_PMC,
        orcid: Service = ORCID,
    ) -> None:
        self.web_for = web_for
        self.arxiv, self.crossref, self.europe_pmc, self.orcid = arxiv, crossref, europe_pmc, orcid

    def find(self, reference: str) -> Finding | None:
        """Return what a reference stands for, or None if the services don't have it.

        Raises Unavailable, Refused or MalformedFeed.
        """
        kind, _colon, identifier = reference.rpartition(":")
        try:
            match kind:
                case "doi":
                    return self._find_by_doi(identifier)
                case "pmid":
                    return self._search_europe_pmc(f"EXT_ID:{identifier} AND SRC:MED")
                case "pmcid":
                    return self._search_europe_pmc(f"PMCID:PMC{identifier}")
                case "orcid":
                    return self._find_orcid_works(identifier)
                case _:
                    return self._find_on_arxiv(identifier)
        except Refused as error:
            if error.status in (400, 404, 410):
                return None
            raise

    def _find_on_arxiv(self, arxiv_id: str) -> Finding | None:
        for params in api.requests_for([arxiv_id]):
            web, url = self.web_for(self.arxiv), f"{self.arxiv.base}/api/query"
            for record in api.parse(web.get(url, params, headers=ATOM).body)[0]:
                return Finding(record.title, record.abstract)
        return None

    def _find_by_doi(self, doi: str) -> Finding | None:
        finding = Finding()
        try:
            work = self._json(self.crossref, f"/works/{quote(doi, safe='')}", "message")
            title = records.clean(publishers.strip_tags(work["title"][0]), records.MAX_TITLE)
            finding = Finding(title, publishers.read(work.get("abstract") or "", title)[0])
        except Refused as error:
            if error.status != 404:
                raise
        except (AttributeError, IndexError, KeyError, TypeError):
            raise MalformedFeed("Crossref sent JSON, but no work") from None
        if finding.abstract:
            return finding
        try:
            alternative = self._search_europe_pmc(f'DOI:"{doi}"')
        except (MalformedFeed, Refused, Unavailable):
            if not finding.title:
                raise
            alternative = None
        if finding.title:
            return finding._replace(abstract=alternative.abstract if alternative else "")
        return alternative

    def _search_europe_pmc(self, query: str) -> Finding | None:
        params = {**europepmc.PARAMS, "query": query, "pageSize": "1"}
        rows = self._json(self.europe_pmc, europepmc.SEARCH, "resultList", params)
        return next((Finding(*texts) for texts in europepmc.titles_and_abstracts(rows)), None)

    def _find_orcid_works(self, orcid: str) -> Finding | None:
        works = []
        try:
            for group in self._json(self.orcid, f"/v3.0/{orcid}/works", "group"):
                row = group["work-summary"][0]
                ids = (group.get("external-ids") or {}).get("external-id") or []
                year = (row.get("publication-date") or {}).get("year") or {}
                title_element = (row.get("title") or {}).get("title") or {}
                title = records.clean(title_element.get("value") or "", records.MAX_TITLE)
                if title:
                    works.append((str(year.get("value") or ""), f"{title} {_reference(ids)}"))
        except (AttributeError, IndexError, KeyError, TypeError):
            raise MalformedFeed("ORCID sent JSON, but no works") from None
        works.sort(key=lambda work: work[0], reverse=True)
        latest = list(dict.fromkeys(line.strip() for _, line in works))[:MAX_WORKS]
        return Finding(works=latest) if latest else None

    def _json(self, service, path, key, params=None):
        response = self.web_for(service).get(f"{service.base}{path}", params, headers=JSON)
        content = parse_json(response.body, service.base)
        if not isinstance(content, dict) or key not in content:
            raise MalformedFeed(f"{service.base} sent JSON without {key}")
        return content[key]


def _reference(ids: list[dict]) -> str:
    """Return the reference among the ids of a work of ORCID, or an empty string."""
    values = {row["external-id-type"]: str(row["external-id-value"]) for row in ids}
    if match := re.fullmatch(r"(?:arxiv:)?([\w.-]+(?:/\d{7})?)", values.get("arxiv", ""), re.I):
        return f"arXiv:{match[1]}"
    if doi := europepmc.DOI.search(values.get("doi", "").lower()):
        return f"doi:{doi[0]}"
    return f"pmid:{values['pmid']}" if values.get("pmid", "").isdecimal() else ""
