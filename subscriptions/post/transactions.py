"""The transactions of a round: when each is due, what it takes, and what it leaves true.

The desk does one job at a time, while letters are composed and the lines go on (conversations.py):

- *settle*: what was accepted is recorded, and what waits at the fence passes it, in ONE
  transaction. It comes before the others, since servers wait for it.
- *record*: what is rare, such as a refusal, is recorded letter by letter: one costs one.
- *claim*: what comes next is this round's for the time of a lease, and what it is made of is read.

Each is given to the desk here (books.py has what is done there), and taken over when it is done.
Where the database fails it, what was answered is kept in mind until it can be recorded, for as
long as a database takes to be restarted; what waits at the fence gets no dot.
"""

import logging
import time
from collections.abc import Callable

from django.db import Error

from subscriptions.post import recording
from subscriptions.post.books import Books
from subscriptions.post.desk import Desk
from subscriptions.post.in_hand import InHand
from subscriptions.post.lines import Lines

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # So long what can be settled waits for what is about to be.
RECORD_SECONDS = 120  # A database that is restarted, or taken over from, is back by then.
RECORD_AGAIN_SECONDS = 0.5
#: So many letters are claimed for each line. A round that has gone on for a while claims more at
#: once, which costs less; before, it may be about to find out why the last one died.
AHEAD, FAR_AHEAD = 2, 4
CLAIMED_ANEW = 3 / 8  # Of those, so many at once at least. Where more, composing waits for them.
GOES_WELL_SECONDS = 5
HELD_SECONDS = 0.25  # Until a letter at the fence is looked at again, whose reader's row is held.


