"""The mail server of EMAIL_URL: parsing the URL, connecting, TLS and authentication."""

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
from subscriptions.delivery.transports.smtp_replies import Reply, ReplyParser, classify_reply

CONNECT_SECONDS = 30
COMMAND_SECONDS = 120
DEFAULT_CONNECTIONS, MAX_CONNECTIONS = 20, 500
QUOTING = (
    "Write it like smtp://user:password@host:port, and percent-encode special characters in "
    "user and password: # is %23."
)
PORTS = {"none": 25, "starttls": 587, "implicit": 465}


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

    def connect(self) -> SmtpConnection:
        """Return a connection. Blocks, for a few minutes at worst. Raises ConnectFailed."""
        return SmtpConnection(*connect(self.server, self._tls_context))


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


def connect(
    server: SmtpServer, tls_context: ssl.SSLContext | None
) -> tuple[socket.socket, frozenset[str]]:
    """Return a connection that is ready for MAIL, and the extensions offered. Raises ConnectFailed.

    With TLS, nothing but EHLO and STARTTLS is ever sent in plain text.
    """
    options = {"local_hostname": _ehlo_name(), "timeout": CONNECT_SECONDS}
    if server.tls == "implicit":
        client = _TlsClient(context=tls_context, **options)
    else:
        client = _Client(**options)
    client._host = server.host  # smtplib checks the certificate by it, also after STARTTLS.
    try:
        client.open_session(server, tls_context)
    except (OSError, smtplib.SMTPException, UnicodeError) as error:
        client.close()
        raise _failure(client.stage, error) from error
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # End of data must not wait.
    return client.sock, frozenset(client.esmtp_features)


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


class _Session:
    """Changes to smtplib's client: it has a stage, and a deadline for each reply."""

    stage = "connect"

    def open_session(self, server, tls_context):
        code, text = self.connect(server.host, server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        self._greet()
        if server.tls == "starttls":
            self.stage = "tls"
            self.starttls(context=tls_context)  # Raises if the server does not offer it or fails.
            self._greet()
        if server.user:
            self.stage = "auth"
            self.login(server.user, server.password)

    def _greet(self):
        """Send EHLO, or HELO if the server does not know EHLO (RFC 5321, 3.2)."""
        self.stage = "hello"
        code, text = self.ehlo()
        if code >= 500:
            code, text = self.helo()
        if code != 250:
            raise smtplib.SMTPHeloError(code, text)

    def getreply(self):
        """Return the code and the text of one reply, within the time limit of the stage.

        smtplib's own waits anew for each byte. It would also take unsolicited data for a later
        reply, or for one that came over TLS.
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


class _Client(_Session, smtplib.SMTP):
    pass


class _TlsClient(_Session, smtplib.SMTP_SSL):
    pass


def _failure(stage, error) -> ConnectFailed:
    """Return the failure. The operator must correct the kinds "auth" and "tls"."""
    kind, text = "unreachable", f"{type(error).__name__}: {error}"
    match error:
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=reply):
            if classify_reply(stage, Reply(code, ""))[1] == "us":
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
