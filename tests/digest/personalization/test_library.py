"""What is kept of it, shown, and taken out again."""

import lxml.html
import pytest
from django.urls import reverse

from digest.models import LibraryUpload, Pick, ReaderModel
from digest.personalization import feedback
from digest.personalization import library as personalization_library
from digest.planning import plan
from digest.sources import bibliographies
from digest.views import library
from digest.wording import reason_of
from subscriptions.delivery import worker
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.libraries import BIBTEX, address, known_to, look, paste, taught, words_of
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.themes import MOLECULES, ROADS, theme
from tests.helpers.data_files import cases
from tests.helpers.tables import everything

YEARS = range(2020, 2025)

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber():
    return make.subscriber()


def entries_of(*years):
    """Return an entry of BibTeX for each year."""
    entries = (f"@misc{{k{year}, title = {{Soups of {year}}}, year = {year}}}" for year in years)
    return "\n".join(entries)


UNREADABLE = cases("unreadable_files")


@pytest.mark.parametrize(("text", "advice"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_file_is_refused_with_export_advice(client, subscriber, text, advice):
    for sent in ({}, {"add": "1"}):
        response = look(client, subscriber, text, **sent)
        assert response.status_code == 400
        error = lxml.html.fromstring(response.content).get_element_by_id("said").text
        assert error.startswith(advice)
    part = client.post(f"{address(subscriber)}?part", {"text": text}).json()
    assert part == {"problem": error}
    assert not subscriber.library.exists()


def test_null_character_or_too_long_text_is_reported(client, subscriber):
    page = words_of(look(client, subscriber, "@misc{a, title = {On all\0 soups}}"))
    assert "an unreadable character after “@misc{a, title = {On all”" in page
    response = look(client, subscriber, "On all\n" * (library.MAX_TEXT_BYTES // 7 + 1))
    assert response.status_code == 400
    assert "at most 1 MB can be pasted" in words_of(response)


# ---- The preview


def test_preview_lists_new_papers_and_adds_nothing(client, subscriber):
    page = lxml.html.fromstring(look(client, subscriber, BIBTEX).content)
    assert page.xpath("//h1")[0].text == "2 papers found"
    titles = [one.text for one in page.xpath("//main//li//*[@dir='auto']")]
    assert titles == ["A second work on noodles", "Spätzle and the ℓ₁ norm"]
    assert not subscriber.library.exists()
    form = page.forms[0]
    button = form.xpath(".//button")[0]
    sent = {**form.fields, button.get("name"): button.get("value")}
    assert "2 papers added." in words_of(client.post(form.action, sent, follow=True))
    assert known_to(subscriber) == titles
    page = words_of(look(client, subscriber, f"{BIBTEX}@misc{{c, title = {{A third one}}}}"))
    assert "2 are already in your library." in page
    assert "Add 1 paper" in page


# ---- Undo


def undo(client, subscriber):
    """Press the button of the library's page. Return the page that follows."""
    page = lxml.html.fromstring(client.get(address(subscriber)).content)
    (button,) = page.xpath("//button[@name='undo']")
    return client.post(address(subscriber), {"undo": button.get("value")}, follow=True)


def test_undo_restores_papers_displaced_by_upload(client, subscriber, monkeypatch):
    monkeypatch.setattr(personalization_library, "MAX_PAPERS", 3)
    hot = "@misc{a, title = {Soups of 2022}, abstract = {Hot.}, year = 2022}"
    for text in (entries_of(2020, 2021, 2022), hot):
        paste(client, subscriber, text)
    before = list(subscriber.library.values())
    paste(client, subscriber, entries_of(2023, 2024))
    assert "Last upload undone." in words_of(undo(client, subscriber))
    assert list(subscriber.library.values()) == before
    assert "Undo" not in words_of(client.get(address(subscriber)))


@pytest.mark.parametrize("forget", [personalization_library.forget, feedback.reset])
def test_deleted_library_cannot_be_restored(subscriber, forget):
    personalization_library.add(subscriber, entries_of(2020), NOW)
    forget(subscriber)
    assert not LibraryUpload.objects.exists()
    assert not subscriber.library.exists()


# ---- What is kept


def test_repeated_paste_adds_nothing_and_keeps_undo(client, subscriber):
    paste(client, subscriber, BIBTEX)
    mark = ReaderModel.objects.get(subscriber=subscriber).feedback_count
    assert "No new papers." in words_of(paste(client, subscriber, BIBTEX))
    assert subscriber.library.count() == 2
    assert (
        ReaderModel.objects.get(subscriber=subscriber).feedback_count == mark
    )  # Nothing is learned anew.
    undo(client, subscriber)
    assert not subscriber.library.exists()


def test_later_abstract_is_added(client, subscriber):
    paste(client, subscriber, "@misc{a, title = {On all soups}}")
    paste(client, subscriber, "@misc{a, title = {On all soups}, abstract = {They are hot.}}")
    paste(client, subscriber, "@misc{a, title = {On all soups}}")
    assert [paper.abstract for paper in subscriber.library.all()] == ["They are hot."]


def test_stored_papers_complete_bibliography_entries(subscriber):
    ours = make.paper("On all the soups", "They are hot.")
    other = make.paper("On bread", "It is brown." + " So it is." * 400)
    personalization_library.add(
        subscriber, f"on all the SOUPS\narXiv:{other.pk}\narXiv:2101.99999\narXiv:{ours.pk}", NOW
    )
    assert {paper.year for paper in subscriber.library.all()} == {ours.day.year}
    abstracts = {paper.title: paper.abstract for paper in subscriber.library.all()}
    assert abstracts == {
        "on all the SOUPS": ours.abstract,
        "On bread": other.abstract[: bibliographies.MAX_ABSTRACT],
    }


def test_library_papers_are_not_sent(client):
    by_id, by_title, new = (make.paper(title) for title in ("Soup", "On all soups", "Hot soup"))
    subscriber = make.subscriber(interests="soup")
    text = f"@misc{{a, eprint={{{by_id.pk}}}}}\n@misc{{b, title={{On All Soups}}}}"
    personalization_library.add(subscriber, text, NOW)
    plan.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [new]
    why = reverse("why", args=[tokens.token("preferences", subscriber.public_id)])
    assert "It’s in your library" in words_of(client.get(why, {"paper": by_title.pk}))


def test_unknown_arxiv_ids_are_reported(client, subscriber):
    page = words_of(look(client, subscriber, "On all the soups\narXiv:2101.99999\nsoup"))
    assert "1 arXiv ID is unknown here: paste the title instead." in page
    assert "1 entry could not be read: soup" in page
    response = look(client, subscriber, "2101.99999\n2101.99998")
    page = " ".join(response.content.decode().split())
    assert response.status_code == 400
    assert "2 arXiv IDs are unknown here: paste the titles" in page
    assert "No papers found" not in page


def test_only_latest_papers_are_kept(client, subscriber, monkeypatch):
    for module in (personalization_library, library):
        monkeypatch.setattr(module, "MAX_PAPERS", 3)
    text = "@misc{a, title = {Of no year}}\n" + entries_of(*YEARS)
    page = words_of(look(client, subscriber, text))
    assert "3 older papers are left out: the 3 latest are kept." in page
    assert "3 papers added" in words_of(paste(client, subscriber, text))
    paste(client, subscriber, entries_of(2025, 1999))
    assert known_to(subscriber) == ["Soups of 2025", "Soups of 2024", "Soups of 2023"]


def test_chunked_import_shows_totals(client, subscriber):
    text = "On all the soups\nsoup\nstew"
    piece = client.post(f"{address(subscriber)}?part", {"text": text}).json()
    papers = [["TY  - GEN\nTI  - On all the soups\nER  - \n", ""]]
    assert piece == {"papers": papers, "bad": 2, "unread": ["soup", "stew"]}
    ((text, _),) = piece.pop("papers")
    page = words_of(look(client, subscriber, text, left=7, **piece))
    assert "8 papers found" in page
    assert "7 older papers are left out" in page
    assert "2 entries could not be read: soup, stew" in page


def test_forged_requests_change_nothing(client):
    subscriber, digits = taught(), "9" * 5_000
    url, before = address(subscriber), everything()
    for made_up in (f"new={digits}", "new=-1", f"undone={digits}", "page=9"):
        assert client.get(f"{url}?{made_up}").status_code == 200
    for sent in ({}, {"paper": "x"}, {"all": "no"}, {"undo": "x"}):
        assert client.post(url, sent).status_code == 400
    client.post(url, {"paper": digits})
    assert everything() == before
    assert "Library deleted." in words_of(client.post(url, {"all": "forget"}, follow=True))
    feedback.learn(NOW)
    assert feedback.learned_words(subscriber) == []


def test_library_is_changed_only_by_its_subscribers_link(client, subscriber):
    personalization_library.add(subscriber, BIBTEX, NOW)
    paper = subscriber.library.first()
    for sent in ({"undo": LibraryUpload.objects.get().pk}, {"paper": paper.pk}):
        client.post(address(make.subscriber()), sent)
    assert (subscriber.library.count(), LibraryUpload.objects.count()) == (2, 1)
    client.post(address(subscriber), {"paper": paper.pk})
    assert subscriber.library.count() == 1


# ---- What a library teaches: which new papers come, and which stay away


def test_library_brings_similar_papers_without_topics(outbox):
    subscriber = taught(12)
    (new,) = theme(MOLECULES, 12, 1)
    theme(ROADS, 6, 7, upvotes=900)
    plan.plan(NOW)
    (pick,) = Pick.objects.filter(subscriber=subscriber)
    assert (pick.paper, pick.basis) == (new, "learned")
    assert reason_of(pick).startswith("Like what you chose: ")
    worker.deliver_due(lambda: NOW)
    assert "You follow no topic yet" not in outbox()[0].as_string()


def test_undone_upload_is_unlearned():
    subscriber = taught()
    learned = ReaderModel.objects.values("words", "weights", "liked")
    before = learned.get()
    roads = theme(ROADS, 6, 6, day=TODAY - 20 * DAY)
    personalization_library.add(subscriber, "\n".join(paper.title for paper in roads), NOW)
    feedback.learn(NOW)
    assert learned.get() != before
    personalization_library.undo(subscriber, LibraryUpload.objects.get().pk)
    feedback.learn(NOW)
    assert learned.get() == before
