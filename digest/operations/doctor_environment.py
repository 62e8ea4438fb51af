"""The doctor's checks of the installation itself: settings, secrets, disk, database, clock, ticks.

Each check takes the current time and returns a grade (ok, note or wrong) and a sentence, which says
what to do if something is to be done.
"""

import shutil
import stat
import tempfile
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import uuid4

from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.http.request import validate_host
from django.utils import timezone

from digest.models import Alarm, Harvest
from digest.operations import alarms, health, heartbeats
from subscriptions.delivery import clock
from subscriptions.models import Consent
from subscriptions.security import rate_limits

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MIN_POSTGRESQL = 15
MIN_CONNECTIONS = 3  # For a worker and a web server that start.
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
#: For roles without reserved connections.
CONNECTIONS_LEFT = (
    "SELECT current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int"
    " - coalesce(current_setting('reserved_connections', true)::int, 0)"
    " - (SELECT sum(numbackends)::int FROM pg_stat_database)"
)
SIGN_UPS = 10
SKEW_SECONDS, MAX_SKEW_SECONDS = 5, 60

type Result = tuple[str, str]


def database(now) -> Result:
    if reasons := health.reasons_not_ready(in_full=True):
        return "wrong", " ".join(reasons)
    if connection.vendor == "postgresql":
        return _postgresql()
    if _query_value("PRAGMA synchronous") != 2:
        return "wrong", "SQLite may lose the last commits with the power: synchronous must be FULL."
    if settings.CELERY_BROKER_URL.startswith("memory:"):
        return "ok", "SQLite, for one machine and some thousands of readers"
    return "note", "SQLite, where one writes at a time: set DATABASE_URL for several processes."


def _postgresql():
    unsafe = [
        name
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if _query_value(f"SHOW {name}") == "off"
    ]
    if unsafe:
        return "wrong", (
            f"PostgreSQL may lose what it has confirmed, and letters would leave twice: switch "
            f"{', '.join(unsafe)} on."
        )
    if not health.is_writable():
        return "wrong", (
            "PostgreSQL takes no writes: DATABASE_URL leads to a standby, or its disk is full."
        )
    if (left := max(0, _query_value(CONNECTIONS_LEFT))) < MIN_CONNECTIONS:
        return "wrong", (
            f"PostgreSQL takes {left} more connections: workers without one plan and send nothing. "
            f"Raise max_connections, or see what holds them (docs/install.md)."
        )
    if endless := [name for name in TIMEOUTS if _query_value(f"SHOW {name}") == "0"]:
        return "note", (
            f"PostgreSQL lets what hangs keep the others waiting for ever (off: "
            f"{', '.join(endless)}): behind a pooler, set these for the role (docs/install.md)."
        )
    major = connection.pg_version // 10_000
    if major < MIN_POSTGRESQL:
        return "note", f"PostgreSQL {major}: tried with {MIN_POSTGRESQL} and later."
    return "ok", f"PostgreSQL {major}"


