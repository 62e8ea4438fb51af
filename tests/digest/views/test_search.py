"""The search: what it finds, marks and counts, and what it says where nothing is found."""

import re

import pytest
from django.core.files.storage import default_storage

from digest.indexing import index_store
from digest.models import ArchiveFile, Paper
from digest.ranking import text as words
from digest.topics import starter_topics
from digest.views import search as search_page
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.visits import DAY, TODAY, search, titles

pytestmark = pytest.mark.django_db


def test_a_search_finds_what_a_topic_means_and_marks_it(client):
    make.paper("Graph-based networks", "Nothing. <b>Networks</b> of a graph. More.")
    make.paper("Bread", "Baked.")
    index_store.renew(NOW)
    page = search(client, "graph networks")
    assert titles(page) == ["Graph-based networks"]
    marks = page.xpath("//ol//mark/text()")
    assert marks == ["Graph-based", "networks", "Networks", "graph"]
    assert "1 paper." in page.text_content()
    assert not page.xpath("//ol//b")


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
    found = re.findall("<mark>(.*?)</mark>", search_page.marked(text, terms))
    assert found == [word for word in said.split("|") if word]
    in_full = [w[0] for w in search_page.WORD.finditer(text) if terms & {*words.terms(w[0])}]
    assert found == in_full


def test_a_search_finds_authors(client):
    make.paper("Of roads", authors=[f"Author {n}" for n in range(9)] + ["Ada Example"])
    make.paper("Of Ada, an example", authors=["Bo"])
    index_store.renew(NOW)
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
    index_store.renew(NOW)
    make.paper("Later", id="2606.09999")  # Not in the archive yet.
    assert titles(search(client, asked))[0] == "Of roads"
    assert titles(search(client, asked.replace("04235", "09999")))[0] == "Later"


def test_as_many_papers_are_told_of_as_are_found(client):
    make.paper("Ada Example on roads", authors=["Ada Example"], id="2606.04235")
    index_store.renew(NOW)
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
    index_store.renew(NOW)
    found = search_page.find(asked)
    assert [one.paper.title for one in found.results] == [asked]
    assert found.count == 1


def test_what_no_paper_says_yet_can_be_followed(client):
    index_store.renew(NOW)
    page = search(client, '"spin liquid"')
    assert "No paper says" in page.text_content()
    assert "/?interests=%22spin+liquid%22" in page.xpath("//main//@href")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "bread OR rye",
            ["OR parts nothing: all words count together. Put a comma in its place."],
        ),
        ("bread NOT rye", ["NOT leaves nothing out: what follows it is looked for as well."]),
        ("bread, rye", []),
        ("bread and or not rye", []),
    ],
)
def test_a_search_says_which_of_its_words_nothing_obeys(client, asked, said):
    make.paper("Rye bread")
    index_store.renew(NOW)
    told = search(client, asked).xpath("//main//p[@class='small' and strong]")
    assert [one.text_content() for one in told] == said


def test_a_search_names_the_words_that_no_paper_says(client):
    make.paper("Rye bread of old ovens in the north", authors=["Emmy Noether"])
    index_store.renew(NOW)
    page = search(client, "rye braed")
    assert "No paper says braed." in page.text_content()
    page = search(client, "rye bread of old ovens in the nroth")
    assert titles(page)
    assert "No paper says nroth, so these are found by the other words." in page.text_content()
    for asked in ("rye bread", "Emmy Noether", "author: Emy Noether"):
        assert search_page.find(asked).unheard == []


@pytest.mark.parametrize("asked", ["the", "2024", "a,b;c", "%", "🦆"])
def test_where_there_is_nothing_to_look_for_nothing_is_said_of_papers(client, asked):
    make.paper("The roads of 2024")
    index_store.renew(NOW)
    page = search(client, asked)
    assert "There is nothing to look for" in page.text_content()
    assert "No paper says" not in page.text_content()
    assert not page.xpath("//main//a[contains(@href, 'interests')]")  # No letter would ever come.


