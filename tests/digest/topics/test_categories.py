"""arXiv's categories as topics."""

from itertools import groupby

import pytest
from django.core.exceptions import ValidationError

from digest.models import Digest
from digest.planning import plan
from digest.topics import starter_topics
from digest.wording import reason_of
from subscriptions.models import Topic
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.data_files import cases

CASES = cases("category_notations")

pytestmark = pytest.mark.django_db


def picked(**preferences):
    make.subscriber(**preferences)
    plan.plan(NOW)
    picks = Digest.objects.latest("pk").picks.order_by("position").select_related("paper")
    return [pick.paper.title for pick in picks], list(picks)


def category(name, **fields):
    return make.topic(f"{name}: A field", categories=[name], query="", **fields)


@pytest.fixture
def papers():
    make.paper("Knots", categories=["math.GT"])
    make.paper("Knots elsewhere", categories=["hep-th", "math.GT"], upvotes=90)
    make.paper("Strings", categories=["hep-th"])
    make.paper("Cross-listed operators", categories=["math.OA", "math-ph"])


def test_category_or_archive_is_recognized_in_arxiv_notation():
    make.paper("Bread", categories=["q-bio.BM"])
    make.paper("Machines", "On learning (cs.DC) with stat.ML.", categories=["cs.CL"])
    make.paper("Clusters", categories=["cs.DC"])
    make.paper("Control", categories=["eess.SY"])
    make.paper("Prices", categories=["q-fin.PR"])
    make.paper("Galaxies", "Not of Q-FIN.", categories=["astro-ph.GA"])
    make.paper("Statistics", categories=["stat.ML"])
    for notation, papers in CASES["notations"].items():
        titles, picks = picked(topics=[make.topic(notation)])
        assert sorted(titles) == papers
        assert {reason_of(pick) for pick in picks} == {notation}


def test_categories_can_be_followed_and_muted(papers):
    topology, strings = category("math.GT"), category("hep-th")
    titles, picks = picked(topics=[topology])
    assert titles == ["Knots", "Knots elsewhere"]  # The primary ones first.
    assert reason_of(picks[0]) == "math.GT: A field"
    assert picked(topics=[topology], muted=[strings])[0] == ["Knots"]
    # What was asked for in words comes before all of a category.
    assert picked(topics=[topology], interests="strings")[0][0] == "Strings"


def test_topic_combines_text_and_categories(papers):
    topic = make.topic("Knots of strings", query="knots", categories=["hep-th"])
    assert picked(topics=[topic])[0] == ["Knots elsewhere"]
    followed = [category("math.GT"), category("math.MP")]  # Which is math-ph.
    titles, _ = picked(topics=followed, muted=[topic])
    assert set(titles) == {"Knots", "Cross-listed operators"}


def test_a_topic_needs_words_or_a_list_of_categories():
    bread = {"name": "Bread", "slug": "bread"}
    for categories in ("cs.LG", {"cs.LG": 1}, [1], [""], [["cs.LG"]]):
        with pytest.raises(ValidationError, match="list of names"):
            Topic(query="bread", categories=categories, **bread).full_clean()
    with pytest.raises(ValidationError, match="needs a query"):
        Topic(categories=None, **bread).full_clean()
    Topic(categories=["cs.LG"], **bread).full_clean()


@pytest.mark.parametrize("sources", [None, []])
def test_starter_topics_contain_every_category_once(settings, sources):
    settings.SOURCES = sources  # Without sources, papers are imported from files.
    make.topic("Computer bread", categories=["cs.LG"], query="", description="Ours")
    made = starter_topics.make_topics()
    assert starter_topics.make_topics() == 0
    assert made == Topic.objects.count() - 1
    assert Topic.objects.exclude(categories=[]).count() > 140
    assert Topic.objects.get(slug="arxiv-cs-lg").name == "cs.LG: Machine Learning"
    assert not Topic.objects.filter(slug="arxiv-math-mp").exists()
    headings = [
        heading for heading, _ in groupby(t.description for t in Topic.objects.of_categories())
    ]
    assert len(headings) == len(set(headings)) == 11
    assert Topic.objects.by_subject().filter(name="Computer bread").exists()
