"""Sources with a list for each day read it to its end, or say that it is not whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources import huggingface
from digest.sources.biorxiv import source as biorxiv
from digest.sources.europepmc import EuropePmc
from tests.factories.harvests import FixedAnswer, anything, found, harvesting
from tests.helpers.data_files import as_json, cases
from tests.servers import daily_lists, europepmc
from tests.servers.daily_lists import DAY, TODAY, BioRxivServer, HuggingFaceServer
from tests.servers.europepmc import EuropePmcServer
from tests.servers.loopback import DOWN, USUAL, recorded

CASES = cases("lists")
SERVERS = {
    "huggingface": HuggingFaceServer,
    "biorxiv": BioRxivServer,
    "europepmc": EuropePmcServer,
}
SOURCES = {
    "huggingface": huggingface.HuggingFace(),
    "biorxiv": biorxiv.BioRxiv(),
    "europepmc": EuropePmc(["paper"]),
}
MAX_PAGES = {HuggingFaceServer: huggingface.MAX_PAGES, BioRxivServer: biorxiv.MAX_PAGES}


@pytest.fixture(params=["huggingface", "biorxiv"])
def server(request):
    with SERVERS[request.param]() as server:
        server.page = 30
        yield server


harvests = harvesting(lambda server: server.source())
all_sources = pytest.mark.parametrize("server", SERVERS, indirect=True)


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


# ---- Of all sources


@pytest.mark.parametrize(
    ("server", "answers", "error", "waits"), CASES["broken"], indirect=["server"]
)
def test_broken_answer_stops_run_and_keeps_previous(server, harvests, answers, error, waits):
    server.add(TODAY - DAY)
    server.answers.extend([USUAL, *map(recorded, answers)])
    batches, why = harvests.cut_off(since=TODAY - DAY)
    assert error in str(why)
    assert len(harvests.slept) == waits
    assert len(found(batches)) == 1
    assert "2026-06-03" in batches[-1].cursor


@all_sources
def test_throttled_run_waits_and_goes_on(server, harvests):
    fill(server, 2)
    server.answers.extend([(429, {"Retry-After": "7"}, b""), (406, {}, b"")])
    assert len(found(harvests(since=TODAY))) == 2
    assert harvests.slept[0] == 7
    assert len(harvests.slept) == 2


def test_interrupted_list_is_kept_and_reread(server, harvests):
    fill(server, 60)
    server.answers.extend([USUAL, *[DOWN] * 4])
    (batch,), why = harvests.cut_off(since=TODAY)
    assert "answered 500" in str(why)
    assert (len(batch.records), batch.state, batch.cursor) == (30, "incomplete", "2026-06-03")
    assert "broke off after 1 page" in batch.note


@all_sources
@pytest.mark.parametrize("before", range(1, 6))
def test_interrupted_run_is_continued(server, run, harvests, before):
    fill(server, 400, days=3)
    server.answers.extend([USUAL] * before + [DOWN] * 8)
    batches, _ = harvests.cut_off(since=TODAY - 2 * DAY)
    server.answers.clear()
    cursor = batches[-1].cursor if batches else ""
    batches += run(since=TODAY - 2 * DAY, cursor=cursor)
    assert len({record.id for record in found(batches)}) == 400


# ---- Rows


ROWS = {
    "huggingface": lambda number, **fields: daily_lists.hugging_face_row(TODAY, number, **fields),
    "biorxiv": lambda number, **fields: daily_lists.biorxiv_row(TODAY, number, **fields),
    "europepmc": europepmc.row,
}


def read(name, rows):
    """Return the batch that a source makes of today's list with these rows."""
    count = len(rows)
    answer = {"messages": [{"status": "ok", "total": count}], "collection": rows}
    answer |= {"hitCount": count, "resultList": {"result": rows}}
    web = FixedAnswer(rows if name == "huggingface" else answer)
    return next(SOURCES[name].harvest(web, today=TODAY, since=TODAY, cursor=""))


@pytest.mark.parametrize(("name", "fields", "becomes"), CASES["rows"])
def test_row_becomes_a_record(name, fields, becomes):
    (record,) = read(name, [ROWS[name](1, **fields)]).records
    assert as_json({field: getattr(record, field) for field in becomes}) == becomes


@pytest.mark.parametrize(("name", "spoilt", "error"), CASES["bad_rows"])
def test_bad_row_is_one_bad_record(name, spoilt, error):
    row = ROWS[name]
    spoilt = row(9, **spoilt) if isinstance(spoilt, dict) else spoilt[0]
    batch = read(name, [row(1), spoilt, row(3)])
    assert [record.title for record in batch.records] == ["Paper 1", "Paper 3"]
    assert (batch.state, batch.missing, len(batch.errors)) == ("fresh", 0, 1)
    assert error in batch.errors[0]


odd_fields = st.dictionaries(
    st.sampled_from(
        [
            *ROWS["huggingface"](1)["paper"],
            *ROWS["biorxiv"](1),
            *europepmc.row(),
            "authorList",
            "versionList",
            "bookOrReportDetails",
        ]
    ),
    anything,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCES)
@given(odd_rows=st.lists(anything | odd_fields, max_size=4))
def test_any_row_is_good_or_bad(name, odd_rows):
    rows = [ROWS[name](5, **odd) if isinstance(odd, dict) else odd for odd in odd_rows]
    batch = read(name, rows)
    assert len(batch.records) + len(batch.errors) <= len(rows)
    assert name == "europepmc" or bool(batch.records or batch.errors) == bool(rows)
