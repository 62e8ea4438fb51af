"""Posts to channels: what each answer means, and which addresses get nothing."""

import logging
import socket

import pytest

from digest.channels import webhooks
from digest.sources import http
from tests.servers import channels

BODY = b'{"text": "papers"}'


@pytest.fixture
def server(settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1", "rooms.example.org"})
    monkeypatch.setattr(webhooks, "MAX_SECONDS", 0.5)
    with channels.ChannelServer() as server:
        yield server


ANSWERS = {
    "ok": (None, "accepted"),
    "accepted": ((202, {}, b""), "accepted"),
    "huge answer": (channels.huge, "accepted"),
    "cut body": ((200, {"Content-Length": "999"}, b"x"), "accepted"),
    "wrong format": ((400, {}, b"invalid_payload"), "refused"),
    "wrong key": ((403, {}, b""), "refused"),
    "unknown": ((404, {}, b""), "refused"),
    "deleted": ((410, {}, b""), "refused"),
    "redirect": ((302, {"Location": "https://x/hooks/T0KEN-of-this-room"}, b""), "refused"),
    "too many": ((429, {}, b""), "deferred"),
    "busy": ((503, {}, b""), "deferred"),
    "error": ((500, {}, b""), "unknown"),
    "gateway": ((504, {}, b""), "unknown"),
    "silence": (channels.silent, "unknown"),
    "drip": (channels.drip, "unknown"),
    "cut after reading": (channels.cut_after_reading, "unknown"),
    "cut before reading": (channels.cut_before_reading, "unknown"),
}


@pytest.mark.parametrize(("answer", "status"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_says_whether_the_message_was_taken(server, caplog, answer, status):
    caplog.set_level(logging.DEBUG)
    if answer:
        server.answers.append(answer)
    result = webhooks.post(server.secret, BODY)
    assert result.status == status, result.reply
    assert len(server.asked) == (answer is not channels.cut_before_reading)
    assert result.scope == ""
    for secret in ("T0KEN", "hooks", str(server.server_address[1])):
        assert secret not in result.reply + (caplog.text if secret == "T0KEN" else "")


def test_telegram_gets_the_chat_that_is_a_part_of_the_address(server):
    assert webhooks.post(f"{server.secret}#-1001", BODY).status == "accepted"
    assert server.asked == [("/hooks/T0KEN-of-this-room", {"chat_id": "-1001", "text": "papers"})]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_says_how_long_to_wait(server, status):
    server.answers.append((status, {"Retry-After": "120"}, b""))
    assert webhooks.post(server.secret, BODY).retry_after == 120


def test_what_surely_was_not_sent_is_deferred(server, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_SECONDS", 5)
    port = server.server_address[1]
    no_tls = webhooks.post(f"https://127.0.0.1:{port}/T0KEN", BODY)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = webhooks.post(f"http://127.0.0.1:{deaf.getsockname()[1]}/T0KEN", BODY)
    no_name = webhooks.post("https://rooms.example.org/T0KEN", BODY)
    for result in (no_tls, nobody, no_name):
        assert result.status == "deferred"
        assert not {"T0KEN", "127.0.0.1", "rooms.example.org"} & set(result.reply.split())
    assert "refused" in nobody.reply


HIDDEN = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "0.0.0.0"),
    *("[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "169.254.169.254", "10.0.0.1", "[fe80::1]"),
]
REFUSED = [
    *(f"http://{host}/T0KEN" for host in HIDDEN),
    *("ftp://example.org/T0KEN", "https://example.org:22/T0KEN", "https://a:b@example.org/T0KEN"),
    *("file:///etc/passwd", "T0KEN", "https://[T0KEN/", "http://\ud800/T0KEN"),
]


@pytest.mark.parametrize("address", REFUSED)
def test_private_addresses_get_no_request(settings, address):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset()
    result = webhooks.post(address, BODY)
    assert result.status == "refused", result.reply
    assert "T0KEN" not in result.reply


def test_a_name_that_leads_to_a_private_address_is_refused(server, settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset()
    monkeypatch.setattr(http, "_addresses", lambda host: ["127.0.0.1"])
    result = webhooks.post("http://rooms.example.com:8080/T0KEN", BODY)
    assert result.status == "refused"
    assert "ALLOWED_PRIVATE_HOSTS" in result.reply


@pytest.mark.parametrize("error", [ValueError, http.Unavailable])
def test_the_text_of_an_error_shows_nothing_of_the_address(monkeypatch, error):
    def fail(address, body, **options):
        raise error("example.org" if error is http.Unavailable else address)

    monkeypatch.setattr(http, "post", fail)
    result = webhooks.post("https://example.org/T0KEN", BODY)
    assert result.status == ("deferred" if error is http.Unavailable else "unknown")
    assert "example.org" not in result.reply
