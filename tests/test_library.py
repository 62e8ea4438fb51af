"""A reader's library: her bibliography is read, kept, and learned from."""

import time
from datetime import date, timedelta

import lxml.html
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from digest import citations, fitting, library, planning, steering, tasks
from digest.models import LibraryPaper, Pick, ReaderModel
from digest.ranking.learning import learn
from digest.sources import bibliographies
from subscriptions import erasing, exporting, links
from subscriptions.models import Subscriber
from subscriptions.post import delivery
from tests import corpora, make
from tests.make import NOW
from tests.themes import MOLECULES, ROADS, others, theme

YEARS = range(2020, 2025)

pytestmark = pytest.mark.django_db

BIBTEX = r"""
@string{nips = {Advances}}
@article{one,
  title = {{Sp{\"a}tzle} and the $\ell_1$ norm},
  abstract = {On noodles, their \emph{shapes} and {50\%} of all.},
  journal = nips,
  year = 2021,
}

@misc{two, title = "A second work on noodles", eprint = {2401.01234v2}, archiveprefix = {arXiv}}
"""
RIS = """TY  - JOUR
TI  - Soup,
      and what is in it
AB  - All of it.
PY  - 2019/03/01
ER  -

TY  - CONF
T1  - Another soup
UR  - https://arxiv.org/abs/2402.00001
ER  -
"""


def read(text):
    return bibliographies.read(text).records


def address(reader):
    return reverse("library", args=[links.token("preferences", reader.public_id)])


def paste(client, reader, text):
    return client.post(address(reader), {"text": text}, follow=True)


def known_to(reader):
    return [paper.title for paper in reader.library.all()]


def words_of(response):
    return " ".join(
        lxml.html.fromstring(response.content).xpath("//main")[0].text_content().split()
    )


# ---- Reading


def test_bibtex_is_read_with_its_latex_made_plain():
    one, two = read(BIBTEX)
    assert one.title == "Spätzle and the ℓ₁ norm"
    assert one.abstract == "On noodles, their shapes and 50% of all."
    assert one.day.year == 2021
    assert (two.id, two.title, two.day) == (
        "2401.01234",
        "A second work on noodles",
        date(2024, 1, 1),
    )


def test_a_date_tells_the_year_as_well():
    (one,) = read("@online{one, title = {On soups}, date = {2021-05-06}}")
    assert one.day == date(2021, 1, 1)


def test_ris_is_read_over_several_lines():
    one, two = read(RIS)
    assert (one.title, one.abstract) == ("Soup, and what is in it", "All of it.")
    assert one.day.year == 2019
    assert (two.id, two.title) == ("2402.00001", "Another soup")


def test_a_broken_entry_costs_itself_alone():
    broken = BIBTEX + "@article{three, title = {Never closed\n\n@article{four, title = {Third one}}"
    told = bibliographies.read(broken)
    assert [record.title for record in told.records][-1] == "Third one"
    assert (len(told.records), told.bad, told.unread) == (3, 1, ["three"])


def test_two_entries_of_one_key_are_both_read():
    twice = "@book{a, title = {The first of two}}\n@book{a, title = {The second of two}}"
    assert [one.title for one in read(twice)] == ["The first of two", "The second of two"]


@pytest.mark.parametrize(
    ("title", "read_as"),
    [
        ("{{BERT}}: {{Pre-training}} of Soups", "BERT: Pre-training of Soups"),
        ("{{{BERT}} on Soups}", "BERT on Soups"),
        ("{L}earning {T}o {R}ank {{LSTM}}s", "Learning To Rank LSTMs"),
        ("The {{L{\\'e}vy}} and {{$x_{i}^{2}$}} of {\\textbf{soups}}", "The Lévy and xᵢ² of soups"),
        ("A set \\{ of {{soups}} \\}", "A set { of soups }"),
        ("{Soups \\& breads at 5\\%}", "Soups & breads at 5%"),
    ],
)
def test_braces_that_keep_letters_large_are_not_read(title, read_as):
    (one,) = read(f"@misc{{k, title = {{{title}}}}}")
    assert one.title == read_as


@pytest.mark.parametrize("written", [citations.bibtex, citations.ris])
@pytest.mark.parametrize("title", ["Soups & breads: a survey", "x < y at 5 % of #1"])
def test_what_she_takes_from_here_can_be_brought_here(written, title):
    paper = make.paper(title)
    (one,) = read(written([paper]))
    assert (one.id, one.title, one.abstract) == (paper.pk, paper.title, paper.abstract)


