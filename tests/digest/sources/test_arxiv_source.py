"""arXiv harvested from a server on loopback: day by day, since a day, cut off, and spoilt."""

from datetime import date, timedelta

import pytest

from digest.http.client import Refused
from digest.sources.arxiv import rss, taxonomy
from digest.sources.arxiv.source import ArXiv, HarvestCursor
from digest.sources.base import MalformedFeed
from tests.factories.announcements import listed
from tests.factories.harvests import harvesting, serving
from tests.servers.arxiv import ArxivServer

MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2026, 6, number) for number in range(1, 5))
SOME = ("cs", "math", "hep-th")


def week():
    """Return the papers of four days: seven new ones each, and news of an older one."""
    shapes = [["cs.LG"], ["cs.NA", "math.NA"], ["math.AG"], ["hep-th", "math-ph"], ["hep-th"]]
    days = {}
    for day in (MONDAY, TUESDAY, WEDNESDAY, THURSDAY):
        days[day] = [listed(f"2606.{day.day:02}{n:03}", *shapes[n % 5]) for n in range(7)]
        days[day].append(listed(f"2401.0000{day.day}", "cs.CL", kind="replace"))
    return days


server = serving(lambda: ArxivServer(week(), today=WEDNESDAY, page_size=5))
run = harvesting(lambda server, categories=SOME: ArXiv(categories, **server.addresses))


def days_of(batches):
    """Return each paper's day as a store would have it: announcements before estimates."""
    days = {}
    for record in (record for batch in batches for record in batch.records):
        records = (record.day_is_estimate or record.day is None, record.day or date.max)
        days[record.id] = min(records, days.get(record.id, records))
    return {identity: day for identity, (_, day) in days.items()}


def truth(server, day):
    return {paper["id"]: day for paper in server.days[day] if paper.get("kind", "new") == "new"}


def test_day_has_papers_and_receipts(server, run):
    batches = run()
    assert days_of(batches).items() >= truth(server, WEDNESDAY).items()
    feeds = [batch for batch in batches if batch.category]
    counts = {batch.category: len(batch.records) for batch in feeds if batch.state == "fresh"}
    assert (len(feeds), counts) == (3, {"cs": 5, "math": 3, "hep-th": 2})
    assert {batch.day for batch in feeds} == {WEDNESDAY}
    assert not any(batch.state or batch.note for batch in batches[3:])
    assert not any(batch.errors for batch in batches)
    assert batches[-1].cursor == ""


def test_all_archives_are_read_by_default(server, run):
    source = ArXiv(**server.addresses)
    batches = list(source.harvest(run.web, today=WEDNESDAY, since=None, cursor=""))
    paths = server.paths("/rss/")
    assert paths == [f"/rss/{archive}" for archive in taxonomy.ARCHIVES]
    assert "set=" not in "".join(server.paths("/oai"))
    assert days_of(batches).items() >= truth(server, WEDNESDAY).items()


def test_backfill_reads_only_the_list(server, run):
    batches = run(since=TUESDAY)
    assert not server.paths("/rss")
    days = days_of(batches)
    assert days.items() >= (truth(server, TUESDAY) | truth(server, WEDNESDAY)).items()
    assert not days.keys() & truth(server, MONDAY).keys()
    assert not any(batch.state for batch in batches)


# Cut off


@pytest.mark.parametrize("since", [None, MONDAY])
def test_interrupted_run_ends_with_same_papers(run, since):
    whole = run(since=since)
    for count in range(1, len(whole)):
        run.begin_web()
        batches = run.batches(since=since)
        read_batches = [next(batches) for _ in range(count)]
        batches.close()
        rest = run(since=since, cursor=read_batches[-1].cursor)
        assert days_of(read_batches + rest) == days_of(whole)
        assert [batch.state for batch in rest] == [batch.state for batch in whole[count:]]


def test_run_interrupted_yesterday_fills_the_gap(server, run):
    server.today = TUESDAY
    cursor = run()[1].cursor
    server.today = THURSDAY
    batches = run(cursor=cursor)
    assert [batch.category for batch in batches[:3]] == list(SOME)
    assert set(days_of(batches)) >= {one for day in server.days for one in truth(server, day)}


