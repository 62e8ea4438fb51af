"""What a round of delivery does at the database, in short transactions: claim, settle, record."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings
from django.db import (
    DataError,
    Error,
    IntegrityError,
    OperationalError,
    connection,
    transaction,
)
from greenlet import greenlet

from subscriptions.db import is_lock_timeout, run_sql
from subscriptions.delivery import circuit_breaker, letter_sql, rendering, throttling, transitions
from subscriptions.delivery.clock import Clock
from subscriptions.delivery.recovery import journal
from subscriptions.delivery.recovery.journal import Entry, Journal
from subscriptions.delivery.transitions import Frozen, Overtaken
from subscriptions.delivery.transports.base import DeliveryResult, Message
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

RECORDING_SECONDS = 0.1  # So long others wait at most for what is recorded one by one.
LOCK_SECONDS = 0.1  # So long one of these waits for a row that somebody holds.
LOOK_AROUND_SECONDS = 0.25  # Between two looks for letters that somebody waits for.

#: A letter, and what writes down what became of it.
Outcome = tuple[Letter, Callable[[Letter, datetime], None]]


@dataclass(eq=False, slots=True)
class InFlightLetter:
    """A claimed letter on its way.

    `stage`: "claimed"; "rendered"; "offered", from where its connection is at work up to the final
    check; "passed", by that check; "finishing", from where it may have arrived; "ended".
    """

    letter: Letter
    stage: Literal["claimed", "rendered", "offered", "passed", "finishing", "ended"] = "claimed"
    frozen: Frozen | None = None
    message: Message | None = None
    result: DeliveryResult | None = None
    task: greenlet | None = None  # It waits for the final check.


@dataclass
class Batch:
    """What is settled together: letters that have a result, and those at the final check."""

    ended: list[InFlightLetter] = field(default_factory=list)
    at_check: list[InFlightLetter] = field(default_factory=list)


@dataclass
class Settled:
    """What a settlement has made true. What has ended and is not `recorded` is, one by one."""

    recorded: list[InFlightLetter]
    checked: transitions.Checked | None  # None: sending is stopped.


@dataclass
class Claimed:
    """Letters that were claimed, each to come with its bytes or what keeps us from making them."""

    letters: list[Letter]
    written: Iterator[list[rendering.Written]]
    is_exhausted: bool


class Transactions:
    """Those of one round. `ids` are the letters to be delivered, if not all."""

    def __init__(self, clock: Clock, ids: Sequence[int] | None):
        self.clock = clock
        self.ids = ids
        self.is_counting = True  # Whether providers are counted; others may begin to.
        self._told: datetime | None = None  # What the clock said when it was looked at last,
        self._told_at = 0.0  # and time.monotonic() then.
        self._look_around_at = 0.0
        self._is_wary = False  # Somebody holds the row of a letter.
        self._journal: Journal | None = None

    def now(self) -> datetime:
        """Return the moment by the clock, which may be the database's: that can't be asked while a
        job is under way. It has been looked at in each claim and settlement.
        """
        return self._told + timedelta(seconds=time.monotonic() - self._told_at)

    def claim(self, room: int) -> Claimed:
        """Claim so many letters, and read what they are made of. Raises the database's Error."""
        with _or_close(), transaction.atomic():
            now = self._look_at_the_clock()
            if circuit_breaker.is_stopped():
                return Claimed([], iter(()), is_exhausted=True)
            claimed, is_exhausted = transitions.claim(
                now,
                room,
                self.ids,
                looks_for_awaited=self._looks_around(),
                is_counting=self.is_counting,
            )
        claimed = rendering.in_order(claimed)
        return Claimed(claimed, rendering.write_out(claimed, now), is_exhausted)

    def settle(self, batch: Batch, *, is_probe: bool = False) -> Settled:
        """Record what was ended and do the final check of others, in one transaction.

        Raises the database's Error; then nothing of it has happened.
        """
        accepted = self.note(batch.ended)
        with _or_close():
            try:
                return self._settle(batch, accepted, is_probe)
            except OperationalError as error:
                if self._is_wary or not is_lock_timeout(error):
                    raise
            self._is_wary = True
            return self._settle(batch, accepted, is_probe)

    def _settle(self, batch, accepted, is_probe) -> Settled:
        letters = [one.letter for one in (*accepted, *batch.at_check)]
        with _as_they_were(letters), transaction.atomic():
            now = self._look_at_the_clock()
            is_stopped = circuit_breaker.is_stopped()
            held = self._held(letters)
            recorded = self._record([one for one in accepted if one.letter.id not in held], now)
            checked = None if is_stopped else self._final_check(batch.at_check, held, now)
            if is_probe and recorded:
                circuit_breaker.mend()
            # Last, for it takes locks: others that count providers wait for nobody so.
            if self.is_counting:
                throttling.thank([one.message.recipient for one in recorded], now)
        return Settled(recorded, checked)

    def _held(self, letters) -> set[int]:
        """Return the ids of letters whose rows others hold. It is asked where they have kept us
        waiting, until there are none.
        """
        held = letter_sql.held(letter.id for letter in letters) if self._is_wary else set()
        self._is_wary = bool(held)
        return held

    def note(self, ended: list[InFlightLetter]) -> list[InFlightLetter]:
        """Bring to the disk what was accepted of this. Return that."""
        accepted = [one for one in ended if one.result.status == "accepted"]
        self._write_journal(accepted)
        return accepted

    def record(self, waiting: list[Outcome]) -> None:
        """Record what is rare: each in a transaction of its own, so that one costs one.

        What is recorded leaves the list; of many, some stay for the next time. Raises the
        database's Error for what may be tried again.
        """
        until = time.monotonic() + RECORDING_SECONDS
        while waiting and time.monotonic() < until:
            letter, act = waiting[0]
            try:
                with _as_they_were([letter]), transaction.atomic():
                    _wait_briefly()
                    act(letter, self.clock())
            except Overtaken as reason:
                said = str(reason) or "overtaken by another worker"
                logger.warning("letter %s: left alone: %s", letter.id, said)
            except Exception as error:
                if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
                    waiting.append(waiting.pop(0))  # A held row waits, no others do.
                    if not is_lock_timeout(error):
                        connection.close()
                    raise
                # It costs its own letter, whose lease runs out.
                logger.exception("letter %s: can't be written down", letter.id)
            waiting.pop(0)

    def close(self, *, is_complete: bool) -> None:
        """End the journal, or leave it for replay, where not all of it may be recorded."""
        if self._journal is None:
            return
        try:
            self._journal.close() if is_complete else self._journal.leave()
        except OSError as error:  # It is replayed, which changes nothing.
            logger.error("the journal can't be closed: %s", error)

    def _look_at_the_clock(self) -> datetime:
        self._told, self._told_at = self.clock(), time.monotonic()
        return self._told

    def _looks_around(self) -> bool:
        """Look, a few times a second, at what needs no look in each transaction."""
        now = time.monotonic()
        if now < self._look_around_at:
            return False
        self._look_around_at = now + LOOK_AROUND_SECONDS
        self.is_counting = throttling.is_counting()
        return True

    def _write_journal(self, accepted):
        """Note on the disk what was accepted, before the database is asked to."""
        if not accepted or settings.EMAIL_URL.startswith("file:"):
            return  # The outbox is its own journal.
        try:
            if self._journal is None:
                self._journal = Journal(journal.folder_of_journals())
            moment = self._told.isoformat()
            self._journal.write([_entry(one, moment) for one in accepted])
        except OSError as error:  # It is a second net: the database is the first.
            logger.error("the journal can't be written: %s", error)

    def _record(self, accepted, now) -> list[InFlightLetter]:
        """Write down what was accepted. Return these; all else is recorded one by one."""
        replies = [one.result.reply for one in accepted]
        moved = {
            letter.id for letter in transitions.accept([o.letter for o in accepted], replies, now)
        }
        return [one for one in accepted if one.letter.id in moved]

    def _final_check(self, waiting, held, now) -> transitions.Checked:
        checked = transitions.Checked([], [])
        letters = [one.letter for one in waiting if one.letter.id not in held]
        if letters:
            frozen = {one.letter.id: one.frozen for one in waiting}
            checked = transitions.final_check(letters, frozen, now)
        checked.waiting += [one.letter for one in waiting if one.letter.id in held]
        return checked


def _entry(one, moment):
    letter, frozen = one.letter, one.frozen
    said = frozen.message_id, one.result.reply, moment, frozen.item_ids
    return Entry(letter.id, letter.attempt, *said)


def _wait_briefly():
    """Wait for no lock for long in this transaction: the dots of others wait as long."""
    if connection.vendor == "postgresql":
        run_sql("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS * 1000:.0f}ms"])


@contextmanager
def _or_close():
    """Where the database fails the block, close the connection: the next query opens a new one."""
    try:
        yield
    except Error:
        connection.close()
        raise


@contextmanager
def _as_they_were(letters):
    """Where the block fails, let the letters say what their rows still do."""
    before = [dict(letter.__dict__) for letter in letters]
    try:
        yield
    except BaseException:
        for letter, fields in zip(letters, before, strict=True):
            letter.__dict__.update(fields)
        raise
