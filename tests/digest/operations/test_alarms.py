"""Alarms: what raises them, and how each is told once, everywhere with the same words."""

import resource
import shutil
from html import unescape
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import DatabaseError, InternalError, OperationalError, connection
from django.urls import reverse

from digest import tasks
from digest.models import Alarm, Coverage, Harvest
from digest.operations import alarms, heartbeats, invariants
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter, LetterFact
from subscriptions.security import rate_limits
from tests.factories import make, returned_mail
from tests.factories.make import DAY, HOUR, MINUTE, NOW, TODAY
from tests.helpers.checks import result
from tests.helpers.data_files import cases
from tests.servers.webhook import Hook

pytestmark = pytest.mark.django_db

BLOCKED = "550 5.7.1 <reader@gmail.com>: blocked"


@pytest.fixture
def hook(settings):
    """A webhook that alarms are posted to."""
    with Hook() as hook:
        settings.ALARM_WEBHOOK = hook.url
        yield hook


def names(now=NOW):
    return [finding.name for finding in alarms.find(now) if finding.grade == "alarm"]


def tick(ago):
    heartbeats.beat(heartbeats.TICK, NOW - ago)


def letter(**fields):
    """Write to a subscriber who is not due."""
    fields = {"kind": "welcome", "created_at": NOW, "next_try_at": NOW, "closes_at": NOW} | fields
    return make.subscriber(next_due_at=NOW + 9 * DAY).letters.create(**fields)


def digests(count, state="accepted", domain="example.org", said="250 ok", kind="digest"):
    """Make digests that ended so, each of a subscriber of its own."""
    fields = {"state": state, "kind": kind, "last_reply": said}
    fields["reason"] = f"refused: {said}" if state == "failed" else ""
    addresses = [f"{Letter.objects.count() + number}@{domain}" for number in range(count)]
    return [
        returned_mail.letter(make.subscriber(address, next_due_at=NOW + 9 * DAY), **fields)
        for address in addresses
    ]


def violate_an_invariant():
    broken = letter(state="skipped", ended_at=NOW)
    broken.events.create(at=NOW, new_state="skipped", attempt=0)
    return broken


def list_is_missing():
    for day, state in [(TODAY - 3 * DAY, "fresh"), (TODAY, "stalled")]:
        fields = {"source": "arxiv", "category": "cs", "checked_at": NOW}
        Coverage.objects.create(day=day, state=state, **fields)


LATE = NOW - 15 * MINUTE
FULL_DISK = SimpleNamespace(total=10**12, free=10**8)
#: How each alarm is brought about.
PROBLEMS = {
    "beat": lambda patch: tick(6 * MINUTE),
    "breaker": lambda patch: circuit_breaker.open("auth", "535 no", NOW),
    "disk": lambda patch: patch.setattr(shutil, "disk_usage", lambda path: FULL_DISK),
    "flood": lambda patch: rate_limits.check_visitor("lost link", "192.0.2.1", NOW),
    "letters": lambda patch: letter(state="planned", next_try_at=LATE),
    "papers": lambda patch: list_is_missing(),
    "planning": lambda patch: make.subscriber(next_due_at=LATE),
    "promises": lambda patch: violate_an_invariant(),
    "refused": lambda patch: digests(5, "failed", "gmail.com", BLOCKED),
    "source": lambda patch: make.harvest("arxiv", NOW - 3 * HOUR - MINUTE, state="failed"),
    "stopped": lambda patch: circuit_breaker.stop("ada", NOW - HOUR - MINUTE),
    "uncertain": lambda patch: letter(state="uncertain", next_try_at=NOW + HOUR),
}
#: They are raised when something has been so for a while, at NOW.
LATER = {"beat", "letters", "planning", "source", "stopped"}


@pytest.mark.parametrize("name", PROBLEMS)
def test_alarm_is_told_everywhere_with_the_same_words(name, settings, hook, panel, monkeypatch):
    settings.LIMITS = settings.LIMITS | {"all": 1}
    PROBLEMS[name](monkeypatch)
    assert name not in LATER or names(NOW - MINUTE) == []
    tasks.check_rarely()
    alarms.watch(NOW)
    grade, text = result(name)
    assert grade == "alarm"
    assert Alarm.objects.get(name=name).text == text
    assert f"[{name}] {text}" in hook.posted[0]
    assert text in unescape(panel.get(reverse("admin:index")).text)
    degraded = panel.get("/healthz/").json()["degraded"]
    assert [public for public in degraded if text.startswith(public.rstrip("."))]
    assert "@" not in hook.posted[0]


def test_every_alarm_has_a_test():
    assert alarms.names() == sorted([*PROBLEMS, "database"])


def test_new_installation_has_no_alarms(caplog):
    assert [finding.name for finding in alarms.find(NOW)] == ["scheduler"]
    assert caplog.records == []


