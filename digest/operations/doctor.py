"""The checks of `manage.py doctor`: what is OK, what is wrong, and how to fix it."""

import time
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

from digest.models import ArchiveFile, FittedModel, Paper, Summary
from digest.numbers import counted
from digest.operations import alarms, dns_check, doctor_environment, heartbeats
from digest.papers import registry, summaries
from subscriptions.bounces import mailboxes, unreadable
from subscriptions.db import first_id_since
from subscriptions.delivery import status, verp
from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.delivery.transports.smtp import SmtpTransport, check
from subscriptions.mail import render
from subscriptions.models import Letter, LetterFact, Topic

#: Domains for examples (RFC 2606), which have no DNS records.
EXAMPLE_NAMES = (
    *("example", "invalid", "test", "localhost"),
    *("example.com", "example.net", "example.org"),
)
#: Domains of private networks (RFC 8375, RFC 6762, and what ICANN has reserved).
PRIVATE_NAMES = ("home.arpa", "local", "internal")


@dataclass(frozen=True)
class CheckResult:
    """The result of one check. `grade`: ok, note (worth knowing) or wrong (to be fixed)."""

    name: str
    grade: Literal["ok", "note", "wrong"]
    text: str


def examine(now, resolver: Resolver | None = None) -> Iterator[CheckResult]:
    """Yield the result of each check. A check that raises is wrong, and the next one runs.

    `resolver` replaces the machine's own for DNS.
    """
    for name, run_check in _checks():
        try:
            grade, text = run_check(now)
        except Exception as error:
            grade, text = _failure(error)
        yield CheckResult(name, grade, text)
        if name == "database" and grade == "wrong":
            return  # Nearly all other checks query it.
    for name, results in (("alarms", _alarms(now)), ("DNS records", _dns_records(resolver))):
        try:
            yield from results
        except Exception as error:
            yield CheckResult(name, *_failure(error))


def _checks() -> list[tuple[str, Callable]]:
    return [
        ("settings", doctor_environment.names),
        ("data folder", doctor_environment.data),  # First: with a full disk, SQLite doesn't answer.
        ("database", doctor_environment.database),
        ("clocks", doctor_environment.clocks),
        ("site", doctor_environment.site),
        ("proxies", doctor_environment.proxies),
        ("secret key", doctor_environment.secret_key),
        ("debug mode", doctor_environment.debugging),
        ("cache", doctor_environment.cache),
        ("broker", _broker),
        ("mail server", _mail_server),
        ("sending", _sending),
        ("senders", _senders),
        ("reply address", _replies),
        ("imprint", _imprint),
        ("bounces", _bounces),
        ("refusals", _refusals),
        ("model", _model),
        ("search index", _search_index),
        ("embeddings", _embeddings),
        ("language model", _language_model),
        ("papers", _papers),
        ("topics", _topics),
        ("sources", doctor_environment.sources),
        ("alarm webhook", doctor_environment.webhook),
        ("metrics", doctor_environment.metrics),
    ]


def _failure(error):
    return "wrong", f"check failed: {type(error).__name__}: {error}"


def _broker(now):
    url = settings.CELERY_BROKER_URL
    if url.startswith("memory:"):
        return "ok", "in the process of `manage.py serve`"
    with current_app.connection_for_write() as connection:
        try:
            connection.ensure_connection(max_retries=1, timeout=5)
        except OperationalError as error:
            return "wrong", (
                f"no answer from CELERY_BROKER_URL ({error}). Start the broker; until then, run "
                f"`manage.py tick` to plan and send by hand."
            )
        if url.startswith("redis") and (problem := _redis(connection.default_channel.client)):
            return "wrong", problem
    return "ok", f"{urlsplit(url).scheme} answers"


def _redis(client):
    """Return what is wrong with a Redis that answers: it may be full, or a replica."""
    try:
        client.set(f"doctor-{uuid4().hex}", "here", ex=1)
    except RedisError as error:
        return f"Redis refuses messages ({error}): check its memory, disk and log."
    if client.info("memory").get("maxmemory_policy", "noeviction") != "noeviction":
        return "Redis may evict messages: set maxmemory-policy to noeviction."
    return ""


#: What to do when the mail server can't be used, by the kind of problem.
SMTP_ADVICE = {
    "unreachable": "Check that the mail server runs, and host and port in EMAIL_URL.",
    "auth": "Check user and password in EMAIL_URL.",
    "tls": (
        "Check that its certificate is valid for this name, and that `tls` in EMAIL_URL is what it "
        "offers on this port: starttls, implicit or none."
    ),
}


def _mail_server(now):
    try:
        transport = transport_for(settings.EMAIL_URL)
    except ImproperlyConfigured as error:
        return "wrong", str(error)
    if not isinstance(transport, SmtpTransport):
        return "note", f"emails go to {settings.DATA_DIR}/outbox: set EMAIL_URL to send them."
    address = f"{transport.server.host}:{transport.server.port}"
    if problem := check(transport.server):
        text = f"{address}: {problem.reply.rstrip('.')}. {SMTP_ADVICE[problem.kind]}"
        return "wrong", f"{text} Emails wait until then."
    return "ok", f"{address} answers"


