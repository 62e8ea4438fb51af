"""Letters and pages in German: the catalog is whole, and nothing English is left but the panel."""

import re
import shutil

import lxml.html
import pytest
from babel.messages import mofile, pofile
from django.conf import settings
from django.core.management import call_command
from django.template.loader import render_to_string
from django.test import Client
from django.utils import translation

from digest.indexing import index_store
from digest.models import Paper
from digest.numbers import grouped
from subscriptions.models import Subscriber, Topic
from tests.factories import emails, make
from tests.factories.make import NOW
from tests.helpers import pages, services

pytestmark = services.once  # Words are the same on every database.

LOCALE = settings.BASE_DIR / "locale"
CATALOG = "de/LC_MESSAGES/django"
GERMAN = {"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"}
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\{.*?\}\}|<[^>]+>")
#: Words that no German sentence has, and hardly any English one lacks.
ENGLISH = re.compile(
    r"\b(the|you|your|yours|it|its|and|of|is|isn’t|are|to|not|no|this|that|with|from|by|on|or|"
    r"we|be|for|papers?|letters?|topics?|new|save|sign|time|hour)\b(?!@)",
    re.IGNORECASE,
)
SAID = ("aria-label", "alt", "title")


def read(path, how):
    """Return the messages of a catalog, each by its context and its texts."""
    with path.open("rb") as file:
        messages = [one for one in how(file) if one.id]
    for one in messages:
        if isinstance(one.context, bytes):  # As Babel reads a .mo.
            one.context = one.context.decode()
    return {(one.context, *each(one.id)): one for one in messages}


def catalog():
    return read(LOCALE / f"{CATALOG}.po", pofile.read_po)


def each(texts):
    """Return the texts of a message, one or the forms of a plural."""
    return [texts] if isinstance(texts, str) else list(texts)


def words(html):
    """Return what a page says to who sees it and to who hears it."""
    page = lxml.html.fromstring(html.encode())
    unread = "//style | //script | //code | //comment() | //datalist | //body//*[@lang='en']"
    for unsaid in page.xpath(unread):
        unsaid.drop_tree()
    spoken = [one.get(name) for one in page.iter("*") for name in SAID if one.get(name)]
    spoken += page.xpath("//meta[@name='description']/@content")
    return " ".join([page.text_content(), *spoken])


def english(text):
    text = re.sub(r"https?://\S+|Web of Science", "", text)
    return sorted({found[0].lower() for found in ENGLISH.finditer(text)})


# ---- The catalog


THOUSANDS = [("en", "1,043"), ("de", "1.043"), ("fr", "1\xa0043")]


@pytest.mark.parametrize(("language", "said"), THOUSANDS)
def test_thousands_are_grouped_by_language(language, said):
    """Also in one that is new here: in French, 1,043 is little more than one."""
    with translation.override(language):
        assert grouped(1043) == said


def test_compiled_catalog_equals_its_source():
    compiled = read(LOCALE / f"{CATALOG}.mo", mofile.read_mo)
    said = {key: each(one.string) for key, one in catalog().items()}
    assert {key: each(one.string) for key, one in compiled.items()} == said


def test_every_message_is_translated_and_not_fuzzy():
    lacking = [one.id for one in catalog().values() if one.fuzzy or not all(each(one.string))]
    assert lacking == []


def test_typographic_apostrophes_and_hyphens_are_used():
    texts = [text for one in catalog().values() for text in each(one.id) + each(one.string)]
    assert [text for text in texts if re.search(r"\w'\w|E-Mail", text)] == []


def test_translations_keep_placeholders_and_markup():
    for one in catalog().values():
        wanted = {frozenset(PLACEHOLDER.findall(text)) for text in each(one.id)}
        for text in each(one.string):
            assert frozenset(PLACEHOLDER.findall(text)) in wanted, one.id


@pytest.mark.slow
@pytest.mark.services
def test_catalog_has_all_messages_and_no_others(monkeypatch, tmp_path):
    services.require("xgettext")
    for folder in ("config", "digest", "subscriptions", "templates", "locale"):
        is_english = {"templates": ["admin"], "digest": ["sources", "ranking"]}.get(folder, [])
        ignore = shutil.ignore_patterns("__pycache__", *is_english)
        shutil.copytree(settings.BASE_DIR / folder, tmp_path / folder, ignore=ignore)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "LOCALE_PATHS", [tmp_path / "locale"])
    call_command("makemessages", locale=["de"], no_location=True, no_obsolete=True, verbosity=0)
    assert set(read(tmp_path / "locale" / f"{CATALOG}.po", pofile.read_po)) == set(catalog())


# ---- Letters


@pytest.mark.django_db
@pytest.mark.parametrize("name", emails.NAMES)
def test_german_letter_has_no_english_words(name):
    content = emails.written(name, "de")
    assert dict(content.headers)["Content-Language"] == "de"
    assert '<html lang="de">' in content.html
    assert len(content.subject) <= 60
    for said in (content.subject, content.text, words(content.html)):
        assert english(said) == []


# ---- Pages


@pytest.fixture
def german(client):
    """Return a function that opens a page as a browser that asks for German does."""

    def open_page(url, sent=None, **options):
        if sent is None:
            return client.get(url, headers=GERMAN, **options)
        return client.post(url, sent, headers=GERMAN, **options)

    return open_page


def is_german(response):
    page = response.text
    assert '<html lang="de">' in page
    assert english(words(page)) == []
    assert "Accept-Language" in response["Vary"]
    return True


@pytest.mark.slow
@pytest.mark.django_db
def test_every_page_is_german_for_german_browsers(settings):
    settings.LIMITS = dict.fromkeys(settings.LIMITS, 1_000)
    pages.furnish()
    Paper.objects.update(abstract="Wir vergessen Graphen. " * 60)
    Topic.objects.update(description="Informatik")
    client = Client(headers=GERMAN)
    for sample in pages.samples():
        with translation.override("de"):  # Some are made without a request.
            answer = sample.answer(client)
        if answer["Content-Type"].startswith("text/html"):
            assert english(words(answer.text)) == [], sample


@pytest.mark.django_db
def test_german_forms_ask_for_english_words(german):
    assert is_german(german("/nowhere/"))
    make.paper("Graph networks")
    index_store.renew(NOW)
    for url in ("/", "/subscribe/", "/search/", "/embed/", "/preview/?interests=Quantenrechner"):
        assert "auf Englisch" in german(url).text


@pytest.mark.django_db
def test_consent_records_the_german_wording(german):
    page = german("/subscribe/").text
    german("/subscribe/", {"email": "neu@example.org"})
    (consent,) = Subscriber.objects.get().consents.all()
    assert consent.wording.startswith("Ich möchte täglich eine E‑Mail")
    assert consent.wording in page


def why(answer):
    with translation.override("de"):
        page = render_to_string("digest/why.html", {"token": "x", "answer": answer})
    assert english(words(page)) == []
    return page


# ---- What stays English
