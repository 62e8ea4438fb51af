"""Hugging Face's daily papers become records, whatever comes over the wire."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources.huggingface import MAX_PAGES, HuggingFace
from digest.sources.plug import MalformedFeed
from digest.sources.records import Record
from digest.sources.web import Refused, Unavailable
from tests import huggingface_server
from tests.harvests import Told, anything, found, harvesting, only, serving
from tests.huggingface_server import HuggingFaceServer
from tests.loopback import USUAL, says, web_page

TODAY = date(2026, 6, 3)  # A Wednesday.
MONDAY = date(2026, 6, 1)


server = serving(lambda: HuggingFaceServer(today=TODAY))
run = harvesting(lambda server: HuggingFace(server.base))


def paper(number=1, **fields):
    """Return a simple paper."""
    return {"id": f"2606.{number:05}", "title": f"Paper {number}", "upvotes": number} | fields


def row(day=TODAY, /, number=1, **inner):
    """Return a row of a list, with the fields inside `paper` replaced."""
    made = huggingface_server.row(paper(number), day)
    made["paper"] |= inner
    return made


def notes(batches):
    return [batch.note for batch in batches if batch.note]


def test_what_a_row_tells_of_a_paper_becomes_a_record(server, run):
    server.add(
        paper(
            title="On  Bread",
            abstract="How <b>it</b> rises.",
            authors=["A. One", "(B. Hidden)", "C. Three"],
            published="2026-05-28",
            upvotes=41,
            githubRepo="https://github.com/example/bread",
            githubStars=7,
            numComments=3,
        ),
        TODAY,
    )
    assert only(run()) == Record(
        id="2606.00001",
        title="On Bread",
        abstract="How it rises.",
        day=TODAY,
        day_is_estimate=True,
        authors=["A. One", "C. Three"],
        upvotes=41,
        github="https://github.com/example/bread",
        github_stars=7,
        num_comments=3,
    )


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"ai_summary": "It <b>rises</b>.\x07"}, {"summary": "It rises."}),
        ({"ai_summary": "Bread " * 500}, {"summary": "Bread " * 99 + "Bread…"}),
        ({"ai_keywords": ["rye", 7, " ", *"abcdefghij"]}, {"keywords": ["rye", *"abcdefghi"]}),
        ({"ai_keywords": {"rye": 1}}, None),
        ({"organization": {"name": "b", "fullname": "Bakers"}}, {"organization": "Bakers"}),
        ({"organization": {"name": "bakers"}}, {"organization": "bakers"}),
        ({"organization": "Bakers"}, None),
        ({"projectPage": "https://example.org/~b"}, {"project_page": "https://example.org/~b"}),
        ({"projectPage": "javascript:alert(1)"}, None),
        ({"ai_summary": None, "ai_keywords": None, "organization": None}, None),
    ],
)
def test_what_hugging_face_says_of_a_paper_by_itself_is_kept_as_plain_text(
    server, run, told, known
):
    server.add(paper(**told), TODAY)
    assert only(run()).hugging_face == known


def test_the_lists_of_the_last_three_days_are_read_again(server, run):
    run()
    assert server.asked == [("2026-06-01", 0), ("2026-06-02", 0), ("2026-06-03", 0)]


def test_all_lists_since_a_day_are_read_in_order(server, run):
    for days in range(20):
        server.add(paper(days), TODAY - timedelta(days=days))
    batches = run(since=TODAY - timedelta(days=19))
    assert [batch.day for batch in batches] == [record.day for record in found(batches)]
    assert len(batches) == 20
    assert [batch.cursor for batch in batches[-3:]] == ["2026-06-02", "2026-06-03", ""]


def test_a_long_list_is_read_page_by_page_and_told_as_one(server, run):
    for number in range(250):
        server.add(paper(number), TODAY)
    (batch,) = run(since=TODAY)
    assert server.asked == [("2026-06-03", 0), ("2026-06-03", 1), ("2026-06-03", 2)]
    assert (batch.state, batch.note) == ("fresh", "")
    assert [record.upvotes for record in batch.records] == list(range(250))


@pytest.mark.parametrize("before", range(6))
def test_cut_off_at_any_request_it_goes_on_and_knows_the_same_papers(server, run, before):
    for number in range(450):
        server.add(paper(number), MONDAY + timedelta(days=number % 3))
    server.answers.extend([USUAL] * before + [(503, {}, b"")] * 4)
    batches, error = run.cut_off(since=MONDAY)
    assert isinstance(error, Unavailable)
    papers_before = [0, 100, 150, 250, 300, 400]
    assert len(found(batches)) == papers_before[before]
    cursor = batches[-1].cursor if batches else ""
    batches += run(since=MONDAY, cursor=cursor)
    assert len({record.id for record in found(batches)}) == 450


def test_a_list_that_breaks_off_is_kept_and_read_again(server, run):
    for number in range(150):
        server.add(paper(number), TODAY)
    server.answers.extend([USUAL, says(b"Oops")])
    (batch,), error = run.cut_off(since=TODAY)
    assert isinstance(error, MalformedFeed)
    assert (len(batch.records), batch.state, batch.cursor) == (100, "incomplete", "2026-06-03")
    assert batch.note == "The list of 2026-06-03 broke off after 1 page."


def test_a_cursor_from_days_ago_goes_on_to_today(run, server):
    run(cursor="2026-05-30")
    assert server.asked == [
        ("2026-05-30", 0),
        ("2026-05-31", 0),
        ("2026-06-01", 0),
        ("2026-06-02", 0),
        ("2026-06-03", 0),
    ]


@pytest.mark.parametrize("cursor", ["soon", "2026-13-01", "2099-01-01"])
def test_a_cursor_that_says_nothing_starts_anew(run, server, cursor):
    run(cursor=cursor)
    assert server.asked[0] == ("2026-06-01", 0)


def test_a_day_that_has_not_begun_there_is_nothing_yet(server, run):
    server.today = TODAY - timedelta(days=1)
    *before, last = run(today=TODAY)
    assert len(before) == 2
    assert (last.records, last.bad, last.state, last.cursor) == ([], [], "empty", "")
    assert last.note == "Nothing is listed yet."


def test_a_past_day_that_is_refused_stops_the_run(server, run):
    server.today = TODAY - timedelta(days=2)
    with pytest.raises(Refused):
        run(today=TODAY)


def test_the_empty_lists_of_a_weekend_are_no_fault(server, run):
    friday = MONDAY - timedelta(days=3)
    for day in (friday, MONDAY):
        server.add(paper(day.day), day)
    batches = run(today=MONDAY, since=friday)
    assert [batch.state for batch in batches] == ["fresh", "empty", "empty", "fresh"]
    assert not notes(batches)
    assert len(found(batches)) == 2


def test_no_upvotes_are_none_and_unknown_ones_unknown(server, run):
    server.lists[TODAY] = [row(upvotes=0), row(number=2, upvotes=None)]
    assert [record.upvotes for record in found(run())] == [0, None]


def test_a_withdrawn_paper_is_marked(server, run):
    server.add(paper(withdrawnAt="2026-06-03T01:02:03.000Z"), TODAY)
    assert only(run()).is_withdrawn


def test_comments_are_counted_inside_the_paper_where_they_are_not_beside_it(server, run):
    inside = row(numComments=4)
    del inside["numComments"]
    server.lists[TODAY] = [inside]
    assert only(run()).num_comments == 4


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-06-03T00:00:00.000Z", TODAY),
        ("2026-05-30T18:09:00.000Z", date(2026, 5, 30)),  # It came at the weekend.
        ("2026-06-04T00:00:00.000Z", TODAY),
        ("2019-01-01T00:00:00.000Z", TODAY),
        ("recently", TODAY),
        ("", TODAY),
        (None, TODAY),
        (20260601, TODAY),
    ],
)
def test_the_day_is_the_one_on_which_it_was_listed(server, run, written, day):
    server.lists[TODAY] = [row(submittedOnDailyAt=written, publishedAt="2020-01-01")]
    record = only(run())
    assert (record.day, record.day_is_estimate) == (day, True)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (None, "2026-06-03, page 1, row 2: it holds no paper"),
        ({}, "2026-06-03, page 1, row 2: it holds no paper"),
        ({"paper": []}, "2026-06-03, page 1, row 2: it holds no paper"),
        ({"paper": {}}, "2026-06-03, page 1, row 2: it has no title"),
        ({"paper": {"title": "A"}}, "2026-06-03, page 1, row 2: '' is no id of a paper"),
        ({"paper": {"id": "2606.00009"}}, "2606.00009: it has no title"),
        (row(number=9, title=7), "2606.00009: title is no text"),
        (row(number=9, summary=["a"]), "2606.00009: summary is no text"),
        (row(id="what?"), "what?: 'what?' is no id of a paper"),
        (row(id=2606.1), "2026-06-03, page 1, row 2: id is no text"),
        (row(number=9, upvotes="many"), "2606.00009: upvotes is no count"),
        (row(number=9, upvotes=-1), "2606.00009: upvotes is no count"),
        (row(number=9, githubStars=True), "2606.00009: githubStars is no count"),
        (row(number=9, githubStars=2**40), "2606.00009: githubStars is no count"),
        (row(number=9, authors="A. One"), "2606.00009: its authors are no list of authors"),
        (row(number=9, authors=["A. One"]), "2606.00009: its authors are no list of authors"),
    ],
)
def test_a_bad_row_is_one_bad_record(server, run, spoilt, said):
    server.lists[TODAY] = [row(number=1), spoilt, row(number=3)]
    batches = run(since=TODAY)
    assert [record.id for record in found(batches)] == ["2606.00001", "2606.00003"]
    assert batches[0].bad == [said]


def test_a_list_of_bad_rows_alone_is_not_empty(server, run):
    server.lists[TODAY] = [row(title=7)]
    (batch,) = run(since=TODAY)
    assert (batch.records, len(batch.bad), batch.state, batch.note) == ([], 1, "fresh", "")


def test_a_number_of_thousands_of_digits_is_one_bad_record(server, run):
    rows = json.dumps([row(upvotes=0), row(number=2)])
    server.answers.append(says(rows.replace('"upvotes": 0', f'"upvotes": {"9" * 9999}').encode()))
    (batch,) = run(since=TODAY)
    assert batch.bad == ["2606.00001: upvotes is no count"]
    assert len(batch.records) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web_page(), "sent a web page"),
        (says(b""), "something that is not JSON"),
        (says(b'[{"paper":'), "something that is not JSON"),
        (says(b"[" * 200_000 + b"]" * 200_000), "something that is not JSON"),
        (says(b'[{"paper":{"title":"\xff\xfe"}}]'), "not valid UTF-8"),
        (says(b'{"error":"later"}'), "no list of papers"),
        (says(b"[" + b"0," * 5_000 + b"0]"), "5001 rows at once"),
    ],
)
def test_what_is_no_list_stops_the_run_and_keeps_what_came_before(server, run, answer, said):
    server.add(paper(), MONDAY)
    server.answers.extend([USUAL, answer])
    batches, error = run.cut_off(since=MONDAY)
    assert said in str(error)
    assert len(found(batches)) == 1
    assert batches[-1].cursor == "2026-06-02"


def test_lists_that_have_not_changed_are_read_though_not_sent_again(server, run):
    for number in range(150):
        server.add(paper(number), TODAY)
    first = run()
    assert run() == first
    server.lists[TODAY][0]["paper"]["upvotes"] = 77
    assert found(run())[0].upvotes == 77


@pytest.mark.parametrize(
    "link",
    [
        "https://example.org/api/daily_papers?p=1",
        "//example.org/api/daily_papers?p=1",
        "http://127.0.0.1/api/daily_papers?p=1",
        "/api/other?p=1",
        "file:///api/daily_papers?p=1",
        "http://[/api/daily_papers?p=1",
    ],
)
def test_a_next_page_elsewhere_is_not_asked_for(server, run, link):
    server.add(paper(), TODAY - timedelta(days=1))
    server.add(paper(2), TODAY)
    server.has_next = lambda day, page, limit: day != TODAY
    server.link = lambda day, page: link
    first, second = run(since=TODAY - timedelta(days=1))
    assert (first.state, first.cursor) == ("incomplete", "2026-06-03")
    assert "elsewhere" in first.note
    assert (second.state, len(second.records)) == ("fresh", 1)
    assert len(server.asked) == 2


@pytest.mark.parametrize("query", ["p=0", "p=7", "p=-1", "p=x", "p=1&p=2", "", "cursor=abc"])
def test_a_next_page_that_is_not_the_next_is_not_asked_for(server, run, query):
    server.add(paper(), TODAY)
    server.has_next = lambda day, page, limit: True
    server.link = lambda day, page: f"/api/daily_papers?{query}"
    (batch,) = run(since=TODAY)
    assert (batch.state, len(batch.records)) == ("incomplete", 1)
    assert "After 1 page of 2026-06-03 comes a wrong one" in batch.note


def test_a_relative_link_is_followed(server, run):
    for number in range(101):
        server.add(paper(number), TODAY)
    server.link = lambda day, page: f"?p={page + 1}"
    assert len(found(run(since=TODAY))) == 101


def test_the_same_page_again_and_again_is_noticed(server, run):
    body = json.dumps([row()]).encode()
    for page in range(1, 9):
        link = f'<{server.base}/api/daily_papers?p={page}>; rel="next"'
        server.answers.append((200, {"Link": link}, body))
    batches = run(since=TODAY)
    assert len(server.asked) == 2
    assert (batches[-1].state, batches[-1].cursor) == ("incomplete", "")
    assert "repeats" in batches[-1].note


def test_a_list_without_an_end_is_stopped(server, run):
    for number in range(100 * MAX_PAGES + 500):
        server.add(paper(number), TODAY)
    batches = run(since=TODAY)
    assert len(server.asked) == MAX_PAGES
    assert batches[-1].state == "incomplete"
    assert batches[-1].cursor == ""
    assert "no end" in batches[-1].note


def test_a_link_after_the_last_page_costs_one_request_more(server, run):
    server.add(paper(), TODAY)
    server.has_next = lambda day, page, limit: True
    (batch,) = run(since=TODAY)
    assert (batch.state, len(batch.records), batch.note) == ("fresh", 1, "")
    assert len(server.asked) == 2


def test_a_paper_added_while_the_pages_are_read_loses_none(server, run):
    for number in range(150):
        server.add(paper(number), TODAY)

    def link(day, page):
        server.lists[day].insert(0, row(number=999))
        return f"?p={page + 1}"

    server.link = link
    (batch,) = run(since=TODAY)
    assert [record.id for record in batch.records] == [f"2606.{n:05}" for n in range(150)]
    assert batch.state == "fresh"


def test_text_from_outside_is_plain(server, run):
    server.add(
        paper(
            title="<b>Bread</b>\x00 &amp; $\\alpha$",
            abstract="\ud800\u202eabout",
            authors=["A\nOne"],
            githubRepo="javascript:alert(1)",
        ),
        TODAY,
    )
    record = only(run())
    assert (record.title, record.abstract) == ("Bread & α", "about")
    assert (record.authors, record.github) == (["A One"], "")


fields = st.sampled_from(
    ["id", "title", "summary", "authors", "upvotes", "submittedOnDailyAt", "githubRepo", "hidden"]
)
papers = st.dictionaries(fields, anything | st.just("2606.00001"))


@given(st.lists(anything | st.builds(lambda paper: {"paper": paper}, papers | anything)))
def test_whatever_a_row_is_it_is_a_record_or_a_bad_one(rows):
    harvest = HuggingFace().harvest(Told(rows), today=TODAY, since=TODAY, cursor="")
    (batch,) = harvest
    told = len(batch.records) + len(batch.bad)
    assert told <= len(rows)  # A paper that is listed twice is one.
    assert bool(told) == bool(rows)
