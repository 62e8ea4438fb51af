"""Which paper readers ask about, whatever they paste."""

import html
import random
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from digest.indexing import model_store
from digest.papers import identifiers
from digest.planning import plan
from digest.sources.records import MAX_TITLE
from tests.factories import make
from tests.factories.explanations import answer, ask, kitchen, token_of
from tests.factories.make import NOW
from tests.helpers.tables import everything, uses_index

pytestmark = pytest.mark.django_db

TODAY, DAY = NOW.date(), timedelta(days=1)
PREPRINT = "medrxiv:10.1101/2026.06.01.123456"


# ---- Which paper is meant


@pytest.mark.parametrize(
    "asked",
    [
        "2506.04235",
        " 2506.04235 ",
        "2506.04235v1",
        "2506.04235v12",
        "2506.04235V2",
        "arXiv:2506.04235",
        "arXiv:2506.04235v2 [cs.LG] 5 Jun 2025",
        "ARXIV:2506.04235",
        "http://arxiv.org/abs/2506.04235",
        "https://arxiv.org/abs/2506.04235v3",
        "https://arxiv.org/abs/2506.04235?context=cs.LG",
        "https://arxiv.org/pdf/2506.04235",
        "https://arxiv.org/pdf/2506.04235v1.pdf",
        "https://arxiv.org/html/2506.04235v1#S3",
        "https://huggingface.co/papers/2506.04235",
        "(see 2506.04235)",
        "Roads of Schrödinger’s graphs: a survey",
        "ROADS of schrödinger’s GRAPHS: a Survey",
        "  Roads  of\n Schrödinger’s graphs:\ta survey ",
        "Roads of Schrö",
    ],
)
def test_a_paper_is_found_by_what_people_paste(asked):
    paper = make.paper("Roads of Schrödinger’s graphs: a survey", id="2506.04235")
    make.paper("Roads of others", id="2506.04236")
    make.paper("Roads", id="2506.0423")
    assert identifiers.find_paper(asked) == paper


@pytest.mark.parametrize(
    ("identity", "asked"),
    [
        ("math/0309136", "math/0309136"),
        ("math/0309136", "arXiv:math/0309136"),
        ("math/0309136", "https://arxiv.org/abs/math/0309136v1"),
        ("math/0309136", "https://arxiv.org/pdf/math/0309136"),
        ("math/0309136", "https://arxiv.org/abs/math.GT/0309136"),
        ("math/0309136", "Math.gt/0309136V2"),
        (PREPRINT, "10.1101/2026.06.01.123456"),
        (PREPRINT, "doi:10.1101/2026.06.01.123456"),
        (PREPRINT, "https://doi.org/10.1101/2026.06.01.123456"),
        (PREPRINT, "https://www.medrxiv.org/content/10.1101/2026.06.01.123456v2"),
        (PREPRINT, "https://www.medrxiv.org/content/10.1101/2026.06.01.123456v2.full.pdf"),
        (PREPRINT, "https://www.medrxiv.org/content/10.1101/2026.06.01.123456.full-text?x=1#y"),
        (PREPRINT, "(see 10.1101/2026.06.01.123456)."),
        (PREPRINT, PREPRINT),
        ("biorxiv:2025.01.01.123456", "biorxiv:2025.01.01.123456"),
        ("title:0a1b2c", "title:0a1b2c"),
    ],
)
def test_ids_of_each_kind_are_found(identity, asked):
    paper = make.paper("Bread", id=identity)
    for other in ("hep-th/0309136", "biorxiv:10.1101/2026.06.01.12345"):
        make.paper("Rye", id=other)
    assert identifiers.find_paper(asked) == paper


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "   ",
        "2506.99999",
        "2506.0423",  # Not a part of an id,
        "12506.04235",  # nor one with more digits,
        "2506.042351",
        "Roads",  # nor a few letters of a title.
        "s of graphs",
        "% of roads",
        "Roads%of%graphs",
        "Roads_of_graphs",
        "%%%%%%%%%%",
        "__________",
        "\\\\\\\\\\\\\\\\\\\\",
        "' OR 1=1 --",
        "10.48550",
    ],
)
def test_what_names_no_paper_finds_none(client, asked):
    make.paper("Roads of graphs", id="2506.04235")
    assert identifiers.find_paper(asked) is None
    if asked.strip():
        assert "No paper here has the id or the title" in answer(client, make.subscriber(), asked)


def test_a_short_title_is_found_by_all_of_it_in_any_case():
    paper = make.paper("Knots")
    assert identifiers.find_paper("KNOTS") == paper
    assert identifiers.find_paper("Knot") is None


def test_of_two_papers_with_one_title_the_newer_is_meant():
    make.paper("Roads of graphs", id="2606.00009", day=TODAY - DAY)
    newer = make.paper("Roads of graphs", id="2606.00001")
    assert identifiers.find_paper("roads of graphs") == newer


