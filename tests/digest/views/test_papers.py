"""The pages of papers, topics and days, and the feeds of topics."""

import html
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from django.templatetags.static import static

from digest.indexing import index_store
from digest.models import Paper, PaperEvent
from digest.papers import citations
from digest.personalization import feedback
from digest.planning import plan
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import atom_validator
from tests.helpers.data_files import cases
from tests.helpers.visits import DAY, ODD, TODAY, feed_of, page_of, texts, titles

CASES = cases("paper_links")

pytestmark = pytest.mark.django_db


# ---- One paper


def test_paper_page_shows_all_metadata(client):
    make.topic("cs.LG", slug="arxiv-cs-lg", categories=["cs.LG"], query="")
    paper = make.paper(**cases("papers")["with_all_fields"])
    PaperEvent.objects.create(paper=paper, kind="revised", note="version 2", at=NOW)
    PaperEvent.objects.create(paper=paper, kind="code", note=paper.github, at=NOW)
    page = page_of(client, "/papers/2606.04235/")
    text = " ".join(page.xpath("//main")[0].text_content().split())
    assert "Bo Example Road Lab; School of Roads; Tar Works and 1 more" in text
    for fact in ("Ada Example, Bo Example", "1,234 upvotes", "has a new version: v2", "12 pages"):
        assert fact in text
    assert "Summary by Hugging Face Roads <b>are</b> graphs. Keywords: roads, graphs" in text
    assert "accepted at NeurIPS 2026 Road Lab" in text
    assert {*CASES["with_all_fields"]} <= {*page.xpath("//main//@href")}
    assert "I.2.6" not in text


def test_paper_page_lists_similar_papers(client):
    paper = make.paper("Graph networks of roads", "Roads are graphs of junctions.")
    other = make.paper("Roads and their graphs", "Junctions of roads.")
    make.paper("Bread", "How to bake it.")
    index_store.renew(NOW)
    page = page_of(client, paper.get_absolute_url())
    assert page.xpath("//*[@class='titles']//@href") == [other.get_absolute_url()]


def test_paper_has_one_canonical_url(client):
    for identity in ("2606.04235", "math/0309136", "biorxiv:10.1101/2026.01.01", "title:0a1b"):
        paper = make.paper("Of roads", id=identity)
        page = page_of(client, f"/papers/{identity}/")
        address = f"http://127.0.0.1:8000{paper.get_absolute_url()}"
        assert page.xpath("//link[@rel='canonical']/@href") == [address]
    response = client.get("/papers/2606.04235v3/")
    assert (response.status_code, response["Location"]) == (301, "/papers/2606.04235/")


def test_unknown_paper_links_elsewhere(client):
    for identity, elsewhere in CASES["unknown"]:
        page = page_of(client, f"/papers/{identity}/", status=404)
        assert page.xpath("//form[@role='search']")
        ways = page.xpath("//main//a[contains(@href, 'arxiv.org') or contains(@href, 'doi.org')]")
        assert [way.get("href") for way in ways] == elsewhere
        assert ("It may be older than this site" in page.text_content()) == bool(elsewhere)


def test_structured_data_is_escaped(client):
    paper = make.paper(f"</script>{ODD}", "Of <b>roads</b>\u2028.", authors=["A </script> B"])
    page = page_of(client, paper.get_absolute_url())
    (metadata,) = page.xpath("//script[@type='application/ld+json']/text()")
    metadata = json.loads(metadata)
    assert metadata["headline"] == paper.title
    assert metadata["author"] == [{"@type": "Person", "name": "A </script> B"}]
    assert metadata["datePublished"] == TODAY.isoformat()
    assert page.xpath("//meta[@property='og:title']/@content") == [paper.title]
    assert page.xpath("//script/@src") == [static("copy.js"), static("shortcuts.js")]


def test_paper_can_be_cited_and_followed(client):
    fields = {"id": "2606.04235", "authors": ["Ada Example", "Bo van Dam"]}
    paper = make.paper('On "graphs" & roads', "Roads.", **fields)
    page = page_of(client, paper.get_absolute_url())
    (entry,) = page.xpath("//*[@id='bibtex']/text()")
    assert entry == citations.bibtex([paper]).strip()
    tags = {meta.get("name"): meta.get("content") for meta in page.xpath("//meta[@name]")}
    assert tags["citation_title"] == paper.title
    assert tags["citation_pdf_url"] == "https://arxiv.org/pdf/2606.04235"
    authors = page.xpath("//meta[@name='citation_author']/@content")
    assert authors == ["Example, Ada", "van Dam, Bo"]
    followed = {"author: Ada Example", "author: Bo van Dam", "paper: 2606.04235"}
    links = page.xpath("//aside//@href")
    assert {parse_qs(urlsplit(link).query)["interests"][0] for link in links} == followed
    (card,) = page_of(client, f"/days/{TODAY}/").xpath("//*[@class='Z3988']/@title")
    item = parse_qs(card)
    assert item["rft.title"] == [paper.title]
    assert item["rft.au"] == authors
    assert item["rft_id"] == [paper.link]


