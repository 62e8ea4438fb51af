"""Papers that members of a group recommend to each other: stored here, shown in digests."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from digest.models import Paper
from subscriptions.actions.groups import clean_text
from subscriptions.models import Membership, Subscriber

MAX_NOTE_LENGTH = 280
MAX_A_DAY = 5
DAY = timedelta(days=1)
TOO_MANY = _("You can recommend five papers a day. Please try again tomorrow.")


def colleagues(subscriber: Subscriber) -> QuerySet[Membership]:
    """Return the memberships to which the subscriber may recommend papers."""
    groups = subscriber.memberships.joined().values("group")
    memberships = Membership.objects.joined().filter(group__in=groups, takes_recommendations=True)
    memberships = memberships.exclude(subscriber=subscriber).select_related("group")
    return memberships.order_by("group__name", "name", "pk")


def recommend(subscriber: Subscriber, membership_id: str, paper: Paper, note: str, now) -> None:
    """Recommend a paper to the colleague with this membership.

    The same paper again changes nothing. Raises ValidationError.
    """
    note = clean_text(note, MAX_NOTE_LENGTH)
    with transaction.atomic():
        subscriber = subscriber.locked()
        membership = {str(row.pk): row for row in colleagues(subscriber)}.get(membership_id)
        if membership is None:
            raise ValidationError(_("Please choose one of the colleagues in the list."))
        sent, receiver_id = subscriber.recommendations_sent, membership.subscriber_id
        if sent.filter(receiver=receiver_id, paper=paper).exists():
            return
        if sent.filter(at__gt=now - DAY).count() >= MAX_A_DAY:
            raise ValidationError(TOO_MANY)
        name = subscriber.memberships.get(group=membership.group_id).name
        sent.create(receiver_id=receiver_id, paper=paper, sender_name=name, note=note, at=now)
