"""Hints to a broker that hangs."""

import threading
import time

from subscriptions.hints import hint


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
