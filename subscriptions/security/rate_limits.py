"""Rate limits: by network, by mailbox, and over all visitors.

A form that sends a letter to any address asks for both the visitor and the mailbox:

    rate_limits.check_visitor("lost link", request.META["REMOTE_ADDR"], now)  # Answered with 429.
    if rate_limits.check_mailbox("lost link", address, now):  # as addresses.normalise returns it
        ...                                              # write the letter
    ...                                                  # the same response, letter or none

The response shows the first limit. The second is about the owner of the address, who may be another
person: showing it would reveal who signed up. Both count attempts, not letters, or a limit would
reveal which address gets none. Each endpoint counts for itself.

Windows are sliding. A refused attempt is not counted and stores nothing. If the database cannot be
asked, every attempt is refused. Rows hold keyed hashes, no addresses or networks, for a day.
"""

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from math import ceil

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from subscriptions import addresses
from subscriptions.models import Attempt

logger = logging.getLogger(__name__)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEEP = DAY  # The longest window.
HIDDEN_NETWORKS = 5  # How many networks count as one if an unconfigured proxy hides the visitors.
RETRY_AFTER_FAILURE = timedelta(minutes=1)

#: Endpoints where anyone can have a letter sent to any address.
LETTER_ENDPOINTS = ("sign-up", "lost link", "new address")
FIRST_TIME = "told"  # The endpoint under which `first_time_in` counts events. In stored hashes.


class TooManyAttempts(Exception):
    """A limit is reached. `kind` is which one; `retry_after` is in seconds."""

    def __init__(self, endpoint: str, kind: str, wait: timedelta):
        super().__init__(f"{endpoint}: {kind}")
        self.endpoint, self.kind = endpoint, kind
        self.retry_after = ceil(wait.total_seconds())


@dataclass(frozen=True)
class Limit:
    """At most `max_hits` in a sliding window, for one value of a kind, such as a network."""

    kind: str
    value: str
    max_hits: int
    window: timedelta


def check_visitor(endpoint: str, ip: str | None, now) -> None:
    """Count a visitor who wants a letter sent. Raises TooManyAttempts.

    `ip` is REMOTE_ADDR, as config.client_ip sets it.
    """
    network, max_hits = network_of(ip), settings.LIMITS["network"]
    is_local = network in ("127.0.0.0/24", "::/48")
    if not settings.TRUSTED_PROXIES and (settings.IS_HTTPS or is_local):
        max_hits *= HIDDEN_NETWORKS  # There must be a proxy, whose address all visitors have.
    network_limit = Limit("network", network, max_hits, HOUR)
    try:
        hit(endpoint, [network_limit, _limit_of_all()], now)
    except TooManyAttempts as refusal:
        if refusal.kind == "all" and first_time_in(HOUR, endpoint, now):
            logger.error(
                "More than %d emails were requested in an hour (%s), from many networks. The "
                "form is closed until there are fewer requests: see docs/security.md.",
                settings.LIMITS["all"],
                endpoint,
            )
        raise


def check_mailbox(endpoint: str, address: str, now) -> bool:
    """Count a letter to this normalised address. Return whether its mailbox may get it."""
    limit = Limit("mailbox", addresses.mailbox(address), settings.LIMITS["mailbox"], DAY)
    try:
        hit(endpoint, [limit], now)
    except TooManyAttempts:
        return False
    return True


def check_invitation(address: str, now) -> None:
    """Count an operator's invitation of this normalised address. Raises TooManyAttempts."""
    day_limit = Limit("invitations", "", settings.LIMITS["invitations"], DAY)
    mailbox_limit = Limit("mailbox", addresses.mailbox(address), settings.LIMITS["mailbox"], DAY)
    hit("invitation", [day_limit, mailbox_limit], now)


