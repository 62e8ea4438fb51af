"""The pages that a subscriber's links open, in every state that they may be in."""

from django.urls import reverse

from digest.models import Digest
from subscriptions.delivery import queue
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW

STATES = {
    "pending": {"confirmed": False},
    "active": {},
    "paused": {"paused_until": (NOW + 9 * DAY).date()},
    "unsubscribed": {"unsubscribed_at": NOW, "next_due_at": None},
    "suppressed": {"suppressed_at": NOW, "suppressed_reason": "bounced"},
}
BOUNCING = {"suppressed_at": NOW, "suppressed_by": "bounced"}


def url(page, subscriber):
    """Return the address of the page that only their token opens."""
    if page == "digest":
        token = tokens.token("digest", digest_of(subscriber).public_id)
    else:
        asked_at = subscriber.asked_at if page == "confirm" else None
        token = tokens.token(page, subscriber.public_id, asked_at)
    return reverse(page, args=[token])


def answer(kind, subscriber, asked_at=NOW):
    """Return the address of the page that the link of such a letter to them opens."""
    return reverse("confirm", args=[tokens.token(kind, subscriber.public_id, asked_at)])


def digest_of(subscriber, **paper):
    if digest := subscriber.digests.first():
        return digest
    letter = queue.create(subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    digest = Digest.objects.create(subscriber=subscriber, day=NOW.date(), letter=letter)
    digest.picks.create(
        subscriber=subscriber, paper=make.paper(**paper), position=1, score=1.0, basis="new"
    )
    return digest


def stances(subscriber):
    return {p.topic.query: p.stance for p in subscriber.preferences.select_related("topic")}
