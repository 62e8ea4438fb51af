"""Alarms: raised once, told once, ended once, whoever looks and however many do."""

import logging
import shutil
from collections import namedtuple
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import DatabaseError, InternalError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from digest import alarms, embedded, planning, promises, pulses, tasks
from digest.models import Alarm, Coverage, Harvest, Pulse
from digest.turns import Lease
from subscriptions import limits, signup
from subscriptions.models import Letter, Subscriber
from subscriptions.post import sending
from tests import make
from tests.make import NOW
from tests.threads import at_once, errors_of, once_before
from tests.webhook import Hook

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def hook(settings):
    with Hook() as hook:
        settings.ALARM_WEBHOOK = hook.url
        yield hook


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """The disk has room, whatever this machine's has."""
    usage = {"free": 50 * 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**11, 0, usage["free"]))
    return usage


def names(now=NOW):
    return [one.name for one in alarms.look(now)]


def beaten(ago):
    """Let the last tick be so long ago."""
    pulses.beat(pulses.TICK, NOW - ago)


# ---- What is one


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
    assert pulses.last(pulses.TICK) == NOW


def test_a_rehearsal_of_another_moment_leaves_none():
    call_command("tick", "--now", "2026-06-01T12:00+00:00")
    call_command("tick", "--dry-run")
    assert not Pulse.objects.exists()


def test_a_pulse_that_comes_late_does_not_turn_the_clock_back():
    beaten(MINUTE)
    beaten(HOUR)
    assert pulses.last(pulses.TICK) == NOW - MINUTE


def test_nobody_is_late_where_a_reader_chooses_an_hour_that_is_over():
    one = make.subscriber(hour=18, next_due_at=NOW + 6 * HOUR, confirmed_at=NOW - 30 * DAY)
    signup.change(one, None, {"hour": 3}, now=NOW)
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
    sending.resume("you")
    assert names(NOW + 6 * MINUTE) == ["letters"]


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


def ran(state, ago, source="huggingface"):
    moment = NOW - ago
    Harvest.objects.create(
        source=source, state=state, today=moment.date(), started_at=moment, touched_at=moment
    )


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


# ---- Raised, told, ended


def test_an_alarm_is_told_once_when_it_begins_and_once_when_it_ends(hook, caplog):
    sending.trip("auth", "it said 535", NOW)
    caplog.clear()
    for minute in range(4):
        alarms.watch(NOW + minute * MINUTE)
    sending.resume("you")
    sending.mend()
    for minute in range(4, 10):
        alarms.watch(NOW + minute * MINUTE)
    begun, ended = hook.told
    assert begun.splitlines() == [
        "Paperboy (http://127.0.0.1:8000):",
        "[breaker] The mail server does not let us in: it said 535. The next try is on 1 June 2026 "
        "at 12:01 UTC.",
    ]
    assert "[breaker] is over: The mail server does not let us in" in ended
    told = [(one.levelname, one.getMessage().split(":")[0]) for one in caplog.records]
    assert ("ERROR", "[breaker] The mail server does not let us in") in told
    assert [one for one in told if "breaker" in one[1]][1:] == [("WARNING", "[breaker] is over")]
    (row,) = Alarm.objects.all()
    assert (row.raised_at, row.ended_at) == (NOW, NOW + 7 * MINUTE)


def test_one_that_comes_and_goes_within_minutes_is_one_alarm(hook):
    for minute in range(6):
        if minute % 2 == 0:
            sending.trip("auth", "it said 535", NOW, is_trial=True)
        else:
            sending.mend()
        alarms.watch(NOW + minute * MINUTE)
    assert len(hook.told) == Alarm.objects.count() == 1


def test_one_that_comes_again_later_is_told_again(hook):
    for start in (NOW, NOW + HOUR):
        sending.trip("auth", "it said 535", start)
        alarms.watch(start)
        sending.mend()
        alarms.watch(start + 10 * MINUTE)
    assert len(hook.told) == 4
    assert Alarm.objects.count() == 2


def test_each_source_has_an_alarm_of_its_own(hook):
    for source in ("arxiv", "huggingface"):
        ran("failed", 4 * HOUR, source)
    alarms.watch(NOW)
    (told,) = hook.told
    assert "[source] arxiv has failed since" in told
    assert "[source] huggingface has failed since" in told


