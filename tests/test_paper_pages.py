"""The pages of papers, topics, days and the search, feeds, and what search engines are told."""

import json
import logging
import re
import time
from datetime import datetime, timedelta

import lxml.etree
import lxml.html
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.http import urlencode

from config.policies import RedactingFormatter
from digest import archive, feeds, planning, searching, sitemaps, starter
from digest.models import ArchiveFile, Paper, PaperEvent
from digest.ranking import text as words
from subscriptions import links, signup
from subscriptions.models import Letter
from tests import atom, make
from tests.make import NOW

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
TODAY = NOW.date()
ATOM = {"a": "http://www.w3.org/2005/Atom"}
ODD = "<script>alert(1)</script> & graphs"


def page_of(client, path, status=200, **headers):
    response = client.get(path, headers=headers)
    assert response.status_code == status
    return lxml.html.fromstring(response.content)


def titles(page):
    return [title.text_content() for title in page.xpath("//*[@class='paper-title']")]


def feed_of(client, path):
    response = client.get(path)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/atom+xml; charset=utf-8"
    return lxml.etree.fromstring(response.content)


def texts(feed, path):
    return [str(found) for found in feed.xpath(path, namespaces=ATOM)]


def search(client, asked, **more):
    return page_of(client, f"/search/?{urlencode({'q': asked, **more})}")


# ---- One paper


def test_the_page_of_a_paper_tells_all_that_is_known_of_it(client):
    make.topic("cs.LG", slug="arxiv-cs-lg", categories=["cs.LG"], query="")
    paper = make.paper(
        "Graph networks of roads",
        "How roads are graphs.",
        id="2606.04235",
        authors=["Ada Example", "Bo Example"],
        categories=["cs.LG", "I.2.6"],
        upvotes=1234,
        github="https://github.com/example/roads",
        journal_ref="Journal of Roads 7",
        doi="10.1000/x?y",
        comments="12 pages",
        version=2,
    )
    PaperEvent.objects.create(paper=paper, kind="revised", note="version 2", at=NOW)
    PaperEvent.objects.create(paper=paper, kind="code", note=paper.github, at=NOW)
    page = page_of(client, "/papers/2606.04235/")
    said = " ".join(page.xpath("//main")[0].text_content().split())
    for told in ("Ada Example, Bo Example", "1,234 upvotes", "has a new version: v2", "12 pages"):
        assert told in said
    where = page.xpath("//main//@href")
    assert {
        "https://arxiv.org/abs/2606.04235",
        "https://arxiv.org/pdf/2606.04235",
        "https://github.com/example/roads",
        "https://doi.org/10.1000/x%3Fy",
        "/topics/arxiv-cs-lg/",
        f"/days/{TODAY}/",
    } <= set(where)
    assert "I.2.6" not in said


@pytest.mark.parametrize("field", ["neuroscience", "cell biology", "hiv/aids"])
def test_the_page_of_a_preprint_names_its_field_and_leads_to_its_doi(client, field):
    doi = "10.64898/2026.06.01.123456"
    url = f"https://doi.org/{doi}"
    make.paper("Bread", id=f"biorxiv:{doi}", categories=[field, "68T05"], doi=doi, url=url)
    page = page_of(client, f"/papers/biorxiv:{doi}/")
    assert page.xpath("//ul[@class='facts']/li/text()") == [field]
    assert page.xpath("//main//a[@class='button']/@href")[0] == url


@pytest.mark.parametrize(
    ("identity", "url", "named"),
    [
        ("2606.04235", "", "arXiv"),
        ("2606.04235", "https://www.arxiv.org/abs/2606.04235", "arXiv"),
        ("2606.04235", "https://example.org/roads", ""),
        ("biorxiv:10.64898/1", "https://doi.org/10.64898/1", "bioRxiv"),
        ("medrxiv:10.64898/1", "https://doi.org/10.64898/1", "medRxiv"),
        ("title:0a1b", "https://doi.org/10.1000/1", ""),
    ],
)
def test_a_link_to_a_preprint_server_has_its_name(client, identity, url, named):
    paper = make.paper("Graphs of roads", id=identity, url=url)
    archive.renew(NOW)
    page = page_of(client, paper.get_absolute_url())
    link = page.xpath("//main//a[@class='button']")[0]
    assert link.text_content() == (f"Read it at {named}" if named else "Read it")
    (found,) = search(client, "roads").xpath(f"//*[@class='facts']//a[@href='{paper.link}']")
    assert found.text_content() == (named or "Read it")


