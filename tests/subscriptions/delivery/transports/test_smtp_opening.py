"""How we get in: TLS, passwords, greetings, and what EMAIL_URL says of them."""

import socket
import ssl
import time
from unittest.mock import Mock

import pytest

from subscriptions.delivery.transports import smtp
from subscriptions.delivery.transports.base import ConnectFailed
from subscriptions.delivery.transports.smtp import SmtpServer, SmtpTransport, check, parse_server
from tests.helpers import data_files
from tests.servers.smtp import EXTENSIONS, GREETING, MailServer
from tests.subscriptions.delivery.transports.conversation import MIME, deliver, transport

CERTIFICATE = data_files.DATA / "mail_server.pem"


@pytest.fixture
def trusted(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.fixture(params=["starttls", "implicit"])
def tls_server(request):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    extensions = (*EXTENSIONS, "AUTH PLAIN LOGIN")
    if request.param == "starttls":
        extensions += ("STARTTLS",)
    with MailServer(extensions, context) as server:
        server.security = request.param
        yield server


DATA = data_files.load("smtp_openings.toml")
SECRET = {"user": "you", "password": "hush"}


def test_letters_are_sent_over_tls(tls_server, trusted, opened):
    line = opened(tls_server, tls=tls_server.security, **SECRET)
    large = b"x" * 70 + b"\r\n"
    large *= 3_000
    assert deliver(line).status == "accepted"
    assert deliver(line, mime=large).status == "accepted"
    assert [mime for _, mime in tls_server.accepted] == [MIME, large]
    # What is offered is asked again once nobody can listen in.
    in_turn = {"starttls": [b"ehlo", b"STAR", b"ehlo"], "implicit": [b"ehlo"]}
    greeting = in_turn[tls_server.security]
    assert [line[:4] for line in tls_server.heard[: len(greeting) + 1]] == [*greeting, b"AUTH"]


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_faults_mean_the_same_over_tls(tls_server, trusted, opened, stage):
    dropped = "unknown" if stage == "dot" else "deferred"
    for how, expected in {"drop": dropped, "550": "refused", "slow": "accepted"}.items():
        line = opened(tls_server, tls=tls_server.security)
        assert deliver(line, f"{how}-{stage}").status == expected


def refusal(server, **fields):
    return refused_by(transport(server, **fields))


def refused_by(transport):
    with pytest.raises(ConnectFailed) as refused:
        transport.connect()
    return refused.value


def test_untrusted_certificate_gets_no_letter_or_password(tls_server):
    refused = refusal(tls_server, tls=tls_server.security, **SECRET)
    assert refused.kind == "tls"
    assert "CERTIFICATE_VERIFY_FAILED" in refused.reply
    assert [line[:4] for line in tls_server.heard] in ([], [b"ehlo", b"STAR"])


def test_certificate_for_another_name_is_refused(tls_server, trusted):
    server = SmtpServer("localhost", tls_server.server_address[1], tls_server.security)
    assert refused_by(SmtpTransport(server)).kind == "tls"


def test_missing_starttls_ends_the_connection(server):
    assert refusal(server, tls="starttls", **SECRET).kind == "tls"
    assert [line[:4] for line in server.heard] == [b"ehlo"]


def test_server_that_hangs_up_in_the_handshake_is_unreachable():
    with MailServer((*EXTENSIONS, "STARTTLS"), tls=None) as server:  # It has no certificate.
        assert refusal(server, tls="starttls").kind == "unreachable"


def test_rejected_starttls_ends_the_connection(server):
    server.extensions = (*EXTENSIONS, "STARTTLS")
    for reply, kind in DATA["starttls"]:
        server.heard.clear()
        server.replies["starttls"] = reply.encode() + b"\r\n"
        assert refusal(server, tls="starttls", **SECRET).kind == kind
        assert b"hush" not in b"".join(server.heard)
        assert len(server.heard) == 2


def test_refused_password_is_distinguished_from_a_busy_server(server):
    assert refusal(server, **SECRET).kind == "auth"  # It takes none.
    server.extensions = (*EXTENSIONS, "AUTH PLAIN")
    for reply, kind in DATA["auth"]:
        server.replies["auth"] = reply.encode("latin-1") + b"\r\n"
        assert refusal(server, **SECRET).kind == kind


def test_password_is_not_retried_after_a_malformed_reply(server):
    server.extensions = (*EXTENSIONS, "AUTH PLAIN LOGIN")
    server.replies["auth"] = b"\xff\r\n"
    refusal(server, **SECRET)
    assert [line[:4] for line in server.heard] == [b"ehlo", b"AUTH"]


def test_password_that_cannot_be_encoded_is_not_shown(server):
    server.extensions = (*EXTENSIONS, "AUTH PLAIN")
    refused = refusal(server, user="you", password="hüsh")
    assert refused.kind == "auth"
    assert refused.reply.startswith("the user name or password holds a character")


def test_bad_greeting_is_unreachable(server, monkeypatch):
    monkeypatch.setitem(smtp.SECONDS, "connect", 0.2)
    for greeting in (b"421 not now\r\n", b"554 go away\r\n", b"\xff\r\n", b""):
        server.at_connect = greeting
        assert refusal(server).kind == "unreachable"
    server.at_connect = GREETING
    for reply in (b"421 not now\r\n", b"250-\r\n250 ok\r\n250 ok\r\n", b"220 hi\r\n"):
        server.replies["ehlo"] = reply
        assert refusal(server).kind == "unreachable"


def test_server_that_hangs_up_silently_is_unreachable(server, monkeypatch):
    monkeypatch.setattr("tests.servers.smtp.Conversation.handle", lambda conversation: None)
    assert refusal(server).reply == "SMTPServerDisconnected: the mail server hung up"


def test_connection_uses_offered_extensions_and_nodelay(server):
    client = transport(server).connect()
    assert client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert {*client.esmtp_features} == {name.lower() for name in server.extensions}
    client.close()


@pytest.fixture
def trickling(server, monkeypatch):
    def trickle(conversation, reply):
        for byte in reply:
            conversation.wfile.write(bytes([byte]))
            time.sleep(0.01)

    monkeypatch.setattr("tests.servers.smtp.Conversation.say", trickle)
    return server


def test_slow_greeting_times_out(trickling, monkeypatch):
    monkeypatch.setitem(smtp.SECONDS, "connect", 0.1)
    assert refusal(trickling).reply == "the mail server did not answer in time"


def test_connection_that_opened_slowly_is_usable(trickling, monkeypatch):
    monkeypatch.setattr(smtp, "MAX_IDLE_SECONDS", 0.1)
    client = transport(trickling).connect()
    assert client.is_usable()
    client.close()


def test_server_without_ehlo_is_greeted_with_helo(server, opened):
    server.replies["ehlo"] = b"502 what?\r\n"
    assert deliver(opened(server)).status == "accepted"


def test_invalid_or_closed_host_is_unreachable():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    for host, port in (("x" * 64 + ".example.org", 25), ("a..b", 25), address):
        assert refused_by(SmtpTransport(SmtpServer(host, port))).kind == "unreachable"


def test_unknown_mail_server_has_no_error_number(monkeypatch):
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=unknown))
    failure = check(SmtpServer("gone.example.org", 25))
    assert (failure.kind, failure.reply) == ("unreachable", "DNS: Name or service not known")


def test_check_passes_for_a_greeting_and_reports_its_refusal(server):
    assert check(SmtpServer(*server.server_address)) is None
    server.at_connect = b"554 go away\r\n"
    assert check(SmtpServer(*server.server_address)).reply == "554 go away"


# Where it is


def test_server_is_read_from_its_url():
    where = "mail.example.org:2525?tls=starttls&connections=50"
    server = parse_server(f"smtp://you%40x:h%2Fush@{where}")
    assert server == SmtpServer("mail.example.org", 2525, "starttls", "you@x", "h/ush", 50)
    assert "ush" not in repr(server)


def test_port_and_scheme_determine_tls():
    for url, *meant in DATA["urls"]:
        server = parse_server(url)
        assert (server.port, server.tls, server.connections) == (*meant, 20)


def test_password_without_tls_is_allowed_on_loopback():
    for host in ("localhost", "127.0.0.1", "127.8.8.8", "[::1]"):
        assert parse_server(f"smtp://you:hush@{host}").password == "hush"
