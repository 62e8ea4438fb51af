"""The lines to the mail server that a round of delivery works with, and what they wait for.

Lines are opened in threads, since a server may be slow to greet, and pumped together as their
sockets let us. A line that is slow or breaks delays nobody but its own letter.
"""

import logging
import selectors
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from subscriptions.post.desk import Desk
from subscriptions.post.line import Envelope, Line, NoLine, Transport, Verdict

logger = logging.getLogger(__name__)

PROMPT = 0.05  # Seconds in which a server that is not slow has answered.
LOOK_AGAIN = 1.0  # Seconds after which deadlines are looked at, though nothing happens.
WHILE_OPENING = 0.02  # Seconds after which to see whether a line is open.
OPENERS = 8  # Threads.
OPEN_AGAIN = 30  # Seconds: a server that lets us have no more lines is not asked more often.


class Lines:
    """Those that are open or being opened: as many as are wanted, and the server lets us have."""

    def __init__(self, transport: Transport):
        self.transport = transport
        self.trouble: NoLine | None = None  # What kept us from opening the last one.
        self._selector = selectors.DefaultSelector()
        self._lines: set[Line] = set()
        self._watched: dict[Line, bool] = {}  # Those that are, and whether for room to write.
        self._descriptors: dict[Line, int | None] = {}
        self._opening: set[Future] = set()
        self._openers = ThreadPoolExecutor(OPENERS, thread_name_prefix="line")
        self._open_again_at = 0.0
        self._looked_at = 0.0

    def __len__(self) -> int:
        return len(self._lines) + len(self._opening)

    def open_one(self) -> None:
        """Open a line while the caller waits. Raises NoLine."""
        self._lines.add(self.transport.open())

    def most(self) -> int:
        """Return how many lines there can be: after a trouble, those that there are."""
        return max(1, len(self._lines)) if self.trouble else self.transport.connections

    def want(self, count: int) -> None:
        """Open lines until there are so many, or as many as there may be, without waiting.

        A few at once; after a trouble, which says that there may be no more, one.
        """
        if time.monotonic() < self._open_again_at:
            return
        at_once = (1 if self.trouble else OPENERS) - len(self._opening)
        for _ in range(min(min(count, self.transport.connections) - len(self), at_once)):
            self._opening.add(self._openers.submit(self.transport.open))

    def free(self) -> list[Line]:
        """Return the lines that may be given a letter."""
        now = time.monotonic()
        idle = [line for line in self._lines if line.state in ("free", "closed")]
        fresh = [line for line in idle if line.is_fresh(now)]
        if len(fresh) < len(idle):
            self._drop_closed()
        return fresh

    def has_free(self) -> bool:
        return any(line.state == "free" for line in self._lines)

    def is_prompt(self) -> bool:
        """Return whether something is about to happen: a server that isn't slow owes an answer."""
        since = time.monotonic() - PROMPT
        return bool(self._opening) or any(line.waiting_since > since for line in self._pending())

    def pump(self, patience: float, desk: Desk | None = None) -> list[Line]:
        """Let all lines do what their sockets let them, once they do or `patience` seconds on.

        Return those that were at it. What the desk waits for is waited for, too.
        """
        self._drop_closed()
        self._watch()
        if self._opening:
            patience = min(patience, WHILE_OPENING)
        events = self._select(patience, desk)
        now = time.monotonic()
        stirred = [one for one in events if one is not desk]
        if now - self._looked_at > LOOK_AGAIN:
            self._looked_at = now
            stirred = list({*stirred, *self._pending()})
        for line in stirred:
            line.pump(now)
        if desk in events:
            desk.ready(events[desk])
        elif desk is not None:
            desk.break_off_if_silent()
        self._gather_opened()
        if any(line.state == "closed" for line in stirred):
            self._drop_closed()
        return stirred

    def close(self) -> None:
        """Take leave of the server on all lines."""
        for line in self._lines:
            line.close()
        self._openers.shutdown(wait=False, cancel_futures=True)
        for future in self._opening:
            future.add_done_callback(_close_what_came_late)
        self._selector.close()

    def _pending(self):
        return [line for line in self._lines if line.state in ("busy", "answering")]

    def _watch(self):
        """Wait for what the lines wait for: all of them for words, some for room to write."""
        watched = self._watched
        changed = [line for line, was in watched.items() if was is not line.wants_write]
        if len(watched) < len(self._lines):
            changed += self._lines.difference(watched)
        for line in changed:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.wants_write else 0)
            if line not in watched:
                self._descriptors[line] = descriptor = line.fileno()
                if descriptor is not None:
                    self._selector.register(descriptor, events, line)
            elif (descriptor := self._descriptors[line]) is not None:
                self._selector.modify(descriptor, events, line)
            watched[line] = line.wants_write

    def _select(self, patience, desk) -> dict[Line | Desk, int]:
        """Return who may go on, and with what."""
        descriptor, wanted = (desk and desk.waits_for) or (None, 0)
        if descriptor is not None:
            self._selector.register(descriptor, wanted, desk)
        try:
            return {key.data: events for key, events in self._selector.select(patience)}
        finally:
            if descriptor is not None:
                self._selector.unregister(descriptor)

    def _gather_opened(self):
        for future in [future for future in self._opening if future.done()]:
            self._opening.discard(future)
            try:
                self._lines.add(future.result())
                self.trouble = None
            except NoLine as trouble:
                self.trouble = trouble
                self._open_again_at = time.monotonic() + OPEN_AGAIN
                logger.warning("no further line to the mail server: %s", trouble)

    def _drop_closed(self):
        for line in [line for line in self._lines if line.state == "closed"]:
            self._lines.discard(line)
            self._watched.pop(line, None)
            if (descriptor := self._descriptors.pop(line, None)) is not None:
                self._selector.unregister(descriptor)


def hand_over(transport: Transport, envelope: Envelope, mime: bytes) -> Verdict:
    """Hand one letter over that stands in no ledger, while the caller waits."""
    lines = Lines(transport)
    try:
        lines.open_one()
        (line,) = lines.free()
        line.begin(envelope, mime)
        while line.verdict is None:
            if line.state == "fence":
                line.finish()
            else:
                lines.pump(LOOK_AGAIN)
        return line.verdict
    except NoLine as trouble:
        return Verdict("deferred", "connect", str(trouble))
    finally:
        lines.close()


def _close_what_came_late(future):
    with suppress(Exception):
        future.result().close()
