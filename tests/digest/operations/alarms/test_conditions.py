"""What is an alarm: whatever keeps letters or papers from coming."""

import shutil

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from digest import tasks
from digest.models import Alarm, Harvest, Pulse
from digest.operations import alarms, heartbeats, invariants
from digest.planning import plan
from subscriptions.actions import preferences
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter, Subscriber
from subscriptions.security import rate_limits
from tests.digest.operations.alarms.heartbeats import DAY, HOUR, MINUTE, Usage, beaten, ran
from tests.factories import make
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


def names(now=NOW):
    return [one.name for one in alarms.check_all(now)]


def test_nothing_is_wrong_where_nothing_has_run_yet(caplog):
    assert names() == []
    assert caplog.records == []


def test_what_is_looked_at_each_minute_reads_no_letter_that_has_ended():
    """Of millions, it would take seconds."""
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    make.subscriber()
    with CaptureQueriesContext(connection) as asked:
        alarms.check_all(NOW)
    asked = [one["sql"] for one in asked if 'FROM "subscriptions_letter"' in one["sql"]]
    assert len(asked) >= 3
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in asked:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "letters_under_way" in plan or "subscriber_id" in plan, plan


def test_a_tick_that_is_five_minutes_old_is_an_alarm():
    beaten(5 * MINUTE)
    assert names() == []
    (found,) = alarms.check_all(NOW + MINUTE)
    assert (found.name, found.said) == (
        "beat",
        "The last tick was 11:55 UTC on 1 June 2026: beat is dead, or all workers are, or their "
        "clocks are a minute apart.",
    )


def test_where_workers_wait_for_a_mail_server_that_hangs_the_dead_beat_names_it():
    beaten(6 * MINUTE)
    for minutes in (1, 4, 5):  # An answer that takes a minute keeps nobody from ticking.
        make.subscriber(next_due_at=NOW + DAY).letters.create(
            kind="welcome",
            state="transmitting",
            created_at=NOW,
            closes_at=NOW + DAY,
            next_try_at=NOW,
            left_at=NOW - minutes * MINUTE,
            lease_until=NOW + MINUTE,
        )
    (found,) = (one for one in alarms.check_all(NOW) if one.name == "beat")
    assert found.said == (
        "The last tick was 11:54 UTC on 1 June 2026: 2 letters are waiting for the mail server's "
        "answer, and keep workers from all else."
    )


@pytest.mark.parametrize("run", [tasks.watch, tasks.plan_digests, lambda: call_command("tick")])
def test_what_ticks_leaves_a_pulse_and_a_rehearsal_none(run):
    call_command("tick", "--now", "2026-06-01T12:00+00:00")
    call_command("tick", "--dry-run")
    assert not Pulse.objects.exists()
    run()
    beaten(HOUR)  # What comes late does not turn the clock back.
    assert heartbeats.last(heartbeats.TICK) == NOW


def test_a_digest_hour_in_the_past_makes_nobody_late():
    one = make.subscriber(hour=18, next_due_at=NOW + 6 * HOUR, confirmed_at=NOW - 30 * DAY)
    preferences.change(one, None, {"hour": 3}, now=NOW)
    assert names() == []
    assert not invariants.overdue(NOW, 30 * MINUTE).exists()
    assert list(Subscriber.objects.due(NOW)) == [one]  # Their digest of today comes now.
    assert names(NOW + 15 * MINUTE) == ["planning"]


def test_digests_that_are_not_planned_are_an_alarm_after_a_quarter_of_an_hour():
    make.subscriber()
    assert names(NOW + 14 * MINUTE) == []
    (found,) = alarms.check_all(NOW + 16 * MINUTE)
    assert (found.name, found.said) == (
        "planning",
        "1 digest is not planned, due since 12:00 UTC on 1 June 2026.",
    )


def test_letters_that_wait_are_an_alarm_unless_none_may_leave(settings):
    make.paper()
    make.subscriber()
    plan.plan(NOW)
    assert names(NOW + 14 * MINUTE) == []
    assert names(NOW + 16 * MINUTE) == ["letters"]
    circuit_breaker.stop("you", NOW)
    assert names(NOW + 16 * MINUTE) == []
    settings.ALARM_LATE = 5 * MINUTE
    circuit_breaker.resume("you", NOW)
    assert names(NOW + 6 * MINUTE) == ["letters"]


