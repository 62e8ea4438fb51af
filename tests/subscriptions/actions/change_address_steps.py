"""A subscriber asks for their digest to move, and both addresses answer."""

from subscriptions.actions import change_address
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, MINUTE, NOW

OLD, NEW = "old@example.org", "new@example.org"


def subscriber(email=OLD, **fields):
    return make.subscriber(email, **{"confirmed_at": NOW - 9 * DAY} | fields)


def ask(client, subscriber, new_email=NEW, **request):
    """Ask for the move on the page of preferences."""
    sent = {"action": "move", "new_email": new_email}
    return client.post(tokens.preferences_url(subscriber), sent, follow=True, **request)


def agree(subscriber, side, *, asked_at=NOW, now=NOW + MINUTE):
    return change_address.approve(subscriber, side, asked_at, source=CONSENT_SOURCE, now=now)


def agree_both(subscriber, **when):
    for side in ("old", "new"):
        agree(subscriber, side, **when)


def moved(subscriber):
    subscriber.refresh_from_db()
    return subscriber.email == NEW


def letters():
    return list(Letter.objects.order_by("pk").values_list("kind", "to", "state"))