@pytest.mark.parametrize(
    "asked",
    ["10.1101/2026.06.01.123456", "https://www.medrxiv.org/content/10.1101/2026.06.01.123456v1"],
)
def test_a_doi_that_is_not_here_is_said_to_be_so_with_the_way_to_it(client, asked):
    make.paper("Content of medrxiv")
    index_store.renew(NOW)
    page = search(client, asked)
    assert "10.1101/2026.06.01.123456 is not here" in page.text_content()
    assert "There is nothing to look for" not in page.text_content()
    assert "https://doi.org/10.1101/2026.06.01.123456" in page.xpath("//main//@href")
    assert not page.xpath("//main//a[contains(@href, 'interests')]")


@pytest.mark.parametrize(
    "doi",
    [
        "10.1175/1520-0442(2003)016<0663:ANSITP>2.0.CO;2",
        "10.1002/(SICI)1096-8644(199601)99:1<1::AID-AJPA1>3.0.CO;2-1",
        f"10.1101/{'2' * 91}",
    ],
)
def test_of_a_doi_that_can_not_be_read_whole_no_half_is_led_to(client, doi):
    make.paper("Content of medrxiv")
    index_store.renew(NOW)
    page = search(client, doi)
    assert not page.xpath("//main//a[contains(@href, 'doi.org')]")
    assert "is not here" not in page.text_content()


def test_a_preprint_is_found_by_its_doi_alone(client):
    make.paper("Content of medrxiv")
    make.paper("Bread", id="medrxiv:10.1101/2026.06.01.123456")
    index_store.renew(NOW)
    for asked in ("10.1101/2026.06.01.123456", "medrxiv:10.1101/2026.06.01.123456"):
        found = search_page.find(asked)
        assert [one.paper.title for one in found.results] == ["Bread"]


@pytest.mark.parametrize(
    ("asked", "followed"),
    [
        ("emmy noether", "author%3A+emmy+noether"),
        ("Noether", "author%3A+Noether"),
        ("author: Noether", "author%3A+Noether"),
        ("Hilbert", "Hilbert"),  # A paper says it, so words bring it.
        ("rings", "rings"),
    ],
)
def test_who_follows_a_search_that_a_name_answered_follows_the_author(client, asked, followed):
    make.paper("On rings", "Of David Hilbert.", authors=["Emmy Noether"])
    make.paper("Ideals", authors=["David Hilbert"])
    index_store.renew(NOW)
    page = search(client, asked)
    assert titles(page)
    (button,) = page.xpath("//aside//a")
    assert button.get("href") == f"/?interests={followed}"
    assert button.text == "Follow this by email"


def test_an_id_that_is_not_here_is_looked_for_at_arxiv(client):
    index_store.renew(NOW)
    page = search(client, "arxiv.org/abs/2501.00001v2")
    assert "https://arxiv.org/abs/2501.00001" in page.xpath("//main//@href")


def test_who_types_a_title_gets_that_paper_first(client):
    make.paper("Networks", "Networks and networks.", day=TODAY - DAY)
    for n in range(30):
        make.paper(f"Networks of networks {n}", "Networks, networks, networks.")
    index_store.renew(NOW)
    assert titles(search(client, "networks"))[0] == "Networks"


def test_who_searches_for_a_category_comes_to_its_papers(client):
    make.paper("Continual learning (CL) of cs things")
    index_store.renew(NOW)
    assert titles(search(client, "cs.CL")) == ["Continual learning (CL) of cs things"]
    starter_topics.make_topics()
    for asked in ("cs.CL", " CS.cl ", "cat:cs.CL", "Computation and Language (cs.CL)"):
        answer = client.get("/search/", {"q": asked})
        assert answer.headers["Location"] == "/topics/arxiv-cs-cl/"
    assert client.get("/search/", {"q": "graphs in cs.CL"}).status_code == 200


def test_a_search_has_pages_and_another_order(client):
    for n in range(20):
        make.paper(f"Graphs {n}", "Graphs. " * (n % 5), day=TODAY - n * DAY)
    index_store.renew(NOW)
    found = [titles(search(client, "graphs", page=page)) for page in (1, 2, 3)]
    assert [len(one) for one in found] == [10, 10, 0]
    assert len({*found[0], *found[1]}) == 20
    newest = titles(search(client, "graphs", order="new"))
    assert newest == [f"Graphs {n}" for n in range(10)]


