"""A bibliography is read: BibTeX, RIS, what other programs save, or titles alone."""

import time
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from digest.models import Paper
from digest.papers import citations
from digest.sources import bibliographies
from tests.factories.libraries import BIBTEX
from tests.helpers import data_files
from tests.helpers.data_files import as_json, cases

CASES = cases("bibliographies")

ENDNOTE_XML = data_files.text("soups.xml")


def read(text):
    return bibliographies.read(text).records


@pytest.mark.parametrize("before", ["", "\ufeff", "Exported by a program\n\n", "% a comment\n"])
@pytest.mark.parametrize(("file", "works"), CASES["formats"])
def test_each_format_is_read(file, works, before):
    text = before + data_files.text(file)
    for written in (text, text.replace("\n", "\r\n")):
        read_in = bibliographies.read(written)
        assert [
            [one.title, one.abstract, str(one.day or ""), one.id if is_known(one) else ""]
            for one in read_in.records
        ] == works
        assert read_in.unread_count == 0


def is_known(record):
    return not record.id.startswith("title:")


def test_broken_entry_costs_only_itself():
    broken = BIBTEX + "@article{three, title = {Never closed\n\n@article{four, title = {Third one}}"
    read_in = bibliographies.read(broken)
    assert [record.title for record in read_in.records][-1] == "Third one"
    assert (len(read_in.records), read_in.unread_count, read_in.unread_names) == (3, 1, ["three"])


def test_entries_with_same_key_are_both_read():
    twice = "@book{a, title = {The first of two}}\n@book{a, title = {The second of two}}"
    assert [one.title for one in read(twice)] == ["The first of two", "The second of two"]


def test_case_protecting_braces_are_removed():
    for title, read_as in CASES["case_braces"]:
        (one,) = read(f"@misc{{k, title = {{{title}}}}}")
        assert one.title == read_as


@pytest.mark.parametrize("written", [citations.bibtex, citations.ris])
@pytest.mark.parametrize("title", ["Soups & breads: a survey", "x < y at 5 % of #1"])
def test_exported_papers_can_be_imported(written, title):
    paper = Paper(id="2606.00001", title=title, abstract="On soups.", day=date(2026, 6, 1))
    (one,) = read(written([paper]))
    assert (one.id, one.title) == (paper.pk, paper.title)


def test_arxiv_id_is_found_in_any_field():
    for field, identity in CASES["arxiv_ids"]:
        (one,) = read(f"@misc{{k, title = {{Soups}}, {field}}}")
        assert one.id.startswith(identity)


def test_unusual_fields_are_read():
    for text, expected in CASES["unusual"]:
        (one,) = read(text)
        assert as_json({name: getattr(one, name) for name in expected}) == expected


def test_broken_endnote_record_costs_only_itself():
    broken = ENDNOTE_XML.replace("<abstract>", "<abstract>&bomb;<b>", 1)
    read_in = bibliographies.read(broken)
    assert [one.title for one in read_in.records] == ["Another soup"]
    assert (read_in.unread_count, "Soup, and what" in read_in.unread_names[0]) == (1, True)
    cut = ENDNOTE_XML[ENDNOTE_XML.index("<record><ref") :]
    assert [one.title for one in read(cut)] == ["Another soup"]
    deep = "<record><titles><title>" + "<i>" * 100_000
    assert bibliographies.read(deep * 3).unread_count == 3


@pytest.mark.parametrize(("name", "text"), CASES["refused"])
def test_other_formats_are_refused_by_name(name, text):
    with pytest.raises(bibliographies.UnreadableFormat) as refused:
        bibliographies.read(text)
    assert str(refused.value) == name


def test_titles_resembling_other_formats_are_read():
    for text in CASES["titles"]:
        assert bibliographies.read(text).records


def test_list_labels_are_removed_from_titles():
    for label in ["1. ", "[12] ", "(3) ", "- ", "* "]:
        title, number = read(f"{label}3D soups at home\n{label}arXiv:2104.00003 [cs.LG]")
        assert (title.title, number.id) == ("3D soups at home", "2104.00003")


def test_duplicate_entries_keep_the_abstract():
    (one,) = read(
        "@misc{a, title = {On soups}, abstract = {Hot.}}\n@misc{b, title = {On soups}, year = 2020}"
    )
    assert one.abstract == "Hot."


def test_entries_beyond_limit_count_as_unread(monkeypatch):
    monkeypatch.setattr(bibliographies, "MAX_ENTRIES", 2)
    read_in = bibliographies.read(
        "".join(f"@misc{{k{n}, title = {{Soup {n}}}}}\n" for n in range(4))
    )
    assert [one.title for one in read_in.records] == ["Soup 0", "Soup 1"]
    assert (read_in.unread_count, read_in.unread_names) == (1, ["k2"])
    monkeypatch.setattr(bibliographies, "MAX_MARKS", 3)
    marked = "".join(f"@misc{{k{n}, title = {{\\emph{{Soup}} {n}}}}}\n" for n in range(2))
    assert [one.title for one in read(marked)] == ["Soup 0", "emph Soup 1"]


