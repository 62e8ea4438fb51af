"""The interface of a transport: what hands one message over and says what became of it.

A message is handed over in two steps, `offer` and `finish`, so that the caller can make its final
check as late as possible. What is above this interface knows no protocol, and a recipient is a
string that the transport understands.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What is handed over, and to whom. `has_dots`: a line of `mime` may begin with a dot."""

    sender: str
    recipient: str
    mime: bytes
    kind: str
    letter_id: int
    frozen_at: datetime
    has_dots: bool = True


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of a message, at which stage, in the other side's words.

    `scope` says whom the answer concerns besides this message: the "address" does not exist; the
    "provider" wants fewer messages; it is "us" who get nothing accepted; or the "connection" had
    been closed before it was used for this message, which may be offered again at once.
    `trouble` goes with "us": what the circuit breaker is opened for. `is_let_in`: a message for
    another recipient might have been accepted.
    """

    status: Literal["accepted", "deferred", "refused", "unknown"]
    stage: str
    reply: str = ""
    scope: Literal["", "address", "provider", "us", "connection"] = ""
    trouble: Literal["unreachable", "auth"] = "auth"
    is_let_in: bool = False


class ConnectFailed(Exception):
    """No connection could be opened, whatever the message: the `kind` of trouble, and the reply."""

    def __init__(self, kind: Literal["unreachable", "auth", "tls"], reply: str):
        super().__init__(reply)
        self.kind = kind
        self.reply = reply


class Connection(Protocol):
    """Hands over one message at a time. Waits with greenlets.wait_for, and raises nothing."""

    def is_usable(self) -> bool:
        """Return whether the next message may be offered."""

    def offer(self, message: Message) -> DeliveryResult | None:
        """Send all but the last, irrevocable step. Return a result if it came to an end before."""

    def finish(self) -> DeliveryResult:
        """Take the last step for what was offered."""

    def close(self) -> None:
        """Close at once. A message that was not finished is discarded by the other side."""


class Transport(Protocol):
    connections: int  # How many at most.

    def connect(self) -> Connection:
        """Return a new connection. Blocks, and is called from threads. Raises ConnectFailed."""
