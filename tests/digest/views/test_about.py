"""The pages about the service itself: what it keeps, who runs it, its form for other sites."""

from datetime import timedelta

import lxml.html
import pytest
from django.apps import apps

from digest.indexing import index_store
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import data_files
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

APPS = ("digest", "subscriptions")
PAGE = data_files.load("privacy_page.toml")


def words(response):
    return " ".join(lxml.html.fromstring(response.content).text_content().split())


# ---- Privacy


def leads_to_a_subscriber(model, seen=()):
    """Return whether a row of this table belongs to a subscriber, maybe by way of others."""
    if model is Subscriber:
        return True
    ahead = [one.related_model for one in model._meta.fields if one.many_to_one or one.one_to_one]
    return any(
        leads_to_a_subscriber(one, (*seen, model)) for one in ahead if one not in (*seen, model)
    )


def parts_of(page):
    """Return until when each part of what is kept stays, as the privacy page says it, by title."""
    kept = lxml.html.fromstring(page.content).xpath("//dl[@class='kept']/div")
    return {one.findtext("dt"): one.findtext("dd[@class='small']") for one in kept}


def test_privacy_page_covers_every_personal_table(client):
    assert parts_of(client.get("/privacy/")).keys() == PAGE["parts"].keys()
    described = {table for tables in PAGE["parts"].values() for table in tables}
    models = [model for app in APPS for model in apps.get_app_config(app).get_models()]
    assert sorted([*described, *PAGE["nobodys"]]) == sorted(
        ["admin.LogEntry", *(model._meta.label for model in models)]
    )
    subscribers = {model for model in apps.get_models() if leads_to_a_subscriber(model)}
    assert {model._meta.label for model in subscribers} <= described


def test_privacy_page_names_the_sources(client, settings):
    for language, settings.SOURCES, sentence in PAGE["sources"]:
        assert sentence in words(client.get("/privacy/", headers={"accept-language": language}))


def test_privacy_page_states_retention_periods(client, settings, monkeypatch):
    def days(count):
        return timedelta(days=count)

    settings.KEEP_LETTERS, settings.KEEP_EVENTS, settings.KEEP_TRAIL = days(333), days(1), days(7)
    monkeypatch.setattr("digest.operations.retention.UNCONFIRMED", days(2))
    monkeypatch.setattr("subscriptions.bounces.unreadable.KEEP", days(5))
    monkeypatch.setattr("subscriptions.security.suppression_list.BOUNCED_FOR", days(6))
    parts = parts_of(client.get("/privacy/"))
    for title, period in {
        "Email address and settings": "for 2 days if you never confirm",
        "Digests and emails": "for 333 days",
        "Delivery log": "for 1 day after the last entry",
        "Bounces and spam reports": "for 1 day; the files for 5 days",
        "Blocked addresses": "after bounces, for 6 days",
        "Changes by the operator": "for 7 days",
    }.items():
        assert period in parts[title]


def test_visitor_searches_are_not_stored(client, data_dir):
    make.paper("Graph networks")
    index_store.renew(NOW)
    for path in ("/search/?q=zarquon", "/?interests=zarquon"):
        assert b"zarquon" in client.get(path).content
    assert "zarquon" not in repr(everything())
    files = [one for one in data_dir.rglob("*") if one.is_file()]
    assert not [one for one in files if b"zarquon" in one.read_bytes()]
    assert "stay in memory" in words(client.get("/privacy/"))


def test_privacy_page_names_the_mail_provider(client, settings):
    for settings.EMAIL_URL, language, sentence in PAGE["mail_servers"]:
        page = words(client.get("/privacy/", headers={"accept-language": language}))
        assert sentence in page
        assert ("writes emails to files" in page) is (settings.EMAIL_URL == "file:")


def test_privacy_page_includes_operator_note_and_contact(client, settings):
    page = words(client.get("/privacy/"))
    assert "From the operator" not in page
    assert "Questions?" not in page
    settings.PRIVACY_NOTE = "Hosted by <Example>.\n\nIn Booktown."
    settings.CONTACT_EMAIL = "hello@papers.example.org"
    answer = client.get("/privacy/")
    assert b"<p>Hosted by &lt;Example&gt;.</p>\n\n<p>In Booktown.</p>" in answer.content
    assert b'href="mailto:hello@papers.example.org"' in answer.content


# ---- Imprint


def test_imprint_is_missing_without_operator(client):
    assert client.get("/imprint/").status_code == 404
    assert b"/imprint/" not in client.get("/privacy/").content
    assert b"/privacy/" in client.get("/topics/").content


def test_imprint_names_the_operator(client, settings):
    settings.OPERATOR_NAME = "Example Library"
    settings.POSTAL_ADDRESS = "1 Shelf Street\n12345 Booktown"
    settings.CONTACT_EMAIL = "hello@papers.example.org"
    settings.IMPRINT_NOTE = "Registered in Booktown."
    page = client.get("/imprint/").content.decode()
    assert "Example Library<br>1 Shelf Street<br>12345 Booktown" in page
    assert 'href="mailto:hello@papers.example.org"' in page
    assert "<p>Registered in Booktown.</p>" in page
    for address in ("/privacy/", "/topics/", "/nowhere/"):
        assert b'href="/imprint/"' in client.get(address).content


# ---- The source


# ---- The form for other sites


def fields(form):
    """Return what a browser would send, with an address and interests typed in."""
    interests = "graph networks\nbread, but not cake"
    typed = {"email": "you@example.org", "interests": interests}
    return {one.get("name"): typed[one.get("name")] for one in form.xpath(".//*[@name]")}


@pytest.mark.parametrize("language", ["en", "de"])
def test_embedded_form_signs_up(client, settings, language):
    settings.SITE_URL = "https://papers.example.org"
    page = client.get("/embed/", headers={"accept-language": language})
    form = lxml.html.fromstring(lxml.html.fromstring(page.content).xpath("string(//pre)"))
    assert form.get("action") == "https://papers.example.org/subscribe/"
    assert form.get("accept-charset") == "utf-8"
    answer = client.post("/subscribe/", fields(form), headers={"origin": "https://blog.example"})
    assert answer.status_code == 200
    subscriber = Subscriber.objects.get()
    preferences = subscriber.preferences.values_list("topic__query", "topic__kind", "stance")
    follows = ("graph networks", "words", "follow"), ("bread", "words", "follow")
    assert {*preferences} == {*follows, ("cake", "words", "mute")}
    assert subscriber.letters.get().kind == "confirm"
    consent = subscriber.consents.get()
    assert consent.via == "sign-up form on another site"
    assert consent.wording in form.text_content() or language == "de"


# ---- Icons
