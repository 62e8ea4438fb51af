"""What is kept of it, shown, and taken out again."""

from functools import partial

import lxml.html
import pytest
from django.urls import reverse

from digest import tasks
from digest.indexing import model_store
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
from tests.factories.themes import MOLECULES, ROADS, others, theme
from tests.helpers.data_files import cases
from tests.helpers.tables import everything
from tests.helpers.threads import at_once, errors_of

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


def test_file_parts_are_rate_limited(client, subscriber, monkeypatch):
    monkeypatch.setattr(library, "MAX_PARTS", 2)
    parts = [client.post(f"{address(subscriber)}?part", {"text": "On soups"}) for _ in range(3)]
    assert [part.status_code for part in parts] == [200, 200, 429]


def test_null_character_is_reported_by_its_context(client):
    page = words_of(look(client, make.subscriber(), "@misc{a, title = {On all\0 soups}}"))
    assert "an unreadable character after “@misc{a, title = {On all”" in page
    page = words_of(look(client, make.subscriber(), "@misc{a, title = {On all the sou\x02ps}}"))
    assert "1 paper found" in page


def test_text_too_long_for_preview_is_refused(client):
    text = "On all the soups\n" * (library.MAX_TEXT_BYTES // 17 + 1)
    response = look(client, make.subscriber(), text)
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


def test_only_the_last_upload_is_undone(client, subscriber):
    ids = []
    for text in ("On all the soups", "On all the breads"):
        paste(client, subscriber, text)
        ids.append(LibraryUpload.objects.get().pk)
    for pk in (ids[0], 10**30):
        page = client.post(address(subscriber), {"undo": pk}, follow=True)
        assert "Nothing to undo" in words_of(page)
    assert subscriber.library.count() == 2


def test_removed_paper_stays_removed_after_undo(client, subscriber):
    paste(client, subscriber, "On all the soups\nOn all the breads")
    abstracts = [
        f"@misc{{a, title={{On all the {x}}}, abstract={{Hot.}}}}" for x in ("soups", "breads")
    ]
    paste(client, subscriber, "\n".join(abstracts))
    personalization_library.remove(subscriber, subscriber.library.filter(title__contains="soup"))
    undo(client, subscriber)
    assert list(subscriber.library.values_list("title", "abstract")) == [("On all the breads", "")]


@pytest.mark.django_db(transaction=True)
def test_concurrent_uploads_are_both_kept(subscriber):
    add = partial(personalization_library.add, subscriber)
    adding = [partial(add, f"On all the {what}", NOW) for what in ("soups", "pies")]
    assert errors_of(at_once(*adding)) == []
    assert subscriber.library.count() == 2
    undoing = partial(personalization_library.undo, subscriber, LibraryUpload.objects.get().pk)
    assert sorted(at_once(undoing, undoing)) == [False, True]
    assert subscriber.library.count() == 1


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


def test_unread_entries_are_shortened_and_escaped(client):
    bad = ["<b>x", "y" * 200, "z", "w"]
    page = look(client, make.subscriber(), "\n".join(["On all the soups", *bad]))
    element = lxml.html.fromstring(page.content).get_element_by_id("unread")
    assert [one.text for one in element.iter("bdi")] == ["<b>x", "y" * 39 + "…", "z"]
    assert element.text_content().endswith(f"4 entries could not be read: <b>x, {'y' * 39}…, z, …")


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


def test_text_without_papers_stays_in_form(client, subscriber):
    response = look(client, subscriber, "hello\nthere", bad=2, left=0, unread=["<b>", ""])
    assert response.status_code == 400
    page = lxml.html.fromstring(response.content)
    assert page.xpath("//textarea")[0].text.strip() == "hello\nthere"
    assert "No papers found" in page.xpath("//*[@role='alert']")[0].text


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
    assert subscriber.library.count() == 2
    client.post(address(subscriber), {"paper": paper.pk})
    assert subscriber.library.count() == 1


def test_library_changes_enqueue_learning(client, subscriber, monkeypatch):
    enqueued = []
    monkeypatch.setattr(library, "enqueue", enqueued.append)
    paste(client, subscriber, BIBTEX)
    undo(client, subscriber)
    client.post(address(subscriber), {"all": "forget"})
    assert enqueued == [tasks.learn_from_feedback] * 3


def test_removing_papers_keeps_the_page(client, subscriber, monkeypatch):
    monkeypatch.setattr(library, "PAGE_SIZE", 2)
    personalization_library.add(
        subscriber, "\n".join(f"On the soups of {year}" for year in YEARS), NOW
    )
    page = lxml.html.fromstring(client.get(f"{address(subscriber)}?page=2").content)
    form = page.xpath("//main//ul//form")[0]
    answer = client.post(form.action, dict(form.fields), follow=True)
    assert subscriber.library.count() == 4
    assert answer.context["page"].number == 2


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


def library_with_all_words_removed():
    subscriber = taught()
    for term in ReaderModel.objects.get(subscriber=subscriber).terms:
        feedback.remove_word(subscriber, term)
    return subscriber


def feedback_without_library():
    subscriber = make.subscriber()
    others(day=TODAY - 20 * DAY)
    for paper in theme(MOLECULES, 0, 12, day=TODAY - 20 * DAY):
        feedback.record(subscriber, paper, "more", NOW)
    return subscriber


USELESS = [partial(taught, 3), library_with_all_words_removed, feedback_without_library]


@pytest.mark.parametrize("make_subscriber", USELESS)
def test_trending_papers_come_without_a_useful_library(make_subscriber):
    subscriber = make_subscriber()
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    model_store.fit(NOW)
    feedback.learn(NOW)
    plan.plan(NOW)
    assert Pick.objects.filter(subscriber=subscriber, paper=trending).exists()


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


def test_preferences_mention_the_library(client):
    subscriber = taught(12)
    page = words_of(client.get(tokens.preferences_url(subscriber)))
    assert "Learned from your feedback and your library." in page
    assert "Digests learn from the 12 papers in your library." in page
    assert "Import your bibliography" in words_of(
        client.get(tokens.preferences_url(make.subscriber()))
    )
