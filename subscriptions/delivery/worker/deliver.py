"""The delivery worker: how a letter is claimed, rendered, handed over, and what becomes of it.

`Worker.deliver` is the way of one letter, from top to bottom. Each connection has a task that calls
it for letter after letter; a connection that is slow or breaks delays its own letter alone.
"""

import time
from collections.abc import Callable
from functools import partial

from subscriptions import hooks
from subscriptions.delivery import transitions, verp
from subscriptions.delivery.transitions import Frozen
from subscriptions.delivery.transports.base import Connection, Message, Transport
from subscriptions.delivery.worker.batcher import Batcher
from subscriptions.delivery.worker.connection_pool import ConnectionPool
from subscriptions.delivery.worker.greenlets import Hub, Queue
from subscriptions.delivery.worker.transactions import InFlightLetter, Transactions

#: So many letters are claimed for each connection. A round that has gone on for a while claims more
#: at once, which costs less; before, it may be about to find out why the last one died.
AHEAD, FAR_AHEAD = 2, 4
CLAIMED_ANEW = 3 / 8  # Of those, so many at once at least. Where more, rendering waits for them.
GOES_WELL_SECONDS = 5
ENDLESS_SECONDS = 1.0  # Letters that are being rendered for so long may never be.
WATCH_SECONDS = 0.25  # Between two looks for letters that have waited for too long.


