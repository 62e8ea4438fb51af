"""The search: what it finds, marks and counts, and what it says where nothing is found."""

import re

import pytest
from django.core.files.storage import default_storage

from digest.indexing import index_store
from digest.models import ArchiveFile
from digest.ranking import text as words
from digest.topics import starter_topics
from digest.views import search as search_page
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.data_files import cases
from tests.helpers.visits import DAY, TODAY, search, titles

CASES = cases("search_marks")

pytestmark = pytest.mark.django_db


def test_search_finds_and_marks_words(client):
    make.paper("Graph-based networks", "Nothing. <b>Networks</b> of a graph. More.")
    make.paper("Bread", "Baked.")
    index_store.renew(NOW)
    page = search(client, "graph networks")
    assert titles(page) == ["Graph-based networks"]
    marks = page.xpath("//ol//mark/text()")
    assert marks == ["Graph-based", "networks", "Networks", "graph"]
    assert "1 paper" in page.text_content()
    assert not page.xpath("//ol//b")


def test_words_are_marked_in_any_spelling():
    for query, text in CASES["marked"]:
        terms, plain = frozenset(words.terms(query)), re.sub(r"[][]", "", text)
        marked = re.findall("<mark>(.*?)</mark>", search_page.mark_terms(plain, terms))
        assert marked == re.findall(r"\[(.*?)\]", text)
        in_full = [w[0] for w in search_page.WORD.finditer(plain) if terms & {*words.terms(w[0])}]
        assert marked == in_full


def test_a_search_finds_authors(client):
    make.paper("Of roads", authors=[f"Author {n}" for n in range(9)] + ["Ada Example"])
    make.paper("Of Ada, an example", authors=["Bo"])
    index_store.renew(NOW)
    page = search(client, "ada example")
    assert titles(page) == ["Of roads", "Of Ada, an example"]
    assert "Ada Example" in page.xpath("//ol//mark/text()")


def test_pasted_id_finds_paper_first(client):
    make.paper("Please", "Please, please.")
    make.paper("Of roads", id="2606.04235")
    make.paper("Bread", id="medrxiv:10.1101/2026.06.01.123456")
    index_store.renew(NOW)
    make.paper("Later", id="2606.09999")  # Not in the archive yet.
    for query in ("10.1101/2026.06.01.123456", "medrxiv:10.1101/2026.06.01.123456"):
        assert titles(search(client, query)) == ["Bread"]
    for query in ("2606.04235", "https://arxiv.org/pdf/2606.04235v1.pdf", "2606.04235 please"):
        assert titles(search(client, query))[0] == "Of roads"
        assert titles(search(client, query.replace("04235", "09999")))[0] == "Later"


def test_unsupported_operators_are_explained(client):
    index_store.renew(NOW)
    for query, messages in CASES["operators"]:
        notes = search(client, query).xpath("//main//p[@class='small' and strong]")
        assert [one.text_content() for one in notes][: len(messages)] == messages


def test_unknown_words_are_named(client):
    make.paper("Rye bread of old ovens in the north", authors=["Emmy Noether"])
    index_store.renew(NOW)
    page = search(client, "rye braed")
    assert "No paper mentions braed." in page.text_content()
    assert "/?interests=rye+braed" in page.xpath("//main//@href")
    page = search(client, "rye bread of old ovens in the nroth")
    assert titles(page)
    assert "No paper mentions nroth. These results match the other words." in page.text_content()
    for query in ("rye bread", "Emmy Noether", "author: Emy Noether"):
        assert search_page.find(query).unknown_words == []


@pytest.mark.parametrize(("query", "led_to"), CASES["unknown_ids"])
def test_unknown_id_links_elsewhere(client, query, led_to):
    make.paper("Content of medrxiv")
    index_store.renew(NOW)
    page = search(client, query)
    ways = page.xpath("//main//a[contains(@href, 'doi.org') or contains(@href, 'arxiv.org')]")
    assert [way.get("href") for way in ways][:1] == led_to
    assert ("is not in this archive" in page.text_content()) == bool(led_to)
    assert "no searchable words" not in page.text_content() or not led_to
    assert not led_to or not page.xpath("//main//a[contains(@href, 'interests')]")


