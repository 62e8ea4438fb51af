"""The envelope's sender: an address for each letter, so that what comes back tells which.

`bounces+<letter>.<day>.<signature>@domain` (VERP). The signature keeps strangers from making
letters up that came back, and the day from using an old one.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from functools import cache

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import constant_time_compare, salted_hmac

from subscriptions.mail import render

SALT = "subscriptions.post.verp"
SIGNS = 16  # Hexadecimal digits of the signature: 64 bits.
COMES_BACK_FOR = timedelta(days=14)  # Mail servers give up after five days, people later.
LOCAL_OCTETS = 64  # RFC 5321, 4.5.3.1.1.
DELIMITERS = frozenset("!#$%&*+-./=?^_`{|}~")  # What an address holds without quotes.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


def envelope_sender(kind: str, letter_id: int, now: datetime) -> str:
    """Return where the letter comes back to, if it does."""
    base = where_bounces_come(kind)
    if not settings.RECIPIENT_DELIMITER:
        return base
    local, _, domain = base.rpartition("@")
    stamp = f"{letter_id:x}.{(now - EPOCH).days:x}"
    return f"{local}{settings.RECIPIENT_DELIMITER}{stamp}.{_sign(stamp)}@{domain}"


def where_bounces_come(kind: str) -> str:
    """Return the address under which each letter of this kind has its own."""
    return _base(settings.BOUNCE_ADDRESS) or render.from_address(kind).addr_spec


@cache
def _base(bounce_address):
    return parseaddr(bounce_address)[1]


def check() -> None:
    """Refuse, at the start, an address that no letter could come back to."""
    render.check_address("BOUNCE_ADDRESS")
    if settings.RECIPIENT_DELIMITER and settings.RECIPIENT_DELIMITER not in DELIMITERS:
        raise ImproperlyConfigured(
            f"RECIPIENT_DELIMITER must be one sign, such as + or -, or nothing, not "
            f"{settings.RECIPIENT_DELIMITER!r}."
        )
    base = where_bounces_come("digest")
    domain = base.rpartition("@")[2]
    longest = len(envelope_sender("digest", 16**12, EPOCH + timedelta(days=16**4)))
    if settings.RECIPIENT_DELIMITER and longest - len(domain) - 1 > LOCAL_OCTETS:
        raise ImproperlyConfigured(
            f"{base} is too long to have a letter's number put behind it: set BOUNCE_ADDRESS to a "
            f"shorter one, or RECIPIENT_DELIMITER to nothing."
        )


def letter_of(address: str, now: datetime) -> int | None:
    """Return the number of the letter that came back to this address; None where it is not ours."""
    stamp, _, signature = _extension(address).lower().rpartition(".")
    if not stamp or not _is_signed(stamp, signature):
        return None
    letter_id, _, day = stamp.partition(".")
    if now - (EPOCH + timedelta(days=int(day, 16))) > COMES_BACK_FOR + timedelta(days=1):
        return None
    return int(letter_id, 16)


def names_a_letter(address: str) -> bool:
    """Return whether an address is made as ours are, rightly or not: it names a letter."""
    base, domain = _split(address)
    ours = {_base(settings.BOUNCE_ADDRESS)} if settings.BOUNCE_ADDRESS else _senders()
    return bool(_extension(address)) and f"{base}@{domain}".lower() in {one.lower() for one in ours}


def _senders():
    return {render.from_address(kind).addr_spec for kind in ("digest", "confirm")}


def _split(address):
    """Return what stands before the delimiter, and the domain."""
    local, _, domain = address.rpartition("@")
    return local.rpartition(settings.RECIPIENT_DELIMITER or "+")[0], domain


def _extension(address):
    local = address.rpartition("@")[0]
    return local.rpartition(settings.RECIPIENT_DELIMITER or "+")[2] if _split(address)[0] else ""


def _is_signed(stamp, signature):
    """Return whether we signed it, with the key that we have or with one that we had."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(signature, _sign(stamp, key)) for key in keys)


def _sign(stamp, secret=None):
    return salted_hmac(SALT, stamp, secret, algorithm="sha256").hexdigest()[:SIGNS]
