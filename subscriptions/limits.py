"""How often a door may be knocked at: by one network, for one mailbox, by all together.

A door that sends letters to whoever is named there asks two questions:

    try:
        limits.knock("lost link", request.META["REMOTE_ADDR"], now)
    except limits.TooMany as refusal:
        return too_many(request, refusal)               # views.py: 429, which is about the visitor
    if limits.may_write_to("lost link", address, now):  # normalised, as addresses.normalise has it
        ...                                             # write the letter
    ...                                                 # the same answer, letter or none

The first is about who knocks, so she is told. The second is about the address, whose owner may be
somebody else: a page that told of it would tell who signed up. Both count attempts, not letters,
or a limit would tell which address gets none. Each door counts for itself, by its name.

At most so many attempts are let in in *any* such time, not in each hour by the clock. What is
turned away is not counted and leaves no row: a flood ends, and stores as much as the limits let in.
Where the database can't be asked, every door is closed.

Rows hold keyed hashes, no addresses and no networks, and go after a day.
"""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from math import ceil

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from subscriptions import addresses
from subscriptions.models import Attempt

logger = logging.getLogger(__name__)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEPT = DAY  # As long as the longest limit counts back.
UNTOLD = 5  # As many networks, where a proxy hides who knocks and we weren't told of it.
AGAIN = timedelta(minutes=1)  # After this long, a door is tried again that could not be counted.

#: The doors where anyone can have a letter sent to any address.
LETTER_DOORS = ("sign-up", "lost link", "new address")


class TooMany(Exception):
    """A limit is reached. `by` says which, `retry_after` in how many seconds it no longer is."""

    def __init__(self, door: str, by: str, wait: timedelta):
        super().__init__(f"{door}: {by}")
        self.door, self.by = door, by
        self.retry_after = ceil(wait.total_seconds())


@dataclass(frozen=True)
class Limit:
    """At most `most` attempts in any time of this length, for one value of what it goes by."""

    by: str
    value: str
    most: int
    within: timedelta


def knock(door: str, ip: str | None, now: datetime) -> None:
    """Count a visitor who wants a letter sent, to whomever. Raises TooMany.

    `ip` is the visitor's: config.proxies has put it into REMOTE_ADDR.
    """
    try:
        spend(door, [_by_network(ip), Limit("all", "", settings.LIMITS["all"], HOUR)], now)
    except TooMany as refusal:
        if refusal.by == "all" and once_in(HOUR, door, now):
            logger.error(
                "More than %d letters were asked for in an hour (%s), from many networks. The door "
                "is closed until it is less: see docs/security.md.",
                settings.LIMITS["all"],
                door,
            )
        raise


def may_write_to(door: str, address: str, now: datetime) -> bool:
    """Count a letter to this normalised address. Return whether its mailbox may get it."""
    mailbox = Limit("mailbox", addresses.mailbox(address), settings.LIMITS["mailbox"], DAY)
    try:
        spend(door, [mailbox], now)
    except TooMany:
        return False
    return True


def spend(door: str, limits: Sequence[Limit], now: datetime) -> list[Attempt]:
    """Count one attempt under all of these limits. Raises TooMany where one is reached.

    Then it counts under none. Inside another transaction, others that fall under the same limits
    wait for its end. Return what was written down, for take_back.
    """
    try:
        _refuse_if_reached(door, limits, now)  # Without a lock, which a flood would queue for.
        with transaction.atomic():
            if connection.vendor == "postgresql":  # SQLite has one writer at a time anyway.
                for limit in limits:
                    with connection.cursor() as cursor:
                        number = int(_key(door, limit)[:15], 16)
                        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
            _refuse_if_reached(door, limits, now)
            return Attempt.objects.bulk_create(
                Attempt(key=_key(door, limit), at=now) for limit in limits
            )
    except DatabaseError as error:
        logger.error("attempts can't be counted: %s", type(error).__name__)
        raise TooMany(door, "store", AGAIN) from error


def take_back(attempts: Sequence[Attempt]) -> None:
    """Let attempts not count that turned out to be none of those that a limit is for."""
    Attempt.objects.filter(pk__in=[attempt.pk for attempt in attempts]).delete()


def forget(door: str, limit: Limit) -> int:
    """Forget what was counted under a limit. Return how many attempts there were."""
    return Attempt.objects.filter(key=_key(door, limit)).delete()[0]


def once_in(time: timedelta, told: str, now: datetime) -> bool:
    """Return whether this is the first time in so long, for what need not be told again."""
    try:
        spend("told", [Limit("", told, 1, time)], now)
    except TooMany:
        return False
    return True


def note_came_past(now: datetime) -> None:
    """Tell, once a day, that somebody signed up past a proxy that TRUSTED_PROXIES counts."""
    if once_in(DAY, _past_proxies(), now):
        logger.error(
            "Somebody signed up past one of the %s proxies of TRUSTED_PROXIES: visitors may say "
            "who they are. See docs/security.md.",
            settings.TRUSTED_PROXIES,
        )


def somebody_came_past(now: datetime) -> bool:
    """Return whether that was so within the last day, with the number of proxies as it is now."""
    return _wait("told", Limit("", _past_proxies(), 1, DAY), now) is not None


def _past_proxies():
    return f"came past {settings.TRUSTED_PROXIES} proxies"


def closed_doors(now: datetime) -> list[str]:
    """Return the doors that are closed to everyone, since all together knocked too often."""
    everyone = Limit("all", "", settings.LIMITS["all"], HOUR)
    return [door for door in LETTER_DOORS if _wait(door, everyone, now) is not None]


def network_of(ip: str | None) -> str:
    """Return the network that counts as one visitor: of IPv4 256 addresses, of IPv6 a /48.

    That is what one customer of a provider can have without effort. An address that is none, as
    that of a socket in the file system, is a network of its own.
    """
    try:
        address = ip_address(ip or "")
    except ValueError:
        return ip or ""
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def purge(now: datetime) -> int:
    """Forget attempts that no limit counts any more. Return how many there were."""
    return Attempt.objects.filter(at__lt=now - KEPT).delete()[0]


def _by_network(ip):
    most = settings.LIMITS["network"]
    network = network_of(ip)
    if not settings.TRUSTED_PROXIES and (settings.IS_HTTPS or network in ("127.0.0.0/24", "::/48")):
        most *= UNTOLD  # Somebody speaks TLS for us, or runs on this machine: all have his address.
    return Limit("network", network, most, HOUR)


def _refuse_if_reached(door, limits, now):
    for limit in limits:
        wait = _wait(door, limit, now)
        if wait is not None:
            raise TooMany(door, limit.by, wait)


def _wait(door, limit, now):
    """Return how long until one more is let in, None where it is now."""
    counted = Attempt.objects.filter(key=_key(door, limit), at__gt=now - limit.within)
    earliest = counted.order_by("-at").values_list("at", flat=True)[limit.most - 1 : limit.most]
    return earliest[0] + limit.within - now if earliest else None


def _key(door, limit):
    """Return what a limit is counted by. Without our secret, nobody knows whom it stands for."""
    told = f"{door}\n{limit.by}\n{limit.value}"
    secret = f"subscriptions.limits{settings.SECRET_KEY}"
    return hmac.digest(secret.encode(), told.encode(), "sha256").hex()[:32]
