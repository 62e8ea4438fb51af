"""Runs of sources: everything that was announced, each paper once, also after a run that failed."""

import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count, pairwise

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import CommandError, call_command
from django.utils import timezone

from digest import tasks
from digest.models import Coverage, Harvest, Observation, Paper
from digest.operations import alarms
from digest.papers import coverage, harvest, registry
from digest.papers import store as storing
from digest.papers.http_throttle import DatabaseCache, DatabaseGate
from digest.sources.base import Batch
from digest.sources.huggingface import HuggingFace
from digest.sources.records import Record
from tests.factories import make
from tests.factories.announcements import (
    MONDAY,
    Library,
    arxiv,
    at,
    expected_papers,
    run,
    stored,
    web,
)
from tests.factories.make import DAY, NOW
from tests.helpers.data_files import cases
from tests.helpers.local_web import OpenGate
from tests.helpers.threads import at_once
from tests.servers.arxiv import unavailable
from tests.servers.daily_lists import HuggingFaceServer, too_many

pytestmark = pytest.mark.django_db


# ---- Runs of sources: everything that was announced, each paper once


def test_daily_runs_store_each_paper_once(server, days):
    for day in days[:6]:
        row = run(server, day)
        assert row.state == "done", row.result
    assert stored() == expected_papers(server, days[5])
    assert not Paper.objects.filter(day_is_estimate=True).exists()
    receipt = coverage.receipt(at(days[5]))
    assert (receipt.announced, receipt.had, receipt.is_verified) == (9, 9, True)


def test_killed_run_resumes_with_same_result(server, days):
    class Killed(BaseException):
        pass

    class DyingGate(OpenGate):
        def turn(self):
            if self.turns == self.limit:
                raise Killed
            return super().turn()

    server.today, source = days[1], arxiv(server)
    for requests in range(1, 12, 2):
        for model in (Paper, Harvest, Coverage):
            model.objects.all().delete()
        client = web(source, lambda: at(days[1]))
        client.gate = DyingGate()
        client.gate.limit = requests
        try:
            row = harvest.run(source, client, clock=lambda: at(days[1]))
        except Killed:
            client.gate = OpenGate()
            row = harvest.run(source, client, clock=lambda: at(days[1]))
        assert (row.state, Harvest.objects.count()) == ("done", 1), row.result
        assert stored() == expected_papers(server, days[1])
        assert coverage.is_verified(at(days[1]))


def test_backfill_estimates_announcement_days(server, days):
    row = run(server, days[7], since=days[0])
    assert row.state == "done", row.result
    assert stored().keys() == expected_papers(server, days[7]).keys()
    for key, day in expected_papers(server, days[7]).items():
        assert abs((stored()[key] - day).days) <= 4


def test_programming_error_is_logged_and_named(days, monkeypatch, caplog):
    monkeypatch.setattr(Library, "harvest", lambda *_, **__: 1 / 0)
    row = harvest.run(Library(), None, clock=lambda: at(days[0]))
    assert (row.state, row.result.partition(". ")[2]) == ("failed", "Failed: ZeroDivisionError.")
    assert [one.exc_info[0] for one in caplog.records] == [ZeroDivisionError]


def test_failing_source_does_not_stop_others(server, days, monkeypatch, capsys):
    hugging = HuggingFaceServer(today=days[0])
    hugging.answers.extend([too_many(900)] * 20)
    server.today = days[0]
    sources = {"huggingface": hugging.source, "arxiv": lambda: arxiv(server)}
    monkeypatch.setattr(registry, "source_named", lambda name: sources[name]())
    monkeypatch.setattr(harvest, "web_for", lambda source: web(source, timezone.now))
    with closing(hugging), pytest.raises(CommandError, match="huggingface"):
        call_command("harvest")
    assert "arxiv: " in capsys.readouterr().out
    assert Paper.objects.count() == 9
    assert not Coverage.objects.filter(source="huggingface").exists()  # Nothing waits for it.


