"""Checks of what all else needs, and those that recur: see the package's docstring."""

import shutil
import socket
import stat
from collections import Counter
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Min

from digest.models import Harvest
from digest.numbers import counted
from digest.operations import health, heartbeats, invariants
from digest.operations.checks import DAY, FIVE_MINUTES, MINUTE, Button, Note, check
from digest.papers import coverage, registry
from subscriptions import db
from subscriptions.delivery import circuit_breaker, status
from subscriptions.delivery.status import utc
from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models import Letter, LetterFact
from subscriptions.security import rate_limits

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
State = Letter.State

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
MAX_TICK_AGE = timedelta(minutes=5)
MAX_REPLY_TIME = timedelta(minutes=2)  # Of a mail server.
MAX_SOURCE_FAILURE = timedelta(hours=3)
MAX_STOP = timedelta(hours=1)  # Sending stopped for longer may have been forgotten.
MIN_FREE_SHARE, MIN_FREE_BYTES = 0.05, 2 * 10**9  # Of a disk: the lesser of both.
#: Below either, there is no alarm: a list of good addresses loses one in fifty.
MIN_REJECTED, MIN_SHARE = 5, 0.05
SAMPLE_SIZE = 500  # Rejections that are read to find the main domain.

FETCH = Button("Fetch new papers", "digest_harvest_fetch")
RESUME = Button("Resume sending", "subscriptions_sending_resume")
OPEN_SENDING = Button("Open Sending", "subscriptions_sending_changelist")


@check("note", name="settings")
def misspelt_settings(now):
    """No setting is misspelt."""
    pairs = settings.MISSPELT_SETTINGS
    return " ".join(f"{name} is not a setting. Did you mean {meant}?" for name, meant in pairs)


# With a full disk, SQLite does not answer.
@check()
def data_folder(now):
    """DATA_DIR can be written, and read by no other users."""
    folder = settings.DATA_DIR
    if reason := health.reason_not_writable(folder):
        return (
            f"cannot write to {folder} ({reason}): free its disk, create the folder and "
            "give it to the user that runs Paperboy, or set DATA_DIR to another one."
        )
    if folder.stat().st_mode & stat.S_IRWXO:
        return Note(f"other users of this machine can read {folder}: run `chmod o= {folder}`.")


@check("alarm")
def database(now):
    """The database answers, and keeps what it has committed."""
    if reasons := health.reasons_not_ready(in_full=True):
        return " ".join(reasons)
    if connection.vendor == "postgresql":
        return _postgresql()
    if _query_value("PRAGMA synchronous") != 2:
        return "SQLite may lose commits in a power cut: set synchronous to FULL."
    if not settings.CELERY_BROKER_URL.startswith("memory:"):
        return Note("SQLite allows one writer at a time: set DATABASE_URL for several processes.")


def _postgresql():
    if unsafe_settings := [name for name in DURABILITY if _query_value(f"SHOW {name}") == "off"]:
        return (
            "PostgreSQL may lose committed data, so emails could be sent twice: switch on "
            f"{', '.join(unsafe_settings)}."
        )
    free = max(0, _query_value(CONNECTIONS_LEFT))
    if free < MIN_CONNECTIONS:
        return (
            f"PostgreSQL has {free} free connections: workers without one plan and send nothing. "
            "Raise max_connections, or find what holds them (docs/install.md)."
        )
    if endless := [name for name in TIMEOUTS if _query_value(f"SHOW {name}") == "0"]:
        return Note(
            f"a hanging query can block others for ever, because {', '.join(endless)} is off. "
            "Behind a pooler, set it for the role (docs/install.md)."
        )


