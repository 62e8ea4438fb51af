"""Time as it comes: zones and their rules, readers who move, machines that sleep, clocks that jump.

What each day's moment is, is in test_schedule.py. Here the moments go through planning and
delivery.
"""

import shutil
import threading
import uuid
import zoneinfo
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
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

from digest import fitting, planning, promises
from digest.models import Digest, Pick, Turn
from digest.turns import Lease
from subscriptions import moving, schedule, signup
from subscriptions.models import Letter, Subscriber
from subscriptions.post import delivery, ledger, office, rows
from tests import make, services
from tests.make import NOW
from tests.threads import at_once, uncommitted

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DOOR = signup.Door("test")
TODAY = NOW.date()
YESTERDAY = TODAY - DAY


def at(day, hour, minute=0):
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def reader(**fields):
    """Make a reader of long standing, who gets a letter each day, with papers or without."""
    fields = {"wants_quiet_days": True, "confirmed_at": NOW - 400 * DAY} | fields
    return make.subscriber(**fields)


def tick(now):
    """Plan and deliver what is due: one minute of the service."""
    planning.plan(now)
    if Letter.objects.open().exists():
        office.sweep(now)
        delivery.deliver_due(lambda: now)


def arrivals():
    """Return the day and the moment of each digest that was sent, in the order of sending."""
    letters = Letter.objects.filter(state="accepted", day__isnull=False).order_by("ended_at")
    return [(letter.day, letter.ended_at) for letter in letters]


def had(day, sent_at, **fields):
    """Make a reader who had the digest of this day at that moment."""
    made = reader(next_due_at=sent_at, **fields)
    tick(sent_at)
    assert arrivals() == [(day, sent_at)]
    return made


def on_one_database(*cases):
    """Leave these to the embedded database: when a day is due is the same to all that keep it."""
    return [pytest.param(*case, marks=services.once) for case in cases]


# ---- Changes of clocks


@pytest.mark.parametrize(
    ("zone", "hour", "night", "moments"),
    [
        # The gap: 02:00 is skipped, and it is 03:00 at 01:00 UTC.
        ("Europe/Berlin", 2, date(2027, 3, 28), ["27 01:00", "28 01:00", "29 00:00"]),
        *on_one_database(
            # The overlap: the first of two 02:00s is at 00:00 UTC.
            ("Europe/Berlin", 2, date(2026, 10, 25), ["24 00:00", "25 00:00", "26 01:00"]),
            # No midnight on that day: it begins at 01:00.
            ("Africa/Cairo", 0, date(2026, 4, 24), ["22 22:00", "23 22:00", "24 21:00"]),
            ("Asia/Beirut", 0, date(2026, 3, 29), ["27 22:00", "28 22:00", "29 21:00"]),
            ("Atlantic/Azores", 0, date(2026, 3, 29), ["28 01:00", "29 01:00", "30 00:00"]),
            ("America/Sao_Paulo", 0, date(2018, 11, 4), ["03 03:00", "04 03:00", "05 02:00"]),
            # The clocks jump by half an hour.
            ("Australia/Lord_Howe", 2, date(2026, 10, 4), ["02 15:30", "03 15:30", "04 15:00"]),
            ("Australia/Lord_Howe", 2, date(2027, 4, 4), ["02 15:00", "03 15:30", "04 15:30"]),
        ),
        # A day that never was.
        ("Pacific/Apia", 7, date(2011, 12, 30), ["29 17:00", "30 17:00"]),
    ],
)
def test_each_local_date_has_one_digest_when_the_clocks_change(zone, hour, night, moments):
    """Minute by minute for two hours around her own on each day, else by the quarter."""
    zone = ZoneInfo(zone)
    _, first = schedule.first_due(night - DAY, hour, zone)
    last = schedule.due_moment(night + DAY, hour, zone) + HOUR
    one = reader(timezone=zone.key, hour=hour, next_due_at=first, confirmed_at=first - 9 * DAY)
    days = (night - DAY, night, night + DAY)
    hers = [datetime.combine(day, time(hour), zone).astimezone(UTC) for day in days]
    now = first - MINUTE
    while now <= last:
        if now.minute % 15 == 0 or any(abs(now - moment) <= 2 * HOUR for moment in hers):
            planning.plan(now)
        now += MINUTE
    letters = one.letters.order_by("day")
    there = [day for day in days if day != date(2011, 12, 30)]
    assert [letter.day for letter in letters] == there
    assert [f"{letter.created_at:%d %H:%M}" for letter in letters] == moments


