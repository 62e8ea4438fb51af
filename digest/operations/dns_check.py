"""Check the DNS records for our emails: a grade for each record, and the record to publish.

SPF (RFC 7208) names the servers that send for a domain. DMARC (RFC 9989) says what receivers do
with an email that neither SPF nor a signature (DKIM) authenticates.
"""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

import dns.exception
import dns.resolver
from django.conf import settings

from subscriptions.mail import render

QUERY_SECONDS = 3  # For one query. After a timeout, no other query is sent.
DNS_ERRORS = (dns.exception.DNSException, OSError)

#: The name of the DKIM record contains the mail server's selector, so it cannot be queried.
DKIM_HINT = (
    "cannot be looked up. Your mail server must sign emails, including List-Unsubscribe and "
    "List-Unsubscribe-Post (RFC 8058). Check with `doctor --send-to YOU`: the email must say "
    "dkim=pass and name both in h= of its DKIM-Signature (docs/email.md)."
)
MICROSOFT_REFUSES = "Microsoft answers 550 5.7.515"
ALL_TERM = re.compile(r"\s([-+~?]?)all(?=\s|$)", re.IGNORECASE)
IS_SPF = re.compile(r"v=spf1(\s|$)", re.IGNORECASE)
IS_DMARC = re.compile(r"v\s*=\s*DMARC1\s*(;|$)")


class Record(NamedTuple):
    """A TXT record to publish, and a hint for what only the operator can know."""

    name: str
    text: str
    hint: str = ""


class DnsClient:
    """DNS queries of one examination."""

    def __init__(self, resolver: dns.resolver.Resolver):
        self.resolver = resolver
        self.timeout: dns.exception.Timeout | None = None

    def ask(self, name: str, kind: str) -> list:
        """Return the records of this kind. Raises DNS_ERRORS."""
        if self.timeout is not None:
            raise self.timeout
        lifetime = min(QUERY_SECONDS, self.resolver.lifetime)
        try:
            return list(self.resolver.resolve(f"{name}.", kind, lifetime=lifetime))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            self.timeout = dns.exception.Timeout("no answer in time")
            raise self.timeout from None

    def txt_records(self, name: str, pattern: re.Pattern) -> list[str]:
        """Return the TXT records that match, without control characters. Raises DNS_ERRORS."""
        records = (b"".join(record.strings) for record in self.ask(name, "TXT"))
        texts = (record.decode("utf-8", "replace") for record in records)
        texts = ("".join(filter(str.isprintable, text)) for text in texts)
        return [text for text in texts if pattern.match(text)]


def system_resolver() -> dns.resolver.Resolver:
    """Return the resolver of this machine's settings, or one without servers."""
    try:
        return dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.resolver.Resolver(configure=False)


def domains() -> list[str]:
    """Return the domains of our sender addresses, that of digests first."""
    kinds = ("digest", "confirm")
    return list(dict.fromkeys(render.from_address(kind).domain.lower() for kind in kinds))


def examine(resolver: dns.resolver.Resolver) -> Iterator[tuple[str, str, str]]:
    """Yield the name, grade (ok, note, wrong) and finding of each record."""
    dns_client = DnsClient(resolver)
    for domain in domains():
        yield "SPF", *_describe(_check_spf, spf(domain), dns_client)
    if settings.EMAIL_URL.startswith("smtp"):
        yield "DKIM", "note", DKIM_HINT
    for domain in domains():
        yield "DMARC", *_describe(_check_dmarc, dmarc(domain), dns_client)


def check_bounce_domain(domain: str, resolver: dns.resolver.Resolver) -> tuple[str, str]:
    """Return a grade and a finding: whether the domain accepts mail (RFC 5321, 5.1; RFC 7505)."""
    dns_client = DnsClient(resolver)
    try:
        if servers := dns_client.ask(domain, "MX"):
            takes_mail = any(len(server.exchange.labels) > 1 for server in servers)
        else:
            takes_mail = bool(dns_client.ask(domain, "A") or dns_client.ask(domain, "AAAA"))
    except DNS_ERRORS as error:
        return "note", f"cannot look up the MX record of {domain}: {error}. Check the resolver."
    if takes_mail:
        return "ok", f"{domain} accepts mail"
    return "wrong", (
        f"bounces go to {domain}, which has neither MX record nor address, so they are lost. "
        f"Publish an MX record, or set BOUNCE_ADDRESS to another domain."
    )


