"""What is kept of it, shown, and taken out again."""

import lxml.html
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from digest import fitting, library, planning, steering, tasks
from digest.models import LibraryPaper, Pick, ReaderModel
from digest.sources import bibliographies
from subscriptions import erasing, exporting, links
from subscriptions.models import Subscriber
from tests import make
from tests.library.brought import BIBTEX, address, known_to, paste, taught, words_of
from tests.make import NOW

YEARS = range(2020, 2025)

pytestmark = pytest.mark.django_db


def test_a_sign_that_no_database_keeps_costs_no_paper(client):
    reader = make.subscriber()
    paste(client, reader, "@misc{a, title = {On all\0 soups}, abstract = {Hot\0}}")
    assert known_to(reader) == ["On all soups"]


def test_a_pasted_bibliography_is_in_her_library(client):
    reader = make.subscriber()
    page = words_of(paste(client, reader, BIBTEX))
    assert "2 papers are new in your library." in page
    assert known_to(reader) == ["A second work on noodles", "Spätzle and the ℓ₁ norm"]
    assert "A second work on noodles 2024, title alone" in page


def test_what_is_pasted_again_is_there_once(client):
    reader = make.subscriber()
    paste(client, reader, BIBTEX)
    said = ReaderModel.objects.get(subscriber=reader).said
    assert "2 were there already." in words_of(paste(client, reader, BIBTEX))
    assert reader.library.count() == 2
    assert ReaderModel.objects.get(subscriber=reader).said == said  # Nothing is learned anew.


def test_an_abstract_that_comes_later_is_taken(client):
    reader = make.subscriber()
    paste(client, reader, "@misc{a, title = {On all soups}}")
    paste(client, reader, "@misc{a, title = {On all soups}, abstract = {They are hot.}}")
    paste(client, reader, "@misc{a, title = {On all soups}}")
    assert [paper.abstract for paper in reader.library.all()] == ["They are hot."]


def test_our_papers_say_what_a_bibliography_does_not():
    reader = make.subscriber()
    ours = make.paper("On all the soups", "They are hot.")
    other = make.paper("On bread", "It is brown." + " So it is." * 400)
    library.add(reader, f"on all the SOUPS\narXiv:{other.pk}\narXiv:2101.99999", NOW)
    assert {paper.year for paper in reader.library.all()} == {ours.day.year}
    kept = {paper.title: paper.abstract for paper in reader.library.all()}
    assert kept == {
        "on all the SOUPS": ours.abstract,
        "On bread": other.abstract[: bibliographies.MAX_ABSTRACT],
    }


def test_what_is_in_her_library_is_not_sent_and_the_page_says_why(client):
    by_id, by_title, new = (make.paper(title) for title in ("Soup", "On all soups", "Hot soup"))
    fitting.fit(NOW)
    reader = make.subscriber(interests="soup")
    other = make.subscriber(interests="soup")
    library.add(
        reader, f"@misc{{a, eprint={{{by_id.pk}}}}}\n@misc{{b, title={{On All Soups}}}}", NOW
    )
    planning.plan(NOW)
    assert [pick.paper for pick in Pick.objects.filter(subscriber=reader)] == [new]
    assert Pick.objects.filter(subscriber=other).count() == 3
    why = reverse("why", args=[links.token("preferences", reader.public_id)])
    assert "it is in your library" in words_of(client.get(why, {"paper": by_title.pk}))


def test_a_paper_of_ours_that_is_named_twice_is_there_once():
    reader = make.subscriber()
    ours = make.paper("On all the soups", "They are hot.")
    added = library.add(reader, f"arXiv:{ours.pk}\nOn all the soups", NOW)
    assert added == (1, 0, 0, 0, 0, [])
    assert known_to(reader) == ["On all the soups"]


def test_of_an_id_that_is_not_here_the_title_is_asked_for(client):
    reader = make.subscriber()
    page = words_of(paste(client, reader, "On all the soups\narXiv:2101.99999\nsoup"))
    assert "1 arXiv id is of a paper that is not here: give its title instead." in page
    assert "1 entry could not be read: soup" in page
    response = client.post(address(reader), {"text": "2101.99999\n2101.99998"})
    page = " ".join(response.content.decode().split())
    assert response.status_code == 400
    assert "2 arXiv ids are of papers that are not here: give their titles" in page
    assert "No paper could be read" not in page