def test_name_search_offers_to_follow_author(client):
    make.paper("On rings", "Of David Hilbert.", authors=["Emmy Noether"])
    make.paper("Ideals", authors=["David Hilbert"])
    index_store.renew(NOW)
    for query, followed in (
        ("emmy noether", "author%3A+emmy+noether"),
        ("author: Noether", "author%3A+Noether"),
        ("Hilbert", "Hilbert"),  # A paper says it, so words bring it.
    ):
        (button,) = search(client, query).xpath("//*[@class='follow']/a")
        assert button.get("href") == f"/?interests={followed}"
        assert button.text == "Email me new matches"


def test_title_search_finds_paper_first(client):
    make.paper("Networks", "Networks and networks.", day=TODAY - DAY)
    for n in range(11):
        make.paper(f"Networks of networks {n}", "Networks, networks, networks.")
    index_store.renew(NOW)
    assert titles(search(client, "networks"))[0] == "Networks"


def test_category_search_redirects_to_its_topic(client):
    make.paper("Continual learning (CL) of cs things")
    index_store.renew(NOW)
    assert titles(search(client, "cs.CL")) == ["Continual learning (CL) of cs things"]
    starter_topics.make_topics()
    for query in ("cs.CL", " CS.cl ", "cat:cs.CL", "Computation and Language (cs.CL)"):
        answer = client.get("/search/", {"q": query})
        assert answer.headers["Location"] == "/topics/arxiv-cs-cl/"
    assert client.get("/search/", {"q": "graphs in cs.CL"}).status_code == 200


def test_search_is_paginated_and_sortable(client):
    for n in range(20):
        make.paper(f"Graphs {n}", "Graphs. " * (n % 5), day=TODAY - n * DAY)
    index_store.renew(NOW)
    pages = [search(client, "graphs", page=page) for page in (1, 2, 3)]
    titles_by_page = [titles(page) for page in pages]
    assert [len(one) for one in titles_by_page] == [10, 10, 0]
    assert len({*titles_by_page[0], *titles_by_page[1]}) == 20
    newest = search(client, "graphs", order="new")
    assert titles(newest) == [f"Graphs {n}" for n in range(10)]
    links = "//nav[@aria-label='Order']//a[not(@aria-current)]/@href | //a[@rel='next']/@href"
    start = "/search/?q=graphs"
    assert pages[0].xpath(links) == [f"{start}&order=new", f"{start}&page=2"]
    assert newest.xpath(links) == [start, f"{start}&order=new&page=2"]


def test_unusual_searches_are_answered(client):
    make.paper("Graphs of roads")
    index_store.renew(NOW)
    for query in ("", " ", "xyzzy", '"', "x" * 10_000, "graph " * 5_000, "🦆", "\\", "'--"):
        assert search(client, query).xpath("//input[@name='q']")
    for number in ("0", "-1", "x", "9999999", "²"):
        search(client, "graphs", page=number)


def test_newest_titles_are_searched_without_index(client, monkeypatch):
    monkeypatch.setattr(search_page, "MAX_TITLES", 2)
    for number in range(3):
        make.paper(f"Graphs of {number}", day=TODAY - number * DAY)
    for is_damaged in (False, True):
        if is_damaged:
            index_store.renew(NOW)
            default_storage.delete(ArchiveFile.objects.get().name)
            index_store._loaded = None
        page = search(client, "graphs of")
        assert titles(page) == ["Graphs of 0", "Graphs of 1"]
        assert "only the titles of the newest papers" in page.text_content()
    assert not search(client, "%").xpath("//ol")


def test_misspelt_word_gets_a_suggestion(client):
    for n in range(3):
        make.paper(f"Bread {n} & butter", "Rye bread, baked.")
        make.paper(f"Beards {n}", "A beard.")
    index_store.renew(NOW)
    (link,) = search(client, "rye braed & butter").xpath("//main//p[starts-with(., 'Did')]/a")
    assert link.text == "rye bread & butter"
    assert titles(search(client, "rye bread & butter"))
    assert link.get("href") == "/search/?q=rye%20bread%20%26%20butter"
    for query in ("rye bread", "xylophone"):
        assert search_page.find(query).suggestion == ""


@pytest.mark.parametrize("newest", [False, True])
def test_quoted_phrases_match_verbatim(newest):
    make.paper("Conformal predictions of roads")
    make.paper("Prediction that conforms", "The predictions of a conformal thing.")
    index_store.renew(NOW)
    for query, count in CASES["phrases"]:
        results = search_page.find(query, newest=newest).results
        assert len(results) == count
        assert count != 1 or results[0].paper.title == "Conformal predictions of roads"
