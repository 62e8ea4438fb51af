"""Two who plan at once: one has the lease, and no day is written down twice."""

import threading
import uuid

import pytest
from django.db.models.functions import Now

from digest.indexing import model_store
from digest.models import Digest, Pick, Turn
from digest.models.locks import Lease
from digest.planning import plan as planning
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.factories.planning import ranked
from tests.factories.simulation import DAY, HOUR, reader
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("remaining", "planned"), [(DAY, 0), (-HOUR, 1)])
def test_a_planner_leaves_all_to_another_until_that_ones_lease_runs_out(remaining, planned):
    reader()
    assert Lease("planning 0", remaining).acquire()
    assert planning.plan(NOW).letters == planned


def test_a_planner_gives_its_lease_back_also_when_it_breaks(monkeypatch):
    reader()
    with monkeypatch.context() as patch:
        patch.setattr(planning, "rank_due", cut)
        with pytest.raises(OSError, match="cut"):
            planning.plan(NOW)
    assert planning.plan(NOW).letters == 1
    assert Turn.objects.get(source="planning 0").holder is None


def test_planners_leave_to_another_the_part_of_the_subscribers_that_it_holds(settings):
    settings.PLANNERS = 2
    for _ in range(4):
        reader()
    lease = Lease("planning 1", DAY)
    assert lease.acquire()
    assert planning.plan(NOW).letters == 2
    lease.release()
    assert planning.plan(NOW).letters == 2


def cut(*args):
    raise OSError("cut")


def test_a_planner_whose_lease_was_taken_over_leaves_the_rest_to_the_other(
    monkeypatch, django_assert_num_queries
):
    monkeypatch.setattr(planning, "BATCH", 2)
    for _ in range(5):
        reader()
    rank = planning.rank_due

    def be_overtaken(*args):
        Turn.objects.update(holder=uuid.uuid4())
        return rank(*args)

    monkeypatch.setattr(planning, "rank_due", be_overtaken)
    assert planning.plan(NOW).letters == 2
    assert Subscriber.objects.due(NOW).count() == 3
    monkeypatch.setattr(planning, "rank_due", rank)
    Turn.objects.update(free_at=Now())
    assert planning.plan(NOW).letters == 3
    with django_assert_num_queries(1):
        planning.plan(NOW)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_the_lease_at_once_one_gets_it():
    def take():
        return Lease("planning 0", DAY).acquire()

    assert sorted(at_once(*4 * [take])) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_a_planner_on_another_connection_returns_at_once_while_one_is_ranking(monkeypatch):
    make.paper("Graph networks")
    for _ in range(5):
        reader(interests="graph networks")
    model_store.fit(NOW)
    ranks, is_done = threading.Event(), threading.Event()
    rank = planning.rank_due

    def rank_long(*args):
        ranks.set()
        assert is_done.wait(20)
        return rank(*args)

    monkeypatch.setattr(planning, "rank_due", rank_long)

    def plan():
        return planning.plan(NOW).letters

    def plan_meanwhile():
        ranks.wait(20)
        try:
            return plan()
        finally:
            is_done.set()

    assert at_once(plan, plan_meanwhile) == [5, 0]
    assert Digest.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_two_who_ranked_the_same_write_every_day_once():
    """As if a planner was paused until its lease ran out. Each row is locked by one of the two and
    skipped by the other, so they may share the rows.
    """
    make.paper("Graph networks")
    readers = [reader(interests="graph networks") for _ in range(12)]
    model_store.fit(NOW)

    have_ranked = threading.Barrier(2)

    def plan():
        dues = ranked(*readers)
        have_ranked.wait()
        return planning.save_plan(dues, {}, NOW).letters

    assert sum(at_once(plan, plan)) == 12
    assert Digest.objects.count() == Letter.objects.count() == Pick.objects.count() == 12


def test_a_lease_is_renewed_given_back_and_taken_by_the_next():
    first, second = Lease("planning", HOUR), Lease("planning", HOUR)
    assert first.acquire()
    assert not second.acquire()
    assert first.renew()
    first.release()
    assert second.acquire()
    assert not first.renew()
    first.release()  # It is no longer ours to give.
    assert Turn.objects.filter(source="planning", free_at__gt=Now()).exists()
