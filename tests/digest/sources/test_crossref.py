"""Journals at Crossref: lists by day of registration, and what works become."""

from datetime import UTC, datetime, time, timedelta

import pytest

from digest.models import Coverage, Harvest, Paper, SourceConfig
from digest.papers import harvest, registry
from digest.papers.store import store
from digest.sources import crossref, journal_lists
from digest.sources.records import Record
from tests.factories.harvests import found, harvesting, only, serving
from tests.helpers.data_files import as_json, cases
from tests.servers.crossref import ISSN, TODAY, CrossrefServer, use
from tests.servers.loopback import says, web_page

CASES = cases("crossref")
DAY = timedelta(days=1)

server = serving(CrossrefServer)
run = harvesting(lambda server, **options: server.source(**options))


# ---- Works


@pytest.mark.parametrize(("fields", "becomes"), CASES["works"])
def test_work_fields_are_read(server, run, fields, becomes):
    server.add(**fields)
    record = only(run())
    assert as_json({name: getattr(record, name) for name in becomes}) == becomes


@pytest.mark.parametrize("fields", CASES["left_out"])
def test_work_that_is_no_new_paper_is_left_out(server, run, fields):
    server.add(**fields)
    assert found(run()) == []


@pytest.mark.parametrize("fields", CASES["broken"])
def test_broken_work_is_told_and_loses_no_other(server, run, fields):
    server.add(1, **fields)
    server.add(2)
    batches = run()
    assert only(batches).title == "Paper 2"
    assert sum(len(batch.errors) for batch in batches) == 1


def test_openalex_adds_abstract_after_two_days(server, run):
    for number, age in enumerate((2, 2, 1)):
        server.add(number, TODAY - age * DAY, abstract=None)
        if number != 1:
            server.abstracts[f"10.1103/bread.{number}"] = "It rises where it is warm and it falls"
    abstracts = [record.abstract for record in found(run())]
    assert abstracts == ["It rises where it is warm and it falls", "", ""]


# ---- Lists


def test_list_is_read_page_by_page(server, run, monkeypatch):
    monkeypatch.setattr(crossref, "ROWS", 2)
    for number in range(5):
        server.add(number, TODAY - number % 3 * DAY)
    assert len(found(run(ids=("10.1103",)))) == 5
    lists = server.lists()
    assert [asked["cursor"] for asked in lists] == ["*", "page+2", "page+4"]
    assert lists[0]["filter"] == (
        "prefix:10.1103,from-created-date:2026-06-01,until-created-date:2026-06-03"
    )


def test_issns_are_alternatives(server, run):
    run(ids=("2469-9950", "2469-9969"))
    assert server.lists()[0]["filter"].startswith("issn:2469-9950,issn:2469-9969,from")


def test_missing_rows_are_told(server, run):
    for number in range(3):
        server.add(number)
    server.hidden = 1
    last = run()[-1]
    assert (len(last.records), last.missing, last.state) == (2, 1, "incomplete")
    assert last.note == "Of 3 works from 2026-06-01 to 2026-06-03, 1 did not come."


ANSWERS = [
    ((429, {"Retry-After": "7"}, b""), [7]),
    ((429, {}, b""), [True]),
    ((503, {}, b""), [True]),
]


FAULTS = [
    ([(500, {}, b"")] * 4, "answered 500"),
    ([says(b"{")], "not JSON"),
    ([says({"message": {"items": []}})], "no list of works"),
    ([says([])], "without a message"),
    ([web_page()], "a web page instead of data"),
    ([(404, {}, b"{}")], "answered 404"),
]


@pytest.mark.parametrize(("answers", "error"), FAULTS)
def test_unreadable_list_is_noted_and_resumed(server, run, answers, error):
    server.add()
    server.answers += answers
    batches, problem = run.cut_off()
    assert error in str(problem)
    assert (batches[-1].state, batches[-1].day, batches[-1].cursor) == (
        "incomplete",
        TODAY,
        "2026-06-01",
    )
    assert only(run(cursor=batches[-1].cursor))


# ---- Runs


