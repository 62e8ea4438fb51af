"""What search engines get of the public pages."""

import lxml.etree
import lxml.html
import pytest

from digest.views import sitemaps
from tests.factories import make
from tests.helpers.visits import DAY, TODAY, page_of

pytestmark = pytest.mark.django_db


def test_sitemap_lists_papers_topics_and_days(client, settings):
    settings.SITE_URL = "https://papers.example.org"
    make.topic("Graph networks")
    make.topic("Not offered", is_offered=False)
    paper = make.paper(id="math/0309136")
    places = addresses(client, "/sitemap.xml")
    assert [place.rpartition("/")[2] for place in places] == [
        f"sitemap-{name}.xml" for name in ("pages", "topics", "days", "papers")
    ]
    paths = [place.removeprefix(settings.SITE_URL) for place in places]
    urls = {address for path in paths for address in addresses(client, path)}
    assert {
        "https://papers.example.org/",
        "https://papers.example.org/topics/graph-networks/",
        f"https://papers.example.org/days/{TODAY}/",
        f"https://papers.example.org{paper.get_absolute_url()}",
    } <= urls
    assert "https://papers.example.org/topics/not-offered/" not in urls
    assert "Sitemap: https://papers.example.org/sitemap.xml" in client.get("/robots.txt").text
    for path in ("/sitemap-nothing.xml", "/sitemap-papers.xml?p=9", "/sitemap-papers.xml?p=x"):
        assert client.get(path).status_code == 404


def addresses(client, path):
    document = lxml.etree.fromstring(client.get(path).content)
    return document.xpath("//*[local-name()='loc']/text()")


def test_sitemap_lists_each_paper_once(client, monkeypatch):
    monkeypatch.setattr(sitemaps, "LIMIT", 4)
    ages = [age for age, count in enumerate((1, 2, 9, 1, 3, 4)) for _ in range(count)]
    papers = [make.paper(day=TODAY - age * DAY) for age in ages]
    pages = [path for path in addresses(client, "/sitemap.xml") if "papers" in path]
    listed = [addresses(client, path.removeprefix("http://127.0.0.1:8000")) for path in pages]
    assert [len(page) for page in listed] == [1, 2, 4, 4, 1, 1, 3, 4]
    urls = sorted(path for page in listed for path in page)
    assert urls == sorted(f"http://127.0.0.1:8000{paper.get_absolute_url()}" for paper in papers)
    assert client.get("/sitemap-papers.xml?p=9").status_code == 404


def test_result_pages_are_not_indexed(client):
    make.topic("graphs")
    for path in ("/?topics=graphs", "/?interests=graphs", "/search/?q=graphs"):
        page = page_of(client, path)
        assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]
        assert not page.xpath("//link[@rel='canonical']")
