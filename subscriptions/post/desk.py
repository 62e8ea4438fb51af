"""The database's work of a round of delivery, done while its lines go on.

A job is plain code. Where PostgreSQL's driver would wait for an answer, the job is left, and gone
on with when the answer is there: in the same thread, by a greenlet. So what the round does
meanwhile and the job are never at anything at once. In threads they would take turns at Python's
lock, thousands of times a second.
"""

import contextvars
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection
from greenlet import getcurrent, greenlet

#: So long a job waits for the database to say anything: a lock is waited for five seconds at most.
SILENT_SECONDS = 30

Then = Callable[[Future], None]


class Desk:
    """Does one job at a time. Whoever uses it keeps from the database meanwhile.

    Jobs are done in one go, by who gives them, where the database is SQLite, which has nothing to
    wait for, and amid a transaction of the caller's.
    """

    def __init__(self):
        self.is_patient = connection.vendor == "postgresql" and not connection.in_atomic_block
        self._job: greenlet | None = None
        self._then: Then | None = None
        #: For which descriptor the job waits, and for what, as a selector says it.
        self.waits_for: tuple[int, int] | None = None
        self._patient_until = 0.0

    @property
    def is_free(self) -> bool:
        return self._job is None

    def give(self, job: Callable[[], Any], then: Then) -> None:
        """Have a job done by a desk that is free. `then` gets what came of it."""
        self._then = then
        self._job = greenlet(_do_patiently if self.is_patient else _do)
        self._job.gr_context = contextvars.copy_context()
        self._go_on(job)

    def ready(self, events: int) -> None:
        """Go on with the job: what it waits for is there."""
        self.waits_for = None
        self._go_on(events)

    def close(self) -> None:
        """Bring the job under way to its end, or break it off where the database is silent."""
        with selectors.DefaultSelector() as selector:
            while self.waits_for is not None:
                descriptor, events = self.waits_for
                selector.register(descriptor, events)
                found = selector.select(max(0.0, self._patient_until - time.monotonic()))
                selector.unregister(descriptor)
                if found:
                    self.ready(found[0][1])
                else:
                    self.break_off_if_silent()

    def break_off_if_silent(self) -> None:
        """Let the job find that its connection is gone, where it has waited for too long.

        Whether the network loses what is said, or the server hangs: nobody else would tell us.
        """
        if self.waits_for is None or time.monotonic() < self._patient_until:
            return
        self.waits_for = None
        connection.close()
        self._take(self._job.throw(OperationalError("the database is silent")))

    def _go_on(self, what):
        self._take(self._job.switch(what))

    def _take(self, came_of):
        if isinstance(came_of, Future):
            then, self._job, self._then = self._then, None, None
            then(came_of)
        else:
            self.waits_for = came_of
            self._patient_until = time.monotonic() + SILENT_SECONDS


def _do_patiently(job) -> Future:
    def patient_job():
        connection.ensure_connection()
        with _patient(connection.connection, getcurrent()):
            return job()

    return _do(patient_job)


def _do(job) -> Future:
    future: Future = Future()
    try:
        future.set_result(job())
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def _patient(raw, job):
    """Let the job be left where the connection waits."""

    def wait(answer, *_, **__):
        try:
            events = next(answer)
            while True:
                events = answer.send(job.parent.switch((raw.pgconn.socket, events)))
        except StopIteration as end:
            return end.value

    raw.wait, raw.lock, lock = wait, _OneAtATime(job), raw.lock
    try:
        yield
    finally:
        del raw.wait
        raw.lock = lock


class _OneAtATime:
    """In the place of the connection's lock, on which others of this thread would wait for ever."""

    def __init__(self, job):
        self.job = job

    def __enter__(self):
        if getcurrent() is not self.job:
            raise RuntimeError("A job at the desk is in the midst of a query.")

    def __exit__(self, *error):
        pass
