"""The delivery worker: claims, renders and hands over letters.

`Worker.deliver` has the steps of one letter, from top to bottom. Each connection has a task that
calls it for one letter after the other. A slow or broken connection only delays its own letter.
"""

import time
from collections.abc import Callable
from functools import partial

from subscriptions import hooks
from subscriptions.delivery import transitions, verp
from subscriptions.delivery.transitions import FrozenMessage
from subscriptions.delivery.transports.base import Connection, Message, Transport
from subscriptions.delivery.worker.batcher import Batcher
from subscriptions.delivery.worker.connection_pool import ConnectionPool
from subscriptions.delivery.worker.greenlets import Hub, Queue
from subscriptions.delivery.worker.transactions import InFlightLetter, Transactions

#: Letters claimed ahead for each connection. A round that has run for a while claims more at once,
#: which costs less. A new round claims fewer, since it may crash as the previous one did.
CLAIMS_PER_CONNECTION, CLAIMS_PER_CONNECTION_LATER = 2, 4
MIN_CLAIM_SHARE = 3 / 8  # Of these, at least so many in one claim.
WARM_UP_SECONDS = 5
MAX_RENDER_SECONDS = 1.0  # Rendering a batch that takes longer may never end.
WATCH_SECONDS = 0.25  # Between two checks for letters that have waited for too long.


