"""The page of the papers that a reader saved, and its files."""

from datetime import timedelta

import lxml.html
import pytest
import rispy
from django.urls import reverse
from pybtex.database import parse_string

from digest.models import Feedback, PaperEvent
from digest.personalization import feedback
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PAGES = ["saved", "saved-bibtex", "saved-ris"]


def address(page, reader, purpose="preferences"):
    return reverse(page, args=[tokens.token(purpose, reader.public_id)])


def save(reader, *papers, value="save"):
    """Say it of each, an hour after the other."""
    for number, paper in enumerate(papers):
        feedback.record(reader, paper, value, NOW + number * HOUR)


def saving(count, **fields):
    """Make a reader with so many saved papers, the first saved first."""
    reader = make.subscriber(**fields)
    papers = [make.paper(f"Roads {number}") for number in range(count)]
    save(reader, *papers)
    return reader, papers


def page_of(response):
    assert response.status_code == 200
    return lxml.html.fromstring(response.content)


def titles(page):
    return page.xpath("//main//h2/a/text()")


def said_of(page):
    """Return what is said of each paper since it was saved."""
    rows = page.xpath("//main//ul[@class='papers']/li")
    return [[one.text_content() for one in row.xpath("./ul/li")] for row in rows]


def press(client, page, name):
    """Press the first button of this name, as a browser does."""
    button = page.xpath("//main//button[text()=$name]", name=name)[0]
    (form,) = button.xpath("ancestor::form")
    return client.post(form.get("action"), dict(form.fields), follow=True)


# ---- The page


def test_all_that_she_saved_is_there_the_last_saved_first_and_nothing_else(client):
    reader, _ = saving(3)
    save(reader, make.paper("More of it"), value="more")
    save(make.subscriber(), make.paper("Another reader's"))
    page = page_of(client.get(address("saved", reader)))
    assert titles(page) == ["Roads 2", "Roads 1", "Roads 0"]
    assert "3 papers. The last saved first." in " ".join(page.text_content().split())


def test_a_page_has_so_many_and_any_number_leads_to_one(client, monkeypatch):
    monkeypatch.setattr("digest.views.saved.PAGE", 2)
    reader, _ = saving(5)
    url = address("saved", reader)
    first, third = (page_of(client.get(url, {"page": number})) for number in (1, 3))
    assert (titles(first), titles(third)) == (["Roads 4", "Roads 3"], ["Roads 0"])
    assert first.xpath("//a[@rel='next']/@href") == ["?page=2"]
    assert third.xpath("//a[@rel='prev']/@href") == ["?page=2"]
    for asked, shown in {"0": 3, "99": 3, "9" * 5000: 1, "x": 1, "": 1, "-1": 3}.items():
        assert f"Page {shown} of 3" in page_of(client.get(url, {"page": asked})).text_content()
    page = page_of(press(client, third, "Take it off"))
    assert "Page 2 of 2" in page.text_content()
    assert titles(page_of(press(client, page, "Take it off"))) == ["Roads 1"]


def test_each_paper_has_what_happened_since_it_was_saved(client):
    reader, (old, _) = saving(2)
    for at, kind, note in [
        (NOW - HOUR, "code", "https://github.com/example/roads"),
        (NOW + DAY, "revised", "version 2"),
        (NOW + 2 * DAY, "published", "Journal of <Roads>"),
    ]:
        PaperEvent.objects.create(paper=old, kind=kind, note=note, at=at)
    PaperEvent.objects.create(paper=make.paper(), kind="withdrawn", at=NOW + DAY)
    assert said_of(page_of(client.get(address("saved", reader)))) == [
        ["1\u00a0June 2026: saved."],
        [
            "1\u00a0June 2026: saved.",
            "2\u00a0June 2026: has a new version: v2.",
            "3\u00a0June 2026: has a journal reference: Journal of <Roads>.",
        ],
    ]


def test_who_saved_nothing_is_told_how_and_her_files_are_empty(client):
    reader = make.subscriber()
    page = page_of(client.get(address("saved", reader)))
    assert "has a link “Save” under it" in page.text_content()
    assert page.xpath("//main//button") == page.xpath("//a[text()='BibTeX']") == []
    for one in PAGES[1:]:
        response = client.get(address(one, reader))
        assert (response.status_code, response.content) == (200, b"")


def test_a_title_that_is_markup_is_shown_as_text(client):
    reader = make.subscriber()
    hostile = make.paper("</li><script>alert(1)</script>")
    save(reader, hostile)
    page = page_of(client.get(address("saved", reader)))
    assert titles(page) == [hostile.title]
    assert "Take it off: " + hostile.title in page.xpath("//button/@aria-label")
    feedback.record(reader, hostile, "clear", NOW)
    told = page_of(client.get(address("saved", reader), {"paper": hostile.pk}))
    assert told.xpath("//*[@role='status']//strong/text()") == [hostile.title]


