"""Posts to channels: what each answer means, and which addresses get nothing."""

import json
import logging
import socket

import pytest

from digest.channels import webhooks
from digest.http import client
from subscriptions.models import Subscriber
from subscriptions.security.encryption import encrypt
from tests.helpers.data_files import cases
from tests.servers import channels

CASES = cases("webhook_answers")
BODY = b'{"text": "papers"}'


@pytest.fixture
def server(settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1", "rooms.example.org"})
    monkeypatch.setattr(webhooks, "MAX_SECONDS", 0.5)
    with channels.ChannelServer() as server:
        yield server


def post(address, chat_id="", channel="json"):
    fields = {"chat_id": chat_id, "channel": channel}
    return webhooks.post(Subscriber(secret=encrypt(address), **fields), BODY)


ANSWERS = {
    "ok": (None, "accepted"),
    "huge answer": (channels.huge, "accepted"),
    "a deep body": ((200, {}, b"[" * 5_000), "accepted"),
    "silence": (channels.silent, "unknown"),
    "drip": (channels.drip, "unknown"),
    "cut after reading": (channels.cut_after_reading, "unknown"),
    "cut before reading": (channels.cut_before_reading, "unknown"),
}
for name, ((code, headers, body), status) in CASES["answers"].items():
    ANSWERS[name] = (code, headers, body.encode()), status


@pytest.mark.parametrize(("answer", "status"), ANSWERS.values(), ids=ANSWERS)
def test_response_determines_delivery_status(server, caplog, answer, status):
    caplog.set_level(logging.DEBUG)
    if answer:
        server.answers.append(answer)
    result = post(server.secret)
    assert result.status == status, result.reply
    assert len(server.asked) == (answer is not channels.cut_before_reading)
    assert result.scope == ""
    for secret in ("T0KEN", "hooks", str(server.server_address[1])):
        assert secret not in result.reply + (caplog.text if secret == "T0KEN" else "")


@pytest.mark.parametrize(("status", "body", "outcome", "advice"), CASES["apprise"])
def test_apprise_answer_decides_the_outcome(server, status, body, outcome, advice):
    server.answers.append((status, {}, body.encode()))
    result = post(server.secret, channel="apprise")
    assert (result.status, advice in result.reply) == (outcome, True)


def test_only_the_chat_id_is_added_to_a_message(server):
    post(f"{server.secret}#x", "-1001")
    post(f"{server.secret}#x")
    assert server.posted == [{"chat_id": "-1001", "text": "papers"}, {"text": "papers"}]


@pytest.mark.parametrize(("status", "headers", "body", "seconds"), CASES["waits"])
def test_retry_after_in_header_or_body_is_respected(server, status, headers, body, seconds):
    server.answers.append((status, headers, json.dumps(body).encode()))
    assert post(server.secret).retry_after == seconds


def test_connection_failure_is_deferred(server, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_SECONDS", 5)
    port = server.server_address[1]
    no_tls = post(f"https://127.0.0.1:{port}/T0KEN")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = post(f"http://127.0.0.1:{deaf.getsockname()[1]}/T0KEN")
    no_name = post("https://rooms.example.org/T0KEN")
    for result in (no_tls, nobody, no_name):
        assert result.status == "deferred"
        assert not {"T0KEN", "127.0.0.1", "rooms.example.org"} & set(result.reply.split())
    assert "refused" in nobody.reply


@pytest.mark.parametrize("address", CASES["refused_addresses"])
def test_private_addresses_get_no_request(settings, address):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset()
    result = post(address)
    assert result.status == "refused", result.reply
    assert "T0KEN" not in result.reply


@pytest.mark.parametrize("error", [ValueError, client.Unavailable])
def test_error_text_hides_the_address(monkeypatch, error):
    def fail(address, body, **options):
        raise error("example.org" if error is client.Unavailable else address)

    monkeypatch.setattr(client, "post", fail)
    result = post("https://example.org/T0KEN")
    assert result.status == ("deferred" if error is client.Unavailable else "unknown")
    assert "example.org" not in result.reply
