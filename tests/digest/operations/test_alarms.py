"""Alarms: what raises them, and how each is reported once."""

import resource
import shutil

import pytest
from django.core.management import call_command
from django.db import DatabaseError, InternalError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from digest import tasks
from digest.models import Alarm, Harvest, Heartbeat
from digest.models.locks import Lease
from digest.operations import alarms, heartbeats, invariants
from digest.planning import plan
from subscriptions.actions import preferences
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter, Subscriber
from subscriptions.security import rate_limits
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers.data_files import cases
from tests.helpers.threads import once_before
from tests.servers.webhook import Hook

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(settings):
    """A webhook that alarms are posted to."""
    with Hook() as hook:
        settings.ALARM_WEBHOOK = hook.url
        yield hook


def beaten(ago):
    """Let the last tick be so long ago."""
    heartbeats.beat(heartbeats.TICK, NOW - ago)


def names(now=NOW):
    return [one.name for one in alarms.check_all(now)]


def test_new_installation_has_no_alarms(caplog):
    assert names() == []
    assert caplog.records == []


def test_minutely_checks_skip_ended_letters():
    """Of millions, it would take seconds."""
    if connection.vendor != "postgresql":
        pytest.skip("runs with the tests on PostgreSQL")
    make.subscriber()
    with CaptureQueriesContext(connection) as queries:
        alarms.check_all(NOW)
    queries = [one["sql"] for one in queries if 'FROM "subscriptions_letter"' in one["sql"]]
    assert len(queries) >= 3
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        for sql in queries:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "letters_under_way" in plan or "subscriber_id" in plan, plan


def test_stale_tick_raises_alarm():
    beaten(5 * MINUTE)
    assert names() == []
    (alarm,) = alarms.check_all(NOW + MINUTE)
    assert (alarm.name, alarm.text) == (
        "beat",
        "The scheduler last ran at 11:55 UTC on 1 June 2026: `serve`, Celery beat or all workers "
        "are down, or their clocks are a minute apart.",
    )


def test_stale_tick_alarm_names_hanging_mail_server():
    beaten(6 * MINUTE)
    hangs = {"kind": "welcome", "state": "transmitting", "created_at": NOW, "next_try_at": NOW}
    hangs |= {"closes_at": NOW + DAY, "lease_until": NOW + MINUTE}
    for minutes in (1, 4, 5):  # An answer that takes a minute keeps nobody from ticking.
        subscriber = make.subscriber(next_due_at=NOW + DAY)
        subscriber.letters.create(left_at=NOW - minutes * MINUTE, **hangs)
    (alarm,) = (one for one in alarms.check_all(NOW) if one.name == "beat")
    assert alarm.text == (
        "The scheduler last ran at 11:54 UTC on 1 June 2026: workers wait for the mail server's "
        "reply to 2 emails."
    )


@pytest.mark.parametrize("run", [tasks.watch, tasks.plan_digests, lambda: call_command("tick")])
def test_only_real_ticks_record_a_heartbeat(run):
    call_command("tick", "--now", "2026-06-01T12:00+00:00")
    call_command("tick", "--dry-run")
    assert not Heartbeat.objects.exists()
    run()
    beaten(HOUR)  # What comes late does not turn the clock back.
    assert heartbeats.last_beat(heartbeats.TICK) == NOW


def test_digest_hour_moved_to_past_is_not_late():
    one = make.subscriber(hour=18, next_due_at=NOW + 6 * HOUR, confirmed_at=NOW - 30 * DAY)
    preferences.change(one, None, {"hour": 3}, now=NOW)
    assert names() == []
    assert not invariants.overdue(NOW, 30 * MINUTE).exists()
    assert list(Subscriber.objects.due(NOW)) == [one]  # Their digest of today comes now.
    assert names(NOW + 15 * MINUTE) == ["planning"]


def test_unplanned_digests_raise_alarm_after_fifteen_minutes():
    make.subscriber()
    assert names(NOW + 14 * MINUTE) == []
    (alarm,) = alarms.check_all(NOW + 16 * MINUTE)
    assert (alarm.name, alarm.text) == (
        "planning",
        "1 digest not planned, due since 12:00 UTC on 1 June 2026.",
    )


