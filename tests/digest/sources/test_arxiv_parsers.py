"""arXiv's feeds, lists and answers become records, whatever is in them."""

from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources.arxiv import api, oai_pmh, rss
from digest.sources.arxiv.fields import author_names
from digest.sources.base import MalformedFeed
from digest.sources.records import Record
from tests.factories.announcements import listed
from tests.helpers.data_files import cases
from tests.servers import arxiv
from tests.servers.arxiv import BOMB, DEEP, WEB_PAGE, Known, oai, rss_channel, rss_item

CASES = cases("arxiv_texts")

DAY = date(2026, 6, 3)


paper = partial(listed, title="On bread", categories=["cs.LG", "cs.NA"])


def feed(*papers, day=DAY, built=DAY):
    items = [rss_item(one, one.get("kind", "new"), day) for one in papers]
    return rss_channel("cs", built, items).encode()


def known(versions=1, **fields):
    moments = [datetime(2026, 6, 1 + number, 15, tzinfo=UTC) for number in range(versions)]
    return Known(paper(**fields), DAY, moments)


def in_list(versions=1, **fields):
    row = known(versions, **fields)
    page = oai_page(f"<record>{header(row.paper['id'])}{arxiv.oai_raw(row)}</record>")
    assert not page.errors
    return page.records[0]


def from_api(versions=1, **fields):
    atom = arxiv.atom(arxiv.atom_entry(known(versions, **fields)), 1)
    (record,), errors = api.parse(atom.encode())
    assert errors == []
    return record


def header(identity, stamp="2026-06-03", more=""):
    return (
        f"<header{more}><identifier>oai:arXiv.org:{identity}</identifier>"
        f"<datestamp>{stamp}</datestamp></header>"
    )


def oai_page(inner):
    return oai_pmh.parse(oai(f"<ListRecords>{inner}</ListRecords>").encode())


def test_paper_has_its_fields_in_each_format():
    fields = CASES["fields"]
    record = Record.from_json(CASES["record"] | fields)
    (listed_one,) = rss.parse(feed(paper(**fields, version=2)), "cs").records
    announced = {"day": DAY, "day_is_estimate": False, "announced_as": "new", "comments": ""}
    assert listed_one == replace(record, **announced)
    assert in_list(2, **fields) == record
    assert from_api(2, **fields) == replace(record, license="")


# RSS


def test_older_paper_has_no_announcement_day():
    for kind in ["cross", "replace", "replace-cross"]:
        body = feed(paper(id="math.GT/0309136", kind=kind, version=3))
        without_kind = body.replace(b"announce_type>", b"kind>")  # Its description has it too.
        for record in rss.parse(body, "cs").records + rss.parse(without_kind, "cs").records:
            assert (record.announced_as, record.version) == (kind, 3)
            assert (record.id, record.day) == ("math/0309136", None)


def test_feed_has_day_of_its_papers():
    """Not of its building, but where it is empty."""
    papers = [
        paper(id=f"2606.0000{number}", kind=kind)
        for number, kind in enumerate(["new", "new", "cross", "replace", "replace-cross"])
    ]
    yesterday = date(2026, 6, 2)
    for some, day in [(papers, yesterday), ([], DAY)]:
        parsed = rss.parse(feed(*some, day=yesterday), "cs")
        assert (parsed.items, len(parsed.records), parsed.day) == (len(some), len(some), day)


def test_one_bad_item_is_one_bad_record():
    spoilt = paper(id="2606.00002", title=" "), paper(id="oops"), paper(id="2606.00003", title="@")
    parsed = rss.parse(feed(paper(id="2606.00001"), *spoilt).replace(b"@", b"\xe9"), "cs")
    assert [record.id for record in parsed.records] == ["2606.00001"]
    assert parsed.errors == [
        "2606.00002v1: no title",
        "oopsv1: 'oopsv1' is not the id of a paper",
        "2606.00003v1: its text is not UTF-8",
    ]
    assert parsed.items == 4


def test_feed_reporting_an_error_is_refused():
    body = rss_channel("cs", DAY, []).replace("<title>cs updates", "<title>Feed error for query: x")
    with pytest.raises(MalformedFeed, match="arXiv answers"):
        rss.parse(body.encode(), "cs")
    body = arxiv.atom(arxiv.atom_error("incorrect id format for x"), 1)
    with pytest.raises(MalformedFeed, match="incorrect id format for x"):
        api.parse(body.encode())


# OAI-PMH


def test_paper_is_not_older_than_its_id():
    """As one that was checked for long."""
    assert in_list(id="2609.00001").day == date(2026, 9, 1)
    raw = arxiv.oai_raw(known()).replace("01 Jun 2026", "99 Jun 2026")
    assert oai_page(f"<record>{header('2606.00001')}{raw}</record>").records[0].day is None


