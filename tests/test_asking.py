"""Readers ask of one paper why it is, or isn't, in their digest."""

import html
import logging
import random
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.template.loader import render_to_string
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.policies import RedactingFormatter
from digest import archive, asking, editions, fitting, planning, steering
from digest.models import Digest, FittedModel, Pick
from digest.ranking.model import TfidfModel
from digest.ranking.verdict import Verdict
from digest.sources.records import MAX_TITLE
from subscriptions import links
from subscriptions.models import Letter, Subscriber
from tests import make
from tests.make import NOW
from tests.tables import everything

pytestmark = pytest.mark.django_db

TODAY, DAY = NOW.date(), timedelta(days=1)
ABSTRACT = (
    "We propose a contrastive objective for graph networks on molecules: atoms and bonds are "
    "embedded, augmented views agree, negative pairs repel, and labels of toxicity, solubility and "
    "binding improve over supervised baselines on eleven benchmarks with scaffold splits."
)


def kitchen(count=6, **fields):
    """Make papers about something else, so that the words of others weigh something."""
    for number in range(count):
        make.paper(f"Cooking rice {number}", f"Rice and water in pot {number}.", **fields)


def ask(client, subscriber, asked):
    return client.get(reverse("why", args=[token_of(subscriber)]), {"paper": asked})


def token_of(subscriber):
    return links.token("preferences", subscriber.public_id)


def answer(client, subscriber, asked):
    """Return what the page says of the paper, in words."""
    response = ask(client, subscriber, getattr(asked, "pk", asked))
    assert response.status_code == 200
    (said,) = re.findall(
        r'role="status">(.*?)</(?:div|p)>\s*<form', response.content.decode(), re.S
    )
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", said)).split())


def plan_and_send():
    """Plan today's digests, of which the mail server took each letter."""
    planning.plan(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW)


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
    assert asking.find_paper(asked) == paper


@pytest.mark.parametrize(
    "asked",
    [
        "math/0309136",
        "math/0309136v2",
        "arXiv:math/0309136",
        "https://arxiv.org/abs/math/0309136v1",
        "https://arxiv.org/pdf/math/0309136",
        "math.GT/0309136",
        "arXiv:math.GT/0309136v1",
        "https://arxiv.org/abs/math.GT/0309136",
        "MATH/0309136",
        "Math.gt/0309136V2",
    ],
)
def test_a_paper_of_the_old_days_is_found_by_its_id(asked):
    paper = make.paper("Knots", id="math/0309136")
    make.paper("Strings", id="hep-th/0309136")
    assert asking.find_paper(asked) == paper


@pytest.mark.parametrize(
    "asked",
    [
        "10.1101/2026.06.01.123456",
        "doi:10.1101/2026.06.01.123456",
        "https://doi.org/10.1101/2026.06.01.123456",
        "https://www.medrxiv.org/content/10.1101/2026.06.01.123456v2",
        "https://www.medrxiv.org/content/10.1101/2026.06.01.123456v2.full.pdf",
        "https://www.medrxiv.org/content/10.1101/2026.06.01.123456.full-text?x=1#y",
        "(see 10.1101/2026.06.01.123456).",
        "medrxiv:10.1101/2026.06.01.123456",
    ],
)
def test_a_preprint_is_found_by_its_doi(asked):
    paper = make.paper("Bread", id="medrxiv:10.1101/2026.06.01.123456")
    make.paper("Rye", id="biorxiv:10.1101/2026.06.01.12345")
    assert asking.find_paper(asked) == paper


@pytest.mark.parametrize(
    ("identity", "asked"),
    [
        ("hep-th/9901001", "hep-th/9901001v3"),
        ("cond-mat/0001001", "https://arxiv.org/abs/cond-mat/0001001"),
        ("biorxiv:2025.01.01.123456", "biorxiv:2025.01.01.123456"),
        ("title:0a1b2c", "title:0a1b2c"),
    ],
)
def test_ids_of_each_kind_are_found(identity, asked):
    paper = make.paper("Bread", id=identity)
    assert asking.find_paper(asked) == paper


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
    assert asking.find_paper(asked) is None
    if asked.strip():
        assert "No paper here has the id or the title" in answer(client, make.subscriber(), asked)


def test_a_short_title_is_found_by_all_of_it_in_any_case():
    paper = make.paper("Knots")
    assert asking.find_paper("KNOTS") == paper
    assert asking.find_paper("Knot") is None


