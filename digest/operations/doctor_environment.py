"""The doctor's checks of the installation: settings, secrets, disk, database, clock, scheduler.

Each check takes the current time and returns a grade (ok, note or wrong) and a sentence, which says
how to fix what is wrong.
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

from digest.models import Harvest
from digest.operations import alarms, health, heartbeats
from digest.papers import registry
from subscriptions.delivery import clock
from subscriptions.models import Consent
from subscriptions.security import rate_limits

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MIN_POSTGRESQL = 15
MIN_CONNECTIONS = 3  # For a worker and a web server that start.
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
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
        return "wrong", "SQLite may lose commits in a power cut: set synchronous to FULL."
    if settings.CELERY_BROKER_URL.startswith("memory:"):
        return "ok", "SQLite, good for one machine and thousands of subscribers"
    return "note", "SQLite allows one writer at a time: set DATABASE_URL for several processes."


def _postgresql():
    if unsafe_settings := [name for name in DURABILITY if _query_value(f"SHOW {name}") == "off"]:
        return "wrong", (
            f"PostgreSQL may lose committed data, so emails could be sent twice: switch on "
            f"{', '.join(unsafe_settings)}."
        )
    if not health.is_writable():
        text = "PostgreSQL is read-only: set DATABASE_URL to the primary, or free its disk."
        return "wrong", text
    if (free := max(0, _query_value(CONNECTIONS_LEFT))) < MIN_CONNECTIONS:
        return "wrong", (
            f"PostgreSQL has {free} free connections: workers without one plan and send nothing. "
            f"Raise max_connections, or find what holds them (docs/install.md)."
        )
    if endless := [name for name in TIMEOUTS if _query_value(f"SHOW {name}") == "0"]:
        return "note", (
            f"a hanging query can block others for ever, because {', '.join(endless)} is off. "
            f"Behind a pooler, set it for the role (docs/install.md)."
        )
    major = connection.pg_version // 10_000
    if major < MIN_POSTGRESQL:
        return "note", f"PostgreSQL {major}; upgrade to {MIN_POSTGRESQL} or later."
    return "ok", f"PostgreSQL {major}"


def _query_value(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def clocks(now) -> Result:
    # Emails are due by the database's clock, log-ins and links expire by the machine's.
    skew = abs((clock.database_now() - timezone.now()).total_seconds())
    if skew > MAX_SKEW_SECONDS:
        text = f"this machine and the database are {skew:,.0f} seconds apart: set both by NTP."
        return "wrong", text
    if skew > SKEW_SECONDS:
        return "note", f"this machine and the database are {skew:.0f} seconds apart."
    return "ok", "this machine and the database agree"


def names(now) -> Result:
    misspelt = settings.MISSPELT_SETTINGS
    notes = [f"{name} is not a setting. Did you mean {setting}?" for name, setting in misspelt]
    return ("note", " ".join(notes)) if notes else ("ok", "no misspelt settings")


def site(now) -> Result:
    host = urlsplit(settings.SITE_URL).hostname
    if not validate_host(host, settings.ALLOWED_HOSTS):
        return "wrong", f"links lead to {host}, which is not served: add it to ALLOWED_HOSTS."
    if "*" in settings.ALLOWED_HOSTS:
        return "note", "ALLOWED_HOSTS is *, which accepts any host: list your host names."
    if host in LOCAL_HOSTS:
        return "note", f"links lead to {settings.SITE_URL}, which works on this machine only."
    if not settings.IS_HTTPS:
        return "note", (
            "links use http, which others on the network can read and change: set up TLS, then "
            "change SITE_URL to https."
        )
    return "ok", settings.SITE_URL


def proxies(now) -> Result:
    sign_ups = Consent.objects.filter(act=Consent.Act.ASKED, ip__isnull=False).order_by("-pk")
    ips = list(sign_ups.values_list("ip", flat=True)[:SIGN_UPS])
    if len(ips) == SIGN_UPS and len(set(ips)) == 1 and not ip_address(ips[0]).is_global:
        return "note", (
            f"the last {SIGN_UPS} sign-ups all came from {ips[0]}, which is not a public "
            f"address: if it is your proxy, add it to TRUSTED_PROXIES (docs/security.md)."
        )
    if rate_limits.was_proxy_bypassed(now):
        return "wrong", (
            f"a sign-up of the last day bypassed one of the {settings.TRUSTED_PROXIES} proxies in "
            f"TRUSTED_PROXIES, so visitors can forge their address: lower the number, or block "
            f"requests that do not pass all proxies (docs/security.md)."
        )
    if settings.TRUSTED_PROXIES:
        return "ok", "X-Forwarded-For: trusted from TRUSTED_PROXIES"
    if settings.IS_HTTPS:
        return "note", (
            "all visitors seem to have the address of the TLS proxy and share its rate limits: set "
            "TRUSTED_PROXIES (docs/security.md)."
        )
    return "ok", "X-Forwarded-For: not trusted"


def secret_key(now) -> Result:
    file = settings.DATA_DIR / "secret-key"
    if len(settings.SECRET_KEY) < settings.MIN_SECRET_KEY_LENGTH:
        return "note", (
            f"SECRET_KEY has {len(settings.SECRET_KEY)} characters and can be guessed. Use at "
            f"least {settings.MIN_SECRET_KEY_LENGTH}, and move the old key to SECRET_KEY_FALLBACKS."
        )
    if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return "wrong", f"other users of this machine can read {file}: run `chmod 600 {file}`."
    if used_at := heartbeats.last_unknown_key(now):
        return "note", (
            f"another key was in use until {_format_utc(used_at)}, and links in emails from then "
            f"do not work: add it to SECRET_KEY_FALLBACKS unless it was stolen (docs/security.md)."
        )
    return "ok", f"{len(settings.SECRET_KEY)} characters"


def debugging(now) -> Result:
    if settings.DEBUG:
        return "note", "DEBUG is on: error pages show code and settings to everyone. Set DEBUG=0."
    return "ok", "off"


def data(now) -> Result:
    folder = settings.DATA_DIR
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return "wrong", (
            f"cannot write to {folder} ({error.strerror}): create the folder and give it to the "
            "user that runs Paperboy, or set DATA_DIR to another one."
        )
    disk = shutil.disk_usage(folder)
    free_space = f"{disk.free / 10**9:,.1f} of {disk.total / 10**9:,.0f} GB free"
    if alarms.is_nearly_full(disk):
        return "wrong", f"{folder}: only {free_space}. See `disk` in docs/maintenance.md."
    if folder.stat().st_mode & stat.S_IRWXO:
        return "note", f"other users of this machine can read {folder}: run `chmod o= {folder}`."
    return "ok", f"{folder}: {free_space}"


def cache(now) -> Result:
    location = urlsplit(str(settings.CACHES["default"].get("LOCATION", "")))
    if not location.scheme:
        return "ok", "in the memory of each process"
    key = f"doctor-{uuid4().hex}"
    caches["default"].set(key, "here", timeout=5)  # An error of it is the doctor's result.
    if caches["default"].get(key) != "here":
        return "wrong", "the cache loses values at once: check the server in CACHE_URL."
    return "ok", f"{location.scheme} answers"


def sources(now) -> Result:
    if not registry.enabled():
        return "note", "none is on: switch one on in the panel, or run `manage.py import_papers`."
    runs = health.last_harvests()
    failed = [name for name, run in runs.items() if not run or run.state == Harvest.State.FAILED]
    if failed:
        return "note", f"{', '.join(failed)} not fetched: run `manage.py harvest`."
    oldest = min(run.touched_at for run in runs.values())
    return "ok", f"{', '.join(runs)}; all fetched since {_format_utc(oldest)}"


def webhook(now) -> Result:
    if not settings.ALARM_WEBHOOK:
        return "note", "alarms are only logged: set ALARM_WEBHOOK to be notified."
    host = urlsplit(settings.ALARM_WEBHOOK).hostname
    return "ok", f"alarms are posted to {host}; test it by `doctor --sound-alarm`"


def metrics(now) -> Result:
    if not settings.METRICS_TOKEN:
        return "ok", "off: METRICS_TOKEN is not set"
    return "ok", "at /metrics, protected by METRICS_TOKEN"


def _format_utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