@pytest.fixture
def journal(server, monkeypatch, db):
    """Return a function that harvests a journal at noon of a day."""
    use(monkeypatch, server)
    SourceConfig.objects.create(name="bread", title="Bread", is_on=True, crossref_ids=ISSN)

    def harvested(day=TODAY):
        source = registry.source_named("bread")
        now = datetime.combine(day, time(12), UTC)
        web = harvest.web_for(source, sleep=lambda seconds: None)
        return harvest.run(source, web, clock=lambda: now)

    return harvested


def test_later_deposit_changes_the_paper(journal, server):
    server.add(abstract=None)
    journal()
    server.add(title=["Paper 1, corrected"])
    run = journal(TODAY + DAY)
    assert (run.new, run.changed) == (0, 1)
    assert Paper.objects.get().title == "Paper 1, corrected"
    server.add(day=TODAY - 900 * DAY)  # An old work, deposited again.
    assert (journal(TODAY + 2 * DAY).new, Paper.objects.count()) == (0, 1)


def test_outage_is_filled_afterwards(journal, server):
    """One work a day, of which each third is listed two days late."""

    def register(day):
        for late in (day - 2 * DAY, day):
            number = (late - TODAY).days
            if (number % 3 == 0) == (late < day):
                server.add(number + 5, late)

    days = [TODAY + number * DAY for number in range(12)]
    for day in days:
        register(day)
        if 4 <= (day - TODAY).days < 7:
            server.answers += [(503, {}, b"")] * 4
        journal(day)
    assert Paper.objects.count() == 12
    states = Coverage.objects.filter(source="bread").values_list("state", flat=True)
    assert set(states) == {"fresh"}
    assert not Harvest.objects.filter(since__isnull=False).exclude(state="done").exists()


def test_work_of_a_stored_preprint_updates_it(journal, server):
    store([Record("2506.04235", "On bread", day=TODAY)], now=datetime(2026, 6, 3, tzinfo=UTC))
    row = {"id-type": "doi", "id": "10.48550/arXiv.2506.04235"}
    server.add(relation={"has-preprint": [row]})
    for _ in range(2):
        journal()
    paper = Paper.objects.get()
    assert (paper.pk, paper.doi, paper.journal_ref) == (
        "2506.04235",
        "10.1103/bread.1",
        "Journal of Bread",
    )


def test_later_version_and_retraction_update_the_preprint(journal, server):
    kind = {"type": "posted-content", "container-title": []}
    server.add(1, DOI="10.21203/rs.3.rs-7/v1", **kind)
    journal()
    server.add(2, DOI="10.21203/rs.3.rs-7/v2", title=["Second"], **kind)
    server.add(3, **{"update-to": [{"DOI": "10.21203/rs.3.rs-7", "type": "retraction"}]})
    journal()
    paper = Paper.objects.get()
    assert (paper.pk, paper.title, paper.is_withdrawn) == (
        "doi:10.21203/rs.3.rs-7",
        "Second",
        True,
    )
    events = set(paper.events.values_list("kind", flat=True))
    assert events == {"revised", "withdrawn"}


# ---- Lists of journals


def test_known_journals_have_valid_ids():
    every = [one for group in journal_lists.known().values() for one in group]
    ids = [id for one in every for id in crossref.parse_ids(one.ids)]
    assert all(crossref.parse_ids(one.ids) for one in every)
    assert len(set(ids)) == len(ids) > 400


@pytest.mark.parametrize(("text", "ids", "error"), CASES["ids"])
def test_ids_are_checked(text, ids, error):
    if error:
        with pytest.raises(ValueError, match=error):
            crossref.parse_ids(text)
    else:
        assert crossref.parse_ids(text) == ids


@pytest.mark.parametrize(("text", "rows"), CASES["journal_files"])
def test_journal_files_are_read(text, rows):
    assert [list(row) for row in journal_lists.read(text.encode())] == rows


@pytest.mark.parametrize(("text", "titles"), CASES["names"])
def test_known_journals_are_found(text, titles):
    assert [one.title for one in journal_lists.find(text)] == titles