def test_a_subtitle_belongs_to_the_title():
    (one,) = read("@book{k, title = {On all soups}, subtitle = {And some {{Breads}}}}")
    assert one.title == "On all soups: And some Breads"


@pytest.mark.parametrize(
    "said",
    [
        "eprint = {arXiv:2104.00003v1 [cs.LG]}",
        "arxivId = {2104.00003}",
        "doi = {https://doi.org/10.48550/ARXIV.2104.00003}",
        "journal = {arXiv preprint arXiv:2104.00003}",
        "howpublished = {\\url{https://arxiv.org/pdf/2104.00003.pdf}}",
    ],
)
def test_the_number_of_arxiv_is_found_where_programs_write_it(said):
    (one,) = read(f"@misc{{k, title = {{Soups}}, {said}}}")
    assert (one.id, one.day.year) == ("2104.00003", 2021)


@pytest.mark.parametrize("said", ["eprint = {12345678}", "journal = {Nature 12, 2104}"])
def test_other_numbers_are_none_of_arxiv(said):
    (one,) = read(f"@misc{{k, title = {{Soups}}, {said}}}")
    assert one.id.startswith("title:")


def test_what_ris_says_by_two_tags_is_read_once():
    (one,) = read("TY  - JOUR\nT1  - Soup\nTI  - Soup\nAB  - Hot.\nN2  - Hot.\nER  - \n")
    assert (one.title, one.abstract) == ("Soup", "Hot.")


def test_of_several_addresses_in_ris_that_of_arxiv_counts():
    (one,) = read(
        "TY  - JOUR\nTI  - Soup\nL1  - https://x.example/a.pdf\nUR  - https://x.example\n"
        "UR  - https://arxiv.org/abs/2402.00001\nUR  - https://y.example\nER  - \n"
    )
    assert one.id == "2402.00001"


def test_a_book_in_ris_has_a_title():
    (one,) = read("TY  - BOOK\nBT  - All of the soups\nER  - \n")
    assert one.title == "All of the soups"


def test_what_pubmed_saves_is_read():
    one, two = read(
        "PMID- 1\nOWN - NLM\nDP  - 2020 Dec\nTI  - Soup, and\n      what is in it.\n"
        "AB  - ALL: Of it.\n      GPT - too.\nFAU - Doe, Jane\n\n"
        "PMID- 2\nDP  - 2021\nTI  - Bread.\n"
    )
    assert (one.title, one.day.year) == ("Soup, and what is in it.", 2020)
    assert one.abstract == "ALL: Of it. GPT - too."
    assert (two.title, two.day.year) == ("Bread.", 2021)


def test_what_endnote_and_google_scholar_save_is_read():
    one, two = read(
        "%0 Journal Article\n%T Soup, and\nwhat is in it\n%A Doe, Jane\n%J Soups\n%D 2020\n"
        "%X It is 90 % water.\n\n"
        "%0 Generic\n%T Bread\n%A Doe, Jane\n%J arXiv preprint arXiv:2104.00003\n%D 2021\n"
    )
    assert (one.title, one.day.year) == ("Soup, and what is in it", 2020)
    assert one.abstract == "It is 90 % water."
    assert (two.id, two.title) == ("2104.00003", "Bread")


@pytest.mark.parametrize(
    "line", ["%U http://arxiv.org/abs/2104.00003", "%R 10.48550/arXiv.2104.00003"]
)
def test_an_entry_of_endnotes_may_name_arxiv_by_its_address_or_doi(line):
    (one,) = read(f"%0 Generic\n%T Bread\n{line}\n")
    assert one.id == "2104.00003"


@pytest.mark.parametrize("label", ["1. ", "[12] ", "(3) ", "- ", "* "])
def test_what_numbers_a_list_is_no_part_of_its_titles(label):
    title, number = read(f"{label}3D soups at home\n{label}arXiv:2104.00003 [cs.LG]")
    assert (title.title, number.id) == ("3D soups at home", "2104.00003")


def test_of_two_entries_of_a_work_the_abstract_is_kept():
    (one,) = read(
        "@misc{a, title = {On soups}, abstract = {Hot.}}\n@misc{b, title = {On soups}, year = 2020}"
    )
    assert one.abstract == "Hot."


