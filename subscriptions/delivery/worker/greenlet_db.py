"""Database work that lets the other tasks go on while PostgreSQL works on it.

A job is plain code. Where PostgreSQL's driver would wait for an answer, its task waits at the hub
instead. One job is done at a time, and nothing else uses the connection meanwhile.
"""

from collections.abc import Callable
from contextlib import contextmanager

from django.db import OperationalError, connection
from greenlet import getcurrent, greenlet

from subscriptions.delivery.worker.greenlets import Hub

#: So long a job waits for the database to say anything: a lock is waited for five seconds at most.
SILENT_SECONDS = 30


class Database:
    """Does jobs, one at a time.

    A job keeps the other tasks waiting where the database is SQLite, which has nothing to wait
    for, and amid a transaction of the caller's.
    """

    def __init__(self, hub: Hub):
        self.hub = hub
        self.worker: greenlet | None = None  # The task whose job is being done.
        self._is_patient = connection.vendor == "postgresql" and not connection.in_atomic_block

    @property
    def is_free(self) -> bool:
        return self.worker is None

    def do[T](self, job: Callable[[], T]) -> T:
        """Return what a job returns, or raise what it raises."""
        self.hub.wait_until(lambda: self.is_free)
        self.worker = getcurrent()
        try:
            if not self._is_patient:
                return job()
            connection.ensure_connection()
            with _patient(connection.connection, self.hub):
                return job()
        finally:
            self.worker = None


@contextmanager
def _patient(raw, hub):
    """Let the hub go on with others where the connection waits."""

    def wait(answer, *_, **__):
        try:
            events = next(answer)
            while True:
                if not (ready := hub.wait_for(raw.pgconn.socket, events, SILENT_SECONDS)):
                    # The network may have lost what was said, or the server hang: nobody else
                    # would tell us.
                    connection.close()
                    raise OperationalError("the database is silent")
                events = answer.send(ready)
        except StopIteration as end:
            return end.value

    raw.wait, raw.lock, lock = wait, _OneAtATime(), raw.lock
    try:
        yield
    finally:
        del raw.wait
        raw.lock = lock


class _OneAtATime:
    """In the place of the connection's lock, on which others of this thread would wait for ever."""

    def __init__(self):
        self.task = getcurrent()

    def __enter__(self):
        if getcurrent() is not self.task:
            raise RuntimeError("Another task is in the midst of a query.")

    def __exit__(self, *error):
        pass
