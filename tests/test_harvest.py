"""Runs of sources: everything that was announced, each paper once, and proof of it."""

import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count, pairwise

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import CommandError, call_command
from django.utils import timezone

from digest import (
    alarms,
    coverage,
    harvest,
    ledger,
    planning,
    steering,
    storing,
    tasks,
    upkeep,
)
from digest.models import (
    Coverage,
    Digest,
    Feedback,
    Harvest,
    Observation,
    Paper,
    PaperEvent,
    Response,
)
from digest.sources import calendar
from digest.sources.arxiv import ArXiv
from digest.sources.huggingface import HuggingFace
from digest.sources.plug import Batch
from digest.sources.records import Record
from digest.turns import DatabaseCache, DatabaseGate
from subscriptions import registry
from subscriptions.models import Letter, Subscriber
from tests import came_back, make
from tests.arxiv_server import EASTERN, ArxivServer, unavailable
from tests.huggingface_server import HuggingFaceServer, too_many
from tests.in_memory import OpenGate, web_of
from tests.make import NOW
from tests.threads import at_once

pytestmark = pytest.mark.django_db

ARCHIVES = ("cs", "math", "stat")
MONDAY = date(2026, 6, 1)


def listing_days(count):
    days = [MONDAY + timedelta(days=n) for n in range(count * 2)]
    return [day for day in days if calendar.is_announcement_day(day)][:count]


def announcements(days, a_day=9):
    """Return what is announced on each day: new papers, and now and then a cross or a revision."""
    lists, number = {}, 0
    for day in days:
        papers = []
        for n in range(a_day):
            number += 1
            papers.append(
                {
                    "id": f"2606.{number:05}",
                    "title": f"Graph networks number {number}",
                    "abstract": f"On graphs & bread, part {number}.",
                    "authors": ["A. One", "B. Two"],
                    "categories": [["cs.LG"], ["math.CO", "cs.DM"], ["stat.ML"]][n % 3],
                }
            )
        if lists:
            first = next(iter(lists.values()))[0]
            papers.append(first | {"kind": "replace", "version": len(lists) + 1})
        lists[day] = papers
    return lists


