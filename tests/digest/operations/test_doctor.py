"""What the doctor asks of the installation itself, each with what to do about it."""

from contextlib import closing
from pathlib import Path

import pytest
from celery import Celery
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from digest import tasks
from digest.models import Harvest, Heartbeat, Paper
from digest.operations import alarms, doctor, doctor_environment, health, heartbeats
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, SECOND, TODAY
from tests.faults.cluster import Redis
from tests.helpers import services
from tests.helpers.data_files import cases
from tests.servers.smtp import EXTENSIONS, MailServer
from tests.servers.webhook import Hook

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sound(settings):
    """An installation in which all is well."""
    settings.SITE_URL, settings.IS_HTTPS = "https://papers.example.org", True
    settings.ALLOWED_HOSTS = [".example.org"]
    settings.TRUSTED_PROXIES = 1
    settings.SECRET_KEY = "k" * 50
    settings.SOURCES = ["arxiv"]
    settings.ALARM_WEBHOOK = "https://hooks.example.org/x"
    make.harvest("arxiv", NOW - HOUR)
    heartbeats.beat(heartbeats.TICK, NOW)


def check_result(what):
    return next((one.grade, one.text) for one in doctor.examine(NOW) if one.name == what)


SETUP_CHECKS = [
    *("settings", "database", "clocks", "site", "proxies", "secret key", "debug mode"),
    *("data folder", "cache", "sources", "alarms", "alarm webhook", "metrics"),
]


def test_healthy_installation_passes_all_checks():
    grades = {one.name: one.grade for one in doctor.examine(NOW)}
    assert {what: grades[what] for what in SETUP_CHECKS} == dict.fromkeys(SETUP_CHECKS, "ok")


def test_read_only_postgresql_is_reported(client):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite can't be on standby")
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    grade, message = doctor_environment.database(NOW)
    assert grade == "wrong"
    assert message.startswith("PostgreSQL is read-only")
    answer = client.get("/healthz/", headers={"host": "papers.example.org"})
    assert answer.status_code == 200  # Papers can be read, and searched.
    assert "Nothing can be saved and no emails are sent now." in answer.json()["degraded"]


def test_disk_is_checked_without_database(monkeypatch):
    monkeypatch.setattr(doctor_environment, "database", lambda now: ("wrong", "disk I/O error"))
    assert [one.name for one in doctor.examine(NOW)] == ["settings", "data folder", "database"]


@pytest.mark.parametrize(("changed", "what", "grade", "message"), cases("doctor"))
def test_wrong_settings_are_reported_with_advice(settings, changed, what, grade, message):
    for name, value in changed.items():
        setattr(settings, name, value)
    settings.DATA_DIR = Path(settings.DATA_DIR)
    result = check_result(what)
    assert result[0] == grade
    assert message in result[1]


@pytest.mark.parametrize("run", [tasks.watch, lambda: call_command("tick")])
def test_dropped_secret_key_is_reported_for_a_month(settings, run):
    run()
    fine = ("ok", "50 characters")
    assert check_result("secret key") == fine
    settings.SECRET_KEY = "n" * 50
    run()
    assert check_result("secret key") == (
        "note",
        "another key was in use until 2026-06-01 12:00 UTC, and links in emails from then do not "
        "work: add it to SECRET_KEY_FALLBACKS unless it was stolen (docs/security.md).",
    )
    assert doctor_environment.secret_key(NOW + 31 * 24 * HOUR) == fine
    settings.SECRET_KEY_FALLBACKS = ["k" * 50]
    assert check_result("secret key") == fine


def test_topic_of_stop_words_is_reported():
    make.topic("Graphs")
    make.topic("Physics", query="", categories=["physics"])
    assert check_result("topics") == ("ok", "2 offered")
    make.topic("Of the", query="of the")
    message = "3 offered. The words of these find no papers: Of the. Change or withdraw it."
    assert check_result("topics") == ("note", message)


