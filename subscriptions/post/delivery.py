"""Delivery in volleys: many lines at once, and one short transaction for all that has gathered.

Exactly once is impossible over SMTP, so every step is chosen for what a crash right after it does:

- a *claim* is a lease. Whoever holds it composes the letter. Its holder dies: the lease runs out,
  and another tries again. Nothing was sent.
- the *fence* is passed when the server has everything but the final dot. It looks once more whether
  the letter is still wanted, under the lock that unsubscribing takes, and freezes its bytes.
  Refused: the dot is not sent, and the server throws the letter away.
- past the fence, no answer means that nobody knows: see doubts.py.

A round settles again and again, in ONE transaction: it records what was answered since, lets pass
the fence what waits there, and claims what comes next. Then the dots are sent, and the next letters
composed while the server works. Nothing renders or talks inside a transaction. A slow line joins
the volley that is under way when it is ready, and delays nobody else.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError, Error, IntegrityError, connection, transaction

from subscriptions.models import Letter
from subscriptions.post import doubts, ledger, providers, recording, sending, verp, writing
from subscriptions.post.clock import Clock
from subscriptions.post.journal import Entry, Journal
from subscriptions.post.ledger import Frozen, Overtaken
from subscriptions.post.line import Envelope, Line, NoLine, Verdict
from subscriptions.post.lines import Lines
from subscriptions.post.transports import transport_for

logger = logging.getLogger(__name__)

GATHER_SECONDS = 0.05  # So long what can be settled waits for what is about to be.
RECORD_SECONDS = 120  # A database that is restarted, or taken over from, is back by then.
RECORD_AGAIN_SECONDS = 0.5
LOOK_AROUND_SECONDS = 0.25  # Between two looks for letters that somebody waits for.
#: So many letters are claimed for each line. A round that has gone on for a while claims more at
#: once, which costs less; before, it may be about to find out why the last one died.
AHEAD, FAR_AHEAD = 2, 4
GOES_WELL_SECONDS = 5
HELD_SECONDS = 0.25  # Until a letter at the fence is looked at again, whose reader's row is held.

State = Letter.State


@dataclass(eq=False)
class Handover:
    """A claimed letter on its way: its bytes, the line it is on, and what was said to it."""

    letter: Letter
    frozen: Frozen
    envelope: Envelope
    line: Line | None = None
    verdict: Verdict | None = None


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
        self.journal: Journal | None = None
        self.has_more = True
        self.failing_since: float | None = None
        self.settled_at = self.look_again_at = self.look_around_at = 0.0
        self.is_counting = self.looks_for_awaited = True
        self.is_trial = False  # The breaker has tripped: one letter tells whether it is mended.
        # A letter is in one of these, from its claim to its record.
        self.claimed: list[Letter] = []
        self.composed: list[Handover] = []
        self.busy: set[Handover] = set()
        self.at_fence: list[Handover] = []
        self.held: list[Handover] = []  # At the fence too, but somebody holds the reader's row.
        self.past_fence: list[Handover] = []
        self.answered: list[Handover] = []
        self.outcomes: list[tuple[Letter, recording.Act]] = []  # How each is recorded, one by one.

    def run(self) -> Counter[str]:
        """Deliver. Return how many letters ended how."""
        with ExitStack() as self.stack:
            self.stack.callback(self.lines.close)
            if self._is_open():
                self._turns()
        return self.counts

    def _turns(self):
        while True:
            self._settle()
            self._send_dots()
            self._record_outcomes()
            self._compose()
            self._hand_out()
            if not self._in_hand():
                if not self.has_more:
                    return
                continue
            self._wait()

    def _in_hand(self) -> int:
        return (
            len(self.claimed)
            + len(self.composed)
            + len(self.busy)
            + len(self.past_fence)
            + len(self.at_fence)
            + len(self.held)
            + len(self.answered)
            + len(self.outcomes)
        )

    def _is_open(self) -> bool:
        """Return whether letters may leave now, and there is a line on which they can."""
        if self.is_stopping() or time.monotonic() >= self.claims_until:
            return False
        now = self.now = self.clock()
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
        """Record, fence and claim, in one transaction; try again while the database is away."""
        self._write_journal()
        try:
            with _as_they_were([one.letter for one in self.answered]), transaction.atomic():
                now = self.now = self.clock()
                is_stopped = sending.is_stopped()
                self._look_around()
                recorded = self._record(now)
                fenced = self._fence(now, is_stopped)
                claimed = self._claim(now, is_stopped)
                if self.is_trial and recorded:
                    sending.mend()
                # Last, for it takes locks: others that count providers wait for nobody so.
                if self.is_counting:
                    providers.thank([one.envelope.recipient for one in recorded], now)
            self._after(recorded, fenced, claimed, is_stopped)
            self.failing_since = None
        except Error as error:
            self._give_way(error)
        self.settled_at = time.monotonic()

    def _look_around(self):
        """Look, a few times a second, at what needs no look in each transaction."""
        now = time.monotonic()
        self.looks_for_awaited = now >= self.look_around_at
        if self.looks_for_awaited:
            self.look_around_at = now + LOOK_AROUND_SECONDS
            self.is_counting = providers.is_counting()

    def _write_journal(self):
        """Note on the disk what was accepted, before the database is asked to."""
        accepted = [one for one in self.answered if one.verdict.answer == "accepted"]
        if not accepted or settings.EMAIL_URL.startswith("file:"):
            return  # The outbox is its own journal.
        try:
            if self.journal is None:
                self.journal = self.stack.enter_context(Journal(doubts.folder_of_journals()))
            moment = self.now.isoformat()
            self.journal.write(
                [
                    Entry(
                        one.letter.pk,
                        one.letter.attempt,
                        one.frozen.message_id,
                        one.verdict.reply,
                        moment,
                    )
                    for one in accepted
                ]
            )
        except OSError as error:  # It is a second net: the database is the first.
            logger.error("the journal can't be written: %s", error)

    def _record(self, now) -> list[Handover]:
        """Write down what was accepted. Return these; all else is recorded one by one."""
        accepted = [one for one in self.answered if one.verdict.answer == "accepted"]
        replies = [one.verdict.reply for one in accepted]
        moved = {letter.pk for letter in ledger.accept([o.letter for o in accepted], replies, now)}
        return [one for one in accepted if one.letter.pk in moved]

    def _fence(self, now, is_stopped) -> ledger.Fenced | None:
        if time.monotonic() >= self.look_again_at:
            self.at_fence, self.held = self.at_fence + self.held, []
        if is_stopped or not self.at_fence:
            return None
        letters = [one.letter for one in self.at_fence]
        return ledger.fence(letters, {one.letter.pk: one.frozen for one in self.at_fence}, now)

    def _claim(self, now, is_stopped) -> list[Letter]:
        """Claim as many letters as there are lines, beyond those that wait for the next."""
        if is_stopped or self.is_stopping() or time.monotonic() >= self.claims_until:
            self.has_more = False
        if not self.has_more:
            return []
        if not (room := self._room()):
            return []
        claimed, is_exhausted = ledger.claim(
            now,
            room,
            self.ids,
            looks_for_awaited=self.looks_for_awaited,
            is_counting=self.is_counting,
        )
        self.has_more = not is_exhausted and self.ids is None
        return claimed

    def _after(self, recorded, fenced, claimed, is_stopped):
        """Take over what the transaction has made true."""
        self.counts["accepted"] += len(recorded)
        self.is_trial = self.is_trial and not recorded
        done = set(recorded)
        for one in [one for one in self.answered if one not in done]:
            self.counts[one.verdict.answer] += 1
            self.is_counting = self.is_counting or one.verdict.about == "provider"
            act = recording.of_verdict(
                one.verdict,
                one.frozen.message_id,
                one.envelope.recipient,
                is_trial=self.is_trial,
            )
            self.outcomes.append((one.letter, act))
        self.answered = []
        if fenced is not None:
            self._sort_fenced(fenced)
        elif is_stopped:
            self._withdraw(self.at_fence + self.held, "sending was stopped")
            self.at_fence, self.held = [], []
        if self.is_stopping():
            self._withdraw(self.held, "the worker stops")
            self.held = []
            self._begin_no_more("the worker stops")
        self.claimed += claimed

    def _room(self) -> int:
        """Return how many letters may be claimed: none, where it isn't worth while yet."""
        connections = 1 if self.is_trial else self.lines.most()
        ahead = self._in_hand() - len(self.answered) - len(self.outcomes)
        goes_well = time.monotonic() - self.began_at > GOES_WELL_SECONDS
        most = (FAR_AHEAD if goes_well else AHEAD) * connections
        room = (1 if self.is_trial else most) - ahead
        return room if room >= most / 4 else 0

    def _sort_fenced(self, fenced):
        passed = {letter.pk for letter in fenced.passed}
        waiting = {letter.pk for letter in fenced.waiting}
        for one in self.at_fence:
            if one.letter.pk in passed:
                self.past_fence.append(one)
            elif one.letter.pk not in waiting:
                one.line.withdraw()
                self.counts["withheld"] += 1
        self.held += [one for one in self.at_fence if one.letter.pk in waiting]
        self.at_fence = []
        self.look_again_at = time.monotonic() + HELD_SECONDS

    def _give_way(self, error):
        """Leave the lines without their dots, and keep what was answered until it is recorded."""
        connection.close()  # The next query opens a new one.
        self._withdraw(self.at_fence + self.held, "the database was away")
        self.at_fence, self.held = [], []
        now = time.monotonic()
        self.failing_since = self.failing_since or now
        if now - self.failing_since >= RECORD_SECONDS:
            # What was answered is forgotten then, but for the journal: such a letter is doubted
            # when its lease has run out, held, and asked for.
            for one in self.answered:
                logger.error("letter %s: %s, not written down", one.letter.pk, one.verdict.answer)
            raise error
        logger.warning("not written down yet: %s", error)
        time.sleep(RECORD_AGAIN_SECONDS)

    def _withdraw(self, handovers, note):
        """End conversations before the dot. Their letters wait for whoever comes next."""
        for one in handovers:
            one.line.withdraw()
            self.outcomes.append((one.letter, recording.of_withdrawal(note)))

    # ---- One by one

    def _record_outcomes(self):
        """Record what is rare: each in a transaction of its own, so that one costs one."""
        while self.outcomes:
            letter, act = self.outcomes[0]
            try:
                with _as_they_were([letter]), transaction.atomic():
                    act(letter, self.clock())
            except Overtaken as reason:
                said = str(reason) or "overtaken by another worker"
                logger.warning("letter %s: left alone: %s", letter.pk, said)
            except Exception as error:
                if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
                    self.outcomes.append(self.outcomes.pop(0))  # A held row waits, no others do.
                    return self._give_way(error)
                # It costs its own letter, whose lease runs out.
                logger.exception("letter %s: can't be written down", letter.pk)
            self.outcomes.pop(0)

    # ---- Composing

    def _compose(self):
        """Make the bytes of what was claimed."""
        claimed, self.claimed = self.claimed, []
        for letter, made in writing.write_out(claimed, self.now):
            self._take(letter, made)

    def _take(self, letter, made: Frozen | Exception):
        if isinstance(made, Exception):
            self.outcomes.append((letter, recording.of_failed_writing(made)))
            self.counts["unwritten"] += 1
            if isinstance(made, ImproperlyConfigured) and (reason := _why_unwritable()):
                self._begin_no_more(reason)
            return
        envelope = Envelope(
            sender=verp.envelope_sender(letter.kind, letter.pk, made.frozen_at),
            recipient=letter.recipient,
            kind=letter.kind,
            letter_id=letter.pk,
            frozen_at=made.frozen_at,
        )
        self.composed.append(Handover(letter, made, envelope))

    # ---- Lines

    def _hand_out(self):
        """Offer what is composed to the lines that are free, and have as many as are wanted."""
        if not self.composed:
            return
        self._let_go_of_the_stale()
        for line in self.lines.free():
            if not self.composed:
                return
            one = self.composed.pop(0)
            one.line = line
            line.begin(one.envelope, one.frozen.mime)
            self.busy.add(one)
            self._look_at(one)
        if self.composed:
            self.lines.want(len(self.lines) + len(self.composed))
            if not len(self.lines) and not self._has_news():
                self._hang_up()

    def _let_go_of_the_stale(self):
        """Leave to others what waited so long for a line that its lease would run out on it."""
        least = self.now + ledger.LEASE / 3
        for one in [one for one in self.composed if one.letter.lease_until < least]:
            self.composed.remove(one)
            act = recording.of_withdrawal("it waited too long for a connection")
            self.outcomes.append((one.letter, act))

    def _hang_up(self):
        """The last line is gone: open one while everybody waits, or end the round."""
        try:
            self.lines.open_one()
        except NoLine as trouble:
            self._begin_no_more(str(trouble))
            with suppress(Error):
                sending.trip(trouble.kind, str(trouble), self.clock())

    def _send_dots(self):
        for one in self.past_fence:
            if one.line.state == "fence":
                one.line.finish()
                self.busy.add(one)
        self.past_fence, sent = [], self.past_fence
        for one in sent:
            if one not in self.busy:  # The server hung up before the dot: it can't have the letter.
                verdict = Verdict("deferred", "body", "the server hung up before the final dot")
                one.verdict = one.line.verdict or verdict
                self.answered.append(one)
            else:
                self._look_at(one)

    def _wait(self):
        """Let the lines work until it is worth while to settle."""
        while True:
            self.lines.pump(0 if self._is_time() else GATHER_SECONDS)
            for one in list(self.busy):
                self._look_at(one)
            self._hand_out()
            if self._is_time():
                return

    def _look_at(self, one: Handover):
        """See how far a letter on a line is."""
        line = one.line
        if line.verdict is not None:
            self.busy.discard(one)
            self._judge(one, line.verdict)
        elif line.state == "fence" and one in self.busy:
            self.busy.discard(one)
            self.at_fence.append(one)

    def _judge(self, one, verdict):
        if verdict.about == "line":  # A used one, gone by now: each is lost once at most.
            self.composed.insert(0, one)
            return
        if verdict.about == "us":
            self._begin_no_more(verdict.reply)
        one.verdict = verdict
        self.answered.append(one)

    def _begin_no_more(self, reason):
        """End what is under way, and leave the rest to a later round: it would fare no better."""
        self.has_more, self.claims_until = False, 0.0
        for one in self.composed:
            self.outcomes.append((one.letter, recording.of_withdrawal(reason)))
        self.composed = []

    def _has_news(self) -> bool:
        """Return whether there is something to settle."""
        return bool(self.answered or self.at_fence or self.outcomes)

    def _is_time(self) -> bool:
        """Return whether it is worth while to settle what has gathered."""
        now = time.monotonic()
        ready = self._has_news() or (bool(self.held) and now >= self.look_again_at)
        if self.lines.is_prompt():
            return ready and now - self.settled_at > GATHER_SECONDS
        if ready:
            return True
        is_idle = not (self.busy or self.held)
        return is_idle or (self.has_more and self._room() > 0)


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


def _why_unwritable() -> str:
    """Return which setting keeps all letters from being written, or nothing."""
    try:
        writing.check()
    except ImproperlyConfigured as reason:
        return str(reason)
    return ""


@contextmanager
def _as_they_were(letters: Sequence[Letter]):
    """Where the block fails, let the letters say what their rows still do."""
    before = [dict(letter.__dict__) for letter in letters]
    try:
        yield
    except BaseException:
        for letter, fields in zip(letters, before, strict=True):
            letter.__dict__.update(fields)
        raise
