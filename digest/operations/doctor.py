"""The checks of `manage.py doctor`: what is well, what is wrong, and what to do about it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

from celery import current_app
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django.utils import timezone
from django.utils.text import get_text_list
from dns.resolver import Resolver
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from digest.models import ArchiveFile, FittedModel, Paper
from digest.operations import doctor_environment
from digest.wording import counted
from subscriptions.bounces import mailboxes, unreadable
from subscriptions.delivery import status, verp
from subscriptions.delivery.authentication import dns_check
from subscriptions.delivery.recovery import lookup
from subscriptions.delivery.recovery.journal import folder_of_journals
from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.delivery.transports.smtp import SmtpTransport, check
from subscriptions.mail import render
from subscriptions.models import Letter, LetterFact, Subscriber, Topic

#: Domains for examples (RFC 2606), which have no DNS records.
EXAMPLE_NAMES = (
    "example",
    "invalid",
    "test",
    "localhost",
    "example.com",
    "example.net",
    "example.org",
)
#: Domains of private networks (RFC 8375, RFC 6762, and what ICANN has reserved).
PRIVATE_NAMES = ("home.arpa", "local", "internal")


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. `grade`: ok, note (worth knowing) or wrong (to be fixed)."""

    what: str
    grade: Literal["ok", "note", "wrong"]
    said: str


def examine(now, resolver: Resolver | None = None) -> Iterator[CheckResult]:
    """Yield the result of each check. A check that raises is wrong, and the next one runs.

    `resolver` replaces the machine's own for DNS.
    """
    for what, check_part in _checks():
        try:
            grade, said = check_part(now)
        except Exception as error:
            grade, said = _failure(error)
        yield CheckResult(what, grade, said)
        if what == "database" and grade == "wrong":
            return  # Nearly all other checks query it.
    try:
        yield from _dns_records(resolver)
    except Exception as error:
        yield CheckResult("DNS records", *_failure(error))


def _checks() -> list[tuple[str, Callable]]:
    return [
        ("settings", doctor_environment.names),
        ("data", doctor_environment.data),  # First: with a full disk, SQLite doesn't answer.
        ("database", doctor_environment.database),
        ("clocks", doctor_environment.clocks),
        ("site", doctor_environment.site),
        ("proxies", doctor_environment.proxies),
        ("secret key", doctor_environment.secret_key),
        ("debugging", doctor_environment.debugging),
        ("cache", doctor_environment.cache),
        ("broker", _broker),
        ("mail server", _mail_server),
        ("sending", _sending),
        ("oracle", _delivery_lookup),
        ("journal", _journal),
        ("doubts", _doubts),
        ("senders", _senders),
        ("replies", _replies),
        ("imprint", _imprint),
        ("bounces", _bounces),
        ("model", _model),
        ("archive", _archive),
        ("embeddings", _embeddings),
        ("papers", _papers),
        ("topics", _topics),
        ("sources", doctor_environment.sources),
        ("ticks", doctor_environment.ticks),
        ("schedule", _schedule),
        ("alarms", doctor_environment.standing_alarms),
        ("webhook", doctor_environment.webhook),
        ("figures", doctor_environment.figures),
    ]


def _failure(error):
    return "wrong", f"can't be looked at: {type(error).__name__}: {error}"


def _broker(now):
    url = settings.CELERY_BROKER_URL
    if url.startswith("memory:"):
        return "ok", "in the process, with `manage.py serve`"
    with current_app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5)
        except OperationalError as error:
            return "wrong", (
                f"what CELERY_BROKER_URL names doesn't answer ({error}). Until it does, `manage.py "
                f"tick` plans and sends by hand."
            )
        if url.startswith("redis") and (said := _redis(connection.default_channel.client)):
            return "wrong", said
    return "ok", f"{urlsplit(url).scheme} answers"


def _redis(client):
    """Return what is wrong with a Redis that answers: it may be full, or a replica."""
    try:
        client.set(f"doctor-{uuid4().hex}", "here", ex=1)
    except RedisError as error:
        return (
            f"Redis answers, but takes no messages ({error}): see its memory, its disk and its log."
        )
    if client.info("memory").get("maxmemory_policy", "noeviction") != "noeviction":
        return "Redis may evict messages: set maxmemory-policy to noeviction."
    return ""


#: What to do when the mail server can't be used, by the kind of problem.
SMTP_ADVICE = {
    "unreachable": "See that the mail server runs, and that EMAIL_URL has its host and its port.",
    "auth": "See that EMAIL_URL has the user and the password that it asks for.",
    "tls": (
        "See that its certificate is of now and of this name, and that `tls` in EMAIL_URL is what "
        "it offers on this port: starttls, implicit or none."
    ),
}


