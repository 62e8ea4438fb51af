"""What DNS says of our letters, against what it should say: a grade for each record."""

import re
from collections.abc import Callable, Iterator

import dns.exception
import dns.resolver
from django.conf import settings

from subscriptions.post import dns_records
from subscriptions.post.dns_records import Record

SECONDS = 3  # For one question. After one that nobody answered, no other is asked.
POLICIES = ("none", "quarantine", "reject")
REMOVED = ("pct", "rf", "ri")  # By RFC 9989 from RFC 7489.
MAX_LABELS = 7  # From longer names, the walk to the parents jumps to this (RFC 9989, 4.10).

#: The name of its record in DNS is the mail server's own (its selector), so it can't be asked for.
SIGNED_ELSEWHERE = (
    "your mail server must sign, and its signature must cover List-Unsubscribe and "
    "List-Unsubscribe-Post (RFC 8058). `doctor --send-to YOU` shows it: the email that arrives "
    "says dkim=pass, and names both in h= of its DKIM-Signature (docs/mail.md)."
)
ALL = re.compile(r"\s([-+~?]?)all(?=\s|$)", re.IGNORECASE)


class Unanswered(Exception):
    """DNS can't be asked. Says why."""


class Dns:
    """DNS, as one examination asks it."""

    def __init__(self, resolver: dns.resolver.Resolver):
        self.resolver = resolver
        self.trouble = ""

    def texts(self, name: str) -> list[str]:
        """Return the texts of this name's TXT records. Raises Unanswered."""
        texts = (b"".join(record.strings).decode("utf-8", "replace") for record in self._ask(name))
        return ["".join(filter(str.isprintable, text)) for text in texts]  # For a terminal.

    def takes_mail(self, name: str) -> bool:
        """Return whether mail can be sent to this domain (RFC 5321, 5.1; RFC 7505).

        Raises Unanswered.
        """
        if servers := list(self._ask(name, "MX")):
            return any(len(server.exchange.labels) > 1 for server in servers)
        return any(True for kind in ("A", "AAAA") for _ in self._ask(name, kind))

    def _ask(self, name, kind="TXT"):
        """Return the records of this kind: none, where there are none. Raises Unanswered."""
        if self.trouble:
            raise Unanswered(self.trouble)
        lifetime = min(SECONDS, self.resolver.lifetime)
        try:
            return self.resolver.resolve(f"{name}.", kind, lifetime=lifetime)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except dns.exception.Timeout:
            self.trouble = "nobody answered in time"
        except (dns.exception.DNSException, OSError) as error:
            raise Unanswered(str(error)) from None  # Of this name alone.
        raise Unanswered(self.trouble)


def system_resolver() -> dns.resolver.Resolver:
    """Return the resolver that this machine is set up with, or one that knows no server."""
    try:
        return dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.resolver.Resolver(configure=False)


def examine(resolver: dns.resolver.Resolver) -> Iterator[tuple[str, str, str]]:
    """Yield for each record which it is, its grade (ok, note, wrong), and what is said of it."""
    asked, domains = Dns(resolver), dns_records.domains()
    for domain in domains:
        yield "SPF", *_answer(_spf, dns_records.spf(domain), asked)
    if settings.EMAIL_URL.startswith("smtp"):
        yield "DKIM", "note", SIGNED_ELSEWHERE
    for domain in domains:
        yield "DMARC", *_answer(_dmarc, dns_records.dmarc(domain), asked)


def where_bounces_come(domain: str, resolver: dns.resolver.Resolver) -> tuple[str, str]:
    """Return a grade, and what is said, of whether letters can come back to this domain."""
    try:
        if Dns(resolver).takes_mail(domain):
            return "ok", f"{domain} takes mail"
    except Unanswered as reason:
        return "note", f"DNS can't be asked whether {domain} takes mail: {reason}."
    return "wrong", (
        f"letters come back to {domain}, which has no MX record and no address: nothing is ever "
        f"known of those that don't arrive. Publish an MX, or set BOUNCE_ADDRESS to another domain."
    )


def _answer(judge: Callable, record: Record, asked: Dns) -> tuple[str, str]:
    """Return the grade and what is said, with the record to publish where not all is well."""
    try:
        grade, said = judge(record, asked)
    except Unanswered as reason:
        grade, said = "note", f"DNS can't be asked: {reason}. This should be there:"
    if grade == "ok":
        return grade, said
    if grade == "wrong" and settings.EMAIL_URL.startswith("file:"):
        grade = "note"  # No letter leaves.
    return grade, "\n    ".join(filter(None, (said, str(record), record.hint)))


# ---- The records, one by one


def _spf(record, asked):
    texts = [text for text in asked.texts(record.name) if re.match(r"v=spf1(\s|$)", text, re.I)]
    if problem := _not_one(texts, record.name):
        return "wrong", problem
    (text,) = texts
    others = ALL.search(text)
    if others is None and "redirect=" not in text.lower():
        return "wrong", f"{record.name} doesn't say that all others may not send: “{text}”."
    if others is not None and others[1] in ("", "+", "?"):
        return "wrong", f"{record.name} lets anybody send ({others[0].strip()}): “{text}”."
    return "ok", f"{record.name}: “{text}”"


def _dmarc(record, asked):
    name, texts = _dmarc_in_force(record.name, asked)
    if problem := _not_one(texts, name):
        return "wrong", problem
    (text,) = texts
    tags = _tags(text)
    policy = tags.get("p", "").lower()
    if name != record.name:
        policy = tags.get("sp", policy).lower()
    if policy not in POLICIES:
        return "wrong", f"{name} has no policy (p=) that exists: “{text}”."
    if policy == "none":
        return "note", f"{name} only watches: “{text}”. When its reports are good, publish:"
    if gone := [tag for tag in REMOVED if tag in tags]:
        return "note", f"{name}: {', '.join(gone)} means nothing since RFC 9989: “{text}”."
    return "ok", f"{name}: “{text}”"


def _not_one(texts, name):
    if not texts:
        return f"{name} has none. Publish:"
    if len(texts) > 1:
        return f"{name} has {len(texts)}, of which receivers use none. Publish one:"
    return ""


def _dmarc_in_force(name, asked):
    """Return where the policy for this name is, and its texts (RFC 9989, 4.10).

    Its own comes first, then that of its organisation: the shortest parent that has one, as far as
    none says that it is (psd=n), or that it only hands out domains to others (psd=y).
    """
    found = name, _dmarc_texts(name, asked)
    if found[1]:
        return found
    for parent in _parents(name.removeprefix("_dmarc.")):
        texts = _dmarc_texts(f"_dmarc.{parent}", asked)
        psd = _tags(texts[0]).get("psd", "u").lower() if len(texts) == 1 else None
        if psd == "y":
            break
        if psd:
            found = f"_dmarc.{parent}", texts
        if psd == "n":
            break
    return found


def _dmarc_texts(name, asked):
    return [text for text in asked.texts(name) if re.match(r"v\s*=\s*DMARC1\s*(;|$)", text)]


def _parents(domain):
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(max(1, len(labels) - MAX_LABELS), len(labels))]


def _tags(text):
    """Return the tags of a DMARC record: `v=DMARC1; p=none`."""
    pairs = (pair.partition("=") for pair in text.split(";") if "=" in pair)
    return {name.strip().lower(): "".join(value.split()) for name, _, value in pairs}
