"""The batcher: many letters' database work in few transactions.

A letter asks for its final check, or tells its result, by itself; what has gathered is done
together. One of these is done at a time, while the other tasks of the round go on:

- *settle*: acceptances are recorded, and the final checks done, in ONE transaction. It comes
  before the others, since servers wait for it.
- *record*: what is rare, such as a refusal, is recorded letter by letter: one costs one.
- *claim*: what comes next is this round's for the time of a lease, and what it is made of is read.

Where the database fails, results are kept in mind until they can be recorded, for as long as a
database takes to be restarted; what waits for its final check is not sent.
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
    Batch,
    Claimed,
    InFlightLetter,
    Outcome,
    Transactions,
)
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # So long what can be settled waits for what is about to be.
RECORD_SECONDS = 120  # A database that is restarted, or taken over from, is back by then.
RECORD_AGAIN_SECONDS = 0.5
HELD_SECONDS = 0.25  # Until a letter is checked again whose subscriber's row is held.


class Batcher:
    """That of one round. `is_more_coming`: whether letters are about to ask or to tell."""

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
        self.counts: Counter[str] = Counter()  # Letters by how they ended: accepted, deferred …
        self.is_probe = is_probe  # The breaker is open: one letter tells whether it may close.
        self.at_check: list[InFlightLetter] = []
        self.held: list[InFlightLetter] = []  # At the check too, but others hold the subscriber.
        self.ended: list[InFlightLetter] = []  # Their results are to be recorded together,
        self.outcomes: list[Outcome] = []  # and these one by one.
        self._is_more_coming = is_more_coming
        self._is_stopping = is_stopping
        self._is_closed = False
        self._settled_at = self._look_again_at = 0.0
        self._failing_since: float | None = None
        self._database_again_at = self._record_again_at = 0.0

    # ---- What letters call

    def final_check(self, one: InFlightLetter) -> bool:
        """Wait for the transaction that says whether a letter may be sent.

        Where it may not, what becomes of it is seen to here.
        """
        one.task = getcurrent()
        self.at_check.append(one)
        return self.hub.park()

    def record(self, one: InFlightLetter) -> None:
        """Have the result of a letter recorded, soon."""
        self.ended.append(one)

    def record_render_error(self, letter: Letter, error: Exception) -> None:
        """Have recorded that the bytes of a letter could not be made."""
        self.outcomes.append((letter, partial(outcomes.record_render_error, error=error)))
        self.counts["unwritten"] += 1

    def release(self, letters: Iterable[Letter], reason: str) -> None:
        """Leave letters to whoever comes next: they were not sent, and are not sent by us."""
        act = partial(outcomes.release, reason=reason)
        self.outcomes += [(letter, act) for letter in letters]

    def claim(self, room: int) -> Claimed | None:
        """Claim so many letters. None, where the database fails."""
        try:
            claimed = self.database.do(lambda: self.transactions.claim(room))
        except Error as error:
            self._give_way(error)
            return None
        self._failing_since = None
        return claimed

    def may_claim(self) -> bool:
        """Return whether a claim would keep nothing waiting that comes first."""
        return self.database.is_free and not self._is_away() and not self._may_settle()

    # ---- The task

    def run(self) -> None:
        """Settle and record, until the batcher is closed and all is recorded."""
        while True:
            self.hub.wait_until(lambda: self._may_settle() or self._may_record() or self._is_done())
            if self._may_settle():
                self._settle()
            elif self._may_record():
                self._record()
            else:
                return

    def close(self) -> None:
        """Let the task end once all is recorded."""
        self._is_closed = True

    def _is_done(self):
        return self._is_closed and not (self.ended or self.outcomes)

    def _is_away(self):
        """Return whether the database has just failed us."""
        return time.monotonic() < self._database_again_at

    # ---- Settle

    def _may_settle(self):
        """Return whether a settlement would begin now: it is worth while."""
        now = time.monotonic()
        is_held_due = bool(self.held) and now >= self._look_again_at
        if not (self.ended or self.at_check or is_held_due):
            return False
        if not self.database.is_free or self._is_away():
            return False
        return now - self._settled_at > GATHER_SECONDS or not self._is_more_coming()

    def _settle(self):
        if self.held and time.monotonic() >= self._look_again_at:
            self.at_check, self.held = self.at_check + self.held, []
        batch = Batch(self.ended, self.at_check)
        self.ended, self.at_check = [], []
        is_probe = self.is_probe
        try:
            settled = self.database.do(lambda: self.transactions.settle(batch, is_probe=is_probe))
        except BaseException as error:
            self._settled_at = time.monotonic()
            self.ended, self.at_check = batch.ended + self.ended, batch.at_check + self.at_check
            if not isinstance(error, Error):
                raise
            return self._give_way(error)
        self._settled_at = time.monotonic()
        self._failing_since = None
        self.counts["accepted"] += len(settled.recorded)
        self.is_probe = self.is_probe and not settled.recorded
        recorded = set(settled.recorded)
        self.record_each(one for one in batch.ended if one not in recorded)
        if settled.checked is None:
            self._refuse(batch.at_check, "sending was stopped")
        else:
            self._tell(batch.at_check, settled.checked)
        if self._is_stopping():
            self._refuse(self.held, "the worker stops")
            self.held = []

    def _tell(self, at_check, checked):
        """Let those letters go on that were checked."""
        passed = {letter.id for letter in checked.passed}
        waiting = {letter.id for letter in checked.waiting}
        if waiting and not self.held:  # Else a look is near, which others must not put off.
            self._look_again_at = time.monotonic() + HELD_SECONDS
        for one in at_check:
            if one.letter.id in passed:
                one.stage = "passed"
                self.hub.wake(one.task, True)
            elif one.letter.id in waiting:
                self.held.append(one)
            else:
                self.counts["withheld"] += 1
                self.hub.wake(one.task, False)

    def _refuse(self, at_check, reason):
        """Let letters end before they are sent, and leave them to whoever comes next."""
        self.release([one.letter for one in at_check], reason)
        for one in at_check:
            self.hub.wake(one.task, False)

    # ---- Record

    def record_each(self, ended: Iterable[InFlightLetter]) -> None:
        """Have each of these recorded by itself."""
        for one in ended:
            self.counts[one.result.status] += 1
            if one.result.scope == "provider":
                self.transactions.is_counting = True
            record = partial(
                outcomes.record,
                result=one.result,
                message_id=one.frozen.message_id,
                recipient=one.message.recipient,
                is_probe=self.is_probe,
            )
            self.outcomes.append((one.letter, record))

    def _may_record(self):
        is_time = time.monotonic() >= self._record_again_at and not self._is_away()
        return bool(self.outcomes) and is_time and self.database.is_free

    def _record(self):
        began_at = time.monotonic()
        try:
            self.database.do(lambda: self.transactions.record(self.outcomes))
            self._failing_since = None
        except Error as error:
            # Somebody may hold the row. Whether the database is away is seen as soon as there is
            # anything else to do there, which has as much of its time.
            now = time.monotonic()
            self._bear(error, now)
            self._record_again_at = now + max(RECORD_AGAIN_SECONDS, now - began_at)

    # ---- Where the database fails

    def _give_way(self, error):
        """Let what waits for its check end before it is sent, and keep results until recorded."""
        at_check = self.at_check + self.held
        self.at_check, self.held = [], []
        self._refuse(at_check, "the database was away")
        now = time.monotonic()
        self._bear(error, now)
        self._database_again_at = now + RECORD_AGAIN_SECONDS

    def _bear(self, error, now):
        """Go on in spite of an error of the database's, but not for ever."""
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= RECORD_SECONDS:
            # What has ended is forgotten then, but for the journal: such a letter becomes uncertain
            # when its lease has run out, is held, and asked for.
            for one in self.ended:
                logger.error("letter %s: %s, not written down", one.letter.id, one.result.status)
            raise error
        logger.warning("not written down yet: %s", error)