def test_the_latest_papers_are_kept(client, monkeypatch):
    monkeypatch.setattr(library, "MOST", 3)
    reader = make.subscriber()
    entries = [f"@misc{{k{year}, title = {{Soups of {year}}}, year = {year}}}" for year in YEARS]
    page = words_of(paste(client, reader, "\n".join(["@misc{a, title = {Of no year}}", *entries])))
    assert "3 papers are new" in page
    assert "3 older ones are left out: the 3 latest are kept." in page
    assert known_to(reader) == ["Soups of 2024", "Soups of 2023", "Soups of 2022"]
    later = "@misc{a, title = {Soups of now}, year = 2025}\n@misc{b, title = {Old}, year = 1999}"
    page = words_of(paste(client, reader, later))
    assert "1 paper is new" in page
    assert "1 older one is left out" in page
    assert known_to(reader) == ["Soups of now", "Soups of 2024", "Soups of 2023"]


def test_the_page_names_what_could_not_be_read_shortened_and_escaped(client):
    bad = ["<b>x", "y" * 200, "z", "w"]
    page = paste(client, make.subscriber(), "\n".join(["On all the soups", *bad]))
    said = lxml.html.fromstring(page.content).get_element_by_id("said")
    assert [one.text for one in said.iter("bdi")] == ["<b>x", "y" * 39 + "…", "z"]
    assert said.text_content().endswith(f"4 entries could not be read: <b>x, {'y' * 39}…, z, …")


def test_what_could_not_be_read_stands_in_no_address(client):
    """Proxies keep addresses in their logs."""
    reader = make.subscriber()
    for text in ("On all the soups\nsecret", "secret", "On all the soups"):
        answers = client.post(address(reader), {"text": text}, follow=True)
        assert "secret" not in str(answers.redirect_chain)
        assert not answers.cookies


def test_to_send_the_form_in_again_adds_nothing_and_tells_the_names_again(client):
    reader = make.subscriber()
    for told in ("1 paper is new in your library.", "1 was there already."):
        page = words_of(paste(client, reader, "On all the soups\nsoup"))
        assert told in page
        assert "1 entry could not be read: soup" in page
    assert reader.library.count() == 1


SUMS = {"new": 1, "known": 0, "left": 0, "titleless": 0, "bad": 2}


def test_a_script_learns_what_became_of_a_piece_and_has_the_page_tell_it_of_all(client):
    reader = make.subscriber()
    piece = client.post(f"{address(reader)}?part", {"text": "On all the soups\nsoup\nstew"})
    assert piece.json() == SUMS | {"unread": ["soup", "stew"]}
    page = client.post(address(reader), piece.json())
    assert page.status_code == 200
    assert "2 entries could not be read: soup, stew" in words_of(page)
    assert reader.library.count() == 1
    answer = client.post(address(reader), SUMS | {"new": 12, "bad": 0})
    assert answer.url == f"{address(reader)}?new=12&known=0&left=0&titleless=0&bad=0"
    assert "12 papers are new in your library." in words_of(client.get(answer.url))


def test_entries_without_a_name_that_could_not_be_read_are_counted(client):
    page = client.post(address(make.subscriber()), SUMS | {"unread": [" ", ""]}, follow=True)
    assert "2 entries could not be read." in words_of(page)


def test_names_that_a_form_made_up_are_shortened_and_escaped(client):
    made_up = SUMS | {"new": "x", "known": 9, "unread": ["<b>" * 99, "b", "c", "d"]}
    page = client.post(address(make.subscriber()), made_up)
    assert "<b>" not in page.content.decode()
    assert words_of(page).count("b>…, b, c") == 1
    assert client.get(address(make.subscriber()), made_up).content.count(b"could not be read") == 1


def test_what_holds_no_paper_is_refused_and_stays_in_the_form(client):
    response = client.post(address(make.subscriber()), {"text": "hello\nthere"})
    assert response.status_code == 400
    page = lxml.html.fromstring(response.content)
    assert page.xpath("//textarea")[0].text.strip() == "hello\nthere"
    assert "No paper could be read" in page.xpath("//*[@role='alert']")[0].text


def test_where_nothing_was_brought_the_page_tells_nothing_of_it(client):
    page = lxml.html.fromstring(client.get(address(make.subscriber())).content)
    assert not page.xpath("//*[@id='said']")


def test_a_file_of_which_no_piece_could_be_read_is_told(client):
    page = client.post(address(make.subscriber()), SUMS | {"new": 0})
    assert page.status_code == 400
    assert "No paper could be read" in words_of(page)