@pytest.mark.parametrize("days", [None, 7])
def test_missing_papers_are_reported_with_the_command_to_run(settings, days):
    make.paper(day=TODAY - 6 * DAY)
    assert check_result("papers")[0] == "ok"
    Paper.objects.all().delete()
    if days:
        make.paper(day=TODAY - days * DAY)
    message = "none of the last 7 days, so digests are empty: run "
    assert check_result("papers") == ("wrong", f"{message}`manage.py harvest`.")
    settings.SOURCES = []
    assert check_result("papers") == ("wrong", f"{message}`manage.py import_papers FILE`.")


def test_world_readable_files_are_reported(data_dir):
    file = data_dir / "secret-key"
    file.write_text("k")
    file.chmod(0o640)
    message = f"other users of this machine can read {file}: run `chmod 600 {file}`."
    assert check_result("secret key") == ("wrong", message)
    data_dir.chmod(0o755)
    message = f"other users of this machine can read {data_dir}: run `chmod o= {data_dir}`."
    assert check_result("data folder") == ("note", message)


def test_nearly_full_disk_is_reported(disk_usage):
    disk_usage.free = 10**9
    grade, message = check_result("data folder")
    assert grade == "wrong"
    assert "only 1.0 of 100 GB free" in message


def test_sources_are_reported_with_last_fetch(settings):
    settings.SOURCES = ["arxiv", "huggingface"]
    make.harvest("arxiv", NOW + HOUR)
    make.harvest("huggingface", NOW)
    message = "arxiv, huggingface; all fetched since 2026-06-01 12:00 UTC"
    assert check_result("sources") == ("ok", message)
    make.harvest("arxiv", NOW + 2 * HOUR, state="failed")
    message = "arxiv not fetched: run `manage.py harvest`."
    assert check_result("sources") == ("note", message)


LAST_ADDRESSES = [("172.18.0.1", "note"), ("172.18.0.2", "ok"), ("93.184.216.34", "ok")]


@pytest.mark.parametrize(("last", "grade"), LAST_ADDRESSES)
def test_unconfigured_proxy_is_detected_from_sign_ups(last, grade):
    """TRUSTED_PROXIES names others: all visitors share one limit, and nobody's address is kept."""
    proxy, subscriber = ("172.18.0.1" if last.startswith("172.") else last), make.subscriber()
    for address in [proxy] * (doctor_environment.SIGN_UPS - 1) + [last]:
        subscriber.consents.create(act="asked", at=NOW, via="sign-up form", ip=address)
    found_grade, message = check_result("proxies")
    assert (found_grade, proxy in message) == (grade, grade == "note")


PEERS = [
    ("", "93.184.216.34", "wrong"),
    ("93.184.216.34", "172.18.0.1", "ok"),
    ("", "10.0.0.9", "ok"),
]


@pytest.mark.parametrize(("forwarded", "peer", "grade"), PEERS)
def test_too_many_trusted_proxies_are_reported(client, settings, caplog, forwarded, peer, grade):
    """All visitors who write nothing into X-Forwarded-For pass fewer than TRUSTED_PROXIES says."""
    client.defaults = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    settings.ALLOWED_HOSTS = [".example.org", "testserver"]
    for number in range(2):
        client.post("/subscribe/", {"email": f"you-{number}@example.org"})
    assert check_result("proxies")[0] == grade
    assert caplog.text.count("A sign-up bypassed one of the 1 proxies") == (grade == "wrong")
    settings.TRUSTED_PROXIES = 0  # As it is.
    assert check_result("proxies")[0] == "note"


def test_alarms_are_reported_while_no_worker_runs():
    """The doctor looks for those that each process can find, and reads those of other machines."""
    alarms.record([alarms.ActiveAlarm("disk", "3 MB are left.", "host")], NOW)
    make.subscriber(next_due_at=NOW - HOUR)
    Harvest.objects.update(started_at=NOW - 4 * HOUR, state="failed", result="Failed: no answer.")
    results = [one for one in doctor.examine(NOW + 6 * MINUTE) if one.name == "alarm"]
    assert {result.grade for result in results} == {"wrong"}
    names = [result.text.split()[0] for result in results]
    assert names == ["[beat]", "[planning]", "[source]", "[disk]"]
    assert results[-1].text == "[disk] 3 MB are left. See `disk` in docs/maintenance.md."
    Heartbeat.objects.all().delete()
    assert check_result("scheduler")[0] == "note"


