"""What journals published of bioRxiv's and medRxiv's papers, and what becomes of all that."""

from datetime import UTC, datetime, time

import pytest

from digest import harvest
from digest.models import Coverage, Paper, PaperEvent
from digest.sources.biorxiv import BioRxiv
from digest.sources.records import Record
from tests import biorxiv, biorxiv_server
from tests.biorxiv import DAY, NOT_A_LIST, TODAY
from tests.biorxiv_server import publication
from tests.harvests import found, only
from tests.loopback import DOWN

server, harvests = biorxiv.server, biorxiv.harvests


# ---- What journals published


@pytest.fixture
def journals(harvests):
    """Return a function that harvests and returns the batches of what journals published."""

    def journals(*, since=TODAY, cursor="journals of "):
        return harvests(since=since, cursor=cursor)

    return journals


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Journal of <i>Bread</i>", "Journal of Bread"),
        ("NA", "doi:10.1000/bread.1"),
        (None, "doi:10.1000/bread.1"),
    ],
)
def test_of_a_paper_that_a_journal_published_is_told_where_and_nothing_else(
    server, journals, written, said
):
    server.publish(TODAY, "10.1101/1v2", published_journal=written)
    assert only(journals()) == Record(
        id="biorxiv:10.1101/1",
        title="",
        announced_as="published",
        journal_ref=said,
        doi="10.1000/bread.1",
    )


def test_what_journals_published_is_looked_at_again_for_weeks_and_asked_for_once_a_day(
    server, journals
):
    for _ in range(2):
        journals(since=None)
    days = [str(TODAY - ago * DAY) for ago in reversed(range(28))]
    assert server.asked_of_journals == [("biorxiv", day, 0) for day in days]


def test_all_that_journals_published_since_a_day_is_read_where_it_was_left(server, journals):
    for number in range(70):
        server.publish(TODAY, f"10.1101/{number}")
    batches = journals(since=TODAY - 9 * DAY, cursor="journals of 2026-06-01")
    assert [batch.cursor for batch in batches] == [
        *("journals of 2026-06-02", "journals of 2026-06-03", "")
    ]
    assert len(found(batches)) == 70
    assert server.asked == []


@pytest.mark.parametrize("spoilt", [None, {}, {"published_doi": "NA"}, {"preprint_doi": ["1"]}])
def test_a_bad_row_of_what_journals_published_is_one_bad_record(server, journals, spoilt):
    told = publication(TODAY, "10.1101/2") | spoilt if spoilt else spoilt
    server.journals["biorxiv", TODAY] = [publication(TODAY, "10.1101/1"), told]
    (batch,) = journals()
    assert (len(batch.records), len(batch.bad)) == (1, 1)


@pytest.mark.parametrize("answer", [DOWN, (404, {}, b""), *[one for one, _ in NOT_A_LIST]])
def test_where_what_journals_published_cannot_be_read_what_was_posted_is_here(
    server, harvested, answer
):
    server.add(TODAY)
    server.of_journals = answer
    row = harvested()
    assert (row.state, row.new) == ("done", 1)
    assert "What journals published can't be read" in row.said


def test_a_paper_that_a_journal_published_says_so_once_and_stays_as_it_is(server, harvested):
    server.add(TODAY)
    server.publish(TODAY, biorxiv_server.doi(TODAY, 1))
    harvested()
    assert harvested().changed == 0
    paper = Paper.objects.get()
    assert (paper.title, paper.journal_ref, paper.doi) == (
        *("Paper 1", "Journal of Bread", "10.1000/bread.1"),
    )
    event = PaperEvent.objects.get()
    assert (event.kind, event.note) == ("published", "Journal of Bread")


def test_a_paper_that_is_not_here_is_not_made_by_a_journal(server, harvested):
    server.publish(TODAY, "10.1101/1")
    row = harvested()
    assert (row.seen, row.new, Paper.objects.count()) == (1, 0, 0)


# ---- What becomes of it


@pytest.fixture
def harvested(db, server, harvests):
    """Return a function that runs a harvest on a day, from another day on, and returns its row."""

    def harvested(day=TODAY, *, since=None):
        moment = datetime.combine(day, time(12), UTC)
        source = BioRxiv(base=server.base)
        return harvest.run(source, harvests.web, since=since, clock=lambda: moment)

    return harvested


def test_a_later_version_of_a_paper_that_is_known_is_noted_once_and_is_not_new(server, harvested):
    server.add(TODAY - DAY)
    harvested(TODAY - DAY)
    server.add(TODAY, version="2", doi=biorxiv_server.doi(TODAY - DAY, 1), title="Better")
    for _ in range(2):
        row = harvested()
        assert row.state == "done", row.said
    paper = Paper.objects.get()
    assert (paper.title, paper.version, paper.day) == ("Better", 2, TODAY - DAY)
    assert not paper.day_is_estimate
    event = PaperEvent.objects.get()
    assert (event.kind, event.note) == ("revised", "version 2")


def test_a_withdrawal_is_noted(server, harvested):
    server.add(TODAY - DAY)
    harvested(TODAY - DAY)
    doi = biorxiv_server.doi(TODAY - DAY, 1)
    server.add(TODAY, version="2", doi=doi, type="WITHDRAWN", authors="", abstract="")
    harvested()
    paper = Paper.objects.get()
    assert paper.is_withdrawn
    assert paper.authors == ["K. Roe", "J. Doe"]
    assert set(PaperEvent.objects.values_list("kind", flat=True)) == {"revised", "withdrawn"}


def test_of_a_list_is_kept_how_many_papers_it_announced_and_how_many_are_here(server, harvested):
    for number in range(40):
        server.add(TODAY, number, version="1" if number else "2")
    server.lists["biorxiv", TODAY].append({"doi": "10.1101/1"})
    harvested()
    receipt = Coverage.objects.get(day=TODAY)
    assert (receipt.source, receipt.category, receipt.state) == ("biorxiv", "all", "fresh")
    assert (receipt.announced, receipt.had) == (40, 39)  # The first is a revision.


def test_a_list_of_which_rows_are_missing_is_not_said_to_be_here(server, harvested):
    for number in range(40):
        server.add(TODAY, number)
    server.total = lambda rows: len(rows) + 5
    harvested()
    receipt = Coverage.objects.get(day=TODAY)
    assert (receipt.state, receipt.announced, receipt.had) == ("failed", 45, 40)
    server.total = len
    harvested()
    receipt.refresh_from_db()
    assert (receipt.state, receipt.announced, receipt.had) == ("fresh", 40, 40)


def test_a_server_that_is_away_takes_nothing_from_what_is_known(server, harvested):
    server.add(TODAY)
    harvested()
    server.answers.extend([DOWN] * 8)
    row = harvested()
    assert row.state == "failed"
    assert row.said.endswith("It broke off: 127.0.0.1 answered 500.")
    assert Coverage.objects.get(day=TODAY).state == "fresh"


def test_both_servers_wait_for_each_others_turns_and_for_no_other_source():
    gates = {name: harvest.web_for(source()).gate for name, source in harvest.SOURCES.items()}
    assert gates["biorxiv"].source == gates["medrxiv"].source
    assert len({gate.source for gate in gates.values()}) == len(gates) - 1
