"""What the ranking is told of a reader: what she follows and mutes, and what was learned."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from digest.models import Pick
from digest.personalization import feedback
from digest.personalization.profiles import profiles_of, to_interest
from digest.planning import plan
from subscriptions.actions import preferences
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.feedback import DAY, reader, say, taught, two_themes, words_of
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db

world = pytest.fixture(two_themes)


@pytest.mark.parametrize("said", ["cs.LG", "  Cs.Lg "])
def test_a_line_that_names_a_category_follows_it(said):
    inside = make.paper("Bread", categories=["cs.AI", "cs.LG"])
    make.paper("Cake", categories=["math.GT"])
    make.paper("On the words cs and LG", categories=["math.GT"])
    someone = make.subscriber()
    preferences.change(someone, TopicSelection(interests=[said]), {}, now=NOW)
    plan.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [inside]
    assert profiles_of([someone])[0].follows[0].categories == ("cs.LG",)


@pytest.mark.parametrize("said", ["cs.LG", "cs.lg"])
def test_a_muted_line_that_names_a_category_mutes_it(said):
    make.paper("Graphs of roads", categories=["cs.AI", "cs.LG"])
    outside = make.paper("Graphs of cars", categories=["cs.AI"])
    someone = make.subscriber()
    wishes = TopicSelection(interests=["graphs"], muted_interests=[said])
    preferences.change(someone, wishes, {}, now=NOW)
    plan.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [outside]


def test_the_other_name_of_a_category_and_a_closed_archive_mean_the_one_that_counts():
    systems = make.paper("Control", categories=["eess.SY", "cs.SY"])
    language = make.paper("Verbs", categories=["cs.CL"])
    make.subscriber(interests="cs.sy\ncmp-lg")
    plan.plan(NOW)
    assert {pick.paper for pick in Pick.objects.all()} == {systems, language}


def test_words_that_only_hold_a_category_are_words():
    make.paper("Bread", categories=["cs.LG"])
    said = make.paper("Why cs.LG papers grow", categories=["cs.DL"])
    make.subscriber(interests='"cs.LG papers"')
    plan.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [said]


def test_a_topic_keeps_its_categories_though_its_words_name_another():
    topic = make.topic("Learning", query="cs.LG", categories=["math.GT"])
    assert to_interest(topic).categories == ("math.GT",)


def test_profiles_ask_the_same_number_of_queries_however_many_they_are(world):
    muted = make.topic("bread")
    counts = []
    for size in (1, 10, 20):
        subscribers = [reader(muted=[muted]) for _ in range(size)]
        for number, one in enumerate(subscribers[:10]):
            say(one, "more", world["roads"][number % 6])
        feedback.learn(NOW + DAY)
        with CaptureQueriesContext(connection) as queries:
            profiles = profiles_of(subscribers)
        counts.append(len(queries))
        assert [len(one.follows) + len(one.mutes) for one in profiles] == [2] * size
        assert [one.learned is not None for one in profiles] == [n < 10 for n in range(size)]
    assert counts == [3, 3, 3]


def test_a_profile_leaves_out_what_was_learned_of_one_who_switched_it_off(world):
    on, off = (taught(reader(), "more", world["roads"][0]) for _ in range(2))
    Subscriber.objects.filter(pk=off.pk).update(learns=False)
    off.refresh_from_db()
    assert words_of(off)
    assert [one.learned is not None for one in profiles_of([on, off])] == [True, False]
    assert profiles_of([off])[0].learned is None