def test_that_a_paper_is_published_is_told_once(client):
    paper = make.paper(id="2606.04235", journal_ref="Journal of Roads 7")
    before = page_of(client, "/papers/2606.04235/")
    PaperEvent.objects.create(paper=paper, kind="published", note=paper.journal_ref, at=NOW)
    for page in (before, page_of(client, "/papers/2606.04235/")):
        assert page.xpath("//main")[0].text_content().count("Journal of Roads 7") == 1


def test_others_like_a_paper_stand_beside_it(client):
    paper = make.paper("Graph networks of roads", "Roads are graphs of junctions.")
    other = make.paper("Roads and their graphs", "Junctions of roads.")
    make.paper("Bread", "How to bake it.")
    archive.renew(NOW)
    page = page_of(client, paper.get_absolute_url())
    assert page.xpath("//*[@class='titles']//@href") == [other.get_absolute_url()]


@pytest.mark.parametrize("identity", ["math/0309136", "biorxiv:10.1101/2026.01.01", "title:0a1b"])
def test_a_paper_has_an_address_whatever_its_id(client, identity):
    make.paper("Of roads", id=identity)
    page = page_of(client, f"/papers/{identity}/")
    assert page.xpath("//link[@rel='canonical']/@href") == [
        f"http://127.0.0.1:8000{Paper.objects.get().get_absolute_url()}"
    ]


def test_an_address_with_a_version_leads_to_the_paper(client):
    make.paper(id="2606.04235")
    response = client.get("/papers/2606.04235v3/")
    assert (response.status_code, response["Location"]) == (301, "/papers/2606.04235/")


@pytest.mark.parametrize("identity", ["2601.00001", "2601.00001v9", "x", "a/b/c", "%3Cb%3E", "é"])
def test_a_paper_that_is_not_here_is_looked_for_elsewhere(client, identity):
    page = page_of(client, f"/papers/{identity}/", status=404)
    assert page.xpath("//form[@role='search']")
    is_arxiv = "2601.00001" in identity
    assert ("https://arxiv.org/abs/2601.00001" in page.xpath("//@href")) == is_arxiv


def test_what_search_engines_read_of_a_paper_ends_no_element(client):
    paper = make.paper(f"</script>{ODD}", "Of <b>roads</b>\u2028.", authors=["A </script> B"])
    page = page_of(client, paper.get_absolute_url())
    (told,) = page.xpath("//script[@type='application/ld+json']/text()")
    told = json.loads(told)
    assert told["headline"] == paper.title
    assert told["author"] == [{"@type": "Person", "name": "A </script> B"}]
    assert told["datePublished"] == TODAY.isoformat()
    assert page.xpath("//meta[@property='og:title']/@content") == [paper.title]
    assert len(page.xpath("//script")) == 1


# ---- A topic


def test_a_topic_shows_its_latest_papers_by_day(client):
    topic = make.topic("Graph networks", description="Roads & more.")
    old = make.paper("Graph networks of old", day=TODAY - 2 * DAY)
    new = make.paper("Graph networks of today")
    make.paper("Graph networks of long ago", day=TODAY - 40 * DAY)
    make.paper("Bread")
    archive.renew(NOW)
    page = page_of(client, "/topics/graph-networks/")
    assert titles(page) == [new.title, old.title]
    assert page.xpath("//*[@class='why']/mark/text()") == ["Graph networks"] * 2
    assert "/?topics=graph-networks" in page.xpath("//main//@href")
    (feed,) = page.xpath("//link[@rel='alternate']/@href")
    assert feed == "/topics/graph-networks/feed/"
    topic.is_offered = False
    topic.save()
    page = page_of(client, "/topics/graph-networks/")
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]


def test_a_topic_without_papers_or_without_a_model_says_so(client):
    make.topic("Graph networks")
    assert "No papers have been read yet" in client.get("/topics/graph-networks/").content.decode()
    make.paper("Bread")
    archive.renew(NOW)
    assert (
        "No paper of the last two weeks" in client.get("/topics/graph-networks/").content.decode()
    )


def test_nobodys_topic_has_a_page(client):
    reader = make.subscriber(interests="bread")
    assert client.get("/topics/bread/").status_code == 404
    assert reader.own_topics.get().slug is None