class Worker:
    """Delivers the letters of one round. At `claims_until`, or when `is_stopping`, it claims no
    more. `connection` is the first one.
    """

    def __init__(
        self,
        transport: Transport,
        connection: Connection,
        transactions: Transactions,
        *,
        claims_until: float,
        is_stopping: Callable[[], bool],
        is_probe: bool,
    ):
        self.transactions = transactions
        self.claims_until = claims_until
        self.is_stopping = is_stopping
        self.hub = Hub()
        self.batcher = Batcher(
            self.hub, transactions, self._is_more_coming, is_stopping, is_probe=is_probe
        )
        #: Letters by their ids, from the claim to the result.
        self.in_flight: dict[int, InFlightLetter] = {}
        self._claimed = Queue(self.hub)  # To be rendered.
        self._is_rendering = False
        self._rendered = Queue(self.hub)
        self._takes_more = True  # Letters are claimed still.
        self._ends_because = ""  # What keeps letters from leaving, all of them.
        self.pool = ConnectionPool(
            self.hub,
            transport,
            self._rendered,
            self.deliver,
            is_over=self._is_over,
            end=self.end,
        )
        self._began_at = time.monotonic()
        self._claiming = self.hub.spawn(self._claim)
        for task in (self.batcher.run, self._render, self.pool.run, self._watch):
            self.hub.spawn(task)
        self.pool.add(lambda: connection)

    # ---- A letter's way

    def deliver(self, one: InFlightLetter, connection: Connection) -> None:
        """Deliver one letter. All that is rarer than this is in `transport` and `outcomes`."""
        if one.letter.id not in self.in_flight:
            return  # It was released a moment ago.
        one.stage = "offered"
        one.result = connection.offer(one.message)  # MAIL, RCPT, DATA and all but end of data.
        if one.result is None:
            if not self.batcher.final_check(one):
                connection.close()  # Without end of data, the server must throw it away
                self._forget(one)  # (RFC 5321, 4.1.1.4).
                return
            one.stage = "finishing"
            one.result = connection.finish()  # End of data: from here on it may have arrived.
        if one.result.scope == "connection":  # A used one, gone by now: each is lost once at most.
            one.stage = "rendered"
            self._rendered.put_back(one)
            return
        one.stage = "ended"
        self.batcher.record(one)
        self._forget(one)
        if one.result.scope == "us":
            self.end(one.result.reply)

    def _forget(self, one):
        self.in_flight.pop(one.letter.id, None)

    # ---- Until a letter is offered

    def _claim(self):
        """Claim letters, as many as connections will soon want, until there are no more."""
        while True:
            left = self.claims_until - time.monotonic()
            self.hub.wait_until(lambda: not self._takes_more or self._room(), left)
            self._takes_more = self._takes_more and time.monotonic() < self.claims_until
            if not self._takes_more:
                return
            if (claimed := self.batcher.claim(self._room())) is None:
                continue
            self._takes_more = self._takes_more and not claimed.is_exhausted
            self.in_flight |= {letter.id: InFlightLetter(letter) for letter in claimed.letters}
            self._claimed.put(claimed)
            if self._ends_because:  # Since the claim was begun.
                self.end(self._ends_because)

    def _room(self) -> int:
        """Return how many letters may be claimed: none, where it isn't worth while yet."""
        if not self.batcher.may_claim():
            return 0
        if self.batcher.is_probe:
            return 0 if self.in_flight else 1
        goes_well = time.monotonic() - self._began_at > GOES_WELL_SECONDS
        most = (FAR_AHEAD if goes_well else AHEAD) * self.pool.most()
        room = most - len(self.in_flight)
        return room if room >= most * CLAIMED_ANEW else 0

    def _render(self):
        """Make the bytes of what was claimed, a few letters at a time, as connections want them."""
        while (claimed := self._claimed.get()) is not None:
            self._is_rendering = True
            while (some := self.hub.in_main(partial(self._next, claimed))) is not None:
                for letter, made in some:
                    self._take(letter, made)
                self.hub.pause()
                self.hub.wait_until(lambda: len(self._rendered) < self.pool.most())
                if self._ends_because:
                    return
            self._is_rendering = False

    def _next(self, claimed):
        """Render the next of these letters.

        Where this is broken off, as when the worker's time is over, letters that have been rendered
        for very long are no longer in flight: their leases run out.
        """
        began_at = time.monotonic()
        try:
            return next(claimed.written, None)
        except BaseException:
            if time.monotonic() > began_at + ENDLESS_SECONDS:
                for one in self._unoffered("claimed")[: hooks.COMPOSE_BATCH_SIZE]:
                    self._forget(one)
            raise

    def _take(self, letter, made: Frozen | Exception):
        if (one := self.in_flight.get(letter.id)) is None:
            return
        if isinstance(made, Exception):
            self._forget(one)
            self.batcher.record_render_error(letter, made)
            return
        one.stage, one.frozen = "rendered", made
        one.message = Message(
            sender=verp.envelope_sender(letter.kind, letter.id, made.frozen_at),
            recipient=letter.recipient,
            mime=made.mime,
            kind=letter.kind,
            letter_id=letter.id,
            frozen_at=made.frozen_at,
            # Looked for while the bytes are in the processor's cache: later they no longer are.
            has_dots=made.mime.startswith(b".") or b"\n." in made.mime,
        )
        self._rendered.put(one)

    def end(self, reason: str) -> None:
        """Leave what was not offered yet to a later round: it would fare no better."""
        self._takes_more, self._ends_because = False, reason
        self._release(self._unoffered(), reason)

    def _watch(self):
        """Release what waits for a worker that stops, or for too long, until all have ended."""
        while not self._is_over():
            self.hub.wait_until(lambda: self._is_over() or self._is_to_stop(), WATCH_SECONDS)
            if self._is_to_stop():
                self.end("the worker stops")
            if waiting := self._unoffered():
                least = self.transactions.now() + transitions.LEASE / 3
                stale = [one for one in waiting if one.letter.lease_until < least]
                self._release(stale, "it waited too long for a connection")
        self._claimed.close()
        self._rendered.close()
        self.batcher.close()

    def _is_to_stop(self):
        return not self._ends_because and self.is_stopping()

    def _is_over(self):
        return self._claiming.dead and not self.in_flight

    def _unoffered(self, *stages) -> list[InFlightLetter]:
        stages = stages or ("claimed", "rendered")
        return [one for one in self.in_flight.values() if one.stage in stages]

    def _release(self, unoffered, reason):
        for one in unoffered:
            self._forget(one)
        self._rendered.filter(lambda one: one.letter.id in self.in_flight)
        self.batcher.release([one.letter for one in unoffered], reason)

    def _is_more_coming(self) -> bool:
        """Return whether a letter is about to ask for its final check, or to have its result."""
        waiting = len(self.batcher.at_check) + len(self.batcher.held)
        return self.pool.busy() > waiting or bool(self._rendered.idle and self._is_rendering)

    # ---- The round

    def run(self) -> None:
        """Deliver, until no letter is in flight and all is recorded."""
        self.hub.run()

    def break_off(self) -> None:
        """End all tasks where they are, but the one at the database: once its work is done."""
        database = self.batcher.database
        self.hub.kill(but=database.worker)
        self.hub.run(until=lambda: database.is_free)
        self.hub.kill()

    def close(self) -> None:
        self.pool.close()
        self.hub.close()
