"""bioRxiv's and medRxiv's lists are read day by day, whatever comes over the wire."""

import pytest

from digest.sources.biorxiv import MAX_PAGES
from tests import biorxiv
from tests.biorxiv import DAY, NOT_A_LIST, TODAY
from tests.biorxiv_server import row
from tests.harvests import found, only
from tests.loopback import DOWN, USUAL, says

server, harvests, run = biorxiv.server, biorxiv.harvests, biorxiv.run


# ---- A list


def test_the_lists_of_the_last_three_days_are_read_again(server, run):
    run(since=None)
    days = ["2026-06-01", "2026-06-02", "2026-06-03"]
    assert server.asked == [("biorxiv", day, 0) for day in days]


def test_all_lists_since_a_day_are_read_in_order(server, run):
    for ago in range(9):
        server.add(TODAY - ago * DAY, ago)
    batches = run(since=TODAY - 8 * DAY)
    assert [batch.day for batch in batches] == [record.day for record in found(batches)]
    assert [batch.cursor for batch in batches[-3:-1]] == ["2026-06-02", "2026-06-03"]


@pytest.mark.parametrize("size", [1, 30, 100])
def test_a_long_list_is_read_to_its_end_however_long_its_pages_are(server, run, size):
    server.page = size
    for number in range(65):
        server.add(TODAY, number)
    (batch,) = run()
    assert [record.title for record in batch.records] == [f"Paper {n}" for n in range(65)]
    assert (batch.state, batch.note, batch.missing) == ("fresh", "", 0)
    assert [place for _, _, place in server.asked] == list(range(0, 65, size))


def test_a_day_without_posts_is_empty(server, run):
    *before, last = run(since=TODAY - 2 * DAY)
    assert [batch.state for batch in before] == ["empty", "empty"]
    assert (last.state, last.note) == ("empty", "Nothing is listed yet.")


def test_rows_that_were_announced_and_do_not_come_are_missed(server, run):
    for number in range(40):
        server.add(TODAY, number)
    server.total = lambda rows: len(rows) + 31
    (batch,) = run()
    assert (len(batch.records), batch.state, batch.missing) == (40, "incomplete", 31)
    assert batch.note == "Of 71 rows of 2026-06-03, 31 did not come."


@pytest.mark.parametrize("total", ["many", -1, True, [3], {}, None])
def test_a_list_that_does_not_say_how_long_it_is_is_read_and_proves_nothing(server, run, total):
    for number in range(40):
        server.add(TODAY, number)
    server.total = lambda rows: None
    rows = server.lists["biorxiv", TODAY]
    server.answers.append(
        says({"messages": [{"status": "ok", "total": total}], "collection": rows})
    )
    (batch,) = run()
    assert (len(batch.records), batch.state) == (40, "")
    assert "was not said" in batch.note


def test_a_paper_posted_while_the_pages_are_read_is_read_with_them(server, run):
    for number in range(60):
        server.add(TODAY, number)
    server.before_second = lambda: server.add(TODAY, 60)
    (batch,) = run()
    assert (len(batch.records), batch.state) == (61, "fresh")


def test_a_row_that_slips_through_while_the_pages_are_read_is_missed(server, run):
    for number in range(60):
        server.add(TODAY, number)
    rows = server.lists["biorxiv", TODAY]
    server.before_second = lambda: rows.insert(0, row(TODAY, 60))
    (batch,) = run()
    assert (len(batch.records), batch.state, batch.missing) == (60, "incomplete", 1)


def test_the_same_page_again_and_again_is_noticed(server, run):
    rows = [row(TODAY, number) for number in range(30)]
    for _ in range(9):
        server.answers.append(
            says({"messages": [{"status": "ok", "total": "300"}], "collection": rows})
        )
    (batch,) = run()
    assert len(server.asked) == 2
    assert (len(batch.records), batch.state) == (30, "incomplete")
    assert "repeats" in batch.note