def test_the_feed_of_a_topic_is_atom(client):
    make.topic("Graph\x07 networks", slug="graphs", query="graph networks")
    paper = make.paper(
        ODD, "A <b> of networks.", authors=["Ada Example", "Bo"], categories=["cs.LG"], upvotes=3
    )
    archive.renew(NOW)
    feed = feed_of(client, "/topics/graphs/feed/")
    assert texts(feed, "a:title/text()") == ["Graph networks · Paperboy"]
    assert texts(feed, "a:link[@rel='self']/@href") == ["http://127.0.0.1:8000/topics/graphs/feed/"]
    assert len(texts(feed, "a:id/text() | a:updated/text() | a:author/a:name/text()")) == 3
    assert texts(feed, "a:entry/a:title/text()") == [ODD]
    assert texts(feed, "a:entry/a:id/text()") == [f"https://arxiv.org/abs/{paper.pk}"]
    assert texts(feed, "a:entry/a:updated/text()") == [f"{TODAY}T00:00:00+00:00"]
    assert texts(feed, "a:entry/a:author/a:name/text()") == ["Ada Example", "Bo"]
    assert texts(feed, "a:entry/a:category/@term") == ["cs.LG"]
    (summary,) = texts(feed, "a:entry/a:summary[@type='html']/text()")
    assert summary == "<p>A &lt;b&gt; of networks.</p>"


def test_a_new_version_makes_an_entry_new_and_a_vote_does_not(client):
    make.topic("Graph networks")
    paper = make.paper("Graph networks")
    archive.renew(NOW)
    before = client.get("/topics/graph-networks/feed/").content
    Paper.objects.update(upvotes=99)
    PaperEvent.objects.create(paper=paper, kind="code", note="https://example.org", at=NOW)
    assert client.get("/topics/graph-networks/feed/").content == before
    PaperEvent.objects.create(paper=paper, kind="revised", note="version 2", at=NOW)
    feed = feed_of(client, "/topics/graph-networks/feed/")
    assert texts(feed, "a:entry/a:updated/text()") == [NOW.isoformat()]


def test_no_character_that_anyone_has_written_breaks_a_feed(client):
    make.paper("Graph \x01networks", "On \ufffe graphs.\x0b", authors=["A\x08da"], id="x:1")
    topic = make.topic("Graph networks", description="All \x02 graphs")
    reader = make.subscriber(interests="graph \x1bnetworks")
    archive.renew(NOW)
    planning.plan(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW)
    token = links.token("feed", reader.public_id)
    for address in (f"/feeds/{token}/", f"/topics/{topic.slug}/feed/"):
        feed = client.get(address)
        assert atom.faults(feed.content) == []
        assert "Graph networks" in feed.content.decode()


def test_a_feed_without_entries_is_one(client):
    make.topic("Graph networks")
    first = client.get("/topics/graph-networks/feed/")
    assert first.content == client.get("/topics/graph-networks/feed/").content
    assert not texts(lxml.etree.fromstring(first.content), "a:entry")
    assert client.get("/topics/nothing/feed/").status_code == 404


# ---- A day


def test_a_day_has_its_papers_most_upvoted_first_and_leads_to_others(client):
    make.paper("Two days ago", day=TODAY - 2 * DAY)
    few, none, many = (make.paper(f"{votes}", upvotes=votes) for votes in (3, None, 20))
    page = page_of(client, f"/days/{TODAY}/")
    assert titles(page) == [many.title, few.title, none.title]
    assert page.xpath("//a[@rel='prev']/@href") == [f"/days/{TODAY - 2 * DAY}/"]
    assert page.xpath("//a[@rel='next']/@href") == []
    page = page_of(client, f"/days/{TODAY - DAY}/")
    assert "No papers of this day are here." in page.text_content()
    assert page.xpath("//a[@rel='next']/@href") == [f"/days/{TODAY}/"]
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]
    assert "On weekends and holidays nothing is announced" in page.text_content()


def test_a_day_before_all_papers_is_taken_for_no_weekend(client):
    make.paper()
    text = page_of(client, "/days/2020-01-01/").text_content()
    assert "The papers here begin later." in text
    assert "On weekends" not in text


@pytest.mark.parametrize(
    ("language", "voted", "unvoted"),
    [
        ("en", "2 papers, the most upvoted first.", "2 papers."),
        ("de", "2 Artikel, die mit den meisten Stimmen zuerst.", "2 Artikel."),
    ],
)
def test_a_day_tells_of_the_order_by_votes_where_there_are_any(client, language, voted, unvoted):
    for day, votes in ((TODAY, 3), (TODAY - DAY, None)):
        make.paper(day=day)
        make.paper(day=day, upvotes=votes)
        page = page_of(client, f"/days/{day}/", **{"accept-language": language})
        (told,) = page.xpath("//header/p[@class='small']")
        assert told.text_content() == (voted if votes else unvoted)
        assert "vot" not in page.xpath("//meta[@name='description']/@content")[0]


