"""Addresses that must not be written to again, kept as seals: keyed hashes that nobody can read.

Whoever erases everything leaves one behind where forgetting her address would mean to write to it
again, whoever types it into the form: she had asked for that, it was reported as unwanted, or
letters had come back from it. A seal tells whether an address is hers only to who has the address
and our secret.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.crypto import salted_hmac

from subscriptions.models import Seal, Subscriber

SALT = "subscriptions.seals"
#: So long after letters had come back, nobody tries whether the mailbox is there again.
BOUNCED_FOR = timedelta(days=7)

Why = Seal.Why


def keep(address: str, why: str, now) -> None:
    """Seal a normalised address. What holds for good outlasts what doesn't."""
    kept, is_new = Seal.objects.get_or_create(
        seal=_sealed(address), defaults={"why": why, "at": now}
    )
    if not is_new and kept.why == Why.BOUNCED:
        kept.why, kept.at = why, now
        kept.save()


def is_kept(address: str, now) -> bool:
    """Return whether this normalised address must not be written to."""
    return of(address).exclude(_is_over(now)).exists()


def is_shut(address: str, now) -> bool:
    """Return whether this normalised address must not be written to, whoever had it or has it.

    Both are asked always: how long it takes tells nobody which.
    """
    kept_from = Subscriber.objects.at(address).filter(suppressed_at__isnull=False).exists()
    return is_kept(address, now) or kept_from


def purge(now) -> int:
    """Forget what holds no longer. Return how many there were."""
    return Seal.objects.filter(_is_over(now)).delete()[0]


def of(address: str) -> QuerySet[Seal]:
    """Return the seals of a normalised address, also of a key that was ours once."""
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return Seal.objects.filter(seal__in=[_sealed(address, secret) for secret in secrets])


def _is_over(now):
    return Q(why=Why.BOUNCED, at__lt=now - BOUNCED_FOR)


def _sealed(address, secret=None):
    """Return the seal of an address: the same for spellings that differ by case."""
    return salted_hmac(SALT, address.lower(), secret, algorithm="sha256").hexdigest()