@pytest.mark.parametrize("asked", ["Roads of graphs", "ROADS OF", "Nothing is called so", "Knots"])
def test_a_title_is_found_by_an_index(asked):
    make.paper("Roads of graphs")
    with CaptureQueriesContext(connection) as queries:
        identifiers.find_paper(asked)
    looked = [query["sql"] for query in queries if "title" in query["sql"].partition("WHERE")[2]]
    assert looked
    assert all(uses_index(sql, "papers_by_title") for sql in looked)


def test_titles_that_begin_alike_for_long_are_told_apart():
    begins = "Roads of graphs, and of all that is like them in one way or another: "
    first, second = make.paper(f"{begins}part one"), make.paper(f"{begins}part two")
    assert identifiers.find_paper(f"{begins}Part One") == first
    assert identifiers.find_paper(f"{begins}part t") == second
    assert identifiers.find_paper(f"{begins}part three") is None


def test_a_long_title_means_its_paper_and_not_a_newer_one_that_begins_so():
    title = "Roads of graphs, and of all that is like them in one way or another"
    paper = make.paper(title, day=TODAY - DAY)
    make.paper(f"{title}: part two")
    assert identifiers.find_paper(title.upper()) == paper


def test_the_longest_title_has_room_in_the_index():
    """PostgreSQL refuses a row that takes more than 2,700 bytes there, compressed."""
    signs = range(0x20000, 0x2A6DF)  # Of four bytes each.
    title = "".join(map(chr, random.Random(1).sample(signs, MAX_TITLE)))
    paper = make.paper(title)
    assert identifiers.find_paper(title) == identifiers.find_paper(title[:100]) == paper


# ---- Nothing that is asked breaks anything


@pytest.mark.parametrize(
    "asked",
    [
        "a" * 100_000,
        "%" * 100_000,
        "_" * 5_000,
        "%_" * 50_000,
        "\\" * 5_000,
        "'" * 1_000,
        "a-" * 50_000 + "/1234567",
        "1234." * 20_000,
        "2506.04235" * 10_000,
        "\t\n\r " * 25_000,
        "（２５０６．０４２３５）",
        "٢٥٠٦.٠٤٢٣٥",
        "\u202e2506.04235\u2066",
        "é" * 50_000,
        "\U0001f9ea" * 20_000,
        "'; DROP TABLE digest_paper; --",
        "{{ settings.SECRET_KEY }}{% now 'Y' %}",
        "<!--",
        "math/" + "0" * 50_000,
        "hep-thſ/9901001",
        "math.ſſ/0309136",
        "-/0309136",
    ],
    ids=lambda asked: repr(asked[:12]),
)
def test_hostile_questions_are_answered_and_write_nothing(client, asked):
    kitchen(2)
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    before = everything()
    response = ask(client, someone, asked)
    assert response.status_code in (200, 400)
    assert everything() == before


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("%00", 400),
        ("2506.04235%00", 400),
        ("%ED%A0%80", 200),  # Half of a pair of surrogates,
        ("%FF%FE", 200),  # no UTF-8 at all,
        ("%", 200),  # and no escape.
        ("%2500", 200),
        ("&paper=&paper=2506.04235", 200),
    ],
)
def test_questions_in_bytes_that_are_no_text_are_answered(client, raw, status):
    url = reverse("why", args=[token_of(make.subscriber())])
    assert client.get(f"{url}?paper={raw}").status_code == status


@pytest.mark.parametrize(
    "asked",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "' onfocus='alert(1)"],
)
def test_a_question_that_is_markup_stays_text(client, asked):
    page = ask(client, make.subscriber(), asked).content.decode()
    assert html.escape(asked) in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page


def test_a_question_is_no_post(client):
    someone = make.subscriber(interests="graph networks")
    before = everything()
    url = reverse("why", args=[token_of(someone)])
    assert client.post(url, {"paper": "2506.04235"}).status_code == 405
    assert everything() == before


def test_papers_and_topics_that_are_markup_stay_text_in_every_answer(client):
    kitchen()
    hostile = "<script>alert(1)</script> graph networks"
    paper = make.paper(hostile)
    other = make.paper("<script>alert(2)</script> graph")
    model_store.fit(NOW)
    topic = make.topic("<script>alert(3)</script>", query="graph networks", slug="x")
    follows = make.subscriber(topics=[topic])
    lacks = make.subscriber(interests="<b>graph</b> <script>alert(4)</script>")
    mutes = make.subscriber(muted=[topic])
    pages = [ask(client, one, of.pk) for one in (follows, lacks, mutes) for of in (paper, other)]
    plan.plan(NOW)
    pages += [ask(client, one, of.pk) for one in (follows, lacks) for of in (paper, other)]
    for page in pages:
        assert page.status_code == 200
        assert "&lt;script&gt;alert" in page.content.decode()
        assert "<script>alert" not in page.content.decode()
        assert "<b>" not in page.content.decode()
