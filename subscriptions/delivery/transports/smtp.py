"""The mail server of EMAIL_URL: parsing the URL, and a client that hands over messages.

Success is the reply to end of data and nothing else (RFC 5321, 4.1.1.4): neither the reply to QUIT
nor a closed connection can unsend a message. Before end of data is sent, any failure is harmless,
and the message can be sent again. After it, no reply means that the outcome is unknown.
"""

import re
import smtplib
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from ipaddress import ip_address
from typing import Never
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.transports.base import ConnectFailed, DeliveryResult, Message
from subscriptions.delivery.transports.smtp_replies import (
    EXPECTED_CODES,
    NOT_AUTHENTICATED,
    Reply,
    classify_reply,
    take_reply,
)

#: How long to wait for each reply (RFC 5321, 4.5.3.2), and for the server to take the body.
SECONDS = {"connect": 30, "hello": 120, "tls": 120, "auth": 120}
SECONDS |= {"mail": 300, "rcpt": 300, "data": 120, "body": 180, "dot": 600}
MAX_IDLE_SECONDS = 60  # Servers close idle connections, and some firewalls drop them silently.
READ_BYTES = 16_384
END_OF_DATA = b".\r\n"
DEFAULT_CONNECTIONS, MAX_CONNECTIONS = 20, 500
QUOTING = (
    "Write it like smtp://user:password@host:port, and percent-encode special characters in "
    "user and password: # is %23."
)
PORTS = {"none": 25, "starttls": 587, "implicit": 465}
_SMTP_ADDRESS = re.compile(r"[!-;=?-~]+")  # Without SMTPUTF8: printable ASCII, no space or bracket.


@dataclass(frozen=True)
class SmtpServer:
    """The settings in EMAIL_URL. `tls` is none, starttls or implicit."""

    host: str
    port: int
    tls: str = "none"
    user: str = ""
    password: str = field(default="", repr=False)
    connections: int = DEFAULT_CONNECTIONS


class SmtpTransport:
    """Hands letters to a mail server."""

    def __init__(self, server: SmtpServer):
        self.server = server
        self.connections = server.connections

    @cached_property
    def _tls_context(self) -> ssl.SSLContext | None:
        """The trusted certificates. Cached: loading them takes longer than connecting."""
        return None if self.server.tls == "none" else ssl.create_default_context()

    def connect(self) -> "Client":
        """Return a connection. Blocks, for a few minutes at worst. Raises ConnectFailed."""
        client = Client(self.server, self._tls_context)
        client.open()
        return client


