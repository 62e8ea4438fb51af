"""The envelope sender: an address for each letter, so that a bounce names its letter (VERP).

`bounces+<letter>.<day>.<signature>@domain`. Without the signature, anyone could report bounces of
letters that did not bounce. The day limits how long an address is valid.

`bounces+u.<subscriber>.<signature>@domain` unsubscribes, and never expires. Relays may change the
case of both.
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import constant_time_compare

from subscriptions.mail import render
from subscriptions.models import Subscriber
from subscriptions.security.hashing import keyed_hash, valid_hashes

#: A part of every signature.
PURPOSE = "subscriptions.post.verp"
UNSUBSCRIBE_PURPOSE = "subscriptions.unsubscribe.address"
UNSUBSCRIBE = re.compile(r"(?<![a-z0-9])u\.(\d{1,18})\.([0-9a-f]{16})@[^@]+", re.ASCII)
SIGNATURE_LENGTH = 16  # Hexadecimal digits: 64 bits.
MAX_AGE = timedelta(days=15)  # Mail servers give up after 5 days, people later. From the day.
MAX_LOCAL_OCTETS = 64  # RFC 5321, 4.5.3.1.1.
DELIMITERS = frozenset("!#$%&*+-./=?^_`{|}~")  # Allowed in an address without quotes.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def envelope_sender(kind: str, letter_id: int, now: datetime) -> str:
    """Return the address to which the letter would bounce."""
    base = bounce_address(kind)
    if not settings.RECIPIENT_DELIMITER:
        return base
    local, _, domain = base.rpartition("@")
    stamp = f"{letter_id:x}.{(now - EPOCH).days:x}"
    signature = keyed_hash(PURPOSE, stamp)[:SIGNATURE_LENGTH]
    return f"{local}{settings.RECIPIENT_DELIMITER}{stamp}.{signature}@{domain}"


def bounce_address(kind: str) -> str:
    """Return the address of which each letter of this kind has a variant."""
    return _addr_spec(settings.BOUNCE_ADDRESS) or render.from_address(kind).addr_spec


@cache
def _addr_spec(address):
    return parseaddr(address)[1]


def check() -> None:
    """Raise ImproperlyConfigured for an address that no letter could bounce to."""
    render.check_address("BOUNCE_ADDRESS")
    if settings.RECIPIENT_DELIMITER and settings.RECIPIENT_DELIMITER not in DELIMITERS:
        raise ImproperlyConfigured(
            f"RECIPIENT_DELIMITER must be one character, such as + or -, or empty, not "
            f"{settings.RECIPIENT_DELIMITER!r}."
        )
    base = bounce_address("digest")
    domain = base.rpartition("@")[2]
    max_length = len(envelope_sender("digest", 16**12, EPOCH + timedelta(days=16**4)))
    if settings.RECIPIENT_DELIMITER and max_length - len(domain) - 1 > MAX_LOCAL_OCTETS:
        raise ImproperlyConfigured(
            f"{base} is too long to add the number of an email. Set BOUNCE_ADDRESS to a shorter "
            f"address, or RECIPIENT_DELIMITER to nothing."
        )


def letter_id_of(address: str, now: datetime) -> int | None:
    """Return the id of the letter whose envelope sender this is, or None if it is not ours."""
    base, extension, _ = _split(address)
    stamp, _, signature = extension.lower().rpartition(".")
    if not (base and stamp and _is_signed(signature, PURPOSE, stamp)):
        return None
    letter_id, _, day = stamp.partition(".")
    if now - (EPOCH + timedelta(days=int(day, 16))) > MAX_AGE:
        return None
    return int(letter_id, 16)


def unsubscribe_address(subscriber: Subscriber) -> str:
    """Return the address to which an email unsubscribes, or "" if no mailbox is configured."""
    has_mailbox = settings.BOUNCE_ADDRESS or settings.BOUNCE_MAILBOX
    if not (has_mailbox and settings.RECIPIENT_DELIMITER):
        return ""
    local, _, domain = bounce_address("digest").rpartition("@")
    signature = keyed_hash(UNSUBSCRIBE_PURPOSE, _owner_key(subscriber))[:SIGNATURE_LENGTH]
    return f"{local}{settings.RECIPIENT_DELIMITER}u.{subscriber.pk}.{signature}@{domain}"


def subscriber_of(address: str) -> Subscriber | None:
    """Return whose `unsubscribe_address` this is."""
    if not (match := UNSUBSCRIBE.search(address.lower())):
        return None
    subscriber_id, signature = match.groups()
    subscriber = Subscriber.objects.people().filter(pk=subscriber_id).first()
    if subscriber and _is_signed(signature, UNSUBSCRIBE_PURPOSE, _owner_key(subscriber)):
        return subscriber
    return None


def _is_signed(signature, purpose, value) -> bool:
    hashes = valid_hashes(purpose, value)
    return any([constant_time_compare(signature, text[:SIGNATURE_LENGTH]) for text in hashes])


def _owner_key(subscriber):
    """After a restored backup, another subscriber may get the number, but not the public id."""
    return f"{subscriber.pk}.{subscriber.public_id.hex}"


def is_verp_address(address: str) -> bool:
    """Return whether an address has the form of ours, correctly signed or not."""
    base, extension, domain = _split(address)
    bounce_addresses = [bounce_address(kind).lower() for kind in ("digest", "confirm")]
    return bool(base and extension) and f"{base}@{domain}".lower() in bounce_addresses


def _split(address):
    """Return the parts before and after the delimiter, and the domain."""
    local, _, domain = address.rpartition("@")
    base, _, extension = local.rpartition(settings.RECIPIENT_DELIMITER or "+")
    return base, extension, domain