# ---- When each is raised


@pytest.mark.parametrize("run", [tasks.watch, tasks.plan_digests, lambda: call_command("tick")])
def test_only_real_ticks_record_a_heartbeat(run):
    heartbeats.beat(heartbeats.TICK, NOW + 2 * DAY)  # By a clock that is ahead.
    call_command("tick", "--now", "2026-06-01T12:00+00:00")
    call_command("tick", "--dry-run")
    assert heartbeats.last_beat(heartbeats.TICK) == NOW + 2 * DAY
    run()
    tick(HOUR)  # What comes late does not turn the clock back.
    assert heartbeats.last_beat(heartbeats.TICK) == NOW


@pytest.mark.parametrize("name", ["letters", "planning"])
def test_nothing_is_late_while_sending_is_stopped(name, settings):
    settings.ALARM_LATE = 5 * MINUTE
    PROBLEMS[name](None)
    circuit_breaker.stop("you", NOW)
    assert names() == []
    circuit_breaker.resume("you", NOW)
    assert names(NOW + 6 * MINUTE) == [name]


def test_sending_is_wrong_before_it_is_an_alarm():
    for minute, alarm in enumerate([[], [], ["breaker"]]):
        circuit_breaker.open("unreachable", "it said 535", NOW + minute * MINUTE)
        assert names() == alarm
        assert result("sending")[0] == ("ok" if alarm else "wrong")
    circuit_breaker.stop("Ada", NOW)
    assert names() == []
    grade, text = result("sending")
    assert (grade, "Ada" in text) == ("wrong", True)


def test_source_failing_for_hours_raises_alarm():
    make.harvest("arxiv", NOW - 4 * HOUR, state="failed", since=TODAY - 9 * DAY)  # A backfill.
    for runs, alarm in cases("source_alarms"):  # Each with the hours since it began.
        Harvest.objects.filter(since=None).delete()
        for state, hours in runs:
            make.harvest("huggingface", NOW - hours * HOUR, state=state)
        assert names() == alarm, runs
    make.harvest("arxiv", NOW - 4 * HOUR, state="failed")
    make.harvest("arxiv", NOW - HOUR, state="failed")
    for words in ("failed at 11:00 UTC on 1 June", "have failed since 08:00 UTC"):
        assert words in result("source")[1]


@pytest.mark.parametrize(
    ("total", "free", "alarm"),
    [
        (10**12, 3 * 10**9, []),
        (10**12, 10**9, ["disk"]),
        (10**10, 10**9, []),
        (10**10, 4 * 10**8, ["disk"]),
    ],
)
def test_nearly_full_disk_raises_alarm(settings, tmp_path, disk_usage, total, free, alarm):
    settings.DATA_DIR = tmp_path / "not" / "yet"
    disk_usage.total, disk_usage.free = total, free
    assert names() == alarm
    assert set(disk_usage.paths) == {tmp_path}


def test_rejections_and_later_bounces_are_counted_by_domain():
    digests(9, "failed", kind="confirm")
    digests(90)
    digests(2, "failed", "example.net", "550 5.1.1 no such user")
    for report in digests(3, domain="gmail.com"):
        assert alarms.find(NOW, alarms.FIVE_MINUTES) == []
        fact = {"kind": "bounced", "grade": "policy", "reply": BLOCKED, "noted_at": NOW}
        LetterFact.objects.create(letter=report, key=report.pk, **fact)
    (alarm,) = alarms.find(NOW, alarms.FIVE_MINUTES)
    for words in ("5 of 95 digests", "most by gmail.com: 550 5.7.1 <…>: blocked."):
        assert words in alarm.text
    assert not alarms.find(NOW + DAY + MINUTE, alarms.FIVE_MINUTES)
    digests(6)
    assert not alarms.find(NOW, alarms.FIVE_MINUTES)


def test_failing_check_does_not_stop_other_checks(monkeypatch, caplog):
    circuit_breaker.open("auth", "it said 535", NOW)

    def breaks(path):
        raise error

    monkeypatch.setattr(shutil, "disk_usage", breaks)
    error = ZeroDivisionError()
    assert names() == ["breaker"]
    assert "Check failed: disk" in caplog.text
    assert result("disk")[1] == "check failed: ZeroDivisionError: "
    error = OperationalError("gone")
    with pytest.raises(OperationalError):
        names()


# ---- What strangers learn of it


def test_health_page_hides_details_from_visitors(client, settings, monkeypatch):
    settings.LIMITS = settings.LIMITS | {"all": 1}
    for name in PROBLEMS.keys() - {"refused", "stopped"}:
        PROBLEMS[name](monkeypatch)
    circuit_breaker.open("auth", "535 wrong password for you", NOW)
    digests(5, "failed", "gmail.com", BLOCKED)
    tasks.check_rarely()
    response = client.get("/healthz/")
    assert response.status_code == 200
    assert len(response.json()["degraded"]) >= len(PROBLEMS) - 3
    for detail in ("535", "gmail", "12:00", "@"):
        assert detail not in response.text