def test_what_begins_more_entries_than_its_length_allows_is_not_read_on():
    told = bibliographies.read("@misc{k, title = {On soups}}\n" + "@a{" * 100_000)
    assert len(told.records) == 1
    assert 0 < told.bad <= bibliographies.MOST_ENTRIES


def test_what_is_not_read_on_counts_as_unread(monkeypatch):
    monkeypatch.setattr(bibliographies, "MOST_ENTRIES", 2)
    told = bibliographies.read("".join(f"@misc{{k{n}, title = {{Soup {n}}}}}\n" for n in range(4)))
    assert ([one.title for one in told.records], told.bad) == (["Soup 0", "Soup 1"], 1)
    assert told.unread == ["k2"]


def test_without_any_markup_each_line_is_a_title_or_an_id_of_arxiv():
    told = bibliographies.read(
        "Attention and what it needs\n\nhttps://arxiv.org/abs/1706.03762v5\n"
        "10.48550/arXiv.2106.09685\nhello\n" + "x y z " * 100
    )
    ids = [record.id for record in told.records]
    assert told.records[0].title == "Attention and what it needs"
    assert ids[1:] == ["1706.03762", "2106.09685"]
    assert told.bad == 2
    assert told.unread == ["hello", "x y z " * 50]


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("@misc{a, title = {On soups}}\n@misc{key2020, year = 2020}", ["key2020"]),
        ("@misc{a, title = {On soups}}\n@misc{b, year = 1, year = 2}", ["b"]),
        ("TY  - JOUR\nTI  - On soups\nER  -\nTY  - JOUR\nAU  - Ada\nPY  - 2020\n", ["Ada 2020"]),
        ("On all the soups\n" + "".join(f"w{n}\n" for n in range(9)), ["w0", "w1", "w2"]),
    ],
    ids=["without-title", "broken", "ris", "many"],
)
def test_the_first_entries_that_cannot_be_read_are_named(text, unread):
    assert bibliographies.read(text).unread == unread


@pytest.mark.parametrize("before", ["\ufeff", "Exported by a program\n\n", "% a comment\n"])
@pytest.mark.parametrize("text", [BIBTEX, RIS, RIS.replace("\n", "\r\n"), RIS.replace("  -", " -")])
def test_what_programs_put_before_and_between_is_passed_over(before, text):
    assert len(read(before + text)) == 2


@pytest.mark.parametrize(
    "text", ["@misc{a, title = {One of them}}", "TY  - JOUR\nTI  - One of them"]
)
def test_a_byte_order_mark_hides_no_entry(text):
    assert [one.title for one in read(f"\ufeff{text}")] == ["One of them"]


def test_what_cannot_be_read_fills_no_log(caplog):
    bibliographies.read("@article{secret, title = {secret")
    assert not caplog.records


def test_a_sign_that_no_database_keeps_costs_no_paper(client):
    reader = make.subscriber()
    paste(client, reader, "@misc{a, title = {On all\0 soups}, abstract = {Hot\0}}")
    assert known_to(reader) == ["On all soups"]