def _query_value(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def clocks(now) -> Result:
    # Emails are due by the database's clock, log-ins and links expire by the machine's.
    apart = abs((clock.database_now() - timezone.now()).total_seconds())
    if apart > MAX_SKEW_SECONDS:
        said = (
            f"this machine's and the database's are {apart:,.0f} seconds apart: let NTP set both."
        )
        return "wrong", said
    if apart > SKEW_SECONDS:
        return "note", f"this machine's and the database's are {apart:.0f} seconds apart."
    return "ok", "this machine's and the database's agree"


def names(now) -> Result:
    if settings.MISSPELT_SETTINGS:
        return "note", " ".join(
            f"{name} says nothing to Paperboy: is {meant} meant?"
            for name, meant in settings.MISSPELT_SETTINGS
        )
    return "ok", "no name in the environment is one of ours with a slip"


def site(now) -> Result:
    host = urlsplit(settings.SITE_URL).hostname
    if not validate_host(host, settings.ALLOWED_HOSTS):
        return "wrong", f"links lead to {host}, which isn't served: add it to ALLOWED_HOSTS."
    if "*" in settings.ALLOWED_HOSTS:
        return "note", (
            "ALLOWED_HOSTS is *: requests are answered whatever host they name. Name your hosts."
        )
    if host in LOCAL_HOSTS:
        return "note", f"links lead to {settings.SITE_URL}, which works on this machine alone."
    if not settings.IS_HTTPS:
        return "note", (
            "links go over http, and whoever is on the way may read and change: set up TLS, and "
            "SITE_URL to https."
        )
    return "ok", settings.SITE_URL


def proxies(now) -> Result:
    asked = Consent.objects.filter(act=Consent.Act.ASKED, ip__isnull=False).order_by("-pk")
    last = list(asked.values_list("ip", flat=True)[:SIGN_UPS])
    if len(last) == SIGN_UPS and len(set(last)) == 1 and not ip_address(last[0]).is_global:
        return "note", (
            f"the last {SIGN_UPS} who signed up all came from {last[0]}, which is no public "
            f"address: if that is your proxy, let TRUSTED_PROXIES name it (docs/security.md)."
        )
    if rate_limits.was_proxy_bypassed(now):
        return "wrong", (
            f"somebody signed up within a day whose request came past one of the "
            f"{settings.TRUSTED_PROXIES} proxies of TRUSTED_PROXIES, and whoever does may say who "
            f"she is: lower the number, or let nobody reach this server but by all of them "
            f"(docs/security.md)."
        )
    if settings.TRUSTED_PROXIES:
        return "ok", "X-Forwarded-For is believed of those that TRUSTED_PROXIES names"
    if settings.IS_HTTPS:
        return "note", (
            "all visitors have the address of whoever speaks TLS for this server, and share its "
            "limits: set TRUSTED_PROXIES (docs/security.md)."
        )
    return "ok", "X-Forwarded-For is believed of nobody"


def secret_key(now) -> Result:
    file = settings.DATA_DIR / "secret-key"
    if len(settings.SECRET_KEY) < settings.MIN_SECRET_KEY_LENGTH:
        return "note", (
            f"SECRET_KEY has {len(settings.SECRET_KEY)} characters, and may be guessed: take "
            f"{settings.MIN_SECRET_KEY_LENGTH} or more, and the old one into SECRET_KEY_FALLBACKS."
        )
    if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "wrong", f"others on this machine can read {file}: `chmod 600 {file}`."
    if last := heartbeats.last_unknown_key(now):
        return "note", (
            f"another was in use until {_at(last)}, and links in letters of "
            f"then don't work: unless it was stolen, put it into SECRET_KEY_FALLBACKS "
            f"(docs/security.md)."
        )
    return "ok", f"{len(settings.SECRET_KEY)} characters"


def debugging(now) -> Result:
    if settings.DEBUG:
        return "note", "DEBUG is on: an error shows code and settings to whoever asks."
    return "ok", "off"


def data(now) -> Result:
    folder = settings.DATA_DIR
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return "wrong", (
            f"{folder} can't be written to ({error.strerror}): make it, or name another folder as "
            "DATA_DIR, and let the user that runs Paperboy own it."
        )
    disk = shutil.disk_usage(folder)
    room = f"{disk.free / 10**9:,.1f} of {disk.total / 10**9:,.0f} GB are free"
    if alarms.is_nearly_full(disk):
        return "wrong", f"{folder}: only {room}. See `disk` in docs/maintenance.md."
    if folder.stat().st_mode & stat.S_IRWXO:
        return "note", f"others on this machine can look into {folder}: `chmod o= {folder}`."
    return "ok", f"{folder}: {room}"


def cache(now) -> Result:
    where = urlsplit(str(settings.CACHES["default"].get("LOCATION", "")))
    if not where.scheme:
        return "ok", "in each process by itself"
    key = f"doctor-{uuid4().hex}"
    caches["default"].set(key, "here", timeout=5)  # An error of it is the doctor's result.
    if caches["default"].get(key) != "here":
        return "wrong", "what is kept there is gone at once: see CACHE_URL."
    return "ok", f"{where.scheme} answers"


def sources(now) -> Result:
    if not settings.SOURCES:
        return "note", "none is asked: papers come by `manage.py import_papers` alone."
    last = health.last_harvests()
    if failed := [run for run in last.values() if run and run.state == Harvest.State.FAILED]:
        failures = " ".join(
            f"{run.source} failed on {_at(run.touched_at)}: {run.said}" for run in failed
        )
        return "wrong", f"{failures} It is tried again; see `source` in docs/maintenance.md."
    if never := [source for source, run in last.items() if run is None]:
        return "note", f"{', '.join(never)} not asked yet: `manage.py harvest` does it now."
    oldest = min(run.touched_at for run in last.values())
    return "ok", f"{', '.join(last)}; each was asked on {_at(oldest)} or later"


def ticks(now) -> Result:
    last = heartbeats.last(heartbeats.TICK)
    if last is None:
        return "note", (
            "nothing has ticked yet: run `manage.py serve`, or beat with a worker, or `manage.py "
            "tick` by cron."
        )
    if last >= now - alarms.MAX_TICK_AGE:
        return "ok", f"the last was on {_at(last)}"
    if settings.CELERY_BROKER_URL.startswith("memory:"):
        return "note", f"the last was on {_at(last)}: `manage.py serve` isn't running."
    return "wrong", f"the last was on {_at(last)}: is beat running, and a worker, by one clock?"


def standing_alarms(now) -> Result:
    rows = Alarm.objects.standing().order_by("raised_at")
    if alarms_ := [f"[{row.name}] {row.said}" for row in rows]:
        return "wrong", f"{' '.join(alarms_)} docs/maintenance.md says what to do."
    return "ok", "none"


def webhook(now) -> Result:
    if not settings.ALARM_WEBHOOK:
        return "note", "nobody is told of alarms: set ALARM_WEBHOOK, or read the log."
    host = urlsplit(settings.ALARM_WEBHOOK).hostname
    return "ok", f"{host} is told of alarms; `doctor --sound-alarm` tries it"


def figures(now) -> Result:
    if not settings.METRICS_TOKEN:
        return "ok", "not shown: METRICS_TOKEN is not set"
    return "ok", "at /metrics, for whoever has METRICS_TOKEN"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d at %H:%M} UTC"