def _sending(now):
    sending = status.sending_status(now)
    if sending.grade == "on":
        return "ok", sending.text
    return "wrong", f"{sending.text} When it may go on, run `manage.py sending resume`."


def _senders(now):
    digest_sender = render.from_address("digest").addr_spec
    other_sender = render.from_address("confirm").addr_spec
    if digest_sender == other_sender:
        return "note", (
            f"all emails come from {digest_sender}: set TRANSACTIONAL_FROM_EMAIL, so that "
            f"complaints about digests do not affect confirmations."
        )
    return "ok", f"{digest_sender} for digests, {other_sender} for confirmations and links"


def _replies(now):
    reply_address = parseaddr(settings.REPLY_TO_EMAIL)[1]
    if not reply_address:
        sender = render.from_address("digest").addr_spec
        return "note", f"replies go to {sender}: if nobody reads it, set REPLY_TO_EMAIL."
    return "ok", f"replies go to {reply_address}"


def _imprint(now):
    names = ("OPERATOR_NAME", "POSTAL_ADDRESS", "CONTACT_EMAIL")
    missing_names = [name for name in names if not getattr(settings, name)]
    if missing_names:
        return "note", (
            f"many countries require a site and its emails to name the operator: set "
            f"{get_text_list(missing_names, 'and')}."
        )
    return "ok", f"names {settings.OPERATOR_NAME}"


def _bounces(now):
    address = verp.bounce_address("digest")
    if settings.EMAIL_URL.startswith("file:"):
        return "ok", "none: emails are written to files"
    if esp := _esp_with_events():
        events_url, event = _events_address(esp), LetterFact.objects.filter(via=esp.name).first()
        if event is None:
            return "note", f"no events from {esp.title} yet: let it post events to {events_url}."
        return "ok", f"events from {esp.title}, the last on {event.noted_at:%Y-%m-%d}"
    if unread_count := len(list(unreadable.folder().glob("*.eml"))):
        return "note", f"{counted(unread_count, 'unreadable message')}: see {unreadable.folder()}."
    if settings.BOUNCE_MAILBOX:
        try:
            with mailboxes.mailbox_for(settings.BOUNCE_MAILBOX).open():
                return "ok", f"sent to {address}, read from BOUNCE_MAILBOX"
        except mailboxes.MailboxError as error:
            consequence = "Bounces and requests to unsubscribe wait."
            return "wrong", f"cannot read BOUNCE_MAILBOX: {error}. {consequence}"
    event = LetterFact.objects.filter(via="mail").first()
    if event is None and (esp := esps.esp_of(settings.EMAIL_URL)):
        name = "WEBHOOK_SIGNING_KEY" if esp.signs_events else "WEBHOOK_SECRET"
        return "wrong", (
            f"not received: set {name}, and let {esp.title} post events to "
            f"{_events_address(esp)}. Until then, emails also go to dead addresses and to people "
            f"who reported them as spam."
        )
    if event is None:
        return "note", (
            f"none received yet at {address}: pipe this address into `manage.py inbound`, or set "
            f"BOUNCE_MAILBOX. Until then, emails also go to dead addresses."
        )
    return "ok", f"sent to {address}, the last on {event.noted_at:%Y-%m-%d}"


def _refusals(now):
    """Look for Microsoft's answer to emails without valid DMARC."""
    since, code = now - timedelta(days=7), "5.7.515"
    recent = Letter.objects.filter(pk__gte=first_id_since(Letter, "created_at", since))
    reports = LetterFact.objects.filter(noted_at__gt=since, status=code)
    if recent.filter(last_reply__contains=code).exists() or reports.exists():
        domains = get_text_list(dns_check.domains(), "and")
        return "wrong", (
            f"Microsoft refused emails of the last week with 550 {code}: publish DMARC for "
            f"{domains}, and let SPF and DKIM pass for the same domain (docs/email.md)."
        )
    return "ok", f"none with 550 {code} in the last week"


def _esp_with_events():
    """Return the email provider whose events are accepted, if there is one."""
    esp = esps.esp_of(settings.EMAIL_URL)
    return esp if esp and esp.authenticates_events else None


def _events_address(esp):
    return f"{settings.SITE_URL}{reverse('provider-events', args=[esp.name])}"


def _model(now):
    from digest.indexing import model_store

    row = FittedModel.objects.first()
    if row is None:
        return "note", "none yet: the first digest creates one."
    try:
        model_store.load(row)
    except model_store.Damaged as reason:
        return "note", f"{reason}; a worker rebuilds it within ten minutes."
    return "ok", f"{row.size_text}, fitted {row.fitted_at:%Y-%m-%d %H:%M} UTC"