def test_papers_of_a_list_keep_their_words_and_facts_apart(client):
    odd = '100% <b>%(title)s</b> & "graphs"'
    make.paper(odd, odd, authors=[odd], github="https://example.org/?a=1&b=2", upvotes=1)
    make.paper("Plain", categories=["cs.LG"], upvotes=0)
    make.paper("Gone", "Bread.", id="bread:1", is_withdrawn=True, upvotes=1_234)
    for language, facts in (
        ("en", ["1,234 upvotes", "Withdrawn"]),
        ("de", ["1.234 Stimmen", "Zurückgezogen"]),
    ):
        page = page_of(client, f"/days/{TODAY}/", **{"accept-language": language})
        gone, first, plain = page.xpath("//article")
        assert [fact.text_content() for fact in gone.xpath(".//li")][: len(facts)] == facts
        said = first.xpath(".//a|.//p")
        assert [one.text_content() for one in said[:3]] == [odd, odd, odd]
        assert "https://example.org/?a=1&b=2" in first.xpath(".//a/@href")
        assert [fact.text_content() for fact in plain.xpath(".//li")] == ["cs.LG", "arXiv"]


def test_a_long_day_has_pages(client):
    for n in range(90):
        make.paper(f"Paper {n:02}", upvotes=90 - n)
    assert titles(page_of(client, f"/days/{TODAY}/?page=2"))[0] == "Paper 40"
    assert len(titles(page_of(client, f"/days/{TODAY}/?page=99"))) == 10
    assert titles(page_of(client, f"/days/{TODAY}/?page=x"))[0] == "Paper 00"


@pytest.mark.parametrize(
    "day",
    ["2026-02-30", "2026-1-1", "20260101", "2026-W01-1", "0000-00-00", "1000-01-01", "x", "²"],
)
def test_a_day_that_cannot_be_is_a_404(client, day):
    assert client.get(f"/days/{day}/").status_code == 404
    assert client.get(f"/days/{TODAY + 2 * DAY}/").status_code == 404


# ---- The search


def test_a_search_finds_what_a_topic_means_and_marks_it(client):
    make.paper("Graph-based networks", "Nothing. <b>Networks</b> of a graph. More.")
    make.paper("Bread", "Baked.")
    archive.renew(NOW)
    page = search(client, "graph networks")
    assert titles(page) == ["Graph-based networks"]
    marks = page.xpath("//ol//mark/text()")
    assert marks == ["Graph-based", "networks", "Networks", "graph"]
    assert "1 paper." in page.text_content()
    assert not page.xpath("//ol//b")


def test_a_search_for_a_letter_and_a_word_finds_both_ways_to_write_them(client):
    make.paper("On k means", "Found by means of bread.")
    make.paper("On k-means", "Found by means of rice.")
    archive.renew(NOW)
    for asked in ("k-means", "k means"):
        assert set(titles(search(client, asked))) == {"On k means", "On k-means"}
    assert search(client, "k-means").xpath("//ol//mark/text()") == ["k-means"]


@pytest.mark.parametrize(
    ("asked", "text", "said"),
    [
        (
            "guided graph",
            "Self-guided x--graphs: sub-graph-GUIDED.",
            "Self-guided|graphs|sub-graph-GUIDED",
        ),
        ("edema", "Oedema or edema?", "Oedema|edema"),
        ("edema", "Œdema, edema", "Œdema|edema"),
        ("etat", "L’état, un état – no statement.", "état|état"),
        ("alpha", "5α-reductase … for α", "5α-reductase|α"),
        (
            "pretraining",
            "Pre‐training; pre-training, re pretraining",
            "Pre‐training|pre-training|pretraining",
        ),
        ("kmeans", "k-means", "k-means"),
        ("4d", "A 4-D 4D 14D", "4-D|4D"),
        ("graph", "Subgraph", ""),
        ("the", "The theory", ""),
    ],
)
def test_every_word_of_a_search_is_marked_however_it_is_written(asked, text, said):
    terms = frozenset(words.terms(asked))
    found = re.findall("<mark>(.*?)</mark>", searching.marked(text, terms))
    assert found == [word for word in said.split("|") if word]
    in_full = [w[0] for w in searching.WORD.finditer(text) if terms & {*words.terms(w[0])}]
    assert found == in_full


