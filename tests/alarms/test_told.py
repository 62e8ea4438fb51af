"""Alarms: raised once, told once, ended once, whoever looks and however many do."""

import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, InternalError, OperationalError, connection

from digest import alarms, embedded, heartbeats, planning, promises
from digest.leases import Lease
from digest.models import Alarm
from subscriptions.models import Letter
from subscriptions.post import sending
from tests import make
from tests.alarms.heartbeats import DAY, HOUR, MINUTE, ran
from tests.make import NOW
from tests.threads import at_once, errors_of, once_before

pytestmark = pytest.mark.django_db


# ---- Raised, told, ended


def test_an_alarm_is_told_once_when_it_begins_and_once_when_it_ends(hook, caplog):
    sending.trip("auth", "it said 535", NOW)
    caplog.clear()
    for minute in range(4):
        alarms.watch(NOW + minute * MINUTE)
    sending.resume("you", NOW)
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
    heartbeats.beat(heartbeats.TICK, NOW + 2 * DAY)
    heartbeats.beat(heartbeats.TICK, NOW)
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
