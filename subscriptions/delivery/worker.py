"""The delivery worker: claims, renders and hands over letters, to mailboxes or to channels.

Exactly once is impossible over SMTP, so every step is designed for a crash right after it:

- A *claim* is a lease. Its holder renders the letter. If the holder dies, the lease expires, and
  another worker tries again. Nothing was sent.
- The *final check* comes when the server has everything but end of data. It checks once more that
  the letter is wanted, under the lock that unsubscribing takes, and freezes the bytes. If the
  letter is not wanted, end of data is not sent, and the server discards the message.
- After end of data, no reply means that the outcome is unknown: see sweep.py.

The thread that calls `deliver_due` does all database work, for many letters in one transaction, and
renders. Each connection has a thread, which runs `Round._hand_over` for one letter after the other
and uses no database. So a slow or broken connection only delays its own letter.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread

from django.conf import settings
from django.db import Error

from subscriptions.db import is_lock_timeout
from subscriptions.delivery import circuit_breaker, outcomes, transitions, verp
from subscriptions.delivery.clock import Clock
from subscriptions.delivery.rendering import Rendered
from subscriptions.delivery.transactions import InFlightLetter, Outcome, Transactions
from subscriptions.delivery.transports.base import ConnectFailed, Connection, Message
from subscriptions.delivery.transports.registry import ChannelTransport, transport_for
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

CLAIMS_PER_CONNECTION = 4  # Letters claimed ahead for each connection.
MIN_CLAIM_SHARE = 3 / 8  # A claim for a smaller share of these is not worth it.
GATHER_SECONDS = 0.05  # Between two commits, while more letters are coming.
WATCH_SECONDS = 0.25  # Between two looks at the time, and at whether the worker stops.
RECONNECT_SECONDS = 30  # After a connection was refused.
RETRY_SECONDS = 0.5  # After a database error.
#: So long, results are kept until the database is back; when the worker stops, less.
RECORD_SECONDS, STOP_SECONDS = 600, 20
MAX_WAIT_SECONDS = 600  # For a connection: less than a lease.
ABORT_SECONDS = 3  # For the replies to letters whose end of data has been sent.


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
        self.is_for_channels = medium == Letter.POSTS
        self.claim_deadline = claim_deadline
        self.is_stopping = is_stopping
        if self.is_for_channels:
            self.transport = ChannelTransport()
        else:
            self.transport = transport_for(settings.EMAIL_URL)
        self.transactions = Transactions(clock, ids, medium)
        self.counts: Counter[str] = Counter()  # Letters by outcome: accepted, deferred …
        self.was_failing = False  # An acceptance shows that the mail server works again.
        #: Letters by their ids, from the claim to the result.
        self.in_flight: dict[int, InFlightLetter] = {}
        self.todo: SimpleQueue[InFlightLetter | None] = SimpleQueue()  # Rendered letters.
        #: From connections: letters for the final check, letters with a result, failures.
        self.events: SimpleQueue[InFlightLetter | BaseException] = SimpleQueue()
        self.check_queue: list[InFlightLetter] = []
        self.accepted: list[InFlightLetter] = []  # To be recorded together,
        self.outcomes: list[Outcome] = []  # and these one by one.
        self._is_claiming = True
        self._batches: Iterator[list[Rendered]] = iter(())
        self._unrendered = 0
        self._connections = 0
        self._max_connections = self.transport.connections
        self._failure: ConnectFailed | None = None  # It ended the round.
        self._more_connections_at = self._watch_at = self._committed_at = 0.0
        self._failing_since: float | None = None
        self._database_retry_at = self._record_retry_at = 0.0

    # ---- Of one connection, in a thread of its own

    def _run_connection(self, connection: Connection | None) -> None:
        """Hand over one letter of the queue after the other. Ends at None in the queue."""
        try:
            while (flight := self.todo.get()) is not None:
                if connection is None or not connection.is_usable():
                    self.todo.put(flight)  # Connecting may take long.
                    connection = self.transport.connect()
                else:
                    self._hand_over(flight, connection)
        except BaseException as error:
            self.events.put(error)
        if connection is not None:
            connection.close()

    def _hand_over(self, flight: InFlightLetter, connection: Connection) -> None:
        """Hand over one letter. `transports` says what the server may reply to each step."""
        flight.result = connection.offer(flight.message)  # MAIL, RCPT, DATA, not end of data.
        if flight.result is None:
            self.events.put(flight)
            if not flight.answer.get():  # The final check failed.
                connection.close()  # Without end of data, the server must discard it
                return  # (RFC 5321, 4.1.1.4).
            flight.result = connection.finish()  # End of data: from here on it may have arrived.
        self.events.put(flight)

    # ---- The round

    def run(self) -> Counter[str]:
        """Deliver. Return the number of letters by outcome."""
        connection = self._first_connection()
        if connection is None:
            return self.counts
        try:
            self._start_connection(connection)
            while self._is_claiming or self.in_flight or self.accepted or self.outcomes:
                self._step()
        except BaseException:
            self._abort()
            raise
        finally:
            for _ in range(self._connections):
                self.todo.put(None)
        if self._failure is not None:  # Let no worker start a round.
            with suppress(Error):
                self._open_breaker(self._failure)
        return self.counts

    def _first_connection(self) -> Connection | None:
        """Return a connection, if letters are due, may be sent and a connection can be opened.

        For emails, connecting comes last: it takes long.
        """
        if time.monotonic() >= self.claim_deadline or self.is_stopping():
            return None
        if self.is_for_channels:
            return self.transport.connect()
        now = self.clock()
        sending = circuit_breaker.current()
        if reason := sending.wait_reason(now):
            logger.warning("No emails are sent: %s", reason)
            return None
        due = Letter.objects.due(now).filter(Letter.EMAILS)
        if not (due if self.ids is None else due.filter(pk__in=self.ids)).exists():
            return None
        self.was_failing = sending.failures > 0
        if self.was_failing:  # Ask the server as little as possible.
            self._max_connections = 1
            self._more_connections_at = time.monotonic() + RECONNECT_SECONDS
        try:
            return self.transport.connect()
        except ConnectFailed as failure:
            self._open_breaker(failure)
            return None

    def _open_breaker(self, failure):
        circuit_breaker.open(failure.kind, str(failure), self.clock())

    def _step(self):
        """Do what there is to do now, or wait for the connections."""
        now = time.monotonic()
        if now >= self._watch_at:
            self._watch(now)
        if self._is_claiming and now >= self._database_retry_at:
            self._claim()
        is_rendering = self._unrendered and self.todo.qsize() < self._max_connections
        if is_rendering:
            self._render()
        self._listen(0 if is_rendering or self._is_commit_due() else GATHER_SECONDS)
        if self._is_commit_due():
            self._commit()
        if self.outcomes and time.monotonic() >= max(
            self._record_retry_at, self._database_retry_at
        ):
            self._record_outcomes()

    def _watch(self, now):
        """Stop claiming when it is time. Release letters that wait for too long."""
        self._watch_at = now + WATCH_SECONDS
        if self.is_stopping():
            self._stop_claiming("the worker stops")
        elif now >= self.claim_deadline:
            self._is_claiming = False
        for flight in self._take_waiting():
            if now - flight.claimed_at > MAX_WAIT_SECONDS:
                self._release([flight], "it waited too long for a connection")
            else:
                self.todo.put(flight)

    def _stop_claiming(self, reason):
        """Claim no more letters, and release those that no connection has."""
        self._is_claiming = False
        unrendered = [flight for flight in self.in_flight.values() if flight.message is None]
        self._batches = iter(())
        self._unrendered = 0
        self._release([*unrendered, *self._take_waiting()], reason)

    def _take_waiting(self) -> list[InFlightLetter]:
        """Take the letters that no connection has from the queue."""
        waiting = []
        with suppress(Empty):
            while True:
                waiting.append(self.todo.get_nowait())
        return waiting

    def _release(self, flights, reason):
        """Let letters that were not sent be claimed again."""
        for flight in flights:
            self.in_flight.pop(flight.letter.id, None)
            self.outcomes.append((flight.letter, partial(outcomes.release, reason=reason)))

    # ---- Claiming and rendering

    def _claim(self):
        """Claim letters, as many as connections will soon need."""
        max_in_flight = CLAIMS_PER_CONNECTION * self._max_connections
        size = max_in_flight - len(self.in_flight)
        if self._unrendered or size < max_in_flight * MIN_CLAIM_SHARE:
            return
        try:
            claimed = self.transactions.claim(size)
        except Error as error:
            return self._handle_database_error(error)
        self._failing_since = None
        self._is_claiming = not claimed.is_exhausted
        self.in_flight |= {letter.id: InFlightLetter(letter) for letter in claimed.letters}
        self._batches = claimed.batches
        self._unrendered = len(claimed.letters)

    def _render(self):
        """Render the next batch."""
        batch = next(self._batches)
        self._unrendered -= len(batch)
        for letter, rendered in batch:
            flight = self.in_flight[letter.id]
            if isinstance(rendered, Exception):
                del self.in_flight[letter.id]
                self.counts["unwritten"] += 1
                record = partial(outcomes.record_render_error, error=rendered)
                self.outcomes.append((letter, record))
                continue
            flight.frozen = rendered
            flight.message = Message(
                sender=verp.envelope_sender(letter.kind, letter.id, rendered.frozen_at),
                recipient=letter.recipient,
                mime=rendered.mime,
                kind=letter.kind,
                letter_id=letter.id,
                frozen_at=rendered.frozen_at,
                channel=letter.subscriber if self.is_for_channels else None,
            )
            self.todo.put(flight)
        if time.monotonic() >= self._more_connections_at:
            self._max_connections = self.transport.connections
        rendered_count = len(self.in_flight) - self._unrendered
        while self._connections < min(self._max_connections, rendered_count):
            self._start_connection()

    def _start_connection(self, connection=None):
        self._connections += 1
        Thread(target=self._run_connection, args=[connection], daemon=True).start()

    # ---- What connections report

    def _listen(self, seconds):
        """Take the reports of connections. Wait so long for the first."""
        with suppress(Empty):
            self._take(self.events.get(timeout=seconds))
            while True:
                self._take(self.events.get_nowait())

    def _take(self, event):
        if isinstance(event, ConnectFailed):
            return self._handle_failed_connection(event)
        if isinstance(event, BaseException):
            raise event
        flight = event
        if flight.result is None:
            self.check_queue.append(flight)
        elif flight.result.scope == "connection":  # A reused one was closed: try another.
            flight.result = None
            self.todo.put(flight)
        else:
            self._take_result(flight)

    def _take_result(self, flight):
        del self.in_flight[flight.letter.id]
        if flight.result.status == "accepted":
            self.accepted.append(flight)
            return
        self._record_alone(flight)
        if flight.result.scope == "us":
            self._stop_claiming(flight.result.reply)

    def _record_alone(self, flight):
        self.counts[flight.result.status] += 1
        record = partial(outcomes.record_result, result=flight.result)
        self.outcomes.append((flight.letter, record))

    def _handle_failed_connection(self, failure):
        """Go on with the connections that are open, or else end the round."""
        self._connections -= 1
        now = time.monotonic()
        if now >= self._more_connections_at:
            logger.warning("No further connection to the mail server: %s", failure)
        self._more_connections_at = now + RECONNECT_SECONDS
        self._max_connections = max(1, self._connections)
        if not self._connections:
            self._failure = failure
            self._stop_claiming(str(failure))

    # ---- Recording

    def _is_commit_due(self) -> bool:
        """Return whether there is enough to commit, and the database has not just failed."""
        now = time.monotonic()
        if not (self.check_queue or self.accepted) or now < self._database_retry_at:
            return False
        busy = min(len(self.in_flight) - self._unrendered, self._connections)
        is_more_coming = busy > len(self.check_queue)
        return now - self._committed_at > GATHER_SECONDS or not is_more_coming

    def _commit(self):
        """Record acceptances and do final checks. Mail servers wait for it."""
        accepted, check_queue = self.accepted, self.check_queue
        try:
            recorded, check = self.transactions.commit_batch(accepted, check_queue)
        except Error as error:
            if is_lock_timeout(error):  # Of one row: from now on each is recorded by itself.
                self.accepted = []
                for flight in accepted:
                    self._record_alone(flight)
            return self._handle_database_error(error)
        finally:
            self._committed_at = time.monotonic()
        self.accepted, self.check_queue = [], []
        self._failing_since = None
        self.counts["accepted"] += len(recorded)
        if recorded and self.was_failing:
            with suppress(Error):
                circuit_breaker.close()
                self.was_failing, self._more_connections_at = False, 0
        for flight in {*accepted} - {*recorded}:
            self._record_alone(flight)
        if check is None:
            self._discard_and_release(check_queue, "sending was stopped")
            return
        passed_ids = {letter.id for letter in check.passed}
        locked_ids = {letter.id for letter in check.locked}
        for flight in check_queue:
            flight.has_passed = flight.letter.id in passed_ids
            if flight.letter.id in locked_ids:
                put_back = partial(transitions.put_back, note="its subscriber's row was locked")
                self.outcomes.append((flight.letter, put_back))
            if not flight.has_passed:
                self.counts["withheld"] += 1
                del self.in_flight[flight.letter.id]
            flight.answer.put(flight.has_passed)

    def _discard_and_release(self, flights, reason):
        """Let connections discard these letters, and release them."""
        self._release(flights, reason)
        for flight in flights:
            flight.answer.put(False)

    def _record_outcomes(self):
        started_at = time.monotonic()
        try:
            self.transactions.record_outcomes(self.outcomes)
            self._failing_since = None
        except Error as error:
            # The row may be locked, or the database may be down, which the next commit shows. So
            # recording pauses for as long as it took, and commits get as much time.
            now = time.monotonic()
            self._raise_if_persistent(error, now)
            self._record_retry_at = now + max(RETRY_SECONDS, now - started_at)

    def _handle_database_error(self, error):
        """Withhold letters that wait for their check, and keep results until recorded."""
        self._discard_and_release(self.check_queue, "the database was away")
        self.check_queue = []
        now = time.monotonic()
        self._raise_if_persistent(error, now)
        self._database_retry_at = now + RETRY_SECONDS

    def _raise_if_persistent(self, error, now):
        """Raise a database error if errors have gone on for too long, else log it."""
        self._failing_since = self._failing_since or now
        patience = STOP_SECONDS if self.is_stopping() else RECORD_SECONDS
        if now - self._failing_since >= patience:
            for flight in self.accepted:  # The sweep finds them uncertain.
                logger.error("Email %s: accepted, not recorded", flight.letter.id)
            raise error
        logger.warning("Not recorded yet: %s", error)

    def _abort(self):
        """Record what becomes of the letters in flight, after an error.

        One of those that were not sent may have caused it. So their claims are left to expire,
        which counts a failed attempt of each.
        """
        self._take_waiting()
        for flight in self.in_flight.values():
            flight.answer.put(False)  # Those that have passed have got another answer before.
        deadline = time.monotonic() + ABORT_SECONDS
        while any(flight.has_passed for flight in self.in_flight.values()):
            if time.monotonic() > deadline:
                break
            with suppress(Exception):
                self._listen(WATCH_SECONDS)
        for flight in self.accepted:
            self._record_alone(flight)
        for _ in range(3):  # A letter whose row is locked is tried again last.
            with suppress(Error):
                while self.outcomes:
                    self.transactions.record_outcomes(self.outcomes)


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
