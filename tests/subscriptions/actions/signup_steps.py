"""What a reader does, and what is found of it."""

from datetime import timedelta

from subscriptions.actions import preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import NOW

DOOR = signup.ConsentSource(via="a test", ip="192.0.2.1", wording="Send me papers.")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def subscribe(email="you@example.org", wishes=None, *, timezone="UTC", hour=7, now=NOW):
    request = signup.SignUpRequest(wishes or TopicSelection(), timezone, hour)
    return signup.subscribe(email, request, source=DOOR, now=now)


def confirm(subscriber, *, now=NOW):
    subscriber.refresh_from_db()
    signup.confirm(subscriber, subscriber.asked_at, source=DOOR, now=now)


def say_yes(letter, *, now):
    """Follow the link of a letter that asks something."""
    signup.confirm(letter.subscriber, letter.created_at, kind=letter.kind, source=DOOR, now=now)
    letter.subscriber.refresh_from_db()


def unsubscribe(subscriber, *, now=NOW):
    return signup.unsubscribe(subscriber.public_id, source=DOOR, now=now)


def change(subscriber, wishes=None, *, now=NOW, **settings):
    preferences.change(subscriber, wishes or TopicSelection(), settings, now=now)
    subscriber.refresh_from_db()


def accepted(subscriber, day, at):
    """Write down that she got the digest of this day."""
    return Letter.objects.create(
        subscriber=subscriber,
        kind=Letter.Kind.DIGEST,
        day=day,
        state=Letter.State.ACCEPTED,
        created_at=at,
        closes_at=at + DAY,
        ended_at=at,
    )


def goodbyes(subscriber):
    return subscriber.letters.filter(kind="goodbye").order_by("pk")


def bouncing(now=NOW, **fields):
    """Make a reader to whom letters came back."""
    return make.subscriber(suppressed_at=now, suppressed_by="bounced", **fields)