def test_a_page_from_elsewhere_is_noticed(server, run):
    for number in range(90):
        server.add(TODAY, number)
    message = {"status": "ok", "total": "90", "cursor": "60"}
    rows = server.lists["biorxiv", TODAY][60:]
    server.answers.extend([USUAL, says({"messages": [message], "collection": rows})])
    (batch,) = run()
    assert (len(batch.records), batch.state, batch.missing) == (60, "incomplete", 30)
    assert batch.note == "Of 2026-06-03, row 30 was asked for, and came from row 60."


def test_a_list_without_an_end_is_stopped(server, run):
    server.page = 1
    for number in range(MAX_PAGES + 20):
        server.add(TODAY, number)
    server.total = lambda rows: 10**6
    (batch,) = run()
    assert (len(server.asked), batch.state) == (MAX_PAGES, "incomplete")
    assert "no end" in batch.note


# ---- Faults


@pytest.mark.parametrize(("answer", "said"), NOT_A_LIST)
def test_what_is_no_list_stops_the_run_and_keeps_what_came_before(server, harvests, answer, said):
    server.add(TODAY - DAY)
    server.answers.extend([USUAL, answer])
    batches, why = harvests.cut_off(since=TODAY - DAY)
    assert said in str(why)
    assert len(found(batches)) == 1
    assert batches[-1].cursor == "2026-06-03"


@pytest.mark.parametrize(
    "told",
    [
        {"collection": [row(TODAY)]},
        {"messages": [], "collection": [row(TODAY)]},
        {"messages": {}, "collection": [row(TODAY)]},
        {"messages": [7], "collection": [row(TODAY)]},
        {"messages": [{"status": None}], "collection": [row(TODAY)]},
    ],
)
def test_papers_without_a_message_are_papers(server, run, told):
    server.answers.append(says(told))
    assert only(run()).title == "Paper 1"


def test_a_list_that_breaks_off_is_kept_and_read_again(server, harvests):
    for number in range(60):
        server.add(TODAY, number)
    server.answers.extend([USUAL, *[DOWN] * 4])
    (batch,), why = harvests.cut_off(since=TODAY)
    assert "answered 500" in str(why)
    assert (len(batch.records), batch.state, batch.cursor) == (30, "incomplete", "2026-06-03")
    assert "broke off after 1 page: " in batch.note


def test_one_day_that_cannot_be_read_does_not_keep_the_others(server, run):
    for ago in range(3):
        server.add(TODAY - ago * DAY, ago)
    server.answers.extend([DOWN] * 4)
    first, *others = run(since=TODAY - 2 * DAY)
    assert (first.records, first.state, first.cursor) == ([], "", "2026-06-01")
    assert "The list of 2026-06-01 broke off after 0 pages" in first.note
    assert [batch.cursor for batch in others] == ["2026-06-03", "journals of 2026-06-01"]
    assert len(found(others)) == 2


def test_days_that_cannot_be_read_with_others_between_them_do_not_stop_the_run(server, run):
    server.answers.extend([*[DOWN] * 4, USUAL, *[DOWN] * 4])
    batches = run(since=TODAY - 3 * DAY)
    assert [batch.state for batch in batches] == ["", "empty", "", "empty"]


def test_two_days_that_cannot_be_read_stop_the_run_at_the_first(server, harvests):
    server.answers.extend([USUAL, *[DOWN] * 8])
    batches, _ = harvests.cut_off(since=TODAY - 5 * DAY)
    assert [batch.cursor for batch in batches] == ["2026-05-30", "2026-05-30", "2026-05-30"]
    assert {day for _, day, _ in server.asked} == {"2026-05-29", "2026-05-30", "2026-05-31"}


@pytest.mark.parametrize("before", range(6))
def test_cut_off_at_any_request_it_goes_on_and_knows_the_same_papers(server, run, harvests, before):
    for number in range(120):
        server.add(TODAY - (number % 3) * DAY, number)
    server.answers.extend([USUAL] * before + [DOWN] * 8)
    batches, _ = harvests.cut_off(since=TODAY - 2 * DAY)
    server.answers.clear()
    batches += run(since=TODAY - 2 * DAY, cursor=batches[-1].cursor)
    assert len({record.id for record in found(batches)}) == 120
