"""Which papers go into a digest, and why."""

from datetime import timedelta

import pytest

from digest.indexing import model_store
from digest.models import Paper, Pick
from digest.planning import plan
from tests.factories import make
from tests.factories.make import NOW
from tests.factories.planning import DAY, TODAY, digests, papers_about, titles

pytestmark = pytest.mark.django_db


def test_a_digest_has_the_papers_about_the_topic_and_no_other():
    papers_about("graph neural networks", 4)
    make.subscriber(interests="graph neural networks")

    assert plan.plan(NOW).letters == 1

    (digest,) = digests()
    assert len(titles(digest)) == 4
    assert all(title.startswith("graph neural networks") for title in titles(digest))


def test_every_pick_says_the_topic_and_the_words_that_weighed_most():
    papers_about("graph neural networks", 2)
    make.subscriber(interests="graph neural networks")
    plan.plan(NOW)

    pick = Pick.objects.first()
    assert pick.basis == "topic"
    assert pick.topic_name == "graph neural networks"
    assert pick.terms == ["graph neural networks"]


def test_a_topic_that_nothing_matches_gets_no_filler():
    papers_about("graphs", 5)
    make.subscriber(interests="medieval monasteries")
    plan.plan(NOW)
    assert titles(digests()[0]) == []


@pytest.mark.parametrize("text", ["", "the of and to", "$$$ ### 123", "…"])
def test_a_corpus_without_words_breaks_nothing(text):
    for number in range(3):
        make.paper(text or "?", text, day=TODAY - timedelta(days=number))
    make.subscriber(interests="graphs")
    make.subscriber(interests="the of")
    assert plan.plan(NOW).letters == 2


def test_no_papers_at_all_break_nothing():
    make.subscriber(interests="graphs")
    make.subscriber()
    assert plan.plan(NOW).letters == 2
    assert len(model_store.current(NOW).days_) == 0


def test_who_follows_nothing_gets_what_trends_most_upvotes_first():
    make.paper("Cold", upvotes=1)
    make.paper("Hot", upvotes=90)
    make.paper("Unknown")
    make.subscriber()
    plan.plan(NOW)

    (digest,) = digests()
    assert titles(digest) == ["Hot", "Cold"]
    assert digest.picks.first().why == "Trending: 90 upvotes"


def test_an_older_paper_needs_more_upvotes_to_trend():
    make.paper("Of last week", upvotes=20, day=TODAY - timedelta(days=6))
    make.paper("Of today", upvotes=12)
    make.subscriber()
    plan.plan(NOW)
    assert titles(digests()[0]) == ["Of today", "Of last week"]


def test_where_nobody_votes_who_follows_nothing_gets_the_newest_of_all_fields():
    for number in range(4):
        make.paper(f"AI {number}", categories=["cs.AI"])
    make.paper("Knots", categories=["math.GT"])
    make.paper("Old", categories=["hep-th"], day=TODAY - timedelta(days=3))
    make.subscriber(size=2)
    plan.plan(NOW)
    assert titles(digests()[0]) == ["AI 0", "Knots"]


def test_a_muted_word_never_appears():
    make.paper("Graph networks for molecules")
    make.paper("Graph networks for roads")
    reader = make.subscriber(interests="graph networks")
    reader.preferences.create(topic=make.topic("molecule"), stance="mute")
    plan.plan(NOW)
    assert titles(digests()[0]) == ["Graph networks for roads"]


def test_papers_older_than_a_week_are_not_new():
    make.paper("Graphs of old", day=TODAY - timedelta(days=8))
    make.paper("Graphs of the week", day=TODAY - timedelta(days=7))
    make.subscriber(interests="graphs")
    plan.plan(NOW)
    assert titles(digests()[0]) == ["Graphs of the week"]


def test_a_paper_that_its_authors_have_withdrawn_goes_into_no_digest():
    make.paper("Bread", "Of the bread.", upvotes=9)
    gone = make.paper("Bread, withdrawn", "Of the bread again.", upvotes=99, is_withdrawn=True)
    for interests in ("bread", ""):
        _, picks = plan.preview(make.subscriber(interests=interests), TODAY, NOW)
        assert [pick.paper.title for pick in picks] == ["Bread"]
    Paper.objects.filter(pk=gone.pk).update(is_withdrawn=False, changed_at=NOW + DAY)
    _, picks = plan.preview(make.subscriber(interests="bread"), TODAY, NOW)
    assert len(picks) == 2


def test_a_withdrawn_paper_stays_out_for_who_had_others():
    make.paper("Bread", "Of the bread.")
    someone = make.subscriber(interests="bread")
    plan.plan(NOW)
    make.paper("More bread", "Of the bread again.", day=TODAY + DAY)
    make.paper("Bread, withdrawn", "Of the bread.", day=TODAY + DAY, is_withdrawn=True)
    _, picks = plan.preview(someone, TODAY + DAY, NOW + DAY)
    assert [pick.paper.title for pick in picks] == ["More bread"]


def test_a_reason_of_a_word_and_a_letter_or_number_is_her_topic_and_no_word_besides():
    make.paper("T cells", "Of the T cells of mice.")
    make.paper("Llama 3", "Of Llama 3 and mice.")
    for line in ("T cells", "T-cells", "Llama3", "Llama 3"):
        _, picks = plan.preview(make.subscriber(interests=f"{line}\nbread"), TODAY, NOW)
        assert [pick.why for pick in picks] == [line]
