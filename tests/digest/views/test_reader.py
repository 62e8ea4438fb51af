"""The pages that a subscriber's links open."""

import re

import lxml.html
import pytest
from django.db import OperationalError, connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.urls import reverse

from digest.models import Digest, Pick
from digest.operations import health
from digest.planning import plan
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW
from tests.helpers.pages import text_of, web_copy_of

pytestmark = pytest.mark.django_db


def test_web_copy_has_papers_and_reasons(client):
    make.paper("Graph networks of roads <script>alert(1)</script>", "<img src=x onerror=alert(1)>")
    make.subscriber(interests="road networks of graphs, bread")
    plan.plan(NOW)
    response = client.get(web_copy_of(Digest.objects.get()))
    page = response.content.decode()
    assert "Graph networks of roads &lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<mark>road networks of graphs</mark>" in page
    assert "no-store" in response["Cache-Control"]


@pytest.fixture
def sent():
    """A subscriber with three digests that were sent, of which one has lost its paper."""
    subscriber = make.subscriber(interests="roads")
    for number in range(4):
        moment = NOW + number * DAY
        make.paper(f"Roads {number}", day=moment.date())
        plan.plan(moment)
        if number < 3:  # The last is not on its way yet.
            Letter.objects.update(state="accepted", left_at=moment, ended_at=moment)
    Pick.objects.filter(paper__title="Roads 1").delete()
    return subscriber


def own_page(name, subscriber):
    return reverse(name, args=[tokens.own_token("preferences", subscriber)])


def test_personal_page_shows_latest_sent_digest(client, sent):
    page = client.get(own_page("me", sent))
    assert "Roads 2" in text_of(page)
    assert "no-store" in page["Cache-Control"]
    listed = lxml.html.fromstring(client.get(own_page("history", sent)).content)
    rows = listed.xpath("//main//ul[contains(@class, 'titles')]/li")
    assert [re.search(r"Roads \d", row.text_content())[0] for row in rows] == ["Roads 2", "Roads 0"]
    link = rows[1].xpath(".//a/@href")[0]
    assert "Roads 0" in text_of(client.get(link))
    assert "Roads 2" in text_of(client.get(own_page("me", sent), {"day": "x"}))


def test_digest_link_reveals_no_personal_page(client, sent):
    page = client.get(web_copy_of(Digest.objects.last())).content.decode()
    assert tokens.own_token("preferences", sent) not in page
    for name in ("me", "history"):
        for purpose in ("digest", "feedback"):
            url = reverse(name, args=[tokens.own_token(purpose, sent)])
            assert client.get(url).status_code == 404


def test_healthz_is_ready_and_live(client):
    assert client.get("/healthz/").json() == {"status": "ready", "reasons": [], "degraded": []}
    assert client.get("/healthz/live/").status_code == 200


def test_health_is_503_when_migrations_are_missing(client, monkeypatch):
    ours = health.migrations_of_this_version() | {("digest", "9999_of_the_next_version")}
    monkeypatch.setattr(health, "migrations_of_this_version", lambda: ours)
    response = client.get("/healthz/")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["1 migration is missing: run `manage.py upgrade`."]


def test_health_ignores_migrations_of_next_version(client, monkeypatch):
    client.get("/healthz/")
    load = MigrationLoader.load_disk

    def with_more(loader):
        load(loader)
        more = Migration("9999_of_the_next_version", "digest")
        loader.disk_migrations["digest", more.name] = more

    monkeypatch.setattr(MigrationLoader, "load_disk", with_more)
    assert client.get("/healthz/").status_code == 200


def test_health_is_503_without_naming_database_host(client):
    def refuse(*args):
        raise OperationalError("connection to server at 10.0.0.7 failed")

    with connection.execute_wrapper(refuse):
        response = client.get("/healthz/")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["The database does not answer (OperationalError)."]