@contextmanager
def zones_of(folder):
    """Read the zones from this folder, as after an update of the system's."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(folder)])
    ZoneInfo.clear_cache()
    try:
        yield
    finally:
        zoneinfo.reset_tzpath(before)
        ZoneInfo.clear_cache()


def rules(folder, name, like):
    """Write a folder in which the zone `name` has the rules of another."""
    source = next(path for root in zoneinfo.TZPATH if (path := Path(root) / like).is_file())
    target = folder / name
    target.parent.mkdir(parents=True)
    shutil.copy(source, target)
    return folder


@pytest.mark.parametrize("hour", [0, *on_one_database([23])])
@pytest.mark.parametrize("planned_first", [True, False])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Etc/GMT-2", "Etc/GMT-3"),
        ("Etc/GMT+11", "Etc/GMT-13"),  # As Samoa moved across the date line.
        *on_one_database(("Etc/GMT-3", "Etc/GMT-2"), ("Etc/GMT-13", "Etc/GMT+11")),
    ],
)
def test_a_change_of_a_zones_rules_between_planning_and_sending_never_makes_two_letters(
    tmp_path, hour, planned_first, old, new
):
    name = "Europe/Berlin"
    before, after = rules(tmp_path / "old", name, old), rules(tmp_path / "new", name, new)
    with zones_of(before):
        moment = schedule.due_moment(TODAY, hour, ZoneInfo(name))
        had(YESTERDAY, moment - DAY, timezone=name, hour=hour)
        if planned_first:
            planning.plan(moment)
    with zones_of(after):
        for hours in range(80):
            tick(moment + hours * HOUR)
    days, moments = zip(*arrivals(), strict=True)
    assert len(days) == len(set(days)) >= 4
    assert Letter.objects.count() == len(set(Letter.objects.values_list("day")))
    assert all(later - earlier >= schedule.APART for earlier, later in pairwise(moments))


# ---- A machine asleep


def test_after_a_night_asleep_the_day_before_comes_and_the_next_keeps_its_distance():
    one = reader(hour=6, next_due_at=at(YESTERDAY, 6))
    for now in (at(TODAY, 5, 59), at(TODAY, 6), at(TODAY, 17, 58), at(TODAY, 17, 59)):
        tick(now)
    for hours in range(24):
        tick(at(TODAY, 18) + hours * HOUR)
    assert arrivals() == [
        (YESTERDAY, at(TODAY, 5, 59)),
        (TODAY, at(TODAY, 17, 59)),
        (TODAY + DAY, at(TODAY + DAY, 6)),
    ]
    assert set(one.letters.values_list("state", flat=True)) == {"accepted"}


@pytest.mark.parametrize("hour", [0, 7, *on_one_database(*zip([4, 5, 6, 12, 23]))])
@pytest.mark.parametrize("asleep", [2, 17, 23, 26, 72])
def test_a_machine_that_was_asleep_catches_up_without_a_burst(hour, asleep):
    one = reader(hour=hour, next_due_at=at(YESTERDAY, hour))
    woke = at(YESTERDAY, hour) + asleep * HOUR + 50 * MINUTE
    for hours in range(50):
        tick(woke + hours * HOUR)
    moments = [moment for _, moment in arrivals()]
    assert moments[0] - woke <= timedelta(hours=18)
    assert all(schedule.APART <= b - a <= 37 * HOUR for a, b in pairwise(moments))
    days = list(one.letters.order_by("day").values_list("day", "state", "reason"))
    assert [day for day, _, _ in days] == [YESTERDAY + n * DAY for n in range(len(days))]
    for _, state, reason in days:
        assert (state, reason) in {("accepted", ""), ("missed", "its day ended first")}


def test_a_digest_that_has_not_left_makes_way_for_the_next_with_its_papers():
    make.paper("Graph networks", day=YESTERDAY)
    one = reader(hour=0, next_due_at=at(YESTERDAY, 0), interests="graph networks")
    other = reader(hour=1, next_due_at=at(YESTERDAY, 0))
    planning.plan(at(YESTERDAY, 0))
    assert Pick.objects.get(subscriber=one).digest.day == YESTERDAY

    planning.plan(at(TODAY, 0))
    assert other.letters.get().state == "planned"  # She has an hour yet.

    states = one.letters.order_by("day").values_list("day", "state", "reason")
    assert list(states) == [
        (YESTERDAY, "missed", "the next day's was due"),
        (TODAY, "planned", ""),
    ]
    assert Pick.objects.get(subscriber=one).digest.day == TODAY


def test_the_next_digest_waits_while_one_may_be_arriving_and_then_for_its_distance():
    one = reader(hour=0, next_due_at=at(YESTERDAY, 0))
    planning.plan(at(YESTERDAY, 0))
    late = one.letters.get()
    ledger.claim(at(YESTERDAY, 23, 55), 1)
    late.refresh_from_db()
    assert ledger.move([late], "transmitting", at(YESTERDAY, 23, 58), left_at=at(YESTERDAY, 23, 58))

    assert planning.plan(at(TODAY, 0)).letters == 0
    one.refresh_from_db()
    assert one.next_due_at == at(TODAY, 11, 58)
    assert planning.plan(at(TODAY, 11, 58)).letters == 1


@pytest.mark.parametrize("hour", [9, 23])
def test_what_goes_out_again_after_a_silence_is_not_overtaken(hour):
    """It may have arrived: its papers stay its own, and the next digest comes after it, also where
    the first try was long ago.
    """
    one = reader(hour=0, next_due_at=at(YESTERDAY, 0))
    planning.plan(at(YESTERDAY, 0))
    one.letters.update(repeats=1, left_at=at(YESTERDAY, hour, 30))

    assert planning.plan(at(TODAY, 0)).letters == 0
    assert [letter.state for letter in one.letters.all()] == ["planned"]


def test_what_was_to_go_out_again_as_its_day_ended_is_kept_at_a_distance():
    one = reader(hour=6, next_due_at=at(YESTERDAY, 6))
    planning.plan(at(YESTERDAY, 6))
    late = one.letters.get()
    one.letters.update(repeats=1, left_at=at(TODAY, 5, 40))
    assert late.closes_at == at(TODAY, 6)

    assert planning.plan(at(TODAY, 6)).letters == 0
    office.sweep(at(TODAY, 6, 1))
    assert planning.plan(at(TODAY, 6, 1)).letters == 0
    one.refresh_from_db()
    assert one.next_due_at == at(TODAY, 17, 40)


@pytest.mark.parametrize("state", ["transmitting", "uncertain"])
def test_what_may_yet_go_out_again_is_waited_for_however_long_ago_it_left(state):
    """As after a day without power: nobody has asked yet what became of it."""
    one = reader(hour=0, next_due_at=at(YESTERDAY, 0))
    planning.plan(at(YESTERDAY, 0))
    began, woke = at(YESTERDAY, 0, 1), at(TODAY, 0, 1)
    one.letters.update(state=state, left_at=began, lease_until=began, next_try_at=began)

    assert planning.plan(woke).letters == 0
    assert promises.overdue(woke + HOUR, promises.LATE).count() == 0
    office.sweep(woke)
    while one.letters.get().state != "planned":
        office.sweep(woke := woke + 15 * MINUTE)
    delivery.deliver_due(lambda: woke)
    assert planning.plan(woke + MINUTE).letters == 0
    one.refresh_from_db()
    assert one.next_due_at == woke + schedule.APART


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer")
@pytest.mark.django_db(transaction=True)
def test_what_passes_the_fence_as_its_day_ends_is_seen_by_who_plans_the_next(monkeypatch):
    one = reader(hour=6, next_due_at=at(YESTERDAY, 6))
    planning.plan(at(YESTERDAY, 6))
    closes_at = one.letters.get().closes_at
    assert closes_at == at(TODAY, 6)
    with transaction.atomic():
        ((late,), _) = ledger.claim(closes_at - MINUTE, 1)
    moment = closes_at - timedelta(milliseconds=10)
    frozen = {late.pk: ledger.Frozen(b"Date: now", "<m@x>", moment)}
    thread, commit = uncommitted(lambda: ledger.fence([late], frozen, moment))

    rank = planning.propose

    def rank_behind_it(*told):
        commit.set()
        thread.join()
        return rank(*told)

    monkeypatch.setattr(planning, "propose", rank_behind_it)
    for _ in range(2):
        assert planning.plan(closes_at).letters == 0
    assert one.letters.get().state == "transmitting"
    one.refresh_from_db()
    assert one.next_due_at == moment + schedule.APART


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite holds no rows")
@pytest.mark.django_db(transaction=True)
def test_what_somebody_is_at_in_this_moment_is_waited_for():
    one = reader(hour=0, next_due_at=at(YESTERDAY, 0))
    planning.plan(at(YESTERDAY, 0))
    late = one.letters.get()
    thread, commit = uncommitted(lambda: rows.held([late.pk]))
    assert planning.plan(at(TODAY, 0)).letters == 0
    commit.set()
    thread.join()
    assert planning.plan(at(TODAY, 0)).letters == 1


def test_a_planner_that_read_before_another_wrote_calls_nothing_off(monkeypatch):
    one = reader(hour=0, next_due_at=at(TODAY, 0))
    read_before = [Subscriber.objects.get()]
    planning.plan(at(TODAY, 0))
    reader(hour=1, next_due_at=at(TODAY, 1))
    monkeypatch.setattr(planning, "shards", lambda now: [read_before])
    planning.plan(at(TODAY, 1))
    assert [letter.state for letter in one.letters.all()] == ["planned"]


@pytest.mark.parametrize("state", ["planned", "missed"])
def test_a_digest_that_was_put_off_by_the_server_to_the_end_keeps_nobody_waiting(state):
    one = reader(hour=0, next_due_at=at(YESTERDAY, 0))
    planning.plan(at(YESTERDAY, 0))
    one.letters.update(left_at=at(YESTERDAY, 23, 58), attempt=3, state=state)
    assert planning.plan(at(TODAY, 0)).letters == 1


def test_who_moves_to_another_address_keeps_her_distance_to_a_digest_that_was_late():
    """What she confirms then is an address: it makes that digest no first one."""
    one = reader(hour=6, next_due_at=at(YESTERDAY, 6))
    planning.plan(at(YESTERDAY, 6))
    delivery.deliver_due(lambda: at(YESTERDAY, 23))
    moving.ask(one, "new@example.org", now=at(YESTERDAY, 23, 20))
    for side in ("old", "new"):
        moving.agree(one, side, at(YESTERDAY, 23, 20), door=DOOR, now=at(YESTERDAY, 23, 30))

    assert planning.plan(at(TODAY, 6)).letters == 0
    one.refresh_from_db()
    assert (one.email, one.next_due_at) == ("new@example.org", at(TODAY, 11))


def test_the_digest_after_a_first_one_in_the_evening_comes_at_her_hour():
    make.subscriber(hour=7, wants_quiet_days=True, now=at(TODAY, 22))
    for now in (at(TODAY, 22), at(TODAY + DAY, 7)):
        tick(now)
    assert arrivals() == [(TODAY, at(TODAY, 22)), (TODAY + DAY, at(TODAY + DAY, 7))]


def test_the_digest_after_a_first_one_just_before_her_hour_comes_six_hours_later():
    make.subscriber(hour=0, wants_quiet_days=True, now=at(TODAY, 23, 50))
    for hours in range(9):
        tick(at(TODAY, 23, 50) + hours * HOUR)
    # At midnight, ten minutes later, it would be no news.
    assert arrivals() == [
        (TODAY, at(TODAY, 23, 50)),
        (TODAY + DAY, at(TODAY + DAY, 5, 50)),
    ]


# ---- Clocks that jump


@pytest.mark.parametrize("was_sent", [True, False])
def test_a_clock_that_was_a_day_ahead_doubles_nothing(was_sent):
    """Today's is missed where its hour was still to come: by the clock, it was yesterday's."""
    one = had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    if was_sent:
        tick(at(TODAY, 7))
    tick(at(TODAY + DAY, 8))  # It is 08:00 today, in truth; or 06:00 with today's to come.
    for hours in range(70):
        tick(at(TODAY, 7) + hours * HOUR)
    ahead = [(TODAY + DAY, at(TODAY + DAY, 8)), (TODAY + 2 * DAY, at(TODAY + 2 * DAY, 7))]
    today = [(TODAY, at(TODAY, 7))] if was_sent else []
    assert arrivals()[1:] == today + ahead
    assert one.letters.get(day=TODAY).state == ("accepted" if was_sent else "missed")


def test_a_planner_whose_clock_is_ahead_of_the_database_sends_nothing_early():
    one = had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    planning.plan(at(TODAY, 7))  # By the database's clock, it is 06:50.
    assert delivery.deliver_due(lambda: at(TODAY, 6, 50))["accepted"] == 0
    assert one.letters.get(day=TODAY).state == "planned"
    tick(at(TODAY, 7))
    assert arrivals()[-1] == (TODAY, at(TODAY, 7))


def test_a_clock_that_steps_back_by_two_hours_doubles_nothing():
    had(YESTERDAY, at(YESTERDAY, 7), hour=7)
    for now in (at(TODAY, 7), at(TODAY, 5), at(TODAY, 6), at(TODAY, 7), at(TODAY, 8)):
        tick(now)
    assert arrivals()[1:] == [(TODAY, at(TODAY, 7))]


# ---- Readers who move


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
    planning.plan(at(YESTERDAY, 22))
    one.letters.update(state=state, left_at=left_at)
    signup.change(one, None, {"hour": 0}, now=at(YESTERDAY, 23))
    one.refresh_from_db()
    assert one.next_due_at == due_at


def test_a_reader_who_moves_across_the_date_line_gets_no_date_twice():
    """From the first zone of a date to the last and back, right after her digest."""
    one = had(YESTERDAY, at(YESTERDAY, 0), hour=14, timezone="Pacific/Kiritimati")
    signup.change(one, None, {"timezone": "Pacific/Honolulu"}, now=at(YESTERDAY, 1))
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
        signup.resume(self.reader, now=self.now)
        self.was_changed()

    @precondition(lambda self: not self.reader.unsubscribed_at)
    @rule(plans_first=st.booleans())
    def leave(self, plans_first):
        if plans_first:
            planning.plan(self.now)
        signup.unsubscribe(self.reader.public_id, door=DOOR, now=self.now)
        self.was_changed()
        self.now += MINUTE  # A link of the moment in which she confirmed was used.

    @precondition(lambda self: self.reader.unsubscribed_at)
    @rule(kind=st.sampled_from(["confirm", "goodbye"]))
    def come_back(self, kind):
        signup.confirm(self.reader, self.now, door=DOOR, now=self.now, kind=kind)
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
            apart = schedule.APART_AT_FIRST if at_first else schedule.APART
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
            signup.change(self.reader, None, settings, now=self.now)
            self.was_changed()

    def was_changed(self):
        self.reader.refresh_from_db()
        self.changed_at = self.now


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


# ---- Two planners


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
    fitting.fit(NOW)
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
    fitting.fit(NOW)

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