@pytest.mark.parametrize("told", ["new=x", "new=-1", "new=" + "9" * 5000, "page=9"])
def test_an_address_that_was_made_up_shows_the_library(client, told):
    assert client.get(f"{address(taught())}?{told}").status_code == 200


def test_a_paper_is_taken_out_by_its_reader_alone(client):
    reader, other = make.subscriber(), make.subscriber()
    library.add(reader, BIBTEX, NOW)
    library.add(other, BIBTEX, NOW)
    hers = reader.library.get(title__startswith="Sp")
    client.post(address(other), {"paper": hers.pk})
    assert reader.library.count() == other.library.count() == 2
    client.post(address(reader), {"paper": hers.pk})
    assert known_to(reader) == ["A second work on noodles"]


def test_what_she_changes_is_learned_from_soon(client, monkeypatch):
    asked = []
    monkeypatch.setattr(library, "hint", asked.append)
    reader = make.subscriber()
    paste(client, reader, BIBTEX)
    client.post(address(reader), {"all": "forget"})
    assert asked == [tasks.learn_from_feedback] * 2


def test_of_one_who_was_erased_no_paper_is_taken_out():
    reader = make.subscriber()
    library.add(reader, BIBTEX, NOW)
    papers = reader.library.all()
    erasing.erase(Subscriber.objects.get(), now=NOW)
    with pytest.raises(Subscriber.DoesNotExist):
        library.take_out(reader, papers)


def test_who_takes_out_nothing_has_nothing_learned_anew(client):
    reader = taught()
    assert not ReaderModel.objects.outdated(NOW).exists()
    client.post(address(reader), {"paper": 10**9})
    assert not ReaderModel.objects.outdated(NOW).exists()


def test_numbers_of_thousands_of_digits_break_no_page(client):
    reader, digits = make.subscriber(), "9" * 5_000
    library.add(reader, BIBTEX, NOW)
    assert client.post(address(reader), {"paper": digits}).status_code == 302
    assert reader.library.count() == 2
    assert client.get(address(reader), {"new": digits}).status_code == 200


def test_who_takes_papers_out_stays_on_the_page_that_she_is_on(client, monkeypatch):
    monkeypatch.setattr(library, "PAGE", 2)
    reader = make.subscriber()
    library.add(reader, "\n".join(f"On the soups of {year}" for year in YEARS), NOW)
    page = lxml.html.fromstring(client.get(f"{address(reader)}?page=2").content)
    form = page.forms[1]
    answer = client.post(form.action, dict(form.fields), follow=True)
    assert reader.library.count() == 4
    assert answer.context["page"].number == 2


def test_a_library_is_forgotten_and_what_it_taught_with_it(client):
    reader = taught()
    client.post(address(reader), {"all": "forget"})
    steering.learn(NOW)
    assert not reader.library.exists()
    assert steering.learned_words(reader) == []


@pytest.mark.parametrize("sent", [{}, {"paper": "x"}, {"all": "no"}])
def test_other_wishes_are_refused(client, sent):
    reader = taught()
    assert client.post(address(reader), sent).status_code == 400
    assert reader.library.exists()


def test_only_the_link_to_her_preferences_opens_it(client):
    reader = make.subscriber()
    for purpose in ("feedback", "unsubscribe", "feed"):
        other = reverse("library", args=[links.token(purpose, reader.public_id)])
        assert client.get(other).status_code == 404
        assert client.post(other, {"text": BIBTEX}).status_code == 404
    assert not LibraryPaper.objects.exists()


def test_resetting_forgets_the_library_too():
    reader = taught()
    erasing.reset(reader)
    assert not reader.library.exists()


def test_the_export_has_the_library_and_erasing_leaves_none_of_it():
    reader = make.subscriber()
    library.add(reader, BIBTEX, NOW)
    (_, one) = exporting.export(reader)["library"][::-1]
    assert (one["title"], one["year"]) == ("Spätzle and the ℓ₁ norm", 2021)
    erasing.erase(reader, now=NOW)
    assert not LibraryPaper.objects.exists()


def test_the_version_before_which_knows_no_library_can_erase_a_reader_who_has_one():
    reader = make.subscriber()
    library.add(reader, BIBTEX, NOW)
    reader.reader_model.delete()
    reader.consents.all().delete()
    with CaptureQueriesContext(connection) as queries:
        Subscriber.objects.filter(pk=reader.pk)._raw_delete("default")
    assert "library" not in str(queries.captured_queries)
    assert not LibraryPaper.objects.exists()
    connection.check_constraints()