def test_withdrawn_version_is_recognized():
    assert in_list(2, withdrawn=True).is_withdrawn
    for text in CASES["withdrawn"] + CASES["not_withdrawn"]:
        assert in_list(2, comments=text).is_withdrawn == (text in CASES["withdrawn"])


def test_bad_oai_record_is_one_bad_record():
    good = arxiv.oai_raw(known())
    page = oai_page(
        f"<record>{header('2606.00001')}{good}</record>"
        f"<record>{header('2606.00002')}{good.replace('On bread', '')}</record>"
        f"<record>{header('2606.00003')}<metadata/></record>"
        f"<record>{header('2606.00009', more=' status="deleted"')}</record>"
        "<record/>"
    )
    assert page.deleted == ["2606.00009"]
    assert [record.id for record in page.records] == ["2606.00001"]
    without = [f"{which}: no metadata of arXiv's" for which in ("2606.00003", "a record")]
    assert page.errors == ["2606.00002: no title", *without]


def test_expired_token_and_empty_list_are_distinguished():
    assert oai_pmh.parse(oai(arxiv.error("noRecordsMatch", "x")).encode()).records == []
    with pytest.raises(oai_pmh.ExpiredToken):
        oai_pmh.parse(oai(arxiv.error("badResumptionToken", "x")).encode())
    with pytest.raises(MalformedFeed, match="badArgument: illegal"):
        oai_pmh.parse(oai(arxiv.error("badArgument", "illegal")).encode())


def test_only_sorted_page_proves_completeness():
    def page(*stamps):
        return oai_page("".join(f"<record>{header('x', stamp)}</record>" for stamp in stamps))

    assert page("2026-06-01", "2026-06-02").complete_before == date(2026, 6, 1)
    assert page("2026-06-02", "2026-06-01").complete_before is None
    assert page("soon").complete_before is None


# The query API


@pytest.mark.parametrize(("name", "category"), [("astro-ph", "astro-ph"), ("cmp-lg", "cs.CL")])
def test_old_paper_keeps_category_of_its_archive(name, category):
    record = from_api(id=f"{name}/0601001", categories=[name])
    assert (record.id, record.categories) == (f"{name}/0601001", [category])


def test_arxiv_ids_are_requested_in_hundreds():
    ids = [f"2606.{number:05}" for number in range(150)]
    questions = api.requests_for([*ids, "2606.00001", "biorxiv:1", "title:0a"])
    assert [question["max_results"] for question in questions] == ["100", "50"]


# What all three have in common


@pytest.mark.parametrize(
    "parse",
    [lambda body: rss.parse(body, "cs"), oai_pmh.parse, api.parse],
    ids=["rss", "oai", "api"],
)
def test_invalid_feed_is_refused(parse):
    for body, why in (
        (b"", "broken"),
        (b"<rss><channel>", "broken"),
        (b"\xff\xfe<\x00r\x00s\x00s\x00", "broken"),
        (WEB_PAGE, "web page"),
        (b"<html><body/></html>", "web page"),
        (BOMB, "DTD"),
        (b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>', "DTD"),
        (DEEP, "nested"),
        (b"<a/>", "this is XML, but"),
    ):
        with pytest.raises(MalformedFeed, match=why):
            parse(body)


def test_forbidden_xml_characters_are_removed():
    forbidden = (b"\x0c", b"\x00", b"&#x1;", b"&#55349;", b"&#xFFFF;")
    for written, read in (
        *((b"On%sbread" % one, "On bread") for one in forbidden),
        (b"On AT&T's bread", "On AT&T's bread"),
        (b"On cr&eacute;pes", "On crépes"),
        (b"On &lt;b&gt;R&amp;amp;D&lt;/b&gt; & bread", "On R&D & bread"),
    ):
        body = feed(paper(), paper(id="2606.00002")).replace(b"On bread", written, 1)
        assert [record.title for record in rss.parse(body, "cs").records] == [read, "On bread"]


@pytest.mark.slow
@given(st.binary(max_size=200), st.integers(0, 1_000))
def test_damaged_feed_raises_only_malformed_feed(noise, position):
    body = feed(paper(), paper(id="2606.00002"))
    position %= len(body)
    damaged = body[:position] + noise + body[position + len(noise) // 2 :]
    try:
        parsed = rss.parse(damaged, "cs")
    except MalformedFeed:
        return
    assert len(parsed.records) + len(parsed.errors) == parsed.items


def test_a_line_of_authors_becomes_names():
    for line, names in CASES["author_lines"]:
        assert author_names(line) == names
