"""How many letters each mailbox provider gets, by the operator's settings and by its replies.

A provider that replies with a rate limit (a 4yz about rates, see smtp_replies.py) gets nothing for
a while, longer each time in a row. Then it gets half as many letters a minute as before, and half
as many again for each minute without such a reply. All workers share the rows. A provider without a
limit has none.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings

from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models.delivery import MINUTE, Provider

#: Domains of one provider count together: it rates the sender over all of them.
FAMILIES = {
    "google": ("gmail", "googlemail"),
    "microsoft": ("outlook", "hotmail", "live", "msn"),
    "yahoo": ("yahoo", "ymail", "rocketmail", "aol"),
    "apple": ("icloud", "me", "mac"),
    "gmx": ("gmx", "web"),
}
_FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}
#: A name above belongs to its family only under these: web.de does, web.example.org does not.
_TOP_LEVELS = frozenset(("com", "net", "de", "at", "ch", "fr", "it", "es", "co.uk", "co.jp", "ca"))

FIRST_HOLD, MAX_HOLD = timedelta(minutes=1), timedelta(hours=1)
MAX_DOUBLINGS = 10  # Of the hold, which has reached its maximum by then.
INITIAL_PACE, MIN_PACE = 60.0, 2.0  # Letters a minute.
UNLIMITED_PACE = 3_000.0  # Above this, a provider is no longer limited.
PACE_FACTOR = 1.5
MAX_POSTPONEMENT = timedelta(minutes=5)  # The pace may have risen by then.


def provider_of(address: str) -> str:
    """Return the provider of an address: a family's name, or the domain."""
    domain = address.rpartition("@")[2].lower()
    name, _, top_level = domain.partition(".")
    return _FAMILY_OF.get(name, domain) if top_level in _TOP_LEVELS else domain


def is_counting() -> bool:
    """Return whether any provider has a limit."""
    return bool(settings.PROVIDER_RATES) or Provider.objects.exists()


def admit(letters: list, now, postponed_counts: Counter[str]) -> tuple[list, list]:
    """Return the letters that providers may get now, and the others with new `next_try_at`.

    Call in a transaction: locks the rows of limited providers. `postponed_counts` has the number of
    postponed letters by provider.
    """
    limited_providers = _lock_limited({provider_of(letter.recipient) for letter in letters}, now)
    admitted, later_letters = [], []
    for letter in letters:
        name = provider_of(letter.recipient)
        provider = limited_providers.get(name)
        if provider is None or _take_allowance(provider, now):
            admitted.append(letter)
        else:
            postponed_counts[name] += 1
            pace = provider.limit() or UNLIMITED_PACE
            delay = min(MINUTE * postponed_counts[name] / pace, MAX_POSTPONEMENT)
            letter.next_try_at = max(now, provider.held_until or now) + delay
            later_letters.append(letter)
    Provider.objects.bulk_update(limited_providers.values(), ["allowance", "counted_at"])
    return admitted, later_letters


def slow_down(name: str, reply: str, now) -> datetime:
    """Record a provider's rate limit. Return until when the provider gets nothing."""
    rows = Provider.objects.select_for_update()
    provider, _ = rows.get_or_create(name=name, defaults={"counted_at": now})
    if provider.held_until is None or provider.held_until <= now:  # Else a reply to the same rush.
        provider.complaints += 1
        doublings = min(provider.complaints - 1, MAX_DOUBLINGS)
        provider.held_until = now + min(FIRST_HOLD * 2**doublings, MAX_HOLD)
        provider.faster_at = provider.held_until + MINUTE
        provider.pace = max(MIN_PACE, (provider.pace or INITIAL_PACE * 2) / 2)
        provider.allowance, provider.counted_at = 0, provider.held_until
        provider.reply = without_addresses(reply)[:300]
        provider.save()
    return provider.held_until


def record_success(addresses: Iterable[str], now) -> None:
    """Raise the pace of slowed providers that accepted letters, step by step."""
    names = {provider_of(address) for address in addresses}
    slowed = Provider.objects.select_for_update(skip_locked=True).filter(faster_at__lte=now)
    for provider in slowed.filter(name__in=names):
        provider.complaints, provider.faster_at = 0, now + MINUTE
        provider.pace *= PACE_FACTOR
        if provider.pace > UNLIMITED_PACE:
            provider.delete()
        else:
            provider.save()


def _lock_limited(names, now) -> dict[str, Provider]:
    """Return the rows of limited providers, locked and refilled."""
    # In one order, or two workers would deadlock.
    rows = Provider.objects.select_for_update().filter(name__in=names).order_by("name")
    providers = {provider.name: provider for provider in rows}
    for name in sorted((names & settings.PROVIDER_RATES.keys()) - providers.keys()):
        provider, _ = Provider.objects.get_or_create(name=name, defaults={"counted_at": now})
        provider.allowance, providers[name] = 1, provider
    for provider in providers.values():
        provider.refill(now)
    return providers


def _take_allowance(provider, now) -> bool:
    """Return whether the provider may get a letter now, and count the letter."""
    if provider.held_until is not None and provider.held_until > now:
        return False
    if provider.limit() is None:
        return True
    is_admitted = provider.allowance >= 1
    provider.allowance -= is_admitted
    return is_admitted