def _mail_server(now):
    try:
        transport = transport_for(settings.EMAIL_URL)
    except ImproperlyConfigured as error:
        return "wrong", str(error)
    if not isinstance(transport, SmtpTransport):
        return "note", f"letters become files in {settings.DATA_DIR}/outbox: set EMAIL_URL to send."
    where = f"{transport.server.host}:{transport.server.port}"
    if problem := check(transport.server):
        said = f"{where}: {problem.reply.rstrip('.')}. {SMTP_ADVICE[problem.kind]}"
        return "wrong", f"{said} Until then, letters wait."
    return "ok", f"{where} answers"


def _sending(now):
    sending = status.sending_status(now)
    if sending.grade == "stopped":
        return "wrong", f"{sending.said} When all is well: `manage.py sending resume`."
    if sending.grade == "tripped":
        return "wrong", f"{sending.said} Once mended, `manage.py sending resume` waits no longer."
    return "ok", sending.said


def _delivery_lookup(now):
    try:
        found = lookup.configured_lookup()
    except ImproperlyConfigured as error:
        return "wrong", str(error)
    if isinstance(found, lookup.NoLookup) and _esp_with_events():
        return "ok", "what the provider posts to us about a letter, where it has"
    if isinstance(found, lookup.NoLookup):
        return "note", (
            "none: after a crash, a letter may arrive twice, the very same. With a Postfix on "
            "this machine, set ORACLE=postfix:/var/log/mail.log."
        )
    if isinstance(found, lookup.PostfixLookup):
        try:
            found.path.open("rb").close()
        except OSError as error:
            return "wrong", (
                f"{found.path} can't be read ({error.strerror}): let Postfix write it "
                f"(maillog_file), and this user read it: docs/install.md has the lines."
            )
        return "ok", f"the Postfix whose log is {found.path}"
    return "ok", "the outbox itself"


def _journal(now):
    folder = folder_of_journals()
    if folder.exists():
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\n")  # On a full disk, closing the file raises.
        return "ok", f"{folder} can be written to"
    parent = next(path for path in folder.parents if path.exists())
    if not os.access(parent, os.W_OK):
        return "wrong", f"{folder} can't be made: give this user the right to write to {parent}."
    return "ok", f"{folder} is made once a mail server takes letters"


def _doubts(now):
    for queue in status.queues(now):
        if queue.state == Letter.State.UNCERTAIN:
            return "note", f"of {queue.count} letters {queue.label}: {queue.said}."
    return "ok", "no letter is in doubt"


def _senders(now):
    digests, transactional = (render.from_address(kind).addr_spec for kind in ("digest", "confirm"))
    if digests == transactional:
        return "note", (
            f"all letters are from {digests}: with a TRANSACTIONAL_FROM_EMAIL of their own, "
            f"confirmations don't suffer from complaints about digests."
        )
    return "ok", f"digests are from {digests}, what was asked for in person from {transactional}"


def _replies(now):
    reader = parseaddr(settings.REPLY_TO_EMAIL)[1]
    if not reader:
        sender = render.from_address("digest").addr_spec
        return "note", f"answers go to {sender}: where nobody reads it, set REPLY_TO_EMAIL."
    return "ok", f"answers go to {reader}"


def _imprint(now):
    names = ("OPERATOR_NAME", "POSTAL_ADDRESS", "CONTACT_EMAIL")
    missing = [name for name in names if not getattr(settings, name)]
    if missing:
        return "note", (
            f"many countries want a site, and letters to many, to say who is behind "
            f"them: set {get_text_list(missing, 'and')}."
        )
    return "ok", f"names {settings.OPERATOR_NAME}"


def _bounces(now):
    address = verp.bounce_address("digest")
    if settings.EMAIL_URL.startswith("file:"):
        return "ok", "letters become files, and none comes back"
    if esp := _esp_with_events():
        where, last = _events_address(esp), LetterFact.objects.filter(via=esp.name).first()
        if last is None:
            return "note", f"{esp.title} has told nothing yet: have it post its events to {where}."
        return "ok", f"{esp.title} tells; the last time was on {last.noted_at:%Y-%m-%d}"
    if unread := len(list(unreadable.folder().glob("*.eml"))):
        return "note", f"{unread} messages could not be read: look into {unreadable.folder()}."
    if settings.BOUNCE_MAILBOX:
        try:
            with mailboxes.mailbox_for(settings.BOUNCE_MAILBOX).open():
                return "ok", f"they come to {address}, and are read from BOUNCE_MAILBOX"
        except mailboxes.MailboxError as trouble:
            return "wrong", f"BOUNCE_MAILBOX can't be read: {trouble}. They wait in it."
    last = LetterFact.objects.filter(via="mail").first()
    if last is None and (esp := esps.esp_of(settings.EMAIL_URL)):
        name = "WEBHOOK_SIGNING_KEY" if esp.signs_events else "WEBHOOK_SECRET"
        return "wrong", (
            f"{esp.title} tells nobody: set {name}, and have it post its events to "
            f"{_events_address(esp)}. Else letters go to dead addresses, and to who reported them, "
            f"for ever."
        )
    if last is None:
        return "note", (
            f"they come to {address}, and none was read yet: pipe that address into `manage.py "
            f"inbound`, or set BOUNCE_MAILBOX. Else letters go to dead addresses for ever."
        )
    return "ok", f"they come to {address}; the last was read on {last.noted_at:%Y-%m-%d}"


