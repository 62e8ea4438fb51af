"""Which SECRET_KEY was in use, and when last, so that one that was left out is missed.

Links in letters hold as long as their key does, and so do the seals of those who want no letter
ever again. Nothing but the reader's click would tell that a key is gone.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.crypto import salted_hmac

from digest import heartbeats
from digest.models import Pulse

SALT = "digest.keys"
MARK = "key:"  # How the names of their pulses begin.
OF_INTEREST = timedelta(days=30)  # By then, few open a link of such an old letter.


def note(now: datetime) -> None:
    """Write down that the key is in use, as a keyed hash that tells nobody what it is."""
    heartbeats.beat(_name(settings.SECRET_KEY), now)


def last_of_another(now: datetime) -> datetime | None:
    """Return when a key was last in use that is unknown here, None where there is none."""
    known = [_name(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    others = Pulse.objects.filter(pk__startswith=MARK, at__gte=now - OF_INTEREST)
    return others.exclude(pk__in=known).order_by("-at").values_list("at", flat=True).first()


def _name(secret):
    return MARK + salted_hmac(SALT, "", secret, algorithm="sha256").hexdigest()[:16]
