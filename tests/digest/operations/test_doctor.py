"""What the doctor asks of the installation itself, each with what to do about it."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from digest import tasks
from digest.models import Paper
from digest.operations import doctor, health, heartbeats
from digest.operations.checks import CHECKS, installation, mail, service
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, SECOND, TODAY
from tests.helpers.checks import result
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


#: What the tests' installation lacks.
MISSING = {"recent papers", "topics", "model", "search index", "mail server"}
MISSING |= {"reply address", "imprint", "DNS records"}


def test_healthy_installation_passes_all_checks():
    findings = list(doctor.examine(NOW))
    assert {finding.name for finding in findings if finding.grade != "ok"} == MISSING
    assert len(findings) == len(CHECKS)


def test_read_only_postgresql_is_reported(client):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite can't be on standby")
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    assert result("read-only")[0] == "wrong"
    answer = client.get("/healthz/", headers={"host": "papers.example.org"})
    assert answer.status_code == 200  # Papers can be read, and searched.
    assert "Nothing can be saved and no emails are sent now." in answer.json()["degraded"]


def test_disk_is_checked_without_database(monkeypatch):
    monkeypatch.setattr(health, "reasons_not_ready", lambda in_full: ["disk I/O error"])
    assert [one.name for one in doctor.examine(NOW)] == ["settings", "data folder", "database"]


@pytest.mark.parametrize(("changed", "what", "grade", "message"), cases("doctor"))
def test_wrong_settings_are_reported_with_advice(settings, changed, what, grade, message):
    for name, value in changed.items():
        setattr(settings, name, value)
    settings.DATA_DIR = Path(settings.DATA_DIR)
    found_grade, text = result(what)
    assert found_grade == grade
    assert message in text


@pytest.mark.parametrize("run", [tasks.watch, lambda: call_command("tick")])
def test_dropped_secret_key_is_reported_for_a_month(settings, run):
    run()
    settings.SECRET_KEY = "n" * 50
    run()
    grade, text = result("secret key")
    assert (grade, "12:00 UTC on 1 June 2026" in text) == ("note", True)
    assert installation.secret_key(NOW + 31 * DAY) is None
    settings.SECRET_KEY_FALLBACKS = ["k" * 50]
    assert result("secret key")[0] == "ok"


def test_papers_of_a_week_ago_are_too_old():
    make.paper(day=TODAY - 6 * DAY)
    assert result("recent papers")[0] == "ok"
    Paper.objects.update(day=TODAY - 7 * DAY)
    assert result("recent papers")[0] == "wrong"


def test_world_readable_files_are_reported(data_dir):
    file = data_dir / "secret-key"
    file.write_text("k")
    file.chmod(0o640)
    data_dir.chmod(0o755)
    for name, grade, command in [
        ("secret key", "wrong", f"chmod 600 {file}"),
        ("data folder", "note", f"chmod o= {data_dir}"),
    ]:
        found_grade, text = result(name)
        assert (found_grade, command in text) == (grade, True)


@pytest.mark.parametrize(
    ("first", "last", "grade"),
    [
        ("172.18.0.1", "172.18.0.1", "note"),
        ("172.18.0.1", "172.18.0.2", "ok"),
        ("93.184.216.34", "93.184.216.34", "ok"),
    ],
)
def test_unconfigured_proxy_is_detected_from_sign_ups(first, last, grade):
    """TRUSTED_PROXIES names others: all visitors share one limit, and nobody's address is kept."""
    subscriber = make.subscriber()
    for ip in [first] * (installation.SIGN_UPS - 1) + [last]:
        subscriber.consents.create(act="asked", at=NOW, via="sign-up form", ip=ip)
    assert result("proxies")[0] == grade


@pytest.mark.parametrize(
    ("forwarded", "peer", "grade"),
    [
        ("", "93.184.216.34", "wrong"),
        ("93.184.216.34", "172.18.0.1", "ok"),
        ("", "10.0.0.9", "ok"),
    ],
)
def test_too_many_trusted_proxies_are_reported(client, settings, forwarded, peer, grade):
    """All visitors who write nothing into X-Forwarded-For pass fewer than TRUSTED_PROXIES says."""
    client.defaults = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    settings.ALLOWED_HOSTS = ["testserver", *settings.ALLOWED_HOSTS]
    client.post("/subscribe/", {"email": "you@example.org"})
    assert result("proxies")[0] == grade


@pytest.mark.parametrize(("seconds", "grade"), [(4, "ok"), (20, "note"), (-90, "wrong")])
def test_clock_difference_is_reported(monkeypatch, seconds, grade):
    moment = NOW + seconds * SECOND
    monkeypatch.setattr("subscriptions.delivery.clock.database_now", lambda: moment)
    assert result("clocks")[0] == grade


def test_database_without_durability_is_reported(settings, monkeypatch):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    assert result("database")[0] == ("ok" if connection.vendor == "postgresql" else "note")
    unsafe = {"SHOW fsync": "off", "PRAGMA synchronous": 1}
    monkeypatch.setattr(service, "_query_value", lambda sql: unsafe.get(sql, "on"))
    grade, message = result("database")
    assert grade == "alarm"
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
    grade, message = result("database")
    assert grade == "note"
    assert "because lock_timeout is off" in message
    monkeypatch.setattr(service, "MIN_CONNECTIONS", 10**6)
    grade, message = result("database")
    assert grade == "alarm"
    assert "free connections: workers without one plan and send nothing" in message


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("smtp://127.0.0.1:1", "unreachable"),
        ("smtp://me:wrong@{}", "auth"),
        ("smtp://{}?tls=starttls", "tls"),
    ],
)
def test_refusing_mail_server_is_reported(settings, address, kind):
    with MailServer((*EXTENSIONS, "AUTH PLAIN")) as server:
        server.replies["auth"] = b"535 5.7.8 bad credentials\r\n"
        settings.EMAIL_URL = address.format(server.url.removeprefix("smtp://"))
        grade, text = result("mail server")
        server.shutdown()
    assert (grade, mail.SMTP_ADVICE[kind] in text) == ("wrong", True)


def test_doctor_sends_test_alarm(settings, capsys):
    with Hook() as hook:
        for settings.ALARM_WEBHOOK, output in ((hook.url, "✓ test alarm"), ("", "✗ test alarm")):
            with pytest.raises(CommandError):  # There are no papers, for one.
                call_command("doctor", sound_alarm=True)
            assert output in capsys.readouterr().out
    assert hook.posted[0].endswith("[test] Nothing is wrong.")


def test_topic_of_stop_words_is_reported():
    make.topic("Graphs")
    make.topic("Physics", query="", categories=["physics"])
    assert result("topics")[0] == "ok"
    make.topic("Of the", query="of the")
    assert "find no papers: Of the." in result("topics")[1]