@pytest.mark.parametrize("name", ["planning", "letters"])
def test_a_backlog_that_clears_while_it_is_counted_is_told_with_its_moment(name, caplog):
    make.paper()
    make.subscriber()
    if name == "letters":
        plan.plan(NOW)

    def see_to_it(execute, sql, *args):
        answer = execute(sql, *args)
        if "COUNT" in sql and "next_try_at" in sql:
            Letter.objects.update(next_try_at=None)
        elif "COUNT" in sql and "next_due_at" in sql:
            Subscriber.objects.update(next_due_at=NOW + DAY)
        return answer

    with connection.execute_wrapper(see_to_it):
        (found,) = alarms.check_all(NOW + HOUR)
    assert found.name == name
    assert found.said.endswith("since 12:00 UTC on 1 June 2026.")
    assert caplog.records == []


def test_letters_in_doubt_are_an_alarm():
    make.paper()
    make.subscriber()
    plan.plan(NOW)
    Letter.objects.update(state="uncertain", next_try_at=NOW + HOUR)
    assert names() == ["uncertain"]


@pytest.mark.parametrize(
    ("trouble", "times", "alarm"),
    [("unreachable", 2, []), ("unreachable", 3, ["breaker"]), ("auth", 1, ["breaker"])],
)
def test_a_breaker_that_has_tripped_for_long_is_an_alarm(trouble, times, alarm):
    for _ in range(times):
        circuit_breaker.trip(trouble, "it said 535", NOW, is_probe=True)
    assert names() == alarm


def test_sending_that_stays_stopped_is_one_alarm_after_an_hour():
    circuit_breaker.trip("auth", "it said 535", NOW)
    circuit_breaker.stop("you", NOW)
    assert names(NOW + HOUR) == []
    assert names(NOW + HOUR + MINUTE) == ["stopped"]


def test_a_door_that_is_closed_to_everyone_is_an_alarm(settings):
    settings.LIMITS = settings.LIMITS | {"all": 1}
    assert names() == []
    rate_limits.check_visitor("lost link", "192.0.2.1", NOW)
    assert [(one.name, one.subject) for one in alarms.check_all(NOW)] == [("flood", "lost link")]
    assert names(NOW + HOUR) == []


@pytest.mark.parametrize(
    ("runs", "alarm"),
    [
        ([("failed", 2)], []),
        ([("failed", 4)], ["source"]),
        ([("failed", 4), ("failed", 2), ("running", 0)], ["source"]),
        ([("done", 30), ("failed", 2)], []),
        ([("done", 30), ("failed", 4), ("failed", 2)], ["source"]),
        ([("failed", 4), ("done", 2)], []),
        ([("failed", 8), ("done", 6), ("failed", 1)], []),
    ],
)
def test_a_source_that_fails_for_hours_is_an_alarm(runs, alarm):
    for state, hours in runs:
        ran(state, hours * HOUR)
    assert names() == alarm
    Harvest.objects.update(since=NOW.date() - 9 * DAY)  # A backfill that fails is no alarm.
    assert names() == []


@pytest.mark.parametrize(
    ("total", "free", "alarm"),
    [
        (10**12, 3 * 10**9, []),
        (10**12, 10**9, ["disk"]),
        (10**10, 10**9, []),
        (10**10, 4 * 10**8, ["disk"]),
    ],
)
def test_a_disk_that_is_nearly_full_is_an_alarm(total, free, alarm, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(total, 0, free))
    assert names() == alarm


def test_a_full_disk_or_a_source_of_several_is_an_alarm_of_its_own_that_holds(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**9))
    for source in ("arxiv", "huggingface"):
        ran("failed", 4 * HOUR, source)
    alarms.record(alarms.check_all(NOW), NOW)
    assert sorted(one.name for one in alarms.known(NOW)) == ["disk", "source", "source"]
    alarms.end_expired(NOW + 15 * MINUTE)
    assert [one.name for one in Alarm.objects.standing()] == ["disk"]


def test_the_disk_is_looked_at_before_there_is_a_folder_on_it(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path / "not" / "yet"
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or Usage(9, 0, 9))
    alarms.check_all(NOW)
    assert asked == [tmp_path]


def test_a_look_that_breaks_costs_itself_alone(monkeypatch, caplog):
    circuit_breaker.trip("auth", "it said 535", NOW)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: 1 / 0)
    assert names() == ["breaker"]
    assert "an alarm can't be looked for: disk" in caplog.text


def test_a_database_that_is_away_is_no_look_that_breaks(monkeypatch):
    def gone(path):
        raise OperationalError("gone")

    monkeypatch.setattr(shutil, "disk_usage", gone)
    with pytest.raises(OperationalError):
        alarms.check_all(NOW)