def test_late_letters_raise_alarm_unless_sending_is_stopped(settings):
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
    Letter.objects.update(state="uncertain", next_try_at=NOW + HOUR)
    assert names() == ["uncertain"]


@pytest.mark.parametrize("name", ["planning", "letters"])
def test_backlog_clearing_during_count_is_reported_with_date(name, caplog):
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
        (alarm,) = alarms.check_all(NOW + HOUR)
    assert alarm.name == name
    assert alarm.text.endswith("since 12:00 UTC on 1 June 2026.")
    assert caplog.records == []


def test_open_breaker_and_stopped_sending_raise_alarms():
    for alarm in ([], [], ["breaker"]):
        circuit_breaker.open("unreachable", "it said 535", NOW, is_probe=True)
        assert names() == alarm
    circuit_breaker.close()
    circuit_breaker.open("auth", "it said 535", NOW, is_probe=True)
    assert names() == ["breaker"]
    circuit_breaker.stop("you", NOW)
    assert names(NOW + HOUR) == []
    assert names(NOW + HOUR + MINUTE) == ["stopped"]


def test_form_closed_by_rate_limit_raises_alarm(settings):
    settings.LIMITS = settings.LIMITS | {"all": 1}
    assert names() == []
    rate_limits.check_visitor("lost link", "192.0.2.1", NOW)
    assert [(one.name, one.subject) for one in alarms.check_all(NOW)] == [("flood", "lost link")]
    assert names(NOW + HOUR) == []


def test_source_failing_for_hours_raises_alarm():
    for runs, alarm in cases("source_alarms"):  # Each with the hours since it began.
        Harvest.objects.all().delete()
        for state, hours in runs:
            make.harvest("huggingface", NOW - hours * HOUR, state=state)
        assert names() == alarm, runs
    Harvest.objects.all().delete()
    # A backfill that fails is no alarm.
    make.harvest("huggingface", NOW - 4 * HOUR, state="failed", since=NOW.date() - 9 * DAY)
    assert names() == []


def test_nearly_full_disk_raises_alarm(settings, tmp_path, disk_usage):
    settings.DATA_DIR = tmp_path / "not" / "yet"
    for total, free, alarm in [
        (10**12, 3 * 10**9, []),
        (10**12, 10**9, ["disk"]),
        (10**10, 10**9, []),
        (10**10, 4 * 10**8, ["disk"]),
    ]:
        disk_usage.total, disk_usage.free = total, free
        assert names() == alarm
    assert set(disk_usage.paths) == {tmp_path}


def test_each_source_and_disk_has_its_own_alarm(disk_usage):
    disk_usage.free = 10**8
    for source in ("arxiv", "huggingface"):
        make.harvest(source, NOW - 4 * HOUR, state="failed")
    alarms.record(alarms.check_all(NOW), NOW)
    assert sorted(one.name for one in alarms.known_alarms(NOW)) == ["disk", "source", "source"]
    alarms.end_expired(NOW + 15 * MINUTE)
    assert [one.name for one in Alarm.objects.standing()] == ["disk"]


def test_failing_check_does_not_stop_other_checks(monkeypatch, caplog):
    circuit_breaker.open("auth", "it said 535", NOW)

    def breaks(path):
        raise error

    monkeypatch.setattr(shutil, "disk_usage", breaks)
    error = ZeroDivisionError()
    assert names() == ["breaker"]
    assert "Alarm check failed: disk" in caplog.text
    error = OperationalError("gone")
    with pytest.raises(OperationalError):
        names()


# ---- What strangers learn of it, and what operators


