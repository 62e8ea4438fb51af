"""Looking up single papers and the papers of an ORCID at their services."""

import pytest

from digest.http.client import Refused, Unavailable
from digest.sources.base import MalformedFeed
from digest.sources.look_ups import SERVICES, Finding
from tests.factories.harvests import serving
from tests.servers.look_ups import LookUpServer, work
from tests.servers.loopback import DOWN, says, web_page

server = serving(LookUpServer)
ORCID = "0000-0002-1825-0097"
ABSTRACT = "We cook soups of all kinds and taste them with forty people."
REFERENCES = ["2001.00001", "doi:10.1000/1", "pmid:42", f"orcid:{ORCID}"]


@pytest.fixture
def full(server):
    server.arxiv["2001.00001"] = "Soups & stews", ABSTRACT
    server.crossref["10.1000/1"] = {"title": ["On <i>soups</i>"], "abstract": f"<p>{ABSTRACT}</p>"}
    server.crossref["10.1000/2"] = {"title": ["On bread"]}
    texts = {"title": "On rice.", "abstractText": f"<h4>Aim</h4>{ABSTRACT}"}
    server.europe_pmc['DOI:"10.1000/2"'] = server.europe_pmc["EXT_ID:42 AND SRC:MED"] = texts
    server.europe_pmc["PMCID:PMC4242"] = texts
    server.orcid[ORCID] = [work("On rice", None), work("On soups", 2021, doi="10.1000/1")]
    server.orcid[ORCID] += [
        work("On tea", 2020, arxiv="arXiv:2001.00001"),
        work("On salt", 2019, pmid="7"),
    ]
    return server


FOUND = {
    "2001.00001": Finding("Soups & stews", ABSTRACT),
    "doi:10.1000/1": Finding("On soups", ABSTRACT),
    "doi:10.1000/2": Finding("On bread", f"Aim: {ABSTRACT}"),
    "pmid:42": Finding("On rice", f"Aim: {ABSTRACT}"),
    "pmcid:4242": Finding("On rice", f"Aim: {ABSTRACT}"),
    f"orcid:{ORCID}": Finding(
        works=["On soups doi:10.1000/1", "On tea arXiv:2001.00001", "On salt pmid:7", "On rice"]
    ),
}


@pytest.mark.parametrize(("reference", "expected"), FOUND.items())
def test_each_kind_of_reference_is_looked_up(full, reference, expected):
    assert full.look_ups().find(reference) == expected


def test_look_up_waits_while_arxiv_throttles(full):
    full.answers += [(406, {}, b"")] * 2
    assert full.look_ups(retries=3).find("2001.00001") == FOUND["2001.00001"]
    assert all(headers["accept"] == "application/atom+xml" for _, _, headers in full.asked)


@pytest.mark.parametrize("reference", [*REFERENCES, "doi:10.1000/2"])
def test_unknown_reference_is_none(server, reference):
    assert server.look_ups().find(reference) is None


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize(
    "answer", [DOWN, web_page(), says(b"{"), says({}), says(1), says({"message": 1})]
)
def test_invalid_response_raises(full, reference, answer):
    full.answers.append(answer)
    with pytest.raises((MalformedFeed, Refused, Unavailable)):
        full.look_ups().find(reference)


def test_requests_contain_only_the_reference(full):
    for reference in [*REFERENCES, "doi:10.1000/2"]:
        full.look_ups().find(reference)
    assert [path for path, *_ in full.asked] == [
        "/api/query",
        "/works/10.1000%2F1",
        "/europepmc/webservices/rest/search",
        f"/v3.0/{ORCID}/works",
        "/works/10.1000%2F2",
        "/europepmc/webservices/rest/search",
    ]
    names = {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert all(headers.keys() == names for *_, headers in full.asked)
    assert {host for service in SERVICES.values() for host in service.hosts} == {
        "export.arxiv.org",
        "api.crossref.org",
        "www.ebi.ac.uk",
        "pub.orcid.org",
    }