def at(day, hour=6):
    """Return a moment of a day in New York."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=EASTERN).astimezone(UTC)


@pytest.fixture(autouse=True)
def categories(settings):
    settings.ARXIV_CATEGORIES = list(ARCHIVES)


@pytest.fixture
def days():
    return listing_days(20)


@pytest.fixture
def server(days):
    server = ArxivServer(announcements(days), today=days[0], page_size=7)
    yield server
    server.close()


def arxiv(server):
    return ArXiv(ARCHIVES, **server.addresses)


def web(source, clock, **options):
    return web_of(source.hosts, now=clock, **options)


def run(server, day, *, since=None, hour=6, **options):
    server.today = day
    source = arxiv(server)

    def clock():
        return at(day, hour)

    return harvest.run(source, web(source, clock, **options), since=since, clock=clock)


def expected_papers(server, until):
    """Return the day on which each paper was announced first."""
    return {
        paper["id"]: day
        for day in sorted(server.days, reverse=True)
        if day <= until
        for paper in server.days[day]
        if paper.get("kind", "new") == "new"
    }


def stored():
    return dict(Paper.objects.values_list("pk", "day"))


def test_twenty_days_in_order_give_each_paper_once_with_its_announcement_day(server, days):
    for day in days:
        row = run(server, day)
        assert row.state == "done", row.said
    assert stored() == expected_papers(server, days[-1])
    assert not Paper.objects.filter(day_is_estimate=True).exists()
    receipt = coverage.receipt(at(days[-1]))
    assert (receipt.announced, receipt.had, receipt.is_verified) == (9, 9, True)


def test_the_same_day_again_changes_nothing(server, days):
    run(server, days[0])
    before = list(Paper.objects.order_by("pk").values())
    row = run(server, days[0])
    assert (row.new, row.changed) == (0, 0)
    assert list(Paper.objects.order_by("pk").values()) == before


def test_killed_at_any_request_and_started_again_it_ends_the_same(server, days):
    class Killed(BaseException):
        pass

    class DyingGate(OpenGate):
        left = 0

        def turn(self):
            if DyingGate.left == 0:
                raise Killed
            DyingGate.left -= 1
            return super().turn()

    server.today = days[1]
    source = arxiv(server)

    def clock():
        return at(days[1])

    for requests in range(1, 12):
        Paper.objects.all().delete()
        Harvest.objects.all().delete()
        Coverage.objects.all().delete()
        kept = web(source, clock)
        kept.gate = DyingGate()
        DyingGate.left = requests
        try:
            harvest.run(source, kept, clock=clock)
        except Killed:
            DyingGate.left = 100
            row = harvest.run(source, kept, clock=clock)
            assert row.state == "done", row.said
            assert Harvest.objects.count() == 1
        assert stored() == expected_papers(server, days[1])
        assert coverage.is_verified(clock())


def test_papers_that_only_others_told_of_are_looked_up_at_arxiv(server, days):
    told = [Record(id=id, title="Told", day=days[4]) for id in ("2606.00004", "2606.99999")]
    old = Record(id="2606.00002", title="Told long ago", day=days[4] - harvest.UNLISTED)
    elsewhere = Record(id="biorxiv:1", title="Of another archive", day=days[4])
    storing.store([*told, old, elsewhere], now=at(days[4]), source="huggingface")
    sample = replace(old, id="2606.00005", day=days[4])
    storing.store([sample], now=at(days[4]), is_sample=True)
    row = run(server, days[4])
    assert row.state == "done", row.said
    assert Paper.objects.get(pk="2606.00004").categories == ["cs.LG"]
    assert Paper.objects.get(pk="2606.00004").authors == ["A. One", "B. Two"]
    assert set(Paper.objects.filter(categories=[]).values_list("pk", flat=True)) == {
        *("2606.99999", "2606.00002", "2606.00005", "biorxiv:1")
    }
    (asked,) = server.paths("/api")
    assert asked.count("2606.") == 2
    run(server, days[4], since=days[3])
    assert server.paths("/api") == [asked]


class Library:
    """A source of no list, which has single papers."""

    name, hosts, seconds_between = "library", frozenset(), 0.0

    def harvest(self, web, *, today, since, cursor):
        yield Batch([])

    def look_up(self, web, ids):
        yield Batch([Record(id=one, title="Looked up", categories=["cs.DL"]) for one in ids])


def test_any_source_that_can_look_papers_up_is_asked_for_them(days):
    for told in ("2606.00004", "biorxiv:1"):
        storing.store([Record(id=told, title=f"Told {told}", day=days[4])], now=at(days[4]))
    row = harvest.run(Library(), None, clock=lambda: at(days[4]))
    assert (row.state, row.seen) == ("done", 1), row.said
    assert Paper.objects.get(pk="2606.00004").categories == ["cs.DL"]


def test_of_many_papers_that_only_others_told_of_the_newest_are_looked_up(days, monkeypatch):
    monkeypatch.setattr(harvest, "MOST_UNLISTED", 2)
    for n, day in enumerate(days[:4]):
        storing.store([Record(id=f"2606.0000{n}", title=f"Told {n}", day=day)], now=at(day))
    harvest.run(Library(), None, clock=lambda: at(days[3]))
    found = Paper.objects.exclude(categories=[]).values_list("pk", flat=True)
    assert set(found) == {"2606.00002", "2606.00003"}


def test_of_many_bad_records_a_run_names_some_and_counts_all(days, monkeypatch):
    bad = [f"row {number}: it has no title" for number in range(9)]
    monkeypatch.setattr(Library, "harvest", lambda *_, **__: iter([Batch([], bad, note="Cut.")]))
    row = harvest.run(Library(), None, clock=lambda: at(days[0]))
    assert "9 could not be read. Cut; row 0: it has no title; " in row.said
    assert row.said.endswith("row 3: it has no title.")


def test_a_day_is_whole_though_nothing_can_be_looked_up(server, days):
    told = Record(id="2606.00004", title="Told", day=days[4])
    storing.store([told], now=at(days[4]), source="huggingface")
    server.faults["api"] = "html"
    row = run(server, days[4])
    assert row.state == "done"
    assert "can't be looked up" in row.said
    assert coverage.is_verified(at(days[4]))


def test_a_backfill_has_all_papers_with_their_days_estimated(server, days):
    row = run(server, days[-1], since=days[0])
    assert row.state == "done", row.said
    assert stored().keys() == expected_papers(server, days[-1]).keys()
    close = [
        abs((stored()[key] - day).days) <= 4
        for key, day in expected_papers(server, days[-1]).items()
    ]
    assert all(close)


def test_days_on_which_nothing_ran_are_fetched_when_it_runs_again(server, days):
    run(server, days[0])
    row = run(server, days[9])
    assert row.state == "done", row.said
    assert stored().keys() == expected_papers(server, days[9]).keys()
    runs = Harvest.objects.order_by("pk").values_list("since", "state")
    assert list(runs) == [(None, "done"), (days[0], "done"), (None, "done")]


def test_days_that_could_not_be_fetched_stay_owed(server, days):
    run(server, days[0])
    server.answers["oai"].extend([None] * 8 + [unavailable()] * 4)
    run(server, days[9])
    assert Harvest.objects.filter(since=days[0]).get().state == "failed"
    run(server, days[9], hour=9)
    assert Harvest.objects.filter(since=days[0]).get().state == "done"
    assert stored().keys() == expected_papers(server, days[9]).keys()


def test_who_ran_each_day_owes_nothing(days):
    for day in days[:4]:
        harvest.run(Library(), None, clock=lambda day=day: at(day))
    assert list(Harvest.objects.values_list("since", flat=True)) == [None] * 4


def test_what_is_owed_is_fetched_in_the_order_in_which_it_was_asked_for(days):
    asked = []

    class Asked(Library):
        def harvest(self, web, *, since, **others):
            asked.append(since)
            yield Batch([])

    for hour, since in enumerate((days[1], days[0])):
        begun = {"started_at": at(days[2], hour), "touched_at": at(days[2], hour)}
        Harvest.objects.create(
            source="library", since=since, today=days[2], state="failed", **begun
        )
    harvest.run(Asked(), None, clock=lambda: at(days[2]))
    assert asked == [None, days[1], days[0]]


@pytest.mark.parametrize(("name", "day"), [("arxiv", 1), ("library", 2)])
def test_the_day_of_arxivs_run_is_that_of_new_york(monkeypatch, name, day):
    monkeypatch.setattr(Library, "name", name)
    late = datetime(2026, 6, 2, 2, tzinfo=UTC)
    assert harvest.run(Library(), None, clock=lambda: late).today == date(2026, 6, day)


def test_a_mistake_of_ours_is_in_the_log_and_its_name_in_the_run(days, monkeypatch, caplog):
    monkeypatch.setattr(Library, "harvest", lambda *_, **__: 1 / 0)
    row = harvest.run(Library(), None, clock=lambda: at(days[0]))
    assert (row.state, row.said.partition("It ")[2]) == ("failed", "broke: ZeroDivisionError.")
    assert [one.exc_info[0] for one in caplog.records] == [ZeroDivisionError]


def test_what_was_cut_off_yesterday_is_begun_anew_today(days):
    last = {"started_at": at(days[0]), "touched_at": at(days[0]), "cursor": "2"}
    Harvest.objects.create(source="library", today=days[0], state="failed", **last)
    row = harvest.run(Library(), None, clock=lambda: at(days[1]))
    assert (row.today, Harvest.objects.count()) == (days[1], 2)


def test_what_is_owed_is_said_to_run_while_it_is_fetched_again(days):
    """Else another worker would fetch the same beside it."""
    moments = dict.fromkeys(("started_at", "touched_at", "ended_at"), at(days[4]))
    Harvest.objects.create(
        source="library", today=days[4], since=days[0], state="failed", **moments
    )
    seen = []

    class Slow(Library):
        def harvest(self, web, *, today, since, cursor):
            if since:
                ended_at = Harvest.objects.get(since=since).ended_at
                seen.append((harvest.is_running("library", at(days[5])), ended_at))
            yield Batch([])

    harvest.run(Slow(), None, clock=lambda: at(days[5]))
    assert seen == [(True, None)]


@pytest.mark.parametrize(
    ("state", "minutes", "may"), [("running", 9, False), ("running", 11, True), ("done", 1, True)]
)
def test_a_run_keeps_others_from_its_source_until_it_ends_or_is_dead(days, state, minutes, may):
    now = at(days[0])
    last = {"started_at": now, "touched_at": now - timedelta(minutes=minutes)}
    Harvest.objects.create(source="library", today=days[0], state=state, **last)
    assert harvest.may_begin("library", now) is may


def test_of_two_who_are_told_at_once_to_ask_a_source_one_does(monkeypatch):
    """As two beats tell them: neither run is there yet when the other looks."""
    begun = []

    class Counting(Library):
        def harvest(self, web, **_):
            begun.append(self)
            yield Batch([])

    monkeypatch.setitem(harvest.SOURCES, "library", Counting)
    monkeypatch.setattr(harvest, "is_running", lambda name, now: False)
    for _ in range(2):
        tasks.harvest_source("library")
    assert len(begun) == 1


def test_yesterdays_list_with_a_fresh_date_is_not_todays(server, days):
    run(server, days[0])
    server.faults["cs"] = "stale"
    row = run(server, days[1], hour=2)
    assert "should show" in row.said
    assert not coverage.is_verified(at(days[1], 2))
    assert state("cs", days[1]) == "waiting"
    run(server, days[1], hour=9)
    assert state("cs", days[1]) == "stalled"
    assert state("math", days[1]) == "fresh"
    assert expected_papers(server, days[1]).keys() == stored().keys()  # The list has them.


@pytest.mark.parametrize(
    ("day", "state"), [("2026-06-05", "waiting"), ("2026-06-06", "quiet"), ("2026-06-07", "quiet")]
)
def test_other_lists_than_arxivs_are_quiet_at_a_weekend(day, state):
    batch = Batch([], day=date.fromisoformat(day), state="empty")
    coverage.write_down("huggingface", batch, NOW)
    assert Coverage.objects.get().state == state


def test_a_list_is_here_where_it_has_papers_though_it_is_cut_off_and_names_its_category():
    told = {"records": [Record("2606.00001", "Title")], "day": MONDAY}
    coverage.write_down("arxiv", Batch(**told, category="cs", state="incomplete"), NOW)
    coverage.write_down("arxiv", Batch(**told, state="fresh"), NOW)
    assert list(Coverage.objects.values_list("category", "state")) == [("cs", "fresh")]


def test_a_list_that_comes_late_is_verified_then(server, days):
    server.faults["cs"] = "empty"
    run(server, days[0])
    assert not coverage.is_verified(at(days[0]))
    server.faults.clear()
    run(server, days[0], hour=8)
    assert coverage.is_verified(at(days[0], 8))
    assert stored() == expected_papers(server, days[0])


@pytest.mark.parametrize("fault", ["html", "bomb", "deep", "cut", "not utf-8"])
def test_a_feed_that_is_none_is_told_in_plain_words_and_the_others_are_read(server, days, fault):
    server.faults["cs"] = fault
    row = run(server, days[0])
    assert row.said
    assert "Traceback" not in row.said
    assert state("math", days[0]) == "fresh"
    assert stored().keys() == expected_papers(server, days[0]).keys()
    if fault != "not utf-8":
        assert row.state == "failed"
        assert state("cs", days[0]) == "failed"


def test_a_broken_item_is_one_bad_record(server, days):
    server.faults["cs"] = "broken item"
    row = run(server, days[0])
    assert row.bad >= 1
    assert f"{row.bad} could not be read." in row.said
    receipt = coverage.receipt(at(days[0]))
    assert receipt.announced > receipt.had
    (short,) = [one for one in Coverage.objects.all() if one.announced > one.had]
    assert (short.state, "could not be read: " in short.note) == ("fresh", True)
    assert stored().keys() == expected_papers(server, days[0]).keys()


def test_a_server_that_has_had_enough_is_gone_on_with_later(server, days):
    server.answers["oai"].extend([None, *[unavailable()] * 4])
    row = run(server, days[0])
    assert row.state == "failed"
    assert "answered 503" in row.said
    cursor = row.cursor
    assert cursor
    row = run(server, days[0])
    assert row.state == "done", row.said
    assert stored() == expected_papers(server, days[0])


def test_a_run_that_has_no_time_left_says_so_and_is_gone_on_with(server, days, monkeypatch):
    run(server, days[0])
    store, stores = storing.store, count()

    def slow_at_last(*told, **more):
        if next(stores) == 1:
            raise SoftTimeLimitExceeded
        return store(*told, **more)

    with monkeypatch.context() as patch:
        patch.setattr(storing, "store", slow_at_last)
        with pytest.raises(SoftTimeLimitExceeded):  # The task has to end: nothing owed is begun.
            run(server, days[3])
    late, owed = (Harvest.objects.get(today=days[3], since=since) for since in (None, days[0]))
    assert late.state == "failed"
    assert late.said.endswith("It took too long; the next run goes on from there.")
    assert late.cursor
    assert not owed.seen
    assert run(server, days[3]).state == "done"
    assert stored() == expected_papers(server, days[3])


def test_the_day_for_which_there_was_no_time_says_why_it_is_not_here(server, days, monkeypatch):
    def too_slow(*_, **__):
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(storing, "store", too_slow)
    with pytest.raises(SoftTimeLimitExceeded):
        run(server, days[0])
    assert Coverage.objects.get().note == harvest.OUT_OF_TIME


def test_a_weekend_and_a_holiday_are_quiet(server, days):
    saturday = days[4] + timedelta(days=1)
    server.faults["rss"] = "empty"
    run(server, saturday)
    assert state("cs", saturday) == "quiet"


def test_revisions_and_withdrawals_of_known_papers_are_noted_once(server, days):
    run(server, days[0])
    run(server, days[1])
    run(server, days[1])
    event = PaperEvent.objects.get()
    assert (event.paper_id, event.kind, event.note) == ("2606.00001", "revised", "version 2")
    assert stored()["2606.00001"] == days[0]


def test_a_revision_of_a_paper_we_never_had_is_not_new(server, days):
    server.days[days[5]].append(
        {"id": "2501.00001", "title": "Of long ago", "abstract": "", "authors": ["A"]}
        | {"categories": ["cs.LG"], "kind": "replace", "version": 4}
    )
    run(server, days[5])
    assert Paper.objects.get(pk="2501.00001").day < date(2025, 3, 1)


def test_markup_in_a_feed_is_text(server, days, client):
    server.days[days[0]][0]["title"] = "<script>alert(1)</script> & $\\alpha<\\beta$"
    run(server, days[0])
    assert Paper.objects.get(pk="2606.00001").title == "<script>alert(1)</script> & α<β"
    page = client.get("/").content.decode()
    assert "<script>alert" not in page


def test_hugging_faces_votes_are_observed_day_by_day():
    server = HuggingFaceServer(today=MONDAY)
    try:
        for upvotes, hour, day in [(3, 6, MONDAY), (9, 20, MONDAY), (20, 6, MONDAY.replace(day=2))]:
            server.today, server.lists = day, type(server.lists)(list)
            server.add({"id": "2606.00001", "title": "Liked", "upvotes": upvotes}, MONDAY)
            server.add({"id": "2606.00002", "title": "Not yet", "upvotes": 0}, MONDAY)
            source = HuggingFace(server.base)
            moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
            row = harvest.run(source, web(source, lambda m=moment: m), clock=lambda m=moment: m)
            assert row.state == "done", row.said
    finally:
        server.close()
    votes = Observation.objects.filter(paper="2606.00001").values_list("day", "upvotes")
    assert list(votes) == [(MONDAY, 9), (MONDAY.replace(day=2), 20)]
    assert Paper.objects.get(pk="2606.00001").upvotes == 20
    assert Paper.objects.get(pk="2606.00002").upvotes == 0


def test_what_is_counted_is_of_the_source_that_tells_it():
    class NewSource:
        name, hosts, seconds_between = "newsource", frozenset(), 1.0
        votes = 9

        def harvest(self, web, *, today, since, cursor):
            yield Batch([Record("newsource:1", "On bread", upvotes=self.votes)])

    source = NewSource()
    harvest.run(source, web=None)
    source.votes = 7  # Some were taken back.
    harvest.run(source, web=None)
    seen = Observation.objects.get(paper="newsource:1")
    assert (seen.source, seen.upvotes, seen.paper.upvotes) == ("newsource", 7, 7)


def test_sources_are_asked_whatever_letters_call_us(days, settings):
    settings.DEFAULT_FROM_EMAIL = "Täglich Neues <digest@papers.example>"
    server = HuggingFaceServer(today=days[0])
    try:
        source = HuggingFace(server.base)
        row = harvest.run(source, harvest.web_for(source), clock=lambda: at(days[0]))
    finally:
        server.close()
    assert row.state == "done", row.said


def test_one_source_that_fails_does_not_keep_the_others(server, days, monkeypatch, capsys):
    hugging = HuggingFaceServer(today=days[0])
    hugging.answers.extend([too_many(900)] * 20)
    server.today = days[0]
    monkeypatch.setattr(
        harvest,
        "SOURCES",
        {
            "huggingface": lambda: HuggingFace(hugging.base),
            "arxiv": lambda: arxiv(server),
        },
    )
    monkeypatch.setattr(harvest, "web_for", lambda source: web(source, timezone.now))
    try:
        with pytest.raises(CommandError, match="huggingface"):
            call_command("harvest")
    finally:
        hugging.close()
    assert "arxiv: " in capsys.readouterr().out
    assert Paper.objects.count() == 9
    assert not Coverage.objects.filter(source="huggingface").exists()  # Nothing waits for it.


def test_the_harvest_command_names_what_it_knows():
    with pytest.raises(CommandError, match=r"There is no source pubmed\. There are: arxiv"):
        call_command("harvest", "pubmed")


def test_the_command_wants_a_name_where_the_settings_have_none(settings):
    settings.SOURCES = []
    with pytest.raises(CommandError, match="Name one here: arxiv, huggingface"):
        call_command("harvest")


@pytest.mark.django_db(transaction=True)
def test_two_workers_and_three_sources_send_arxiv_one_request_at_a_time(server, days):
    """In seconds a tenth as long as the real ones."""
    hugging = HuggingFaceServer(today=days[0])
    server.today = days[0]
    moment = at(days[0])

    def work(source):
        gate = DatabaseGate(source.name, 0.3, time.sleep)
        shared = web(source, lambda: moment)
        shared.gate, shared.cache = gate, DatabaseCache()
        harvest.run(source, shared, clock=lambda: moment)

    sources = [arxiv(server), arxiv(server), HuggingFace(hugging.base)]
    at_once(*[partial(work, source) for source in sources])
    hugging.close()

    moments = sorted(asked.at for asked in server.asked)
    assert len(moments) >= 6
    assert min(later - earlier for earlier, later in pairwise(moments)) >= 0.3
    assert max(asked.connections for asked in server.asked) == 1
    assert stored() == expected_papers(server, days[0])


def test_digests_wait_for_the_list_an_hour_at_most_and_then_say_what_is_missing(server, days):
    run(server, days[0])
    reader = make.subscriber(interests="graph networks", timezone="America/New_York", hour=7)
    planning.plan(at(days[0], 8))
    server.faults["cs"] = "stale"
    run(server, days[1])
    due = at(days[1], 7)

    assert planning.plan(due).letters == 0
    assert planning.plan(due + timedelta(minutes=59)).letters == 0
    assert planning.plan(due + timedelta(minutes=60)).letters == 1
    digest = Digest.objects.get(subscriber=reader, day=days[1])
    text = " ".join(registry.composed(digest.letter, due).text.split())
    assert "Of arXiv’s list of Tuesday, 2 June, only 6 papers had come in" in text


def test_digests_that_wait_go_out_as_soon_as_the_list_is_here(server, days):
    run(server, days[0])
    make.subscriber(interests="graph networks", timezone="America/New_York", hour=7)
    planning.plan(at(days[0], 8))
    due = at(days[1], 7)
    assert planning.plan(due).letters == 0
    run(server, days[1], hour=7)
    assert planning.plan(due + timedelta(minutes=1)).letters == 1
    digest = Digest.objects.order_by("pk").last()
    text = " ".join(registry.composed(digest.letter, due).text.split())
    assert "arXiv announced 9 papers on Tuesday, 2 June; 9 of them were looked at" in text


@pytest.mark.parametrize(("ago", "letters"), [(10, 0), (11, 1)])
def test_digests_wait_for_no_source_that_was_left_alone_for_long(server, days, ago, letters):
    run(server, days[0])
    make.subscriber(wants_quiet_days=True, timezone="America/New_York", hour=7)
    planning.plan(at(days[0], 8))
    due = at(days[0] + timedelta(days=ago), 7)
    Subscriber.objects.update(next_due_at=due)
    assert planning.plan(due).letters == letters


def test_first_digests_and_installations_without_arxiv_do_not_wait(server, days):
    make.paper("Graph networks", day=days[1])
    make.subscriber(interests="graph networks")
    assert planning.plan(at(days[1])).letters == 1
    run(server, days[0])
    make.subscriber(interests="graph networks")
    assert planning.plan(at(days[1])).letters == 1


def test_what_another_saved_and_was_told_is_no_part_of_her_news():
    one, other = make.subscriber(), make.subscriber()
    for whose, paper in ((one, make.paper("Roads")), (other, make.paper("Seas"))):
        steering.say(whose, paper, "save", NOW)
        paper.events.create(kind="revised", note="version 2", at=NOW)
    had = came_back.letter(other, left_at=NOW + timedelta(hours=1))
    Digest.objects.create(subscriber=other, day=had.day, letter=had)
    (told,) = ledger.news_of_saved(one, Digest(subscriber=one, day=NOW.date()))
    assert told.paper.title == "Roads"


def test_what_happened_to_saved_papers_is_told_once_in_the_next_digest(server, days):
    run(server, days[0])
    reader = make.subscriber(interests="graph networks", size=2)
    Feedback.objects.create(subscriber=reader, paper_id="2606.00001", value="save", at=at(days[0]))
    said = []
    for day in days[:3]:
        run(server, day)
        moment = at(day, 9)
        planning.plan(moment)
        letter = Letter.objects.get(subscriber=reader, day=day)
        said.append(registry.composed(letter, moment).text)
        letter.state, letter.frozen_at, letter.ended_at = "accepted", moment, moment
        letter.save()
        server.days[days[2]] = [p for p in server.days[days[2]] if p.get("kind") != "replace"]
    assert "Papers you saved" not in said[0]
    assert "Graph networks number 1 has a new version: v2." in " ".join(said[1].split())
    assert "Papers you saved" not in said[2]


def test_nothing_coming_in_is_an_alarm(server, days):
    run(server, days[0])
    server.faults["rss"] = "empty"
    run(server, days[1])
    assert alarms.look(at(days[1], 6)) == []
    (alarm,) = alarms.look(at(days[1], 7))
    assert alarm.name == "papers"
    assert "has not come in whole: cs, math, stat: an earlier day's list is served" in alarm.said


def test_a_source_that_has_never_worked_is_not_said_to_have_stopped(server, days):
    server.faults["rss"] = server.faults["oai"] = "html"
    row = run(server, days[1])
    assert row.state == "failed"
    missing = Coverage.objects.all()
    assert {(one.day, one.state) for one in missing} == {(days[1], "failed")}
    assert all(f"It broke off: {one.note}." in row.said for one in missing)
    assert coverage.alarms(at(days[1], 9)) == []
    assert not coverage.is_awaited(at(days[1]))


def test_old_observations_runs_and_answers_are_thrown_away(server, days):
    run(server, days[0])
    paper = Paper.objects.first()
    old = at(days[0]) - timedelta(days=1000)
    for day in (days[0], old.date()):
        Observation.objects.create(paper=paper, source="huggingface", day=day, upvotes=1)
    Harvest.objects.create(source="arxiv", today=days[0], started_at=old, touched_at=old)
    Response.objects.create(key="1", url="u", body=b"", fetched_at=old)
    upkeep.purge(at(days[0]))
    assert Observation.objects.count() == Harvest.objects.count() == 1
    assert not Response.objects.exists()


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-10-30T12:00+00:00", "2026-10-30"),
        ("2026-11-01T12:00+00:00", "2026-10-30"),  # A Sunday; clocks went back.
        ("2026-11-02T05:29+00:00", "2026-10-30"),
        ("2026-11-02T05:30+00:00", "2026-11-02"),  # 00:30 in New York, standard time.
        ("2027-03-15T04:30+00:00", "2027-03-15"),  # The day after clocks went forward.
        ("2026-11-27T12:00+00:00", "2026-11-26"),  # Nothing was announced on Thanksgiving.
    ],
)
def test_what_must_be_out_follows_new_york_through_both_clock_changes(moment, day):
    assert coverage.expected_day(datetime.fromisoformat(moment)) == date.fromisoformat(day)


def test_others_are_asked_every_two_hours(days, settings):
    settings.SOURCES, begun = ["huggingface"], at(days[0])
    assert harvest.due(begun) == ["huggingface"]
    Harvest.objects.create(
        source="huggingface", today=days[0], state="done", started_at=begun, touched_at=begun
    )
    assert harvest.due(begun + timedelta(minutes=119)) == []
    assert harvest.due(begun + timedelta(minutes=121)) == ["huggingface"]


def test_arxiv_is_asked_until_its_list_is_here_and_then_left_alone(server, days, settings):
    settings.SOURCES = ["arxiv"]
    now = at(days[0])
    assert harvest.due(now) == ["arxiv"]
    server.faults["cs"] = "empty"
    run(server, days[0])
    assert harvest.due(now + timedelta(minutes=19)) == []
    assert harvest.due(now + timedelta(minutes=21)) == ["arxiv"]
    server.faults.clear()
    run(server, days[0])
    assert harvest.due(now + timedelta(hours=5)) == []
    assert harvest.due(at(days[1], 1)) == ["arxiv"]


def state(category, day):
    return Coverage.objects.get(source="arxiv", category=category, day=day).state
