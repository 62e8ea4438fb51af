"""The database work of a round of delivery, in short transactions."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import DataError, Error, IntegrityError, OperationalError, connection, transaction
from greenlet import greenlet

from subscriptions.db import is_lock_timeout, run_sql
from subscriptions.delivery import circuit_breaker, letter_sql, rendering, throttling, transitions
from subscriptions.delivery.clock import Clock
from subscriptions.delivery.recovery import journal
from subscriptions.delivery.recovery.journal import Entry, Journal
from subscriptions.delivery.transitions import ConcurrentUpdate, FrozenMessage
from subscriptions.delivery.transports.base import DeliveryResult, Message
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

RECORDING_SECONDS = 0.1  # Letters at the final check wait so long for outcomes to be recorded.
LOCK_SECONDS = 0.1  # The longest wait for a locked row.
CHECK_SECONDS = 0.25  # Between two checks for letters that a person waits for.

#: A letter, and the function that records its outcome.
Outcome = tuple[Letter, Callable[[Letter, datetime], None]]


@dataclass(eq=False, slots=True)
class InFlightLetter:
    """A claimed letter without a result.

    `stage` is "claimed", "rendered", "offered" (a connection has it, up to the final check),
    "passed" (the final check), "finishing" (end of data may have been sent), or "ended".
    """

    letter: Letter
    stage: Literal["claimed", "rendered", "offered", "passed", "finishing", "ended"] = "claimed"
    frozen: FrozenMessage | None = None
    message: Message | None = None
    result: DeliveryResult | None = None
    task: greenlet | None = None  # Waits for the final check.


@dataclass
class Claimed:
    """Claimed letters, and an iterator that renders them."""

    letters: list[Letter]
    rendered: Iterator[list[rendering.Rendered]]
    is_exhausted: bool


class Transactions:
    """The transactions of one round, of emails or posts (`medium`), or of the letters `ids`."""

    def __init__(self, clock: Clock, ids: Sequence[int] | None, medium=Letter.EMAILS):
        self.clock = clock
        self.ids = ids
        self.medium = medium
        self.is_counting = True  # Whether any provider is limited, as last checked.
        self._clock_time: datetime | None = None  # As last read,
        self._clock_read_at = 0.0  # and time.monotonic() then.
        self._next_check_at = 0.0
        self._checks_locks = False  # Another session has locked the row of a letter.
        self._journal: Journal | None = None

    def now(self) -> datetime:
        """Return the time by the clock, as read in the last claim or batch, plus the time since.

        The clock may be the database's, which cannot be asked while a job runs.
        """
        return self._clock_time + timedelta(seconds=time.monotonic() - self._clock_read_at)

    def claim(self, limit: int) -> Claimed:
        """Claim up to `limit` letters, and load their data. Raises the database's Error."""
        with _close_on_error(), transaction.atomic():
            now = self._read_clock()
            if circuit_breaker.is_stopped():
                return Claimed([], iter(()), is_exhausted=True)
            letters, is_exhausted = transitions.claim(
                now,
                limit,
                self.ids,
                medium=self.medium,
                looks_for_awaited=self._is_check_due(),
                is_counting=self.is_counting,
            )
        letters = rendering.sort(letters)
        return Claimed(letters, rendering.render_letters(letters, now), is_exhausted)

    def commit_batch(
        self,
        finished_letters: list[InFlightLetter],
        check_queue: list[InFlightLetter],
        *,
        is_probe: bool = False,
    ) -> tuple[list[InFlightLetter], transitions.FinalCheck | None]:
        """Record acceptances and do final checks, in one transaction.

        Returns the letters that were recorded, and the checks, or None if sending is stopped.
        Raises the database's Error after rolling back.
        """
        accepted_flights = self.journal_accepted(finished_letters)
        with _close_on_error():
            try:
                return self._commit_batch(accepted_flights, check_queue, is_probe)
            except OperationalError as error:
                if self._checks_locks or not is_lock_timeout(error):
                    raise
            self._checks_locks = True
            return self._commit_batch(accepted_flights, check_queue, is_probe)

    def _commit_batch(self, accepted_flights, check_queue, is_probe):
        letters = [flight.letter for flight in (*accepted_flights, *check_queue)]
        with _restore_on_error(letters), transaction.atomic():
            now = self._read_clock()
            is_stopped = circuit_breaker.is_stopped()
            locked_ids: set[int] = set()
            if self._checks_locks:  # From the first lock timeout until no row is locked.
                locked_ids = letter_sql.locked_by_others(letter.id for letter in letters)
                self._checks_locks = bool(locked_ids)
            unlocked = [flight for flight in accepted_flights if flight.letter.id not in locked_ids]
            replies = [flight.result.reply for flight in unlocked]
            letters = transitions.accept([flight.letter for flight in unlocked], replies, now)
            accepted_ids = {letter.id for letter in letters}
            recorded = [flight for flight in unlocked if flight.letter.id in accepted_ids]
            check = None if is_stopped else self._final_check(check_queue, locked_ids, now)
            if is_probe and recorded:
                circuit_breaker.close()
            # Last, since it locks rows of providers, for which other workers would wait.
            if self.is_counting:
                throttling.record_success([flight.letter.recipient for flight in recorded], now)
        return recorded, check

    def journal_accepted(self, finished_letters: list[InFlightLetter]) -> list[InFlightLetter]:
        """Write the accepted ones of these letters to the journal, and return them."""
        accepted = [flight for flight in finished_letters if flight.result.status == "accepted"]
        self._write_journal(accepted)
        return accepted

    def record(self, outcomes: list[Outcome]) -> None:
        """Record rare outcomes, each in a transaction of its own, and remove them from the list.

        Stops after RECORDING_SECONDS. Raises the database's Error if it can be tried again.
        """
        deadline = time.monotonic() + RECORDING_SECONDS
        while outcomes and time.monotonic() < deadline:
            letter, record = outcomes[0]
            try:
                with _restore_on_error([letter]), transaction.atomic():
                    _limit_lock_wait()
                    record(letter, self.clock())
            except ConcurrentUpdate as reason:
                text = str(reason) or "overtaken by another worker"
                logger.warning("Email %s: skipped: %s", letter.id, text)
            except Exception as error:
                if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
                    outcomes.append(outcomes.pop(0))  # If its row is locked, others need not wait.
                    if not is_lock_timeout(error):
                        connection.close()
                    raise
                # Only this letter is affected: its lease expires.
                logger.exception("Email %s: cannot record the outcome", letter.id)
            outcomes.pop(0)

    def close(self, *, is_complete: bool) -> None:
        """Close the journal, or leave it for replay if not everything is recorded."""
        if self._journal is None:
            return
        try:
            self._journal.close() if is_complete else self._journal.abandon()
        except OSError as error:  # It is replayed, which changes nothing.
            logger.error("Cannot close the journal: %s", error)

    def _read_clock(self) -> datetime:
        self._clock_time, self._clock_read_at = self.clock(), time.monotonic()
        return self._clock_time

    def _is_check_due(self) -> bool:
        """Return whether this claim looks for awaited letters, a few times a second.

        Then it also checks whether any provider is limited.
        """
        now = time.monotonic()
        if now < self._next_check_at:
            return False
        self._next_check_at = now + CHECK_SECONDS
        self.is_counting = throttling.is_counting()
        return True

    def _write_journal(self, flights):
        is_outbox = settings.EMAIL_URL.startswith("file:") and self.medium == Letter.EMAILS
        if not flights or is_outbox:  # Which is its own journal.
            return
        try:
            if self._journal is None:
                self._journal = Journal(journal.folder_of_journals())
            accepted_at = self._clock_time.isoformat()
            self._journal.write([_entry(flight, accepted_at) for flight in flights])
        except OSError as error:  # The database may still record them.
            logger.error("Cannot write the journal: %s", error)

    def _final_check(self, check_queue, locked_ids, now) -> transitions.FinalCheck:
        check = transitions.FinalCheck([], [])
        letters = [flight.letter for flight in check_queue if flight.letter.id not in locked_ids]
        if letters:
            frozen = {flight.letter.id: flight.frozen for flight in check_queue}
            check = transitions.final_check(letters, frozen, now)
        check.waiting += [flight.letter for flight in check_queue if flight.letter.id in locked_ids]
        return check


def _entry(flight, at):
    letter, frozen = flight.letter, flight.frozen
    return Entry(
        letter.id, letter.attempt, frozen.message_id, flight.result.reply, at, frozen.item_ids
    )


def _limit_lock_wait():
    """Limit the wait for locks in this transaction: letters at the final check wait as long."""
    if connection.vendor == "postgresql":
        run_sql("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS * 1000:.0f}ms"])


@contextmanager
def _close_on_error():
    """Close the connection after a database error in the block. The next query opens a new one."""
    try:
        yield
    except Error:
        connection.close()
        raise


@contextmanager
def _restore_on_error(letters):
    """Restore the fields of the letters after an error in the block: the rows are unchanged."""
    old_fields = [dict(letter.__dict__) for letter in letters]
    try:
        yield
    except BaseException:
        for letter, fields in zip(letters, old_fields, strict=True):
            letter.__dict__.update(fields)
        raise