def test_health_page_hides_details_from_visitors(client, disk_usage):
    beaten(HOUR)
    make.subscriber("secret@example.org", next_due_at=NOW - HOUR)
    disk_usage.free = 0
    circuit_breaker.open("auth", "535 wrong password for secret-user", NOW)
    alarm = alarms.ActiveAlarm("promises", "Invariant “x” (once): 7.", "once", HOUR)
    alarms.record([alarm], NOW)
    response = client.get("/healthz/")
    assert response.status_code == 200
    assert response.json()["degraded"] == [
        "No emails are sent now: see the admin panel.",
        "The scheduler has not run for some minutes.",
        "Digests are late.",
        "A delivery invariant is violated.",
        "A disk is nearly full.",
    ]


def test_unwritable_database_is_not_ready(client):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # As a full disk does.
    try:
        response = client.get("/healthz/")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if connection.vendor == "postgresql":  # Its disk is another.
        assert response.status_code == 200
        return
    assert response.status_code == 503
    (reason,) = response.json()["reasons"]
    assert reason == "Nothing can be saved and no emails are sent: File too large."
    assert client.get("/healthz/").status_code == 200


# ---- Raised, reported, ended


def test_alarm_is_reported_when_raised_and_resolved(hook, caplog):
    circuit_breaker.open("auth", "it said 535", NOW)
    caplog.clear()
    for minute in range(4):
        alarms.watch(NOW + minute * MINUTE)
    circuit_breaker.resume("you", NOW)
    circuit_breaker.close()
    for minute in range(4, 10):
        alarms.watch(NOW + minute * MINUTE)
    begun, ended = hook.posted
    assert begun.splitlines() == [
        "Paperboy (http://127.0.0.1:8000):",
        "[breaker] The mail server refuses user or password: it said 535. Next attempt on 1 June "
        "2026 at 12:01 UTC.",
    ]
    assert "[breaker] Resolved: The mail server refuses user or password" in ended
    logged = [(one.levelname, one.getMessage().split(":")[0]) for one in caplog.records]
    assert ("ERROR", "[breaker] The mail server refuses user or password") in logged
    assert [one for one in logged if "breaker" in one[1]][1:] == [("WARNING", "[breaker] Resolved")]
    (row,) = Alarm.objects.all()
    assert (row.raised_at, row.ended_at) == (NOW, NOW + 7 * MINUTE)


def test_flapping_alarm_is_reported_once(hook):
    for minute in (0, 1, 2, 3, 4, 5, 11, 60, 71):
        if minute % 2 == 0:
            circuit_breaker.open("auth", "it said 535", NOW, is_probe=True)
        else:
            circuit_breaker.close()
        alarms.watch(NOW + minute * MINUTE)
    assert len(hook.posted) == 4
    assert Alarm.objects.count() == 2


def test_failed_webhook_is_retried_without_logging_its_url(settings, hook, caplog):
    caplog.set_level("INFO")  # As `--loglevel INFO` does.
    settings.ALARM_WEBHOOK = "http://127.0.0.1:1/?key=secret"
    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.watch(NOW)
    assert "ALARM_WEBHOOK did not accept an alarm: ConnectError" in caplog.text
    settings.ALARM_WEBHOOK, hook.status = f"{hook.url}?key=secret", 500
    alarms.watch(NOW + MINUTE)
    assert "ALARM_WEBHOOK did not accept an alarm: HTTPStatusError" in caplog.text
    hook.status = 204
    for minute in (2, 3):
        alarms.watch(NOW + minute * MINUTE)
    assert len(hook.posted) == 2
    assert "secret" not in caplog.text


def test_old_alarm_is_not_reported_to_new_webhook(settings, hook):
    settings.ALARM_WEBHOOK = ""
    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.watch(NOW)
    settings.ALARM_WEBHOOK = hook.url
    alarms.watch(NOW + MINUTE)
    assert hook.posted == []


def test_concurrent_processes_report_alarm_once(hook, monkeypatch):
    class TakenAfterAnother(Lease):
        def acquire(self):
            monkeypatch.setattr(alarms, "Lease", Lease)
            alarms.notify(NOW)
            return super().acquire()

    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.record(alarms.check_all(NOW), NOW)
    monkeypatch.setattr(alarms, "Lease", TakenAfterAnother)
    alarms.notify(NOW)
    assert len(hook.posted) == 1


