"""The DNS records by which receivers believe our letters, as the operator should publish them.

SPF (RFC 7208) names the servers that send for a domain, and DMARC (RFC 9989) says what is to become
of a letter that neither SPF nor a signature (DKIM) vouches for.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from subscriptions import mail


@dataclass(frozen=True)
class Record:
    """A TXT record to publish, and what the operator has to know that we can't."""

    name: str
    text: str
    hint: str = ""

    def __str__(self):
        """Return the record as a zone file has it."""
        return f'{self.name}. TXT "{self.text}"'


def domains() -> list[str]:
    """Return the domains that our letters are from, that of digests first."""
    kinds = ("digest", "confirm")
    return list(dict.fromkeys(mail.from_address(kind).domain.lower() for kind in kinds))


def organisation(domain: str) -> str:
    """Return the domain of whoever has this one, where public suffixes have one label.

    Under those of two (co.uk), strangers look like one organisation: then we warn less, not more.
    """
    return ".".join(domain.lower().split(".")[-2:])


def spf(domain: str) -> Record:
    """Return who may send for this domain, as far as EMAIL_URL tells."""
    host = urlsplit(settings.EMAIL_URL).hostname or ""
    address = _address(host)
    if address is not None and address.is_global:
        return _spf(domain, f"ip{address.version}:{address}")
    if address is not None or "." not in host:
        return _spf_of_this_machine(domain)
    if organisation(host) == organisation(domain):
        return _spf(domain, f"a:{host}", f"If {host} hands on to others, name those.")
    return _spf(domain, "include:NAME", f"NAME is what those who run {host} tell you to include.")


def dmarc(domain: str) -> Record:
    """Return that letters which neither SPF nor DKIM vouches for are not ours."""
    return Record(
        f"_dmarc.{domain}",
        f"v=DMARC1; p=quarantine; rua=mailto:postmaster@{domain}",
        "Receivers send daily reports to the address after rua=: name one that you read.",
    )


def _spf(domain, senders, hint=""):
    return Record(domain, f"v=spf1 {senders} -all", hint)


def _spf_of_this_machine(domain):
    """Letters are handed to a server on this machine, or in its own network."""
    site = urlsplit(settings.SITE_URL).hostname
    if _address(site) is None and "." in site:
        hint = f"If letters leave from another machine than {site}, name that one."
        return _spf(domain, f"a:{site}", hint)
    return _spf(domain, "ip4:ADDRESS", "ADDRESS is the one from which your mail server sends.")


def _address(host):
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