def test_full_disk_is_told_without_database(client):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # As a full disk does.
    try:
        response = client.get("/healthz/")
        grade, text = result("data folder")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (grade, "(File too large): free its disk" in text) == ("wrong", True)
    if connection.vendor == "postgresql":  # Its disk is another.
        assert response.status_code == 200
        return
    assert response.status_code == 503
    (reason,) = response.json()["reasons"]
    assert reason == "Nothing can be saved and no emails are sent: File too large."
    assert client.get("/healthz/").status_code == 200


# ---- Raised, renewed, ended, told once


def test_flapping_alarm_is_reported_when_raised_and_resolved(hook, caplog):
    for minute in range(10):
        if minute in (0, 2):
            circuit_breaker.open("auth", "it said 535", NOW)
        else:
            circuit_breaker.close()
        alarms.watch(NOW + minute * MINUTE)
    begun, ended = hook.posted
    assert begun.startswith("Paperboy (http://127.0.0.1:8000):\n[breaker] ")
    assert "\n[breaker] Resolved: " in ended
    assert [one.levelname for one in caplog.records if "[breaker]" in one.message] == [
        "ERROR",
        "WARNING",
    ]
    (row,) = Alarm.objects.all()
    assert (row.raised_at, row.ended_at) == (NOW, NOW + 6 * MINUTE)
    circuit_breaker.open("auth", "it said 535", NOW)
    alarms.watch(NOW + HOUR)
    assert (len(hook.posted), Alarm.objects.count()) == (3, 2)


def test_failed_webhook_is_retried_without_logging_its_url(settings, hook, caplog):
    caplog.set_level("INFO")  # As `--loglevel INFO` does.
    circuit_breaker.open("auth", "it said 535", NOW)
    refusals = [("http://127.0.0.1:1/", 204, "ConnectError"), (hook.url, 500, "HTTPStatusError")]
    for url, hook.status, error in refusals:
        settings.ALARM_WEBHOOK = f"{url}?key=secret"
        alarms.watch(NOW)
        assert f"ALARM_WEBHOOK did not accept an alarm: {error}" in caplog.text
    hook.status = 204
    for _ in range(2):
        alarms.watch(NOW)
    assert len(hook.posted) == 2
    assert "secret" not in caplog.text


def test_rare_and_local_alarms_survive_frequent_checks(disk_usage):
    disk_usage.free = 0
    violate_an_invariant()
    digests(5, state="failed")
    alarms.check_rarely(NOW)
    alarms.watch(NOW)
    disk_usage.free = disk_usage.total  # As on another machine.
    assert result("disk")[0] == "alarm"
    for minutes, standing in [
        (19, ["disk", "promises", "refused"]),
        (24, ["promises", "refused"]),
        (60, ["promises"]),
        (24 * 60 + 25, []),
    ]:
        alarms.watch(NOW + minutes * MINUTE)
        assert sorted({alarm.name for alarm in Alarm.objects.standing()}) == standing


def test_invariants_of_new_letters_are_checked_once_a_day():
    alarms.check_rarely(NOW)
    broken = violate_an_invariant()
    alarms.check_rarely(NOW + DAY - MINUTE)
    assert not Alarm.objects.exists()
    alarms.check_rarely(NOW + DAY)
    alarm = Alarm.objects.get()
    assert (alarm.name, alarm.subject) == ("promises", "reasons")
    assert f"1 row (letter {broken.pk})" in alarm.text
    Letter.objects.update(created_at=NOW - invariants.RECENT - DAY)
    assert not alarms.find(NOW, alarms.DAY)


def test_tick_by_cron_runs_the_checks_of_beat():
    violate_an_invariant()
    call_command("tick")
    assert Alarm.objects.get().name == "promises"


# ---- Beside the web server


@pytest.mark.parametrize("error", [OperationalError, InternalError, DatabaseError])
def test_database_outage_is_reported_by_any_process(hook, monkeypatch, error):
    """Away, read-only, damaged."""

    def refuse(execute, *args):
        raise error("gone")

    count = 0
    monkeypatch.setattr(connection, "close", lambda: None)  # The test's transaction is in it.
    for is_long in (False, True):
        for _ in range(5 if is_long else 1):
            with connection.execute_wrapper(refuse):
                count = alarms.watch_database(count)
        count = alarms.watch_database(count)
        assert bool(hook.posted) == is_long
    assert [text.splitlines()[1:] for text in hook.posted] == [
        [f"[database] The database does not answer ({error.__name__})."],
        ["[database] Resolved: the database answers again."],
    ]