@pytest.mark.parametrize(
    "piece", ["@article{", "@a{b,\n", "@a{b, c = ", "{", '"', "\\", "TY  - \n", "xxxx\n", "$"]
)
def test_rubbish_is_read_in_seconds(piece):
    begun = time.thread_time()
    for head in ("", "@a{b, title = {", "TY  - JOUR\nAB  - "):
        bibliographies.read(head + piece * (100_000 // len(piece)))
    assert time.thread_time() - begun < 10


# ---- Keeping


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


def test_entries_without_a_name_that_could_not_be_read_are_counted(client):
    page = client.get(f"{address(make.subscriber())}?new=1&known=0&left=0&bad=2&unread=%20&unread=")
    assert "2 entries could not be read." in words_of(page)


def test_what_holds_no_paper_is_refused_and_stays_in_the_form(client):
    response = client.post(address(make.subscriber()), {"text": "hello\nthere"})
    assert response.status_code == 400
    page = lxml.html.fromstring(response.content)
    assert page.xpath("//textarea")[0].text.strip() == "hello\nthere"
    assert "No paper could be read" in page.xpath("//*[@role='alert']")[0].text


def test_a_file_of_which_no_piece_could_be_read_is_told(client):
    page = client.get(f"{address(make.subscriber())}?new=0&known=0&left=0&bad=2")
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


# ---- Learning


def taught(count=12):
    """Make a reader who follows nothing, and whose library has so many papers on molecules."""
    past = NOW.date() - timedelta(days=20)
    others(day=past)
    theme(ROADS, 0, 6, day=past)
    known = theme(MOLECULES, 0, count, day=past)
    fitting.fit(NOW)
    reader = make.subscriber(size=3)
    entries = [f"@misc{{k, title = {{{p.title}}}, abstract = {{{p.abstract}}}}}" for p in known]
    library.add(reader, "\n".join(entries), NOW)
    steering.learn(NOW)
    return reader


def test_a_library_brings_its_like_without_any_topic():
    reader = taught()
    (new,) = theme(MOLECULES, 12, 1)
    theme(ROADS, 6, 7)
    planning.plan(NOW)
    (pick,) = Pick.objects.filter(subscriber=reader)
    assert pick.paper == new
    assert pick.why.startswith("Like what you chose: ")


def test_who_has_told_by_papers_what_she_reads_gets_nothing_that_trends(outbox):
    reader = taught(12)
    theme(MOLECULES, 12, 1)
    make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    planning.plan(NOW)
    assert {pick.basis for pick in Pick.objects.filter(subscriber=reader)} == {"learned"}
    delivery.deliver_due(lambda: NOW)
    text = outbox()[0].get_body(("plain",)).get_content()
    assert "You follow no topic yet" not in text


def test_three_papers_alone_are_not_enough_to_keep_out_what_trends():
    reader = taught(3)
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    planning.plan(NOW)
    assert Pick.objects.filter(subscriber=reader, paper=trending).exists()


def test_who_took_out_all_words_of_her_library_gets_what_trends():
    reader = taught()
    for term in ReaderModel.objects.get(subscriber=reader).terms:
        steering.remove_word(reader, term)
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    planning.plan(NOW)
    assert Pick.objects.filter(subscriber=reader, paper=trending).exists()


def test_who_said_more_ten_times_and_brought_no_library_gets_what_trends_as_before():
    reader = make.subscriber()
    others(day=NOW.date() - timedelta(days=20))
    for paper in theme(MOLECULES, 0, 12, day=NOW.date() - timedelta(days=20)):
        steering.say(reader, paper, "more", NOW)
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    fitting.fit(NOW)
    steering.learn(NOW)
    planning.plan(NOW)
    assert Pick.objects.filter(subscriber=reader, paper=trending).exists()


def test_how_near_new_papers_must_be_is_measured_by_whole_papers():
    model = corpora.model()
    baking = [corpora.library()[place] for place in corpora.of_subject("baking")]
    titles = [f"{text.splitlines()[0]}\n" * 2 for text in baking]
    of_whole = learn(model, library=baking, liked=[]).floor
    assert learn(model, library=titles, liked=[]).floor < of_whole
    mixed = learn(model, library=baking + titles, liked=[]).floor
    assert mixed == pytest.approx(of_whole, abs=0.1)


def test_switched_off_and_on_again_it_is_learned_from_again():
    reader = taught()
    steering.set_learning(reader, False)
    assert steering.learned_words(reader) == []
    steering.set_learning(reader, True)
    steering.learn(NOW)
    assert steering.learned_words(reader)


def test_what_is_said_of_new_papers_is_heard_beside_a_large_library():
    model = corpora.model()
    stars, baking = (
        [corpora.library()[place] for place in corpora.of_subject(subject)]
        for subject in ("stars", "baking")
    )
    learned = learn(model, baking[:5], library=stars * 20)
    words = dict(zip(learned.terms, learned.weights, strict=True))
    alone = learn(model, baking[:5])
    of_baking = set(alone.terms[:5])
    heaviest = max(abs(weight) for weight in learned.weights)
    assert max(words.get(term, 0) for term in of_baking) > heaviest / 4


def test_her_preferences_say_what_was_learned_from_and_lead_to_her_library(client):
    reader = taught(12)
    page = words_of(client.get(links.preferences_url(reader)))
    assert "Learned from your library and from what you said of papers:" in page
    assert "Your library: 12 papers" in page
    newcomer = words_of(client.get(links.preferences_url(make.subscriber())))
    assert "Bring your library" in newcomer