# ---- Taking one off


def test_a_paper_is_taken_off_and_she_is_back_and_may_save_it_again(client, clock):
    reader, _ = saving(3)
    clock.now = NOW + DAY
    page = page_of(client.get(address("saved", reader)))
    answer = press(client, page, "Take it off")
    assert answer.redirect_chain[0][1] == 302
    assert answer.redirect_chain[0][0].startswith(address("saved", reader))
    page = page_of(answer)
    assert titles(page) == ["Roads 1", "Roads 0"]
    (notice,) = page.xpath("//*[@role='status']")
    assert "Taken off: Roads 2" in notice.text_content()
    page = page_of(press(client, page, "Save it again"))
    assert titles(page) == ["Roads 2", "Roads 1", "Roads 0"]
    assert page.xpath("//*[@role='status']") == []


def test_whatever_page_a_form_names_it_leads_back(client):
    reader, (paper,) = saving(1)
    token = tokens.token("preferences", reader.public_id)
    for number in ("x", "\0", "-1", "9" * 5000, "2&paper=x", "//evil.test/"):
        sent = {"paper": paper.pk, "value": "clear", "back": token, "page": number}
        answer = client.post(address("feedback", reader, "feedback"), sent, follow=True)
        assert answer.status_code == 200
        assert answer.redirect_chain[0][0].startswith(f"{address('saved', reader)}?page=")
    assert not Feedback.objects.exists()


def test_who_has_the_link_of_a_letter_alone_is_not_led_to_her_saved_papers(client):
    """A digest on the web may be passed on: its links say something for her, and show nothing."""
    reader, (paper,) = saving(1)
    hers = tokens.token("preferences", reader.public_id)
    url = address("feedback", reader, "feedback")
    others = tokens.token("preferences", make.subscriber().public_id)
    for back in ("", "x", "https://evil.test/", tokens.token("feedback", reader.public_id), others):
        for value in ("more", "clear"):
            sent = {"paper": paper.pk, "value": value, "back": back, "page": "1"}
            for answer in (client.get(url, sent), client.post(url, sent)):
                assert answer.status_code == 200
                assert hers not in answer.content.decode()


@pytest.mark.parametrize("page", ["preferences", "learned"])
def test_wherever_she_takes_a_saved_paper_off_it_is_called_so_to_the_end(client, page):
    reader, _ = saving(1)
    shown = page_of(client.get(address(page, reader)))
    (link,) = shown.xpath("//a[@aria-label='Take it off: Roads 0'][text()='Take it off']/@href")
    asked = page_of(client.get(link))
    assert asked.xpath("//h1/text()") == ["Take it off?"]
    assert asked.xpath("//button/text()")[0] == "Take it off"
    done = client.post(link.partition("?")[0], dict(asked.forms[0].fields))
    assert page_of(done).xpath("//h1/text()") == ["Taken off"]
    assert not Feedback.objects.exists()


# ---- The files


@pytest.mark.parametrize(
    ("page", "kind", "name"),
    [
        ("saved-bibtex", "application/x-bibtex; charset=utf-8", "saved-papers.bib"),
        ("saved-ris", "application/x-research-info-systems; charset=utf-8", "saved-papers.ris"),
    ],
)
def test_the_files_have_all_papers_in_their_order_and_are_never_shown(client, page, kind, name):
    reader, papers = saving(3)
    save(make.subscriber(), make.paper("Another reader's"))
    link = address(page, reader)
    assert link in page_of(client.get(address("saved", reader))).xpath("//main//a/@href")
    response = client.get(link)
    assert response["Content-Type"] == kind
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response["X-Content-Type-Options"] == "nosniff"
    text = response.content.decode()
    if name.endswith("bib"):
        ids = [one.fields["eprint"] for one in parse_string(text, "bibtex").entries.values()]
        assert ids == [paper.pk for paper in papers]
    else:
        assert [one["title"] for one in rispy.loads(text)] == [paper.title for paper in papers]


# ---- Where it is named


def test_preferences_list_the_last_seven_and_say_how_many_there_are(client):
    reader, _ = saving(9)
    page = page_of(client.get(address("preferences", reader)))
    (section,) = page.xpath("//section[@aria-labelledby='saved']")
    assert len(section.xpath(".//li")) == 7
    assert "All 9 saved papers, also as BibTeX and RIS" in section.text_content()
    assert address("saved", reader) in section.xpath(".//a/@href")
