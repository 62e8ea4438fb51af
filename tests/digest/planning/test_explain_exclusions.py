"""What else keeps a paper out of a digest, as its reader is told who asks."""

import re
from datetime import UTC, datetime

import pytest
from django.template.loader import render_to_string

from digest.indexing import candidates, index_store, model_store
from digest.models import Pick
from digest.personalization import feedback
from digest.planning import explain, plan, selection
from digest.ranking.diagnosis import Verdict
from tests.factories import make
from tests.factories.explanations import answer, kitchen
from tests.factories.make import NOW
from tests.factories.planning import DAY, TODAY, TOOK_OFF, crowd, older

pytestmark = pytest.mark.django_db


def claims_too_low_a_score(said):
    """Return whether a score is said to be less than what is wanted, and isn't."""
    numbers = re.search(r"with (\d\.\d\d) points where (\d\.\d\d) are wanted", said)
    return bool(numbers) and float(numbers[1]) >= float(numbers[2])


@pytest.mark.parametrize(
    ("score", "cut", "said"),
    [(3.8997, 3.9, "3.89 3.90"), (3.7301, 3.7345, "3.73 3.74"), (1.07, 4.29, "1.07 4.29")],
)
def test_a_score_that_is_too_low_reads_as_less_than_what_is_wanted(score, cut, said):
    verdict = explain.for_display(Verdict("weak", score, cut))
    answer = {"paper": {"title": "Bread"}, "is_new": True, "verdict": verdict}
    page = render_to_string("digest/why.html", {"token": "x", "answer": answer})
    assert " ".join(re.findall(r"\d\.\d\d", page)) == said
    assert not claims_too_low_a_score(" ".join(page.split()))


def test_a_whole_abstract_as_a_topic_is_named_by_its_beginning():
    abstract = "We study how agents that call tools learn to plan far ahead. " * 3
    verdict = explain.for_display(Verdict("weak", topic=abstract))
    assert verdict.topic == "We study how agents that call tools learn to plan far…"


def test_a_paper_outside_of_the_topics_categories_is_neither_weak_nor_disliked(client):
    kitchen()
    paper = make.paper("Graph networks of roads", categories=["math.CO"])
    someone = make.subscriber(topics=[make.topic("Graph networks", categories=["cs.LG"])])
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    assert not claims_too_low_a_score(said)
    assert "wanted less of" not in said


def test_a_paper_without_the_quoted_phrase_is_told_that_its_words_are_apart(client):
    kitchen()
    paper = make.paper("Networks", "Of networks, and of no graph.")
    someone = make.subscriber(interests='"graph networks"')
    model_store.fit(NOW)
    assert plan.preview(someone, TODAY, NOW)[1] == []
    said = answer(client, someone, paper)
    assert '“"graph networks"”' in said
    assert not claims_too_low_a_score(said)
    assert "wanted less of" not in said


@pytest.mark.parametrize("has_archive", [True, False])
def test_a_withdrawn_paper_is_told_to_be_so_and_not_shown_beforehand(client, has_archive):
    kitchen()
    paper = make.paper("Graph networks of roads", is_withdrawn=True)
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    if has_archive:
        assert index_store.write(NOW)
    found = candidates.announced(model_store.in_use(), TODAY)
    assert found.papers.withdrawn == {paper.pk}
    assert paper.pk not in {one.paper for one in selection.planned_for(someone, found, None)}
    assert explain.explain(someone, paper.pk, TODAY, NOW).verdict is None
    assert "Its authors have withdrawn this paper." in answer(client, someone, paper)


def test_a_paper_of_which_she_wants_less_is_told_so(client):
    kitchen()
    text = "Trout spawn in rivers of graph networks."
    old = make.paper("Trout", text, day=TODAY - 9 * DAY)
    paper = make.paper("Trout again", text)
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    assert answer(client, someone, paper).startswith("It will be there")
    feedback.record(someone, old, "less", NOW)
    feedback.learn(NOW)
    assert plan.preview(someone, TODAY, NOW)[1] == []
    said = answer(client, someone, paper)
    assert not claims_too_low_a_score(said)
    assert "wanted less of" in said


def test_a_paper_that_gives_its_place_to_a_second_chance_is_not_promised(client):
    crowd()
    older("Graph networks of roads", TOOK_OFF)
    make.paper("Graph networks")
    paper = make.paper("Graph networks of cars")
    someone = make.subscriber(interests="graph networks", size=2)
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    plan.plan(NOW)
    assert said.startswith("It will be there") == Pick.objects.filter(paper=paper).exists()


def test_a_second_chance_that_will_be_there_is_told_so(client):
    crowd()
    paper = older("Graph networks of roads", TOOK_OFF)
    make.paper("Graph networks of cars")
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    plan.plan(NOW)
    assert Pick.objects.get(group="missed").paper == paper
    assert said.startswith("It will be there, as a second chance")


def test_east_of_greenwich_what_comes_is_not_told_to_be_old(client, clock):
    kitchen()
    paper = make.paper("Graph networks of roads", day=TODAY - 6 * DAY)
    model_store.fit(NOW)
    clock.now = datetime(2026, 6, 1, 19, 30, tzinfo=UTC)  # It is 07:30 of the 2nd in Auckland.
    someone = make.subscriber(
        interests="graph networks", timezone="Pacific/Auckland", next_due_at=clock.now
    )
    said = answer(client, someone, paper)
    plan.plan(clock.now)
    assert Pick.objects.get().paper == paper
    assert said.startswith("It will be there")
