"""The connections of a round: as many as letters wait for, and the server lets us have."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from subscriptions.delivery.transports.base import ConnectFailed, Connection, Transport
from subscriptions.delivery.worker.greenlets import Hub, Queue
from subscriptions.delivery.worker.transactions import InFlightLetter

logger = logging.getLogger(__name__)

OPENERS = 8  # So many connections are opened at once: a server may be slow to greet.
OPEN_AGAIN_SECONDS = 30  # A server that lets us have no more is not asked more often.


class ConnectionPool:
    """Has a task for each connection, which lets one letter of a queue after the other be
    delivered over it. Connections are opened in threads.
    """

    def __init__(
        self,
        hub: Hub,
        transport: Transport,
        queue: Queue,
        deliver: Callable[[InFlightLetter, Connection], None],
        *,
        is_over: Callable[[], bool],
        end: Callable[[str], None],
    ):
        self.hub = hub
        self.transport = transport
        self.queue = queue
        self.failure: ConnectFailed | None = None  # As the last connection was to be opened.
        self.trouble: ConnectFailed | None = None  # For want of any, the round was ended.
        self._deliver, self._is_over, self._end = deliver, is_over, end
        self._count = self._opening = 0
        self._open_again_at = 0.0
        self._openers = ThreadPoolExecutor(OPENERS, thread_name_prefix="connection")

    def most(self) -> int:
        """Return how many there can be: after a failure, those that there are."""
        return max(1, self._count - self._opening) if self.failure else self.transport.connections

    def busy(self) -> int:
        """Return how many have a letter, or are being opened."""
        return self._count - len(self.queue.idle)

    def add(self, connect: Callable[[], Connection | None]) -> None:
        """Have one more connection."""
        self._count += 1
        self.hub.spawn(self._work, connect)

    def run(self) -> None:
        """Have connections opened, a few at once, until the round is over."""
        while True:
            self.hub.wait_until(lambda: self._wants_more() or self._is_over())
            if self._is_over():
                return
            self._opening += 1
            self.add(self._connect)

    def close(self) -> None:
        self._openers.shutdown(wait=False, cancel_futures=True)

    def _wants_more(self):
        if len(self.queue) <= self._opening or self._count >= self.transport.connections:
            return False
        at_once = 1 if self.failure else OPENERS
        may_ask = self._opening < at_once and time.monotonic() >= self._open_again_at
        return may_ask or not self._count

    def _work(self, connect):
        """Let letter after letter be delivered over one connection, until they or it end."""
        connection = None
        try:
            if (connection := connect()) is None:
                return
            while (one := self.queue.get()) is not None:
                if not connection.is_usable():
                    self.queue.put_back(one)
                    return
                self._deliver(one, connection)
        finally:
            self._count -= 1
            if connection is not None:
                connection.close()

    def _connect(self) -> Connection | None:
        """Return a new connection; None where there is none, or none is wanted any more."""
        future, is_wanted = self._openers.submit(self.transport.connect), False
        try:
            self.hub.wait_until(lambda: future.done() or self._is_over())
            is_wanted = future.done()
        finally:
            self._opening -= 1
            if not is_wanted:
                future.add_done_callback(_close_late)
        if not is_wanted:
            return None
        try:
            connection = future.result()
        except ConnectFailed as failure:
            logger.warning("no further connection to the mail server: %s", failure)
            self.failure = failure
            self._open_again_at = time.monotonic() + OPEN_AGAIN_SECONDS
            if self._count == 1:  # This would have been the last.
                self.trouble = failure
                self._end(str(failure))
            return None
        self.failure = None
        return connection


def _close_late(future):
    with suppress(Exception):
        future.result().close()
