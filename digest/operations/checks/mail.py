"""Checks of how emails leave and come back, which the doctor alone runs.

SPF (RFC 7208) names the servers that send for a domain. DMARC (RFC 9989) says what receivers do
with an email that neither SPF nor a signature (DKIM) authenticates.
"""

import re
from email.utils import parseaddr
from typing import NamedTuple
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse
from django.utils.text import get_text_list

from digest.numbers import counted
from digest.operations.checks import DAY, Note, check
from subscriptions.bounces import mailboxes, unreadable
from subscriptions.db import first_id_since
from subscriptions.delivery import verp
from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.delivery.transports.smtp import SmtpTransport
from subscriptions.delivery.transports.smtp import check as check_server
from subscriptions.mail import render
from subscriptions.models import Letter, LetterFact

#: What to do when the mail server can't be used, by the kind of problem.
SMTP_ADVICE = {
    "unreachable": "Check that the mail server runs, and host and port in EMAIL_URL.",
    "auth": "Check user and password in EMAIL_URL.",
    "tls": (
        "Check that its certificate is valid for this name, and that `tls` in EMAIL_URL is what it "
        "offers on this port: starttls, implicit or none."
    ),
}
#: Domains without DNS records: for examples (RFC 2606), and of private networks (RFC 8375, RFC
#: 6762, and what ICANN has reserved).
EXAMPLE_NAMES = ".example .invalid .test .localhost .example.com .example.net .example.org"
PRIVATE_NAMES = ".home.arpa .local .internal"
DNS_ERRORS = (dns.exception.DNSException, OSError)
MICROSOFT_CODE = "5.7.515"
ALL_TERM = re.compile(r"\s([-+~?]?)all(?=\s|$)", re.IGNORECASE)
IS_SPF = re.compile(r"v=spf1(\s|$)", re.IGNORECASE)
TAG = re.compile(r"(\w+)\s*=\s*([^;\s]*)")
IS_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")


@check()
def mail_server(now):
    """The mail server answers."""
    try:
        transport = transport_for(settings.EMAIL_URL)
    except ImproperlyConfigured as error:
        return str(error)
    if not isinstance(transport, SmtpTransport):
        return Note(f"emails go to {settings.DATA_DIR}/outbox: set EMAIL_URL to send them.")
    if problem := check_server(transport.server):
        return (
            f"{transport.server.host}:{transport.server.port}: {problem.reply.rstrip('.')}. "
            f"{SMTP_ADVICE[problem.kind]} Emails wait until then."
        )


@check("note")
def senders(now):
    """Digests and confirmations have senders of their own."""
    sender = render.from_address("digest").addr_spec
    if sender == render.from_address("confirm").addr_spec:
        return (
            f"all emails come from {sender}: set TRANSACTIONAL_FROM_EMAIL, so that "
            "complaints about digests do not affect confirmations."
        )


@check("note")
def reply_address(now):
    """Replies go to REPLY_TO_EMAIL."""
    if not parseaddr(settings.REPLY_TO_EMAIL)[1]:
        sender = render.from_address("digest").addr_spec
        return f"replies go to {sender}: if nobody reads it, set REPLY_TO_EMAIL."


@check()
def bounces(now):
    """Bounces, if emails leave, come in."""
    if settings.EMAIL_URL.startswith("file:"):
        return None
    if esp := _esp_with_events():
        if LetterFact.objects.filter(via=esp.name).exists():
            return None
        return Note(f"no events from {esp.title} yet: let it post events to {_events_url(esp)}.")
    if unread_count := len(list(unreadable.folder().glob("*.eml"))):
        count = counted(unread_count, "unreadable message")
        return Note(f"{count}: see {unreadable.folder()}.")
    if settings.BOUNCE_MAILBOX:
        try:
            with mailboxes.mailbox_for(settings.BOUNCE_MAILBOX).open():
                return None
        except mailboxes.MailboxError as error:
            return f"cannot read BOUNCE_MAILBOX: {error}. Bounces and requests to unsubscribe wait."
    if LetterFact.objects.filter(via="mail").exists():
        return None
    if esp := esps.esp_of(settings.EMAIL_URL):
        name = "WEBHOOK_SIGNING_KEY" if esp.signs_events else "WEBHOOK_SECRET"
        return (
            f"not received: set {name}, and let {esp.title} post events to "
            f"{_events_url(esp)}. Until then, emails also go to dead addresses and to people "
            "who reported them as spam."
        )
    return Note(
        f"none received yet at {verp.bounce_address('digest')}: pipe this address into "
        "`manage.py inbound`, or set BOUNCE_MAILBOX. Until then, emails also go to dead addresses."
    )


