"""The DNS records by which receivers believe our letters, as the operator should publish them.

SPF (RFC 7208) names the servers that send for a domain, DKIM (RFC 6376) holds the key that signs,
and DMARC (RFC 9989) says what is to become of a letter that neither vouches for.
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from subscriptions import mail
from subscriptions.post import esps
from subscriptions.post.signature import Key

STRING = 255  # A TXT record is made of strings of so many octets at most.


@dataclass(frozen=True)
class Record:
    """A TXT record to publish, and what the operator has to know that we can't."""

    name: str
    text: str
    hint: str = ""

    def __str__(self):
        """Return the record as a zone file has it."""
        parts = [self.text[start : start + STRING] for start in range(0, len(self.text), STRING)]
        return f"{self.name}. TXT " + " ".join(f'"{part}"' for part in parts)


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
    if esps.names_one(settings.EMAIL_URL):  # What looks like its host there is a key.
        title = esps.ESPS[urlsplit(settings.EMAIL_URL).scheme].title
        return _spf(domain, "include:NAME", f"NAME is what {title} tells you to include.")
    host = urlsplit(settings.EMAIL_URL).hostname or ""
    address = _address(host)
    if address is not None and address.is_global:
        return _spf(domain, f"ip{address.version}:{address}")
    if address is not None or "." not in host:
        return _spf_of_this_machine(domain)
    if organisation(host) == organisation(domain):
        return _spf(domain, f"a:{host}", f"If {host} hands on to others, name those.")
    return _spf(domain, "include:NAME", f"NAME is what those who run {host} tell you to include.")


def dkim(key: Key) -> Record:
    """Return the public half of the key that signs."""
    name = f"{settings.DKIM_SELECTOR}._domainkey.{settings.DKIM_DOMAIN}"
    return Record(name, f"v=DKIM1; k={key.kind}; p={key.public}")


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