def test_a_search_finds_authors(client):
    make.paper("Of roads", authors=[f"Author {n}" for n in range(9)] + ["Ada Example"])
    make.paper("Of Ada, an example", authors=["Bo"])
    archive.renew(NOW)
    page = search(client, "ada example")
    assert titles(page) == ["Of roads", "Of Ada, an example"]
    assert "Ada Example" in page.xpath("//ol//mark/text()")


@pytest.mark.parametrize(
    "asked",
    [
        "2606.04235",
        "arXiv:2606.04235v2",
        "https://arxiv.org/abs/2606.04235",
        "https://arxiv.org/pdf/2606.04235v1.pdf",
        "2606.04235 please",
    ],
)
def test_who_pastes_an_id_gets_that_paper_first(client, asked):
    make.paper("Please", "Please, please.")
    make.paper("Of roads", id="2606.04235")
    archive.renew(NOW)
    make.paper("Later", id="2606.09999")  # Not in the archive yet.
    assert titles(search(client, asked))[0] == "Of roads"
    assert titles(search(client, asked.replace("04235", "09999")))[0] == "Later"


def test_as_many_papers_are_told_of_as_are_found(client):
    make.paper("Ada Example on roads", authors=["Ada Example"], id="2606.04235")
    archive.renew(NOW)
    for asked in ("ada example", "2606.04235 xyzzy", "2606.04235 roads", "2606.04235"):
        page = search(client, asked)
        assert titles(page) == ["Ada Example on roads"]
        assert "1 paper." in page.text_content()


def test_papers_that_say_too_little_of_a_sentence_are_not_counted():
    asked = "graph networks of roads, rivers and old railways in northern countries"
    make.paper(asked)
    more = " ".join(f"{a}{b}{c}oid" for a in "bdfgklmnp" for b in "aeiou" for c in "bdfgklmnp")
    for n in range(15):
        make.paper(f"Of more {n}", f"{more} Graph networks, roads, rivers, old railways.")
    archive.renew(NOW)
    found = searching.find(asked)
    assert [one.paper.title for one in found.results] == [asked]
    assert found.count == 1


def test_what_no_paper_says_yet_can_be_followed(client):
    archive.renew(NOW)
    page = search(client, '"spin liquid"')
    assert "No paper says" in page.text_content()
    assert "/?interests=%22spin+liquid%22" in page.xpath("//main//@href")


@pytest.mark.parametrize("asked", ["the", "2024", "a,b;c", "%", "🦆"])
def test_where_there_is_nothing_to_look_for_nothing_is_said_of_papers(client, asked):
    make.paper("The roads of 2024")
    archive.renew(NOW)
    page = search(client, asked)
    assert "There is nothing to look for" in page.text_content()
    assert "No paper says" not in page.text_content()
    assert not page.xpath("//main//a[contains(@href, 'interests')]")  # No letter would ever come.


def test_what_was_found_can_be_followed_and_the_button_says_so(client):
    make.paper("Spin liquids")
    archive.renew(NOW)
    page = search(client, "spin liquids")
    (button,) = page.xpath("//aside//a[@href='/?interests=spin+liquids']/text()")
    assert button == "Follow this by email"


def test_an_id_that_is_not_here_is_looked_for_at_arxiv(client):
    archive.renew(NOW)
    page = search(client, "arxiv.org/abs/2501.00001v2")
    assert "https://arxiv.org/abs/2501.00001" in page.xpath("//main//@href")


def test_who_types_a_title_gets_that_paper_first(client):
    make.paper("Networks", "Networks and networks.", day=TODAY - DAY)
    for n in range(30):
        make.paper(f"Networks of networks {n}", "Networks, networks, networks.")
    archive.renew(NOW)
    assert titles(search(client, "networks"))[0] == "Networks"


def test_who_searches_for_a_category_comes_to_its_papers(client):
    make.paper("Continual learning (CL) of cs things")
    archive.renew(NOW)
    assert titles(search(client, "cs.CL")) == ["Continual learning (CL) of cs things"]
    starter.make_topics()
    for asked in ("cs.CL", " CS.cl "):
        answer = client.get("/search/", {"q": asked})
        assert answer.headers["Location"] == "/topics/arxiv-cs-cl/"
    assert client.get("/search/", {"q": "graphs in cs.CL"}).status_code == 200


def test_a_search_has_pages_and_another_order(client):
    for n in range(20):
        make.paper(f"Graphs {n}", "Graphs. " * (n % 5), day=TODAY - n * DAY)
    archive.renew(NOW)
    found = [titles(search(client, "graphs", page=page)) for page in (1, 2, 3)]
    assert [len(one) for one in found] == [10, 10, 0]
    assert len({*found[0], *found[1]}) == 20
    newest = titles(search(client, "graphs", order="new"))
    assert newest == [f"Graphs {n}" for n in range(10)]