# Faults of the feeds


def test_truncated_feed_is_completed_by_list(server, run, monkeypatch):
    monkeypatch.setattr(rss, "MAX_ITEMS", 5)
    server.feed_size = 5
    server.days = {WEDNESDAY: [listed(f"2606.{number:05}") for number in range(12)]}
    server.page_size = 12
    batches = run(categories=("cs",))
    assert (batches[0].state, len(batches[0].records)) == ("incomplete", 5)
    assert len(days_of(batches)) == 12
    assert batches[-1].note == (
        "Not in the feeds of 2026-06-03: 7 "
        "(2606.00005, 2606.00006, 2606.00007, 2606.00008, 2606.00009…)."
    )


# Faults of the lists


def test_an_expired_token_begins_the_list_again(server, run):
    whole = days_of(run(since=MONDAY))
    cursor = run(since=MONDAY)[0].cursor
    server.tokens.clear()
    request_count = len(server.asked)
    assert days_of(run(since=MONDAY, cursor=cursor)) == whole
    assert "resumptionToken" in server.asked[request_count].path
    assert "from=2026-06-01" in server.asked[request_count + 1].path


def test_repeatedly_refused_tokens_end_the_run(server, run):
    server.after_page = lambda number: server.tokens.clear()
    server.next_token = lambda rows, skip, params: "<resumptionToken>x</resumptionToken>"
    with pytest.raises(MalformedFeed, match="refuses the tokens"):
        run(since=MONDAY)


CIRCLES = [
    pytest.param([0] * 9, [0] * 9, id="one page"),
    pytest.param([0] * 9, [*range(9)], id="one page, ever new tokens"),
    pytest.param([5, 0] * 9, [0] * 18, id="two pages in turn"),
]


@pytest.mark.parametrize(("skips", "tokens"), CIRCLES)
def test_circular_list_is_ended(server, run, skips, tokens):
    def next_token(rows, skip, params):
        token = f"metadataPrefix=arXivRaw&from={MONDAY}&skip={skips.pop(0)}&x={tokens.pop(0)}"
        server.tokens.add(token)
        return f"<resumptionToken>{token.replace('&', '&amp;')}</resumptionToken>"

    server.next_token = next_token
    batches = run(since=MONDAY, categories=("cs",))
    assert len(batches) <= 3
    assert batches[-1].state == "incomplete"
    assert batches[-1].note == "The list goes round in circles: its end is missing."
    assert batches[-1].cursor == ""


def test_paper_changed_between_pages_has_last_version(server, run):
    def replace(number):
        if number == 1:  # A paper of the first page moves to the end.
            news = listed("2606.01000", title="On cake", kind="replace", version=2)
            server.days[WEDNESDAY].append(news)

    server.after_page = replace
    batches = run(since=MONDAY, categories=("cs",))
    records = [record for batch in batches for record in batch.records if record.id == "2606.01000"]
    assert [(record.title, record.version) for record in records][-1] == ("On cake", 2)
    assert {record.day for record in records} == {MONDAY}


def test_a_deleted_paper_is_noted(server, run):
    server.deleted.add("2606.03000")
    assert "Deleted at arXiv: 2606.03000." in " ".join(batch.note for batch in run())


@pytest.mark.parametrize("fault", ["html", "cut"])
def test_unreadable_list_ends_run_after_feeds(server, run, fault):
    server.faults["oai"] = fault
    batches, error = run.cut_off()
    assert isinstance(error, MalformedFeed | Refused)
    assert days_of(batches).items() >= truth(server, WEDNESDAY).items()
    assert HarvestCursor.read(batches[-1].cursor).step == "oai"


# Single papers, and manners


def test_missing_listing_after_holiday_is_no_fault(server, run):
    friday = date(2026, 7, 3)  # Free: nothing closes, so there is no listing on Monday.
    server.days = {friday: [listed("2607.00001")], friday + timedelta(4): [listed("2607.00002")]}
    for days, state in [(0, "fresh"), (1, "empty"), (3, "empty"), (4, "fresh")]:
        server.today = friday + timedelta(days)
        assert {batch.state for batch in run(categories=("cs",))} == {state, ""}
