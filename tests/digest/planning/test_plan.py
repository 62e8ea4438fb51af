"""What is written down for those who are due, once, whatever happens meanwhile."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db.models.functions import Now

from digest.models import Digest, Lock, Pick
from digest.models.locks import Lease
from digest.planning import plan as planning
from digest.planning import spacing
from subscriptions import schedule
from subscriptions.actions import preferences, signup
from subscriptions.delivery import queue, suppress
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE, NOW, TODAY
from tests.factories.planning import digests, plan_and_send, ranked
from tests.factories.simulation import subscriber
from tests.helpers.data_files import cases
from tests.helpers.threads import at_once
from tests.subscriptions.delivery.worker.held_locks import another_session, on_postgresql

#: What SQLite's ANALYZE says of tables and indexes: how many rows, and how many are alike.
CASES = cases("sqlite_statistics")

pytestmark = pytest.mark.django_db


def test_day_without_papers_is_skipped_unless_the_subscriber_wants_an_email(outbox):
    make.paper("Bread")
    quiet, one = (make.subscriber(interests="graphs", wants_quiet_days=w) for w in (False, True))
    plan_and_send(NOW)
    make.paper("More bread")
    plan = planning.plan(NOW + DAY)
    assert (plan.letters, plan.quiet) == (1, 1)
    letter = quiet.letters.latest("pk")
    assert (letter.state, letter.reason) == ("skipped", "nothing to say")
    assert letter.events.count() == 1
    assert queue.deliver(one.letters.latest("pk").pk, NOW + DAY)
    message = outbox()[-1]
    assert message["Subject"] == "No new papers for you today"
    for part in message.iter_parts():
        text = " ".join(part.get_content().split())
        assert "1 new paper today, but it doesn’t match your interests." in text
    assert "/digests/" not in message.as_string()


ENDS = [
    lambda subscriber: signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW),
    lambda subscriber: suppress.after_complaint(subscriber.pk, "abuse", NOW),
    lambda subscriber: preferences.change(subscriber, None, {"hour": 20}, now=NOW),
]


@pytest.mark.parametrize("end", ENDS, ids=["unsubscribed", "complained", "changed"])
def test_subscriber_who_left_or_changed_after_ranking_gets_no_digest(end):
    subscriber = make.subscriber()
    dues = ranked(subscriber)
    end(subscriber)
    planning.save_plan(dues, {}, NOW)
    assert not Digest.objects.exists()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_locked_subscriber_does_not_block_others():
    held, other = make.subscriber(wants_quiet_days=True), make.subscriber(wants_quiet_days=True)
    with another_session() as session:
        session.execute("SELECT FROM subscriptions_subscriber WHERE id = %s FOR UPDATE", [held.pk])
        assert planning.plan(NOW).letters == 1
        assert other.letters.count() == 1
    assert planning.plan(NOW).letters == 1
    assert held.letters.count() == 1


# ---- Which day is due, and when the next one is


UNWILLING = [
    {"confirmed": False},
    {"unsubscribed_at": NOW, "next_due_at": NOW},
    {"suppressed_at": NOW, "next_due_at": NOW},
]


@pytest.mark.parametrize("state", UNWILLING)
def test_nothing_is_planned_for_inactive_subscribers(state):
    make.paper("Graphs")
    make.subscriber(interests="graphs", **state)
    planning.plan(NOW)
    assert not Digest.objects.exists()


def test_days_without_planning_are_missed_except_the_last():
    make.subscriber(wants_quiet_days=True)
    plan = planning.plan(NOW + 4 * DAY)
    assert (plan.letters, plan.missed) == (1, 4)
    assert [(one.day, one.letter.state) for one in digests()] == [
        (TODAY + n * DAY, "planned" if n == 4 else "missed") for n in range(5)
    ]


def test_day_is_planned_within_grace_period():
    make.paper("Graphs")
    make.subscriber(interests="graphs", hour=20)
    planning.plan(datetime(2026, 6, 2, 5, 59, tzinfo=UTC))
    assert [(d.day, d.letter.state) for d in digests()] == [(TODAY, "planned")]


@pytest.mark.parametrize("state", ["skipped", "missed"])
def test_gap_applies_after_resent_digest(state):
    """It may have arrived."""
    subscriber = make.subscriber(confirmed_at=NOW - 9 * DAY)
    letter = Letter(subscriber=subscriber, day=TODAY, created_at=NOW, left_at=NOW, state=state)
    assert spacing.gap_ends_at(letter, subscriber) is None
    letter.repeats = 1
    assert spacing.gap_ends_at(letter, subscriber) == NOW + schedule.MIN_GAP


CONFIRMED = [
    (-20 * MINUTE, schedule.MIN_GAP),  # Then came their hour.
    (timedelta(0), schedule.MIN_GAP_AFTER_FIRST),
    (20 * MINUTE, schedule.MIN_GAP),  # It was there before.
]


@pytest.mark.parametrize(("confirmed_at", "apart"), CONFIRMED)
def test_first_digest_gap_applies_only_after_confirmation(confirmed_at, apart):
    """Who resubscribed, or changed their address."""
    subscriber = make.subscriber(hour=NOW.hour, confirmed_at=NOW + confirmed_at)
    letter = Letter(day=TODAY, created_at=NOW, left_at=NOW + 9 * HOUR)
    assert spacing.gap_ends_at(letter, subscriber) == letter.left_at + apart


# ---- Two who plan at once: one has the lease, and no day is written down twice


@pytest.mark.parametrize(("remaining", "planned"), [(DAY, 2), (-HOUR, 4)])
def test_planner_skips_parts_until_others_leases_expire(settings, remaining, planned):
    settings.PLANNERS = 2
    for _ in range(4):
        subscriber()
    assert Lease("planning 1", remaining).acquire()
    assert planning.plan(NOW).letters == planned


@pytest.mark.django_db(transaction=True)
def test_concurrent_planners_write_each_digest_once():
    """As if a planner was paused until its lease ran out. Each row is locked by one of the two and
    skipped by the other, so they may share the rows.
    """
    make.paper("Graph networks")
    subscribers = [subscriber() for _ in range(12)]
    plans = [partial(planning.save_plan, ranked(*subscribers), {}, NOW) for _ in range(2)]
    assert sum(plan.letters for plan in at_once(*plans)) == 12
    assert Digest.objects.count() == Letter.objects.count() == Pick.objects.count() == 12


def test_lease_can_be_renewed_released_and_reacquired():
    first, second = Lease("planning", HOUR), Lease("planning", HOUR)
    assert first.acquire()
    assert not second.acquire()
    assert first.renew()
    first.release()
    assert second.acquire()
    assert not first.renew()
    first.release()  # It is no longer ours to give.
    assert Lock.objects.filter(source="planning", free_at__gt=Now()).exists()
