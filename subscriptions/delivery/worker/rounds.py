"""A round of delivery: whether it may begin, and how it ends, well or broken off.

Exactly once is impossible over SMTP, so every step is chosen for what a crash right after it does:

- a *claim* is a lease. Whoever holds it renders the letter. Its holder dies: the lease runs out,
  and another tries again. Nothing was sent.
- the *final check* comes when the server has everything but end of data. It looks once more whether
  the letter is still wanted, under the lock that unsubscribing takes, and freezes its bytes. If it
  is not, end of data is not sent, and the server throws the letter away.
- after end of data, no answer means that nobody knows: see sweep.py.

deliver.py has the way of a letter, batcher.py what is done at the database for many at once.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import Error

from subscriptions.delivery import circuit_breaker, transitions
from subscriptions.delivery.clock import Clock
from subscriptions.delivery.transports.base import ConnectFailed
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.delivery.worker.deliver import Worker
from subscriptions.delivery.worker.transactions import Transactions
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

#: So many objects are made before Python looks for those that are kept by each other alone. A
#: letter makes hundreds, and none of that kind: to look as often as Python does takes 7 % of all.
OBJECTS = 50_000


class Round:
    """One round of delivery: it goes on until nothing is due, or its time is over.

    `ids` are the letters to be delivered, where they aren't all that are due. After `seconds`, or
    when `is_stopping`, nothing more is claimed, and what is under way is brought to its end.
    """

    def __init__(
        self,
        clock: Clock,
        ids: Sequence[int] | None = None,
        *,
        seconds: float = float("inf"),
        is_stopping: Callable[[], bool] = lambda: False,
    ):
        self.clock = clock
        self.ids = ids
        self.is_stopping = is_stopping
        self.claims_until = time.monotonic() + seconds
        self.transport = transport_for(settings.EMAIL_URL)
        self.transactions = Transactions(clock, ids)
        self.worker: Worker | None = None

    def run(self) -> Counter[str]:
        """Deliver. Return how many letters ended how."""
        if (worker := self._begin()) is None:
            return Counter()
        is_complete = False
        try:
            with _collecting_rarely():
                worker.run()
            is_complete = True
        except BaseException as error:
            self._break_off(error)
            raise
        finally:
            worker.close()
            # Last: only what was recorded where nothing broke is not replayed.
            self.transactions.close(is_complete=is_complete)
        if (trouble := worker.pool.trouble) is not None:  # Let all workers wait.
            with suppress(Error):
                is_probe = worker.batcher.is_probe
                circuit_breaker.trip(trouble.kind, str(trouble), self.clock(), is_probe=is_probe)
        return worker.batcher.counts

    def _begin(self) -> Worker | None:
        """Return a worker, if letters may leave now and there is a connection for them.

        What is cheap is asked first. To connect comes last: it takes long, and where a probe is
        due after a trouble, this worker must have taken it.
        """
        if self.is_stopping() or time.monotonic() >= self.claims_until:
            return None
        now = self.clock()
        state = circuit_breaker.current()
        if reason := state.why_not(now):
            logger.warning("nothing is sent: %s", reason)
            return None
        due = Letter.objects.due(now)
        if not (due if self.ids is None else due.filter(pk__in=self.ids)).exists():
            return None
        is_probe = state.failures > 0
        if is_probe and not circuit_breaker.take_probe(now):
            return None  # Another worker tries.
        try:
            connection = self.transport.connect()
        except ConnectFailed as trouble:
            circuit_breaker.trip(trouble.kind, str(trouble), now, is_probe=is_probe)
            return None
        self.worker = Worker(
            self.transport,
            connection,
            self.transactions,
            claims_until=self.claims_until,
            is_stopping=self.is_stopping,
            is_probe=is_probe,
        )
        return self.worker

    def _break_off(self, error):
        """Where an error, or the end of the worker's time, ends the round: see to its letters.

        First to those that have a result: an acceptance comes to the disk before the database is
        asked for anything. Where an Error of the database's ends the round, that has been borne for
        long enough. Then to those that surely were not sent, lest they become uncertain, or are
        kept until their leases run out.
        """
        self.worker.break_off()
        batcher = self.worker.batcher
        self.transactions.note(batcher.ended)
        if not isinstance(error, Error):
            batcher.record_each(batcher.ended)
        unsent = ["passed"]
        # An Exception may be the fault of a letter that is claimed: their leases run out, so that
        # it is found by its stumbles. What is none, as that the time is over, is nobody's.
        if not isinstance(error, Exception):
            unsent += ["claimed", "rendered", "offered"]
        letters = [one.letter for one in self.worker.in_flight.values() if one.stage in unsent]
        batcher.release(letters, "the round was broken off")
        for _ in range(3):  # One whose row is held comes last in the next.
            with suppress(Error):
                while batcher.outcomes:
                    self.transactions.record(batcher.outcomes)


def deliver_due(
    clock: Clock, ids: Sequence[int] | None = None, *, seconds: float = float("inf"), **limits
) -> Counter[str]:
    """Deliver what is due, or those of `ids` that are. Return how many letters ended how.

    Letters that may be what broke earlier rounds get one each, before the others.
    """
    until = time.monotonic() + seconds
    alone = [[letter_id] for letter_id in transitions.suspects(clock())] if ids is None else []
    counts: Counter[str] = Counter()
    for some in [*alone, ids]:
        counts += Round(clock, some, seconds=until - time.monotonic(), **limits).run()
    return counts


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Let Python look so rarely inside the block, unless somebody has it look more rarely still."""
    before = gc.get_threshold()
    if 0 < before[0] < OBJECTS:
        gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
