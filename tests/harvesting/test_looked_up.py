"""Papers that only others told of are looked up, in arXiv and wherever it can be done."""

from dataclasses import replace

import pytest

from digest import coverage, harvest, storing
from digest.models import Paper
from digest.sources.records import Record
from tests.harvesting.announced import Library, at, run

pytestmark = pytest.mark.django_db


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


def test_a_day_is_whole_though_nothing_can_be_looked_up(server, days):
    told = Record(id="2606.00004", title="Told", day=days[4])
    storing.store([told], now=at(days[4]), source="huggingface")
    server.faults["api"] = "html"
    row = run(server, days[4])
    assert row.state == "done"
    assert "can't be looked up" in row.said
    assert coverage.is_verified(at(days[4]))
