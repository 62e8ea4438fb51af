"""Delivery in volleys: many lines at once, and one short transaction for all that has gathered.

Exactly once is impossible over SMTP, so every step is chosen for what a crash right after it does:

- a *claim* is a lease. Whoever holds it composes the letter. Its holder dies: the lease runs out,
  and another tries again. Nothing was sent.
- the *fence* is passed when the server has everything but the final dot. It looks once more whether
  the letter is still wanted, under the lock that unsubscribing takes, and freezes its bytes.
  Refused: the dot is not sent, and the server throws the letter away.
- past the fence, no answer means that nobody knows: see doubts.py.

A round settles again and again, in ONE transaction: it records what was answered since and lets
pass the fence what waits there. In another it claims what comes next, and reads what that is made
of. While the database works (books.py, desk.py), letters are composed and the lines go on, a little
at a time. A slow line joins the volley that is settled when it is ready, and delays nobody else.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions.models import Letter
from subscriptions.post import ledger, recording, sending, verp, writing
from subscriptions.post.books import Books, Handover
from subscriptions.post.clock import Clock
from subscriptions.post.desk import Desk
from subscriptions.post.in_hand import InHand
from subscriptions.post.ledger import Frozen
from subscriptions.post.line import Envelope, Line, NoLine, Verdict
from subscriptions.post.lines import Lines
from subscriptions.post.transports import transport_for

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # So long what can be settled waits for what is about to be.
RECORD_SECONDS = 120  # A database that is restarted, or taken over from, is back by then.
RECORD_AGAIN_SECONDS = 0.5
#: So many letters are claimed for each line. A round that has gone on for a while claims more at
#: once, which costs less; before, it may be about to find out why the last one died.
AHEAD, FAR_AHEAD = 2, 4
CLAIMED_ANEW = 3 / 8  # Of those, so many at once at least. Where more, composing waits for them.
GOES_WELL_SECONDS = 5
#: So many objects are made before Python looks for those that are kept by each other alone. A
#: letter makes hundreds, and none of that kind: to look as often as Python does takes 7 % of all.
OBJECTS = 50_000
COMPOSING_SECONDS = 0.0005  # Then the lines have a turn, and the database, which holds locks.
STALE_AGAIN_SECONDS = 0.25  # Between two looks for letters that have waited too long for a line.
HELD_SECONDS = 0.25  # Until a letter at the fence is looked at again, whose reader's row is held.
BROKEN_OFF = "the round was broken off"


class Round:
    """One round of delivery: it goes on until nothing is due, or its time is over.

    `ids` are the letters to be delivered, where they aren't all that are due. After `seconds`, or
    when `is_stopping`, nothing more is claimed, and what is under way is brought to its end.
    """

    def __init__(
        self,
        clock: Clock,
        ids: Sequence[int] | None = None,
        *,
        seconds: float = float("inf"),
        is_stopping: Callable[[], bool] = lambda: False,
    ):
        self.clock = clock
        self.ids = ids
        self.is_stopping = is_stopping
        self.began_at = time.monotonic()
        self.claims_until = self.began_at + seconds
        self.counts: Counter[str] = Counter()  # What became of letters: accepted, deferred …
        self.lines = Lines(transport_for(settings.EMAIL_URL))
        self.books = Books(clock, ids)
        self.desk = Desk()
        self.hand = InHand()
        self.has_more = True
        self.ends_because = ""  # What kept letters from leaving, of all.
        self.failing_since: float | None = None
        self.settled_at = self.look_again_at = self.stale_again_at = 0.0
        self.database_again_at = self.record_again_at = 0.0
        self.is_trial = False  # The breaker has tripped: one letter tells whether it is mended.
        self.trouble: NoLine | None = None  # Why the last line is gone.

    def run(self) -> Counter[str]:
        """Deliver. Return how many letters ended how.

        However it ends, these are done from the last to the first: the job under way at the
        database is ended, before what was answered is written down; that, before the lines are
        closed; and the journal last, which counts as recorded only where nothing broke.
        """
        with ExitStack() as stack:
            stack.enter_context(_collecting_rarely())
            stack.push(lambda kind, *_: self.books.close(is_complete=kind is None))
            stack.callback(self.lines.close)
            stack.push(self._break_off)
            stack.callback(self.desk.close)
            if self._is_open():
                self._turns()
        return self.counts

    def _break_off(self, kind, *_):
        """Bring to the disk what was answered and record it, and let go of what surely gets no dot.

        An Exception may be the fault of a letter that is claimed: their leases run out, so that it
        is found by its stumbles. What is none, as that the worker's time is over, is nobody's.
        """
        if kind is None:
            return
        hand = self.hand
        for line in list(hand.busy):  # The lines may have had news in this very turn.
            self._look_at(line)
        answered = hand.at_the_desk.answered + hand.answered
        self.books.note(answered)
        if not issubclass(kind, Error):  # That has been borne for long enough.
            self._judge_others(answered, [])
        letters = [one.letter for one in hand.past_fence]
        if not issubclass(kind, Exception):
            letters += hand.without_dot()
        outcomes = [(letter, recording.of_withdrawal(BROKEN_OFF)) for letter in letters]
        outcomes += hand.being_recorded + hand.outcomes
        for _ in range(3):  # One whose row is held comes last in the next.
            with suppress(Error):
                while outcomes:
                    self.books.record(outcomes)

    def _turns(self):
        """Do the next of everything, again and again, until nothing is in hand.

        First what keeps others waiting: a settlement, for whose fence servers wait, and the dots of
        those that have passed it. Before letters are composed a claim is under way, if one is due:
        the database reads while we compose.
        """
        while True:
            self._settle()
            self._send_dots()
            self._record_outcomes()
            self._claim()
            self._compose()
            self._hand_out()
            if not self.hand and self.desk.is_free and not self.has_more:
                break
            self._wait()
        if self.trouble is not None:
            with suppress(Error):
                said = str(self.trouble)
                sending.trip(self.trouble.kind, said, self.clock(), is_trial=self.is_trial)

    def _is_open(self) -> bool:
        """Return whether letters may leave now, and there is a line on which they can."""
        if self.is_stopping() or time.monotonic() >= self.claims_until:
            return False
        now = self.clock()
        state = sending.current()
        if reason := state.why_not(now):
            logger.warning("nothing is sent: %s", reason)
            return False
        if not Letter.objects.due(now).filter(**self._ours()).exists():
            return False
        if reason := _why_unwritable():
            logger.error("nothing is sent until this is mended: %s", reason)
            return False
        if state.failures and not sending.take_trial(now):
            return False  # Another worker tries.
        self.is_trial = state.failures > 0
        try:
            self.lines.open_one()
        except NoLine as trouble:
            sending.trip(trouble.kind, str(trouble), now, is_trial=self.is_trial)
            return False
        return True

    def _ours(self):
        return {} if self.ids is None else {"pk__in": self.ids}

    # ---- Settling

    def _settle(self):
        """Have recorded what was answered, and let pass the fence what waits there."""
        if not self._can_settle():
            return
        if self.hand.held and time.monotonic() >= self.look_again_at:
            self.hand.look_at_the_held()
        batch = self.hand.give_to_the_desk()
        is_trial = self.is_trial
        self.desk.give(lambda: self.books.settle(batch, is_trial=is_trial), self._take_over_settled)

    def _take_over_settled(self, came_of):
        """Take over what a settlement has made true."""
        batch = self.hand.take_from_the_desk()
        self.settled_at = time.monotonic()
        try:
            settled = came_of.result()
        except Error as error:
            self.hand.put_back(batch)
            self._give_way(error)
            return
        self.failing_since = None
        self.counts["accepted"] += len(settled.recorded)
        self.is_trial = self.is_trial and not settled.recorded
        self._judge_others(batch.answered, settled.recorded)
        if settled.fenced is None:
            self._withdraw(batch.at_fence, "sending was stopped")
        else:
            self._sort_fenced(batch.at_fence, settled.fenced)
        if self.is_stopping():
            self._withdraw(self.hand.held, "the worker stops")
            self.hand.held = []

    def _judge_others(self, answered, recorded):
        """Say how those are recorded, one by one, that were answered and not recorded."""
        done = set(recorded)
        for one in [one for one in answered if one not in done]:
            self.counts[one.verdict.answer] += 1
            self.books.is_counting = self.books.is_counting or one.verdict.about == "provider"
            act = recording.of_verdict(
                one.verdict,
                one.frozen.message_id,
                one.envelope.recipient,
                is_trial=self.is_trial,
            )
            self.hand.outcomes.append((one.letter, act))

    def _sort_fenced(self, waited, fenced):
        passed = {letter.id for letter in fenced.passed}
        waiting = {letter.id for letter in fenced.waiting}
        for one in waited:
            if one.letter.id in passed:
                self.hand.past_fence.append(one)
            elif one.letter.id not in waiting:
                one.line.withdraw()
                self.counts["withheld"] += 1
        if waiting and not self.hand.held:  # Else a look is near, which others must not put off.
            self.look_again_at = time.monotonic() + HELD_SECONDS
        self.hand.held += [one for one in waited if one.letter.id in waiting]

    def _give_way(self, error):
        """Leave the lines without their dots, and keep what was answered until it is recorded."""
        self._withdraw(self.hand.take_from_the_fence(), "the database was away")
        now = time.monotonic()
        self._bear(error, now)
        self.database_again_at = now + RECORD_AGAIN_SECONDS

    def _bear(self, error, now):
        """Go on in spite of an error of the database's, but not for ever."""
        self.failing_since = self.failing_since or now
        if now - self.failing_since >= RECORD_SECONDS:
            # What was answered is forgotten then, but for the journal: such a letter is doubted
            # when its lease has run out, held, and asked for.
            for one in self.hand.answered:
                logger.error("letter %s: %s, not written down", one.letter.id, one.verdict.answer)
            raise error
        logger.warning("not written down yet: %s", error)

    def _withdraw(self, handovers, note):
        """End conversations before the dot. Their letters wait for whoever comes next."""
        for one in handovers:
            one.line.withdraw()
            self.hand.outcomes.append((one.letter, recording.of_withdrawal(note)))

    def _record_outcomes(self):
        """Have recorded what is rare."""
        began_at = time.monotonic()
        is_time = began_at >= self.record_again_at and not self._is_away()
        if not self.hand.outcomes or not self.desk.is_free or not is_time:
            return
        outcomes = self.hand.begin_recording()

        def after(came_of):
            self.hand.end_recording()
            try:
                came_of.result()
                self.failing_since = None
            except Error as error:
                self._record_later(error, time.monotonic() - began_at)

        self.desk.give(lambda: self.books.record(outcomes), after)

    def _record_later(self, error, seconds):
        """Let what is rare wait: somebody may hold the row. Whether the database is away is seen
        as soon as there is anything else to do there, which has as much of its time.
        """
        now = time.monotonic()
        self._bear(error, now)
        self.record_again_at = now + max(RECORD_AGAIN_SECONDS, seconds)

    def _is_away(self) -> bool:
        """Return whether the database has just failed us."""
        return time.monotonic() < self.database_again_at

    # ---- Claiming and composing

    def _claim(self):
        """Have as many letters claimed as there are lines, beyond those that wait for the next."""
        if self.is_stopping():  # Even where no settlement comes to say so.
            self._begin_no_more("the worker stops")
        if time.monotonic() >= self.claims_until:
            self.has_more = False
        if not self.has_more or not self.desk.is_free or self._is_away():
            return
        if room := self._room():
            self.desk.give(lambda: self.books.claim(room), self._take_over_claimed)

    def _take_over_claimed(self, came_of):
        try:
            claimed = came_of.result()
        except Error as error:
            self._give_way(error)
            return
        self.failing_since = None
        self.has_more = self.has_more and not claimed.is_exhausted
        self.hand.unwritten.add(claimed)
        if self.ends_because:
            self._begin_no_more(self.ends_because)

    def _room(self) -> int:
        """Return how many letters may be claimed: none, where it isn't worth while yet."""
        if self.is_trial:
            return 0 if self.hand.ahead() else 1
        goes_well = time.monotonic() - self.began_at > GOES_WELL_SECONDS
        most = (FAR_AHEAD if goes_well else AHEAD) * self.lines.most()
        room = most - self.hand.ahead()
        return room if room >= most * CLAIMED_ANEW else 0

    def _compose(self):
        """Make the bytes of some of what was claimed: as much as the lines will soon want."""
        until = time.monotonic() + COMPOSING_SECONDS
        while self._may_compose() and time.monotonic() < until:
            for letter, made in self.hand.unwritten.next():
                self._take(letter, made)

    def _may_compose(self) -> bool:
        return not self.hand.unwritten.is_done and len(self.hand.composed) < self.lines.most()

    def _take(self, letter, made: Frozen | Exception):
        if isinstance(made, Exception):
            self.hand.outcomes.append((letter, recording.of_failed_writing(made)))
            self.counts["unwritten"] += 1
            if isinstance(made, ImproperlyConfigured) and (reason := _why_unwritable()):
                self._begin_no_more(reason)
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

    # ---- Lines

    def _hand_out(self):
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
            if not len(self.lines) and not self._has_news() and self.desk.is_free:
                self._hang_up()  # Which may take long.

    def _let_go_of_the_stale(self):
        """Leave to others what waited so long for a line that its lease would run out on it."""
        if time.monotonic() < self.stale_again_at:
            return
        self.stale_again_at = time.monotonic() + STALE_AGAIN_SECONDS
        least = self.books.now() + ledger.LEASE / 3
        for one in [one for one in self.hand.composed if one.letter.lease_until < least]:
            self.hand.composed.remove(one)
            act = recording.of_withdrawal("it waited too long for a connection")
            self.hand.outcomes.append((one.letter, act))

    def _hang_up(self):
        """The last line is gone: open one while everybody waits, or end the round."""
        try:
            self.lines.open_one()
        except NoLine as trouble:
            self._begin_no_more(str(trouble))
            self.trouble = trouble

    def _send_dots(self):
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

    def _wait(self):
        """Let the lines work until there is something else to do."""
        patience = 0 if self._may_compose() or self._can_settle() else GATHER_SECONDS
        for line in self.lines.pump(patience, self.desk):
            self._look_at(line)

    def _look_at(self, line: Line):
        """See how far the letter on a line is."""
        if (one := self.hand.busy.get(line)) is None:
            return
        if line.verdict is not None:
            del self.hand.busy[line]
            self._judge(one, line.verdict)
        elif line.state == "fence":
            del self.hand.busy[line]
            self.hand.at_fence.append(one)

    def _judge(self, one, verdict):
        if verdict.about == "line":  # A used one, gone by now: each is lost once at most.
            self.hand.composed.insert(0, one)
            return
        if verdict.about == "us":
            self._begin_no_more(verdict.reply)
        one.verdict = verdict
        self.hand.answered.append(one)

    def _begin_no_more(self, reason):
        """End what is under way, and leave the rest to a later round: it would fare no better."""
        self.has_more, self.ends_because = False, reason
        for letter in self.hand.take_unbegun():
            self.hand.outcomes.append((letter, recording.of_withdrawal(reason)))

    def _has_news(self) -> bool:
        """Return whether there is something to settle."""
        return bool(self.hand.answered or self.hand.at_fence or self.hand.outcomes)

    def _can_settle(self) -> bool:
        return self.desk.is_free and self._is_time()

    def _is_time(self) -> bool:
        """Return whether it is worth while to settle what has gathered."""
        now = time.monotonic()
        is_held_due = bool(self.hand.held) and now >= self.look_again_at
        has_news = self.hand.answered or self.hand.at_fence or is_held_due
        if not has_news or now < self.database_again_at:
            return False
        if now - self.settled_at > GATHER_SECONDS:
            return True
        return not (self._may_hand_out() or self.lines.is_prompt())

    def _may_hand_out(self) -> bool:
        """Return whether more letters will be on their lines in a moment."""
        may_come = bool(self.hand.composed) or not self.hand.unwritten.is_done
        return may_come and self.lines.has_free()


def deliver_due(
    clock: Clock, ids: Sequence[int] | None = None, *, seconds: float = float("inf"), **limits
) -> Counter[str]:
    """Deliver what is due, or those of `ids` that are. Return how many letters ended how.

    Letters that may be what broke earlier rounds get one each, before the others.
    """
    until = time.monotonic() + seconds
    alone = [[letter_id] for letter_id in ledger.suspects(clock())] if ids is None else []
    counts: Counter[str] = Counter()
    for some in [*alone, ids]:
        counts += Round(clock, some, seconds=until - time.monotonic(), **limits).run()
    return counts


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    """Let Python look so rarely inside the block, unless somebody has it look more rarely still."""
    before = gc.get_threshold()
    if 0 < before[0] < OBJECTS:
        gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _why_unwritable() -> str:
    """Return which setting keeps all letters from being written, or nothing."""
    try:
        writing.check()
    except ImproperlyConfigured as reason:
        return str(reason)
    return ""
