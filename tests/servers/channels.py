"""A server on loopback to which channels' messages are posted, and which answers as it is told.

`answers` holds (status, headers, body), or a function of the conversation, which reads the message
by `read` or does not.
"""

import json
import socket
import time

from tests.servers.loopback import JsonConversation, LoopbackServer

HUGE = 10_000_000


class ChannelServer(LoopbackServer):
    def __init__(self, port=0):
        super().__init__(Conversation, port=port)
        self.secret = f"{self.base}/hooks/T0KEN-of-this-room"

    @property
    def posted(self):
        return [message for _, message in self.asked]


class Conversation(JsonConversation):
    def do_POST(self):
        answer = self.server.next_answer() or (200, {}, b"ok")
        if callable(answer):
            return answer(self)
        self.read()
        self.send(*answer)

    def read(self):
        octets = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, json.loads(octets)))


def cut_before_reading(talk):
    talk.connection.shutdown(socket.SHUT_RDWR)


def cut_after_reading(talk):
    talk.read()
    talk.connection.shutdown(socket.SHUT_RDWR)


def silent(talk):
    talk.read()
    time.sleep(2)


def drip(talk):
    """Send the head of an answer, a letter at a time."""
    talk.read()
    for letter in b"HTTP/1.1 200 OK\r\n" * 20:
        talk.wfile.write(bytes([letter]))
        time.sleep(0.05)


def huge(talk):
    talk.read()
    talk.send(200, {"Content-Length": str(HUGE)}, b"")
    for _ in range(HUGE // 100_000):
        talk.wfile.write(b"x" * 100_000)
