"""A subscriber's own feed: the papers of their digests, for whoever has its address."""

import lxml.etree
import pytest

from digest.indexing import index_store
from digest.models import Paper
from digest.planning import plan
from subscriptions.actions import erase, signup
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.explanations import background_papers
from tests.factories.make import DAY, NOW
from tests.helpers.visits import ODD, feed_of, feed_path, texts

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber():
    make.paper(ODD, make.about("graphs of roads"), categories=["cs.LG"])
    background_papers()
    made = make.subscriber(interests="graphs", language="de", timezone="Asia/Tokyo")
    plan.plan(NOW)
    return made


def test_feed_has_papers_of_sent_digests(client, subscriber):
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


def test_feed_id_is_unique_and_opens_nothing(client, subscriber):
    other = make.subscriber("other@example.org")
    ids = [texts(feed_of(client, feed_path(one)), "a:id/text()")[0] for one in (subscriber, other)]
    assert ids[0] != ids[1]
    assert tokens.token("feed", subscriber.public_id) not in ids[0]


def test_feed_ends_when_subscriber_is_erased(client, subscriber):
    path = feed_path(subscriber)
    signup.unsubscribe(subscriber.public_id, source=signup.ConsentSource("test"), now=NOW)
    assert client.get(path).status_code == 200
    erase.erase(subscriber, now=NOW)
    assert client.get(path).status_code == 410
    assert client.get(path.replace("/feeds/", "/feeds/x")).status_code == 404
    assert client.post(path).status_code == 405


# ---- JSON Feed


FEED = "version title description home_page_url feed_url language authors items"
ITEM = "id url title content_html content_text date_published date_modified authors tags"


def pairs(subscriber):
    """Return the addresses of each feed, as Atom and as JSON Feed."""
    found = ["/topics/graphs/feed/", "/search/feed/", feed_path(subscriber)]
    return [(path, f"{path}json/") for path in found]


def test_json_feed_equals_atom_feed(client, subscriber):
    make.topic("Graphs", description="Roads & more.")
    make.paper("Old graphs", day=NOW.date() - DAY, id="biorxiv:10.1101/1")
    Paper.objects.filter(title=ODD).update(authors=["Ada", "Bo"])
    index_store.renew(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW)
    for atom_path, json_path in pairs(subscriber):
        params = {"q": "graphs"} if "search" in atom_path else {}
        atom = lxml.etree.fromstring(client.get(atom_path, params).content)
        response = client.get(json_path, params)
        assert response["Content-Type"] == "application/feed+json; charset=utf-8"
        assert response["Last-Modified"] == client.get(atom_path, params)["Last-Modified"]
        feed = response.json()
        assert feed.keys() == set(FEED.split())
        assert feed["version"] == "https://jsonfeed.org/version/1.1"
        assert {item.keys() == set(ITEM.split()) for item in feed["items"]} == {True}
        assert [feed["title"]] == texts(atom, "a:title/text()")
        assert [feed["home_page_url"]] == texts(atom, "a:link[@rel='alternate']/@href")
        assert client.get(feed["feed_url"]).content == response.content
        for name, path in {
            **{"id": "a:id/text()", "title": "a:title/text()", "url": "a:link/@href"},
            **{"date_published": "a:published/text()", "date_modified": "a:updated/text()"},
            "content_html": "a:summary/text()",
        }.items():
            assert [item[name] for item in feed["items"]] == texts(atom, f"a:entry/{path}"), name
        odd = next(item for item in feed["items"] if item["title"] == ODD)
        assert odd["tags"] == ["cs.LG"]
        assert odd["content_text"].endswith("limits and uses.")
        assert "<" not in odd["content_text"]
        assert odd["authors"] == [{"name": "Ada"}, {"name": "Bo"}]


def test_json_feed_escapes_special_characters(client):
    make.topic("Graphs")
    abstract = f'If a < b & c > d, "graphs" &amp; <b>. {make.about("graphs")}'
    make.paper(ODD, abstract)
    index_store.renew(NOW)
    (item,) = client.get("/topics/graphs/feed/json/").json()["items"]
    assert item["title"] == ODD
    assert item["content_text"] == abstract
    assert item["content_html"].startswith("<p>If a &lt; b &amp; c &gt; d, ")