def _query_value(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


# ---- Each minute, by cheap queries


@check("wrong", MINUTE, name="read-only")
def read_only(now):
    """PostgreSQL, if it is used, accepts writes."""
    if not health.is_writable():
        return (
            "Nothing can be saved and no emails are sent now: PostgreSQL is read-only. Set "
            "DATABASE_URL to the primary, or free its disk."
        )


@check("note", MINUTE)
def scheduler(now):
    """The scheduler has run."""
    if heartbeats.last_beat(heartbeats.TICK) is None:
        return (
            "Nothing is planned or sent yet: start `manage.py serve`, or Celery beat and a worker, "
            "or run `manage.py tick` by cron."
        )


@check("alarm", MINUTE)
def beat(now):
    """The scheduler, once started, runs at least every five minutes."""
    last_tick = heartbeats.last_beat(heartbeats.TICK)
    if last_tick is None or last_tick >= now - MAX_TICK_AGE:
        return None
    cause = (
        "`serve`, Celery beat or all workers are down, or their clocks are a minute apart. Start "
        "Celery beat and a worker, or run `manage.py tick`."
    )
    # A worker that waits for the mail server's reply does not tick.
    transmitting = Letter.objects.open().filter(state=State.TRANSMITTING)
    if count := transmitting.filter(left_at__lte=now - MAX_REPLY_TIME).count():
        emails = counted(count, "email")
        cause = (
            f"workers wait for the mail server's reply to {emails}. If they keep waiting, run "
            "`manage.py sending stop`."
        )
    return (
        f"The scheduler has not run for some minutes: it last ran at {utc(last_tick)}, and {cause}"
    )


@check("alarm", MINUTE, OPEN_SENDING)
def planning(now):
    """While sending is on, digests are planned within ALARM_LATE_MINUTES."""
    count, since = _count_since(invariants.overdue(now, settings.ALARM_LATE), "next_due_at")
    if count:
        return (
            f"Digests are late: {counted(count, 'digest')} not planned, due since {utc(since)}. "
            "Check the workers and their log."
        )


@check("alarm", MINUTE, OPEN_SENDING)
def letters(now):
    """While sending is on, emails are sent within ALARM_LATE_MINUTES."""
    if circuit_breaker.current().wait_reason(now):  # The reason is told by another check.
        return None
    count, since = _count_since(Letter.objects.due(now - settings.ALARM_LATE), "next_try_at")
    if count:
        return (
            f"Emails are late: {counted(count, 'email')} waiting for a worker since {utc(since)}. "
            "`manage.py sending` says what waits."
        )


def _count_since(rows, field):
    """Return the number of rows and the earliest moment, by one query: rows may go meanwhile."""
    sums = rows.aggregate(count=Count("pk"), since=Min(field))
    return sums["count"], sums["since"]


UNCERTAIN = Button(
    "Show these emails", "subscriptions_letter_changelist", "?state__exact=uncertain"
)


@check("alarm", MINUTE, UNCERTAIN)
def uncertain(now):
    """The outcome of every email is known."""
    if count := Letter.objects.open().filter(state=State.UNCERTAIN).count():
        return (
            f"The outcome of some emails is unknown: {counted(count, 'email')}, sent once more "
            "after a quarter of an hour."
        )


@check("alarm", MINUTE, RESUME)
def stopped(now):
    """Sending has not been stopped for an hour."""
    stopped_at = circuit_breaker.current().stopped_at
    if stopped_at and stopped_at < now - MAX_STOP:
        return _sending_text(now)


@check("alarm", MINUTE, RESUME)
def breaker(now):
    """The mail server has not refused all emails for long."""
    row = circuit_breaker.current()
    if row.is_alarming and not row.stopped_at:
        return _sending_text(now)


@check("wrong", MINUTE, RESUME)
def sending(now):
    """Sending has not stopped lately."""
    if not stopped(now) and not breaker(now):
        return _sending_text(now)


def _sending_text(now):
    state = status.sending_status(now)
    if state.grade != "on":
        advice = "When it may go on, run `manage.py sending resume`."
        return f"No emails are sent now: {state.text} {advice}"


@check("alarm", MINUTE)
def flood(now):
    """No form is closed by the rate limit for all visitors."""
    for endpoint in rate_limits.closed_endpoints(now):
        yield (
            endpoint,
            f"Too many emails requested from many networks: the form is closed ({endpoint}) until "
            "the requests stop.",
        )


@check("alarm", MINUTE, FETCH)
def papers(now):
    """arXiv's newest list, if it is read, is complete six hours after it should be out."""
    if texts := coverage.alarms(now):
        return f"{' '.join(texts)} `manage.py harvest arxiv` asks again."


RETRY = Button("Retry", "digest_harvest_fetch", "?source={}")


@check("alarm", MINUTE, RETRY)
def source(now):
    """No source's last import failed, with an alarm after three hours."""
    successes = health.last_harvests(state=Harvest.State.DONE)
    all_failures = Harvest.objects.filter(since=None, state=Harvest.State.FAILED)
    for name, title in registry.titles(successes).items():
        failures = all_failures.filter(source=name)
        if last_success := successes[name]:
            failures = failures.filter(started_at__gt=last_success.started_at)
        last_failure = failures.first()
        if last_failure is None:
            continue
        began_at = failures.last().started_at
        text = (
            f"The last import from {title} failed at {utc(last_failure.touched_at)}: "
            f"{last_failure.result or 'no reason is known.'} Imports have failed since "
            f"{utc(began_at)}. Run `manage.py harvest {name}`."
        )
        yield name, text if began_at < now - MAX_SOURCE_FAILURE else Note(text)


def disk_of_data():
    """Return the usage of the disk of DATA_DIR, which need not exist yet."""
    folder = settings.DATA_DIR
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists()))