def test_votes_are_recorded_daily_per_source(monkeypatch):
    voted = {MONDAY: (3, 9, 7), MONDAY.replace(day=2): (20,)}  # Some were taken back.
    for day, votes in voted.items():
        for upvotes in votes:
            batch = Batch([Record("library:1", "On bread", upvotes=upvotes)])
            monkeypatch.setattr(Library, "harvest", lambda *_, batch=batch, **__: iter([batch]))
            harvest.run(Library(), None, clock=lambda day=day: at(day))
    observations = Observation.objects.filter(source="library").values_list("day", "upvotes")
    assert list(observations) == [(MONDAY, 7), (MONDAY.replace(day=2), 20)]
    assert Paper.objects.get().upvotes == 20


# ---- What could not be fetched is owed: it is gone on with, or fetched by a later run


def test_missed_days_are_owed_until_fetched(server, days):
    run(server, days[0])
    server.answers["oai"].extend([None] * 8 + [unavailable()] * 4)
    run(server, days[9])
    runs = Harvest.objects.order_by("pk").values_list("since", "state")
    assert list(runs) == [(None, "done"), (days[0], "failed"), (None, "done")]
    run(server, days[9], hour=9)
    assert Harvest.objects.filter(since=days[0]).get().state == "done"
    assert stored().keys() == expected_papers(server, days[9]).keys()