def test_a_webhook_that_does_not_take_it_is_told_again(hook, caplog):
    hook.status = 500
    sending.trip("auth", "it said 535", NOW)
    alarms.watch(NOW)
    assert "webhook does not take it: HTTPStatusError" in caplog.text
    hook.status = 204
    alarms.watch(NOW + MINUTE)
    alarms.watch(NOW + 2 * MINUTE)
    assert len(hook.told) == 2


def test_a_webhook_that_is_not_there_harms_nobody(settings, caplog):
    settings.ALARM_WEBHOOK = "http://127.0.0.1:1/?key=secret"
    sending.trip("auth", "it said 535", NOW)
    alarms.watch(NOW)
    assert "webhook does not take it: ConnectError" in caplog.text
    assert "secret" not in caplog.text


def test_a_log_that_tells_of_each_task_does_not_tell_the_address_of_the_webhook(
    settings, hook, caplog
):
    settings.ALARM_WEBHOOK = f"{hook.url}?key=secret"
    caplog.set_level("INFO")  # As `--loglevel INFO` does.
    sending.trip("auth", "it said 535", NOW)
    alarms.watch(NOW)
    assert len(hook.told) == 1
    assert "secret" not in caplog.text


def test_what_was_told_to_nobody_is_not_told_to_a_webhook_that_comes_later(settings, hook):
    settings.ALARM_WEBHOOK = ""
    sending.trip("auth", "it said 535", NOW)
    alarms.watch(NOW)
    settings.ALARM_WEBHOOK = hook.url
    alarms.watch(NOW + MINUTE)
    assert hook.told == []


@pytest.mark.django_db(transaction=True)
def test_of_many_who_see_the_same_one_tells(hook, caplog):
    sending.trip("auth", "it said 535", NOW)
    caplog.clear()
    assert errors_of(at_once(*6 * [lambda: alarms.watch(NOW)])) == []
    sending.mend()
    assert errors_of(at_once(*6 * [lambda: alarms.watch(NOW + HOUR)])) == []
    assert len(hook.told) == 2
    assert Alarm.objects.count() == 1
    assert [one.levelno for one in caplog.records] == [logging.ERROR, logging.WARNING]


def test_who_finds_that_another_has_just_told_says_nothing(hook, monkeypatch):
    class TakenAfterAnother(Lease):
        def take(self):
            monkeypatch.setattr(alarms, "Lease", Lease)
            alarms.tell(NOW)
            return super().take()

    sending.trip("auth", "it said 535", NOW)
    alarms.note(alarms.look(NOW), NOW)
    monkeypatch.setattr(alarms, "Lease", TakenAfterAnother)
    alarms.tell(NOW)
    assert len(hook.told) == 1


def test_what_is_said_at_length_is_written_down_as_far_as_there_is_room():
    for said in ("a" * 600, "b" * 600):
        alarms.note([alarms.Found("source", said)], NOW)
        assert Alarm.objects.get().said == said[:500]


def test_what_begins_while_others_are_told_is_told_next(hook, monkeypatch):
    send = alarms.send

    def send_as_another_begins(lines):
        alarms.note([alarms.Found("disk", "3 MB are left.")], NOW)
        return send(lines)

    alarms.note([alarms.Found("beat", "Beat is dead.")], NOW)
    with monkeypatch.context() as patch:
        patch.setattr(alarms, "send", send_as_another_begins)
        alarms.tell(NOW)
    alarms.tell(NOW)
    assert ["disk" in told for told in hook.told] == [False, True]


def test_each_promise_that_is_broken_is_an_alarm_and_no_other(monkeypatch):
    for _ in range(2):
        make.subscriber()
    planning.plan(NOW)
    assert alarms.broken_promises(NOW) == alarms.promises_broken_earlier(NOW) == []
    Letter.objects.update(repeats=2)
    monkeypatch.setattr(promises, "AT_ONCE", 1)
    for found in (alarms.broken_promises(NOW), alarms.promises_broken_earlier(NOW)):
        assert [(one.name, one.subject) for one in found] == [("promises", "once")]
        assert "broken by 1 row (letter " in found[0].said


def test_what_beat_alone_looks_at_is_not_ended_by_others():
    found = alarms.Found("promises", "A promise is broken.", "once", alarms.SEEN_FOR_SELDOM)
    alarms.note([found], NOW)
    for minute in range(19):
        alarms.watch(NOW + minute * MINUTE)
    assert Alarm.objects.standing().count() == 1
    alarms.watch(NOW + 21 * MINUTE)
    assert not Alarm.objects.standing().exists()


