"""A reader's own feed: the papers of her digests, for whoever has its address."""

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
def reader():
    make.paper(ODD, "Of roads.", categories=["cs.LG"])
    made = make.subscriber(interests="graphs", language="de", timezone="Asia/Tokyo")
    plan.plan(NOW)
    return made


def test_a_readers_feed_has_the_papers_of_her_digests(client, reader):
    assert not texts(feed_of(client, feed_path(reader)), "a:entry")  # Her letter comes first.
    Letter.objects.update(state="accepted", ended_at=NOW)
    feed = feed_of(client, feed_path(reader))
    assert texts(feed, "a:entry/a:title/text()") == [ODD]
    assert "graphs" in texts(feed, "a:entry/a:summary/text()")[0]
    assert texts(feed, "a:title/text()") == ["Ihre Artikel · Paperboy"]
    other = make.subscriber("other@example.org")
    assert not texts(feed_of(client, feed_path(other)), "a:entry")
    response = client.get(feed_path(reader))
    assert "no-store" in response["Cache-Control"]
    assert response["X-Robots-Tag"] == "noindex, nofollow"


def test_a_readers_feed_stays_as_it_is_whatever_she_changes_of_her_hour(client, reader):
    Letter.objects.update(state="accepted", ended_at=NOW)
    before = client.get(feed_path(reader)).content
    preferences.change(reader, None, {"timezone": "Pacific/Honolulu", "hour": 23}, now=NOW)
    assert client.get(feed_path(reader)).content == before
    (updated,) = texts(feed_of(client, feed_path(reader)), "a:updated/text()")
    assert datetime.fromisoformat(updated) == NOW


def test_each_readers_feed_has_an_id_of_its_own_that_opens_nothing(client, reader):
    other = make.subscriber("other@example.org")
    ids = [texts(feed_of(client, feed_path(one)), "a:id/text()")[0] for one in (reader, other)]
    assert ids[0] != ids[1]
    assert tokens.token("feed", reader.public_id) not in ids[0]


def test_a_readers_feed_ends_with_her(client, reader):
    path = feed_path(reader)
    signup.unsubscribe(reader.public_id, source=signup.ConsentSource("test"), now=NOW)
    assert client.get(path).status_code == 200
    erase.erase(reader, now=NOW)
    assert client.get(path).status_code == 410
    assert client.get(path.replace("/feeds/", "/feeds/x")).status_code == 404
    assert client.post(path).status_code == 405
