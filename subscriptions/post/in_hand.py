"""What a round of delivery has in hand: each letter is in one place, from its claim to its record.

place           what is true there                        who takes it on, and where to
--------------  ----------------------------------------  -----------------------------------------
unwritten       it is claimed                             conversations: composed
composed        it has its bytes, and waits for a line    conversations: busy
busy            its line is at it: up to the fence, or    conversations: at_fence; or answered
                from the final dot on
at_fence        the server has all but the final dot      transactions: at_the_desk
held            the same; somebody has its reader's row   transactions: at_fence, in a moment
at_the_desk     it is being settled, at the fence or      transactions: past_fence or held, or
                answered                                  withheld; accepted, or outcomes
past_fence      it may have its dot                       conversations: busy; or answered, where
                                                          the server has hung up
answered        what became of it is known                transactions: at_the_desk
outcomes        it is to be recorded by itself            transactions: being_recorded
being_recorded  that is under way                         transactions: done; or outcomes again

Before its dot, a letter may be let go from any place: then it is among the outcomes.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from subscriptions import registry
from subscriptions.models import Letter
from subscriptions.post import recording
from subscriptions.post.books import Batch, Claimed, Handover, Outcome
from subscriptions.post.line import Line
from subscriptions.post.writing import Written

ENDLESS_SECONDS = 1.0  # Letters that are being written for so long may never be.


class Unwritten:
    """Letters that were claimed and aren't composed yet."""

    def __init__(self):
        self._letters: dict[int, Letter] = {}
        self._written: list[Iterator[list[Written]]] = []

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def is_done(self) -> bool:
        """Whether nothing more comes of what was claimed."""
        return not self._written

    def add(self, claimed: Claimed) -> None:
        self._letters |= {letter.id: letter for letter in claimed.letters}
        self._written.append(claimed.written)

    def next(self) -> Iterator[Written]:
        """Compose the next letters. Yield each with its bytes, or with what kept us from making
        them; none after the last of those that were claimed together, nor once they are given up.

        Where this is broken off, as when the worker's time is over, letters that have been written
        for very long are no longer in hand: their leases run out.
        """
        began_at = time.monotonic()
        try:
            made = next(self._written[0], None)
        except BaseException:
            if time.monotonic() > began_at + ENDLESS_SECONDS:
                for letter_id in list(self._letters)[: registry.TOGETHER]:
                    del self._letters[letter_id]
            raise
        if made is None:
            self._written.pop(0)
            return
        for letter, frozen in made:
            if self._letters.pop(letter.id, None) is None:
                return
            yield letter, frozen

    def letters(self) -> list[Letter]:
        return list(self._letters.values())

    def give_up(self) -> list[Letter]:
        """Return the letters, none of which is composed any more."""
        letters = self.letters()
        self._letters, self._written = {}, []
        return letters


@dataclass
class InHand:
    """The letters of a round, by how far they are; and whether there are to be more."""

    unwritten: Unwritten = field(default_factory=Unwritten)
    composed: list[Handover] = field(default_factory=list)
    busy: dict[Line, Handover] = field(default_factory=dict)
    at_fence: list[Handover] = field(default_factory=list)
    #: At the fence too, but somebody holds the reader's row.
    held: list[Handover] = field(default_factory=list)
    past_fence: list[Handover] = field(default_factory=list)
    answered: list[Handover] = field(default_factory=list)
    at_the_desk: Batch = field(default_factory=Batch)  # What is being settled.
    outcomes: list[Outcome] = field(default_factory=list)  # How each is recorded, one by one.
    being_recorded: list[Outcome] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # Those that ended: accepted, deferred …
    takes_more: bool = True  # Letters are claimed still.
    ends_because: str = ""  # What keeps letters from leaving, all of them.
    is_trial: bool = False  # The breaker has tripped: one letter tells whether it is mended.

    def ahead(self) -> int:
        """Return how many letters are claimed, and have had no answer."""
        return (
            len(self.unwritten)
            + len(self.composed)
            + len(self.busy)
            + len(self.at_the_desk.at_fence)
            + len(self.past_fence)
            + len(self.at_fence)
            + len(self.held)
        )

    def __len__(self) -> int:
        others = self.answered, self.at_the_desk.answered, self.outcomes, self.being_recorded
        return self.ahead() + sum(map(len, others))

    def has_news(self) -> bool:
        """Return whether there is something to settle, or to record."""
        return bool(self.answered or self.at_fence or self.outcomes)

    def without_dot(self) -> list[Letter]:
        """Return the letters that surely get none: they are claimed, or at the fence."""
        at_fence = self.at_the_desk.at_fence + self.at_fence + self.held
        begun = [one for one in self.busy.values() if one.line.state == "busy"]
        return self.unwritten.letters() + [one.letter for one in self.composed + begun + at_fence]

    def give_to_the_desk(self) -> Batch:
        """Return what is settled next."""
        self.at_the_desk = Batch(self.answered, self.at_fence)
        self.answered, self.at_fence = [], []
        return self.at_the_desk

    def take_from_the_desk(self) -> Batch:
        """Return what was settled, or was to be."""
        batch, self.at_the_desk = self.at_the_desk, Batch()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Let what could not be settled wait for the next settlement."""
        self.answered = batch.answered + self.answered
        self.at_fence = batch.at_fence + self.at_fence

    def begin_recording(self) -> list[Outcome]:
        """Return the outcomes that are recorded next. Those that are, leave the list."""
        self.being_recorded, self.outcomes = self.outcomes, []
        return self.being_recorded

    def end_recording(self) -> None:
        """Let those wait that were not recorded."""
        self.outcomes, self.being_recorded = self.being_recorded + self.outcomes, []

    def look_at_the_held(self) -> None:
        """Let those wait for the next settlement whose readers' rows were held."""
        self.at_fence, self.held = self.at_fence + self.held, []

    def take_from_the_fence(self) -> list[Handover]:
        """Return those that wait there, which are not to pass it."""
        waiting = self.at_fence + self.held
        self.at_fence, self.held = [], []
        return waiting

    def let_go(self, letters: Iterable[Letter], note: str) -> None:
        """Leave letters to whoever comes next: they have had no dot, and get none from us."""
        self.outcomes += [(letter, recording.of_withdrawal(note)) for letter in letters]

    def begin_no_more(self, reason: str) -> None:
        """End what is under way, and leave the rest to a later round: it would fare no better."""
        self.takes_more, self.ends_because = False, reason
        unbegun = [*(one.letter for one in self.composed), *self.unwritten.give_up()]
        self.composed = []
        self.let_go(unbegun, reason)
