"""The mail server that letters are handed to: its address in EMAIL_URL, and how we get in."""

import smtplib
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.transports.base import ConnectFailed
from subscriptions.delivery.transports.smtp_connection import READ_BYTES, SmtpConnection
from subscriptions.delivery.transports.smtp_replies import Reply, ReplyParser, judge

CONNECT_SECONDS = 30
COMMAND_SECONDS = 120
CONNECTIONS, MOST_CONNECTIONS = 20, 500
QUOTING = (
    "What is no letter and no digit in user and password stands there as %23 for # does: "
    "smtp://user:password@host:port."
)
PORTS = {"none": 25, "starttls": 587, "implicit": 465}


@dataclass(frozen=True)
class SmtpServer:
    """Where letters are handed over. `tls` is none, starttls or implicit."""

    host: str
    port: int
    tls: str = "none"
    user: str = ""
    password: str = field(default="", repr=False)
    connections: int = CONNECTIONS


class SmtpTransport:
    """Letters go to a mail server, over as many connections as it may be offered."""

    def __init__(self, server: SmtpServer):
        self.server = server
        self.connections = server.connections

    @cached_property
    def _trusted(self) -> ssl.SSLContext | None:
        """Whose certificates we believe. Reading them takes longer than connecting does."""
        return None if self.server.tls == "none" else ssl.create_default_context()

    def connect(self) -> SmtpConnection:
        """Return a connection. Blocks, a few minutes at worst. Raises ConnectFailed."""
        return SmtpConnection(*connect(self.server, self._trusted))


def parse_server(url: str) -> SmtpServer:
    """Read smtp://user:password@host:port?tls=starttls&connections=20. Raises ImproperlyConfigured.

    smtps, and the ports 465 and 587, say which TLS is meant; `tls` overrules them.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"EMAIL_URL holds a port that is no number. {QUOTING}") from None
    if parts.fragment or parts.path.strip("/"):  # A # in a password ends what is read of it.
        raise ImproperlyConfigured(f"EMAIL_URL holds more than a host and a port. {QUOTING}")
    if not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL names no host: smtp://host:port.")
    options = parse_qs(parts.query)
    if unknown := options.keys() - {"tls", "connections"}:  # A misspelt `tls` would mean none.
        raise ImproperlyConfigured(
            f"EMAIL_URL knows tls and connections behind its ?, not {', '.join(sorted(unknown))}."
        )
    implied = "implicit" if parts.scheme == "smtps" or port == 465 else "none"
    if implied == "none" and port == 587:
        implied = "starttls"
    tls = options.get("tls", [implied])[0]
    if tls not in PORTS:
        raise ImproperlyConfigured(
            f"EMAIL_URL: tls must be none, starttls or implicit, not {tls!r}."
        )
    if tls == "none" and parts.password and not is_here(parts.hostname):
        raise ImproperlyConfigured(
            "EMAIL_URL: a password is never sent to another machine without TLS; "
            "add ?tls=starttls or ?tls=implicit."
        )
    said = options.get("connections", [str(CONNECTIONS)])[0]
    if not said.isdecimal() or not 1 <= int(said) <= MOST_CONNECTIONS:
        raise ImproperlyConfigured(
            f"EMAIL_URL: connections must be a number from 1 to {MOST_CONNECTIONS}, not {said!r}."
        )
    return SmtpServer(
        host=parts.hostname,
        port=port or PORTS[tls],
        tls=tls,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        connections=int(said),
    )


def is_here(host: str | None) -> bool:
    """Return whether a host is this machine, to which a password may go in the clear."""
    with suppress(ValueError):
        return ip_address(host or "").is_loopback
    return host == "localhost"


def connect(
    server: SmtpServer, trusted: ssl.SSLContext | None
) -> tuple[socket.socket, frozenset[str]]:
    """Return a connection that is ready for MAIL, and the extensions offered. Raises ConnectFailed.

    Where TLS is told, nothing but EHLO and STARTTLS is ever said in plain text.
    """
    kind = _TlsClient if server.tls == "implicit" else _Client
    client = kind(_our_name(), trusted)
    client._host = server.host  # smtplib checks the certificate by it, also after STARTTLS.
    try:
        client.enter(server)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        client.close()
        raise ConnectFailed(_kind(client.stage, error), _why(error)) from error
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # End of data must not wait.
    return client.sock, frozenset(client.esmtp_features)


def check(server: SmtpServer) -> ConnectFailed | None:
    """Return what keeps us from handing letters to this server; None where it greets us well."""
    try:
        SmtpTransport(server).connect().close()
    except ConnectFailed as failure:
        return failure
    return None


@cache
def _our_name():
    """What EHLO says. smtplib's own search asks DNS, which may take seconds, so it asks once."""
    return smtplib.SMTP().local_hostname


class _Staged:
    """What we change in smtplib's client: it knows its stage, and waits for no reply for ever."""

    stage = "connect"

    def enter(self, server):
        code, said = self.connect(server.host, server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        self._say_hello()
        if server.tls == "starttls":
            self.stage = "tls"
            self.starttls(context=self.trusted)  # Raises, should the server not offer or begin it.
            self._say_hello()
        if server.user:
            self.stage = "auth"
            self.login(server.user, server.password)

    def _say_hello(self):
        """EHLO, and HELO where that is unknown (RFC 5321, 3.2)."""
        self.stage = "hello"
        code, said = self.ehlo()
        if code >= 500:
            code, said = self.helo()
        if code != 250:
            raise smtplib.SMTPHeloError(code, said)

    def getreply(self):
        """Return the code and the text of one reply, within the time of its stage.

        smtplib's own waits anew for each byte. Whoever says more than was asked could have it
        taken for a later answer, or for one that came over TLS.
        """
        seconds = CONNECT_SECONDS if self.stage == "connect" else COMMAND_SECONDS
        replies = ReplyParser()
        deadline = time.monotonic() + seconds
        while (reply := replies.take()) is None:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self.sock.recv(READ_BYTES)
            if not data:
                raise smtplib.SMTPServerDisconnected("it hung up")
            replies.feed(data)
        if replies.has_more() or not reply.code:
            raise smtplib.SMTPException(f"it answered what makes no sense: {reply}")
        self.sock.settimeout(COMMAND_SECONDS)
        return reply.code, reply.text.encode()


class _Client(_Staged, smtplib.SMTP):
    def __init__(self, our_name, trusted):
        super().__init__(local_hostname=our_name, timeout=CONNECT_SECONDS)
        self.trusted = trusted


class _TlsClient(_Staged, smtplib.SMTP_SSL):
    def __init__(self, our_name, trusted):
        super().__init__(local_hostname=our_name, timeout=CONNECT_SECONDS, context=trusted)


def _kind(stage, error):
    """Return whether it is for the operator to mend (auth, tls) or for the server (unreachable)."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = Reply(error.smtp_code, "")
        if judge(stage, said)[1] == "us":
            return "auth"
        return "tls" if stage == "tls" and said.code >= 500 else "unreachable"
    if isinstance(error, ssl.SSLError):
        hung_up = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        return "unreachable" if hung_up else "tls"
    if isinstance(error, smtplib.SMTPNotSupportedError | UnicodeError):
        return stage if stage in ("auth", "tls") else "unreachable"
    return "unreachable"


def _why(error):
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return str(Reply(error.smtp_code, text))
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, UnicodeEncodeError):  # Its own words would tell the password.
        return "the user name or password holds a character that can't be sent"
    return f"{type(error).__name__}: {error}"
