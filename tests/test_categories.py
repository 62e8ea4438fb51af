"""arXiv's categories as topics."""

import pytest

from digest import planning, starter
from digest.models import Digest
from subscriptions.models import Topic
from tests import make
from tests.make import NOW

pytestmark = pytest.mark.django_db


def picked(**preferences):
    make.subscriber(**preferences)
    planning.plan(NOW)
    picks = Digest.objects.get().picks.order_by("position").select_related("paper")
    return [pick.paper.title for pick in picks], list(picks)


def category(name, **fields):
    return make.topic(f"{name}: A field", categories=[name], query="", **fields)


@pytest.fixture
def papers():
    make.paper("Knots", categories=["math.GT"])
    make.paper("Knots elsewhere", categories=["hep-th", "math.GT"], upvotes=90)
    make.paper("Strings", categories=["hep-th"])
    make.paper("Cross-listed operators", categories=["math.OA", "math-ph"])


def test_a_followed_category_brings_its_papers_the_primary_ones_first(papers):
    titles, picks = picked(topics=[category("math.GT")])
    assert titles == ["Knots", "Knots elsewhere"]
    assert picks[0].why == "math.GT: A field"


def test_a_muted_category_mutes_its_papers(papers):
    titles, _ = picked(topics=[category("math.GT")], muted=[category("hep-th")])
    assert titles == ["Knots"]


def test_names_of_one_category_are_one(papers):
    assert picked(topics=[category("math.MP")])[0] == ["Cross-listed operators"]


def test_a_topic_of_both_brings_what_its_text_finds_in_its_categories(papers):
    topic = make.topic("Knots of strings", query="knots", categories=["hep-th"])
    assert picked(topics=[topic])[0] == ["Knots elsewhere"]


def test_papers_that_were_asked_for_in_words_come_before_those_of_a_category(papers):
    titles, _ = picked(topics=[category("math.GT")], interests="strings")
    assert titles[0] == "Strings"


def test_the_starter_topics_hold_every_category_once():
    made = starter.make_topics()
    assert starter.make_topics() == 0
    assert made == Topic.objects.count()
    categories = Topic.objects.exclude(categories=[])
    assert categories.count() >= 140
    assert Topic.objects.get(slug="arxiv-cs-lg").name == "cs.LG: Machine Learning"
    assert not Topic.objects.filter(slug="arxiv-math-mp").exists()


def test_an_installation_with_topics_of_its_own_gets_the_categories():
    make.topic("Bread")
    starter.make_topics()
    assert Topic.objects.filter(categories=[]).count() == 1
    assert Topic.objects.exclude(categories=[]).count() >= 140


@pytest.mark.parametrize("address", ["/", "/subscribe/", "/topics/"])
def test_the_pages_offer_the_categories_without_more_queries(
    client, address, django_assert_max_num_queries
):
    starter.make_topics()
    with django_assert_max_num_queries(5):
        page = client.get(address).content.decode()
    assert "cs.LG: Machine Learning" in page
    assert "Computer Science" in page