@pytest.mark.parametrize(("seconds", "grade"), [(4, "ok"), (20, "note"), (-90, "wrong")])
def test_clock_difference_is_reported(monkeypatch, seconds, grade):
    moment = NOW + seconds * SECOND
    monkeypatch.setattr("subscriptions.delivery.clock.database_now", lambda: moment)
    assert check_result("clocks")[0] == grade


def test_database_without_durability_is_reported(monkeypatch):
    unsafe = {"SHOW fsync": "off", "PRAGMA synchronous": 1}
    monkeypatch.setattr(doctor_environment, "_query_value", lambda sql: unsafe.get(sql, "on"))
    grade, message = check_result("database")
    assert grade == "wrong"
    assert ("switch on fsync" if connection.vendor == "postgresql" else "FULL") in message


def test_pooler_missing_in_database_url_is_reported():
    error = "FATAL: unsupported startup parameter in options: statement_timeout"
    assert "add ?pool_mode=transaction" in health.explain_error(OperationalError(error))


def test_database_limits_are_reported(monkeypatch):
    """What idle threads of a web server hold on to, a worker waits for. Behind a pooler, we can't
    say how long anything may take.
    """
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's connections are not counted, and its waits are its own")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 0")
    grade, message = check_result("database")
    assert grade == "note"
    assert "because lock_timeout is off" in message
    monkeypatch.setattr(doctor_environment, "MIN_CONNECTIONS", 10**6)
    grade, message = check_result("database")
    assert grade == "wrong"
    assert "free connections: workers without one plan and send nothing" in message


@pytest.mark.slow
@pytest.mark.services
def test_redis_refusing_or_evicting_messages_is_reported(tmp_path, settings, monkeypatch):
    """Beat is then said to be dead, which it is not."""
    services.require("redis-server")
    with closing(Redis(tmp_path)) as redis:
        settings.CELERY_BROKER_URL = redis.url
        app = Celery("full", broker=redis.url, set_as_current=False)
        monkeypatch.setattr(doctor, "current_app", app)
        assert check_result("broker") == ("ok", "redis answers")
        redis.call("CONFIG", "SET", "maxmemory", "1")
        assert check_result("broker") == (
            "wrong",
            "Redis refuses messages (command not allowed when used memory > "
            "'maxmemory'.): check its memory, disk and log.",
        )
        redis.call("CONFIG", "SET", "maxmemory", "0")
        redis.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        assert check_result("broker")[1].startswith("Redis may evict messages")


MAIL_SERVERS = [
    ("smtp://127.0.0.1:1", "127.0.0.1:1: ConnectionRefused", "host and port in EMAIL_URL"),
    ("smtp://me:wrong@{}", "535 5.7.8 bad credentials. Check", "user and password"),
    ("smtp://{}?tls=starttls", "not supported by server. Check", "starttls, implicit or none"),
]


@pytest.mark.parametrize(("address", "error", "mend"), MAIL_SERVERS)
def test_refusing_mail_server_is_reported(settings, address, error, mend):
    with MailServer((*EXTENSIONS, "AUTH PLAIN")) as server:
        server.replies["auth"] = b"535 5.7.8 bad credentials\r\n"
        settings.EMAIL_URL = address.format(server.url.removeprefix("smtp://"))
        grade, message = check_result("mail server")
        server.shutdown()
    assert (grade, error in message, mend in message) == ("wrong", True, True)


def test_doctor_sends_test_alarm(settings, capsys):
    with Hook() as hook:
        for url, output in ((hook.url, "✓ test alarm:     acc"), ("", "✗ test alarm:     not acc")):
            settings.ALARM_WEBHOOK = url
            with pytest.raises(CommandError):  # There are no papers, for one.
                call_command("doctor", sound_alarm=True)
            assert output in capsys.readouterr().out
    assert hook.posted[0].endswith("[test] Nothing is wrong.")