def test_who_sees_an_alarm_more_often_does_not_end_it_sooner():
    for holds_for in (alarms.SEEN_FOR_AN_HOUR, alarms.SEEN_FOR_SELDOM):
        alarms.note([alarms.Found("promises", "One is broken.", "once", holds_for)], NOW)
    alarms.watch(NOW + HOUR)
    assert Alarm.objects.standing().filter(name="promises").exists()


def test_what_is_found_again_in_the_very_moment_does_not_end():
    found = [alarms.Found("disk", "3 MB are left.")]
    alarms.note(found, NOW)
    later = NOW + 10 * MINUTE
    with once_before('UPDATE "digest_alarm"', lambda: alarms.note(found, later)):
        alarms.end(later)
    assert Alarm.objects.standing().exists()


def test_a_clock_that_had_gone_ahead_hides_no_dead_beat():
    pulses.beat(pulses.TICK, NOW + 2 * DAY)
    pulses.beat(pulses.TICK, NOW)
    assert [found.name for found in alarms.look(NOW + 10 * MINUTE)] == ["beat"]


# ---- Beside the web server


@pytest.mark.parametrize("error", [OperationalError, InternalError, DatabaseError])
def test_a_database_that_is_away_is_told_by_whoever_notices(hook, monkeypatch, error):
    """Away, read-only, damaged."""

    def refuse():
        raise error("gone")

    watcher = alarms.Watcher()
    with monkeypatch.context() as patch:
        patch.setattr(alarms.clock, "of_database", refuse)
        patch.setattr(connection, "close", lambda: None)  # The test's transaction is in it.
        for _ in range(5):
            watcher.look()
    assert [told.splitlines()[1:] for told in hook.told] == [
        [f"[database] The database does not answer ({error.__name__})."]
    ]
    monkeypatch.setattr(connection, "close", lambda: None)
    watcher.look()
    watcher.look()
    assert hook.told[1].splitlines()[1:] == ["[database] is over: the database answers again."]
    assert len(hook.told) == 2


def test_the_service_in_one_process_looks_beside_its_worker_too(monkeypatch, settings, tmp_path):
    """Its worker can't tell that the database is away, nor that it is dead itself."""
    begun = []
    server = SimpleNamespace(run=lambda: None, close=lambda: None)
    settings.STATIC_ROOT = tmp_path
    monkeypatch.setattr(embedded.waitress, "create_server", lambda *args, **options: server)
    monkeypatch.setattr(embedded, "worker_and_beat", nullcontext)
    monkeypatch.setattr(embedded.warming, "warm_beside", lambda: begun.append("warming"))
    monkeypatch.setattr(alarms, "watch_beside", lambda: begun.append("alarms"))
    embedded.serve(None)
    assert begun == ["alarms", "warming"]


def test_a_database_that_is_away_for_a_moment_is_told_to_nobody(hook, monkeypatch):
    monkeypatch.setattr(connection, "close", lambda: None)
    watcher = alarms.Watcher()
    for fails in (True, False, True, False):
        with monkeypatch.context() as patch:
            if fails:
                patch.setattr(alarms, "watch", fail)
            watcher.look()
    assert hook.told == []


def fail(now):
    raise OperationalError("gone")


# ---- Who may know what


def test_strangers_learn_that_something_is_wrong_and_no_more(client, roomy):
    beaten(HOUR)
    make.subscriber("secret@example.org", next_due_at=NOW - HOUR)
    roomy["free"] = 0
    sending.trip("auth", "535 wrong password for secret-user", NOW)
    alarms.note([alarms.Found("promises", "A promise is broken (once): 7.", "once", HOUR)], NOW)
    response = client.get("/healthz/")
    assert response.status_code == 200
    assert response.json()["degraded"] == [
        "No letters leave for now: the panel says why.",
        "Nothing was planned for some minutes.",
        "Digests are late.",
        "A promise is not kept.",
        "A disk is nearly full.",
    ]


def test_asking_how_it_is_changes_nothing(client):
    beaten(HOUR)
    client.get("/healthz/")
    assert not Alarm.objects.exists()


def test_operators_learn_all_of_it(panel):
    beaten(HOUR)
    alarms.note([alarms.Found("disk", "3 MB are left for /x on host-7.", "host-7", HOUR)], NOW)
    page = panel.get("/admin/").content.decode()
    assert "Something needs doing" in page
    assert "The last tick was 11:00 UTC on 1 June 2026" in page
    assert "3 MB are left for /x on host-7." in page
