"""Whose address is known here: no page tells, in its words, in its headers, or by its time."""

import re
import statistics
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from subscriptions.delivery import queue
from subscriptions.models import Letter, Subscriber
from subscriptions.notices import send
from subscriptions.security import suppression_list
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers import subscriber_pages
from tests.helpers.subscriber_pages import BOUNCING

LONG_AGO = BOUNCING | {"suppressed_at": NOW - 9 * DAY}
STATES = {
    **{state: fields for state, fields in subscriber_pages.STATES.items() if state != "suppressed"},
    "bounced": BOUNCING,
    "bounced long ago": LONG_AGO,
    "bounced, never confirmed": LONG_AGO | {"confirmed": False},
    "complained": BOUNCING | {"suppressed_by": "complained"},
}
WISHES = {"interests": "bread\ncake", "hour": "9"}


@pytest.fixture(autouse=True)
def no_limits(settings):
    settings.LIMITS = dict.fromkeys(settings.LIMITS, 1_000_000)


def sign_up(client, email, **wishes):
    response = client.post("/subscribe/", {"email": email, **WISHES, **wishes})
    assert response.status_code == 200
    return response


@contextmanager
def count_queries():
    """Count the database's queries meanwhile: how often, which verb, where.

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
@pytest.mark.parametrize("state", [*STATES, "never again"])
@pytest.mark.parametrize("lately", [False, True])
def test_sign_up_answer_is_the_same_for_every_state(client, state, lately):
    topic, email, subscribers = make.topic(), "you@example.org", []
    if state in STATES:
        subscribers = [make.subscriber(email, **STATES[state])]
    else:
        suppression_list.add(email, suppression_list.Reason.ASKED, NOW)
    if lately and subscribers:
        queue.create(subscribers[0], "confirm", now=NOW - MINUTE, closes_at=NOW + HOUR)
    sign_up(client, "warm@example.org")
    answers, works = [], []
    for address in ("new@example.org", email):
        with count_queries() as work:
            response = sign_up(client, address, topics=topic.slug)
        works.append(work)
        del response.headers["Expires"]  # Now, by a clock that goes on from one to the next.
        page = response.text.replace(address, "…")
        answers.append((page, dict(response.headers), response.cookies))
    assert answers[0] == answers[1]
    assert works[0] == works[1]
    assert works[0]["INSERT subscriptions_subscriber"] == 1
    Subscriber.objects.filter(email__in=["new@example.org", "warm@example.org"]).delete()
    assert list(Subscriber.objects.all()) == subscribers  # Nothing is left of a stand-in.
    assert not Letter.objects.exclude(subscriber__in=subscribers).exists()
    assert Letter.objects.count() <= 1 + lately


@pytest.mark.django_db
@pytest.mark.parametrize("state", [None, *STATES])
def test_task_is_enqueued_with_or_without_a_letter(
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
def test_task_without_a_letter_sends_nothing(outbox):
    from subscriptions.tasks import deliver_letter

    deliver_letter(send.NO_LETTER)
    assert outbox() == []


@pytest.mark.nightly
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("state", STATES)
def test_response_time_is_the_same_for_known_addresses(client, state):
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
