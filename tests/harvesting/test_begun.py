"""When a source is asked, and by whom: in its time, by one at a time."""

import time
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from digest import harvest, tasks
from digest.leases import DatabaseCache, DatabaseGate
from digest.models import Harvest
from digest.sources.huggingface import HuggingFace
from digest.sources.plug import Batch
from tests.harvesting.announced import Library, arxiv, at, expected_papers, run, stored, web
from tests.huggingface_server import HuggingFaceServer
from tests.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("name", "day"), [("arxiv", 1), ("library", 2)])
def test_the_day_of_arxivs_run_is_that_of_new_york(monkeypatch, name, day):
    monkeypatch.setattr(Library, "name", name)
    late = datetime(2026, 6, 2, 2, tzinfo=UTC)
    assert harvest.run(Library(), None, clock=lambda: late).today == date(2026, 6, day)


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
