"""A subscriber's own feed: the papers of their digests, for whoever has its address."""

from datetime import datetime

import pytest

from digest.planning import plan
from subscriptions.actions import erase, preferences, signup
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.visits import ODD, feed_of, feed_path, texts

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber():
    make.paper(ODD, "Of roads.", categories=["cs.LG"])
    made = make.subscriber(interests="graphs", language="de", timezone="Asia/Tokyo")
    plan.plan(NOW)
    return made


def test_a_subscribers_feed_has_the_papers_of_their_digests(client, subscriber):
    assert not texts(feed_of(client, feed_path(subscriber)), "a:entry")  # Their letter comes first.
    Letter.objects.update(state="accepted", ended_at=NOW)
    feed = feed_of(client, feed_path(subscriber))
    assert texts(feed, "a:entry/a:title/text()") == [ODD]
    assert "graphs" in texts(feed, "a:entry/a:summary/text()")[0]
    assert texts(feed, "a:title/text()") == ["Ihre Artikel · Paperboy"]
    other = make.subscriber("other@example.org")
    assert not texts(feed_of(client, feed_path(other)), "a:entry")
    response = client.get(feed_path(subscriber))
    assert "no-store" in response["Cache-Control"]
    assert response["X-Robots-Tag"] == "noindex, nofollow"


def test_a_subscribers_feed_does_not_change_with_their_hour(client, subscriber):
    Letter.objects.update(state="accepted", ended_at=NOW)
    before = client.get(feed_path(subscriber)).content
    preferences.change(subscriber, None, {"timezone": "Pacific/Honolulu", "hour": 23}, now=NOW)
    assert client.get(feed_path(subscriber)).content == before
    (updated,) = texts(feed_of(client, feed_path(subscriber)), "a:updated/text()")
    assert datetime.fromisoformat(updated) == NOW


def test_each_subscribers_feed_has_an_id_of_its_own_that_opens_nothing(client, subscriber):
    other = make.subscriber("other@example.org")
    ids = [texts(feed_of(client, feed_path(one)), "a:id/text()")[0] for one in (subscriber, other)]
    assert ids[0] != ids[1]
    assert tokens.token("feed", subscriber.public_id) not in ids[0]


def test_a_feed_ends_when_its_subscriber_is_erased(client, subscriber):
    path = feed_path(subscriber)
    signup.unsubscribe(subscriber.public_id, source=signup.ConsentSource("test"), now=NOW)
    assert client.get(path).status_code == 200
    erase.erase(subscriber, now=NOW)
    assert client.get(path).status_code == 410
    assert client.get(path.replace("/feeds/", "/feeds/x")).status_code == 404
    assert client.post(path).status_code == 405
