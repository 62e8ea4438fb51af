"""Rows of bioRxiv's and medRxiv's lists become records, whatever stands in them."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources.biorxiv import BioRxiv
from digest.sources.records import Record
from tests import biorxiv
from tests.biorxiv import TODAY
from tests.biorxiv_server import publication, row
from tests.harvests import Told, anything, only

server, harvests, run = biorxiv.server, biorxiv.harvests, biorxiv.run


def test_what_a_row_tells_of_a_paper_becomes_a_record(server, run):
    server.add(
        TODAY, 7, title="On  {beta}", abstract="ABSTRACTBread rises.", category="cell_biology"
    )
    assert only(run()) == Record(
        id="biorxiv:10.64898/2026.06.03.000007",
        title="On β",
        abstract="Bread rises.",
        day=TODAY,
        authors=["K. Roe", "J. Doe"],
        categories=["cell biology"],
        url="https://doi.org/10.64898/2026.06.03.000007",
        version=1,
        announced_as="new",
        doi="10.64898/2026.06.03.000007",
        license="https://creativecommons.org/licenses/by/4.0/",
    )


def test_both_servers_are_asked_alike_and_keep_their_papers_apart(server, run):
    server.add(TODAY, 1, server="medrxiv")
    server.add(TODAY, 1)
    assert only(run(name="medrxiv")).id == "medrxiv:10.64898/2026.06.03.000001"
    assert only(run(name="biorxiv")).id == "biorxiv:10.64898/2026.06.03.000001"
    assert BioRxiv("medrxiv").queue == BioRxiv("biorxiv").queue


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("Roe, K.; Doe, J. M.", ["K. Roe", "J. M. Doe"]),
        ("van der Berg, J.; Badia-i-Mompel, P.", ["J. van der Berg", "P. Badia-i-Mompel"]),
        ("Doe, J., Jr.; García Márquez, G.", ["J. Doe Jr.", "G. García Márquez"]),
        ("The Bread Consortium; Madonna", ["The Bread Consortium", "Madonna"]),
        ("Bakers, Millers, and Others", ["Bakers, Millers, and Others"]),
        ("Roe, K.; ; ", ["K. Roe"]),
        pytest.param(f"Roe, K.;{' ' * 200_000}Doe, J.", ["K. Roe"], id="far too long"),
        ("", []),
    ],
)
def test_authors_are_named_as_papers_of_other_sources_name_them(server, run, written, names):
    server.add(TODAY, authors=written)
    assert only(run()).authors == names


@pytest.mark.parametrize(
    ("written", "categories"), [("cancer_biology", ["cancer biology"]), ("NA", []), (None, [])]
)
def test_a_category_is_named_in_words_where_there_is_one(server, run, written, categories):
    server.add(TODAY, category=written)
    assert only(run()).categories == categories


@pytest.mark.parametrize(
    ("doi", "day"),
    [
        ("10.64898/2026.05.30.000001", date(2026, 5, 30)),
        ("10.1101/2023.01.02.23000001", date(2023, 1, 2)),
        ("10.1101/123456", date(2019, 12, 10)),
        ("10.1101/2026.13.41.000001", date(2019, 12, 10)),
        ("10.1101/0001.01.01.000001", date(2019, 12, 10)),
        ("10.1101/2099.01.01.000001", TODAY),
    ],
)
def test_a_later_version_is_of_the_day_that_its_doi_names(server, run, doi, day):
    server.add(TODAY, doi=doi, version="2")
    record = only(run())
    assert (record.day, record.day_is_estimate, record.announced_as) == (day, True, "replace")


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-06-03", TODAY),
        ("2026-06-01", date(2026, 6, 1)),
        ("2026-06-04", TODAY),
        ("0001-01-01", TODAY),
        ("recently", TODAY),
        (None, TODAY),
        (["2026-06-01"], TODAY),
    ],
)
def test_a_first_version_is_of_the_day_on_which_it_was_posted(server, run, written, day):
    server.add(TODAY, date=written)
    assert (only(run()).day, only(run()).day_is_estimate) == (day, False)


def test_versions_of_one_day_are_one_paper_the_later_of_the_day_of_the_earlier(server, run):
    server.add(TODAY, version="2", title="Better")
    server.add(TODAY, version="1", title="Good")
    record = only(run())
    assert (record.title, record.version, record.announced_as) == ("Better", 2, "new")
    assert (record.day, record.day_is_estimate) == (TODAY, False)


@pytest.mark.parametrize(
    ("written", "version"), [("3", 3), (3, 3), ("", None), (None, None), ("x", None), (10**8, None)]
)
def test_a_version_is_a_number_however_it_is_written(server, run, written, version):
    server.add(TODAY, version=written)
    assert only(run()).version == version


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "WITHDRAWN"},
        {"title": "WITHDRAWN: On bread"},
        {"abstract": "This manuscript has been withdrawn by the authors."},
        {"abstract": "The authors have withdrawn their manuscript because of a mistake."},
        {"abstract": "Withdrawal StatementThe authors have asked for it."},
        {"abstract": "bioRxiv has withdrawn this article."},
    ],
)
def test_a_withdrawal_is_told_by_its_kind_its_title_or_its_abstract(server, run, fields):
    server.add(TODAY, version="2", **fields)
    assert only(run()).is_withdrawn


@pytest.mark.parametrize(
    "abstract",
    [
        "Withdrawal of bread is felt within hours.",
        "The authors have baked. A drug was withdrawn.",
        "Opioid-withdrawn mice were fed.",
    ],
)
def test_what_is_about_withdrawal_is_not_withdrawn(server, run, abstract):
    server.add(TODAY, abstract=abstract)
    assert not only(run()).is_withdrawn


@pytest.mark.parametrize(
    ("published", "doi"),
    [
        ("10.1038/S41586-026-1", "10.1038/s41586-026-1"),
        ("https://doi.org/10.1038/s1", "10.1038/s1"),
        ("NA", "10.64898/2026.06.03.000001"),
        ("", "10.64898/2026.06.03.000001"),
        ("soon", "10.64898/2026.06.03.000001"),
    ],
)
def test_the_doi_is_the_journals_where_there_is_one(server, run, published, doi):
    server.add(TODAY, published=published)
    record = only(run())
    assert (record.doi, record.url) == (doi, "https://doi.org/10.64898/2026.06.03.000001")


@pytest.mark.parametrize(
    ("written", "identity"),
    [
        ("10.1101/2026.06.03.7", "biorxiv:10.1101/2026.06.03.7"),
        ("10.1101/123456v2", "biorxiv:10.1101/123456"),
        (" https://doi.org/10.1101/ABC(1) ", "biorxiv:10.1101/abc(1)"),
    ],
)
def test_an_id_is_the_doi_without_address_version_and_case(server, run, written, identity):
    server.add(TODAY, doi=written)
    assert only(run()).id == identity


@pytest.mark.parametrize(
    ("written", "licence"),
    [
        ("cc_by_nc_nd", "https://creativecommons.org/licenses/by-nc-nd/4.0/"),
        ("CC0", "https://creativecommons.org/publicdomain/zero/1.0/"),
        ("cc_no", ""),
        (None, ""),
    ],
)
def test_a_licence_is_its_address(server, run, written, licence):
    server.add(TODAY, license=written)
    assert only(run()).license == licence


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (None, "2026-06-03, row 2: it is no paper's row"),
        ([], "2026-06-03, row 2: it is no paper's row"),
        ({}, "2026-06-03, row 2: it has no DOI"),
        (row(TODAY, doi="what?"), "what?: it has no DOI"),
        (row(TODAY, doi="../../10.1101/1"), "../../10.1101/1: it has no DOI"),
        (row(TODAY, doi=10.1), "2026-06-03, row 2: doi is no text"),
        (row(TODAY, doi="10.1101/" + "1" * 99), None),
        (row(TODAY, 9, title=""), "10.64898/2026.06.03.000009: it has no title"),
        (row(TODAY, 9, title=["a"]), "10.64898/2026.06.03.000009: title is no text"),
        (row(TODAY, 9, authors=["A. One"]), "10.64898/2026.06.03.000009: authors is no text"),
        (row(TODAY, 9, published={}) | {"published": {1: 2}}, None),
    ],
)
def test_a_bad_row_is_one_bad_record(server, run, spoilt, said):
    server.lists["biorxiv", TODAY] = [row(TODAY, 1), spoilt, row(TODAY, 3)]
    (batch,) = run()
    assert [record.title for record in batch.records] == ["Paper 1", "Paper 3"]
    assert len(batch.bad) == 1
    assert said in (None, batch.bad[0])
    assert (batch.state, batch.missing) == ("fresh", 0)


def test_text_from_outside_is_plain(server, run):
    server.add(
        TODAY,
        title="<b>Bread</b>\x00 &amp; rye",
        abstract="\u202eabout <i>it</i>",
        authors="O\nne, A.",
        category="<script>",
    )
    record = only(run())
    assert (record.title, record.abstract, record.authors) == (
        "Bread & rye",
        "about it",
        ["A. O ne"],
    )


fields = st.sampled_from(sorted(row(TODAY) | publication(TODAY, "")))
rows = st.dictionaries(fields, anything | st.just("10.1101/1"))


@given(st.lists(anything | rows, max_size=5), anything)
def test_whatever_a_row_is_it_is_a_record_or_a_bad_one(told, total):
    message = {"status": "ok", "total": total}
    source = BioRxiv().harvest(
        Told({"messages": [message], "collection": told}), today=TODAY, since=TODAY, cursor=""
    )
    for batch in source:
        assert len(batch.records) + len(batch.bad) <= len(told)
        assert bool(batch.records or batch.bad) == bool(told)
