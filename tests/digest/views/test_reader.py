"""The pages of the upper room."""

import re
from datetime import timedelta

import lxml.html
import pytest
from django.db import OperationalError, connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from digest.models import Digest, Pick
from digest.operations import health
from digest.planning import plan
from digest.views import preference_panels
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.pages import web_copy_of

pytestmark = pytest.mark.django_db


def test_the_topics_page_counts_who_follows(client):
    topic = make.topic("Bread")
    for told in ({"topics": [topic]}, {"topics": [topic]}, {"muted": [topic]}):
        make.subscriber(**told)
    make.subscriber(topics=[topic], confirmed=False)
    assert [t.followers for t in client.get("/topics/").context["subjects"]] == [2]


def test_the_web_copy_has_the_papers_of_the_letter_and_their_reasons(client):
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


def test_each_link_of_a_paper_says_of_which_it_is_to_who_hears_the_links_alone(client):
    for name in ("Graph networks of roads", "Graph networks & rivers"):
        make.paper(name)
    make.subscriber(interests="graph networks")
    plan.plan(NOW)
    page = client.get(web_copy_of(Digest.objects.get())).content
    links = lxml.html.fromstring(page).xpath("//main//li//a")
    names = [link.get("aria-label") or link.text_content() for link in links]
    assert len(set(names)) == len(names) == 2 * 5  # Its title, its like, more, less and save.
    assert "Less like this: Graph networks & rivers" in names


@pytest.fixture
def history(client):
    """Return a function that sends digests on so many days, and returns how they are listed."""

    def history(count):
        reader = make.subscriber(interests="roads")
        for number in range(count + 1):
            moment = NOW + timedelta(days=number)
            make.paper(f"Roads {number}", day=moment.date())
            plan.plan(moment)
            if number < count:  # The last is not on its way yet.
                Letter.objects.update(state="accepted", left_at=moment, ended_at=moment)
        Pick.objects.filter(paper__title="Roads 3").delete()
        page = lxml.html.fromstring(client.get(tokens.preferences_url(reader)).content)
        (listed,) = page.xpath("//section[@aria-labelledby='history']")
        return listed

    return history


def titles(listed):
    return [re.search(r"Roads \d", row.text_content())[0] for row in listed.iter("li")]


def test_her_preferences_lead_to_the_digests_that_were_sent_the_latest_first(client, history):
    listed = history(2)
    assert titles(listed) == ["Roads 1", "Roads 0"]
    assert b"Roads 1" in client.get(listed.xpath(".//li//a/@href")[0]).content


@pytest.mark.parametrize("most", [2, 3])
def test_of_older_digests_the_year_is_told_and_whether_some_are_not_listed(
    monkeypatch, history, most
):
    """One of which nothing is left is never listed."""
    monkeypatch.setattr(preference_panels, "MAX_DIGESTS", most)
    monkeypatch.setattr(preference_panels, "SHOWN", 1)
    listed = history(4)
    assert titles(listed) == ["Roads 2", "Roads 1", "Roads 0"][:most]
    years = [day.text.endswith("2026") for day in listed.iter("time")]
    assert years == [False, True, True][:most]
    assert ("Those before are not listed." in listed.text_content()) is (most == 2)


def test_healthz_is_ready_and_live(client):
    assert client.get("/healthz/").json() == {"status": "ready", "reasons": [], "degraded": []}
    assert client.get("/healthz/live/").status_code == 200


def test_healthz_says_503_and_why_where_migrations_wait(client, monkeypatch):
    ours = health.migrations_of_this_version() | {("digest", "9999_of_the_next_version")}
    monkeypatch.setattr(health, "migrations_of_this_version", lambda: ours)
    response = client.get("/healthz/")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["1 migration waits: run `manage.py upgrade`."]


def test_healthz_stays_well_while_the_next_version_is_fetched_beside_it(client, monkeypatch):
    client.get("/healthz/")
    load = MigrationLoader.load_disk

    def with_more(loader):
        load(loader)
        more = Migration("9999_of_the_next_version", "digest")
        loader.disk_migrations["digest", more.name] = more

    monkeypatch.setattr(MigrationLoader, "load_disk", with_more)
    assert client.get("/healthz/").status_code == 200


def test_healthz_says_503_and_why_where_the_database_is_gone_and_names_no_host(client):
    def refuse(*args):
        raise OperationalError("connection to server at 10.0.0.7 failed")

    with connection.execute_wrapper(refuse):
        response = client.get("/healthz/")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["The database does not answer (OperationalError)."]