def test_the_last_page_of_a_search_says_that_it_found_more_than_it_shows(client, monkeypatch):
    for n in range(21):
        make.paper(f"Graphs {n}")
    archive.renew(NOW)
    end = "No more than 20 are shown."
    assert end not in search(client, "graphs", page=3).text_content()
    monkeypatch.setattr("digest.searching.RANKED", 20)
    assert end not in search(client, "graphs", page=1).text_content()
    page = search(client, "graphs", page=2).text_content()
    assert "21 papers." in page
    assert "Page 2 of 2" in page
    assert end in page


@pytest.mark.parametrize(
    "asked",
    ["", " ", "xyzzy", "the", '"', "x" * 10_000, "graph " * 5_000, "🦆", "a,b;c", "%", "\\", "'--"],
)
def test_a_search_for_nothing_or_for_too_much_is_answered(client, asked):
    make.paper("Graphs of roads")
    archive.renew(NOW)
    page = search(client, asked)
    assert page.xpath("//input[@name='q']")
    for number in ("0", "-1", "x", "9999999", "²"):
        search(client, asked, page=number)


def test_without_an_archive_titles_are_looked_through_and_the_page_says_so(client):
    make.paper("Graphs of roads")
    page = search(client, "graphs of")
    assert titles(page) == ["Graphs of roads"]
    assert "only the titles of the newest papers were" in page.text_content()
    archive.renew(NOW)
    archive.default_storage.delete(ArchiveFile.objects.get().name)
    archive._loaded = None
    assert "only the titles of the newest papers were" in search(client, "graphs of").text_content()
    assert not search(client, "%").xpath("//ol")


def test_without_an_archive_the_newest_papers_alone_are_looked_through(client, monkeypatch):
    monkeypatch.setattr(searching, "TITLES", 2)
    for number in range(4):
        make.paper(f"Graphs of {number}", day=TODAY - number * DAY)
    assert titles(search(client, "graphs of")) == ["Graphs of 0", "Graphs of 1"]


def test_a_paper_that_was_deleted_since_is_not_shown(client):
    make.paper("Graphs of roads")
    archive.renew(NOW)
    Paper.objects.all().delete()
    assert titles(search(client, "graphs")) == []


# ---- A reader's own feed


@pytest.fixture
def reader():
    make.paper(ODD, "Of roads.", categories=["cs.LG"])
    made = make.subscriber(interests="graphs", language="de", timezone="Asia/Tokyo")
    planning.plan(NOW)
    return made


def feed_path(reader):
    return feeds.url(reader).removeprefix("http://127.0.0.1:8000")


def test_a_readers_feed_has_the_papers_of_her_digests(client, reader):
    assert not texts(feed_of(client, feed_path(reader)), "a:entry")  # Her letter comes first.
    Letter.objects.update(state="accepted", ended_at=NOW)
    feed = feed_of(client, feed_path(reader))
    assert texts(feed, "a:entry/a:title/text()") == [ODD]
    assert "graphs" in texts(feed, "a:entry/a:summary/text()")[0]
    assert texts(feed, "a:title/text()") == ["Ihre Artikel · Paperboy"]
    other = make.subscriber("other@example.org")
    assert not texts(feed_of(client, feed_path(other)), "a:entry")
    response = client.get(feed_path(reader))
    assert "no-store" in response["Cache-Control"]
    assert response["X-Robots-Tag"] == "noindex, nofollow"


def test_a_readers_feed_stays_as_it_is_whatever_she_changes_of_her_hour(client, reader):
    Letter.objects.update(state="accepted", ended_at=NOW)
    before = client.get(feed_path(reader)).content
    signup.change(reader, None, {"timezone": "Pacific/Honolulu", "hour": 23}, now=NOW)
    assert client.get(feed_path(reader)).content == before
    (updated,) = texts(feed_of(client, feed_path(reader)), "a:updated/text()")
    assert datetime.fromisoformat(updated) == NOW


def test_the_id_of_a_readers_feed_opens_nothing(client, reader):
    (name,) = texts(feed_of(client, feed_path(reader)), "a:id/text()")
    assert links.token("feed", reader.public_id) not in name


def test_no_two_readers_feeds_have_one_id(client, reader):
    other = make.subscriber("other@example.org")
    ids = {texts(feed_of(client, feed_path(one)), "a:id/text()")[0] for one in (reader, other)}
    assert len(ids) == 2


