"""Hints: to a broker that hangs, and at every letter that is due."""

import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from queue import Empty
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import redis
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext
from kombu.transport import resolve_transport

from config import redis_transport
from subscriptions.models import Letter
from subscriptions.tasks import deliver_due_letters, enqueue
from tests.factories import make
from tests.factories.make import NOW
from tests.servers.postfix import wait_until

DUE = {"created_at": NOW, "next_try_at": NOW, "closes_at": NOW + timedelta(days=1)}


def test_worker_continues_after_redis_was_silent():
    """Fault 32: its slot is given back, or none would be left after a few."""
    assert resolve_transport("redis") is resolve_transport("rediss") is redis_transport.Transport

    class Silent:
        do_restore = False

        def conn_or_acquire(self, client=None):
            raise redis.exceptions.TimeoutError

    for give_back in (redis_transport.QoS.ack, redis_transport.QoS.reject):
        qos = redis_transport.Transport.Channel.QoS(Silent(), prefetch_count=1)
        qos._delivered["a tag"] = "a message"
        assert not qos.can_consume()
        with pytest.raises(redis.exceptions.TimeoutError):
            give_back(qos, "a tag")
        assert qos.can_consume()


class StuckTask:
    """What a task is while its broker takes the connection and says nothing."""

    name = "stuck"

    def __init__(self):
        self.is_over = threading.Event()
        self.senders = []

    def delay(self, *args):
        self.senders.append(threading.current_thread())
        self.is_over.wait(10)


@pytest.mark.slow
def test_hanging_broker_delays_nobody_and_takes_few_threads():
    task = StuckTask()
    threads, began = threading.active_count(), time.monotonic()
    for number in range(50):
        enqueue(task, number)
    assert time.monotonic() - began < 1
    assert threading.active_count() - threads <= 8
    assert all(one.daemon for one in task.senders)  # No process that ends waits for them.
    task.is_over.set()
    wait_until(lambda: threading.active_count() <= threads)  # Then there are slots for the next.


def test_refusing_broker_is_logged(caplog):
    enqueue(SimpleNamespace(name="refused", delay=Mock(side_effect=ConnectionError)))
    wait_until(lambda: "Cannot enqueue refused: ConnectionError" in caplog.text)


@pytest.mark.django_db
@pytest.mark.parametrize(("due", "rounds"), [(0, 0), (2_300, 3)])
def test_one_round_is_enqueued_per_thousand_due_letters(due, rounds):
    hints_in_the_queue()
    subscriber = make.subscriber()
    letters = [Letter(subscriber=subscriber, kind="confirm", **DUE) for _ in range(due)]
    later = Letter(subscriber=subscriber, kind="confirm", **DUE)
    later.next_try_at += timedelta(minutes=1)
    Letter.objects.bulk_create([*letters, later])

    with CaptureQueriesContext(connection) as queries:
        deliver_due_letters()

    assert "COUNT(" in queries[-2]["sql"]  # Not the numbers of tens of thousands of them.
    hints = hints_in_the_queue()["deliver_letters"]
    assert len(hints) == (rounds if connection.vendor == "postgresql" else min(rounds, 1))
    next_pass = datetime.now(UTC) + timedelta(minutes=1)
    assert all(datetime.fromisoformat(expires) < next_pass for expires in hints)


def hints_in_the_queue():
    """Empty the queue. Return the expiry times of its hints, by task.

    Hints of earlier tests may be in the queue, too.
    """
    hints = defaultdict(list)
    with current_app.connection_for_read() as broker:
        queue = broker.SimpleQueue(current_app.amqp.queues["send"], no_ack=True)
        while True:
            try:
                message = queue.get(block=False)
            except Empty:
                return hints
            task = message.headers["task"].removeprefix("subscriptions.tasks.")
            hints[task].append(message.headers["expires"])


@pytest.mark.django_db
@pytest.mark.parametrize("channel", ["", "json"])
def test_failing_sweep_stops_no_delivery(monkeypatch, channel):
    monkeypatch.setattr("subscriptions.delivery.sweep.sweep", lambda now: 1 / 0)
    hints_in_the_queue()
    Letter.objects.create(subscriber=make.subscriber(channel=channel), kind="confirm", **DUE)
    deliver_due_letters()
    hints = hints_in_the_queue()
    assert (len(hints["deliver_letters"]), len(hints["deliver_posts"])) == (1, bool(channel))