class Transactions:
    """Those of one round: each takes letters that are in `hand`, and says where they are next.

    At `claims_until` of time.monotonic(), or when `is_stopping`, nothing more is claimed.
    """

    def __init__(
        self,
        hand: InHand,
        books: Books,
        desk: Desk,
        lines: Lines,
        *,
        claims_until: float,
        is_stopping: Callable[[], bool],
    ):
        self.hand = hand
        self.books = books
        self.desk = desk
        self.lines = lines
        self.claims_until = claims_until
        self.is_stopping = is_stopping
        self._began_at = time.monotonic()
        self._settled_at = self._look_again_at = 0.0
        self._failing_since: float | None = None
        self._database_again_at = self._record_again_at = 0.0

    # ---- Settle

    def settle(self) -> None:
        """Have recorded what was answered, and let pass the fence what waits there."""
        if not self.can_settle():
            return
        if self.hand.held and time.monotonic() >= self._look_again_at:
            self.hand.look_at_the_held()
        batch = self.hand.give_to_the_desk()
        is_trial = self.hand.is_trial
        self.desk.give(lambda: self.books.settle(batch, is_trial=is_trial), self._take_over_settled)

    def can_settle(self) -> bool:
        """Return whether a settlement would begin now: it is worth while, and the desk is free."""
        hand, now = self.hand, time.monotonic()
        is_held_due = bool(hand.held) and now >= self._look_again_at
        has_news = hand.answered or hand.at_fence or is_held_due
        if not self.desk.is_free or not has_news or now < self._database_again_at:
            return False
        if now - self._settled_at > GATHER_SECONDS:
            return True
        may_come = bool(hand.composed) or not hand.unwritten.is_done
        return not ((may_come and self.lines.has_free()) or self.lines.is_prompt())

    def _take_over_settled(self, came_of):
        """Take over what a settlement has made true."""
        hand = self.hand
        batch = hand.take_from_the_desk()
        self._settled_at = time.monotonic()
        try:
            settled = came_of.result()
        except Error as error:
            hand.put_back(batch)
            self._give_way(error)
            return
        self._failing_since = None
        hand.counts["accepted"] += len(settled.recorded)
        hand.is_trial = hand.is_trial and not settled.recorded
        done = set(settled.recorded)
        self.record_each([one for one in batch.answered if one not in done])
        if settled.fenced is None:
            self._withdraw(batch.at_fence, "sending was stopped")
        else:
            self._sort_fenced(batch.at_fence, settled.fenced)
        if self.is_stopping():
            self._withdraw(hand.held, "the worker stops")
            hand.held = []

    def _sort_fenced(self, waited, fenced):
        passed = {letter.id for letter in fenced.passed}
        waiting = {letter.id for letter in fenced.waiting}
        for one in waited:
            if one.letter.id in passed:
                self.hand.past_fence.append(one)
            elif one.letter.id not in waiting:
                one.line.withdraw()
                self.hand.counts["withheld"] += 1
        if waiting and not self.hand.held:  # Else a look is near, which others must not put off.
            self._look_again_at = time.monotonic() + HELD_SECONDS
        self.hand.held += [one for one in waited if one.letter.id in waiting]

    def _withdraw(self, handovers, note):
        """End conversations before the dot. Their letters wait for whoever comes next."""
        for one in handovers:
            one.line.withdraw()
        self.hand.let_go([one.letter for one in handovers], note)

    # ---- Record

    def record_each(self, answered) -> None:
        """Let each of these be recorded by itself, in its turn, as its verdict says."""
        for one in answered:
            self.hand.counts[one.verdict.answer] += 1
            self.books.is_counting = self.books.is_counting or one.verdict.about == "provider"
            act = recording.of_verdict(
                one.verdict,
                one.frozen.message_id,
                one.envelope.recipient,
                is_trial=self.hand.is_trial,
            )
            self.hand.outcomes.append((one.letter, act))

    def record(self) -> None:
        """Have recorded what is rare."""
        began_at = time.monotonic()
        is_time = began_at >= self._record_again_at and not self._is_away()
        if not self.hand.outcomes or not self.desk.is_free or not is_time:
            return
        outcomes = self.hand.begin_recording()

        def after(came_of):
            self.hand.end_recording()
            try:
                came_of.result()
                self._failing_since = None
            except Error as error:
                # Somebody may hold the row. Whether the database is away is seen as soon as there
                # is anything else to do there, which has as much of its time.
                now = time.monotonic()
                self._bear(error, now)
                self._record_again_at = now + max(RECORD_AGAIN_SECONDS, now - began_at)

        self.desk.give(lambda: self.books.record(outcomes), after)

    # ---- Claim

    def claim(self) -> None:
        """Have as many letters claimed as there are lines, beyond those that wait for the next."""
        if self.is_stopping():  # Even where no settlement comes to say so.
            self.hand.begin_no_more("the worker stops")
        if time.monotonic() >= self.claims_until:
            self.hand.takes_more = False
        if not self.hand.takes_more or not self.desk.is_free or self._is_away():
            return
        if room := self._room():
            self.desk.give(lambda: self.books.claim(room), self._take_over_claimed)

    def _room(self) -> int:
        """Return how many letters may be claimed: none, where it isn't worth while yet."""
        if self.hand.is_trial:
            return 0 if self.hand.ahead() else 1
        goes_well = time.monotonic() - self._began_at > GOES_WELL_SECONDS
        most = (FAR_AHEAD if goes_well else AHEAD) * self.lines.most()
        room = most - self.hand.ahead()
        return room if room >= most * CLAIMED_ANEW else 0

    def _take_over_claimed(self, came_of):
        hand = self.hand
        try:
            claimed = came_of.result()
        except Error as error:
            self._give_way(error)
            return
        self._failing_since = None
        hand.takes_more = hand.takes_more and not claimed.is_exhausted
        hand.unwritten.add(claimed)
        if hand.ends_because:  # Since the claim was begun.
            hand.begin_no_more(hand.ends_because)

    # ---- Where the database fails

    def _is_away(self) -> bool:
        """Return whether the database has just failed us."""
        return time.monotonic() < self._database_again_at

    def _give_way(self, error):
        """Leave the lines without their dots, and keep what was answered until it is recorded."""
        self._withdraw(self.hand.take_from_the_fence(), "the database was away")
        now = time.monotonic()
        self._bear(error, now)
        self._database_again_at = now + RECORD_AGAIN_SECONDS

    def _bear(self, error, now):
        """Go on in spite of an error of the database's, but not for ever."""
        self._failing_since = self._failing_since or now
        if now - self._failing_since >= RECORD_SECONDS:
            # What was answered is forgotten then, but for the journal: such a letter is doubted
            # when its lease has run out, held, and asked for.
            for one in self.hand.answered:
                logger.error("letter %s: %s, not written down", one.letter.id, one.verdict.answer)
            raise error
        logger.warning("not written down yet: %s", error)
