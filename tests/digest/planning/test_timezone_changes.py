"""Readers who move between zones and hours: one letter a date, and never two in a row."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import preferences, signup
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.simulation import (
    DAY,
    DOOR,
    HOUR,
    MINUTE,
    TODAY,
    YESTERDAY,
    arrivals,
    at,
    had,
    reader,
    tick,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("state", "left_at", "due_at"),
    [
        ("planned", None, at(TODAY, 11)),  # It may leave in this moment.
        ("claimed", None, at(TODAY, 11)),
        ("transmitting", at(YESTERDAY, 22, 59), at(TODAY, 10, 59)),
        ("uncertain", at(YESTERDAY, 22, 30), at(TODAY, 10, 30)),
        ("skipped", None, at(TODAY, 0)),
    ],
)
def test_after_a_change_the_next_digest_keeps_its_distance_to_one_on_its_way(
    state, left_at, due_at
):
    one = reader(hour=22, next_due_at=at(YESTERDAY, 22))
    plan.plan(at(YESTERDAY, 22))
    one.letters.update(state=state, left_at=left_at)
    preferences.change(one, None, {"hour": 0}, now=at(YESTERDAY, 23))
    one.refresh_from_db()
    assert one.next_due_at == due_at


def test_a_reader_who_moves_across_the_date_line_gets_no_date_twice():
    """From the first zone of a date to the last and back, right after her digest."""
    one = had(YESTERDAY, at(YESTERDAY, 0), hour=14, timezone="Pacific/Kiritimati")
    preferences.change(one, None, {"timezone": "Pacific/Honolulu"}, now=at(YESTERDAY, 1))
    for hours in range(1, 80):
        tick(at(YESTERDAY, hours % 24) + hours // 24 * DAY)
    assert arrivals()[1:] == [(TODAY, at(TODAY + DAY, 0)), (TODAY + DAY, at(TODAY + 2 * DAY, 0))]


class Restless(RuleBasedStateMachine):
    """One reader who moves, changes her mind, leaves and comes back, while the clock goes on.

    Her letters are planned and delivered each hour, as they are each minute in life.
    """

    ZONES = [
        *["Pacific/Kiritimati", "Pacific/Auckland", "Asia/Kolkata", "Europe/Berlin", "UTC"],
        *["America/New_York", "Pacific/Honolulu", "Etc/GMT+12"],
    ]
    #: Two digests of a reader who changed nothing between them, on a day of 25 hours at most.
    UNMOVED = timedelta(hours=26)
    #: After a change, the next comes by the end of the first date that has none, which may be
    #: tomorrow's by her old calendar; and the dates of the first and the last zone are 26 h apart.
    IN_ONE_ZONE, ACROSS_ZONES = timedelta(hours=49), timedelta(hours=74)

    @property
    def now(self):
        return self.clock.now

    @now.setter
    def now(self, moment):
        self.clock.now = moment

    @initialize(hour=st.integers(0, 23), zone=st.sampled_from(ZONES))
    def sign_up(self, hour, zone):
        Subscriber.objects.all().delete()
        self.now = datetime(2026, 10, 23, 12, tzinfo=UTC)  # Before most clocks are turned back.
        self.reader = make.subscriber(hour=hour, timezone=zone, wants_quiet_days=True, now=self.now)
        self.changed_at, self.confirmed = self.now, [self.now]
        self.bound = self.IN_ONE_ZONE
        self.wait(1)

    @rule(hours=st.integers(1, 40))
    def wait(self, hours):
        for _ in range(hours):
            tick(self.now)
            self.she_is_not_forgotten()
            self.now += HOUR

    @rule(zone=st.sampled_from(ZONES))
    def move(self, zone):
        self.set(timezone=zone)
        self.bound = self.ACROSS_ZONES

    @rule(hour=st.integers(0, 23))
    def change_her_hour(self, hour):
        self.set(hour=hour)

    @rule(days=st.integers(1, 3))
    def pause(self, days):
        today = schedule.local_day(self.now, self.reader.zone)
        self.set(paused_until=today + days * DAY)

    @rule()
    def resume(self):
        preferences.resume(self.reader, now=self.now)
        self.was_changed()

    @precondition(lambda self: not self.reader.unsubscribed_at)
    @rule(plans_first=st.booleans())
    def leave(self, plans_first):
        if plans_first:
            plan.plan(self.now)
        signup.unsubscribe(self.reader.public_id, source=DOOR, now=self.now)
        self.was_changed()
        self.now += MINUTE  # A link of the moment in which she confirmed was used.

    @precondition(lambda self: self.reader.unsubscribed_at)
    @rule(kind=st.sampled_from(["confirm", "goodbye"]))
    def come_back(self, kind):
        signup.confirm(self.reader, self.now, source=DOOR, now=self.now, kind=kind)
        self.confirmed.append(self.now)
        self.was_changed()

    @invariant()
    def she_has_one_letter_a_date_and_they_are_apart(self):
        sent = arrivals()
        days = [day for day, _ in sent]
        assert len(days) == len(set(days))
        for (_, earlier), (_, later) in pairwise(sent):
            at_first = any(
                abs(moment - near) <= HOUR for moment in self.confirmed for near in (earlier, later)
            )
            apart = schedule.MIN_GAP_AFTER_FIRST if at_first else schedule.MIN_GAP
            assert later - earlier >= apart

    def she_is_not_forgotten(self):
        if self.reader.state_at(self.now) != "active":
            self.changed_at = self.now
            return
        since = [moment for _, moment in arrivals() if moment >= self.changed_at]
        if len(since) > 1:
            assert self.now - since[-1] <= self.UNMOVED
        else:
            assert self.now - (since or [self.changed_at])[-1] <= self.bound

    def set(self, **settings):
        if not self.reader.unsubscribed_at:
            preferences.change(self.reader, None, settings, now=self.now)
            self.was_changed()

    def was_changed(self):
        self.reader.refresh_from_db()
        self.changed_at = self.now


@pytest.fixture(autouse=True)
def clocks_agree(clock, monkeypatch):
    """The database's clock shows what hers does: what is due at once was not due for months."""
    monkeypatch.setattr(Restless, "clock", clock, raising=False)


def test_a_restless_reader_gets_one_letter_a_date_never_two_in_a_row_and_is_not_forgotten():
    run_state_machine_as_test(
        Restless,
        settings=settings(
            max_examples=10,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_reader_who_moves_after_her_first_digest_has_the_next_two_apart():
    """Where she has moved to, the day of her second digest is the one on which she confirmed."""
    machine = Restless()
    machine.sign_up(hour=0, zone="Pacific/Honolulu")
    machine.move(zone="Pacific/Kiritimati")
    machine.wait(hours=30)
    assert len(arrivals()) == 3
    machine.she_has_one_letter_a_date_and_they_are_apart()
