"""The simulation of a world's delivery hours: nothing is lost in it, and more helps."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks import world_day
from tests.benchmarks.world_day import Cohort, House, fitting, simulate, tell_hours, world

DOC = Path(__file__).parent.parent / "docs" / "scale.md"
NEVER = 10**9


def due_at(minute, *left, closes=NEVER):
    """Return those who are due then: so many with each provider."""
    return Cohort(minute, closes, [*left, 0, 0, 0][:3])


def house(**fields):
    """Return a house that plans and sends a digest a second, where nothing else is said."""
    rates = {"planner_rate": 1, "worker_rate": 1, "database_rate": 1000}
    return House(0, **rates | fields)


def lags(week):
    """Return how many left after how many minutes."""
    return dict(sum(week.lags.values(), type(week.lags[0])()))


# ---- What can be reckoned by hand


def test_who_is_due_alone_is_served_at_once():
    assert lags(simulate([due_at(7, 60)], house())) == {0: 60}


def test_half_wait_a_minute_where_workers_send_half_as_much_as_is_planned():
    week = simulate([due_at(0, 600)], house(planner_rate=10, worker_rate=5))
    assert lags(week) == {0: 300, 1: 300}
    assert week.wall == "workers"


def test_what_can_not_be_planned_can_not_be_sent():
    week = simulate([due_at(0, 180)], house(worker_rate=100))
    assert lags(week) == {0: 60, 1: 60, 2: 60}
    assert week.wall == "planner"
    assert week.backlog[0] == 120


def test_the_oldest_go_first():
    week = simulate([due_at(0, 120), due_at(1, 60)], house())
    assert lags(week) == {0: 60, 1: 60 + 60}


def test_shards_share_the_work():
    assert lags(simulate([due_at(0, 180)], house(shards=3))) == {0: 180}


def test_more_workers_than_the_database_can_serve_do_not_help():
    week = simulate([due_at(0, 240)], house(planner_rate=9, workers=5, database_rate=2))
    assert lags(week) == {0: 120, 1: 120}
    assert week.wall == "database"


def test_a_provider_that_asks_for_patience_keeps_its_own_readers_alone_waiting():
    week = simulate([due_at(0, 60, 60)], house(planner_rate=9, workers=9, paces={"google": 20}))
    assert lags(week) == {0: 20 + 60, 1: 20, 2: 20}
    assert week.wall == "pace"


def test_an_hour_without_a_mail_server_is_an_hours_lag():
    week = simulate([due_at(0, 60)], house(outage=range(60)))
    assert lags(week) == {60: 60}
    assert week.wall == "mail server"


def test_what_its_day_ends_on_is_missed():
    week = simulate([due_at(0, 180, closes=2)], house())
    assert (week.due, week.sent, week.missed) == (180, 120, 60)


def test_nobody_is_served_where_nobody_is():
    week = simulate([], house())
    assert (week.due, week.sent, week.lag(0.99), week.wall) == (0, 0, 0, "")


# ---- What holds for all


counts = st.lists(st.integers(0, 400), min_size=3, max_size=3)
cohorts = st.lists(
    st.builds(lambda due, left: Cohort(due, due + 1800, left), st.integers(0, 200), counts),
    max_size=8,
).map(lambda found: sorted(found, key=lambda cohort: cohort.due))
houses = st.builds(
    house,
    shards=st.integers(1, 3),
    workers=st.integers(1, 3),
    planner_rate=st.floats(0.1, 9),
    worker_rate=st.floats(0.1, 9),
    paces=st.dictionaries(st.sampled_from(["google", "microsoft"]), st.integers(1, 100)),
    outage=st.builds(range, st.integers(0, 100), st.integers(100, 160)),
)


@settings(max_examples=60, deadline=None)
@given(cohorts, houses)
def test_every_digest_leaves_once_or_is_missed_and_none_before_it_is_due(cohorts, house):
    week = simulate(cohorts, house)
    assert week.due == sum(sum(cohort.left) for cohort in cohorts)
    assert week.due == week.sent + week.missed
    assert all(lag >= 0 for lag in lags(week))
    assert simulate(cohorts, house) == week


@settings(max_examples=60, deadline=None)
@given(cohorts, houses, st.sampled_from(["workers", "shards"]))
def test_more_of_anything_makes_nobody_later(cohorts, house, what):
    more = simulate(cohorts, replace(house, **{what: getattr(house, what) + 1}))
    week = simulate(cohorts, house)
    assert more.missed <= week.missed
    if not week.missed:
        for share in (0.5, 0.99, 1):
            assert more.lag(share) <= week.lag(share)


# ---- The world


def test_a_week_of_the_world_has_seven_days_less_the_weekends_of_some():
    due = sum(sum(cohort.left) for cohort in world(10**6))
    assert due == pytest.approx(10**6 * (7 - 2 * world_day.WEEKDAYS_ONLY), rel=1e-4)


@pytest.mark.parametrize("shares", [world_day.ZONES, world_day.HOURS, world_day.PROVIDERS])
def test_shares_are_of_a_hundred(shares):
    assert sum(shares.values()) == pytest.approx(100)


def test_what_fits_is_in_time_and_less_is_not():
    fit = fitting(2 * 10**7)
    cohorts = world(2 * 10**7)
    assert simulate(cohorts, fit).lag(0.99) <= world_day.IN_TIME
    assert simulate(cohorts, replace(fit, shards=fit.shards - 1)).lag(0.99) > world_day.IN_TIME


def test_a_house_is_told_of_by_the_hour(capsys):
    tell_hours(House(10**5, paces={"google": 30}))
    *_, last_hour, total, sums = capsys.readouterr().out.splitlines()
    assert last_hour.split()[0] == "23"
    assert total.split()[0] == "all"
    assert sums.endswith("most waited for: pace")


def test_the_manual_reckons_with_the_same_figures():
    table = DOC.read_text().partition("## What one digest costs")[2].partition("\n## ")[0]
    assert f"| planning | {world_day.PLANNING_MS} ms |" in table
    assert f"| composing and delivery | {world_day.DELIVERY_MS} ms |" in table
    assert f"{world_day.POSTGRESQL_MS} ms" in table