def test_long_alarm_is_truncated():
    for text in ("a" * 600, "b" * 600):
        alarms.record([alarms.ActiveAlarm("source", text)], NOW)
        assert Alarm.objects.get().text == text[:500]


def test_alarm_raised_during_reporting_is_reported_next(hook, monkeypatch):
    send = alarms.send

    def send_as_another_begins(lines):
        alarms.record([alarms.ActiveAlarm("disk", "3 MB are left.")], NOW)
        return send(lines)

    alarms.record([alarms.ActiveAlarm("beat", "Beat is dead.")], NOW)
    with monkeypatch.context() as patch:
        patch.setattr(alarms, "send", send_as_another_begins)
        alarms.notify(NOW)
    alarms.notify(NOW)
    assert ["disk" in text for text in hook.posted] == [False, True]


def test_each_broken_invariant_raises_its_own_alarm(monkeypatch):
    for _ in range(2):
        make.subscriber()
    plan.plan(NOW)
    assert alarms.violated_invariants(NOW) == alarms.invariants_violated_earlier(NOW) == []
    Letter.objects.update(repeats=2)
    monkeypatch.setattr(invariants, "NEWEST", 1)
    for raised in (alarms.violated_invariants(NOW), alarms.invariants_violated_earlier(NOW)):
        assert [(one.name, one.subject) for one in raised] == [("promises", "once")]
        assert "violated by 1 row (letter " in raised[0].text


def test_rarely_checked_alarm_survives_frequent_checks():
    for holding, minutes in (
        ([alarms.HOLDS_FOR_RARE], 19),
        ([alarms.HOLDS_FOR_HOURLY, alarms.HOLDS_FOR_RARE], 60),
    ):
        for holds_for in holding:
            alarms.record([alarms.ActiveAlarm("promises", "One broke.", "once", holds_for)], NOW)
        alarms.watch(NOW + minutes * MINUTE)
        assert Alarm.objects.standing().exists()
        alarms.watch(NOW + (minutes + 25) * MINUTE)
        assert not Alarm.objects.standing().exists()


def test_alarm_found_again_while_expiring_stands():
    active = [alarms.ActiveAlarm("disk", "3 MB are left.")]
    alarms.record(active, NOW)
    later = NOW + 10 * MINUTE
    with once_before('UPDATE "digest_alarm"', lambda: alarms.record(active, later)):
        alarms.end_expired(later)
    assert Alarm.objects.standing().exists()


def test_heartbeat_from_the_future_hides_no_alarm():
    heartbeats.beat(heartbeats.TICK, NOW + 2 * DAY)
    heartbeats.beat(heartbeats.TICK, NOW)
    assert [alarm.name for alarm in alarms.check_all(NOW + 10 * MINUTE)] == ["beat"]


# ---- Beside the web server


@pytest.mark.parametrize("error", [OperationalError, InternalError, DatabaseError])
def test_database_outage_is_reported_by_any_process(hook, monkeypatch, error):
    """Away, read-only, damaged."""

    def refuse():
        raise error("gone")

    watcher = alarms.Watcher()
    with monkeypatch.context() as patch:
        patch.setattr(alarms.clock, "database_now", refuse)
        patch.setattr(connection, "close", lambda: None)  # The test's transaction is in it.
        for _ in range(5):
            watcher.check()
    assert [text.splitlines()[1:] for text in hook.posted] == [
        [f"[database] The database does not answer ({error.__name__})."]
    ]
    monkeypatch.setattr(connection, "close", lambda: None)
    watcher.check()
    watcher.check()
    assert hook.posted[1].splitlines()[1:] == ["[database] Resolved: the database answers again."]
    assert len(hook.posted) == 2


def test_short_database_outage_is_not_reported(hook, monkeypatch):
    monkeypatch.setattr(connection, "close", lambda: None)
    watcher = alarms.Watcher()

    def fail(now):
        raise OperationalError("gone")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(alarms, "watch", fail)
            watcher.check()
        watcher.check()
    assert hook.posted == []
