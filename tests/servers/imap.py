"""An IMAP server on loopback with one account: as much of RFC 3501 as reading a folder takes.

`folders` holds each folder's messages by their UIDs, `deleted` those of the INBOX that are marked.
`account` is who is let in; by AUTHENTICATE PLAIN (RFC 4616) where it `offers_plain`.
"""

import re
import socketserver
from base64 import b64decode

from tests.servers.loopback import LoopbackServer

USER, PASSWORD = "bounces@example.org", 'pa"ss\\word'
LINE = re.compile(rb'"(?:[^"\\]|\\.)*"|\([^)]*\)|\S+')


class ImapServer(LoopbackServer):
    def __init__(self):
        super().__init__(Session)
        self.folders = {"INBOX": {}}
        self.deleted = set()
        self.may_create = True
        self.account = USER, PASSWORD
        self.offers_plain = False

    @property
    def port(self):
        return self.server_address[1]


class Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        self.say(b"* OK ready")
        for line in self.rfile:
            tag, verb, *words = LINE.findall(line)
            if verb.upper() == b"UID":
                verb, *words = words
            answer = getattr(self, f"on_{verb.decode().lower()}", None)
            said = answer(*words) if answer else b"OK"
            self.say(tag + b" " + (said or b"OK done"))

    def say(self, line):
        self.wfile.write(line + b"\r\n")

    def on_capability(self):
        self.say(b"* CAPABILITY IMAP4rev1" + b" AUTH=PLAIN" * self.server.offers_plain)

    def on_login(self, user, password):
        credentials = password.strip(b'"').replace(b'\\"', b'"').replace(b"\\\\", b"\\").decode()
        if (user.strip(b'"').decode(), credentials) != self.server.account:
            return b"NO no such user as " + user + b" with " + password

    def on_authenticate(self, mechanism):
        self.say(b"+ ")
        _, *credentials = b64decode(self.rfile.readline()).decode().split("\0")
        if mechanism != b"PLAIN" or tuple(credentials) != self.server.account:
            return b"NO not so"

    def on_select(self, folder):
        if folder.strip(b'"').decode() not in self.server.folders:
            return b"NO no such folder"
        self.say(b"* %d EXISTS" % len(self.server.folders["INBOX"]))

    def on_search(self, *words):
        left = self.server.folders["INBOX"].keys() - self.server.deleted
        self.say(b"* SEARCH " + b" ".join(b"%d" % uid for uid in sorted(left)))

    def on_fetch(self, uid, what):
        octets = int(re.search(rb"<0\.(\d+)>", what)[1])
        mime = self.server.folders["INBOX"][int(uid)][:octets]
        self.say(b"* 1 FETCH (UID %s BODY[]<0> {%d}" % (uid, len(mime)))
        self.wfile.write(mime)
        self.say(b")")

    def on_store(self, uid, *words):
        self.server.deleted.add(int(uid))

    def on_create(self, folder):
        name = folder.strip(b'"').decode()
        if not self.server.may_create or name in self.server.folders:
            return b"NO it can't be made"
        self.server.folders[name] = {}

    def on_copy(self, uid, folder):
        name = folder.strip(b'"').decode()
        if name not in self.server.folders:
            return b"NO [TRYCREATE] no such folder"
        self.server.folders[name][int(uid)] = self.server.folders["INBOX"][int(uid)]

    def on_expunge(self):
        for uid in self.server.deleted:
            self.server.folders["INBOX"].pop(uid, None)
        self.server.deleted = set()
