"""What the doctor asks of the house itself, each with what to do about it."""

import resource
import shutil
from collections import namedtuple
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from celery import Celery
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from digest import tasks
from digest.models import Harvest
from digest.operations import alarms, doctor, doctor_environment, health, heartbeats
from subscriptions.delivery.recovery.journal import folder_of_journals
from tests.factories import make
from tests.factories.make import NOW
from tests.faults.cluster import Redis
from tests.helpers import services
from tests.servers.smtp import EXTENSIONS, MailServer
from tests.servers.webhook import Hook

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def sound(settings, monkeypatch):
    """A house in which all is well."""
    settings.SITE_URL, settings.IS_HTTPS = "https://papers.example.org", True
    settings.ALLOWED_HOSTS = [".example.org"]
    settings.TRUSTED_PROXIES = 1
    settings.SECRET_KEY = "k" * 50
    settings.SOURCES = ["arxiv"]
    settings.ALARM_WEBHOOK = "https://hooks.example.org/x"
    harvest("arxiv", NOW - HOUR)
    heartbeats.beat(heartbeats.TICK, NOW)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**11, 0, 5 * 10**10))


def told(what):
    return next((one.grade, one.said) for one in doctor.examine(NOW) if one.what == what)


OF_THE_HOUSE = [
    *("settings", "database", "clocks", "site", "proxies", "secret key", "debugging", "data"),
    *("cache", "sources", "ticks", "alarms", "webhook", "figures"),
]


def harvest(source, moment, **fields):
    moments = {"today": NOW, "started_at": moment, "touched_at": moment}
    Harvest.objects.create(source=source, **{"state": "done"} | moments | fields)


def test_where_all_is_well_it_says_so():
    found = {one.what: one.grade for one in doctor.examine(NOW)}
    assert {what: found[what] for what in OF_THE_HOUSE} == dict.fromkeys(OF_THE_HOUSE, "ok")


def test_a_postgresql_that_takes_no_writes_is_wrong_and_a_monitor_may_see_it(client):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite can't be on standby")
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    grade, said = doctor_environment.database(NOW)
    assert grade == "wrong"
    assert said.startswith("PostgreSQL takes no writes")
    answer = client.get("/healthz/", headers={"host": "papers.example.org"})
    assert answer.status_code == 200  # Papers can be read, and searched.
    assert "Nothing can be saved, and no letters leave, for now." in answer.json()["degraded"]


def test_the_disk_is_told_of_where_the_database_does_not_answer(monkeypatch):
    monkeypatch.setattr(doctor_environment, "database", lambda now: ("wrong", "disk I/O error"))
    assert [one.what for one in doctor.examine(NOW)] == ["settings", "data", "database"]


HERE, REDIS = "http://127.0.0.1:8000", "django.core.cache.backends.redis.RedisCache"
AWAY = {"default": {"BACKEND": REDIS, "LOCATION": "redis://127.0.0.1:1/0"}}
SLIP = [("DATABSE_URL", "DATABASE_URL")]
HOME = "x@papers.home.arpa"


@pytest.mark.parametrize(
    ("changed", "what", "grade", "said"),
    [
        ({"MISSPELT_SETTINGS": SLIP}, "settings", "note", "is DATABASE_URL meant?"),
        ({"DATA_DIR": Path("/no/such")}, "data", "wrong", "(No such file or directory): make it"),
        ({"SITE_URL": HERE}, "site", "wrong", "add it to ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": ["x.example"]}, "site", "wrong", "add it to ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": ["*"]}, "site", "note", "Name your hosts."),
        ({"SITE_URL": HERE, "ALLOWED_HOSTS": ["127.0.0.1"]}, "site", "note", "on this machine"),
        ({"IS_HTTPS": False}, "site", "note", "set up TLS"),
        ({"TRUSTED_PROXIES": 0}, "proxies", "note", "all visitors have the address"),
        ({"SECRET_KEY": "short"}, "secret key", "note", "has 5 characters, and may be guessed"),
        ({"DEBUG": True}, "debugging", "note", "an error shows code and settings"),
        ({"SOURCES": []}, "sources", "note", "none is asked"),
        ({"SOURCES": ["arxiv", "x"]}, "sources", "note", "x not asked yet: `manage.py harvest`"),
        ({}, "papers", "wrong", "there are none: `manage.py harvest` fetches the first."),
        ({"SOURCES": []}, "papers", "wrong", "none: run `manage.py import_papers FILE`."),
        ({"ALARM_WEBHOOK": ""}, "webhook", "note", "nobody is told of alarms"),
        ({"METRICS_TOKEN": "x" * 16}, "figures", "ok", "for whoever has METRICS_TOKEN"),
        ({"CACHES": AWAY}, "cache", "wrong", "ConnectionError"),
        (
            {"DEFAULT_FROM_EMAIL": HOME, "TRANSACTIONAL_FROM_EMAIL": HOME},
            *("DNS records", "note", "there is nothing to publish"),
        ),
    ],
)
def test_each_setting_that_is_amiss_is_told_with_what_to_do(settings, changed, what, grade, said):
    for name, value in changed.items():
        setattr(settings, name, value)
    found = told(what)
    assert found[0] == grade
    assert said in found[1]