# ---- Filters


def test_lists_are_filtered_and_counted(client):
    make.topic("Graphs")
    code = "https://github.com/example/roads"
    make.paper("Graphs 1", categories=["cs.LG"], github=code)
    make.paper("Graphs 2", categories=["cs.LG", "stat.ML"])
    make.paper("Graphs 3", categories=["stat.ML"], github=code)
    old = make.paper("Graphs 4", categories=["cs.LG"], github=code, day=TODAY - 9 * DAY)
    index_store.renew(NOW)
    for path, numbers in CASES["filtered"]:
        page = page_of(client, path)
        assert {title[-1] for title in titles(page)} == {*numbers}
        count = page.xpath("//header//*[@role='status']")[0].text_content()
        assert count.startswith(str(len(numbers)))
        assert "noindex" in page.xpath("//meta[@name='robots']/@content")[0]
    day = f"/days/{TODAY}/?"
    for path in (day, "/topics/graphs/?", "/search/?q=graphs&"):
        page = page_of(client, f"{path}field=hep-th&code=2&since=x&view=x")
        assert not titles(page)
        assert "No papers match these filters." in page.text_content()
        (way_on,) = page.xpath("//main//a[starts-with(., 'Show all')]/@href")
        assert titles(page_of(client, way_on))
    (fields,) = page_of(client, day).xpath("//select[@name='field']")
    assert [one.text for one in fields] == ["All fields", "cs.LG (2)", "stat.ML (2)"]
    assert old.title not in titles(page_of(client, f"{day}view=compact"))


# ---- A topic


def test_topic_page_shows_latest_papers(client):
    topic = make.topic("Graph networks", description="Roads & more.")
    old = make.paper("Graph networks of old", day=TODAY - 2 * DAY)
    new = make.paper("Graph networks of today")
    make.paper("Graph networks of long ago", day=TODAY - 40 * DAY)
    make.paper("Bread")
    index_store.renew(NOW)
    page = page_of(client, "/topics/graph-networks/")
    assert titles(page) == [new.title, old.title]
    assert page.xpath("//*[@class='why']/mark/text()") == ["Graph networks"] * 2
    assert "/?topics=graph-networks" in page.xpath("//main//@href")
    feeds = page.xpath("//link[@rel='alternate']/@href")
    assert feeds == [f"/topics/graph-networks/feed/{form}" for form in ("", "json/")]
    topic.is_offered = False
    topic.save()
    page = page_of(client, "/topics/graph-networks/")
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]
    make.subscriber(interests="bread")  # A topic of one's own has no page.
    for path in ("/topics/bread/", "/topics/nothing/", "/topics/nothing/feed/"):
        assert client.get(path).status_code == 404


def test_topic_feed_is_atom(client):
    make.topic("Graph\x07 networks", slug="graphs", query="graph networks")
    fields = {"authors": ["Ada Example", "Bo"], "categories": ["cs.LG"], "upvotes": 3}
    abstract = make.about("a <b> of graph networks")
    paper = make.paper(ODD, abstract, **fields)
    index_store.renew(NOW)
    feed = feed_of(client, "/topics/graphs/feed/")
    assert len(texts(feed, "a:id/text() | a:updated/text() | a:author/a:name/text()")) == 3
    for path, expected in {
        "a:title/text()": ["Graph networks · Paperboy"],
        "a:link[@rel='self']/@href": ["http://127.0.0.1:8000/topics/graphs/feed/"],
        "a:entry/a:title/text()": [ODD],
        "a:entry/a:id/text()": [f"https://arxiv.org/abs/{paper.pk}"],
        "a:entry/a:updated/text()": [f"{TODAY}T00:00:00+00:00"],
        "a:entry/a:author/a:name/text()": ["Ada Example", "Bo"],
        "a:entry/a:category/@term": ["cs.LG"],
        "a:entry/a:summary[@type='html']/text()": [f"<p>{html.escape(abstract)}</p>"],
    }.items():
        assert texts(feed, path) == expected


