"""What a subscriber does, and what is found of it."""

from subscriptions.actions import preferences, signup
from subscriptions.actions.preferences import TopicSelection
from tests.factories import make
from tests.factories.make import DAY, NOW

CONSENT_SOURCE = signup.ConsentSource(via="a test", ip="192.0.2.1", wording="Send me papers.")


def subscribe(email="you@example.org", wishes=None, *, timezone="UTC", hour=7, now=NOW):
    request = signup.SignUpRequest(wishes or TopicSelection(), timezone, hour)
    return signup.subscribe(email, request, source=CONSENT_SOURCE, now=now)


def confirm(subscriber, *, now=NOW):
    signup.confirm(make.fresh(subscriber), subscriber.asked_at, source=CONSENT_SOURCE, now=now)


def say_yes(letter, *, now):
    """Follow the link of a letter that asks something."""
    signup.confirm(
        letter.subscriber, letter.created_at, kind=letter.kind, source=CONSENT_SOURCE, now=now
    )
    letter.subscriber.refresh_from_db()


def unsubscribe(subscriber, *, now=NOW):
    return signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=now)


def change(subscriber, wishes=None, *, now=NOW, **settings):
    preferences.change(subscriber, wishes or TopicSelection(), settings, now=now)
    subscriber.refresh_from_db()


def accepted(subscriber, day, at):
    """Write down that they got the digest of this day."""
    moments = {"created_at": at, "closes_at": at + DAY, "ended_at": at}
    return subscriber.letters.create(kind="digest", day=day, state="accepted", **moments)


def goodbyes(subscriber):
    return subscriber.letters.filter(kind="goodbye").order_by("pk")


def bouncing(now=NOW, **fields):
    """Make a subscriber to whom letters came back."""
    return make.subscriber(suppressed_at=now, suppressed_by="bounced", **fields)