@pytest.mark.parametrize("run", [tasks.watch, lambda: call_command("tick")])
def test_a_key_that_was_left_out_is_missed_for_a_month(settings, run):
    run()
    fine = ("ok", "50 characters")
    assert told("secret key") == fine
    settings.SECRET_KEY = "n" * 50
    run()
    assert told("secret key") == (
        "note",
        "another was in use until 2026-06-01 at 12:00 UTC, and links in letters of then don't "
        "work: unless it was stolen, put it into SECRET_KEY_FALLBACKS (docs/security.md).",
    )
    assert doctor_environment.secret_key(NOW + 31 * 24 * HOUR) == fine
    settings.SECRET_KEY_FALLBACKS = ["k" * 50]
    assert told("secret key") == fine


def test_a_topic_of_stop_words_alone_is_named_and_one_of_categories_is_not():
    make.topic("Graphs")
    make.topic("Physics", query="", categories=["physics"])
    assert told("topics") == ("ok", "2 offered")
    make.topic("Of the", query="of the")
    said = "3 offered, of which no paper is found by the words of: Of the. Change or withdraw it."
    assert told("topics") == ("note", said)


def test_papers_that_are_too_old_are_told_with_what_brings_newer_ones(settings):
    make.paper(day=NOW.date() - 9 * 24 * HOUR)
    said = "the newest is of 2026-05-23: digests are empty. "
    assert told("papers") == ("wrong", f"{said}Why none comes, *sources* tells.")
    settings.SOURCES = []
    assert told("papers") == ("wrong", f"{said}Import newer ones.")


def test_files_that_others_can_read_are_told(data_dir):
    file = data_dir / "secret-key"
    file.write_text("k")
    file.chmod(0o640)
    said = f"others on this machine can read {file}: `chmod 600 {file}`."
    assert told("secret key") == ("wrong", said)
    data_dir.chmod(0o755)
    said = f"others on this machine can look into {data_dir}: `chmod o= {data_dir}`."
    assert told("data") == ("note", said)


def test_a_disk_that_is_nearly_full_is_wrong(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**11, 0, 10**9))
    grade, said = told("data")
    assert grade == "wrong"
    assert "only 1.0 of 100 GB are free" in said


def test_a_disk_that_takes_files_but_no_octet_is_wrong_for_the_journal():
    folder_of_journals().mkdir()
    assert told("journal") == ("ok", f"{folder_of_journals()} can be written to")
    small, large = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, large))
    try:
        grade, said = told("journal")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (small, large))
    assert grade == "wrong"
    assert said.startswith("can't be looked at: OSError: ")


@pytest.mark.parametrize(
    ("ago", "broker", "grade"),
    [(5, "redis://x", "ok"), (6, "redis://x", "wrong"), (6, "memory://", "note")],
)
def test_a_tick_of_long_ago_is_wrong_where_processes_should_run(settings, ago, broker, grade):
    settings.CELERY_BROKER_URL = broker
    assert doctor_environment.ticks(NOW + ago * MINUTE)[0] == grade


def test_sources_are_told_with_the_moment_since_which_all_were_asked_or_failed(settings):
    settings.SOURCES = ["arxiv", "huggingface"]
    harvest("arxiv", NOW + HOUR)
    harvest("huggingface", NOW)
    said = "arxiv, huggingface; each was asked on 2026-06-01 at 12:00 UTC or later"
    assert told("sources") == ("ok", said)
    harvest("arxiv", NOW + 2 * HOUR, state="failed", said="It broke off: no answer.")
    grade, said = told("sources")
    assert grade == "wrong"
    assert "arxiv failed on 2026-06-01 at 14:00 UTC: It broke off: no answer." in said


@pytest.mark.parametrize(
    ("last", "grade"), [("172.18.0.1", "note"), ("172.18.0.2", "ok"), ("93.184.216.34", "ok")]
)
def test_a_proxy_that_is_not_named_is_seen_by_where_all_sign_up_from(last, grade):
    """TRUSTED_PROXIES names others: all visitors share one limit, and nobody's address is kept."""
    house, reader = ("172.18.0.1" if last.startswith("172.") else last), make.subscriber()
    for address in [house] * (doctor_environment.SIGN_UPS - 1) + [last]:
        reader.consents.create(act="asked", at=NOW, via="sign-up form", ip=address)
    found, said = told("proxies")
    assert (found, house in said) == (grade, grade == "note")