def test_the_links_of_a_search_lead_to_its_pages_in_the_same_order_and_to_the_other_order(client):
    for n in range(11):
        make.paper(f"Graphs {n}", "Graphs.", day=TODAY - n * DAY)
    index_store.renew(NOW)

    def leads_to(page):
        """Return where the links to the other order and to the next page lead."""
        links = page.xpath("//a[contains(., ' first')]/@href | //a[@rel='next']/@href")
        return [link.removeprefix("/search/?q=graphs") for link in links]

    assert leads_to(search(client, "graphs")) == ["&order=new", "&page=2"]
    assert leads_to(search(client, "graphs", order="new")) == ["", "&order=new&page=2"]


def test_the_last_page_of_a_search_says_that_it_found_more_than_it_shows(client, monkeypatch):
    for n in range(21):
        make.paper(f"Graphs {n}")
    index_store.renew(NOW)
    end = "No more than 20 are shown."
    assert end not in search(client, "graphs", page=3).text_content()
    monkeypatch.setattr("digest.indexing.search.RANKED", 20)
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
    index_store.renew(NOW)
    page = search(client, asked)
    assert page.xpath("//input[@name='q']")
    for number in ("0", "-1", "x", "9999999", "²"):
        search(client, asked, page=number)


def test_without_an_archive_titles_are_looked_through_and_the_page_says_so(client):
    make.paper("Graphs of roads")
    page = search(client, "graphs of")
    assert titles(page) == ["Graphs of roads"]
    assert "only the titles of the newest papers were" in page.text_content()
    index_store.renew(NOW)
    default_storage.delete(ArchiveFile.objects.get().name)
    index_store._loaded = None
    assert "only the titles of the newest papers were" in search(client, "graphs of").text_content()
    assert not search(client, "%").xpath("//ol")


def test_without_an_archive_the_newest_papers_alone_are_looked_through(client, monkeypatch):
    monkeypatch.setattr(search_page, "MAX_TITLES", 2)
    for number in range(4):
        make.paper(f"Graphs of {number}", day=TODAY - number * DAY)
    assert titles(search(client, "graphs of")) == ["Graphs of 0", "Graphs of 1"]


def test_a_paper_that_was_deleted_since_is_not_shown(client):
    make.paper("Graphs of roads")
    index_store.renew(NOW)
    Paper.objects.all().delete()
    assert titles(search(client, "graphs")) == []


def test_a_misspelt_word_is_told_with_the_one_that_papers_have(client):
    for n in range(3):
        make.paper(f"Bread {n} & butter", "Rye bread, baked.")
        make.paper(f"Beards {n}", "A beard.")
    index_store.renew(NOW)
    (link,) = search(client, "rye braed & butter").xpath("//main//p[starts-with(., 'Did')]/a")
    assert link.text == "rye bread & butter"
    assert titles(search(client, "rye bread & butter"))
    assert link.get("href") == "/search/?q=rye%20bread%20%26%20butter"
    for asked in ("rye bread", "xylophone"):
        assert search_page.find(asked).suggestion == ""


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("GNN", ["In full", "In short"]),
        ("graph neural networks", ["In full", "In short"]),
        ("GNN molecules", ["In full"]),
        ("graph neural networks of molecules", ["In full"]),
    ],
)
def test_an_acronym_finds_what_it_stands_for_and_the_other_way_round(asked, found):
    for n in range(5):
        make.paper(f"Sixth {n}", "Graph neural networks (GNNs).", day=TODAY - 2 * DAY)
    make.paper("In full", "A graph neural network for molecules.")
    make.paper("In short", "A GNN.")
    make.paper("Neither", "A graph of neural matter, and networks of molecules. GNU.")
    index_store.renew(NOW)
    said = [one.paper.title for one in search_page.find(asked).results]
    assert sorted(one for one in said if "Sixth" not in one and one != "Neither") == found


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ('"conformal prediction"', ["Conformal predictions of roads"]),
        ('"conformal prediction" roads', ["Conformal predictions of roads"]),
        ('"conformal prediction" rivers', []),
        ("conformal prediction", ["Conformal predictions of roads", "Prediction that conforms"]),
    ],
)
def test_what_is_quoted_must_be_said_so_and_what_stands_beside_it_too(asked, found):
    make.paper("Conformal predictions of roads")
    make.paper("Prediction that conforms", "The predictions of a conformal thing.")
    index_store.renew(NOW)
    for newest in (False, True):
        results = search_page.find(asked, newest=newest).results
        assert sorted(one.paper.title for one in results) == found