def _search_index(now):
    from digest.indexing import index_store

    row = ArchiveFile.objects.first()
    if row is None:
        return "note", "none yet: a worker builds it within ten minutes."
    try:
        index_store.load(row)
    except index_store.Damaged as reason:
        return "note", f"{reason}; a worker rebuilds it within ten minutes."
    text = f"{counted(row.papers, 'paper')}, {row.size / 1e6:.1f} MB"
    return "ok", f"{text}, written {row.written_at:%Y-%m-%d %H:%M} UTC"


def _embeddings(now):
    from digest.indexing import embeddings
    from digest.indexing.encoder import EncoderError

    if not settings.SEMANTIC_MODEL:
        return "ok", "off: set SEMANTIC_MODEL to use them"
    try:
        model = embeddings.load()
    except EncoderError as error:
        return "wrong", f"{error} Papers are ranked without. Run `manage.py embed` to try again."
    since, days = embeddings.first_day(now), settings.CORPUS_DAYS
    papers = Paper.objects.filter(day__gte=since).count()
    missing = embeddings.without_vector(model, since).count()
    text = f"{papers - missing} of {counted(papers, 'paper')} of the last {days} days"
    if missing:
        return "note", f"{text}; workers add the others, or run `manage.py embed`."
    return "ok", text


def _language_model(now):
    if not settings.LLM_URL:
        return "ok", "off: set LLM_URL to have papers summarised"
    start, sample = time.monotonic(), ("Bread", "We bake bread in 3 ovens and find that it rises.")
    try:
        summaries.ask(*sample, "de")
    except summaries.NoAnswer as error:
        advice = "Check LLM_URL, LLM_MODEL and LLM_API_KEY. Emails have the authors' sentences."
        return "wrong", f"{error or 'it took too long'}. {advice}"
    seconds, week_ago = time.monotonic() - start, now.date() - timedelta(days=7)
    recent = Summary.objects.filter(day__gt=week_ago)
    refused, shown = (recent.exclude(**{field: ""}).count() for field in ("refused", "text"))
    text = f"answers in {seconds:.1f} s; in a week, {refused:,} answers refused and {shown:,} taken"
    return "note" if refused > shown / 4 else "ok", text


def _papers(now):
    newest = Paper.objects.first()
    if newest is None or (timezone.localdate(now) - newest.day).days >= settings.NEW_DAYS:
        command = "harvest" if registry.enabled() else "import_papers FILE"
        text = f"none of the last {settings.NEW_DAYS} days, so digests are empty"
        return "wrong", f"{text}: run `manage.py {command}`."
    return "ok", f"{Paper.objects.count():,}, the newest from {newest.day}"


def _topics(now):
    from digest.ranking.query import queries

    count = Topic.objects.offered().count()
    if not count:
        return "note", "none offered: add some in the panel, or run `manage.py serve`."
    # The panel refuses queries of stop words alone; an import doesn't.
    topics = Topic.objects.offered().exclude(query="").values_list("name", "query", "categories")
    topic_names = [name for name, query, fields in topics if not fields and not queries(query)]
    if topic_names:
        return "note", (
            f"{count} offered. The words of these find no papers: {', '.join(topic_names)}. Change "
            f"or withdraw {'it' if len(topic_names) == 1 else 'them'}."
        )
    return "ok", f"{count} offered"


def _alarms(now):
    active_alarms = alarms.known_alarms(now)
    for alarm in active_alarms:
        text = f"[{alarm.name}] {alarm.text} See `{alarm.name}` in docs/maintenance.md."
        yield CheckResult("alarm", "wrong", text)
    tick = heartbeats.last_beat(heartbeats.TICK)
    if tick is None:
        text = (
            "not running yet: start `manage.py serve`, or Celery beat and a worker, or run "
            "`manage.py tick` by cron."
        )
        yield CheckResult("scheduler", "note", text)
    elif not active_alarms:
        yield CheckResult("alarms", "ok", f"none; the scheduler last ran at {status.utc(tick)}")


def _dns_records(resolver):
    domains = dns_check.domains()
    for names, advice in (
        (EXAMPLE_NAMES, "is an example: set it before you send emails."),
        (PRIVATE_NAMES, "is a private domain: there are no records to publish."),
    ):
        if any(f".{domain}".endswith(tuple(f".{name}" for name in names)) for domain in domains):
            yield CheckResult("DNS records", "note", f"DEFAULT_FROM_EMAIL {advice}")
            return
    resolver = resolver or dns_check.system_resolver()
    yield from (CheckResult(*result) for result in dns_check.examine(resolver))
    if settings.EMAIL_URL.startswith("smtp") and not _esp_with_events():
        domain = verp.bounce_address("digest").rpartition("@")[2]
        yield CheckResult("MX", *dns_check.check_bounce_domain(domain, resolver))