def _esp_with_events():
    """Return the email provider whose events are accepted, if there is one."""
    esp = esps.esp_of(settings.EMAIL_URL)
    return esp if esp and esp.authenticates_events else None


def _events_address(esp):
    return f"{settings.SITE_URL}{reverse('provider-events', args=[esp.name])}"


def _model(now):
    from digest.indexing import model_store
    from digest.ranking.parameters import OLD

    if old := sorted(settings.RANKING.keys() & OLD):
        return "note", f"RANKING has {', '.join(old)}, which changes nothing any more: remove it."
    row = FittedModel.objects.first()
    if row is None:
        return "note", "none yet: the first planning fits one."
    try:
        model_store.load(row)
    except model_store.Damaged as reason:
        return "note", f"{reason}; a worker fits it anew within ten minutes."
    return "ok", f"of {row.fitted_at:%Y-%m-%d %H:%M} UTC, {row.said}"


def _archive(now):
    from digest.indexing import index_store

    row = ArchiveFile.objects.first()
    if row is None:
        return "note", "none yet: a worker writes it within ten minutes; the search waits for it."
    try:
        index_store.load(row)
    except index_store.Damaged as reason:
        return "note", f"{reason}; a worker writes it anew within ten minutes."
    said = f"of {row.written_at:%Y-%m-%d %H:%M} UTC, {counted(row.papers, 'paper')}"
    return "ok", f"{said}, {row.size / 1e6:.1f} MB to search in"


def _embeddings(now):
    from digest.indexing import embeddings
    from digest.indexing.encoder import EncoderError

    if not settings.SEMANTIC_MODEL:
        return "ok", "off: papers are ranked by their words. SEMANTIC_MODEL switches them on."
    try:
        model = embeddings.load()
    except EncoderError as error:
        return "wrong", f"{error} Papers are ranked without. `manage.py embed` tries again."
    papers = Paper.objects.filter(day__gte=embeddings.window(now)).count()
    missing = embeddings.missing(model, embeddings.window(now)).count()
    said = (
        f"{papers - missing} of {counted(papers, 'paper')} of the last {settings.CORPUS_DAYS} days"
    )
    if missing:
        return "note", f"{said}; workers compute the others, or `manage.py embed` at once."
    return "ok", said


def _papers(now):
    newest = Paper.objects.first()
    if newest is None:
        if settings.SOURCES:
            return "wrong", "there are none: `manage.py harvest` fetches the first."
        return "wrong", "there are none: run `manage.py import_papers FILE`."
    age = (timezone.localdate(now) - newest.day).days
    if age >= settings.NEW_DAYS:
        advice = "Why none comes, *sources* tells." if settings.SOURCES else "Import newer ones."
        return "wrong", f"the newest is of {newest.day}: digests are empty. {advice}"
    return "ok", f"{Paper.objects.count()}, the newest of {newest.day}"


def _topics(now):
    from digest.ranking.query import queries

    count = Topic.objects.offered().count()
    if not count:
        return "note", "none is offered: `manage.py serve` makes starter topics, or add some."
    # The panel refuses queries of stop words alone; an import doesn't.
    topics = Topic.objects.offered().exclude(query="").values_list("name", "query", "categories")
    names = [name for name, query, fields in topics if not fields and not queries(query)]
    if names:
        return "note", (
            f"{count} offered, of which no paper is found by the words of: {', '.join(names)}. "
            f"Change or withdraw {'it' if len(names) == 1 else 'them'}."
        )
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


def _dns_records(resolver):
    domains = dns_check.domains()
    for names, said in (
        (EXAMPLE_NAMES, "is an example: set it before you send."),
        (PRIVATE_NAMES, "is known in this house alone: there is nothing to publish."),
    ):
        if any(f".{domain}".endswith(tuple(f".{name}" for name in names)) for domain in domains):
            yield CheckResult("DNS records", "note", f"DEFAULT_FROM_EMAIL {said}")
            return
    resolver = resolver or dns_check.system_resolver()
    for what, grade, said in dns_check.examine(resolver):
        yield CheckResult(what, grade, said)
    if settings.EMAIL_URL.startswith("smtp") and not _esp_with_events():
        domain = verp.bounce_address("digest").rpartition("@")[2]
        yield CheckResult("MX", *dns_check.check_bounce_domain(domain, resolver))
