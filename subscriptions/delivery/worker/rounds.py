"""A round of delivery: whether it may start, and how it ends, complete or aborted.

Exactly once is impossible over SMTP, so every step is designed for a crash right after it:

- A *claim* is a lease. Its holder renders the letter. If the holder dies, the lease expires, and
  another worker tries again. Nothing was sent.
- The *final check* comes when the server has everything but end of data. It checks once more that
  the letter is wanted, under the lock that unsubscribing takes, and freezes the bytes. If the
  letter is not wanted, end of data is not sent, and the server discards the message.
- After end of data, no reply means that the outcome is unknown: see sweep.py.

deliver.py has the steps of one letter, batcher.py the database work for many at once.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from django.conf import settings
from django.db import Error

from subscriptions.delivery import circuit_breaker, transitions
from subscriptions.delivery.clock import Clock
from subscriptions.delivery.transports.base import ConnectFailed
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.delivery.worker.deliver import Worker
from subscriptions.delivery.worker.posts import post_due
from subscriptions.delivery.worker.transactions import Transactions
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

#: Allocations between two collections of reference cycles. A letter allocates hundreds of objects
#: without cycles: with Python's default, collecting takes 7 % of the time.
GC_THRESHOLD = 50_000


class Round:
    """One round of delivery, of emails or posts (`medium`), until none is due or its time is over.

    `ids` restricts it to these letters. From `claim_deadline` (of time.monotonic) on, or when
    `is_stopping`, it claims no more letters and finishes those in flight.
    """

    def __init__(
        self,
        clock: Clock,
        ids: Sequence[int] | None = None,
        *,
        medium=Letter.EMAILS,
        claim_deadline: float = float("inf"),
        is_stopping: Callable[[], bool] = lambda: False,
    ):
        self.clock = clock
        self.ids = ids
        self.is_stopping = is_stopping
        self.claim_deadline = claim_deadline
        self.transport = transport_for(settings.EMAIL_URL)
        self.transactions = Transactions(clock, ids, medium)
        self.worker: Worker | None = None

    def run(self) -> Counter[str]:
        """Deliver. Return the number of letters by outcome."""
        if self.transactions.medium == Letter.POSTS:
            return post_due(self.transactions, self._may_claim)
        if (worker := self._start_worker()) is None:
            return Counter()
        is_complete = False
        threshold = gc.get_threshold()
        if 0 < threshold[0] < GC_THRESHOLD:
            gc.set_threshold(GC_THRESHOLD, *threshold[1:])
        try:
            worker.run()
            is_complete = True
        except BaseException as error:
            self._abort(error)
            raise
        finally:
            gc.set_threshold(*threshold)
            worker.close()
            # Last: the journal is replayed unless everything is recorded.
            self.transactions.close(is_complete=is_complete)
        if (failure := worker.pool.fatal_failure) is not None:  # Let all workers wait.
            with suppress(Error):
                is_probe = worker.batcher.is_probe
                circuit_breaker.open(failure.kind, str(failure), self.clock(), is_probe=is_probe)
        return worker.batcher.counts

    def _may_claim(self):
        return time.monotonic() < self.claim_deadline and not self.is_stopping()

    def _start_worker(self) -> Worker | None:
        """Return a worker, if letters are due, may be sent and a connection can be opened.

        Cheap checks come first. Connecting comes last: it takes long, and after a failure only the
        worker that claimed the probe may do it.
        """
        if not self._may_claim():
            return None
        now = self.clock()
        sending = circuit_breaker.current()
        if reason := sending.wait_reason(now):
            logger.warning("No emails are sent: %s", reason)
            return None
        due = Letter.objects.due(now).filter(Letter.EMAILS)
        if not (due if self.ids is None else due.filter(pk__in=self.ids)).exists():
            return None
        is_probe = sending.failures > 0
        if is_probe and not circuit_breaker.claim_probe(now):
            return None  # Another worker has claimed it.
        try:
            connection = self.transport.connect()
        except ConnectFailed as failure:
            circuit_breaker.open(failure.kind, str(failure), now, is_probe=is_probe)
            return None
        self.worker = Worker(
            self.transport,
            connection,
            self.transactions,
            claim_deadline=self.claim_deadline,
            is_stopping=self.is_stopping,
            is_probe=is_probe,
        )
        return self.worker

    def _abort(self, error):
        """Record or release the letters in flight after an error, or when the time is over.

        First letters with a result: an acceptance is written to the journal before the database is
        used. After a database error, the database has already been retried for long enough. Then
        letters that surely were not sent, so that they do not become uncertain or stay claimed
        until their leases expire.
        """
        self.worker.abort()
        batcher = self.worker.batcher
        self.transactions.journal_accepted(batcher.finished_letters)
        if not isinstance(error, Error):
            batcher.record_each(batcher.finished_letters)
        unsent_stages = ["passed"]
        # A claimed letter may have caused an Exception. Claims are left to expire, which counts a
        # failed attempt of each. Other errors, such as a time limit, are no letter's fault.
        if not isinstance(error, Exception):
            unsent_stages += ["claimed", "rendered", "offered"]
        in_flight = self.worker.in_flight.values()
        letters = [flight.letter for flight in in_flight if flight.stage in unsent_stages]
        batcher.release(letters, "the round was broken off")
        for _ in range(3):  # A letter whose row is locked is tried again last.
            with suppress(Error):
                while batcher.outcomes:
                    self.transactions.record(batcher.outcomes)


def deliver_due(
    clock: Clock, ids: Sequence[int] | None = None, *, media=None, seconds=float("inf"), **limits
) -> Counter[str]:
    """Deliver all due letters, or the due ones of `ids`. Return the number of letters by outcome.

    `media` are Letter.EMAILS or Letter.POSTS, by default first the one, then the other. Letters
    that may have crashed earlier rounds get a round of their own, before the others.
    """
    limits["claim_deadline"] = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    for medium in media or (Letter.EMAILS, Letter.POSTS):
        suspects = transitions.crash_suspects(clock(), medium) if ids is None else []
        for round_ids in [*([letter_id] for letter_id in suspects), ids]:
            counts += Round(clock, round_ids, medium=medium, **limits).run()
    return counts
