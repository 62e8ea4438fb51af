"""Pages for everyone: made once for all who ask, and with few queries."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from digest.indexing import index_store
from digest.models import PaperEvent
from digest.planning import plan
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.visits import TODAY, feed_path, search, titles

pytestmark = pytest.mark.django_db


# ---- What is the same for all


def test_page_is_rendered_once_for_all_visitors(client, kept, django_assert_num_queries):
    paper = make.paper("Graphs of roads")
    path = paper.get_absolute_url()
    first = client.get(path)
    with django_assert_num_queries(0):
        again = client.get(f"{path}?utm_source=x", headers={"cookie": "sessionid=x"})
        assert client.get(path, headers={"if-none-match": first["ETag"]}).status_code == 304
        assert client.head(path).status_code == 200
    assert again.content == first.content
    assert again["Cache-Control"] == "max-age=60"
    german = client.get(path, headers={"accept-language": "de"})
    assert [b'<html lang="de"' in page.content for page in (german, first)] == [True, False]


def test_different_pages_are_cached_separately(client, kept):
    make.paper("Graphs of roads")
    index_store.renew(NOW)
    assert titles(search(client, "graphs"))
    assert not titles(search(client, "bread"))
    assert not titles(search(client, "graphs", page=2))
    assert client.get("/papers/nothing/").status_code == 404
    paper = make.paper(id="nothing")
    assert client.get(paper.get_absolute_url()).status_code == 200
    search(client, "x" * 2_000)
    search(client, "graphs", page="2&page=")  # An address of one is no other's.
    assert "“graphs&page=2”" in search(client, "graphs&page=2").findtext(".//title")


# ---- What search engines get


def test_page_queries_do_not_grow_with_content(client):
    make.topic("Graphs", slug="graphs")
    make.topic("cs.LG", slug="arxiv-cs-lg", categories=["cs.LG"], query="")
    for n in range(15):
        fields = {"categories": ["cs.LG"], "authors": ["Ada Example"]}
        paper = make.paper(f"Graphs of roads {n}", "Roads.", **fields)
        PaperEvent.objects.create(paper=paper, kind="revised", note=f"version {n}", at=NOW)
    index_store.renew(NOW)
    subscriber = make.subscriber(interests="graphs", size=15)
    plan.plan(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW)
    most = {
        paper.get_absolute_url(): 5,
        "/topics/graphs/": 4,
        "/topics/arxiv-cs-lg/feed/": 6,
        f"/days/{TODAY}/": 4,
        "/search/?q=graphs": 3,
        "/search/?q=2606.00001": 3,
        "/search/?q=ada+example&page=2": 3,
        feed_path(subscriber): 3,
        "/sitemap.xml": 8,
        "/": 10,
        "/sitemap-papers.xml": 3,
    }
    for path, count in most.items():
        client.get(path)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(path).status_code == 200
        assert len(queries) <= count, path
