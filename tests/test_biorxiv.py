"""bioRxiv's and medRxiv's lists become records, whatever comes over the wire."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest import harvest
from digest.models import Coverage, Paper, PaperEvent
from digest.sources.biorxiv import MAX_PAGES, BioRxiv
from digest.sources.records import Record
from tests import biorxiv_server
from tests.biorxiv_server import BioRxivServer, publication, row
from tests.harvests import Told, anything, found, harvesting, only, serving
from tests.loopback import DOWN, USUAL, says, web_page

TODAY = date(2026, 6, 3)  # A Wednesday.
DAY = timedelta(days=1)


NOT_A_LIST = [
    (web_page(), "sent a web page"),
    (says(b""), "something that is not JSON"),
    (says(b'{"messages":[{"status":"ok"}],"collec'), "something that is not JSON"),
    (says(b"[" * 200_000 + b"]" * 200_000), "something that is not JSON"),
    (says(b'{"collection":"\xff\xfe"}'), "not valid UTF-8"),
    (says([]), "no list of papers"),
    (says({"messages": [{"status": "ok"}]}), "no list of papers"),
    (says({"messages": [{"status": "ok"}], "collection": {}}), "no list of papers"),
    (says({"messages": [{"status": "Both dates must be in <b>"}]}), "answers: Both dates must be"),
    (says({"collection": [0] * 1001}), "1001 rows at once"),
]


server = serving(lambda: BioRxivServer(today=TODAY))
harvests = harvesting(lambda server, name="biorxiv": BioRxiv(name, server.base))


@pytest.fixture
def run(harvests):
    """Return a function that harvests and returns the batches of what was posted."""

    def run(*, since=TODAY, **asked):
        return [batch for batch in harvests(since=since, **asked) if batch.day]

    return run


# ---- A row


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
        ("", []),
    ],
)
def test_authors_are_named_as_papers_of_other_sources_name_them(server, run, written, names):
    server.add(TODAY, authors=written)
    assert only(run()).authors == names


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
    server.after_page = lambda: server.asked[1:] or server.add(TODAY, 60)
    (batch,) = run()
    assert (len(batch.records), batch.state) == (61, "fresh")


def test_a_row_that_slips_through_while_the_pages_are_read_is_missed(server, run):
    for number in range(60):
        server.add(TODAY, number)
    rows = server.lists["biorxiv", TODAY]
    server.after_page = lambda: server.asked[1:] or rows.insert(0, row(TODAY, 60))
    (batch,) = run()
    assert (len(batch.records), batch.state, batch.missing) == (60, "incomplete", 1)


def test_rows_that_are_taken_away_while_the_pages_are_read_are_no_fault(server, run):
    for number in range(60):
        server.add(TODAY, number)
    rows = server.lists["biorxiv", TODAY]
    server.after_page = lambda: server.asked[1:] or rows.pop()
    (batch,) = run()
    assert (len(batch.records), batch.state) == (59, "fresh")


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


def test_a_bad_row_that_comes_again_is_one_bad_record(server, run):
    for number in range(60):
        server.add(TODAY, number, title="" if number == 29 else "Bread")
    rows = server.lists["biorxiv", TODAY]
    server.after_page = lambda: server.asked[1:] or rows.insert(0, row(TODAY, 60))
    (batch,) = run()
    assert (len(batch.records), len(batch.bad), batch.missing) == (59, 1, 1)


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


def test_a_later_version_of_a_paper_that_we_never_had_is_not_new(server, harvested):
    server.add(TODAY, version="3", doi="10.1101/654321")
    harvested()
    assert not Paper.objects.new_on(TODAY).exists()
    assert Paper.objects.get().day == date(2019, 12, 10)


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


def test_a_backfill_that_was_cut_off_goes_on_where_it_was(server, harvested):
    first = TODAY - 20 * DAY
    for ago in range(21):
        server.add(TODAY - ago * DAY, ago)
    server.answers.extend([USUAL] * 9 + [DOWN] * 8)
    row = harvested(since=first)
    assert (row.state, row.cursor) == ("failed", str(first + 9 * DAY))
    server.asked.clear()
    row = harvested(since=first)
    assert (row.state, row.new, row.bad) == ("done", 21, 0)
    assert server.asked[0] == ("biorxiv", str(first + 9 * DAY), 0)
    assert Paper.objects.count() == 21


def test_both_servers_wait_for_each_others_turns_and_for_no_other_source():
    gates = {name: harvest.web_for(source()).gate for name, source in harvest.SOURCES.items()}
    assert gates["biorxiv"].source == gates["medrxiv"].source
    assert len({gate.source for gate in gates.values()}) == len(gates) - 1


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


def test_an_error_that_passes_is_waited_out(server, run, harvests):
    server.add(TODAY)
    server.answers.extend([DOWN, (503, {"Retry-After": "40"}, b""), (429, {}, b"")])
    assert only(run())
    assert sum(harvests.slept) > 40


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


@pytest.mark.parametrize("cursor", ["soon", "2026-13-01", "2099-01-01"])
def test_a_cursor_that_says_nothing_starts_anew(server, run, cursor):
    run(since=None, cursor=cursor)
    assert server.asked[0] == ("biorxiv", "2026-06-01", 0)


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
