"""A web server on loopback that misbehaves as the path says.

The path is a list of orders, one for each time that it is asked, the last for all times after:
`/429,200` is busy once and then answers. An order is the name of a function below, a status, or a
status with the pause to ask for, as in `429+12`. What was asked is in `asked`, as (path,
headers with names in lower case); when connections were open, in `open_at`.
"""

import gzip
import socket
import socketserver
import threading
import time
from contextlib import suppress
from urllib.parse import unquote

from tests.servers.loopback import LoopbackServer

BODY = b"<rss>papers</rss>"
MEMBERS = gzip.compress(b"<rss>") + gzip.compress(b"</rss>")
ZEROS = bytes(1_000_000)
#: Answers of status 200, as arguments of `Conversation.answer`.
ANSWERS = {
    "odd_etag": {"etag": '"é"'},
    "until_close": {"length": "", "etag": '"one"'},
    "gzip": {"body": gzip.compress(BODY), "content_encoding": "gzip"},
    "gzip_members": {"body": MEMBERS, "content_encoding": "gzip"},
    "gzip_broken": {"body": gzip.compress(BODY)[:-9], "content_encoding": "gzip"},
    "gzip_garbage": {"body": BODY, "content_encoding": "gzip"},
    "brotli": {"content_encoding": "br"},
    "html": {"body": b"<html><body>Maintenance", "content_type": "text/html; charset=utf-8"},
    "html_as_xml": {"body": b"\n<!-- hi --> <!DOCTYPE HTML>\n<title>Log in</title>"},
    "cut_body": {"body": b"<rss>pa", "length": 1000},
    "cut_chunks": {"body": b"5\r\n<rss>\r\n", "length": "", "transfer_encoding": "chunked"},
}


class HostileServer(LoopbackServer):
    def __init__(self):
        super().__init__(Conversation)
        self.sent = 0  # Bytes of bodies without an end.
        self.open_at = []  # (from, until) of each connection, on the monotonic clock.
        self.is_closing = threading.Event()

    @property
    def host(self):
        return self.base.removeprefix("http://")

    def paths(self):
        return [path for path, headers in self.asked]

    def close(self):
        self.is_closing.set()
        super().close()


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        begun = time.monotonic()
        raw_path = self.rfile.readline().decode("latin-1").split(" ")[1]
        path = unquote(raw_path)
        self.headers = dict(self.header_lines())
        times = self.server.paths().count(path)
        self.server.asked.append((path, self.headers))
        orders = raw_path.lstrip("/").split("?")[0].split(",")
        order, _, detail = orders[min(times, len(orders) - 1)].partition("+")
        self.detail = unquote(detail)
        with suppress(ConnectionError):
            order = order.replace("-", "_")
            if order in ANSWERS:
                self.answer(200, **ANSWERS[order])
            else:
                getattr(self, order, self.status)(order)
            self.connection.shutdown(socket.SHUT_WR)
        self.rfile.read()  # Until the client hangs up.
        self.server.open_at.append((begun, time.monotonic()))

    def header_lines(self):
        for line in iter(self.rfile.readline, b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            yield name.lower(), value.strip()

    def answer(self, status, body=BODY, length=None, **headers):
        headers = {"content_type": "application/xml", **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if length != "":
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        head = "\r\n".join([f"HTTP/1.1 {status} So", *lines, "", ""])
        self.wfile.write(head.encode("latin-1") + body)

    def status(self, order):
        self.answer(order, **({"retry_after": self.detail} if self.detail else {}))

    def ratelimit(self, _):
        self.answer(429, ratelimit=f'"api";r=0;t={self.detail}', ratelimit_policy='"api";q=500')

    def etag(self, _):
        if self.headers.get("if-none-match") == '"one"':
            self.answer(304, b"", etag='"one"')
        else:
            self.answer(200, etag='"one"', link="<a>; rel=x\r\nLink: <b>; rel=y")

    def modified(self, _):
        day = "Tue, 03 Jun 2025 00:00:00 GMT"
        same = self.headers.get("if-modified-since") == day
        self.answer(304 if same else 200, b"" if same else BODY, last_modified=day)

    def gzip_bomb(self, _):
        """Each piece of 20 kB holds 20 MB, and there is always one more."""
        self.answer(200, b"", "", content_encoding="gzip")
        bomb = gzip.compress(20 * ZEROS)
        self.endlessly(lambda: bomb)

    def one_gigabyte(self, _):
        self.answer(200, b"", 1_000_000_000)
        self.endlessly(lambda: ZEROS, pause=0.02)

    def endless(self, _):
        self.answer(200, b"", "")
        self.endlessly(lambda: ZEROS)

    def slow(self, _):
        self.answer(200, b"", 1_000)
        self.endlessly(lambda: b"x", pause=0.02)

    def slow_head(self, _):
        self.wfile.write(b"HTTP/1.1 200 So\r\nX-Slow: ")
        self.endlessly(lambda: b"x", pause=0.02)

    def silent(self, _):
        self.server.is_closing.wait(5)

    def endless_head(self, _):
        self.wfile.write(b"HTTP/1.1 200 So\r\nX-Long: ")
        self.endlessly(lambda: b"x" * 10_000)

    def go(self, _):
        """Redirect to what follows the plus sign."""
        self.answer(302, b"", location=self.detail)

    def loop(self, _):
        self.answer(301, b"", location="/loop")

    def cut(self, _):
        self.connection.shutdown(socket.SHUT_RDWR)

    def garbage(self, _):
        self.wfile.write(b"\xff\xfe nonsense\r\n\r\n")

    def endlessly(self, piece, pause=0.0):
        while not self.server.is_closing.wait(pause):
            data = piece()
            self.wfile.write(data)
            self.server.sent += len(data)
