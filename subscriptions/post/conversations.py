"""The conversations of a round with the mail server, and the bytes that it is given in them.

A letter is composed shortly before a line is free for it. Its line works up to the fence, where
the server has everything but the final dot, and waits there for a settlement (transactions.py).
What that lets pass gets its dot; what is said to that is the letter's verdict, and its line is
free for the next. A slow line delays its own letter, and no other.
"""

import time

from subscriptions.post import ledger, recording, verp
from subscriptions.post.books import Books, Handover
from subscriptions.post.desk import Desk
from subscriptions.post.in_hand import InHand
from subscriptions.post.ledger import Frozen
from subscriptions.post.line import Envelope, Line, NoLine, Verdict
from subscriptions.post.lines import Lines

COMPOSING_SECONDS = 0.0005  # Then the lines have a turn, and the database, which holds locks.
STALE_AGAIN_SECONDS = 0.25  # Between two looks for letters that have waited too long for a line.


class Conversations:
    """Those of one round, over its lines: they bring letters that are in `hand` on.

    Nothing here asks the database, at which the desk may be: it is the desk that is waited for
    with the lines, and the books that know the time.
    """

    def __init__(self, hand: InHand, lines: Lines, desk: Desk, books: Books):
        self.hand = hand
        self.lines = lines
        self.desk = desk
        self.books = books
        self.trouble: NoLine | None = None  # Why the last line is gone, and no other could be had.
        self._stale_again_at = 0.0

    # ---- Up to the fence

    def compose(self) -> None:
        """Make the bytes of some of what was claimed: as much as the lines will soon want."""
        until = time.monotonic() + COMPOSING_SECONDS
        while self.may_compose() and time.monotonic() < until:
            for letter, made in self.hand.unwritten.next():
                self._take(letter, made)

    def may_compose(self) -> bool:
        """Return whether there is something to compose that the lines will soon want."""
        return not self.hand.unwritten.is_done and len(self.hand.composed) < self.lines.most()

    def _take(self, letter, made: Frozen | Exception):
        if isinstance(made, Exception):
            self.hand.outcomes.append((letter, recording.of_failed_writing(made)))
            self.hand.counts["unwritten"] += 1
            return
        envelope = Envelope(
            sender=verp.envelope_sender(letter.kind, letter.id, made.frozen_at),
            recipient=letter.recipient,
            kind=letter.kind,
            letter_id=letter.id,
            frozen_at=made.frozen_at,
            # Looked for while the letter is in the processor's cache: on its line it no longer is.
            has_dots=made.mime.startswith(b".") or b"\n." in made.mime,
        )
        self.hand.composed.append(Handover(letter, made, envelope))

    def begin(self) -> None:
        """Offer what is composed to the lines that are free, and have as many as are wanted."""
        if not self.hand.composed:
            return
        self._let_go_of_the_stale()
        for line in self.lines.free():
            if not self.hand.composed:
                return
            one = self.hand.composed.pop(0)
            one.line = line
            line.begin(one.envelope, one.frozen.mime)
            self.hand.busy[line] = one
            self._look_at(line)
        if self.hand.composed:
            self.lines.want(len(self.lines) + len(self.hand.composed))
            if not len(self.lines) and not self.hand.has_news() and self.desk.is_free:
                self._open_or_end()  # Which may take long.

    def _let_go_of_the_stale(self):
        """Leave to others what waited so long for a line that its lease would run out on it."""
        if time.monotonic() < self._stale_again_at:
            return
        self._stale_again_at = time.monotonic() + STALE_AGAIN_SECONDS
        least = self.books.now() + ledger.LEASE / 3
        stale = [one for one in self.hand.composed if one.letter.lease_until < least]
        for one in stale:
            self.hand.composed.remove(one)
        self.hand.let_go([one.letter for one in stale], "it waited too long for a connection")

    def _open_or_end(self):
        """The last line is gone: open one while everybody waits, or begin no more."""
        try:
            self.lines.open_one()
        except NoLine as trouble:
            self.hand.begin_no_more(str(trouble))
            self.trouble = trouble

    # ---- Past the fence

    def send_dots(self) -> None:
        """End the letters that a settlement has let pass, whose servers wait."""
        while self.hand.past_fence:
            one = self.hand.past_fence.pop()
            if one.line.state == "fence":
                one.line.finish()
                self.hand.busy[one.line] = one
                self._look_at(one.line)
            else:  # The server hung up before the dot: it can't have the letter.
                verdict = Verdict("deferred", "body", "the server hung up before the final dot")
                one.verdict = one.line.verdict or verdict
                self.hand.answered.append(one)

    # ---- At any time

    def go_on(self, patience: float) -> None:
        """Let the lines work, and the desk, for `patience` seconds at most where none has news."""
        for line in self.lines.pump(patience, self.desk):
            self._look_at(line)

    def look_at_all(self) -> None:
        """See how far all letters are: lines may have news at which nobody has looked."""
        for line in list(self.hand.busy):
            self._look_at(line)

    def _look_at(self, line: Line):
        """See how far the letter on a line is."""
        if (one := self.hand.busy.get(line)) is None:
            return
        verdict = line.verdict
        if verdict is None and line.state != "fence":
            return
        del self.hand.busy[line]
        if verdict is None:
            self.hand.at_fence.append(one)
            return
        if verdict.about == "line":  # A used one, gone by now: each is lost once at most.
            self.hand.composed.insert(0, one)
            return
        if verdict.about == "us":
            self.hand.begin_no_more(verdict.reply)
        one.verdict = verdict
        self.hand.answered.append(one)
