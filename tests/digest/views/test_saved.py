"""The reading list, and its files."""

import csv
import re

import lxml.html
import pytest
import rispy
from django.urls import reverse
from pybtex.database import parse_string

from digest.models import PaperEvent
from digest.personalization import feedback, reading_list
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW
from tests.helpers.data_files import cases

pytestmark = pytest.mark.django_db

PAGES = ["saved", "saved-bibtex", "saved-ris", "saved-markdown", "saved-csv"]


def address(page, subscriber, purpose="preferences"):
    return reverse(page, args=[tokens.token(purpose, subscriber.public_id)])


def save(subscriber, *papers, value="save"):
    """Say it of each, an hour after the other."""
    for number, paper in enumerate(papers):
        feedback.record(subscriber, paper, value, NOW + number * HOUR)


def saving(count, **fields):
    """Make a subscriber with so many saved papers, the first saved first."""
    subscriber = make.subscriber(**fields)
    papers = [make.paper(f"Roads {number}") for number in range(count)]
    save(subscriber, *papers)
    return subscriber, papers


def page_of(response):
    assert response.status_code == 200
    return lxml.html.fromstring(response.content)


def titles(page):
    return page.xpath("//main//h2/a/text()")


def said_of(page):
    """Return what is said of each paper since it was saved."""
    rows = page.xpath("//main//ul[contains(@class, 'papers')]/li")
    return [[one.text_content() for one in row.xpath("./ul[1]/li")] for row in rows]


def press(client, page, name):
    """Press the first button of this name, as a browser does."""
    button = page.xpath("//main//button[text()=$name]", name=name)[0]
    (form,) = button.xpath("ancestor::form")
    sent = dict(form.fields)
    if button.get("name"):
        sent[button.get("name")] = button.get("value")
    return client.post(form.get("action"), sent, follow=True)


# ---- The page


def test_saved_papers_are_listed_newest_first(client):
    subscriber, _ = saving(3)
    save(subscriber, make.paper("More of it"), value="more")
    save(make.subscriber(), make.paper("Another reader's"))
    page = page_of(client.get(address("saved", subscriber)))
    assert titles(page) == ["Roads 2", "Roads 1", "Roads 0"]


def test_saved_paper_shows_later_events(client):
    subscriber, (old, _) = saving(2)
    for at, kind, note in [
        (NOW - HOUR, "code", "https://github.com/example/roads"),
        (NOW + DAY, "revised", "version 2"),
        (NOW + 2 * DAY, "published", "Journal of <Roads>"),
    ]:
        PaperEvent.objects.create(paper=old, kind=kind, note=note, at=at)
    PaperEvent.objects.create(paper=make.paper(), kind="withdrawn", at=NOW + DAY)
    assert said_of(page_of(client.get(address("saved", subscriber)))) == [
        ["Saved on 1\u00a0June 2026"],
        [
            "Saved on 1\u00a0June 2026",
            "2\u00a0June 2026: has a new version: v2.",
            "3\u00a0June 2026: has a journal reference: Journal of <Roads>.",
        ],
    ]


# ---- Changing one


def test_undo_restores_note_labels_and_state(client, clock):
    subscriber, (paper, _) = saving(2)
    reading_list.annotate(subscriber, paper, note="Section 4", labels="to cite")
    reading_list.mark_read(subscriber, paper, NOW)
    feedback.record(subscriber, paper, "more", NOW)
    page = page_of(client.get(address("saved", subscriber), {"label": "to cite"}))
    page = page_of(press(client, page, "Remove"))
    assert "Removed: Roads 0" in page.xpath("string(//*[@role='status'])")
    row = subscriber.feedback.get(paper=paper)
    assert (row.value, row.note, row.labels, row.saved_at) == ("more", "", "", None)
    page = page_of(press(client, page, "Undo"))
    row.refresh_from_db()
    assert (row.note, row.labels, row.read_at) == ("Section 4", "to cite", NOW)
    assert titles(page) == ["Roads 0"]


def test_notes_and_labels_are_bounded_plain_text(client):
    subscriber, (paper,) = saving(1)
    sent = {"paper": paper.pk, "action": "note", "note": "<b>" + "x\n" * 300}
    sent["labels"] = ", ".join([f"{'l' * 40}", "b", " b ", "", "c", "d", "e", "f"])
    answer = client.post(address("saved", subscriber), sent, follow=True)
    row = subscriber.feedback.get()
    assert (len(row.note), row.note[:5]) == (280, "<b>x ")
    assert row.label_list == ["l" * 30, "b", "c", "d", "e"]
    assert b"&lt;b&gt;x" in answer.content
    assert page_of(answer).xpath("//*[@role='status']/text()") == ["Saved."]


