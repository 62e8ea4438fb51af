"""The words that the post's engine and its transports share: envelope, line, verdict.

A transport opens lines; a line carries one letter at a time and never blocks. When the other side
has all of a letter but the last, irrevocable step, the line stands at the fence, and takes that
step when it is told to finish.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True)
class Envelope:
    """Who sends what to whom, besides the letter's bytes. `has_dots`: a line may begin with one."""

    sender: str
    recipient: str
    kind: str
    letter_id: int
    frozen_at: datetime
    has_dots: bool = True


@dataclass(frozen=True)
class Verdict:
    """What became of a letter, at which stage, in whose words.

    `about` says whom the answer concerns besides this letter: the "address" is bad; the "provider"
    wants us slower; it is "us" who have no credentials, say; or the "line" had been closed before
    the letter came, which may be offered again at once.
    """

    answer: Literal["accepted", "deferred", "refused", "unknown"]
    stage: str
    reply: str = ""
    about: Literal["", "address", "provider", "us", "line"] = ""


class NoLine(Exception):
    """No line could be opened, whatever the letter: its `kind`, and what was said."""

    def __init__(self, kind: Literal["unreachable", "auth", "tls"], reply: str):
        super().__init__(reply)
        self.kind = kind
        self.reply = reply


class Line(Protocol):
    """One connection, or what does for one. It may be used from one thread at a time."""

    #: busy: the letter is on its way. fence: all is there but the last step. answering: that is
    #: taken, and its answer has not come.
    state: Literal["free", "busy", "fence", "answering", "closed"]
    #: Set when the letter's story on this line has ended; the line is then free or closed.
    verdict: Verdict | None
    #: time.monotonic() since when the other side owes us an answer, or reads nothing.
    waiting_since: float
    wants_write: bool = False

    def fileno(self) -> int | None:
        """What a selector watches; None where nothing has to be waited for, or is any longer."""

    def is_fresh(self, now: float) -> bool:
        """Return whether it is free and to be trusted with a letter; close it if it is not."""
        return self.state == "free"

    def begin(self, envelope: Envelope, mime: bytes) -> None:
        """Start on a letter: busy, and at the fence once the other side has all but the last."""

    def finish(self) -> None:
        """Past the fence, take the last step."""

    def withdraw(self) -> None:
        """Before the last step, close at once, so that the other side discards the letter."""

    def pump(self, now: float) -> None:
        """Read and write what can be, and look at the time. Never blocks, never raises."""

    def close(self) -> None:
        """Take leave without waiting for an answer."""


class Transport(Protocol):
    connections: int  # How many lines at most.

    def open(self) -> Line:
        """Return a free line. May block, and is called from threads. Raises NoLine."""
