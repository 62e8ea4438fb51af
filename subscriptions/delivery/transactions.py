"""The database work of a round of delivery, in short transactions."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from queue import SimpleQueue

from django.db import Error, connection, transaction

from subscriptions.db import is_lock_timeout, is_retryable, run_sql
from subscriptions.delivery import circuit_breaker, rendering, transitions
from subscriptions.delivery.clock import Clock
from subscriptions.delivery.transitions import ConcurrentUpdate, FrozenMessage
from subscriptions.delivery.transports.base import DeliveryResult, Message
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

RECORDING_SECONDS = 0.1  # Letters at the final check wait so long for outcomes to be recorded.
LOCK_SECONDS = 0.1  # The longest wait for a locked row.

#: A letter, and the function that records its outcome.
Outcome = tuple[Letter, Callable[[Letter, datetime], None]]


@dataclass(eq=False, slots=True)
class InFlightLetter:
    """A claimed letter without a recorded result.

    `message` is set once it is rendered, `has_passed` once its end of data may be sent. `answer`
    gets the answer of the final check.
    """

    letter: Letter
    claimed_at: float = field(default_factory=time.monotonic)
    frozen: FrozenMessage | None = None
    message: Message | None = None
    has_passed: bool = False
    result: DeliveryResult | None = None
    answer: SimpleQueue[bool] = field(default_factory=SimpleQueue)


@dataclass
class Claimed:
    """Claimed letters, and an iterator that renders them."""

    letters: list[Letter]
    batches: Iterator[list[rendering.Rendered]]
    is_exhausted: bool


class Transactions:
    """The transactions of one round, of emails or posts (`medium`), or of the letters `ids`."""

    def __init__(self, clock: Clock, ids: Sequence[int] | None, medium=Letter.EMAILS):
        self.clock = clock
        self.ids = ids
        self.medium = medium

    def claim(self, limit: int) -> Claimed:
        """Claim up to `limit` letters, and load their data. Raises the database's Error."""
        with _close_on_error(), transaction.atomic():
            now = self.clock()
            if circuit_breaker.is_stopped():
                return Claimed([], iter(()), is_exhausted=True)
            letters, is_exhausted = transitions.claim(now, limit, self.ids, medium=self.medium)
        return Claimed(letters, rendering.render_letters(letters, now), is_exhausted)

    def commit_batch(
        self,
        accepted: list[InFlightLetter],
        check_queue: list[InFlightLetter],
    ) -> tuple[list[InFlightLetter], transitions.FinalCheck | None]:
        """Record acceptances and do final checks, in one transaction.

        Returns the letters that were recorded, and the checks, or None if sending is stopped.
        Raises the database's Error after rolling back.
        """
        letters = [flight.letter for flight in (*accepted, *check_queue)]
        with _close_on_error(), _restore_on_error(letters), transaction.atomic():
            now = self.clock()
            replies = [flight.result.reply for flight in accepted]
            changed = transitions.accept([flight.letter for flight in accepted], replies, now)
            accepted_ids = {letter.id for letter in changed}
            recorded = [flight for flight in accepted if flight.letter.id in accepted_ids]
            if circuit_breaker.is_stopped():
                return recorded, None
            frozen = {flight.letter.id: flight.frozen for flight in check_queue}
            letters = [flight.letter for flight in check_queue]
            return recorded, transitions.final_check(letters, frozen, now)

    def record_outcomes(self, outcomes: list[Outcome]) -> None:
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
                if is_retryable(error):
                    outcomes.append(outcomes.pop(0))  # If its row is locked, others need not wait.
                    if not is_lock_timeout(error):
                        connection.close()
                    raise
                # Only this letter is affected: its lease expires.
                logger.exception("Email %s: cannot record the outcome", letter.id)
            outcomes.pop(0)


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
