"""The SMTP conversation for one letter, by stages, with a fence before the final dot.

Success is the reply to the final dot and nothing else (RFC 5321, 4.1.1.4): what the server says
to QUIT, or that it hangs up, cannot unsend a letter. Until the dot is sent, every failure is
harmless and may be tried again; after it, silence means that nobody knows.
"""

import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

CONNECT_SECONDS = 30
COMMAND_SECONDS = 120
DOT_SECONDS = 600  # RFC 5321, 4.5.3.2.6: servers may take ten minutes to take responsibility.
QUIT_SECONDS = 2

#: What is said to a client that has not proven who it is, or not over TLS (RFC 4954, RFC 3207).
UNPROVEN = {530, 534, 535, 538}


@dataclass(frozen=True)
class SmtpServer:
    """Where letters are handed over. `tls` is none, starttls or implicit."""

    host: str
    port: int
    tls: str = "none"
    user: str = ""
    password: str = field(default="", repr=False)


def converse(
    server: SmtpServer, sender: str, recipient: str, mime: bytes, fence: Callable[[], None]
) -> tuple[str, str, str]:
    """Hand one letter over. Return the answer (accepted, deferred, refused, unknown), stage, reply.

    What `fence` raises goes through, after the connection is closed without the dot.
    """
    try:
        client = _connect(server)
    except (OSError, smtplib.SMTPException) as error:
        return "deferred", "connect", _why(error)
    try:
        ended = _up_to_the_dot(client, server, sender, recipient, mime)
        if ended is not None:
            return ended
        fence()
        return _send_dot(client)
    finally:
        client.close()  # At once: the server must discard what had no final dot.


def _connect(server):
    if server.tls == "implicit":
        client = smtplib.SMTP_SSL(timeout=CONNECT_SECONDS, context=ssl.create_default_context())
    else:
        client = smtplib.SMTP(timeout=CONNECT_SECONDS)
    # smtplib checks the certificate against this name, also after STARTTLS.
    client._host = server.host
    try:
        code, reply = client.connect(server.host, server.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, reply)
        client.sock.settimeout(COMMAND_SECONDS)
    except BaseException:
        client.close()
        raise
    return client


def _up_to_the_dot(client, server, sender, recipient, mime):
    """Say all but the final dot. Return how it ended, or None where the server waits for it."""
    stage = "hello"
    try:
        _greet(client, server)
        for stage, command, wanted in (
            ("mail", lambda: client.mail(sender), (250,)),
            ("rcpt", lambda: client.rcpt(recipient), (250, 251, 252)),
            ("data", lambda: client.docmd("DATA"), (354,)),
        ):
            code, reply = command()
            if code not in wanted:
                _quit(client)
                return _classify(stage, code), stage, _said(code, reply)
        stage = "body"
        client.send(_dot_stuffed(mime))
    except (OSError, smtplib.SMTPException) as error:
        return "deferred", stage, _why(error)
    return None


def _greet(client, server):
    client.ehlo_or_helo_if_needed()
    if server.tls == "starttls":
        client.starttls(context=ssl.create_default_context())
        client.ehlo_or_helo_if_needed()
    if server.user:
        client.login(server.user, server.password)


def _send_dot(client):
    try:
        client.sock.settimeout(DOT_SECONDS)
        client.send(b".\r\n")
        code, reply = client.getreply()
    except (OSError, smtplib.SMTPException) as error:
        return "unknown", "dot", _why(error)
    _quit(client)
    if code == 250:
        return "accepted", "dot", _said(code, reply)
    if 400 <= code < 600:
        return _classify("dot", code), "dot", _said(code, reply)
    return "unknown", "dot", _said(code, reply)


def _classify(stage, code):
    """5yz is for ever, all else may pass: a server that talks nonsense is a broken server.

    So may a 5yz that is about us and not about the letter, once our configuration is mended: that
    we have to log in, and whatever is said to MAIL, which names our own address and no other.
    """
    is_about_us = stage == "mail" or code in UNPROVEN
    return "refused" if 500 <= code < 600 and not is_about_us else "deferred"


def _dot_stuffed(mime):
    """Return the body as DATA carries it, all but the final dot (RFC 5321, 4.5.2)."""
    body = mime.replace(b"\r\n.", b"\r\n..")
    if body.startswith(b"."):
        body = b"." + body
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _quit(client):
    """Take leave, and don't wait for the answer, nor does Postfix (smtp_skip_quit_response).

    It changes nothing, and an acceptance that is not written down yet must not hang on a server
    that is slow to say goodbye, or never done with it.
    """
    with suppress(OSError, smtplib.SMTPException):
        client.sock.settimeout(QUIT_SECONDS)
        client.putcmd("QUIT")


def _said(code, reply):
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    return " ".join(f"{code} {text}".split())


def _why(error):
    if isinstance(error, smtplib.SMTPResponseException):
        return _said(error.smtp_code, error.smtp_error)
    if isinstance(error, TimeoutError | socket.timeout):
        return "the mail server did not answer in time"
    return f"{type(error).__name__}: {error}"


def check(server: SmtpServer) -> str:
    """Return what keeps us from handing letters to this server; nothing where it greets us well."""
    try:
        client = _connect(server)
    except (OSError, smtplib.SMTPException) as error:
        return _why(error)
    try:
        _greet(client, server)
        _quit(client)
    except (OSError, smtplib.SMTPException) as error:
        return _why(error)
    finally:
        client.close()
    return ""