def _esp_with_events():
    """Return the email provider whose events are accepted, if there is one."""
    esp = esps.esp_of(settings.EMAIL_URL)
    return esp if esp and esp.authenticates_events else None


def _events_url(esp):
    return f"{settings.SITE_URL}{reverse('provider-events', args=[esp.name])}"


@check()
def refusals(now):
    """Microsoft has refused no email of the last week for want of DMARC."""
    since = now - 7 * DAY
    letters = Letter.objects.filter(pk__gte=first_id_since(Letter, "created_at", since))
    reports = LetterFact.objects.filter(noted_at__gt=since, status=MICROSOFT_CODE)
    if letters.filter(last_reply__contains=MICROSOFT_CODE).exists() or reports.exists():
        domains = get_text_list(sender_domains(), "and")
        return (
            f"Microsoft refused emails of the last week with 550 {MICROSOFT_CODE}: publish DMARC "
            f"for {domains}, and let SPF and DKIM pass for the same domain (docs/email.md)."
        )


# ---- DNS


class Record(NamedTuple):
    """A TXT record to publish, and a hint for what only the operator can know."""

    name: str
    text: str
    hint: str = ""


def sender_domains() -> list[str]:
    """Return the domains of our sender addresses, that of digests first."""
    domains = [render.from_address(kind).domain.lower() for kind in ("digest", "confirm")]
    return list(dict.fromkeys(domains))


@check("note", name="DNS records")
def dns_records(now):
    """The domains of our senders are public."""
    for names, text in (
        (EXAMPLE_NAMES, "is an example: set it before you send emails."),
        (PRIVATE_NAMES, "is a private domain: there are no records to publish."),
    ):
        endings = tuple(names.split())
        if any(f".{domain}".endswith(endings) for domain in sender_domains()):
            return f"DEFAULT_FROM_EMAIL {text}"


@check(name="SPF")
def spf(now):
    """Each sender's domain, if public, has an SPF record that forbids other servers."""
    return _missing_records(now, spf_record, _spf_fault)


@check(name="DMARC")
def dmarc(now):
    """Each sender's domain, if public, has a DMARC policy."""
    return _missing_records(now, dmarc_record, _dmarc_fault)


@check("note", name="DKIM")
def dkim(now):
    """No emails leave that need a signature."""
    # The name of the record contains the mail server's selector, so it cannot be queried.
    if settings.EMAIL_URL.startswith("smtp"):
        return (
            "cannot be looked up. Your mail server must sign emails, including List-Unsubscribe "
            "and List-Unsubscribe-Post (RFC 8058). Check with `doctor --send-to YOU`: the email "
            "must say dkim=pass and name both in h= of its DKIM-Signature (docs/email.md)."
        )


@check(name="MX")
def mx(now):
    """The domain of bounces, if they come by mail, accepts mail (RFC 5321, 5.1; RFC 7505)."""
    if not settings.EMAIL_URL.startswith("smtp") or _esp_with_events() or dns_records(now):
        return None
    domain = verp.bounce_address("digest").rpartition("@")[2]
    try:
        servers = _ask(domain, "MX")
        takes_mail = any(len(server.exchange.labels) > 1 for server in servers)
        if not servers:
            takes_mail = _ask(domain, "A") or _ask(domain, "AAAA")
    except DNS_ERRORS as error:
        return Note(f"cannot look up the MX record of {domain}: {error}. Check the resolver.")
    if not takes_mail:
        return (
            f"bounces go to {domain}, which has neither MX record nor address, so they are lost. "
            "Publish an MX record, or set BOUNCE_ADDRESS to another domain."
        )


