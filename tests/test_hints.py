"""Hints: to a broker that hangs, and at every letter that is due."""

import threading
import time
from datetime import UTC, datetime, timedelta
from queue import Empty

import pytest
from celery import current_app

from subscriptions.hints import hint
from subscriptions.models import Letter
from subscriptions.tasks import deliver_due_letters
from tests import make
from tests.make import NOW


class StuckTask:
    """What a task is while its broker takes the connection and says nothing."""

    name = "stuck"

    def __init__(self):
        self.is_over = threading.Event()
        self.tried = []

    def delay(self, *args):
        self.tried.append(args)
        self.is_over.wait(10)


def test_a_broker_that_hangs_keeps_nobody_waiting_and_few_threads():
    task = StuckTask()
    threads, began = threading.active_count(), time.monotonic()
    for number in range(50):
        hint(task, number)
    assert time.monotonic() - began < 1
    assert threading.active_count() - threads <= 8
    task.is_over.set()


def test_a_broker_that_refuses_is_told_of_in_the_log(caplog):
    class RefusedTask:
        name = "refused"

        def delay(self):
            raise ConnectionError

    hint(RefusedTask())
    deadline = time.monotonic() + 5
    while "no hint for refused: ConnectionError" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.django_db
def test_each_letter_that_is_due_is_hinted_at_once_in_a_pass_for_as_long_as_a_pass():
    taken_from_the_queue()
    reader = make.subscriber()
    moments = {"created_at": NOW, "next_try_at": NOW, "closes_at": NOW + timedelta(days=1)}
    due = Letter.objects.bulk_create(
        Letter(subscriber=reader, kind="confirm", **moments) for _ in range(1_100)
    )
    Letter.objects.create(
        subscriber=reader, kind="confirm", **moments | {"next_try_at": NOW + timedelta(minutes=1)}
    )

    deliver_due_letters()

    hints = taken_from_the_queue()
    assert [letter_id for letter_id, _ in hints] == [letter.pk for letter in due]
    next_pass = datetime.now(UTC) + timedelta(minutes=1)
    assert all(expires < next_pass for _, expires in hints)


def taken_from_the_queue():
    """Empty the queue of hints; return each letter's id with when its hint expires."""
    hints = []
    with current_app.connection_for_read() as connection:
        queue = connection.SimpleQueue(current_app.amqp.queues["send"], no_ack=True)
        while True:
            try:
                message = queue.get(block=False)
            except Empty:
                return hints
            ((letter_id,), _, _) = message.decode()
            expires = message.headers["expires"]
            hints.append((letter_id, expires and datetime.fromisoformat(expires)))