def hit(endpoint: str, limits: Sequence[Limit], now) -> list[Attempt]:
    """Count one attempt under all limits, or under none and raise TooManyAttempts.

    Inside a transaction, others under the same limits wait for its end. Returns rows for `undo`.
    """
    try:
        _raise_if_reached(endpoint, limits, now)  # Without a lock, for which a flood would queue.
        with transaction.atomic():
            if connection.vendor == "postgresql":  # SQLite has one writer at a time anyway.
                for limit in limits:
                    with connection.cursor() as cursor:
                        lock_id = int(_key(endpoint, limit)[:15], 16)
                        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock_id])
            _raise_if_reached(endpoint, limits, now)
            return Attempt.objects.bulk_create(
                Attempt(key=_key(endpoint, limit), at=now) for limit in limits
            )
    except DatabaseError as error:
        logger.error("Cannot count attempts: %s", type(error).__name__)
        raise TooManyAttempts(endpoint, "store", RETRY_AFTER_FAILURE) from error


def undo(attempts: Sequence[Attempt]) -> None:
    """Uncount attempts, which turned out not to be of the kind that a limit is for."""
    Attempt.objects.filter(pk__in=[attempt.pk for attempt in attempts]).delete()


def reset(endpoint: str, limit: Limit) -> int:
    """Delete what was counted under a limit. Return how many attempts."""
    return Attempt.objects.filter(key=_key(endpoint, limit)).delete()[0]


def first_time_in(window: timedelta, event: str, now) -> bool:
    """Count an event. Return whether it is the first one in the window, to be logged once."""
    try:
        hit(FIRST_TIME, [Limit("", event, 1, window)], now)
    except TooManyAttempts:
        return False
    return True


def report_bypassed_proxy(now) -> None:
    """Log, once a day, that a visitor came past a proxy that TRUSTED_PROXIES counts."""
    if first_time_in(DAY, _proxy_event(), now):
        logger.error(
            "A sign-up bypassed one of the %s proxies of TRUSTED_PROXIES, so visitors can forge "
            "their address. See docs/security.md.",
            settings.TRUSTED_PROXIES,
        )


def was_proxy_bypassed(now) -> bool:
    """Return whether that was logged in the last day, for the current TRUSTED_PROXIES."""
    return _wait(FIRST_TIME, Limit("", _proxy_event(), 1, DAY), now) is not None


def _proxy_event():
    return f"came past {settings.TRUSTED_PROXIES} proxies"


def closed_endpoints(now) -> list[str]:
    """Return the endpoints that refuse everyone, because all visitors together were too many."""
    limit = _limit_of_all()
    return [endpoint for endpoint in LETTER_ENDPOINTS if _wait(endpoint, limit, now) is not None]


def network_of(ip: str | None) -> str:
    """Return the network that counts as one visitor: an IPv4 /24, or an IPv6 /48.

    A customer of a provider can have that many addresses. What is no address, such as that of a
    Unix socket, is a network of its own.
    """
    try:
        address = ip_address(ip or "")
    except ValueError:
        return ip or ""
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


def purge(now) -> int:
    """Delete attempts that no limit counts any more. Return how many."""
    return Attempt.objects.filter(at__lt=now - KEEP).delete()[0]


def _limit_of_all():
    return Limit("all", "", settings.LIMITS["all"], HOUR)


def _raise_if_reached(endpoint, limits, now):
    for limit in limits:
        wait = _wait(endpoint, limit, now)
        if wait is not None:
            raise TooManyAttempts(endpoint, limit.kind, wait)


def _wait(endpoint, limit, now):
    """Return the time until another attempt is accepted, or None if one is now."""
    hits = Attempt.objects.filter(key=_key(endpoint, limit), at__gt=now - limit.window)
    index = limit.max_hits - 1
    oldest_hit = hits.order_by("-at").values_list("at", flat=True)[index : index + 1]
    return oldest_hit[0] + limit.window - now if oldest_hit else None


def _key(endpoint, limit):
    """Return the keyed hash that a limit is counted by."""
    # Not `keyed_hash`, which would return other hashes: stored attempts would no longer count.
    value = f"{endpoint}\n{limit.kind}\n{limit.value}"
    secret = f"subscriptions.security.rate_limits{settings.SECRET_KEY}"
    return hmac.digest(secret.encode(), value.encode(), "sha256").hex()[:32]