@check("alarm", MINUTE, is_local=True)
def disk(now):
    """The disk of DATA_DIR has a twentieth or 2 GB free."""
    usage, host = disk_of_data(), socket.gethostname()
    if usage.free < min(usage.total * MIN_FREE_SHARE, MIN_FREE_BYTES):
        yield (
            host,
            f"A disk is nearly full: {usage.free / 10**6:,.0f} MB free for {settings.DATA_DIR} on "
            f"{host}. Delete files, or enlarge the disk.",
        )


# ---- By beat alone, because they take longer

BOUNCES = Button("Show bounces", "subscriptions_letterfact_changelist", "?kind__exact=bounced")


@check("alarm", FIVE_MINUTES, BOUNCES)
def refused(now):
    """Few of the last day's digests were refused or bounced.

    A wrong address costs one letter. A provider that blocks us, or a mail server that no longer
    relays our letters, refuses every letter with a reply about that letter. Only the rate shows the
    problem. Accepted digests are only counted if enough were rejected: there may be very many.
    """
    letters = db.rows_since(Letter, "created_at", now - DAY)
    digests = letters.filter(Letter.EMAILS, kind=Letter.Kind.DIGEST)
    # Excludes an empty reason, so that the partial index is used.
    rejected = digests.filter(state=State.FAILED).exclude(reason="")
    rejected = rejected.filter(reason__startswith=f"{Letter.REFUSED}: ")
    accepted = digests.filter(state=State.ACCEPTED)
    bounces = LetterFact.objects.filter(kind=LetterFact.Kind.BOUNCED, noted_at__gte=now - DAY)
    rejected_count = rejected.count()
    count = rejected_count + accepted.filter(pk__in=bounces.values("letter")).count()
    total = rejected_count + accepted.count() if count >= MIN_REJECTED else 0
    if not total or count < MIN_SHARE * total:
        return None
    # The domain that rejects most, and its latest reply.
    rows = rejected.select_related("subscriber").order_by("-pk")[:SAMPLE_SIZE]
    replies = [(_domain(letter), letter.last_reply) for letter in rows]
    reports = bounces.filter(letter__in=digests).select_related("letter__subscriber")
    replies += [(_domain(report.letter), report.reply) for report in reports[:SAMPLE_SIZE]]
    domain = Counter(name for name, _ in replies).most_common(1)[0][0]
    reply = next(reply for name, reply in replies if name == domain)
    return (
        f"Many emails are rejected: {count:,} of {total:,} digests of the last 24 hours were "
        f"rejected or bounced, most by {domain}: {without_addresses(reply).rstrip('.')}."
    )


def _domain(letter):
    return letter.recipient.rpartition("@")[2].lower()


EMAILS = Button("Show emails", "subscriptions_letter_changelist")


@check("alarm", DAY, EMAILS)
def promises(now):
    """The last daily check found no violated invariant."""
    for result in invariants.examine(now, now - invariants.RECENT):
        if result.count:
            yield (
                result.name,
                f"A delivery invariant is violated: “{result.sentence}” ({result.name}) is "
                f"{result.text}. This is a bug, or somebody wrote into the database.",
            )
