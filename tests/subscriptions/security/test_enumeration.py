"""Whose address is known here: no page tells, in its words, in its headers, or by its time."""

import re
import statistics
import time
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscriptions.delivery import queue
from subscriptions.models import Consent, Letter, LetterEvent, Subscriber, Topic
from subscriptions.notices import send
from subscriptions.security import suppression_list
from tests.factories import make
from tests.factories.make import NOW

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STATES = {
    "pending": {"confirmed": False},
    "active": {},
    "paused": {"paused_until": (NOW + timedelta(days=9)).date()},
    "unsubscribed": {"unsubscribed_at": NOW - HOUR, "next_due_at": None},
    "bounced": {"suppressed_at": NOW, "suppressed_by": "bounced"},
    "bounced long ago": {"suppressed_at": NOW - 9 * DAY, "suppressed_by": "bounced"},
    "bounced, never confirmed": {
        "suppressed_at": NOW - 9 * DAY,
        "suppressed_by": "bounced",
        "confirmed": False,
    },
    "complained": {"suppressed_at": NOW, "suppressed_by": "complained"},
}
WISHES = {"interests": "bread\ncake", "hour": "9"}


@pytest.fixture(autouse=True)
def no_limits(settings):
    settings.LIMITS = dict.fromkeys(settings.LIMITS, 1_000_000)


def sign_up(client, email, **wishes):
    response = client.post("/subscribe/", {"email": email, **WISHES, **wishes})
    assert response.status_code == 200
    return response


def work(client, email, **wishes):
    """Return what the database is told to do for one sign-up."""
    with told() as work:
        sign_up(client, email, **wishes)
    return work


@contextmanager
def told():
    """Count what the database is told to do meanwhile: how often, which verb, where.

    Savepoints may end one way or the other.
    """
    counted = Counter()
    with CaptureQueriesContext(connection) as queries:
        yield counted
    for query in queries:
        match = re.match(r'(\w+)(?:.*?"([a-z_]+)")?', query["sql"], re.DOTALL)
        if match[1] not in ("RELEASE", "ROLLBACK"):
            counted[" ".join(filter(None, match.groups()))] += 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("lately", [False, True])
def test_a_sign_up_is_the_same_work_whoever_has_the_address(client, state, lately):
    topic = make.topic()
    reader = make.subscriber(**STATES[state])
    work(client, "warm@example.org")
    if lately:
        queue.write(reader, "confirm", now=NOW - MINUTE, closes_at=NOW + HOUR)
    unknown, known = (
        work(client, email, topics=topic.slug) for email in ("new@example.org", reader.email)
    )
    assert known["INSERT subscriptions_subscriber"] == 1
    assert known == unknown


@pytest.mark.django_db
def test_an_address_that_is_never_to_be_written_to_again_is_the_same_work(client):
    suppression_list.add("gone@example.org", suppression_list.Why.ASKED, NOW)
    work(client, "warm@example.org")
    assert work(client, "gone@example.org") == work(client, "new@example.org")
    assert not Subscriber.objects.filter(email="gone@example.org").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("state", STATES)
def test_of_a_stand_in_nothing_is_left(client, state):
    reader = make.subscriber(**STATES[state])
    sign_up(client, reader.email)
    assert list(Subscriber.objects.all()) == [reader]
    assert Letter.objects.exclude(subscriber=reader).count() == 0
    assert Letter.objects.count() == LetterEvent.objects.count() <= 1
    assert Topic.objects.exclude(owner=reader).count() == 0
    assert Consent.objects.exclude(subscriber=reader).count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize("state", [None, *STATES])
def test_one_hint_is_sent_whether_or_not_a_letter_is(
    client, monkeypatch, django_capture_on_commit_callbacks, state
):
    hints = []
    monkeypatch.setattr(send, "enqueue", lambda task, number: hints.append(number))
    email = make.subscriber(**STATES[state]).email if state else "new@example.org"
    with django_capture_on_commit_callbacks(execute=True):
        sign_up(client, email)
    letter = Letter.objects.first()
    assert hints == [letter.pk if letter else send.NO_LETTER]


@pytest.mark.django_db
def test_a_hint_at_no_letter_brings_none(outbox):
    from subscriptions.tasks import deliver_letter

    deliver_letter(send.NO_LETTER)
    assert outbox() == []


@pytest.mark.nightly
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("state", STATES)
def test_the_time_differs_by_less_than_a_network_does(client, state):
    """In 200 pairs, in one process: a third lower before the work was made the same."""
    for n in range(200):
        make.subscriber(f"known-{n}@example.org", **STATES[state])
    times = {"known": [], "other": []}
    for n in range(-10, 200):
        for who in ("known", "other") if n % 2 else ("other", "known"):
            began = time.perf_counter()
            sign_up(client, f"{who}-{n}@example.org")
            times[who] += [time.perf_counter() - began] * (n >= 0)
    medians = {who: statistics.median(taken) for who, taken in times.items()}
    assert medians["known"] == pytest.approx(medians["other"], rel=0.1, abs=0.001)
