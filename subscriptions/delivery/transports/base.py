"""The interface of a transport, which hands messages over and returns what became of them.

A message is handed over in two steps, `offer` and `finish`, so that the caller can make its final
check as late as possible. Callers know no protocol. A recipient is a string that the transport
understands.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message to hand over. `channel`: the subscriber to whom a post goes."""

    sender: str
    recipient: str
    mime: bytes
    kind: str
    letter_id: int
    frozen_at: datetime
    channel: Any = None


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of a message, at which stage, and the server's reply.

    `scope` says what the reply concerns besides this message:

    - "address": the recipient does not exist.
    - "us": no message of ours would be accepted. `trouble` is the cause for the circuit breaker.
    - "connection": it was closed before this message, which can be offered again at once.

    `retry_after`: how many seconds the server asked to wait.
    """

    status: Literal["accepted", "deferred", "refused", "unknown"]
    stage: str
    reply: str = ""
    scope: Literal["", "address", "us", "connection"] = ""
    trouble: Literal["unreachable", "auth"] = "auth"
    retry_after: float | None = None


class ConnectFailed(Exception):
    """No connection could be opened: the `kind` of failure, and the server's reply."""

    def __init__(self, kind: Literal["unreachable", "auth", "tls"], reply: str):
        super().__init__(reply)
        self.kind = kind
        self.reply = reply


class Connection(Protocol):
    """Hands over one message at a time, in a thread of its own. Raises nothing."""

    def is_usable(self) -> bool:
        """Return whether the next message may be offered."""

    def offer(self, message: Message) -> DeliveryResult | None:
        """Send all but the last, irrevocable step. Return a result if it ended before."""

    def finish(self) -> DeliveryResult:
        """Take the last step for the offered message."""

    def close(self) -> None:
        """Close at once. The server discards a message that was not finished."""


class Transport(Protocol):
    connections: int  # How many at most.

    def connect(self) -> Connection:
        """Return a new connection. Blocks, and is called from threads. Raises ConnectFailed."""
