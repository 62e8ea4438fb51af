"""A mail server on loopback that does what the recipient's address says.

`450-rcpt@example.org` is answered 450 at RCPT, `drop-dot@…` is hung up on after the final dot and
`drop-body@…` amid the body, `reset-data@…` is half closed at DATA and then reset; `slow-mail@…`
would be answered one byte at a time, `glued-dot@…` twice, `early-body@…` before the dot,
`garble-quit@…` gets nonsense for QUIT, `silent-quit@…` nothing and `endless-quit@…` line after
line; any other address is served well. What comes before RCPT knows no recipient: there, the
sender's address counts. What `replies` holds for a stage is said to everybody. What it took on
responsibility for is in `accepted`; what it saw up to the dot, in `bodies`; each line that it
got, in `heard`.
"""

import socket
import socketserver
import struct
import time
from contextlib import suppress

from tests.servers.loopback import LoopbackServer

GREETING = b"220 mail.example.org ready\r\n"
EXTENSIONS = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")
BYTE_SECONDS = 0.002
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all.


class MailServer(LoopbackServer):
    """`tls` is a server's SSLContext, used from the start, or after STARTTLS if that is offered."""

    request_queue_size = 100  # With the usual five, one of many that come at once waits a second.

    def __init__(self, extensions=EXTENSIONS, tls=None, **options):
        super().__init__(**{"conversation": Conversation} | options)
        self.extensions = extensions
        self.tls = tls
        self.accepted = []  # (recipient, bytes)
        self.bodies = []
        self.heard = []
        self.connected = 0
        self.at_connect = GREETING
        self.replies = {}  # {stage: bytes}
        self.before_dot_reply = lambda recipient: None

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""


class Conversation(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    refusals = {}  # Other words, by an order's first digit.

    def handle(self):
        self.server.connected += 1
        self.sender = self.recipient = ""
        if self.server.tls and "STARTTLS" not in self.server.extensions:
            self.start_tls()
        self.say(self.server.at_connect)
        while line := self.rfile.readline():  # TLS puts another file in its place.
            self.server.heard.append(line)
            verb = line[:8].split()[0].upper().decode("ascii", "replace") if line.strip() else ""
            if verb == "QUIT":
                self.answer("quit", b"221 bye\r\n")
                return
            getattr(self, f"on_{verb.lower()}", self.on_nonsense)(line)

    def on_ehlo(self, line):
        names = ["mail.example.org", *self.server.extensions]
        lines = [f"250-{name}\r\n" for name in names[:-1]] + [f"250 {names[-1]}\r\n"]
        self.answer("ehlo", "".join(lines).encode())

    def on_helo(self, line):
        self.answer("helo", b"250 mail.example.org\r\n")

    def on_starttls(self, line):
        if self.answer("starttls", b"220 go ahead\r\n"):
            self.start_tls()

    def on_auth(self, line):
        self.answer("auth", b"235 2.7.0 welcome\r\n")

    def on_mail(self, line):
        self.recipient = ""
        self.sender = line.partition(b"<")[2].partition(b">")[0].decode()
        self.answer("mail", b"250 2.1.0 ok\r\n")

    def on_rcpt(self, line):
        recipient = line.partition(b"<")[2].partition(b">")[0].decode()
        if self.answer("rcpt", b"250 2.1.5 ok\r\n", recipient):
            self.recipient = recipient

    def on_data(self, line):
        if not self.recipient and "data" not in self.server.replies:
            self.say(b"554 5.5.1 no valid recipients\r\n")
        elif self.answer("data", b"354 go on\r\n"):
            self.body()

    def on_nonsense(self, line):
        self.say(b"502 what?\r\n")

    def body(self):
        if self.orders("body") == "early":
            self.say(b"250 2.0.0 kept\r\n")
        if self.orders("body") == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        else:
            self.server.bodies.append(b"".join(lines))
            return
        self.dot(b"".join(lines))

    def dot(self, mime):
        self.server.before_dot_reply(self.recipient)
        if not self.recipient.startswith(("4", "5", "drop-dot", "reset-dot")):
            self.server.accepted.append((self.recipient, mime))
        self.answer("dot", b"250 2.0.0 kept\r\n")

    def orders(self, stage, recipient=""):
        """Return what the address says about this stage, if it does."""
        address = recipient or self.recipient or self.sender
        order, _, where = address.partition("@")[0].partition("-")
        return order if where == stage else ""

    def answer(self, stage, usual, recipient=""):
        """Answer as the address says. Return whether it was the usual answer."""
        if stage in self.server.replies:
            self.say(self.server.replies[stage])
            return False
        order = self.orders(stage, recipient)
        if not order:
            self.say(usual)
        elif order.isdecimal():
            self.say(order.encode() + self.refusals.get(order[0], b" 5.1.1 no\r\n"))
        else:
            return getattr(self, f"answer_{order}")(usual)
        return not order

    def answer_drop(self, usual):
        self.connection.shutdown(socket.SHUT_RDWR)

    def answer_reset(self, usual):
        self.connection.shutdown(socket.SHUT_WR)
        time.sleep(0.02)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.rfile.close()
        self.wfile.close()
        self.connection.close()

    def answer_silent(self, usual):
        self.rfile.read()  # Until the client hangs up.

    def answer_slow(self, usual):
        for byte in usual:
            self.say(bytes([byte]))
            time.sleep(BYTE_SECONDS)
        return True

    def answer_glued(self, usual):
        self.say(usual + usual)
        return True

    def answer_endless(self, usual):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            self.say(b"221-and another thing\r\n")
            time.sleep(0.01)

    def answer_garble(self, usual):
        self.say(b"\xff\xfe nonsense\r\n")

    def start_tls(self):
        self.request = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.setup()

    def finish(self):
        with suppress(OSError):
            super().finish()
        self.connection.close()  # Over TLS, it is another than the server's own.

    def say(self, reply):
        self.wfile.write(reply)
        self.wfile.flush()
