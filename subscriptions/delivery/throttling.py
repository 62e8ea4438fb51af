"""How fast each mailbox provider takes letters, by the operator's wish and by its own.

A provider that answers "slower" (a 4yz about rates, see smtp_replies.py) is left alone for a while,
longer each time in a row, and then gets so many letters a minute: half as many as before, half as
many again for each minute in which it did not complain. The rows are shared by all workers; where
nobody complains, there are none.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings

from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models.delivery import MINUTE, Provider

#: Domains of one provider count together: it judges the sender for all of them.
FAMILIES = {
    "google": ("gmail", "googlemail"),
    "microsoft": ("outlook", "hotmail", "live", "msn"),
    "yahoo": ("yahoo", "ymail", "rocketmail", "aol"),
    "apple": ("icloud", "me", "mac"),
    "gmx": ("gmx", "web"),
}
_FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}
#: Under these, a name of above belongs to its family: web.de is, web.example.org isn't.
_TOP_LEVELS = frozenset(("com", "net", "de", "at", "ch", "fr", "it", "es", "co.uk", "co.jp", "ca"))

FIRST_HOLD, LONGEST_HOLD = timedelta(minutes=1), timedelta(hours=1)
MOST_DOUBLINGS = 10  # Of the hold: by then it is as long as it may be.
FIRST_PACE, LEAST_PACE = 60.0, 2.0  # Letters a minute.
FREE_PACE = 3_000.0  # One that takes so many a minute is not counted any longer.
FASTER = 1.5
LOOK_AGAIN = timedelta(minutes=5)  # The pace may have risen by then.


def provider_of(address: str) -> str:
    """Return the provider of an address: a family's name, or the domain."""
    domain = address.rpartition("@")[2].lower()
    name, _, top = domain.partition(".")
    return _FAMILY_OF.get(name, domain) if top in _TOP_LEVELS else domain


@dataclass
class Allotment:
    """Which letters may be claimed now, and when each of the others may be looked at again."""

    allowed: list = field(default_factory=list)
    put_off: list[tuple[object, datetime]] = field(default_factory=list)


def is_counting() -> bool:
    """Return whether any provider is counted at all."""
    return bool(settings.PROVIDER_RATES) or Provider.objects.exists()


def allot(letters: list, now, waiting: Counter[str] | None = None) -> Allotment:
    """Share out what providers take now among letters with their subscribers, in the caller's
    transaction, which locks the providers that are counted. `waiting` counts those put off.
    """
    allotment = Allotment()
    waiting = Counter() if waiting is None else waiting
    counted = _counted({provider_of(letter.recipient) for letter in letters}, now)
    if not counted:
        return Allotment(allowed=letters)
    for letter in letters:
        name = provider_of(letter.recipient)
        row = counted.get(name)
        if row is None or _takes(row, now):
            allotment.allowed.append(letter)
        else:
            waiting[name] += 1
            turn = min(MINUTE * waiting[name] / (row.limit() or FREE_PACE), LOOK_AGAIN)
            allotment.put_off.append((letter, max(now, row.held_until or now) + turn))
    Provider.objects.bulk_update(counted.values(), ["allowance", "counted_at"])
    return allotment


def slow_down(name: str, said: str, now) -> datetime:
    """Note that a provider wants us slower. Return until when it gets nothing."""
    Provider.objects.get_or_create(name=name, defaults={"counted_at": now})
    row = Provider.objects.select_for_update().get(name=name)
    if row.held_until is None or row.held_until <= now:  # Else: said of a letter of the same rush.
        row.complaints += 1
        doublings = min(row.complaints - 1, MOST_DOUBLINGS)
        row.held_until = now + min(FIRST_HOLD * 2**doublings, LONGEST_HOLD)
        row.faster_at = row.held_until + MINUTE
        row.pace = max(LEAST_PACE, (row.pace or FIRST_PACE * 2) / 2)
        row.allowance, row.counted_at = 0, row.held_until
        row.said = without_addresses(said)[:300]
        row.save()
    return row.held_until


def thank(addresses: Iterable[str], now) -> None:
    """Let providers that took letters have more of them, step by step."""
    names = {provider_of(address) for address in addresses}
    slowed = Provider.objects.select_for_update(skip_locked=True).filter(
        name__in=names, faster_at__lte=now
    )
    for row in slowed:
        row.complaints, row.pace, row.faster_at = 0, row.pace * FASTER, now + MINUTE
        if row.pace > FREE_PACE:
            row.delete()
        else:
            row.save()


def _counted(names, now) -> dict[str, Provider]:
    """Return the rows of those that are counted, locked and refilled."""
    limited = names & settings.PROVIDER_RATES.keys()
    # In one order, or two workers would wait for each other.
    found = Provider.objects.select_for_update().filter(name__in=names).order_by("name")
    rows = {row.name: row for row in found}
    for name in sorted(limited - rows.keys()):
        rows[name], _ = Provider.objects.get_or_create(name=name, defaults={"counted_at": now})
        rows[name].allowance = 1
    for row in rows.values():
        row.refill(now)
    return rows


def _takes(row, now) -> bool:
    """Return whether the provider takes a letter now, and count it."""
    if row.held_until is not None and row.held_until > now:
        return False
    if row.limit() is None:
        return True
    if row.allowance < 1:
        return False
    row.allowance -= 1
    return True
