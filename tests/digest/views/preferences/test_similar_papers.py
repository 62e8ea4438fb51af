"""New papers like those that the subscriber likes, on the page of what was learned."""

import lxml.html
import pytest
from django.urls import reverse

from digest.indexing import model_store
from digest.models import Paper
from digest.personalization import feedback, library
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW, SECOND, TODAY
from tests.factories.themes import MOLECULES, ROADS, others, theme

pytestmark = pytest.mark.django_db

PAST = TODAY - 20 * DAY


@pytest.fixture
def roads():
    """Papers of last month, and today's of two themes. Return those on roads, today's last."""
    others(day=PAST)
    theme(MOLECULES, 0, 6, day=PAST)
    theme(MOLECULES, 6, 7)
    known, new = theme(ROADS, 0, 6, day=PAST), theme(ROADS, 6, 7)
    model_store.fit(NOW)
    return known + new


@pytest.fixture
def subscriber():
    return make.subscriber(interests="graph neural networks")


def like(subscriber, *papers):
    for number, paper in enumerate(papers):
        feedback.record(subscriber, paper, "more", NOW + number * SECOND)
    feedback.learn(NOW + MINUTE)


def part_of(client, subscriber):
    """Return the part of the page, None where there is none."""
    token = tokens.token("preferences", subscriber.public_id)
    page = lxml.html.fromstring(client.get(reverse("learned", args=[token])).content)
    return next(iter(page.xpath("//section[@aria-labelledby='alike']")), None)


def titles_of(part):
    return {link.text for link in part.xpath(".//li/a")}


def are_new(titles, roads):
    return bool(titles) and titles <= {paper.title for paper in roads[6:]}


def words_of(part):
    return " ".join(part.text_content().split())


def test_similar_new_papers_are_shown_with_reason(client, roads, subscriber):
    like(subscriber, *roads[:3])
    part = part_of(client, subscriber)
    assert are_new(titles_of(part), roads)
    assert all("what you" in why.text_content() for why in part.xpath(".//mark"))
    link = part.xpath(".//li/a")[0]
    assert client.get(link.get("href")).status_code == 200


def test_papers_with_feedback_are_not_new_to_the_subscriber(client, roads, subscriber):
    like(subscriber, *roads[:3])
    first, *_ = titles_of(part_of(client, subscriber))
    like(subscriber, Paper.objects.get(title=first))
    second, *others = titles_of(part_of(client, subscriber))
    assert first not in [second, *others]
    library.add(subscriber, second, NOW)
    assert titles_of(part_of(client, subscriber)) == {*others}


def test_one_liked_paper_is_enough(client, roads, subscriber):
    like(subscriber, roads[0])
    assert are_new(titles_of(part_of(client, subscriber)), roads)
