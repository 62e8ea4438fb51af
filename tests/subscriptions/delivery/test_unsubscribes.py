"""Whom no letter reaches any more: who unsubscribes, or is erased, while one is on its way."""

from datetime import timedelta
from functools import partial

import pytest

from digest.models import Pick
from subscriptions.actions import erase, signup
from subscriptions.delivery import queue, transitions
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.threads import at_once, errors_of
from tests.subscriptions.delivery.steps import (
    DOOR,
    MINUTE,
    before,
    claim,
    letter_to,
    pass_fence,
    past_the_fence,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"unsubscribed_at": NOW}, "unsubscribed"),
        ({"suppressed_at": NOW}, "suppressed"),
        ({"paused_until": NOW.date() + timedelta(days=1)}, "paused"),
        ({"confirmed_at": None}, "pending"),
    ],
)
def test_the_fence_looks_itself_whether_a_digest_is_still_wanted(fields, reason):
    """Whatever was changed, and whoever did it without calling her letters off."""
    letter = claim(letter_to())
    Subscriber.objects.update(**fields)
    assert not pass_fence(letter)
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", reason)
    assert not Pick.objects.exists()


def test_which_letters_are_for_whom():
    readers = {
        "active": make.subscriber(),
        "paused": make.subscriber(paused_until=NOW.date() + timedelta(days=9)),
        "unsubscribed": make.subscriber(unsubscribed_at=NOW, next_due_at=None),
        "pending": make.subscriber(confirmed=False),
        "suppressed": make.subscriber(suppressed_at=NOW, suppressed_by="complained"),
    }
    for kind, wanted in {
        "digest": ["active"],
        "welcome": ["active"],
        "move": ["active", "paused"],
        "link": ["active", "paused", "unsubscribed"],
        "confirm": ["active", "paused", "unsubscribed", "pending"],
    }.items():
        for state, reader in readers.items():
            why = transitions.skip_reason(Letter(kind=kind, created_at=NOW), reader, NOW)
            assert why == ("" if state in wanted else state), (kind, state)


def test_a_goodbye_does_not_pass_the_fence_once_she_has_come_back():
    reader = make.subscriber()
    signup.unsubscribe(reader.public_id, source=DOOR, now=NOW)
    goodbye = claim(Letter.objects.get(kind="goodbye"))
    signup.confirm(reader, goodbye.created_at, source=DOOR, now=NOW, kind="goodbye")
    assert not pass_fence(goodbye)
    goodbye.refresh_from_db()
    assert (goodbye.state, goodbye.reason) == ("skipped", "she came back")


def test_papers_of_a_letter_that_is_being_repeated_stay_hers_when_she_leaves():
    letter = past_the_fence()
    for minute in (16, 32):
        queue.sweep(NOW + minute * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", 1)
    signup.unsubscribe(letter.subscriber.public_id, source=DOOR, now=NOW + 32 * MINUTE)
    letter.refresh_from_db()
    assert letter.state == "skipped"
    assert Pick.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("leave", ["unsubscribe", "erase"])
def test_leaving_while_a_worker_claims_never_fails(server, composed, leave):
    """A race; on SQLite its orders are few, on PostgreSQL many."""
    came_of = []
    for number in range(4):
        letter = letter_to(f"reader-{number}@example.org")
        reader = letter.subscriber
        leaving = (
            partial(erase.erase, reader, now=NOW)
            if leave == "erase"
            else partial(signup.unsubscribe, reader.public_id, source=DOOR, now=NOW)
        )
        came_of += at_once(leaving, partial(queue.deliver, letter.pk, NOW))
    assert errors_of(came_of) == []
    assert not Letter.objects.filter(kind="digest", state__in=Letter.UNSENT).exists()


def test_who_is_erased_while_the_server_reads_is_not_sent_the_dot(server, composed, monkeypatch):
    letter = letter_to()
    before(
        monkeypatch, transitions, "final_check", lambda *_: erase.erase(letter.subscriber, now=NOW)
    )
    assert queue.deliver(letter.pk, NOW) is False
    assert server.accepted == []
    assert not Letter.objects.exists()
