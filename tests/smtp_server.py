"""A mail server on loopback that does what the recipient's address says.

`450-rcpt@example.org` is answered 450 at RCPT, `drop-dot@…` is hung up on after the final dot,
`garble-quit@…` gets nonsense for QUIT, `silent-quit@…` nothing and `endless-quit@…` line after
line; any other address is served well. What `replies` holds for a stage is said to everybody. What
it took on responsibility for is in `accepted`; what it saw up to the dot, in `bodies`.
"""

import socket
import socketserver
import threading
import time

GREETING = b"220 mail.example.org ready\r\n"
EHLO = b"250-mail.example.org\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"


class MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Conversation)
        self.accepted = []  # (recipient, bytes)
        self.bodies = []
        self.at_connect = GREETING
        self.replies = {}  # {stage: bytes}
        self.before_dot_reply = lambda recipient: None
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self):
        return f"smtp://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        self.recipient = ""
        self.say(self.server.at_connect)
        for line in self.rfile:
            verb = line[:4].strip().upper().decode("ascii", "replace")
            if verb == "EHLO":
                self.say(EHLO)
            elif verb == "MAIL":
                self.sender = line
                self.answer("mail", b"250 2.1.0 ok\r\n")
            elif verb == "RCPT":
                self.recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                self.answer("rcpt", b"250 2.1.5 ok\r\n")
            elif verb == "DATA":
                if self.answer("data", b"354 go on\r\n"):
                    self.body()
            elif verb == "QUIT":
                self.answer("quit", b"221 bye\r\n")
                return
            else:
                self.say(b"502 what?\r\n")

    def body(self):
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line[1:] if line.startswith(b".") else line)
        else:
            self.server.bodies.append(b"".join(lines))
            return
        mime = b"".join(lines)
        self.server.before_dot_reply(self.recipient)
        if not self.recipient.startswith(("4", "5", "drop-dot")):
            self.server.accepted.append((self.recipient, mime))
        self.answer("dot", b"250 2.0.0 kept\r\n")

    def answer(self, stage, usual):
        """Answer as the recipient's address says. Return whether it was the usual answer."""
        if stage in self.server.replies:
            self.say(self.server.replies[stage])
            return False
        order, _, where = self.recipient.partition("@")[0].partition("-")
        if where != stage:
            self.say(usual)
            return True
        if order == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif order == "silent":
            self.rfile.read(1)  # Until the client hangs up.
        elif order == "endless":
            until = time.monotonic() + 3
            while time.monotonic() < until:
                self.say(b"221-and another thing\r\n")
                time.sleep(0.01)
        elif order == "garble":
            self.say(b"\xff\xfe nonsense\r\n")
        else:
            self.say(order.encode() + b" 5.1.1 no\r\n")
        return False

    def say(self, reply):
        self.wfile.write(reply)
        self.wfile.flush()