def _ask(name, kind) -> list:
    """Return the records of this kind. Raises DNS_ERRORS."""
    try:
        return list(dns.resolver.resolve(f"{name}.", kind))
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []


def _txt_records(name, pattern) -> list[str]:
    """Return the TXT records that match, without control characters. Raises DNS_ERRORS."""
    texts = [b"".join(record.strings).decode("utf-8", "replace") for record in _ask(name, "TXT")]
    texts = ["".join(filter(str.isprintable, text)) for text in texts]
    return [text for text in texts if pattern.match(text)]


def _missing_records(now, record_of, fault_of):
    """Yield the domains whose record has a fault, each with the fault and the record to publish."""
    if dns_records(now):
        return
    for domain in sender_domains():
        record = record_of(domain)
        try:
            fault = fault_of(record.name)
        except DNS_ERRORS as error:
            fault = Note(f"cannot query DNS: {error}. This record should exist:")
        if fault:
            line = f'{record.name}. TXT "{record.text}"'  # As a zone file has it.
            text = "\n    ".join(filter(None, (fault, line, record.hint)))
            is_unused = settings.EMAIL_URL.startswith("file:")
            yield domain, Note(text) if is_unused or isinstance(fault, Note) else text


def _count_fault(name, texts):
    if texts:
        return f"{name} has {len(texts)} records, so receivers ignore all. Publish only one:"
    harm = f" (Microsoft answers 550 {MICROSOFT_CODE})" if name.startswith("_dmarc.") else ""
    return f"{name} has no record{harm}. Publish:"


def spf_record(domain: str) -> Record:
    """Return the SPF record for this domain, as far as EMAIL_URL allows to guess."""
    server = urlsplit(settings.EMAIL_URL).hostname or ""
    # Under a public suffix of two labels (co.uk), this takes others for one organisation.
    if server.lower().split(".")[-2:] == domain.lower().split(".")[-2:]:
        hint = f"If {server} relays to other servers, name those."
        return Record(domain, f"v=spf1 a:{server} -all", hint)
    hint = (
        "NAME is the domain that the operator of your mail server tells you to include. For your "
        "own server, write ip4: and the address from which it sends in place of include:NAME."
    )
    return Record(domain, "v=spf1 include:NAME -all", hint)


def _spf_fault(name):
    texts = _txt_records(name, IS_SPF)
    if len(texts) != 1:
        return _count_fault(name, texts)
    all_term = ALL_TERM.search(texts[0])
    if all_term is None and "redirect=" not in texts[0].lower():
        return f"{name} does not forbid other senders: “{texts[0]}”. Publish:"
    if all_term is not None and all_term[1] in ("", "+", "?"):
        return f"{name} lets anybody send ({all_term[0].strip()}): “{texts[0]}”. Publish:"
    return ""


def dmarc_record(domain: str) -> Record:
    """Return a policy to quarantine emails that neither SPF nor DKIM authenticates."""
    return Record(
        f"_dmarc.{domain}",
        f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}",
        "Receivers send daily reports to the address after rua=: use one that you read.",
    )


def _dmarc_fault(own_name):
    """Check the policy of the domain, or else of its organisation: of the shortest parent."""
    labels = own_name.split(".")
    parents = [".".join(["_dmarc", *labels[-count:]]) for count in range(2, len(labels) - 1)]
    for name in (own_name, *parents):
        if texts := _txt_records(name, IS_DMARC):
            break
    if len(texts) != 1:
        return _count_fault(own_name, texts)
    tags = dict(TAG.findall(texts[0].lower()))
    policy = tags.get("p", "") if name == own_name else tags.get("sp", tags.get("p", ""))
    if policy not in ("none", "quarantine", "reject"):
        return f"{name} has no valid policy (p=): “{texts[0]}”. Publish:"
    if policy == "none":
        text = f"{name} only monitors: “{texts[0]}”. When the reports look good, publish:"
        return Note(text)
    return ""
