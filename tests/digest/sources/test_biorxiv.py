"""bioRxiv's and medRxiv's lists: their rows, their ends, and what journals published of them."""

from datetime import UTC, datetime, time

import pytest

from digest.models import Coverage, Paper, PaperEvent
from digest.papers import harvest
from digest.sources.biorxiv.source import BioRxiv
from digest.sources.records import Record
from tests.factories.harvests import FixedAnswer, found, harvesting, only, serving
from tests.servers.daily_lists import (
    DAY,
    TODAY,
    BioRxivServer,
    biorxiv_doi,
    biorxiv_row,
    publication,
)
from tests.servers.loopback import DOWN, USUAL, web_page

server = serving(BioRxivServer)
harvests = harvesting(lambda server, name="biorxiv": server.source(name))


@pytest.fixture
def run(harvests):
    """Return a function that harvests, and returns the batches of what was posted."""
    return lambda *, since=TODAY, **asked: [
        batch for batch in harvests(since=since, **asked) if batch.day
    ]


# ---- ReadOnlyInline


def row(number=1, **fields):
    return biorxiv_row(TODAY, number, **fields)


def read(*rows, **message):
    """Return the batch that the source makes of today's list with these rows."""
    message = {"status": "ok", "total": str(len(rows))} | message
    web = FixedAnswer({"messages": [message], "collection": rows})
    return next(BioRxiv().harvest(web, today=TODAY, since=TODAY, cursor=""))


def test_versions_of_one_day_are_one_paper():
    record = only([read(row(version="2", title="Better"), row(version="1", title="Good"))])
    assert (record.title, record.version, record.announced_as) == ("Better", 2, "new")
    assert (record.day, record.day_is_estimate) == (TODAY, False)


# ---- Lists


def test_single_unreadable_days_are_skipped(server, run):
    for ago in range(4):
        server.add(TODAY - ago * DAY, ago)
    server.answers.extend([*[DOWN] * 4, USUAL, *[DOWN] * 4])
    batches = run(since=TODAY - 3 * DAY)
    assert [batch.state for batch in batches] == ["", "fresh", "", "fresh"]
    assert batches[0].cursor == "2026-05-31"
    assert "The list of 2026-05-31 broke off after 0 pages" in batches[0].note


def test_consecutive_unreadable_days_stop_the_run(server, harvests):
    server.answers.extend([USUAL, *[DOWN] * 8])
    batches, _ = harvests.cut_off(since=TODAY - 5 * DAY)
    assert [batch.cursor for batch in batches] == ["2026-05-30"] * 3
    assert {day for day, *_ in server.asked} == {"2026-05-29", "2026-05-30", "2026-05-31"}


# ---- What journals published


@pytest.fixture
def journals(harvests):
    """Return a function that harvests and returns the batches of what journals published."""
    return lambda *, since=TODAY, cursor="journals of ": harvests(since=since, cursor=cursor)


def test_only_journal_of_published_paper_is_stored(server, journals):
    for number, journal in enumerate(["Journal of <i>Bread</i>", "NA", None]):
        server.publish(TODAY, f"10.1101/{number}v2", published_journal=journal)
    doi = "10.1000/bread.1"
    assert found(journals()) == [
        Record(f"biorxiv:10.1101/{n}", "", announced_as="published", journal_ref=said, doi=doi)
        for n, said in enumerate(["Journal of Bread", f"doi:{doi}", f"doi:{doi}"])
    ]


def test_journals_continue_at_the_cursor(server, journals):
    for number in range(70):
        server.publish(TODAY, f"10.1101/{number}")
    batches = journals(since=TODAY - 9 * DAY, cursor="journals of 2026-06-01")
    cursors = ["journals of 2026-06-02", "journals of 2026-06-03", ""]
    assert [batch.cursor for batch in batches] == cursors
    assert len(found(batches)) == 70
    assert server.asked == []


@pytest.mark.parametrize("spoilt", [None, {}, {"published_doi": "NA"}, {"preprint_doi": ["1"]}])
def test_bad_journal_row_is_one_bad_record(server, journals, spoilt):
    spoilt_one = publication(TODAY, "10.1101/2") | spoilt if spoilt else spoilt
    server.journals[TODAY] = [publication(TODAY, "10.1101/1"), spoilt_one]
    (batch,) = journals()
    assert (len(batch.records), len(batch.errors)) == (1, 1)


# ---- What is stored


@pytest.fixture
def harvested(db, server, harvests):
    """Return a function that runs a harvest on a day, and returns its row."""

    def harvested(day=TODAY):
        moment = datetime.combine(day, time(12), UTC)
        return harvest.run(server.source(), harvests.web, clock=lambda: moment)

    return harvested


@pytest.mark.parametrize("answer", [DOWN, (200, {}, b""), (404, {}, b""), web_page()])
def test_unreadable_journals_do_not_lose_papers(server, harvested, answer):
    server.add(TODAY)
    server.of_journals = answer
    row = harvested()
    assert (row.state, row.new) == ("done", 1)
    assert "What journals published can't be read" in row.result


def test_published_paper_is_noted_once(server, harvested):
    server.add(TODAY)
    for doi in (biorxiv_doi(TODAY, 1), "10.1101/1"):
        server.publish(TODAY, doi)
    harvested()
    assert harvested().changed == 0
    paper, event = Paper.objects.get(), PaperEvent.objects.get()
    assert (paper.title, paper.journal_ref) == ("Paper 1", "Journal of Bread")
    assert (paper.doi, event.kind) == ("10.1000/bread.1", "published")
    assert event.note == "Journal of Bread"


def test_complete_list_stays_fresh(server, harvested):
    for number in range(40):
        server.add(TODAY, number, version="1" if number else "2")  # The first is a revision.
    server.lists[TODAY].append({"doi": "10.1101/1"})
    receipts = Coverage.objects.filter(source="biorxiv", category="all", day=TODAY)
    receipt = receipts.values_list("state", "announced", "stored")
    server.total = lambda rows: len(rows) + 5
    harvested()
    assert receipt.get() == ("failed", 45, 39)
    server.total = len
    harvested()
    assert receipt.get() == ("fresh", 40, 39)
    server.answers.extend([DOWN] * 8)
    row = harvested()
    assert row.state == "failed"
    assert row.result.endswith("Failed: 127.0.0.1 answered 500.")
    assert receipt.get() == ("fresh", 40, 39)