def test_reading_list_is_filtered(client):
    subscriber, (old, *_) = saving(3)
    reading_list.annotate(subscriber, old, note="Größe der Straßen", labels="to cite")
    page = page_of(client.get(address("saved", subscriber), {"state": "unread"}))
    page = page_of(press(client, page, "Mark as read"))
    assert titles(page) == ["Roads 1", "Roads 0"]
    assert page.xpath("//*[@role='status']/text()") == ["Marked as read."]
    for filters, expected in cases("paper_search")["saved"]:
        assert titles(page_of(client.get(address("saved", subscriber), filters))) == expected
        exported = client.get(address("saved-bibtex", subscriber), filters).content.decode()
        assert exported.count("@misc") == len(expected)


def test_unknown_action_or_paper_is_rejected(client):
    subscriber, (paper,) = saving(1)
    unsaved = make.paper()
    feedback.record(subscriber, unsaved, "more", NOW)
    url = address("saved", subscriber)
    for sent in ({}, {"paper": paper.pk}, {"paper": "\0", "action": "read"}):
        assert client.post(url, sent).status_code == 400
    assert client.post(url, {"paper": unsaved.pk, "action": "read"}).status_code == 302
    assert not subscriber.feedback.exclude(read_at=None).exists()
    feedback_page = address("saved", subscriber, "feedback")
    assert client.post(feedback_page, {"action": "read"}).status_code == 404


def test_feedback_link_does_not_open_reading_list(client):
    """A digest on the web may be passed on: its links say something for them, and show nothing."""
    subscriber, (paper,) = saving(1)
    token = tokens.token("preferences", subscriber.public_id)
    url = address("feedback", subscriber, "feedback")
    feedback_token = tokens.token("feedback", subscriber.public_id)
    others = tokens.token("preferences", make.subscriber().public_id)
    for back in ("", "x", "https://evil.test/", feedback_token, others):
        for value in ("more", "clear"):
            sent = {"paper": paper.pk, "value": value, "back": back, "page": "1"}
            for answer in (client.get(url, sent), client.post(url, sent)):
                assert answer.status_code == 200
                assert token not in answer.content.decode()


# ---- The files


def titles_in(name, text):
    """Return the titles in a file, as its readers find them."""
    match name.rpartition(".")[2]:
        case "bib":
            entries = parse_string(text, "bibtex").entries.values()
            return [entry.fields["title"].strip("{}") for entry in entries]
        case "ris":
            return [entry["title"] for entry in rispy.loads(text)]
        case "csv":
            return [row["title"] for row in csv.DictReader(text.splitlines())]
    return re.findall(r"- \[ \] \[(.*?)\]", text)


FILES = [
    ("saved-bibtex", "application/x-bibtex; charset=utf-8", "saved-papers.bib"),
    ("saved-ris", "application/x-research-info-systems; charset=utf-8", "saved-papers.ris"),
    ("saved-markdown", "text/markdown; charset=utf-8", "saved-papers.md"),
    ("saved-csv", "text/csv; charset=utf-8", "saved-papers.csv"),
]


@pytest.mark.parametrize(("page", "kind", "name"), FILES)
def test_export_files_have_all_papers_in_order(client, page, kind, name):
    subscriber, papers = saving(3)
    save(make.subscriber(), make.paper("Another reader's"))
    link = address(page, subscriber)
    assert link in page_of(client.get(address("saved", subscriber))).xpath("//main//a/@href")
    response = client.get(link)
    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert titles_in(name, response.text) == [paper.title for paper in papers]


def test_export_files_escape_hostile_titles(client):
    subscriber = make.subscriber()
    save(subscriber, make.paper('=HYPERLINK("x") [a](b) *c*', comments="Accepted at ICML 2026"))
    assert client.get(address("saved-csv", subscriber)).content.count(b"\n") == 2
    assert b"'=HYPERLINK" in client.get(address("saved-csv", subscriber)).content
    text = client.get(address("saved-markdown", subscriber)).content.decode()
    assert r"\[a\](b) \*c\*" in text
    assert "accepted at ICML 2026" in text
    assert b",accepted at ICML 2026," in client.get(address("saved-csv", subscriber)).content