def test_the_page_of_her_preferences_leads_to_her_feed(client, reader):
    path = links.preferences_url(reader).removeprefix("http://127.0.0.1:8000")
    assert feeds.url(reader) in client.get(path).content.decode()


def test_a_readers_feed_ends_with_her(client, reader):
    path = feed_path(reader)
    signup.unsubscribe(reader.public_id, door=signup.Door("test"), now=NOW)
    assert client.get(path).status_code == 200
    signup.erase(reader, now=NOW)
    assert client.get(path).status_code == 410
    assert client.get(path.replace("/feeds/", "/feeds/x")).status_code == 404
    assert client.post(path).status_code == 405


def test_no_log_has_the_address_of_a_feed(reader):
    record = logging.LogRecord("test", logging.ERROR, "", 0, "GET %s", (feed_path(reader),), None)
    assert RedactingFormatter("%(message)s").format(record) == "GET /feeds/…/"


@pytest.mark.parametrize("purpose", ["preferences", "digest", "unsubscribe", "feedback"])
def test_no_other_token_opens_a_feed_nor_a_feeds_anything_else(client, reader, purpose):
    token = links.token(purpose, reader.public_id)
    assert client.get(f"/feeds/{token}/").status_code == 404
    page = {"digest": "digests"}.get(purpose, purpose)
    assert client.get(f"/{page}/{links.token('feed', reader.public_id)}/").status_code == 404


# ---- What is the same for all


def test_a_page_is_made_once_for_all_who_ask_for_it(client, kept, django_assert_num_queries):
    paper = make.paper("Graphs of roads")
    path = paper.get_absolute_url()
    first = client.get(path)
    with django_assert_num_queries(0):
        again = client.get(f"{path}?utm_source=x", headers={"cookie": "sessionid=x"})
        assert client.get(path, headers={"if-none-match": first["ETag"]}).status_code == 304
        assert client.head(path).status_code == 200
    assert again.content == first.content
    assert again["Cache-Control"] == "max-age=60"
    german = client.get(path, headers={"accept-language": "de"})
    assert [b'<html lang="de"' in page.content for page in (german, first)] == [True, False]


def test_while_one_makes_a_page_anew_others_get_the_last_one(client, kept, monkeypatch):
    paper = make.paper("Graphs of roads")
    path = paper.get_absolute_url()
    first = client.get(path).content
    Paper.objects.update(title="Graphs of rivers")
    later = time.monotonic() + 61
    monkeypatch.setattr("digest.shared.time.monotonic", lambda: later)
    real, seen = Paper.latest_stars, []

    def asked_again_meanwhile(paper):
        seen.append(client.get(path).content)
        return real(paper)

    monkeypatch.setattr(Paper, "latest_stars", asked_again_meanwhile)
    Paper.objects.update(github="https://github.com/example/rivers")
    assert b"Graphs of rivers" in client.get(path).content
    assert seen == [first]


def test_pages_that_differ_are_kept_apart(client, kept):
    make.paper("Graphs of roads")
    archive.renew(NOW)
    assert titles(search(client, "graphs"))
    assert not titles(search(client, "bread"))
    assert not titles(search(client, "graphs", page=2))
    assert client.get("/papers/nothing/").status_code == 404
    paper = make.paper(id="nothing")
    assert client.get(paper.get_absolute_url()).status_code == 200
    search(client, "x" * 2_000)


def test_nobody_can_choose_the_page_that_is_kept_for_another_search(client, kept):
    make.paper("Graphs of roads")
    archive.renew(NOW)
    search(client, "graphs", page="2&page=")
    assert "“graphs&page=2”" in search(client, "graphs&page=2").findtext(".//title")


def test_a_feed_that_has_not_changed_is_not_sent_again(client, kept):
    make.topic("Graph networks")
    make.paper("Graph networks")
    archive.renew(NOW)
    path = "/topics/graph-networks/feed/"
    first = client.get(path)
    for known in (
        {"if-none-match": first["ETag"]},
        {"if-modified-since": first["Last-Modified"]},
    ):
        assert client.get(path, headers=known).status_code == 304


# ---- What search engines are told