@pytest.mark.parametrize(
    ("seen", "peer", "grade"),
    [("", "93.184.216.34", "wrong"), ("93.184.216.34", "172.18.0.1", "ok"), ("", "10.0.0.9", "ok")],
)
def test_too_many_proxies_are_wrong_and_logged_once(client, settings, caplog, seen, peer, grade):
    """All visitors who write nothing into X-Forwarded-For pass fewer than TRUSTED_PROXIES says."""
    client.defaults = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": seen}
    settings.ALLOWED_HOSTS = [".example.org", "testserver"]
    for number in range(2):
        client.post("/subscribe/", {"email": f"you-{number}@example.org"})
    assert told("proxies")[0] == grade
    assert caplog.text.count("Somebody signed up past one of the 1 proxies") == (grade == "wrong")
    settings.TRUSTED_PROXIES = 0  # As it is.
    assert told("proxies")[0] == "note"


def test_alarms_that_stand_are_wrong_and_lead_to_the_runbook():
    alarms.record([alarms.ActiveAlarm("disk", "3 MB are left.", "host")], NOW)
    grade, said = told("alarms")
    assert grade == "wrong"
    assert said == "[disk] 3 MB are left. docs/maintenance.md says what to do."


@pytest.mark.parametrize(("seconds", "grade"), [(4, "ok"), (20, "note"), (-90, "wrong")])
def test_clocks_that_are_apart_are_told(monkeypatch, seconds, grade):
    moment = NOW + timedelta(seconds=seconds)
    monkeypatch.setattr("subscriptions.delivery.clock.database_now", lambda: moment)
    assert told("clocks")[0] == grade


def test_a_database_that_may_lose_what_it_confirmed_is_wrong(monkeypatch):
    unsafe = {"SHOW fsync": "off", "PRAGMA synchronous": 1}
    monkeypatch.setattr(doctor_environment, "_query_value", lambda sql: unsafe.get(sql, "on"))
    grade, said = told("database")
    assert grade == "wrong"
    assert ("switch fsync on" if connection.vendor == "postgresql" else "FULL") in said


def test_a_pooler_that_database_url_says_nothing_of_is_told():
    said = "FATAL: unsupported startup parameter in options: statement_timeout"
    assert "add ?pool_mode=transaction to it" in health.explain_error(OperationalError(said))


def test_a_database_that_has_few_connections_or_no_timeouts_is_told(monkeypatch):
    """What idle threads of a web server hold on to, a worker waits for. Behind a pooler, we can't
    say how long anything may take.
    """
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's connections are not counted, and its waits are its own")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = 0")
    grade, said = told("database")
    assert grade == "note"
    assert "(off: lock_timeout)" in said
    monkeypatch.setattr(doctor_environment, "MIN_CONNECTIONS", 10**6)
    grade, said = told("database")
    assert grade == "wrong"
    assert "more connections: workers without one plan and send nothing" in said


@pytest.mark.slow
@pytest.mark.services
def test_a_redis_that_answers_and_takes_nothing_is_wrong(tmp_path, settings, monkeypatch):
    """Beat is then said to be dead, which it is not."""
    services.require("redis-server")
    with closing(Redis(tmp_path)) as redis:
        settings.CELERY_BROKER_URL = redis.url
        app = Celery("full", broker=redis.url, set_as_current=False)
        monkeypatch.setattr(doctor, "current_app", app)
        assert told("broker") == ("ok", "redis answers")
        redis.call("CONFIG", "SET", "maxmemory", "1")
        assert told("broker") == (
            "wrong",
            "Redis answers, but takes no messages (command not allowed when used memory > "
            "'maxmemory'.): see its memory, its disk and its log.",
        )


@pytest.mark.parametrize(
    ("address", "said", "mend"),
    [
        ("smtp://127.0.0.1:1", "127.0.0.1:1: ConnectionRefused", "runs, and that EMAIL_URL has"),
        ("smtp://me:wrong@{}", "535 5.7.8 bad credentials. See", "the user and the password"),
        ("smtp://{}?tls=starttls", "not supported by server. See", "starttls, implicit or none"),
    ],
)
def test_a_mail_server_that_takes_nothing_is_wrong(settings, address, said, mend):
    with MailServer((*EXTENSIONS, "AUTH PLAIN")) as server:
        server.replies["auth"] = b"535 5.7.8 bad credentials\r\n"
        settings.EMAIL_URL = address.format(server.url.removeprefix("smtp://"))
        grade, found = told("mail server")
        server.shutdown()
    assert (grade, said in found, mend in found) == ("wrong", True, True)


def test_an_alarm_can_be_sounded_to_see_who_hears_it(settings, capsys):
    with Hook() as hook:
        for url, said in ((hook.url, "✓ test alarm:   told"), ("", "✗ test alarm:   not told")):
            settings.ALARM_WEBHOOK = url
            with pytest.raises(CommandError):  # There are no papers, for one.
                call_command("doctor", sound_alarm=True)
            assert said in capsys.readouterr().out
    assert hook.told[0].endswith("[test] Nothing is wrong.")
