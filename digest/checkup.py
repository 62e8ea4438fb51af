"""The doctor's questions: what is well, what is wrong, and what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from digest import health
from digest.models import FittedModel, Paper
from subscriptions import mail
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.post.conversation import check
from subscriptions.post.transports import SmtpTransport, transport_for


@dataclass(frozen=True)
class Finding:
    """One answer. `grade` is ok, note (worth knowing) or wrong (needs doing)."""

    what: str
    grade: Literal["ok", "note", "wrong"]
    said: str


def examine(now) -> Iterator[Finding]:
    """Yield a finding for each part. A part that breaks is wrong, and the next is looked at."""
    parts: list[tuple[str, Callable]] = [
        ("database", _database),
        ("broker", _broker),
        ("mail server", _mail_server),
        ("model", _model),
        ("papers", _papers),
        ("topics", _topics),
        ("schedule", _schedule),
        ("DNS records", _dns_records),
    ]
    for what, look in parts:
        try:
            grade, said = look(now)
        except Exception as error:
            grade, said = "wrong", f"can't be looked at: {type(error).__name__}: {error}"
        yield Finding(what, grade, said)
        if what == "database" and grade == "wrong":
            return  # Nearly all of the rest asks it.


def _database(now):
    if reasons := health.reasons_not_ready():
        return "wrong", " ".join(reasons)
    return "ok", settings.DATABASES["default"]["ENGINE"].rpartition(".")[2]


def _broker(now):
    url = settings.CELERY_BROKER_URL
    if url.startswith("memory:"):
        return "ok", "in the process, with `manage.py serve`"
    with current_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=5)
        if url.startswith("redis"):
            policy = connection.default_channel.client.config_get("maxmemory-policy")
            if policy.get("maxmemory-policy") not in ("noeviction", None):
                return "wrong", "Redis may evict messages: set maxmemory-policy to noeviction."
    return "ok", f"{urlsplit(url).scheme} answers"


def _mail_server(now):
    try:
        transport = transport_for(settings.EMAIL_URL)
    except ImproperlyConfigured as error:
        return "wrong", str(error)
    if not isinstance(transport, SmtpTransport):
        return "note", f"letters become files in {settings.DATA_DIR}/outbox: set EMAIL_URL to send."
    where = f"{transport.server.host}:{transport.server.port}"
    if problem := check(transport.server):
        return "wrong", f"{where}: {problem}. Letters wait and are tried again."
    return "ok", f"{where} answers"


def _model(now):
    from digest import fitting

    row = FittedModel.objects.first()
    if row is None:
        return "note", "none yet: the first planning fits one."
    try:
        fitting.load(row)
    except fitting.Damaged as reason:
        return "note", f"{reason}; the next planning fits it anew."
    return "ok", f"of {row.fitted_at:%Y-%m-%d %H:%M} UTC, {row.documents} papers, {row.terms} terms"


def _papers(now):
    newest = Paper.objects.first()
    if newest is None:
        return "wrong", "there are none: run `manage.py import_papers FILE`."
    age = (timezone.localdate(now) - newest.day).days
    if age >= settings.NEW_DAYS:
        return "wrong", f"the newest is of {newest.day}: digests are empty. Import newer ones."
    return "ok", f"{Paper.objects.count()}, the newest of {newest.day}"


def _topics(now):
    count = Topic.objects.offered().count()
    if not count:
        return "note", "none is offered: `manage.py serve` makes starter topics, or add some."
    return "ok", f"{count} offered"


def _schedule(now):
    late = Subscriber.objects.due(now - timedelta(minutes=5)).count()
    waiting = Letter.objects.due(now - timedelta(minutes=5)).count()
    if late or waiting:
        return "wrong", (
            f"{late} subscribers and {waiting} letters have been due for over 5 minutes: is beat "
            f"running, and a worker? `manage.py tick` does one pass by hand."
        )
    return "ok", "nothing is overdue"


def _dns_records(now):
    domain = mail.from_address().domain
    if domain.endswith((".example", ".example.org", ".example.com")):
        return "note", "DEFAULT_FROM_EMAIL is an example: set it before you send."
    return "note", (
        f"{domain} should publish SPF (the servers that send), DKIM (signed by your mail server) "
        f"and DMARC: _dmarc.{domain} TXT “v=DMARC1; p=quarantine”."
    )