def test_the_sitemap_leads_to_every_paper_topic_and_day(client, settings):
    settings.SITE_URL = "https://papers.example.org"
    make.topic("Graph networks")
    make.topic("Not offered", is_offered=False)
    paper = make.paper(id="math/0309136")
    index = lxml.etree.fromstring(client.get("/sitemap.xml").content)
    places = index.xpath("//*[local-name()='loc']/text()")
    assert [place.rpartition("/")[2] for place in places] == [
        f"sitemap-{name}.xml" for name in ("pages", "topics", "days", "papers")
    ]
    found = set()
    for place in places:
        told = lxml.etree.fromstring(client.get("/" + place.rpartition("/")[2]).content)
        found.update(told.xpath("//*[local-name()='loc']/text()"))
    assert {
        "https://papers.example.org/",
        "https://papers.example.org/topics/graph-networks/",
        f"https://papers.example.org/days/{TODAY}/",
        f"https://papers.example.org{paper.get_absolute_url()}",
    } <= found
    assert "https://papers.example.org/topics/not-offered/" not in found
    assert "Sitemap: https://papers.example.org/sitemap.xml" in client.get("/robots.txt").text
    for path in ("/sitemap-nothing.xml", "/sitemap-papers.xml?p=9", "/sitemap-papers.xml?p=x"):
        assert client.get(path).status_code == 404


def addresses(client, path):
    told = lxml.etree.fromstring(client.get(path).content)
    return told.xpath("//*[local-name()='loc']/text()")


def test_each_paper_stands_once_in_the_sitemap_however_many_a_day_has(client, monkeypatch):
    monkeypatch.setattr(sitemaps, "LIMIT", 4)
    papers = [
        make.paper(day=TODAY - n * DAY)
        for n, count in enumerate((1, 2, 9, 1, 3, 4))
        for _ in range(count)
    ]
    pages = [path for path in addresses(client, "/sitemap.xml") if "papers" in path]
    told = [addresses(client, path.removeprefix("http://127.0.0.1:8000")) for path in pages]
    assert [len(page) for page in told] == [3, 4, 4, 1, 4, 4]
    found = sorted(path for page in told for path in page)
    assert found == sorted(f"http://127.0.0.1:8000{paper.get_absolute_url()}" for paper in papers)
    assert client.get("/sitemap-papers.xml?p=7").status_code == 404


def test_papers_are_not_counted_for_each_page_of_the_sitemap(client, kept):
    for n in range(3):
        make.paper(day=TODAY - n * DAY)
    paths = ["/sitemap.xml", "/sitemap-days.xml", "/sitemap-papers.xml"]
    first = [addresses(client, path) for path in paths]
    with CaptureQueriesContext(connection) as asked:
        assert [addresses(client, path) for path in paths] == first
    assert not [
        query for query in asked if "digest_paper" in query["sql"] and "COUNT(" in query["sql"]
    ]


@pytest.mark.parametrize(
    "path", ["/", "/topics/", "/search/", "/subscribe/", "/privacy/", "/embed/"]
)
def test_pages_for_everyone_say_what_they_are_called_elsewhere(client, path):
    page = page_of(client, path)
    assert page.xpath("//link[@rel='canonical']/@href") == [f"http://127.0.0.1:8000{path}"]
    for name in ("title", "description", "url", "image"):
        (told,) = page.xpath(f"//meta[@property='og:{name}']/@content")
        assert told
    assert not page.xpath("//meta[@name='robots']")


@pytest.mark.parametrize("path", ["/?topics=graphs", "/?interests=graphs", "/search/?q=graphs"])
def test_what_someone_asked_for_is_no_page_to_be_found(client, path):
    make.topic("graphs")
    page = page_of(client, path)
    assert page.xpath("//meta[@name='robots']/@content") == ["noindex"]
    assert not page.xpath("//link[@rel='canonical']")


def test_no_page_of_papers_asks_more_queries_where_there_is_more(client):
    make.topic("Graphs", slug="graphs")
    make.topic("cs.LG", slug="arxiv-cs-lg", categories=["cs.LG"], query="")
    for n in range(60):
        paper = make.paper(
            f"Graphs of roads {n}", "Roads.", categories=["cs.LG"], authors=["Ada Example"]
        )
        PaperEvent.objects.create(paper=paper, kind="revised", note=f"version {n}", at=NOW)
    archive.renew(NOW)
    reader = make.subscriber(interests="graphs", size=50)
    planning.plan(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW)
    most = {
        paper.get_absolute_url(): 5,
        "/topics/graphs/": 3,
        "/topics/arxiv-cs-lg/feed/": 4,
        f"/days/{TODAY}/": 4,
        "/search/?q=graphs": 3,
        "/search/?q=2606.00001": 3,
        "/search/?q=ada+example&page=2": 3,
        feed_path(reader): 3,
        "/sitemap.xml": 8,
        "/sitemap-papers.xml": 3,
    }
    for path, count in most.items():
        client.get(path)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        assert len(asked) <= count, path
