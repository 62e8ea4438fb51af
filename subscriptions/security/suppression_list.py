"""The suppression list: addresses that must not be written to again, as keyed hashes.

Erasing a subscriber leaves an entry if a new sign-up would otherwise write to an address that
bounced, complained, or asked never to be written to. An invitation leaves one for good, whatever
becomes of the subscriber: nobody is invited twice. An entry is readable only with both the address
and SECRET_KEY.
"""

from datetime import timedelta
from itertools import chain

from django.db.models import Q, QuerySet

from subscriptions.models import Seal, Subscriber
from subscriptions.security.hashing import keyed_hash, valid_hashes

PURPOSE = "subscriptions.seals"
#: Of entries that refuse only invitations. An address may also have one of the other purpose.
INVITED = "subscriptions.invitations"
#: After a bounce, an address is on the list for so long. All other entries stay.
BOUNCED_FOR = timedelta(days=7)

Reason = Seal.Reason


def add(address: str, reason: str, now) -> None:
    """Add a normalised address. A reason that stays replaces a bounce."""
    purpose = INVITED if reason == Reason.INVITED else PURPOSE
    entry, is_new = Seal.objects.get_or_create(
        seal=keyed_hash(purpose, address.lower()), defaults={"reason": reason, "at": now}
    )
    if not is_new and entry.reason == Reason.BOUNCED:
        entry.reason, entry.at = reason, now
        entry.save()


def contains(address: str, now) -> bool:
    """Return whether this normalised address is on the list, other than by an invitation."""
    return entries_for(address).exclude(_expired(now) | Q(reason=Reason.INVITED)).exists()


def was_invited(address: str) -> bool:
    """Return whether this normalised address was ever invited."""
    return entries_for(address).filter(reason=Reason.INVITED).exists()


def is_blocked(address: str, now) -> bool:
    """Return whether this normalised address is on the list, or its subscriber is suppressed.

    Always asks for both, so that the time does not tell which.
    """
    suppressed = Subscriber.objects.with_address(address).filter(suppressed_at__isnull=False)
    is_suppressed = suppressed.exists()
    return contains(address, now) or is_suppressed


def purge(now) -> int:
    """Delete expired entries. Return how many."""
    return Seal.objects.filter(_expired(now)).delete()[0]


def entries_for(address: str) -> QuerySet[Seal]:
    """Return the entries of a normalised address, also those of former secret keys."""
    hashes = (valid_hashes(purpose, address.lower()) for purpose in (PURPOSE, INVITED))
    return Seal.objects.filter(seal__in=chain(*hashes))


def _expired(now):
    return Q(reason=Reason.BOUNCED, at__lt=now - BOUNCED_FOR)