def test_control_characters_do_not_break_feeds(client):
    make.paper("Graph \x01networks", "On \ufffe graphs.\x0b", authors=["A\x08da"], id="x:1")
    topic = make.topic("Graph networks", description="All \x02 graphs")
    subscriber = make.subscriber(interests="graph \x1bnetworks")
    index_store.renew(NOW)
    plan.plan(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW)
    token = tokens.token("feed", subscriber.public_id)
    for address in (f"/feeds/{token}/", f"/topics/{topic.slug}/feed/"):
        feed = client.get(address)
        assert atom_validator.faults(feed.content) == []
        assert "Graph networks" in feed.content.decode()


# ---- Trending


def like(paper, count, value="more"):
    for _ in range(count):
        feedback.record(make.subscriber(), paper, value, NOW)


def test_trending_papers_are_sorted_by_upvotes_and_likes(client):
    make.paper("Disliked", upvotes=5)
    like(make.paper("Liked by three"), 3)
    like(make.paper("Saved by four", upvotes=1), 4, "save")
    like(make.paper("Liked by two", upvotes=9), 2)
    like(Paper.objects.get(title="Disliked"), 9, "less")
    make.paper("Upvoted", upvotes=35)
    make.paper("Unknown")
    make.paper("Old", day=TODAY - 7 * DAY, upvotes=99)
    make.paper("Withdrawn", upvotes=99, is_withdrawn=True)
    ranked = ["Saved by four", "Upvoted", "Liked by three", "Liked by two", "Disliked"]
    for path in ("/trending/", "/trending/embed/"):
        page = page_of(client, path)
        assert titles(page) == ranked
        reasons = [why.text_content() for why in page.find_class("why")]
        assert reasons == [f"Why this paper: Liked or saved by {n} subscribers" for n in (4, 3)]
    items = client.get("/trending/feed/json/").json()["items"]
    assert [item["title"] for item in items] == ranked
    assert atom_validator.faults(client.get("/trending/feed/").content) == []
    assert "people" not in str(items)


# ---- A day


def test_day_page_sorts_by_upvotes(client):
    make.paper("Two days ago", day=TODAY - 2 * DAY)
    few, none, many = (make.paper(f"{votes}", upvotes=votes) for votes in (3, None, 20))
    page = page_of(client, f"/days/{TODAY}/")
    assert titles(page) == [many.title, few.title, none.title]
    assert titles(page_of(client, f"/days/{TODAY}/?page=x")) == titles(page)
    assert page.xpath("//a[@rel='prev']/@href") == [f"/days/{TODAY - 2 * DAY}/"]
    assert page.xpath("//a[@rel='next']/@href") == []
    page = page_of(client, f"/days/{TODAY - DAY}/")
    assert "No papers on this day." in page.text_content()
    assert page.xpath("//a[@rel='next']/@href") == [f"/days/{TODAY}/"]
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]
    assert "Most sources announce no papers on weekends" in page.text_content()
    early = page_of(client, "/days/2020-01-01/").text_content()
    assert "This site’s archive starts later." in early
    assert "on weekends" not in early


def test_listed_papers_escape_text_and_show_facts(client):
    odd = '100% <b>%(title)s</b> & "graphs"'
    make.paper(odd, odd, authors=[odd], github="https://example.org/?a=1&b=2", upvotes=1)
    make.paper("Plain", categories=["cs.LG"], upvotes=0)
    make.paper("Gone", "Bread.", id="bread:1", is_withdrawn=True, upvotes=1_234)
    gone, first, plain = page_of(client, f"/days/{TODAY}/").xpath("//article")
    facts = [fact.text_content() for fact in gone.xpath(".//li")]
    assert facts[:2] == ["1,234 upvotes", "Withdrawn"]
    assert [one.text_content() for one in first.xpath(".//a|.//p")[:3]] == [odd, odd, odd]
    assert "https://example.org/?a=1&b=2" in first.xpath(".//a/@href")
    facts = [fact.text_content() for fact in plain.xpath(".//li")]
    assert facts == ["cs.LG", "Read at arXiv", "Similar papers"]


def test_impossible_day_is_not_found(client):
    never = "2026-02-30 2026-1-1 20260101 2026-W01-1 0000-00-00 1000-01-01 x ²"
    for day in (*never.split(), TODAY + 2 * DAY):
        assert client.get(f"/days/{day}/").status_code == 404
