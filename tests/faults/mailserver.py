"""A mail server that does what a letter's order says, and kills its client where it is told to.

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
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

EHLO = b"250-mail.example.org\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME\r\n"
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


class MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0):
        super().__init__(("127.0.0.1", port), Conversation)
        self.arrived: list[Arrival] = []
        self.dots = 0  # Final dots that were seen, of letters kept or not.
        self.plan: Callable[[str], str] = lambda recipient: ""
        #: How often to kill at K1 (after 354), K2 (after the dot), K3 (right behind the 250).
        self.kills: Counter[str] = Counter()
        self.signal = signal.SIGKILL
        self.at_greeting: Callable[[], None] = lambda: None
        self.at_dot: Callable[[str], None] = lambda recipient: None
        self.log: Path | None = None  # Where to write what was taken, as Postfix does.
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self.serve_forever, args=(0.2,), daemon=True).start()

    @property
    def port(self) -> int:
        return self.server_address[1]

    def url(self, connections: int = 10) -> str:
        return f"smtp://127.0.0.1:{self.port}?connections={connections}"

    def copies(self) -> Counter[str]:
        """Return how often each letter arrived, by its Message-ID."""
        return Counter(arrival.message_id for arrival in self.arrived)

    def papers_twice(self) -> set[tuple[str, bytes]]:
        """Return which papers came to a recipient in two letters, copies aside."""
        letters = {arrival.message_id: arrival for arrival in self.arrived}.values()
        had = Counter((one.recipient, paper) for one in letters for paper in one.papers)
        return {pair for pair, count in had.items() if count > 1}

    def order_for(self, recipient: str) -> str:
        """Return what is to be done with the next letter to this recipient."""
        order, plus, _ = recipient.partition("@")[0].rpartition("+")
        return order if plus else self.plan(recipient)

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

    def write_log(self, program: str, text: str) -> None:
        """Write a line as a Postfix would. Without a letter, it only says that the log goes on."""
        if self.log is not None:
            moment = datetime.now(UTC).isoformat(timespec="microseconds")
            with self._lock, self.log.open("a") as log:
                log.write(f"{moment} mail postfix/{program}[1]: {text}\n")

    def service_actions(self) -> None:
        """Each half second, or so."""
        self.write_log("anvil", "statistics: max connection rate 1/60s")

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        """End all conversations, as servers do with those that were silent for too long."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address):
        """A client that is gone is what this is about."""


def _at(port: int) -> list[int]:
    """Return the processes whose end of a connection is this port."""
    return [
        connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.laddr and connection.laddr.port == port and connection.pid
    ]


class Hangup(Exception):
    """The conversation ends here."""


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        self.server._open.add(self.connection)
        with suppress(OSError, Hangup):
            self.server.at_greeting()
            self.say(b"220 mail.example.org ready\r\n")
            for line in self.rfile:
                self.obey(line)
        self.server._open.discard(self.connection)

    def obey(self, line):
        verb = line[:4].strip().upper()
        if verb == b"EHLO":
            self.say(EHLO)
        elif verb == b"MAIL":
            self.answer("mail", b"250 2.1.0 ok\r\n")
        elif verb == b"RCPT":
            self.recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            self.order = self.server.order_for(self.recipient)
            self.answer("rcpt", b"250 2.1.5 ok\r\n")
        elif verb == b"DATA":
            self.body()
        elif verb == b"QUIT":
            self.say(b"221 bye\r\n")
            raise Hangup
        else:
            self.say(b"502 5.5.1 what?\r\n")

    order = ""

    def body(self):
        if self.order == "450-rcpt":
            return self.say(b"503 5.5.1 no recipient\r\n")
        port = self.client_address[1]
        self.server.strike("K1", port, lambda: self.answer("data", b"354 go on\r\n"))
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        else:
            raise Hangup
        self.dot(b"".join(lines), time.time())

    def dot(self, mime, dot_at):
        self.server.dots += 1
        self.server.at_dot(self.recipient)
        if not self.order.startswith(("4", "5", "lose")):
            self.keep(mime, dot_at)
        port = self.client_address[1]
        self.server.strike("K2", port)
        self.server.strike("K3", port, lambda: self.answer("dot", b"250 2.0.0 kept\r\n"))
        if self.order == "drop-after":
            raise Hangup

    def keep(self, mime, dot_at):
        found = MESSAGE_ID.search(mime)
        digest = hashlib.sha256(mime).hexdigest()
        papers = frozenset(PAPER.findall(mime.replace(b"=\r\n", b"")))
        name = found[1].decode() if found else ""
        arrival = Arrival(self.recipient, name, digest, dot_at, papers)
        self.server.arrived.append(arrival)
        queue_id = f"4g{len(self.server.arrived):09d}z{self.client_address[1]}"
        self.server.write_log("cleanup", f"{queue_id}: message-id={arrival.message_id}")
        self.server.write_log(
            "qmgr", f"{queue_id}: from=<a@example.org>, size=9, nrcpt=1 (queue active)"
        )

    def answer(self, stage, usual):
        what, _, where = self.order.partition("-")
        if where != stage:
            return self.say(usual)
        if what in ("drop", "lose"):
            raise Hangup
        if what == "garble":
            return self.say(b"\xff\xfe nonsense\r\n")
        if what == "slow":
            time.sleep(SLOW_SECONDS)
            return self.say(usual)
        self.say(
            what.encode() + {"5": b" 5.1.1 no such person\r\n"}.get(what[0], b" 4.3.0 busy\r\n")
        )

    def say(self, reply):
        self.wfile.write(reply)
        self.wfile.flush()
