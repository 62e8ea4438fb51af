"""What could not be fetched is owed: it is gone on with, or fetched by a later run."""

from itertools import count

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from digest import harvest, storing
from digest.models import Harvest
from digest.sources.plug import Batch
from tests.arxiv_server import unavailable
from tests.harvesting.announced import Library, at, expected_papers, run, stored

pytestmark = pytest.mark.django_db


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