def test_run_out_of_time_is_continued_later(server, days, monkeypatch):
    run(server, days[0])
    store, stores = storing.store, count()

    def slow_at_last(*args, **more):
        if next(stores) == 1:
            raise SoftTimeLimitExceeded
        return store(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(storing, "store", slow_at_last)
        with pytest.raises(SoftTimeLimitExceeded):  # The task has to end: nothing owed is begun.
            run(server, days[3])
    late, owed = (Harvest.objects.get(today=days[3], since=since) for since in (None, days[0]))
    assert late.state == "failed"
    assert late.result.endswith("it took too long. The next run continues from there.")
    assert late.cursor
    assert not owed.records
    assert run(server, days[3]).state == "done"
    assert stored() == expected_papers(server, days[3])


# ---- Papers that only other sources listed are looked up, in arXiv and wherever it can be done


def test_newest_papers_of_other_sources_are_looked_up_at_arxiv(server, days, monkeypatch):
    monkeypatch.setattr(harvest, "MAX_UNLISTED", 2)
    ages = {"2606.00002": harvest.MAX_UNLISTED_AGE, "2606.00003": DAY, "2606.00004": 0 * DAY}
    ages |= {"2606.00006": 2 * DAY, "biorxiv:1": 0 * DAY}
    listed = [Record(id, "Listed", day=days[4] - age) for id, age in ages.items()]
    storing.store(listed, now=at(days[4]), source="huggingface")
    storing.store([replace(listed[2], id="2606.00005")], now=at(days[4]), is_sample=True)

    run(server, days[4], since=days[3])  # Which looks up nothing.
    for papers_left in ({"2606.00006"}, set()):
        run(server, days[4])
        unlisted = Paper.objects.filter(categories=[]).values_list("pk", flat=True)
        assert set(unlisted) == {"2606.00002", "2606.00005", "biorxiv:1"} | papers_left
    assert [path.count("2606.") for path in server.paths("/api")] == [2, 1]
    assert Paper.objects.get(pk="2606.00004").authors == ["A. One", "B. Two"]


def test_failed_look_up_leaves_day_complete(server, days):
    record = Record(id="2606.00004", title="Listed", day=days[4])
    storing.store([record], now=at(days[4]), source="huggingface")
    server.faults["api"] = "html"
    row = run(server, days[4])
    assert row.state == "done"
    assert "could not be looked up" in row.result
    assert coverage.is_verified(at(days[4]))


# ---- When a source is asked, and by whom: in its time, by one at a time


@pytest.mark.parametrize(("name", "day"), [("arxiv", 1), ("library", 2)])
def test_arxiv_run_uses_new_york_day(monkeypatch, name, day):
    monkeypatch.setattr(Library, "name", name)
    late = datetime(2026, 6, 2, 2, tzinfo=UTC)
    assert harvest.run(Library(), None, clock=lambda: late).today == date(2026, 6, day)


OTHER_RUNS = [("running", 9, False), ("running", 11, True), ("done", 1, True)]


@pytest.mark.parametrize(("state", "minutes", "may"), OTHER_RUNS)
def test_running_harvest_blocks_its_source_until_dead(days, state, minutes, may):
    now = at(days[0])
    make.harvest("library", now, state=state, touched_at=now - timedelta(minutes=minutes))
    assert harvest.try_start("library", now) is may


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_workers_send_arxiv_one_request_at_a_time(server, days):
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


def test_other_sources_are_due_every_two_hours(days, settings):
    settings.SOURCES, begun = ["huggingface"], at(days[0])
    assert harvest.due_sources(begun) == ["huggingface"]
    make.harvest("huggingface", begun)
    assert harvest.due_sources(begun + timedelta(minutes=119)) == []
    assert harvest.due_sources(begun + timedelta(minutes=121)) == ["huggingface"]


def test_arxiv_is_due_until_its_list_arrives(server, days, settings):
    settings.SOURCES = ["arxiv"]
    now = at(days[0])
    assert harvest.due_sources(now) == ["arxiv"]
    server.faults["cs"] = "empty"
    run(server, days[0])
    assert harvest.due_sources(now + timedelta(minutes=19)) == []
    assert harvest.due_sources(now + timedelta(minutes=21)) == ["arxiv"]
    server.faults.clear()
    run(server, days[0])
    assert harvest.due_sources(now + timedelta(hours=5)) == []
    assert harvest.due_sources(at(days[1], 1)) == ["arxiv"]


# ---- Proof that what was announced is here, and what is said where it isn't


def test_stale_list_with_new_date_is_detected(server, days):
    run(server, days[0])
    server.faults["cs"] = "stale"
    assert "should show" in run(server, days[1], hour=2).result
    assert not coverage.is_verified(at(days[1], 2))
    assert state("cs", days[1]) == "waiting"
    run(server, days[1], hour=9)
    texts = [alarm.text for alarm in alarms.find(at(days[1], 9))]
    assert any("is incomplete: cs: outdated list" in text for text in texts)
    assert state("cs", days[1]) == "stalled"
    assert state("math", days[1]) == "fresh"
    assert expected_papers(server, days[1]).keys() == stored().keys()  # The list has them.


def test_empty_lists_are_quiet_at_weekends():
    for day in (5, 6, 7):
        coverage.record("huggingface", Batch([], day=date(2026, 6, day), state="empty"), NOW)
    states = Coverage.objects.order_by("day").values_list("state", flat=True)
    assert list(states) == ["waiting", "quiet", "quiet"]


@pytest.mark.parametrize("fault", ["html", "cut", "not utf-8"])
def test_invalid_feed_does_not_stop_others(server, days, fault):
    server.faults["cs"] = fault
    row = run(server, days[0])
    assert row.result
    assert "Traceback" not in row.result
    assert state("math", days[0]) == "fresh"
    assert stored().keys() == expected_papers(server, days[0]).keys()
    if fault != "not utf-8":
        assert row.state == "failed"
        assert state("cs", days[0]) == "failed"


def test_source_that_never_worked_raises_no_alarm(server, days):
    server.faults["rss"] = server.faults["oai"] = "html"
    row = run(server, days[1])
    assert row.state == "failed"
    missing = Coverage.objects.all()
    assert {(one.day, one.state) for one in missing} == {(days[1], "failed")}
    assert all(f"Failed: {one.note}." in row.result for one in missing)
    assert coverage.alarms(at(days[1], 9)) == []
    assert not coverage.is_awaited(at(days[1]))


def test_expected_day_follows_new_york_clock_changes():
    for moment, day, _note in cases("arxiv_calendar")["expected_days"]:
        assert str(coverage.expected_day(datetime.fromisoformat(moment))) == day


def test_concurrent_tasks_harvest_source_once(monkeypatch):
    """As two beats tell them: neither run is there yet when the other looks."""
    begun = []

    class Counting(Library):
        def harvest(self, web, **_):
            begun.append(self)
            yield Batch([])

    monkeypatch.setattr(registry, "source_named", lambda name: Counting())
    monkeypatch.setattr(harvest, "is_running", lambda name, now: False)
    for _ in range(2):
        tasks.harvest_source("library")
    assert len(begun) == 1


def state(category, day):
    return Coverage.objects.get(source="arxiv", category=category, day=day).state