def test_of_two_papers_with_one_title_the_newer_is_meant():
    make.paper("Roads of graphs", id="2606.00009", day=TODAY - DAY)
    newer = make.paper("Roads of graphs", id="2606.00001")
    assert asking.find_paper("roads of graphs") == newer


@pytest.mark.parametrize("asked", ["Roads of graphs", "ROADS OF", "Nothing is called so", "Knots"])
def test_a_title_is_found_by_an_index(asked):
    make.paper("Roads of graphs")
    with CaptureQueriesContext(connection) as queries:
        asking.find_paper(asked)
    looked = [query["sql"] for query in queries if "title" in query["sql"].partition("WHERE")[2]]
    assert looked
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in looked:
            plan = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
            cursor.execute(f"{plan} {sql}")
            said = str(cursor.fetchall())
            assert "papers_by_title" in said
            assert "SCAN digest_paper" not in said


def test_titles_that_begin_alike_for_long_are_told_apart():
    begins = "Roads of graphs, and of all that is like them in one way or another: "
    first, second = make.paper(f"{begins}part one"), make.paper(f"{begins}part two")
    assert asking.find_paper(f"{begins}Part One") == first
    assert asking.find_paper(f"{begins}part t") == second
    assert asking.find_paper(f"{begins}part three") is None


def test_a_long_title_means_its_paper_and_not_a_newer_one_that_begins_so():
    title = "Roads of graphs, and of all that is like them in one way or another"
    paper = make.paper(title, day=TODAY - DAY)
    make.paper(f"{title}: part two")
    assert asking.find_paper(title.upper()) == paper


def test_the_longest_title_has_room_in_the_index():
    """PostgreSQL refuses a row that takes more than 2,700 bytes there, compressed."""
    signs = range(0x20000, 0x2A6DF)  # Of four bytes each.
    title = "".join(map(chr, random.Random(1).sample(signs, MAX_TITLE)))
    paper = make.paper(title)
    assert asking.find_paper(title) == asking.find_paper(title[:100]) == paper


# ---- The answers


