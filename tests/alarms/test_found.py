"""What is an alarm: whatever keeps letters or papers from coming."""

import shutil

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from digest import alarms, heartbeats, planning, promises, tasks
from digest.models import Alarm, Coverage, Harvest, Pulse
from subscriptions import changing, limits
from subscriptions.models import Letter, Subscriber
from subscriptions.post import sending
from tests import make
from tests.alarms.heartbeats import DAY, HOUR, MINUTE, Usage, beaten, ran
from tests.make import NOW

pytestmark = pytest.mark.django_db


def names(now=NOW):
    return [one.name for one in alarms.look(now)]


def test_nothing_is_wrong_where_nothing_has_run_yet(caplog):
    assert names() == []
    assert caplog.records == []


def test_what_is_looked_at_each_minute_reads_no_letter_that_has_ended():
    """Of millions, it would take seconds."""
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    make.subscriber()
    with CaptureQueriesContext(connection) as asked:
        alarms.look(NOW)
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
    beaten(5 * MINUTE)
    assert names(NOW + MINUTE) == ["beat"]
    (found,) = alarms.look(NOW + MINUTE)
    assert found.said == (
        "The last tick was 11:55 UTC on 1 June 2026: beat is dead, or all workers are, or their "
        "clocks are a minute apart."
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
    (found,) = (one for one in alarms.look(NOW) if one.name == "beat")
    assert found.said == (
        "The last tick was 11:54 UTC on 1 June 2026: 2 letters are waiting for the mail server's "
        "answer, and keep workers from all else."
    )


@pytest.mark.parametrize("run", [tasks.watch, tasks.plan_digests, lambda: call_command("tick")])
def test_whatever_ticks_leaves_a_pulse(run):
    run()
    assert heartbeats.last(heartbeats.TICK) == NOW


def test_a_rehearsal_of_another_moment_leaves_none():
    call_command("tick", "--now", "2026-06-01T12:00+00:00")
    call_command("tick", "--dry-run")
    assert not Pulse.objects.exists()


def test_a_pulse_that_comes_late_does_not_turn_the_clock_back():
    beaten(MINUTE)
    beaten(HOUR)
    assert heartbeats.last(heartbeats.TICK) == NOW - MINUTE


def test_nobody_is_late_where_a_reader_chooses_an_hour_that_is_over():
    one = make.subscriber(hour=18, next_due_at=NOW + 6 * HOUR, confirmed_at=NOW - 30 * DAY)
    changing.change(one, None, {"hour": 3}, now=NOW)
    assert names() == []
    assert not promises.overdue(NOW, 30 * MINUTE).exists()
    assert list(Subscriber.objects.due(NOW)) == [one]  # Her digest of today comes now.
    assert names(NOW + 15 * MINUTE) == ["planning"]


def test_digests_that_are_not_planned_are_an_alarm_after_a_quarter_of_an_hour():
    make.subscriber()
    assert names(NOW + 14 * MINUTE) == []
    (found,) = alarms.look(NOW + 16 * MINUTE)
    assert (found.name, found.said) == (
        "planning",
        "1 digest is not planned, due since 12:00 UTC on 1 June 2026.",
    )


def test_letters_that_wait_are_an_alarm_unless_none_may_leave(settings):
    make.paper()
    make.subscriber()
    planning.plan(NOW)
    assert names(NOW + 14 * MINUTE) == []
    assert names(NOW + 16 * MINUTE) == ["letters"]
    sending.stop("you", NOW)
    assert names(NOW + 16 * MINUTE) == []
    settings.ALARM_LATE = 5 * MINUTE
    sending.resume("you", NOW)
    assert names(NOW + 6 * MINUTE) == ["letters"]


@pytest.mark.parametrize("name", ["planning", "letters"])
def test_what_is_seen_to_just_as_it_is_counted_is_told_with_its_moment(name, caplog):
    make.paper()
    make.subscriber()
    if name == "letters":
        planning.plan(NOW)

    def see_to_it(execute, sql, *args):
        answer = execute(sql, *args)
        if "COUNT" in sql and "next_try_at" in sql:
            Letter.objects.update(next_try_at=None)
        elif "COUNT" in sql and "next_due_at" in sql:
            Subscriber.objects.update(next_due_at=NOW + DAY)
        return answer

    with connection.execute_wrapper(see_to_it):
        (found,) = alarms.look(NOW + HOUR)
    assert found.name == name
    assert found.said.endswith("since 12:00 UTC on 1 June 2026.")
    assert caplog.records == []


def test_letters_in_doubt_are_an_alarm():
    make.paper()
    make.subscriber()
    planning.plan(NOW)
    Letter.objects.update(state="uncertain", next_try_at=NOW + HOUR)
    assert names() == ["uncertain"]


@pytest.mark.parametrize(
    ("trouble", "times", "alarm"),
    [("unreachable", 2, []), ("unreachable", 3, ["breaker"]), ("auth", 1, ["breaker"])],
)
def test_a_breaker_that_has_tripped_for_long_is_an_alarm(trouble, times, alarm):
    for _ in range(times):
        sending.trip(trouble, "it said 535", NOW, is_trial=True)
    assert names() == alarm


def test_sending_that_stays_stopped_is_one_alarm_after_an_hour():
    sending.trip("auth", "it said 535", NOW)
    sending.stop("you", NOW)
    assert names(NOW + HOUR) == []
    assert names(NOW + HOUR + MINUTE) == ["stopped"]


def test_a_door_that_is_closed_to_everyone_is_an_alarm(settings):
    settings.LIMITS = settings.LIMITS | {"all": 1}
    assert names() == []
    limits.knock("lost link", "192.0.2.1", NOW)
    assert [(one.name, one.subject) for one in alarms.look(NOW)] == [("flood", "lost link")]
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


def test_a_backfill_that_fails_for_hours_is_no_alarm():
    ran("failed", 4 * HOUR)
    Harvest.objects.update(since=NOW.date() - 9 * DAY)
    assert names() == []


def test_a_list_that_did_not_come_in_is_an_alarm():
    Coverage.objects.create(
        source="arxiv", category="cs", day=NOW.date() - 3 * DAY, state="fresh", checked_at=NOW
    )
    assert names() == ["papers"]


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


def test_a_full_disk_that_one_machine_of_several_sees_is_one_alarm_and_holds(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**12, 0, 10**9))
    alarms.note(alarms.look(NOW), NOW)
    assert [one.name for one in alarms.known(NOW)] == ["disk"]
    alarms.end(NOW + 15 * MINUTE)
    assert Alarm.objects.standing().exists()


def test_the_disk_is_looked_at_before_there_is_a_folder_on_it(settings, tmp_path, monkeypatch):
    settings.DATA_DIR = tmp_path / "not" / "yet"
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or Usage(9, 0, 9))
    alarms.look(NOW)
    assert asked == [tmp_path]


def test_a_look_that_breaks_costs_itself_alone(monkeypatch, caplog):
    sending.trip("auth", "it said 535", NOW)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: 1 / 0)
    assert names() == ["breaker"]
    assert "an alarm can't be looked for: disk" in caplog.text


def test_a_database_that_is_away_is_no_look_that_breaks(monkeypatch):
    def gone(path):
        raise OperationalError("gone")

    monkeypatch.setattr(shutil, "disk_usage", gone)
    with pytest.raises(OperationalError):
        alarms.look(NOW)
