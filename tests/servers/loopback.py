"""Servers on loopback that speak as those do from which papers come, and answer as configured.

What is in `answers` is sent first, an answer a request; `today` is the day that the server has.
"""

import json
import socketserver
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit

from tests.helpers.data_files import repeated

USUAL = None  # An answer that is nothing special.
DOWN = (500, {}, b"")


def says(answer):
    """Return an answer with this for its JSON, or these bytes."""
    return 200, {}, answer if isinstance(answer, bytes) else json.dumps(answer).encode()


def recorded(answer):
    """Return an answer of a table, whose body is a text or the pieces of one."""
    status, headers, body = answer
    return status, headers, repeated(body if isinstance(body, list) else [[body, 1]])


def web_page():
    """Return a page for people, as it comes when something in front of the service fails."""
    body = b"<!DOCTYPE html>\n<html><head><title>Just a moment</title></head><body></body></html>"
    return 200, {"Content-Type": "text/html; charset=UTF-8"}, body


class LoopbackServer(socketserver.ThreadingTCPServer):
    """A server on a free port, which runs from the beginning until it is closed."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 32
    poll_seconds = 0.02

    def __init__(self, conversation, today=None, port=0):
        super().__init__(("127.0.0.1", port), conversation)
        self.today = today
        self.answers = deque()
        self.asked = []
        threading.Thread(target=self.serve_forever, args=(self.poll_seconds,), daemon=True).start()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_answer(self):
        """Return what is to be sent instead of the usual, if anything."""
        return self.answers.popleft() if self.answers else USUAL

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.shutdown()
        self.server_close()


class JsonConversation(BaseHTTPRequestHandler):
    """A conversation with a server that answers with JSON."""

    def send(self, status, headers, body):
        self.send_response(status)
        kind = {"Content-Type": "application/json; charset=utf-8"}
        for name, value in (kind | {"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def note(self):
        """Add path, parameters and headers (names in lower case) to `asked`. Return them."""
        place = urlsplit(self.path)
        parameters = dict(parse_qsl(place.query))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((place.path, parameters, headers))
        return place.path, parameters, headers

    def log_message(self, format, *args):
        """Quiet: `asked` tells what was asked for."""
