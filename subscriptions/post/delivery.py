"""Delivery in volleys: many lines at once, and one short transaction for all that has gathered.

Exactly once is impossible over SMTP, so every step is chosen for what a crash right after it does:

- a *claim* is a lease. Whoever holds it composes the letter. Its holder dies: the lease runs out,
  and another tries again. Nothing was sent.
- the *fence* is passed when the server has everything but the final dot. It looks once more whether
  the letter is still wanted, under the lock that unsubscribing takes, and freezes its bytes.
  Refused: the dot is not sent, and the server throws the letter away.
- past the fence, no answer means that nobody knows: see sweeper.py.

A round has two sides, which go on at once: transactions.py is what it does at the database, and
conversations.py what it does with the mail server. They meet in what it has in hand (in_hand.py),
where each letter is in one place. This is how it begins, in which order it goes on, and how it
ends: well, or broken off.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from django.conf import settings
from django.db import Error

from subscriptions.models import Letter
from subscriptions.post import ledger, recording, sending
from subscriptions.post.books import Books
from subscriptions.post.clock import Clock
from subscriptions.post.conversations import Conversations
from subscriptions.post.desk import Desk
from subscriptions.post.in_hand import InHand
from subscriptions.post.line import NoLine
from subscriptions.post.lines import Lines
from subscriptions.post.transactions import GATHER_SECONDS, Transactions
from subscriptions.post.transports import transport_for

logger = logging.getLogger(__name__)

#: So many objects are made before Python looks for those that are kept by each other alone. A
#: letter makes hundreds, and none of that kind: to look as often as Python does takes 7 % of all.
OBJECTS = 50_000
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
        self.claims_until = time.monotonic() + seconds
        self.lines = Lines(transport_for(settings.EMAIL_URL))
        self.books = Books(clock, ids)
        self.desk = Desk()
        self.hand = InHand()
        self.conversations = Conversations(self.hand, self.lines, self.desk, self.books)
        self.transactions = Transactions(
            self.hand,
            self.books,
            self.desk,
            self.lines,
            claims_until=self.claims_until,
            is_stopping=is_stopping,
        )

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
            if self._may_begin():
                self._turns()
                self._tell_of_trouble()
        return self.hand.counts

    def _may_begin(self) -> bool:
        """Return whether letters may leave now, and there is a line on which they can.

        What is cheap is asked first. To connect comes last: it takes long, and where a trial is
        due after a trouble, this worker must have taken it.
        """
        if self.is_stopping() or time.monotonic() >= self.claims_until:
            return False
        now = self.clock()
        state = sending.current()
        if reason := state.why_not(now):
            logger.warning("nothing is sent: %s", reason)
            return False
        due = Letter.objects.due(now)
        if not (due if self.ids is None else due.filter(pk__in=self.ids)).exists():
            return False
        if state.failures and not sending.take_trial(now):
            return False  # Another worker tries.
        self.hand.is_trial = state.failures > 0
        try:
            self.lines.open_one()
        except NoLine as trouble:
            sending.trip(trouble.kind, str(trouble), now, is_trial=self.hand.is_trial)
            return False
        return True

    def _turns(self):
        """Do the next of everything, again and again, until nothing is in hand.

        First what keeps others waiting: a settlement, for whose fence servers wait, and the dots of
        those that have passed it. Before letters are composed a claim is under way, if one is due:
        the database reads while we compose. Each step does nothing where there is nothing to do.
        """
        at_database, with_server = self.transactions, self.conversations
        while True:
            at_database.settle()
            with_server.send_dots()
            at_database.record()
            at_database.claim()
            with_server.compose()
            with_server.begin()
            if not self.hand and self.desk.is_free and not self.hand.takes_more:
                return
            has_work = with_server.may_compose() or at_database.can_settle()
            with_server.go_on(patience=0 if has_work else GATHER_SECONDS)

    def _tell_of_trouble(self):
        """Let all workers wait, where the round has ended for want of a line."""
        if (trouble := self.conversations.trouble) is not None:
            with suppress(Error):
                said, is_trial = str(trouble), self.hand.is_trial
                sending.trip(trouble.kind, said, self.clock(), is_trial=is_trial)

    def _break_off(self, kind, *_):
        """Where an error, or the end of the worker's time, ends the round: see to what is in hand.

        First to what was answered: it comes to the disk before the database is asked for anything.
        Where an Error of the database's ends the round, that has been borne for long enough. Then
        to what surely gets no dot, lest it be doubted, or kept until its lease runs out.
        """
        if kind is None:
            return
        self.conversations.look_at_all()  # The lines may have had news in this very turn.
        answered = self.hand.at_the_desk.answered + self.hand.answered
        self.books.note(answered)
        if not issubclass(kind, Error):
            self.transactions.record_each(answered)
        letters = [one.letter for one in self.hand.past_fence]
        # An Exception may be the fault of a letter that is claimed: their leases run out, so that
        # it is found by its stumbles. What is none, as that the time is over, is nobody's.
        if not issubclass(kind, Exception):
            letters += self.hand.without_dot()
        outcomes = [(letter, recording.of_withdrawal(BROKEN_OFF)) for letter in letters]
        outcomes += self.hand.being_recorded + self.hand.outcomes
        for _ in range(3):  # One whose row is held comes last in the next.
            with suppress(Error):
                while outcomes:
                    self.books.record(outcomes)


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