def parse_server(url: str) -> SmtpServer:
    """Read smtp://user:password@host:port?tls=starttls&connections=20. Raises ImproperlyConfigured.

    smtps, and the ports 465 and 587, imply the kind of TLS; `tls` overrides them.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"EMAIL_URL has no valid port. {QUOTING}") from None
    if parts.fragment or parts.path.strip("/"):  # As after an unescaped # in a password.
        raise ImproperlyConfigured(f"EMAIL_URL has something after host and port. {QUOTING}")
    if not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL has no host: write it like smtp://host:port.")
    options = parse_qs(parts.query)
    if unknown := options.keys() - {"tls", "connections"}:  # A misspelt `tls` would mean none.
        names = ", ".join(sorted(unknown))
        raise ImproperlyConfigured(f"EMAIL_URL takes the options tls and connections, not {names}.")
    default_tls = {465: "implicit", 587: "starttls"}.get(port, "none")
    default_tls = "implicit" if parts.scheme == "smtps" else default_tls
    tls = options.get("tls", [default_tls])[0]
    if tls not in PORTS:
        raise ImproperlyConfigured(
            f"EMAIL_URL: tls must be none, starttls or implicit, not {tls!r}."
        )
    if tls == "none" and parts.password and not is_local_host(parts.hostname):
        raise ImproperlyConfigured(
            "EMAIL_URL: a password is never sent to another machine without TLS; "
            "add ?tls=starttls or ?tls=implicit."
        )
    number = options.get("connections", [str(DEFAULT_CONNECTIONS)])[0]
    if not number.isdecimal() or not 1 <= int(number) <= MAX_CONNECTIONS:
        raise ImproperlyConfigured(
            f"EMAIL_URL: connections must be a number from 1 to {MAX_CONNECTIONS}, not {number!r}."
        )
    return SmtpServer(
        host=parts.hostname,
        port=port or PORTS[tls],
        tls=tls,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        connections=int(number),
    )


def is_local_host(host: str | None) -> bool:
    """Return whether a host is this machine, where a password may be sent without TLS."""
    with suppress(ValueError):
        return ip_address(host or "").is_loopback
    return host == "localhost"


def check(server: SmtpServer) -> ConnectFailed | None:
    """Return why no connection to this server can be opened, or None if one can."""
    try:
        SmtpTransport(server).connect().close()
    except ConnectFailed as failure:
        return failure
    return None


@cache
def _ehlo_name():
    """Return the name for EHLO. Cached: smtplib asks DNS for it, which may take seconds."""
    return smtplib.SMTP().local_hostname


class Client(smtplib.SMTP):
    """A connection (transports.base.Connection), closed after a message that was not accepted.

    `stage` is the step whose reply is awaited, "" between two messages. With TLS, nothing but EHLO
    and STARTTLS is ever sent in plain text.
    """

    def __init__(self, server: SmtpServer, tls_context: ssl.SSLContext | None):
        super().__init__(local_hostname=_ehlo_name(), timeout=SECONDS["connect"])
        self.server = server
        self.stage = "connect"
        self._tls_context = tls_context
        self._host = server.host  # smtplib checks the certificate by it, also after STARTTLS.
        self._received = b""
        self._is_used = False

    # ---- Opening

    def open(self) -> None:
        """Connect, and log in. Raises ConnectFailed."""
        try:
            self._open()
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            self.close()
            raise _failure(self.stage, error) from error
        self._become_idle()

    def _open(self):
        code, text = self.connect(self.server.host, self.server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        self._greet()
        if self.server.tls == "starttls":
            self.stage = "tls"
            self.starttls(context=self._tls_context)  # Raises if it is not offered, or fails.
            self._greet()
        if self.server.user:
            self.stage = "auth"
            self.login(self.server.user, self.server.password)
        # End of data must not wait.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _get_socket(self, host, port, timeout):
        sock = super()._get_socket(host, port, timeout)
        if self.server.tls == "implicit":
            sock = self._tls_context.wrap_socket(sock, server_hostname=host)
        return sock

    def _greet(self):
        """Send EHLO, or HELO if the server does not know EHLO (RFC 5321, 3.2)."""
        self.stage = "hello"
        code, text = self.ehlo()
        if code >= 500:
            code, text = self.helo()
        if code != 250:
            raise smtplib.SMTPHeloError(code, text)

    # ---- Handing over

    def is_usable(self) -> bool:
        """Return whether it is open, was not idle for long, and has no unsolicited reply."""
        if self.sock is None:
            return False
        is_stale = time.monotonic() - self._idle_since > MAX_IDLE_SECONDS
        if is_stale or self._has_input():
            self.close()
        return self.sock is not None

    def offer(self, message: Message) -> DeliveryResult | None:
        """Send all of a message but end of data."""
        if not _SMTP_ADDRESS.fullmatch(message.sender):
            reply = "the sender is no address that SMTP can carry"
            return DeliveryResult("deferred", "mail", reply, "us")
        if not _SMTP_ADDRESS.fullmatch(message.recipient):
            reply = "the recipient is no address that SMTP can carry"
            return DeliveryResult("refused", "rcpt", reply)
        size = f" SIZE={len(message.mime)}" if self.has_extn("size") else ""
        try:
            self._command("mail", f"MAIL FROM:<{message.sender}>{size}\r\n".encode("ascii"))
            self._command("rcpt", f"RCPT TO:<{message.recipient}>\r\n".encode("ascii"))
            self._command("data", b"DATA\r\n")
            self.stage = "body"
            self._send(_dot_stuffed(message.mime))
        except (OSError, smtplib.SMTPException) as error:
            return self._result_after(error)
        return None

    def finish(self) -> DeliveryResult:
        """Send end of data. Its reply is the outcome."""
        try:
            if self._has_input():
                reply, _ = take_reply(self._received)
                self._raise_unexpected(reply or Reply(0, "the mail server ended the session"))
            reply = self._command("dot", END_OF_DATA)
        except (OSError, smtplib.SMTPException) as error:
            return self._result_after(error)
        self._become_idle()
        self._is_used = True
        return DeliveryResult("accepted", "dot", str(reply))

    def _become_idle(self):
        self.stage, self._idle_since = "", time.monotonic()

    def close(self) -> None:
        """Send QUIT between messages, and do not wait for the reply.

        The reply changes nothing (compare Postfix's smtp_skip_quit_response), and some servers are
        slow to send it or never do.
        """
        if self.sock is not None and not self.stage:
            self._quit()
        super().close()

    # ---- Sending and reading

    def _command(self, stage, line) -> Reply:
        """Send a line, and return the reply if it lets the session go on."""
        self.stage = stage
        self._send(line)
        reply = self._read_reply()
        if reply.code not in EXPECTED_CODES[stage]:
            self._raise_unexpected(reply)
        return reply

    def _send(self, data):
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection was closed")
        self.sock.settimeout(SECONDS[self.stage])
        try:
            self.sock.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            self._raise_unexpected(self._read_reply())  # It may have said why it hung up.

    def getreply(self):
        """Return the code and the text of one reply. Called by smtplib."""
        reply = self._read_reply()
        return reply.code, reply.text.encode()

    def _read_reply(self) -> Reply:
        """Return one reply, within the time limit of the stage.

        smtplib's own waits anew for each byte. It would also take unsolicited data for a later
        reply, or for one that came over TLS.
        """
        deadline = time.monotonic() + SECONDS[self.stage]
        reply, rest = take_reply(self._received)
        while reply is None:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self.sock.recv(READ_BYTES)
            if not data:
                raise smtplib.SMTPServerDisconnected("the mail server hung up")
            self._received += data
            reply, rest = take_reply(self._received)
        self._received = rest
        if not reply.code or (rest and self.stage != "dot"):
            raise smtplib.SMTPException(f"it answered what makes no sense: {reply}")
        return reply

    def _has_input(self) -> bool:
        """Return whether the server has sent something, or hung up, without being asked."""
        self.sock.settimeout(0)
        try:
            self._received += self.sock.recv(READ_BYTES)
            return True
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return bool(self._received)
        except OSError:
            return True

    def _raise_unexpected(self, reply) -> Never:
        raise smtplib.SMTPResponseException(reply.code, reply)

    def _result_after(self, error) -> DeliveryResult:
        """Close, and return the result of an error at this stage."""
        stage = self.stage
        # No reply to a command since the previous message: the server may just have been idle.
        is_silent_reuse = stage == "mail" and (self._is_used or self.sock is None)
        status, scope = "unknown" if stage == "dot" else "deferred", ""
        match error:
            case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
                status, scope = classify_reply(stage, reply)
                if code == 421 and (is_silent_reuse or (self._is_used and scope == "us")):
                    scope = "connection"  # A new connection shows whether it is the server.
                if code >= 400 and stage != "body":  # It expects a command.
                    self._quit()
                text = str(reply)
            case TimeoutError():
                text = "the mail server did not answer in time"
            case _:
                scope = "connection" if is_silent_reuse else ""
                is_ours = isinstance(error, smtplib.SMTPException)
                text = str(error) if is_ours else f"{type(error).__name__}: {error}"
        super().close()
        trouble = "unreachable" if text.startswith("4") else "auth"
        return DeliveryResult(status, stage, text, scope, trouble)

    def _quit(self):
        with suppress(OSError):
            self.sock.settimeout(0)
            self.sock.send(b"QUIT\r\n")


def _dot_stuffed(mime):
    """Return the body for DATA, without end of data (RFC 5321, 4.5.2).

    A dot is doubled after a bare LF too, since some servers take that for the end of a line.
    """
    body = mime.replace(b"\n.", b"\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _failure(stage, error) -> ConnectFailed:
    """Return the failure. The operator must correct the kinds "auth" and "tls"."""
    kind, text = "unreachable", f"{type(error).__name__}: {error}"
    match error:
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            if code in NOT_AUTHENTICATED or (stage == "auth" and code >= 500):
                kind = "auth"
            elif stage == "tls" and code >= 500:
                kind = "tls"
            text = str(Reply(code, reply.decode("utf-8", "replace")))
        case socket.gaierror():
            text = f"DNS: {error.strerror}"
        case TimeoutError():
            text = "the mail server did not answer in time"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            pass  # It hung up.
        case ssl.SSLError():
            kind = "tls"
        case smtplib.SMTPNotSupportedError() | UnicodeError() if stage in ("auth", "tls"):
            kind = stage
    if isinstance(error, UnicodeEncodeError):  # Its message contains the password.
        text = "the user name or password holds a character that can't be sent"
    return ConnectFailed(kind, text)
