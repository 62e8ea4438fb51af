"""A mail server that does what a letter's order says, and kills its client where that is the order.

An order stands before the recipient's plus, or comes from a plan that is drawn for each
conversation: `450-rcpt` answers 450 at that stage, `drop-dot` keeps the letter and hangs up without
an answer, `lose-dot` hangs up and throws it away, `slow-dot` answers after a while, `garble-dot`
keeps it and answers nonsense, `drop-data` hangs up, `drop-after` hangs up behind its 250.
"""

import hashlib
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.servers import smtp

MESSAGE_ID = re.compile(rb"(?mi)^Message-ID:\s*(\S+)")
PAPER = re.compile(rb'data-paper-id=3D"([^"]+)"')
SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Arrival:
    """A letter that the server took on responsibility for, and when its final dot came."""

    recipient: str
    message_id: str
    sha256: str
    dot_at: float  # time.time()
    papers: frozenset[bytes]


class MailServer(smtp.MailServer):
    request_queue_size, poll_seconds = 256, 0.2

    def __init__(self, port: int = 0):
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(conversation=Conversation, port=port)
        self.arrived: list[Arrival] = []
        self.dots = 0  # Final dots that were seen, of letters kept or not.
        self.plan: Callable[[str], str] = lambda recipient: ""
        #: How often to kill at K1 (after 354), K2 (after the dot), K3 (right behind the 250).
        self.kills: Counter[str] = Counter()
        self.signal = signal.SIGKILL
        self.at_greeting: Callable[[], None] = lambda: None
        self.at_dot: Callable[[str], None] = lambda recipient: None

    @property
    def port(self) -> int:
        return self.server_address[1]

    def address(self, connections: int = 10) -> str:
        return f"{self.url}?connections={connections}"

    def copies(self) -> Counter[str]:
        """Return how often each letter arrived, by its Message-ID."""
        return Counter(arrival.message_id for arrival in self.arrived)

    def papers_twice(self) -> set[tuple[str, bytes]]:
        """Return which papers came to a recipient in two letters, copies aside."""
        letters = {arrival.message_id: arrival for arrival in self.arrived}.values()
        had = Counter((one.recipient, paper) for one in letters for paper in one.papers)
        return {pair for pair, count in had.items() if count > 1}

    def strike(self, point: str, client_port: int, say: Callable = lambda: None) -> None:
        """Say something and, if that was asked for, kill the client before it can hear it."""
        with self._lock:
            is_due = self.kills[point] > 0
            self.kills[point] -= is_due
        processes = _at(client_port) if is_due else []  # It takes a while to find it.
        if self.signal == signal.SIGKILL:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
        say()
        for process in processes:
            os.kill(process, self.signal)
        if processes:
            time.sleep(0.3)  # It is dead before anything else is said to it.

    def close(self) -> None:
        super().close()
        self.hang_up()

    def hang_up(self) -> None:
        """End all conversations, as servers do with those that were silent for too long."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _at(port: int) -> list[int]:
    """Return the processes whose end of a connection is this port."""
    return [
        connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.laddr and connection.laddr.port == port and connection.pid
    ]


class Conversation(smtp.Conversation):
    refusals = {"4": b" 4.3.0 busy\r\n"}
    order = ""

    def handle(self):
        self.server._open.add(self.connection)
        with suppress(OSError):
            self.server.at_greeting()
            super().handle()
        self.server._open.discard(self.connection)

    def on_rcpt(self, line):
        recipient = line.partition(b"<")[2].partition(b">")[0].decode()
        order, plus, _ = recipient.partition("@")[0].rpartition("+")
        self.order = order if plus else self.server.plan(recipient)
        super().on_rcpt(line)

    def orders(self, stage, recipient=""):
        order, _, where = self.order.partition("-")
        return order if where == stage else ""

    def answer(self, stage, usual, recipient=""):
        if stage != "data":
            return super().answer(stage, usual, recipient)
        went = []  # The worker may be killed before it can hear the answer.
        port = self.client_address[1]
        self.server.strike(
            "K1", port, lambda: went.append(super(Conversation, self).answer(stage, usual))
        )
        return went[0]

    def dot(self, mime):
        dot_at, port = time.time(), self.client_address[1]
        self.server.dots += 1
        self.server.at_dot(self.recipient)
        if not self.order.startswith(("4", "5", "lose")):
            self.keep(mime, dot_at)
        self.server.strike("K2", port)
        self.server.strike("K3", port, lambda: self.answer("dot", b"250 2.0.0 kept\r\n"))
        if self.order == "drop-after":
            self.answer_drop(b"")

    def answer_lose(self, usual):
        self.answer_drop(usual)

    def answer_slow(self, usual):
        time.sleep(SLOW_SECONDS)
        self.say(usual)
        return True

    def keep(self, mime, dot_at):
        found = MESSAGE_ID.search(mime)
        digest = hashlib.sha256(mime).hexdigest()
        papers = frozenset(PAPER.findall(mime.replace(b"=\r\n", b"")))
        name = found[1].decode() if found else ""
        self.server.arrived.append(Arrival(self.recipient, name, digest, dot_at, papers))
