"""Which paper subscribers ask about, whatever they paste."""

import html

import pytest
from django.urls import reverse

from digest.indexing import model_store
from digest.papers import identifiers
from tests.factories import make
from tests.factories.explanations import answer, ask, background_papers, token_of
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.data_files import cases
from tests.helpers.tables import everything

CASES = cases("identifiers")

pytestmark = pytest.mark.django_db


# ---- Which paper is meant


def test_paper_is_found_by_any_pasted_form():
    title = "Roads of Schrödinger’s graphs: a survey"
    paper = make.paper(title, id="2506.04235")
    make.paper("Roads of others", id="2506.04236")
    make.paper("Roads", id="2506.0423")
    for number in ("2506.04235", "2506.04235v1", "2506.04235v12", "2506.04235V2"):
        for query in ("%s", " %s ", "arXiv:%s", "ARXIV:%s [cs.LG] 5 Jun 2025", "(see %s)"):
            assert identifiers.find_paper(query % number) == paper
        for address in ("arxiv.org/abs/", "arxiv.org/pdf/", "huggingface.co/papers/"):
            for end in ("", ".pdf", "?context=cs.LG", "#S3"):
                assert identifiers.find_paper(f"https://{address}{number}{end}") == paper
    for query in (title, title.replace("graphs: a", "GRAPHS: A"), f" {title}\t", "Roads of  Schrö"):
        assert identifiers.find_paper(query) == paper
    short = make.paper("LoRA: Roads of few parameters")
    assert identifiers.find_paper("lora") == short


def test_ids_of_each_kind_are_found():
    for identity in (*CASES["asked_for"], "hep-th/0309136", "biorxiv:10.1101/2026.06.01.12345"):
        make.paper("Bread", id=identity)
    for identity, queries in CASES["asked_for"].items():
        assert {identifiers.find_paper(one).pk for one in queries.split()} == {identity}


def test_unknown_reference_finds_no_paper(client):
    make.paper("Roads of graphs", id="2506.04235")
    subscriber = make.subscriber()
    assert identifiers.find_paper("") is identifiers.find_paper("  ") is None
    for query in CASES["unknown"]:  # Parts of an id, a few letters of a title, and wildcards.
        assert identifiers.find_paper(query) is None
    assert "No paper matches 10.48550" in answer(client, subscriber, query)


def test_newest_paper_wins_among_equal_titles():
    make.paper("Knots", id="2606.00009", day=TODAY - DAY)
    newer = make.paper("Knots", id="2606.00001")
    assert identifiers.find_paper("KNOTS") == newer
    assert identifiers.find_paper("Knot") is None


def test_titles_with_a_long_common_beginning_are_distinguished():
    begins = "Roads of graphs, and of all that is like them in one way or another"
    paper = make.paper(begins, day=TODAY - DAY)
    first, second = make.paper(f"{begins}: part one"), make.paper(f"{begins}: part two")
    assert identifiers.find_paper(begins.upper()) == paper
    assert identifiers.find_paper(f"{begins}: Part One") == first
    assert identifiers.find_paper(f"{begins}: part t") == second
    assert identifiers.find_paper(f"{begins}: part three") is None


# ---- Nothing that is asked breaks anything


HOSTILE = [
    *("a" * 100_000, "%_" * 50_000, "\\" * 5_000, "'" * 1_000, "a-" * 50_000 + "/1234567"),
    *("1234." * 20_000, "2506.04235" * 10_000, "\t\n\r " * 25_000, "math/" + "0" * 50_000),
    *("（２５０６．０４２３５）", "٢٥٠٦.٠٤٢٣٥", "\u202e2506.04235\u2066", "hep-thſ/9901001"),
    *("é" * 50_000, "\U0001f9ea" * 20_000, "math.ſſ/0309136", "-/0309136", "<!--"),
    *("'; DROP TABLE digest_paper; --", "{{ settings.SECRET_KEY }}{% now 'Y' %}"),
]


def test_hostile_queries_are_answered_and_write_nothing(client):
    background_papers(2)
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    before = everything()
    for query in HOSTILE:
        assert ask(client, someone, query).status_code in (200, 400)
    for query in ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onfocus='x"):
        page = ask(client, someone, query).content.decode()
        assert html.escape(query) in page
        assert query not in page
    url = reverse("why", args=[token_of(someone)])
    assert client.post(url, {"paper": "2506.04235"}).status_code == 200
    assert everything() == before
