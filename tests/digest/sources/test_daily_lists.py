"""Sources with a list for each day read it to its end, or say that it is not whole."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources import huggingface
from digest.sources.biorxiv import source as biorxiv
from tests.factories.harvests import FixedAnswer, anything, found, harvesting
from tests.servers.daily_lists import DAY, TODAY, BioRxivServer, HuggingFaceServer
from tests.servers.loopback import DOWN, USUAL, says, web_page

MAX_PAGES = {HuggingFaceServer: huggingface.MAX_PAGES, BioRxivServer: biorxiv.MAX_PAGES}


@pytest.fixture(params=list(MAX_PAGES))
def server(request):
    with closing(request.param()) as server:
        server.page = 30
        yield server


harvests = harvesting(lambda server: server.source())


@pytest.fixture
def run(harvests):
    """Return a function that harvests, and returns the batches of the lists of days."""
    return lambda **asked: [batch for batch in harvests(**asked) if batch.day]


def fill(server, count, day=TODAY, days=1):
    for number in range(count):
        server.add(day - (number % days) * DAY, number)


CURSORS = [("2026-05-30", 5), ("", 3), ("2026-13-01", 3), ("2099-01-01", 3)]


@pytest.mark.parametrize(("cursor", "days"), CURSORS)
def test_reading_starts_at_cursor_or_three_days_ago(server, run, cursor, days):
    run(cursor=cursor)
    assert [asked[0] for asked in server.asked] == [
        str(TODAY - ago * DAY) for ago in reversed(range(days))
    ]


@pytest.mark.parametrize("size", [1, 30, 100])
def test_long_list_is_read_to_its_end(server, run, size):
    server.page, count = size, 9 if size == 1 else 65
    fill(server, count)
    (batch,) = run(since=TODAY)
    assert [record.title for record in batch.records] == [f"Paper {n}" for n in range(count)]
    assert (batch.state, batch.note, batch.missing) == ("fresh", "", 0)
    assert len(server.asked) == -(-count // size)


def test_a_day_without_papers_is_empty(run):
    *before, last = run(since=TODAY - 2 * DAY)
    assert [(batch.state, batch.note) for batch in before] == [("empty", "")] * 2
    assert (last.state, last.note) == ("empty", "Nothing is listed yet.")


def test_repeated_page_ends_the_list(server, run):
    fill(server, 90)
    server.page_of = lambda rows, start: rows[:30]
    (batch,) = run(since=TODAY)
    assert len(server.asked) == 2
    assert (len(batch.records), batch.state) == (30, "incomplete")
    assert "repeats" in batch.note


def test_endless_list_is_stopped(server, run):
    server.page, most = 1, MAX_PAGES[type(server)]
    fill(server, most + 20)
    (batch,) = run(since=TODAY)
    assert (len(server.asked), batch.state) == (most, "incomplete")
    assert "no end" in batch.note


NO_LISTS = [
    (web_page(), "sent a web page"),
    (says(b"[" * 200_000 + b"]" * 200_000), "something that is not JSON"),
    (says(b'"\xff\xfe"'), "not valid UTF-8"),
    (says(7), "no list of papers"),
]


@pytest.mark.parametrize(("answer", "error"), NO_LISTS)
def test_invalid_list_stops_run_and_keeps_previous(server, harvests, answer, error):
    server.add(TODAY - DAY)
    server.answers.extend([USUAL, answer])
    batches, why = harvests.cut_off(since=TODAY - DAY)
    assert error in str(why)
    assert len(found(batches)) == 1
    assert batches[-1].cursor == "2026-06-03"


def test_interrupted_list_is_kept_and_reread(server, harvests):
    fill(server, 60)
    server.answers.extend([USUAL, *[DOWN] * 4])
    (batch,), why = harvests.cut_off(since=TODAY)
    assert "answered 500" in str(why)
    assert (len(batch.records), batch.state, batch.cursor) == (30, "incomplete", "2026-06-03")
    assert "broke off after 1 page" in batch.note


@pytest.mark.parametrize("before", range(1, 6, 2))
def test_interrupted_run_is_continued(server, run, harvests, before):
    fill(server, 120, days=3)
    server.answers.extend([USUAL] * before + [DOWN] * 8)
    batches, _ = harvests.cut_off(since=TODAY - 2 * DAY)
    server.answers.clear()
    cursor = batches[-1].cursor if batches else ""
    batches += run(since=TODAY - 2 * DAY, cursor=cursor)
    assert len({record.id for record in found(batches)}) == 120


fields = st.sampled_from(
    [
        *["id", "title", "summary", "authors", "upvotes", "submittedOnDailyAt", "githubRepo"],
        *["doi", "version", "date", "category", "published", "preprint_doi", "published_doi"],
    ]
)
rows = st.dictionaries(fields, anything | st.sampled_from(["2606.00001", "10.1101/1"]))


@pytest.mark.slow
@given(st.lists(anything | rows, max_size=5), anything)
def test_any_row_is_good_or_bad(rows, total):
    papers = [{"paper": row} for row in rows]
    list_of_biorxiv = {"messages": [{"status": "ok", "total": total}], "collection": rows}
    for source, body in [(huggingface.HuggingFace(), papers), (biorxiv.BioRxiv(), list_of_biorxiv)]:
        for batch in source.harvest(FixedAnswer(body), today=TODAY, since=TODAY, cursor=""):
            assert len(batch.records) + len(batch.errors) <= len(rows)
            assert bool(batch.records or batch.errors) == bool(rows)