def _describe(check: Callable, record: Record, dns_client: DnsClient) -> tuple[str, str]:
    """Return the grade and the finding, with the record to publish unless the grade is ok."""
    try:
        grade, finding = check(record.name, dns_client)
    except DNS_ERRORS as error:
        grade, finding = "note", f"cannot query DNS: {error}. This record should exist:"
    if grade == "ok":
        return grade, finding
    if grade == "wrong" and settings.EMAIL_URL.startswith("file:"):
        grade = "note"  # No email is sent.
    line = f'{record.name}. TXT "{record.text}"'  # As a zone file has it.
    return grade, "\n    ".join(filter(None, (finding, line, record.hint)))


def _wrong_count(texts, name):
    conflict = f"{name} has {len(texts)} records, so receivers ignore all. Publish only one:"
    harm = f" ({MICROSOFT_REFUSES})" if name.startswith("_dmarc.") else ""
    return "wrong", conflict if texts else f"{name} has no record{harm}. Publish:"


# ---- SPF


def spf(domain: str) -> Record:
    """Return the SPF record for this domain, as far as EMAIL_URL allows to guess."""
    server, site = (urlsplit(url).hostname or "" for url in (settings.EMAIL_URL, settings.SITE_URL))
    address = _address(server)
    hint = ""
    if address is not None and address.is_global:
        term = f"ip{address.version}:{address}"
    elif address is None and "." in server:
        # Under a public suffix of two labels (co.uk), this takes others for one organisation.
        if server.lower().split(".")[-2:] == domain.lower().split(".")[-2:]:
            term, hint = f"a:{server}", f"If {server} relays to other servers, name those."
        else:
            term = "include:NAME"
            hint = f"NAME is the domain that the operator of {server} tells you to include."
    elif _address(site) is None and "." in site:  # The server is on this machine, or near it.
        term, hint = f"a:{site}", f"If another machine than {site} sends the emails, name that."
    else:
        term, hint = "ip4:ADDRESS", "ADDRESS is the IP address from which your mail server sends."
    return Record(domain, f"v=spf1 {term} -all", hint)


def _address(host):
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_spf(name, dns_client):
    texts = dns_client.txt_records(name, IS_SPF)
    if len(texts) != 1:
        return _wrong_count(texts, name)
    all_term = ALL_TERM.search(texts[0])
    if all_term is None and "redirect=" not in texts[0].lower():
        return "wrong", f"{name} does not forbid other senders: “{texts[0]}”. Publish:"
    if all_term is not None and all_term[1] in ("", "+", "?"):
        return "wrong", f"{name} lets anybody send ({all_term[0].strip()}): “{texts[0]}”. Publish:"
    return "ok", f"{name}: “{texts[0]}”"


# ---- DMARC


def dmarc(domain: str) -> Record:
    """Return a policy to quarantine emails that neither SPF nor DKIM authenticates."""
    return Record(
        f"_dmarc.{domain}",
        f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}",
        "Receivers send daily reports to the address after rua=: use one that you read.",
    )


def _check_dmarc(name, dns_client):
    """Check the policy of the domain, or else of its organisation: of the shortest parent."""
    own_name, labels = name, name.split(".")
    parents = [".".join(["_dmarc", *labels[-count:]]) for count in range(2, len(labels) - 1)]
    for name in (own_name, *parents):
        if texts := dns_client.txt_records(name, IS_DMARC):
            break
    if len(texts) != 1:
        return _wrong_count(texts, own_name)
    pairs = (pair.partition("=") for pair in texts[0].split(";") if "=" in pair)
    tags = {tag.strip().lower(): "".join(value.split()).lower() for tag, _, value in pairs}
    policy = tags.get("p", "") if name == own_name else tags.get("sp", tags.get("p", ""))
    if policy not in ("none", "quarantine", "reject"):
        return "wrong", f"{name} has no valid policy (p=): “{texts[0]}”. Publish:"
    if policy == "none":
        return "note", f"{name} only monitors: “{texts[0]}”. When the reports look good, publish:"
    return "ok", f"{name}: “{texts[0]}”"
