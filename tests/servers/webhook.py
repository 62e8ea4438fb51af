"""A webhook on loopback, as a chat service has one."""

import json

from tests.servers.loopback import JsonConversation, LoopbackServer


class Hook(LoopbackServer):
    """A webhook that keeps what is posted, and answers with `status`."""

    status = 204

    def __init__(self):
        super().__init__(Conversation)
        self.posted, self.url = self.asked, f"{self.base}/"


class Conversation(JsonConversation):
    def do_POST(self):
        octets = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append(json.loads(octets)["text"])
        self.send(self.server.status, {}, b"")