def test_the_page_without_a_question_asks_for_one(client):
    response = client.get(reverse("why", args=[token_of(make.subscriber())]))
    assert response.status_code == 200
    assert 'name="paper" value=""' in response.content.decode()
    assert 'role="status"' not in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_a_chosen_paper_will_be_there_and_then_is(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    make.paper("Graph networks of cars and of roads and of towns and of lorries")
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith(
        "It will be there: place 1 of 2 that you could get now, with a score of "
    )
    assert "for your topic “graph networks”" in said
    planning.plan(NOW)
    assert paper in [pick.paper for pick in Pick.objects.all()]


def test_a_paper_that_she_had_is_told_with_its_day_place_and_reason(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    for asked in (paper.pk, f"https://arxiv.org/abs/{paper.pk}v2", "graph networks of roads"):
        said = answer(client, someone, asked)
        assert said.startswith("You had it on 1 June 2026, in place 1 with a score of 0.")
        assert ": graph networks ." in said
        assert said.endswith("No paper comes twice.")


def test_a_paper_whose_letter_is_on_its_way_is_not_said_to_be_had(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    planning.plan(NOW)
    said = "It is in your digest of 1 June 2026, which is still on its way to you."
    for state in Letter.OPEN:
        Letter.objects.update(state=state)
        assert answer(client, someone, paper) == said


def test_a_paper_that_another_had_is_not_hers(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    make.subscriber(interests="graph networks")
    planning.plan(NOW)
    someone = make.subscriber(interests="graph networks")
    assert answer(client, someone, paper).startswith("It will be there: place 1 of 1")


def test_a_paper_whose_letter_never_left_is_not_had(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    planning.plan(NOW)
    Pick.objects.all().delete()
    assert answer(client, someone, paper).startswith("It will be there")


@pytest.fixture
def alike():
    """Two papers on one idea, the better one first."""
    kitchen()
    return [
        make.paper("Contrastive graph networks of molecules", ABSTRACT, upvotes=9),
        make.paper("Contrastive graph networks for molecules", ABSTRACT.replace("eleven", "nine")),
    ]


def test_a_paper_that_would_be_folded_names_the_one_that_stands_for_it(client, alike):
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    leader, relative = alike
    assert answer(client, someone, leader).startswith("It will be there: place 1 of 2")
    said = answer(client, someone, relative)
    assert said.startswith(f"It is folded into “{leader.title}”, which is on the same idea")


def test_a_paper_that_was_folded_was_had(client, alike):
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    leader, relative = alike
    said = answer(client, someone, relative)
    assert said.startswith(f"You had it on 1 June 2026, folded into “{leader.title}”")


def test_a_muted_paper_names_what_mutes_it(client):
    kitchen()
    paper = make.paper("Graph networks of molecules", categories=["q-bio.BM", "cs.LG"])
    fitting.fit(NOW)
    topic = make.topic("Chemistry", query="molecule")
    someone = make.subscriber(interests="graph networks", muted=[topic])
    assert answer(client, someone, paper).startswith("You muted it: it matches “Chemistry”")
    category = make.topic("cs.lg", query="cs.lg")
    someone = make.subscriber(interests="graph networks", muted=[category])
    assert answer(client, someone, paper).startswith("You muted it: it matches “cs.lg”")
    muted_at = reverse("preferences", args=[token_of(someone)]) + "#never"
    assert f'<a href="{muted_at}">' in ask(client, someone, paper.pk).content.decode()
    assert 'id="never"' in client.get(muted_at).content.decode()


def test_a_paper_that_is_crowded_out_says_its_place(client):
    kitchen()
    for number in range(4):
        make.paper(f"Graph networks {number}")
    paper = make.paper("Graph networks of roads and lorries and towns and harbours and rivers")
    someone = make.subscriber(interests="graph networks", size=2)
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith("Others come first. It has place 5 of 5 that you could get now")
    assert "your digest holds 2" in said


def test_a_paper_that_says_the_words_in_passing_is_weak_and_below_the_floor(client):
    kitchen()
    for number in range(40):
        make.paper(f"Graph networks {number}", "We study graph networks.")
    words = " ".join(f"w{chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(120))
    paper = make.paper("Harbours of the north", f"{words}. A graph is used, and two networks.")
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith(
        "It says so only in passing. It has the words of “graph networks”, but scores"
    )
    score, floor = map(float, re.findall(r"0\.\d\d", said))
    assert score < floor == 0.15


def test_a_paper_that_lacks_words_says_which_and_of_which_topic(client):
    kitchen()
    make.paper("Graph networks")
    paper = make.paper("Graph colouring of maps")
    someone = make.subscriber(interests="medieval bread\nGraph Networks")
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith("It lacks words of your topics. The nearest is “Graph Networks”")
    assert said.endswith("it says nothing of Networks .")


@pytest.mark.parametrize("interests", ["medieval monasteries", "hep-th", "the of"])
def test_a_paper_that_has_nothing_of_her_topics_is_told_so(client, interests):
    kitchen()
    paper = make.paper("Graph networks of roads", categories=["cs.LG"])
    someone = make.subscriber(interests=interests)
    fitting.fit(NOW)
    assert answer(client, someone, paper).startswith("It has nothing of your topics")


def test_who_follows_nothing_is_told_where_a_paper_trends(client):
    kitchen(3, upvotes=1)
    hot = make.paper("Graph networks of roads", upvotes=90)
    cold = make.paper("Graph networks of cars")
    someone = make.subscriber(size=2)
    fitting.fit(NOW)
    assert answer(client, someone, hot).startswith("It will be there: place 1 of 4")
    assert answer(client, someone, cold).startswith("It has nothing of your topics")


def test_a_paper_that_is_not_new_is_told_with_its_day(client):
    kitchen()
    paper = make.paper("Graph networks", day=TODAY - 7 * DAY)
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith("It isn’t new. It was announced on 25 May 2026, and a digest holds")
    assert "the last 7 days" in said


def test_without_a_model_the_ranking_is_not_ready_and_none_is_made(client):
    paper = make.paper("Graph networks")
    someone = make.subscriber(interests="graph networks")
    assert answer(client, someone, paper).startswith("The ranking isn’t ready yet")
    assert not FittedModel.objects.exists()


def test_asking_reads_no_texts_where_there_is_an_archive(client, monkeypatch):
    kitchen()
    paper = make.paper("Graph networks")
    archive.renew(NOW)
    read, transform = [], TfidfModel.transform

    def noted(self, texts):
        read.extend(texts)
        return transform(self, texts)

    monkeypatch.setattr(TfidfModel, "transform", noted)
    someone = make.subscriber(interests="graph networks")
    for days in (7, 14):
        monkeypatch.setattr(planning, "new_to", lambda *_, days=days: (TODAY, days))
        assert answer(client, someone, paper).startswith("It will be there: place 1 of 1")
    assert read == []


def test_a_paper_that_the_archive_does_not_have_yet_is_not_judged(client):
    kitchen()
    archive.renew(NOW)
    paper = make.paper("Graph networks")
    someone = make.subscriber(interests="graph networks")
    assert answer(client, someone, paper).startswith("The ranking isn’t ready yet")
    archive.renew(NOW)
    assert answer(client, someone, paper).startswith("It will be there")


def test_a_paper_that_is_gone_meanwhile_stands_for_no_other(client, alike):
    archive.renew(NOW)
    leader, relative = alike
    leader.delete()
    someone = make.subscriber(interests="graph networks")
    assert answer(client, someone, relative).startswith("The ranking isn’t ready yet")


def test_an_unknown_paper_is_told_so_in_the_words_that_were_asked(client):
    said = answer(client, make.subscriber(), "2506.99999v2")
    assert said.startswith("No paper here has the id or the title 2506.99999v2 .")


def test_what_she_taught_speaks_in_the_answer(client):
    kitchen()
    old = [
        make.paper(f"Trout in {season}", "Trout spawn.", day=TODAY - 9 * DAY)
        for season in ("spring", "summer", "autumn")
    ]
    paper = make.paper("Trout in winter", "Trout spawn.")
    fitting.fit(NOW)
    someone = make.subscriber(interests="medieval monasteries")
    assert answer(client, someone, paper).startswith("It has nothing of your topics")
    for one in old:
        steering.say(someone, one, "more", NOW)
    steering.learn(NOW)
    assert answer(client, someone, paper).startswith("It will be there: place 1 of 1")


# ---- What else keeps a paper out


def claims_too_low_a_score(said):
    """Return whether a score is said to be less than what is wanted, and isn't."""
    numbers = re.search(r"but scores (\d\.\d\d) where (\d\.\d\d) is wanted", said)
    return bool(numbers) and float(numbers[1]) >= float(numbers[2])


@pytest.mark.parametrize(
    ("score", "floor", "said"),
    [(0.1497, 0.15, "0.14 0.15"), (0.2301, 0.2345, "0.23 0.24"), (0.07, 0.29, "0.07 0.29")],
)
def test_a_score_that_is_too_low_reads_as_less_than_what_is_wanted(score, floor, said):
    verdict = asking.told(Verdict("weak", score, floor))
    answer = {"paper": {"title": "Bread"}, "is_new": True, "verdict": verdict}
    page = render_to_string("digest/why.html", {"token": "x", "answer": answer})
    assert " ".join(re.findall(r"0\.\d\d", page)) == said
    assert not claims_too_low_a_score(" ".join(page.split()))


def test_a_paper_outside_of_the_topics_categories_is_neither_weak_nor_disliked(client):
    kitchen()
    paper = make.paper("Graph networks of roads", categories=["math.CO"])
    someone = make.subscriber(topics=[make.topic("Graph networks", categories=["cs.LG"])])
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    assert not claims_too_low_a_score(said)
    assert "wanted less of" not in said


def test_a_paper_without_the_quoted_phrase_is_told_that_its_words_are_apart(client):
    kitchen()
    paper = make.paper("Networks", "Of networks, and of no graph.")
    someone = make.subscriber(interests='"graph networks"')
    fitting.fit(NOW)
    assert planning.preview(someone, TODAY, NOW)[1] == []
    said = answer(client, someone, paper)
    assert '“"graph networks"”' in said
    assert not claims_too_low_a_score(said)
    assert "wanted less of" not in said


@pytest.mark.parametrize("has_archive", [True, False])
def test_a_withdrawn_paper_is_told_to_be_so_and_not_shown_beforehand(client, has_archive):
    kitchen()
    paper = make.paper("Graph networks of roads", is_withdrawn=True)
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    if has_archive:
        assert archive.write(NOW)
    found = editions.for_page(TODAY, 7)
    assert found.edition.withdrawn == {paper.pk}
    assert paper.pk not in {one.paper for one in planning.planned_for(someone, found)}
    assert asking.ask(someone, paper.pk, TODAY, NOW).verdict is None
    assert "Its authors have withdrawn this paper." in answer(client, someone, paper)


def test_a_paper_of_which_she_wants_less_is_told_so(client):
    kitchen()
    text = "Trout spawn in rivers of graph networks."
    old = make.paper("Trout", text, day=TODAY - 9 * DAY)
    paper = make.paper("Trout again", text)
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    assert answer(client, someone, paper).startswith("It will be there")
    steering.say(someone, old, "less", NOW)
    steering.learn(NOW)
    assert planning.preview(someone, TODAY, NOW)[1] == []
    said = answer(client, someone, paper)
    assert not claims_too_low_a_score(said)
    assert "wanted less of" in said


@pytest.mark.parametrize("stance", ["follow", "mute"])
def test_the_end_of_a_title_and_its_beginning_are_no_phrase(stance):
    kitchen()
    make.paper("Networks that are no graph", categories=["cs.LG"])
    topic = make.topic("Phrase", query='"graph networks"')
    follows = [topic] if stance == "follow" else [make.topic("All", query="", categories=["cs.LG"])]
    someone = make.subscriber(topics=follows, muted=[topic] if stance == "mute" else [])
    _, picks = planning.preview(someone, TODAY, NOW)
    assert len(picks) == (0 if stance == "follow" else 1)


def took_off(title):
    """Make a paper of some weeks ago that took off lately, among others that did not so much."""
    for number in range(5):
        rice = make.paper(f"Cooking rice {number}", "Rice and water.", day=TODAY - 9 * DAY)
        rice.observations.create(source="huggingface", day=TODAY - 9 * DAY, upvotes=1)
        rice.observations.create(source="huggingface", day=TODAY - DAY, upvotes=12)
    paper = make.paper(title, day=TODAY - 20 * DAY, upvotes=300)
    paper.observations.create(source="huggingface", day=TODAY - 9 * DAY, upvotes=5)
    paper.observations.create(source="huggingface", day=TODAY - DAY, upvotes=300)
    return paper


def test_a_paper_that_gives_its_place_to_a_second_chance_is_not_promised(client):
    took_off("Graph networks of roads")
    paper = make.paper("Graph networks of cars")
    someone = make.subscriber(interests="graph networks", size=1)
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    planning.plan(NOW)
    assert said.startswith("It will be there") == Pick.objects.filter(paper=paper).exists()


def test_a_second_chance_that_will_be_there_is_told_so(client):
    paper = took_off("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    fitting.fit(NOW)
    said = answer(client, someone, paper)
    planning.plan(NOW)
    assert Pick.objects.get().paper == paper
    assert not said.startswith("It isn’t new")


def test_a_second_chance_that_came_was_had(client):
    paper = took_off("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    said = answer(client, someone, paper)
    assert said.startswith("You had it on 1 June 2026, in place 1")
    assert "Taken off since: 300 upvotes (graph networks)" in said


def test_east_of_greenwich_what_comes_is_not_told_to_be_old(client, clock):
    kitchen()
    paper = make.paper("Graph networks of roads", day=TODAY - 6 * DAY)
    fitting.fit(NOW)
    clock.now = datetime(2026, 6, 1, 19, 30, tzinfo=UTC)  # It is 07:30 of the 2nd in Auckland.
    someone = make.subscriber(
        interests="graph networks", timezone="Pacific/Auckland", next_due_at=clock.now
    )
    said = answer(client, someone, paper)
    planning.plan(clock.now)
    assert Pick.objects.get().paper == paper
    assert said.startswith("It will be there")


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
    fitting.fit(NOW)
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


def test_papers_and_topics_that_are_markup_stay_text_in_every_answer(client):
    kitchen()
    hostile = "<script>alert(1)</script> graph networks"
    paper = make.paper(hostile)
    other = make.paper("<script>alert(2)</script> graph")
    fitting.fit(NOW)
    topic = make.topic("<script>alert(3)</script>", query="graph networks", slug="x")
    follows = make.subscriber(topics=[topic])
    lacks = make.subscriber(interests="<b>graph</b> <script>alert(4)</script>")
    mutes = make.subscriber(muted=[topic])
    pages = [ask(client, one, of.pk) for one in (follows, lacks, mutes) for of in (paper, other)]
    planning.plan(NOW)
    pages += [ask(client, one, of.pk) for one in (follows, lacks) for of in (paper, other)]
    for page in pages:
        assert page.status_code == 200
        assert "&lt;script&gt;alert" in page.content.decode()
        assert "<script>alert" not in page.content.decode()
        assert "<b>" not in page.content.decode()


def test_asking_writes_nothing_whatever_the_answer(client, alike):
    paper = make.paper("Graph networks")
    old = make.paper("Graph networks of old", day=TODAY - 30 * DAY)
    someone = make.subscriber(interests="graph networks", muted=[make.topic("rice")])
    asked = [paper.pk, old.pk, alike[0].pk, alike[1].pk, "Cooking rice 1", "unknown", ""]

    def ask_all():
        before = everything()
        for one in asked:
            assert ask(client, someone, one).status_code == 200
            url = reverse("why", args=[token_of(someone)])
            assert client.head(url, {"paper": one}).status_code == 200
        assert everything() == before

    ask_all()
    assert not FittedModel.objects.exists()
    fitting.fit(NOW)
    ask_all()
    planning.plan(NOW)
    ask_all()


def test_a_damaged_model_is_not_replaced_by_asking(client, caplog):
    kitchen()
    paper = make.paper("Graph networks")
    row = fitting.fit(NOW)
    with default_storage.open(row.name, "wb") as file:
        file.write(b"not what was stored")
    someone = make.subscriber(interests="graph networks")
    before = everything()
    assert answer(client, someone, paper).startswith("The ranking isn’t ready yet")
    assert "its checksum differs" in caplog.text
    assert everything() == before
    with default_storage.open(row.name) as file:
        assert file.read() == b"not what was stored"


def test_a_question_is_no_post(client):
    someone = make.subscriber(interests="graph networks")
    before = everything()
    url = reverse("why", args=[token_of(someone)])
    assert client.post(url, {"paper": "2506.04235"}).status_code == 405
    assert everything() == before


def test_asking_asks_few_queries_however_much_she_had(client, django_assert_max_num_queries):
    kitchen(30)
    someone = make.subscriber(interests="rice", size=20)
    planning.plan(NOW)
    paper = make.paper("More rice")
    ask(client, someone, paper.pk)
    with django_assert_max_num_queries(16):
        assert answer(client, someone, paper).startswith("It will be there")


def test_the_answer_is_that_of_the_reader_whose_link_it_is(client):
    kitchen()
    paper = make.paper("Graph networks")
    fitting.fit(NOW)
    follows, mutes = (
        make.subscriber(interests="graph networks"),
        make.subscriber(muted=[make.topic("graph")]),
    )
    assert answer(client, follows, paper).startswith("It will be there")
    assert answer(client, mutes, paper).startswith("You muted it")


def test_one_who_left_may_still_ask(client):
    kitchen()
    paper = make.paper("Graph networks")
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    Subscriber.objects.update(unsubscribed_at=NOW, next_due_at=None)
    assert answer(client, someone, paper).startswith("You had it on")
    assert Digest.objects.count() == Letter.objects.count() == 1


@pytest.mark.parametrize(
    "why_none",
    [
        {"unsubscribed_at": NOW, "next_due_at": None},
        {"suppressed_at": NOW, "suppressed_by": "bounced"},
        {"paused_until": TODAY + 9 * DAY},
        {"confirmed": False},
    ],
)
def test_who_gets_no_digest_is_promised_no_paper(client, why_none):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone, other = (make.subscriber(interests="graph networks", **one) for one in (why_none, {}))
    fitting.fit(NOW)
    told = "You get no digest at present. If one came today: It will be there"
    assert answer(client, someone, paper).startswith(told)
    assert answer(client, other, paper).startswith("It will be there")


# ---- What is logged of it


@pytest.mark.parametrize("page", ["learned", "why"])
def test_no_token_of_these_pages_is_logged(page):
    token = links.token("preferences", uuid.uuid4())
    said = f'Not Found: "GET /{page}/{token}/?paper=2506.04235 HTTP/1.1"'
    record = logging.LogRecord("test", logging.WARNING, "", 0, said, (), None)
    assert token.rpartition(".")[2] not in RedactingFormatter("%(message)s").format(record)
