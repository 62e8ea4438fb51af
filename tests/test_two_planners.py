"""Two who plan at once: one has the lease, and no day is written down twice."""

import threading
import uuid

import pytest
from django.db.models.functions import Now

from digest import planning
from digest.indexing import model_store
from digest.leases import Lease
from digest.models import Digest, Pick, Turn
from subscriptions.models import Letter, Subscriber
from tests import make
from tests.make import NOW
from tests.minutes import DAY, HOUR, reader
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def test_a_second_planner_leaves_all_to_the_first():
    reader()
    assert Lease("planning", DAY).take()
    assert planning.plan(NOW) == planning.Plan()
    assert not Digest.objects.exists()


def test_a_planner_that_died_is_in_the_way_until_its_lease_runs_out():
    reader()
    assert Lease("planning", -HOUR).take()
    assert planning.plan(NOW).letters == 1


def test_a_planner_gives_its_lease_back_also_when_it_breaks(monkeypatch):
    reader()
    with monkeypatch.context() as patch:
        patch.setattr(planning, "propose", cut)
        with pytest.raises(OSError, match="cut"):
            planning.plan(NOW)
    assert planning.plan(NOW).letters == 1
    assert Turn.objects.get(source="planning").holder is None


def cut(*args):
    raise OSError("cut")


def test_a_planner_whose_lease_was_taken_over_leaves_the_rest_to_the_other(monkeypatch):
    monkeypatch.setattr(planning, "SHARD", 2)
    for _ in range(5):
        reader()
    propose = planning.propose

    def be_overtaken(*args):
        Turn.objects.update(holder=uuid.uuid4())
        return propose(*args)

    monkeypatch.setattr(planning, "propose", be_overtaken)
    assert planning.plan(NOW).letters == 2
    assert Subscriber.objects.due(NOW).count() == 3


def test_where_nobody_is_due_a_pass_is_one_question(django_assert_num_queries):
    with django_assert_num_queries(1):
        planning.plan(NOW)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_the_lease_at_once_one_gets_it():
    def take():
        return Lease("planning", DAY).take()

    assert sorted(at_once(*4 * [take])) == [False, False, False, True]


@pytest.mark.django_db(transaction=True)
def test_a_planner_on_another_connection_returns_at_once_while_one_is_ranking(monkeypatch):
    make.paper("Graph networks")
    for _ in range(5):
        reader(interests="graph networks")
    model_store.fit(NOW)
    ranks, is_done = threading.Event(), threading.Event()
    propose = planning.propose

    def rank_long(*args):
        ranks.set()
        assert is_done.wait(20)
        return propose(*args)

    monkeypatch.setattr(planning, "propose", rank_long)

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
    """As where a planner slept through the end of its lease: nothing hangs on it."""
    make.paper("Graph networks")
    readers = [reader(interests="graph networks") for _ in range(30)]
    model_store.fit(NOW)

    have_ranked = threading.Barrier(2)

    def plan():
        dues = planning.propose(readers, NOW)
        have_ranked.wait()
        return planning._write_down(dues, {}, NOW).letters

    assert sorted(at_once(plan, plan)) == [0, 30]
    assert Digest.objects.count() == Letter.objects.count() == Pick.objects.count() == 30


def test_a_lease_is_renewed_given_back_and_taken_by_the_next():
    first, second = Lease("planning", HOUR), Lease("planning", HOUR)
    assert first.take()
    assert not second.take()
    assert first.renew()
    first.give_back()
    assert second.take()
    assert not first.renew()
    first.give_back()  # It is no longer ours to give.
    assert Turn.objects.filter(source="planning", free_at__gt=Now()).exists()
