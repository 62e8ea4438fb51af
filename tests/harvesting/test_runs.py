"""Runs of sources: everything that was announced, each paper once."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from digest import coverage, harvest, upkeep
from digest.models import Coverage, Harvest, Observation, Paper, PaperEvent, Response
from digest.sources.huggingface import HuggingFace
from digest.sources.plug import Batch
from digest.sources.records import Record
from tests.harvesting.announced import MONDAY, Library, arxiv, at, expected_papers, run, stored, web
from tests.huggingface_server import HuggingFaceServer, too_many
from tests.in_memory import OpenGate

pytestmark = pytest.mark.django_db


def test_twenty_days_in_order_give_each_paper_once_with_its_announcement_day(server, days):
    for day in days:
        row = run(server, day)
        assert row.state == "done", row.said
    assert stored() == expected_papers(server, days[-1])
    assert not Paper.objects.filter(day_is_estimate=True).exists()
    receipt = coverage.receipt(at(days[-1]))
    assert (receipt.announced, receipt.had, receipt.is_verified) == (9, 9, True)


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


def test_of_many_bad_records_a_run_names_some_and_counts_all(days, monkeypatch):
    bad = [f"row {number}: it has no title" for number in range(9)]
    monkeypatch.setattr(Library, "harvest", lambda *_, **__: iter([Batch([], bad, note="Cut.")]))
    row = harvest.run(Library(), None, clock=lambda: at(days[0]))
    assert "9 could not be read. Cut; row 0: it has no title; " in row.said
    assert row.said.endswith("row 3: it has no title.")


def test_a_backfill_has_all_papers_with_their_days_estimated(server, days):
    row = run(server, days[-1], since=days[0])
    assert row.state == "done", row.said
    assert stored().keys() == expected_papers(server, days[-1]).keys()
    close = [
        abs((stored()[key] - day).days) <= 4
        for key, day in expected_papers(server, days[-1]).items()
    ]
    assert all(close)


def test_a_mistake_of_ours_is_in_the_log_and_its_name_in_the_run(days, monkeypatch, caplog):
    monkeypatch.setattr(Library, "harvest", lambda *_, **__: 1 / 0)
    row = harvest.run(Library(), None, clock=lambda: at(days[0]))
    assert (row.state, row.said.partition("It ")[2]) == ("failed", "broke: ZeroDivisionError.")
    assert [one.exc_info[0] for one in caplog.records] == [ZeroDivisionError]


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
