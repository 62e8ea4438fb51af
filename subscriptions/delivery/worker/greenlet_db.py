"""Database work during which the other tasks of the hub run.

A job is blocking code. When PostgreSQL's driver would wait for a reply, the hub runs other tasks.
One job runs at a time, and nothing else uses the connection meanwhile.
"""

from collections.abc import Callable
from contextlib import contextmanager

from django.db import OperationalError, connection
from greenlet import getcurrent, greenlet

from subscriptions.delivery.worker.greenlets import Hub

#: A job waits so long for any data from the database. A lock is waited for five seconds at most.
MAX_SILENCE_SECONDS = 30


class Database:
    """Runs jobs, one at a time.

    The other tasks wait during a job if the database is SQLite, which has no socket, or if the
    caller is in a transaction.
    """

    def __init__(self, hub: Hub):
        self.hub = hub
        self.busy_task: greenlet | None = None  # The task whose job is running.
        self._uses_hub = connection.vendor == "postgresql" and not connection.in_atomic_block

    @property
    def is_free(self) -> bool:
        return self.busy_task is None

    def do[T](self, job: Callable[[], T]) -> T:
        """Run a job, and return its result."""
        self.hub.wait_until(lambda: self.is_free)
        self.busy_task = getcurrent()
        try:
            if not self._uses_hub:
                return job()
            connection.ensure_connection()
            with _waiting_in_hub(connection.connection, self.hub):
                return job()
        finally:
            self.busy_task = None


@contextmanager
def _waiting_in_hub(driver, hub):
    """Let the hub run other tasks while the connection waits."""

    def wait(generator, *_, **__):
        try:
            events = next(generator)
            while True:
                if not (ready := hub.wait_for(driver.pgconn.socket, events, MAX_SILENCE_SECONDS)):
                    # The network lost data, or the server hangs: no error would be raised.
                    connection.close()
                    raise OperationalError("the database is silent")
                events = generator.send(ready)
        except StopIteration as end:
            return end.value

    driver.wait, driver.lock, lock = wait, _SingleTaskLock(), driver.lock
    try:
        yield
    finally:
        del driver.wait
        driver.lock = lock


class _SingleTaskLock:
    """Replaces the connection's lock, on which other tasks of this thread would deadlock."""

    def __init__(self):
        self.task = getcurrent()

    def __enter__(self):
        if getcurrent() is not self.task:
            raise RuntimeError("Another task is running a query.")

    def __exit__(self, *exception):
        pass
