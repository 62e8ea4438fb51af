"""The connections of a round: as many as letters need and the server allows."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from subscriptions.delivery.transports.base import ConnectFailed, Connection, Transport
from subscriptions.delivery.worker.greenlets import Hub, Queue
from subscriptions.delivery.worker.transactions import InFlightLetter

logger = logging.getLogger(__name__)

OPENERS = 8  # Threads that open connections: a server may be slow to greet.
RECONNECT_SECONDS = 30  # After a connection was refused.


class ConnectionPool:
    """Runs a task for each connection, which delivers one letter of the queue after the other.

    Threads open the connections.
    """

    def __init__(
        self,
        hub: Hub,
        transport: Transport,
        queue: Queue,
        deliver: Callable[[InFlightLetter, Connection], None],
        *,
        is_over: Callable[[], bool],
        stop_claiming: Callable[[str], None],
    ):
        self.hub = hub
        self.transport = transport
        self.queue = queue
        self.failure: ConnectFailed | None = None  # Of the last attempt to connect.
        self.fatal_failure: ConnectFailed | None = None  # It ended the round.
        self._deliver, self._is_over, self._stop_claiming = deliver, is_over, stop_claiming
        self._count = self._opening = 0
        self._reconnect_at = 0.0
        self._openers = ThreadPoolExecutor(OPENERS, thread_name_prefix="connection")

    def capacity(self) -> int:
        """Return how many connections are possible: after a failure, the current ones."""
        return max(1, self._count - self._opening) if self.failure else self.transport.connections

    def busy_count(self) -> int:
        """Return how many connections have a letter or are being opened."""
        return self._count - len(self.queue.idle)

    def add(self, connect: Callable[[], Connection | None]) -> None:
        """Start a task for one more connection."""
        self._count += 1
        self.hub.spawn(self._run_connection, connect)

    def run(self) -> None:
        """Open connections as needed, a few at once, until the round is over."""
        while True:
            self.hub.wait_until(lambda: self._needs_connection() or self._is_over())
            if self._is_over():
                return
            self._opening += 1
            self.add(self._connect)

    def close(self) -> None:
        self._openers.shutdown(wait=False, cancel_futures=True)

    def _needs_connection(self):
        if len(self.queue) <= self._opening or self._count >= self.transport.connections:
            return False
        max_opening = 1 if self.failure else OPENERS
        may_open = self._opening < max_opening and time.monotonic() >= self._reconnect_at
        return may_open or not self._count

    def _run_connection(self, connect):
        """Deliver letters over one connection, until the queue or the connection is closed."""
        connection = None
        try:
            if (connection := connect()) is None:
                return
            while (flight := self.queue.get()) is not None:
                if not connection.is_usable():
                    self.queue.put_back(flight)
                    return
                self._deliver(flight, connection)
        finally:
            self._count -= 1
            if connection is not None:
                connection.close()

    def _connect(self) -> Connection | None:
        """Return a new connection, or None if it failed or is no longer needed."""
        future, is_needed = self._openers.submit(self.transport.connect), False
        try:
            self.hub.wait_until(lambda: future.done() or self._is_over())
            is_needed = future.done()
        finally:
            self._opening -= 1
            if not is_needed:
                future.add_done_callback(_close_late)
        if not is_needed:
            return None
        try:
            connection = future.result()
        except ConnectFailed as failure:
            logger.warning("No further connection to the mail server: %s", failure)
            self.failure = failure
            self._reconnect_at = time.monotonic() + RECONNECT_SECONDS
            if self._count == 1:  # There is no other.
                self.fatal_failure = failure
                self._stop_claiming(str(failure))
            return None
        self.failure = None
        return connection


def _close_late(future):
    with suppress(Exception):
        future.result().close()
