"""Alarms: raised once, told once, ended once, whoever looks and however many do."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, InternalError, OperationalError, connection

from digest.management import embedded_server
from digest.models import Alarm
from digest.models.locks import Lease
from digest.operations import alarms, heartbeats, invariants
from digest.planning import plan
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter
from tests.digest.operations.alarms.heartbeats import DAY, HOUR, MINUTE
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.threads import at_once, errors_of, once_before

pytestmark = pytest.mark.django_db


# ---- Raised, told, ended


def test_an_alarm_is_told_once_when_it_begins_and_once_when_it_ends(hook, caplog):
    circuit_breaker.open("auth", "it said 535", NOW)
    caplog.clear()
    for minute in range(4):
        alarms.watch(NOW + minute * MINUTE)
    circuit_breaker.resume("you", NOW)
    circuit_breaker.close()
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


def test_an_alarm_that_comes_and_goes_within_minutes_is_one_and_later_another(hook):
    for minute in (0, 1, 2, 3, 4, 5, 11, 60, 71):
        if minute % 2 == 0:
            circuit_breaker.open("auth", "it said 535", NOW, is_probe=True)
        else:
            circuit_breaker.close()
        alarms.watch(NOW + minute * MINUTE)
    assert len(hook.told) == 4
    assert Alarm.objects.count() == 2


def test_a_webhook_is_told_again_and_not_named_in_the_log(settings, hook, caplog):
    caplog.set_level("INFO")  # As `--loglevel INFO` does.
    settings.ALARM_WEBHOOK = "http://127.0.0.1:1/?key=secret"
    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.watch(NOW)
    assert "webhook does not take it: ConnectError" in caplog.text
    settings.ALARM_WEBHOOK, hook.status = f"{hook.url}?key=secret", 500
    alarms.watch(NOW + MINUTE)
    assert "webhook does not take it: HTTPStatusError" in caplog.text
    hook.status = 204
    for minute in (2, 3):
        alarms.watch(NOW + minute * MINUTE)
    assert len(hook.told) == 2
    assert "secret" not in caplog.text


def test_an_old_alarm_is_not_told_to_a_new_webhook(settings, hook):
    settings.ALARM_WEBHOOK = ""
    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.watch(NOW)
    settings.ALARM_WEBHOOK = hook.url
    alarms.watch(NOW + MINUTE)
    assert hook.told == []


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_one_of_many_processes_tells_an_alarm(hook, caplog):
    circuit_breaker.open("auth", "it said 535", NOW)
    caplog.clear()
    assert errors_of(at_once(*6 * [lambda: alarms.watch(NOW)])) == []
    circuit_breaker.close()
    assert errors_of(at_once(*6 * [lambda: alarms.watch(NOW + HOUR)])) == []
    assert len(hook.told) == 2
    assert Alarm.objects.count() == 1
    assert [one.levelno for one in caplog.records] == [logging.ERROR, logging.WARNING]


def test_a_process_tells_no_alarm_that_another_has_just_told(hook, monkeypatch):
    class TakenAfterAnother(Lease):
        def acquire(self):
            monkeypatch.setattr(alarms, "Lease", Lease)
            alarms.notify(NOW)
            return super().acquire()

    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.record(alarms.check_all(NOW), NOW)
    monkeypatch.setattr(alarms, "Lease", TakenAfterAnother)
    alarms.notify(NOW)
    assert len(hook.told) == 1


def test_a_long_alarm_is_cut_to_its_column():
    for said in ("a" * 600, "b" * 600):
        alarms.record([alarms.ActiveAlarm("source", said)], NOW)
        assert Alarm.objects.get().said == said[:500]


def test_an_alarm_that_begins_while_others_are_told_is_told_next(hook, monkeypatch):
    send = alarms.send

    def send_as_another_begins(lines):
        alarms.record([alarms.ActiveAlarm("disk", "3 MB are left.")], NOW)
        return send(lines)

    alarms.record([alarms.ActiveAlarm("beat", "Beat is dead.")], NOW)
    with monkeypatch.context() as patch:
        patch.setattr(alarms, "send", send_as_another_begins)
        alarms.notify(NOW)
    alarms.notify(NOW)
    assert ["disk" in told for told in hook.told] == [False, True]


def test_each_promise_that_is_broken_is_an_alarm_and_no_other(monkeypatch):
    for _ in range(2):
        make.subscriber()
    plan.plan(NOW)
    assert alarms.violated_invariants(NOW) == alarms.invariants_violated_earlier(NOW) == []
    Letter.objects.update(repeats=2)
    monkeypatch.setattr(invariants, "NEWEST", 1)
    for found in (alarms.violated_invariants(NOW), alarms.invariants_violated_earlier(NOW)):
        assert [(one.name, one.subject) for one in found] == [("promises", "once")]
        assert "broken by 1 row (letter " in found[0].said


def test_what_is_looked_for_seldom_is_not_ended_by_who_looks_more_often():
    for holding, minutes in (
        ([alarms.HOLDS_FOR_RARE], 19),
        ([alarms.HOLDS_FOR_HOURLY, alarms.HOLDS_FOR_RARE], 60),
    ):
        for holds_for in holding:
            alarms.record(
                [alarms.ActiveAlarm("promises", "One is broken.", "once", holds_for)], NOW
            )
        alarms.watch(NOW + minutes * MINUTE)
        assert Alarm.objects.standing().exists()
        alarms.watch(NOW + (minutes + 25) * MINUTE)
        assert not Alarm.objects.standing().exists()


def test_an_alarm_that_is_found_again_at_that_moment_does_not_end():
    found = [alarms.ActiveAlarm("disk", "3 MB are left.")]
    alarms.record(found, NOW)
    later = NOW + 10 * MINUTE
    with once_before('UPDATE "digest_alarm"', lambda: alarms.record(found, later)):
        alarms.end_expired(later)
    assert Alarm.objects.standing().exists()


def test_a_clock_that_had_gone_ahead_hides_no_dead_beat():
    heartbeats.beat(heartbeats.TICK, NOW + 2 * DAY)
    heartbeats.beat(heartbeats.TICK, NOW)
    assert [found.name for found in alarms.check_all(NOW + 10 * MINUTE)] == ["beat"]


# ---- Beside the web server


@pytest.mark.parametrize("error", [OperationalError, InternalError, DatabaseError])
def test_a_database_that_is_away_is_told_by_whoever_notices(hook, monkeypatch, error):
    """Away, read-only, damaged."""

    def refuse():
        raise error("gone")

    watcher = alarms.Watcher()
    with monkeypatch.context() as patch:
        patch.setattr(alarms.clock, "database_now", refuse)
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
    monkeypatch.setattr(embedded_server.waitress, "create_server", lambda *args, **options: server)
    monkeypatch.setattr(embedded_server, "worker_and_beat", nullcontext)
    monkeypatch.setattr(embedded_server.warmup, "start_warming", lambda: begun.append("warming"))
    monkeypatch.setattr(alarms, "start_watching", lambda: begun.append("alarms"))
    embedded_server.serve(None)
    assert begun == ["alarms", "warming"]


def test_a_database_that_is_away_for_a_moment_is_told_to_nobody(hook, monkeypatch):
    monkeypatch.setattr(connection, "close", lambda: None)
    watcher = alarms.Watcher()

    def fail(now):
        raise OperationalError("gone")

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(alarms, "watch", fail)
            watcher.look()
        watcher.look()
    assert hook.told == []
