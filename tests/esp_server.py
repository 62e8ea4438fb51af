"""Mail providers' APIs on loopback, as their documentation has them, in one server.

What was sent is in `letters`, as each provider would have understood it. What `says` returns for
a request is answered in place of the usual: a status and a body, with headers if need be; "drop"
takes the letter and hangs up, "hang" takes it and is silent.
"""

import base64
import json
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

BASES = {
    "postmark": "",
    "mailgun": "/v3",
    "sendgrid": "/v3",
    "brevo": "/v3",
    "resend": "",
    "ses": "",
}
KEYS = {
    "postmark": "pm-key",
    "mailgun": "mg-key@mg.example.org",
    "sendgrid": "SG.key",
    "brevo": "xkeysib-key",
    "resend": "re_key",
    "ses": "AKID:se%2Fcret@eu-west-1",
}


@dataclass
class Sent:
    """A letter as the provider understood it. `raw` are its bytes, where it takes them."""

    to: str
    marks: dict
    key: str = ""
    raw: bytes = b""
    subject: str = ""
    text: str = ""
    html: str = ""
    sender: str = ""
    headers: dict = field(default_factory=dict)
    tracking: object = None


class EspServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.letters = []
        self.asked = 0
        self.ids = {}  # Resend's and Brevo's: key to (body, answer).
        self.says = lambda path: None
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, esp, **more):
        api = quote(f"http://127.0.0.1:{self.server_port}{BASES[esp]}", safe="")
        asked = "".join(f"&{name}={value}" for name, value in more.items())
        return f"{esp}://{KEYS[esp]}?api={api}{asked}"

    def close(self):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that hangs up is what some tests are about."""


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.server.asked += 1
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        said = self.server.says(self.path)
        if said in ("drop", "hang"):
            self.take()
            if said == "hang":
                self.server.released.wait(10)
            self.close_connection = True
        elif said is not None:
            self.answer(*said)
        else:
            self.answer(200, self.take())

    def answer(self, status, body, headers=None):
        told = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(told)

    def take(self):
        """Take the letter, and return what the provider answers."""
        ways = {
            "/email": self.postmark,
            "/v3/mg.example.org/messages.mime": self.mailgun,
            "/v3/mail/send": self.sendgrid,
            "/v3/smtp/email": self.brevo,
            "/emails": self.resend,
            "/v2/email/outbound-emails": self.ses,
        }
        sent, answer = ways[self.path]()
        if sent is not None:
            self.server.letters.append(sent)
        return answer

    def postmark(self):
        assert self.headers["X-Postmark-Server-Token"] == "pm-key"
        told = json.loads(self.body)
        headers = {one["Name"]: one["Value"] for one in told["Headers"]}
        sent = Sent(
            to=told["To"],
            marks=told["Metadata"],
            subject=told["Subject"],
            text=told["TextBody"],
            html=told["HtmlBody"],
            sender=told["From"],
            headers=headers,
            tracking=(told["TrackOpens"], told["TrackLinks"]),
        )
        answer = {"To": told["To"], "MessageID": str(uuid.uuid4()), "ErrorCode": 0, "Message": "OK"}
        return sent, answer

    def mailgun(self):
        assert self.headers["Authorization"] == "Basic " + base64.b64encode(b"api:mg-key").decode()
        head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        form = BytesParser(policy=policy.HTTP).parsebytes(head + self.body)
        told = {}
        for part in form.iter_parts():
            name = part.get_param("name", header="content-disposition")
            told[name] = self.body_of(name, form) if name == "message" else part.get_content()
        sent = Sent(
            to=told["to"],
            marks={name[2:]: told[name] for name in told if name.startswith("v:")},
            raw=told["message"],
            tracking=(told["o:tracking-opens"], told["o:tracking-clicks"]),
        )
        assert set(told) <= {"to", "message", *(name for name in told if name[:2] in ("o:", "v:"))}
        answer = {"id": f"<{uuid.uuid4()}@mg.example.org>", "message": "Queued. Thank you."}
        return sent, answer

    def body_of(self, name, form):
        """Return the file of a form, to the byte."""
        boundary = b"--" + form.get_boundary().encode()
        part = next(p for p in self.body.split(boundary) if b'name="%s"' % name.encode() in p)
        return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")

    def sendgrid(self):
        assert self.headers["Authorization"] == "Bearer SG.key"
        told = json.loads(self.body)
        (person,) = told["personalizations"]
        parts = {part["type"]: part["value"] for part in told["content"]}
        marks = {
            name: value
            for one in (told, person)
            for name, value in one.get("custom_args", {}).items()
            if name != "anymail_id"
        }
        sent = Sent(
            to=person["to"][0]["email"],
            marks=marks,
            subject=told["subject"],
            text=parts["text/plain"],
            html=parts["text/html"],
            sender=told["from"]["email"],
            headers=told["headers"],
            tracking=told["tracking_settings"],
        )
        return sent, ""

    def brevo(self):
        assert self.headers["api-key"] == "xkeysib-key"
        told = json.loads(self.body)
        headers = told["headers"]
        key = headers.pop("idempotencyKey")
        assert str(uuid.UUID(key)) == key
        answer = {"messageId": f"<{uuid.uuid4()}@smtp-relay.mailin.fr>"}
        sent = Sent(
            to=told["to"][0]["email"],
            marks=json.loads(headers.pop("X-Mailin-custom")),
            key=key,
            subject=told["subject"],
            text=told["textContent"],
            html=told["htmlContent"],
            sender=told["sender"]["email"],
            headers=headers,
        )
        return sent, answer

    def resend(self):
        assert self.headers["Authorization"] == "Bearer re_key"
        key, told = self.headers["Idempotency-Key"], json.loads(self.body)
        if key in self.server.ids:  # The same answer, and no other letter.
            return None, self.server.ids[key]
        self.server.ids[key] = {"id": str(uuid.uuid4())}
        headers = told["headers"]
        sent = Sent(
            to=told["to"][0],
            marks=json.loads(headers.pop("X-Metadata")),
            key=key,
            subject=told["subject"],
            text=told["text"],
            html=told["html"],
            sender=told["from"],
            headers=headers,
        )
        return sent, self.server.ids[key]

    def ses(self):
        assert "AKID/" in self.headers["Authorization"]
        told = json.loads(self.body)
        raw = base64.b64decode(told["Content"]["Raw"]["Data"])
        marks = json.loads(message_from_bytes(raw)["X-Metadata"])
        (to,) = told["Destination"]["ToAddresses"]
        return Sent(to=to, marks=marks, raw=raw), {"MessageId": str(uuid.uuid4())}
