"""The batcher: the database work of many letters in few transactions.

Each letter asks for its final check and reports its result by itself. The batcher collects these
and runs one of the following at a time, while the other tasks of the round go on:

- *commit*: record acceptances and do final checks in one transaction. It comes before the others,
  since mail servers wait for it.
- *record*: record rarer results, such as refusals, letter by letter, so that an error affects one.
- *claim*: claim the next letters and load their data.

If the database fails, results are kept in memory until they can be recorded, for as long as a
restart of the database takes. Letters that wait for their final check are not sent.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from django.db import Error
from greenlet import getcurrent

from subscriptions.delivery import outcomes
from subscriptions.delivery.worker.greenlet_db import Database
from subscriptions.delivery.worker.greenlets import Hub
from subscriptions.delivery.worker.transactions import (
    Claimed,
    InFlightLetter,
    Outcome,
    Transactions,
)
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # Between two commits, while more letters are coming.
RECORD_SECONDS = 120  # A restart or a failover of the database takes less.
RETRY_SECONDS = 0.5
RECHECK_SECONDS = 0.25  # Until the next check of a letter whose subscriber is locked.


class Batcher:
    """The batcher of one round.

    `is_more_coming` returns whether a letter will soon need its final check, or have a result.
    """

    def __init__(
        self,
        hub: Hub,
        transactions: Transactions,
        is_more_coming: Callable[[], bool],
        is_stopping: Callable[[], bool],
        *,
        is_probe: bool,
    ):
        self.hub = hub
        self.transactions = transactions
        self.database = Database(hub)
        self.counts: Counter[str] = Counter()  # Letters by outcome: accepted, deferred …
        self.is_probe = is_probe  # One letter shows whether the breaker can close.
        self.check_queue: list[InFlightLetter] = []
        self.locked_queue: list[InFlightLetter] = []  # At the check; a row is locked.
        self.finished_letters: list[InFlightLetter] = []  # To be recorded together,
        self.outcomes: list[Outcome] = []  # and these one by one.
        self._is_more_coming = is_more_coming
        self._is_stopping = is_stopping
        self._is_closed = False
        self._committed_at = self._recheck_at = 0.0
        self._failing_since: float | None = None
        self._database_retry_at = self._record_retry_at = 0.0

    # ---- Called for letters

    def final_check(self, flight: InFlightLetter) -> bool:
        """Wait for the final check. Return whether the letter may be sent.

        If not, its outcome has been handled.
        """
        flight.task = getcurrent()
        self.check_queue.append(flight)
        return self.hub.park()

    def record(self, flight: InFlightLetter) -> None:
        """Queue the result of a letter."""
        self.finished_letters.append(flight)

    def record_render_error(self, letter: Letter, error: Exception) -> None:
        """Queue the error that prevented rendering."""
        self.outcomes.append((letter, partial(outcomes.record_render_error, error=error)))
        self.counts["unwritten"] += 1

    def release(self, letters: Iterable[Letter], reason: str) -> None:
        """Queue that letters which were not sent can be claimed again."""
        release = partial(outcomes.release, reason=reason)
        self.outcomes += [(letter, release) for letter in letters]

    def claim(self, limit: int) -> Claimed | None:
        """Claim up to `limit` letters. Return None if the database fails."""
        try:
            claimed = self.database.do(lambda: self.transactions.claim(limit))
        except Error as error:
            self._handle_database_error(error)
            return None
        self._failing_since = None
        return claimed

    def can_claim(self) -> bool:
        """Return whether the database is free and no commit is due."""
        return self.database.is_free and not self._has_just_failed() and not self._can_commit()

    # ---- The task

    def run(self) -> None:
        """Commit and record, until the batcher is closed and all is recorded."""
        while not self._is_done():
            self.hub.wait_until(lambda: self._can_commit() or self._can_record() or self._is_done())
            if self._can_commit():
                self._commit()
            elif self._can_record():
                self._record()

    def close(self) -> None:
        """Let `run` end once all is recorded."""
        self._is_closed = True

    def _is_done(self):
        return self._is_closed and not (self.finished_letters or self.outcomes)

    def _has_just_failed(self):
        return time.monotonic() < self._database_retry_at

    # ---- Commit

    def _can_commit(self):
        """Return whether there is enough to commit, and the database is free."""
        now = time.monotonic()
        is_recheck_due = bool(self.locked_queue) and now >= self._recheck_at
        if not (self.finished_letters or self.check_queue or is_recheck_due):
            return False
        if not self.database.is_free or self._has_just_failed():
            return False
        return now - self._committed_at > GATHER_SECONDS or not self._is_more_coming()

    def _commit(self):
        if self.locked_queue and time.monotonic() >= self._recheck_at:
            self.check_queue, self.locked_queue = self.check_queue + self.locked_queue, []
        finished_letters, check_queue = self.finished_letters, self.check_queue
        self.finished_letters, self.check_queue = [], []
        commit = partial(self.transactions.commit_batch, is_probe=self.is_probe)
        try:
            recorded, check = self.database.do(lambda: commit(finished_letters, check_queue))
        except BaseException as error:
            self._committed_at = time.monotonic()
            self.finished_letters = finished_letters + self.finished_letters
            self.check_queue = check_queue + self.check_queue
            if not isinstance(error, Error):
                raise
            return self._handle_database_error(error)
        self._committed_at = time.monotonic()
        self._failing_since = None
        self.counts["accepted"] += len(recorded)
        self.is_probe = self.is_probe and not recorded
        recorded_set = set(recorded)
        self.record_each(flight for flight in finished_letters if flight not in recorded_set)
        if check is None:
            self._withhold(check_queue, "sending was stopped")
        else:
            self._resume_checked(check_queue, check)
        if self._is_stopping():
            self._withhold(self.locked_queue, "the worker stops")
            self.locked_queue = []

    def _resume_checked(self, check_queue, check):
        """Resume the letters that were checked."""
        passed_ids = {letter.id for letter in check.passed}
        waiting_ids = {letter.id for letter in check.waiting}
        if waiting_ids and not self.locked_queue:  # Else a check is near, and must not be delayed.
            self._recheck_at = time.monotonic() + RECHECK_SECONDS
        for flight in check_queue:
            if flight.letter.id in passed_ids:
                flight.stage = "passed"
                self.hub.wake(flight.task, True)
            elif flight.letter.id in waiting_ids:
                self.locked_queue.append(flight)
            else:
                self.counts["withheld"] += 1
                self.hub.wake(flight.task, False)

    def _withhold(self, flights, reason):
        """Resume letters without permission to send, and release them."""
        self.release([flight.letter for flight in flights], reason)
        for flight in flights:
            self.hub.wake(flight.task, False)

    # ---- Record

    def record_each(self, finished_letters: Iterable[InFlightLetter]) -> None:
        """Queue these results to be recorded one by one."""
        for flight in finished_letters:
            self.counts[flight.result.status] += 1
            if flight.result.scope == "provider":
                self.transactions.is_counting = True
            record = partial(outcomes.record, result=flight.result, is_probe=self.is_probe)
            self.outcomes.append((flight.letter, record))

    def _can_record(self):
        is_due = time.monotonic() >= self._record_retry_at and not self._has_just_failed()
        return bool(self.outcomes) and is_due and self.database.is_free

    def _record(self):
        started_at = time.monotonic()
        try:
            self.database.do(lambda: self.transactions.record(self.outcomes))
            self._failing_since = None
        except Error as error:
            # The row may be locked, or the database may be down, which the next commit shows. So
            # recording pauses for as long as it took, and commits get as much time.
            now = time.monotonic()
            self._raise_if_persistent(error, now)
            self._record_retry_at = now + max(RETRY_SECONDS, now - started_at)

    # ---- Where the database fails

    def _handle_database_error(self, error):
        """Withhold letters that wait for their check, and keep results until recorded."""
        waiting = self.check_queue + self.locked_queue
        self.check_queue, self.locked_queue = [], []
        self._withhold(waiting, "the database was away")
        now = time.monotonic()
        self._raise_if_persistent(error, now)
        self._database_retry_at = now + RETRY_SECONDS

    def _raise_if_persistent(self, error, now):
        """Raise a database error if errors have gone on for too long, else log it."""
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= RECORD_SECONDS:
            # Results are lost then, except those in the journal: such letters become uncertain when
            # their leases expire, and sweep.py looks for them.
            for flight in self.finished_letters:
                logger.error("Email %s: %s, not recorded", flight.letter.id, flight.result.status)
            raise error
        logger.warning("Not recorded yet: %s", error)