class Worker:
    """Delivers the letters of one round. It claims until `claim_deadline` or `is_stopping`.

    `connection` is the first one.
    """

    def __init__(
        self,
        transport: Transport,
        connection: Connection,
        transactions: Transactions,
        *,
        claim_deadline: float,
        is_stopping: Callable[[], bool],
        is_probe: bool,
    ):
        self.transactions = transactions
        self.claim_deadline = claim_deadline
        self.is_stopping = is_stopping
        self.hub = Hub()
        self.batcher = Batcher(
            self.hub, transactions, self._is_more_coming, is_stopping, is_probe=is_probe
        )
        #: Letters by their ids, from the claim to the result.
        self.in_flight: dict[int, InFlightLetter] = {}
        self._claimed_queue = Queue(self.hub)  # To be rendered.
        self._is_rendering = False
        self._rendered_queue = Queue(self.hub)
        self._is_claiming = True
        self._stop_reason = ""  # Why no more letters are offered.
        self.pool = ConnectionPool(
            self.hub,
            transport,
            self._rendered_queue,
            self.deliver,
            is_over=self._is_over,
            stop_claiming=self.stop_claiming,
        )
        self._began_at = time.monotonic()
        self._claim_task = self.hub.spawn(self._claim)
        for task in (self.batcher.run, self._render, self.pool.run, self._watch):
            self.hub.spawn(task)
        self.pool.add(lambda: connection)

    # ---- Delivering a letter

    def deliver(self, flight: InFlightLetter, connection: Connection) -> None:
        """Deliver one letter. Rarer outcomes are handled in `transport` and `outcomes`."""
        if flight.letter.id not in self.in_flight:
            return  # It was released a moment ago.
        flight.stage = "offered"
        flight.result = connection.offer(flight.message)  # MAIL, RCPT, DATA, not end of data.
        if flight.result is None:
            if not self.batcher.final_check(flight):
                connection.close()  # Without end of data, the server must discard it
                self._forget(flight)  # (RFC 5321, 4.1.1.4).
                return
            flight.stage = "finishing"
            flight.result = connection.finish()  # End of data: from here on it may have arrived.
        if flight.result.scope == "connection":  # A reused one was closed: try another.
            flight.stage = "rendered"
            self._rendered_queue.put_back(flight)
            return
        flight.stage = "ended"
        self.batcher.record(flight)
        self._forget(flight)
        if flight.result.scope == "us":
            self.stop_claiming(flight.result.reply)

    def _forget(self, flight):
        self.in_flight.pop(flight.letter.id, None)

    # ---- Until a letter is offered

    def _claim(self):
        """Claim letters, as many as connections will soon need, until there are no more."""
        while True:
            seconds = self.claim_deadline - time.monotonic()
            self.hub.wait_until(lambda: not self._is_claiming or self._claim_size(), seconds)
            self._is_claiming = self._is_claiming and time.monotonic() < self.claim_deadline
            if not self._is_claiming:
                return
            if (claimed := self.batcher.claim(self._claim_size())) is None:
                continue
            self._is_claiming = self._is_claiming and not claimed.is_exhausted
            self.in_flight |= {letter.id: InFlightLetter(letter) for letter in claimed.letters}
            self._claimed_queue.put(claimed)
            if self._stop_reason:  # Set while the claim ran.
                self.stop_claiming(self._stop_reason)

    def _claim_size(self) -> int:
        """Return how many letters to claim now: none, if the claim would be small."""
        if not self.batcher.can_claim():
            return 0
        if self.batcher.is_probe:
            return 0 if self.in_flight else 1
        is_warm = time.monotonic() - self._began_at > WARM_UP_SECONDS
        per_connection = CLAIMS_PER_CONNECTION_LATER if is_warm else CLAIMS_PER_CONNECTION
        max_in_flight = per_connection * self.pool.capacity()
        size = max_in_flight - len(self.in_flight)
        return size if size >= max_in_flight * MIN_CLAIM_SHARE else 0

    def _render(self):
        """Render claimed letters, in batches, as connections need them."""
        while (claimed := self._claimed_queue.get()) is not None:
            self._is_rendering = True
            while (batch := self.hub.run_in_main(partial(self._render_batch, claimed))) is not None:
                for letter, rendered in batch:
                    self._add_rendered(letter, rendered)
                self.hub.pause()
                self.hub.wait_until(lambda: len(self._rendered_queue) < self.pool.capacity())
                if self._stop_reason:
                    return
            self._is_rendering = False

    def _render_batch(self, claimed):
        """Render the next batch of these letters.

        If this is aborted, as at the time limit of a task, and has taken very long, the letters of
        the batch are no longer in flight: their leases expire, which counts a failed attempt.
        """
        began_at = time.monotonic()
        try:
            return next(claimed.rendered, None)
        except BaseException:
            if time.monotonic() > began_at + MAX_RENDER_SECONDS:
                for flight in self._unoffered_flights("claimed")[: hooks.COMPOSE_BATCH_SIZE]:
                    self._forget(flight)
            raise

    def _add_rendered(self, letter, rendered: FrozenMessage | Exception):
        if (flight := self.in_flight.get(letter.id)) is None:
            return
        if isinstance(rendered, Exception):
            self._forget(flight)
            self.batcher.record_render_error(letter, rendered)
            return
        flight.stage, flight.frozen = "rendered", rendered
        flight.message = Message(
            sender=verp.envelope_sender(letter.kind, letter.id, rendered.frozen_at),
            recipient=letter.recipient,
            mime=rendered.mime,
            kind=letter.kind,
            letter_id=letter.id,
            frozen_at=rendered.frozen_at,
        )
        self._rendered_queue.put(flight)

    def stop_claiming(self, reason: str) -> None:
        """Claim no more letters, and release those that were not offered yet."""
        self._is_claiming, self._stop_reason = False, reason
        self._release(self._unoffered_flights(), reason)

    def _watch(self):
        """Release letters that wait for too long, or when the worker stops."""
        while not self._is_over():
            self.hub.wait_until(lambda: self._is_over() or self._is_to_stop(), WATCH_SECONDS)
            if self._is_to_stop():
                self.stop_claiming("the worker stops")
            if waiting := self._unoffered_flights():
                min_lease = self.transactions.now() + transitions.LEASE / 3
                stale = [flight for flight in waiting if flight.letter.lease_until < min_lease]
                self._release(stale, "it waited too long for a connection")
        self._claimed_queue.close()
        self._rendered_queue.close()
        self.batcher.close()

    def _is_to_stop(self):
        return not self._stop_reason and self.is_stopping()

    def _is_over(self):
        return self._claim_task.dead and not self.in_flight

    def _unoffered_flights(self, *stages) -> list[InFlightLetter]:
        stages = stages or ("claimed", "rendered")
        return [flight for flight in self.in_flight.values() if flight.stage in stages]

    def _release(self, flights, reason):
        for flight in flights:
            self._forget(flight)
        self._rendered_queue.filter(lambda flight: flight.letter.id in self.in_flight)
        self.batcher.release([flight.letter for flight in flights], reason)

    def _is_more_coming(self) -> bool:
        """Return whether a letter will soon need its final check, or have a result."""
        waiting_count = len(self.batcher.check_queue) + len(self.batcher.locked_queue)
        is_coming = bool(self._rendered_queue.idle and self._is_rendering)
        return self.pool.busy_count() > waiting_count or is_coming

    # ---- The round

    def run(self) -> None:
        """Deliver until no letter is in flight and all results are recorded."""
        self.hub.run()

    def abort(self) -> None:
        """End all tasks at once, and the one that uses the database when its job is done."""
        database = self.batcher.database
        self.hub.kill(spared=database.busy_task)
        self.hub.run(condition=lambda: database.is_free)
        self.hub.kill()

    def close(self) -> None:
        self.pool.close()
        self.hub.close()
