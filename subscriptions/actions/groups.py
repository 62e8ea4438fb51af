"""Groups: subscribers whom operators invited join and leave by their own consent.

Every function takes the moment as an argument and is idempotent.
"""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from subscriptions.actions.signup import ConsentSource, record_consent
from subscriptions.models import Consent, Group, Membership, Subscriber

MAX_NAME_LENGTH = 60
#: The wording of the consent to join.
CONSENT = _(
    "I join “%(group)s”. Its other members see the name that I enter. My topics, keywords, "
    "feedback and library help to choose the group’s papers, whose reasons may name topics and "
    "keywords. I can leave at any time."
)
#: A web or email address, also one that mail programs make a link of.
LINK = re.compile(r"://|\bwww\.|@\w|\w[.。][^\W\d_]{2}", re.IGNORECASE)
#: Looks like a web address, but is one of arXiv's categories.
CATEGORY = re.compile(
    r"(?<![\w.-])(?:astro-ph|cond-mat|cs|econ|eess|math|nlin|q-bio|q-fin|stat)\.[A-Z]{2}(?![\w/-]|[.。]\w)"
)


def consent_wording(group: Group) -> str:
    return CONSENT % {"group": group.name}


def clean_text(text: str, max_length: int) -> str:
    """Return a member's words for other members: one line, without invisible characters.

    Raises ValidationError if they are longer than `max_length` or have a link.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) > max_length:
        raise ValidationError(_("Please keep to %(limit)d characters.") % {"limit": max_length})
    if LINK.search(CATEGORY.sub("", unicodedata.normalize("NFKC", text))):
        raise ValidationError(_("Please write without web and email addresses."))
    return text


def clean_name(text: str) -> str:
    """Return a member's name as the others see it. Raises ValidationError."""
    name = clean_text(text, MAX_NAME_LENGTH)
    if not any(map(str.isalnum, name)):
        raise ValidationError(_("Please enter the name that the other members see."))
    return name


def invite(group: Group, subscriber: Subscriber, now) -> Membership | None:
    """Return the subscriber's membership. A new one waits for their consent.

    A membership that was left stays, so that nobody is invited twice. Returns None for a group's
    channel or mailing list.
    """
    if subscriber.channel or Group.objects.filter(mailing_list=subscriber).exists():
        return None
    return group.memberships.get_or_create(subscriber=subscriber, defaults={"invited_at": now})[0]


def join(membership: Membership, name: str, *, source: ConsentSource, now) -> None:
    """Join, or change the name. `source` has the `consent_wording`.

    Raises ValidationError for a bad name, and Membership.DoesNotExist.
    """
    name = clean_name(name)
    with transaction.atomic():
        membership = _lock_membership(membership)
        if membership.joined_at is None:
            membership.joined_at = now
            record_consent(membership.subscriber, Consent.Act.JOINED, source, now)
        membership.name = name
        membership.save()


def leave(membership: Membership, *, source: ConsentSource, now) -> None:
    """Withdraw the consent and delete the name. Raises Membership.DoesNotExist."""
    with transaction.atomic():
        membership = _lock_membership(membership)
        if membership.joined_at is not None:
            membership.joined_at, membership.name = None, ""
            membership.save()
            record_consent(membership.subscriber, Consent.Act.LEFT, source, now)


def _lock_membership(membership):
    """Return the membership as it is now, with its subscriber's row locked."""
    membership.subscriber.locked()
    return Membership.objects.select_related("group", "subscriber").get(pk=membership.pk)