def test_plain_lines_are_titles_or_arxiv_ids():
    read_in = bibliographies.read(
        "Attention and what it needs\n\nhttps://arxiv.org/abs/1706.03762v5\n"
        "10.48550/arXiv.2106.09685\nhello\n" + "x y z " * 100
    )
    ids = [record.id for record in read_in.records]
    assert read_in.records[0].title == "Attention and what it needs"
    assert ids[1:] == ["1706.03762", "2106.09685"]
    assert read_in.unread_count == 2
    assert read_in.unread_names == ["hello", "x y z " * 50]


@pytest.mark.slow
@given(
    st.text(max_size=40), st.text(max_size=40), st.sampled_from(["", "2402.00001", "math/0309136"])
)
@example("Costs of \\$5 and \\$6", "x\u2028TY  - JOUR", "")
@example("", "TI  - Soup", "2402.00001")
def test_records_survive_a_round_trip(title, abstract, number):
    fields = (("title", title), ("abstract", abstract), ("eprint", number))
    entry = ", ".join(f"{name} = {{{value}}}" for name, value in fields)
    records = read(f"@misc{{k, {entry}}}")
    assert read("".join(map(bibliographies.ris, records))) == records


def test_arxiv_ids_between_entries_are_read():
    for entry in CASES["entries"]:
        ids = ("1706.03762v5\n", "- arXiv:2106.09685\n\n", "2201.00001, math/0309136; 2402.00002")
        bibtex = "@misc{b, title = {On bread}}\n"
        for first, second in ((entry, bibtex), (bibtex, entry)):
            read_in = bibliographies.read(ids[0] + first + ids[1] + second + ids[2])
            expected = {"1706.03762", "2106.09685", "2201.00001", "math/0309136", "2402.00002"}
            assert {one.title for one in read_in.records} == {"On soups", "On bread", ""}
            assert {one.id for one in read_in.records if not one.title} == expected
            assert read_in.unread_count == 0


def test_id_within_an_entry_belongs_to_it():
    """Addresses of the same paper on lines of their own, and an abstract that ends with an id."""
    ris = "TY  - JOUR\nTI  - On soups\nUR  - https://x.org\nhttps://arxiv.org/abs/2402.00001\n"
    bibtex = "@misc{a, title = {On soups}, abstract = {As in\n2402.00001\n}}"
    assert [one.id for one in read(ris)] == ["2402.00001"]
    assert [one.title for one in read(bibtex)] == ["On soups"]


def test_line_may_contain_several_ids():
    read_in = bibliographies.read("1. 1706.03762 [cs.CL], 2106.09685\n2106.09686 and\n, ;\n[cs.CL]")
    assert [one.id for one in read_in.records] == ["1706.03762", "2106.09685"]
    assert read_in.unread_names == ["2106.09686 and", ", ;", "[cs.CL]"]


def test_first_unreadable_entries_are_named():
    for text, unread in CASES["unread"]:
        assert bibliographies.read(text).unread_names == unread


def test_unreadable_text_is_not_logged(caplog):
    bibliographies.read("@article{secret, title = {secret")
    assert not caplog.records


PIECES = ["@article{", "@a{b,\n", "@a{b, c = ", "{", '"', "\\", "TY  - \n", "xxxx\n", "$"]


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_parsing_rubbish_takes_linear_time(piece):
    begun = time.thread_time()
    for head in ("", "@a{b, title = {", "TY  - JOUR\nAB  - "):
        read_in = bibliographies.read(head + piece * (20_000 // len(piece)))
        assert read_in.unread_count <= bibliographies.MAX_ENTRIES
    assert time.thread_time() - begun < 2


def test_entries_are_separated_from_other_lines():
    bibtex = "@misc{a,\n title = {Sea {ice}}\n}"
    assert bibliographies.split_entries(f"tea\n{bibtex}\nsalt\n{bibtex}\nrice") == (
        f"{bibtex}\n{bibtex}",
        ["tea", "salt", "rice"],
    )
    ris = "TY  - JOUR\nTI  - Roads of {asphalt}\nAB  - We weigh it.\nER  - "
    assert bibliographies.split_entries(f"tea\n{ris}\nrice") == (ris, ["tea", "rice"])
    endnote = "<xml><records><record><rec-number>1</rec-number></record></records></xml>"
    assert bibliographies.split_entries(f"tea\n{endnote}\nrice") == (endnote, ["tea", "rice"])
    assert bibliographies.split_entries("tea") == ("", ["tea"])
