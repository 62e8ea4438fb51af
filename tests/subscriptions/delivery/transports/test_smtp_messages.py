"""A letter on a line: what is said, that it arrives as it is, and what becomes of the line."""

import re
import socket
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions.delivery.transports import smtp
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from tests.factories.make import NOW
from tests.helpers import data_files
from tests.servers.postfix import wait_until
from tests.subscriptions.delivery.transports import conversation as talk

DATA = data_files.load("smtp_replies.toml")


def test_letters_arrive_unchanged_over_one_connection(server, line):
    result = talk.deliver(line)
    assert talk.judged(result) == ("accepted", "dot", "")
    assert result.reply == "250 2.0.0 kept"
    assert line.state == "free"
    assert {talk.deliver(line, f"r{n}").status for n in range(5)} == {"accepted"}
    recipients = ["reader@example.org", *(f"r{n}@example.org" for n in range(5))]
    assert server.accepted == [(recipient, talk.MIME) for recipient in recipients]
    assert server.connected == 1


def test_leading_dots_arrive_unchanged(server, line):
    for mime in map(data_files.repeated, DATA["dotted"]):
        assert talk.deliver(line, mime=mime).status == "accepted"
        kept = server.accepted[-1][1]
        assert kept == mime or kept == mime + b"\r\n"


def test_dot_after_a_bare_lf_ends_no_letter():
    with talk.pair() as (line, server):
        line.begin(talk.envelope(), b"Hello\n.\nMAIL FROM:<x@example.org>\r\n")
        talk.heard(line, server, *talk.EXPECTED_CODES)
        assert b"\n.\n" not in server.recv(65_536)


def test_large_letter_reaches_a_slow_server():
    mime = b"x" * 70 + b"\r\n"
    mime *= 20_000
    with talk.begun(mime=mime) as (line, server):
        envelope(line, server)
        assert talk.pump(line, seconds=0.1) == "busy"
        received = bytearray()
        while line.state == "busy":
            received += server.recv(50_000)
            line.pump(0)
        server.setblocking(False)
        while not received.endswith(mime[-1_000:]) or len(received) < len(mime):
            received += server.recv(1 << 20)
        assert received == mime
        assert talk.pump(line) == "final_check"


def envelope(line, server):
    """Let the server take the envelope, and not read the body."""
    for reply in talk.EXPECTED_CODES:
        assert server.recv(1_000).endswith(b"\r\n")
        server.sendall(reply)


def test_single_letter_is_delivered_outside_a_round(server):
    mime = (b"x" * 70 + b"\r\n") * 20_000
    message = Message(talk.SENDER, "r@example.org", mime, "digest", 1, NOW)
    assert hand_over(transport_for(server.url), message).status == "accepted"
    assert server.accepted == [("r@example.org", mime)]


def test_size_is_announced_where_it_is_offered():
    size = b"MAIL FROM:<%s> SIZE=%d\r\n" % (talk.SENDER.encode(), len(talk.MIME))
    for names, command in (({"size"}, size), ((), b"MAIL FROM:<%s>\r\n" % talk.SENDER.encode())):
        with talk.begun(names) as (_, server):
            assert server.recv(1_000) == command


def test_letter_withdrawn_before_its_dot_is_not_kept(server, line):
    line.begin(talk.envelope(), talk.MIME)
    assert talk.pump(line) == "final_check"
    time.sleep(0.05)
    assert (line.state, line.result) == ("final_check", None)
    line.connection.close()
    wait_until(lambda: server.bodies)
    assert server.bodies == [talk.MIME]
    assert server.accepted == []


@pytest.mark.parametrize(("replies", "expected", "farewell"), DATA["refusals"])
def test_connection_quits_unless_a_body_is_awaited(replies, expected, farewell):
    with talk.begun() as (line, server):
        replies = [f"{reply}\r\n".encode() for reply in replies]
        assert talk.heard(line, server, *replies) == tuple(expected)
        assert server.recv(1_000) == farewell.encode()


def test_reply_counts_when_the_server_hangs_up_afterwards():
    with talk.begun() as (line, server):
        result = talk.heard(line, server, b"550 5.1.1 no\r\n", hangs_up=True)
        assert result == ("deferred", "mail", "")
        assert line.result.reply == "550 5.1.1 no"


def test_address_cannot_inject_a_command():
    cases = [(talk.SENDER, to, ("refused", "rcpt", "")) for to in DATA["smuggling"]]
    cases.append(("d@example.org\r\nQUIT", "r@example.org", ("deferred", "mail", "us")))
    for sender, recipient, expected in cases:
        with talk.pair() as (line, server):
            line.begin(Message(sender, recipient, talk.MIME, "", 1, NOW))
            assert talk.judged(line.result) == expected
            assert drain(server) == b""


# What becomes of a line between letters


FAREWELLS = [b"", b"421 4.4.2 idle\r\n", b"421 4.4.2 id"]


@pytest.mark.parametrize("said", [*FAREWELLS, b"421-4.4.2 idle\r\n", b"250 ok\r\n"])
def test_free_connection_is_closed_on_any_input(said):
    with talk.pair() as (line, server):
        server.sendall(said)
        if not said:
            server.close()
        assert not line.connection.is_usable()
        assert line.state == "closed"


def test_connection_idle_for_long_is_closed(monkeypatch):
    monkeypatch.setattr(smtp, "MAX_IDLE_SECONDS", 0.2)
    with talk.pair() as (line, server):
        time.sleep(0.15)
        used(line, server)
        time.sleep(0.1)
        assert line.connection.is_usable()
        time.sleep(0.2)
        assert not line.connection.is_usable()
        assert line.state == "closed"
        assert server.recv(100) == b"QUIT\r\n"


def used(line, server):
    line.begin(talk.envelope(), talk.MIME)
    talk.heard(line, server, *talk.EXPECTED_CODES)
    line.finish()
    while not server.recv(65_536).endswith(b"\r\n.\r\n"):
        pass
    server.sendall(b"250 ok\r\n")
    talk.pump(line)
    assert line.result.status == "accepted"


@pytest.mark.parametrize("farewell", FAREWELLS)
def test_reused_connection_closed_before_the_letter_blames_none(farewell):
    with talk.pair() as (line, server):
        used(line, server)
        server.sendall(farewell)
        server.close()
        line.begin(talk.envelope(), talk.MIME)
        talk.pump(line)
        assert talk.judged(line.result) == ("deferred", "mail", "connection")


@pytest.mark.parametrize(("said", "hangs_up", "expected"), DATA["reused"])
def test_reply_on_a_reused_connection_counts(impatient, said, hangs_up, expected):
    with talk.pair() as (line, server):
        used(line, server)
        line.begin(talk.envelope(), talk.MIME)
        replies = [reply.encode() for reply in said]
        assert talk.heard(line, server, *replies, hangs_up=hangs_up) == tuple(expected)


def test_closed_connection_stays_closed_and_defers_its_letter():
    with talk.pair() as (line, _):
        line.connection.close()
        line.begin(talk.envelope(), talk.MIME)
        assert talk.judged(line.result) == ("deferred", "mail", "connection")
        line.connection.close()
        assert not line.connection.is_usable()


def test_quit_is_sent_without_waiting(server, line):
    server.replies["quit"] = b""
    talk.deliver(line)
    began = time.monotonic()
    line.close()
    wait_until(lambda: b"QUIT\r\n" in server.heard)
    assert time.monotonic() - began < 1


# ---- What each fault leaves of a letter


@pytest.mark.parametrize("stage", talk.STAGES)
def test_codes_4yz_defer_and_5yz_refuse(server, opened, stage):
    refused = ("deferred", "mail", "") if stage == "mail" else ("refused", stage, "address")
    for code, expected in ((450, ("deferred", stage, "")), (550, refused)):
        line = opened(server)
        assert talk.judged(talk.deliver(line, f"{code}-{stage}")) == expected
        assert line.state == "closed"
    assert server.accepted == []


@pytest.mark.parametrize("stage", talk.STAGES)
def test_lost_reply_is_unknown_only_after_the_dot(server, opened, stage):
    expected = "unknown" if stage == "dot" else "deferred"
    for how in ("drop", "reset", "garble", "204"):
        line = opened(server)
        result = talk.judged(talk.deliver(line, f"{how}-{stage}"))
        assert (*result, line.state) == (expected, stage, "", "closed"), how


@pytest.mark.parametrize("stage", talk.STAGES)
def test_silent_or_slow_server_times_out(server, opened, stage, impatient, monkeypatch):
    monkeypatch.setattr("tests.servers.smtp.BYTE_SECONDS", 0.05)
    for how in ("silent", "slow"):
        result = talk.deliver(opened(server), f"{how}-{stage}")
        expected = "unknown" if stage == "dot" else "deferred"
        assert talk.judged(result) == (expected, stage, "")
        assert result.reply == "the mail server did not answer in time"


def test_reply_in_single_bytes_is_understood(server, line):
    for stage in talk.STAGES:
        assert talk.deliver(line, f"slow-{stage}").status == "accepted"


def test_time_at_the_final_check_is_not_the_servers(impatient):
    with talk.at_final_check() as (line, _):
        time.sleep(0.2)
        assert line.state == "final_check"
        line.finish()
        assert line.state == "answering"


@pytest.mark.parametrize("stage", talk.COMMANDS)
def test_two_replies_to_one_command_end_the_connection(server, line, stage):
    assert talk.deliver(line, f"glued-{stage}").status == "deferred"
    assert line.state == "closed"
    assert server.accepted == []


def test_replies_ahead_of_their_command_end_the_connection():
    """Else an answer to RCPT that came late could be taken for one to the dot."""
    with talk.begun() as (line, server):
        talk.heard(line, server, b"".join(talk.EXPECTED_CODES))
        assert line.result.status == "deferred"
        assert server.recv(1_000) == b""


def test_first_reply_to_the_dot_counts_and_connection_closes(server, line):
    assert talk.deliver(line, "glued-dot").status == "accepted"
    wait_until(lambda: not line.connection.is_usable())
    assert line.state == "closed"


@pytest.mark.parametrize("how", ["early", "drop"])
def test_reply_or_end_before_the_dot_is_no_acceptance(server, line, how):
    line.begin(talk.envelope(f"{how}-body"), talk.MIME)
    if talk.pump(line) == "final_check":
        time.sleep(0.05)
        line.finish()
        talk.pump(line)
    assert line.result.status == "deferred"
    assert line.result.stage in ("data", "body")
    assert server.accepted == []


def test_half_a_reply_before_the_dot_is_no_acceptance():
    with talk.at_final_check() as (line, server):
        server.sendall(b"250-early\r\n")
        line.finish()
        assert talk.judged(line.result) == ("deferred", "body", "")


def test_recipient_is_accepted_by_three_codes():
    for code in (250, 251, 252):
        with talk.begun() as (line, server):
            talk.heard(line, server, talk.OK, b"%d ok\r\n" % code, b"354 go on\r\n")
            assert line.state == "final_check"


def test_server_that_reads_nothing_times_out(impatient):
    with talk.begun(mime=talk.MIME * 10_000) as (line, server):
        envelope(line, server)
        assert talk.pump(line) == "closed"
        assert talk.judged(line.result) == ("deferred", "body", "")


def drain(sock):
    """Return what has come."""
    sock.setblocking(False)
    found = b""
    with suppress(BlockingIOError):
        while more := sock.recv(1 << 20):
            found += more
    return found


def test_reply_counts_after_hanging_up_amid_the_body():
    with talk.begun(mime=talk.MIME * 10_000) as (line, server):
        envelope(line, server)
        line.pump(0.1)
        server.sendall(b"552 5.3.4 too big\r\n")
        server.close()
        talk.pump(line)
        result = talk.judged(line.result)
        assert result == ("deferred", "body", "")
        assert line.result.reply == "552 5.3.4 too big"


def test_connection_closed_amid_a_letter_sends_nothing_more():
    with talk.at_final_check() as (line, server):
        line.close()
        assert drain(server) == talk.MIME


# Whatever is said

PIECES = [b"250 ok\r\n", b"354 go\r\n", b"550 5.1.1 no\r\n", b"421", b"\r\n", b"-", b"250"]
CHUNKS = st.binary(max_size=80) | st.lists(st.sampled_from(PIECES)).map(b"".join)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    envelope_replies=st.just([b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]) | st.lists(CHUNKS),
    at_check=st.just(b"") | CHUNKS,
    at_dot=CHUNKS,
)
def test_no_letter_is_accepted_without_a_final_250(envelope_replies, at_check, at_dot):
    with talk.begun() as (line, server):
        for said in envelope_replies:
            hear(line, server, said)
        hear(line, server, at_check)
        if line.state == "final_check":
            line.finish()
        was_asked = line.state == "answering"
        hear(line, server, at_dot)
        with suppress(OSError):  # Unlike close, also if a process that is just begun has it open.
            server.shutdown(socket.SHUT_RDWR)
        talk.pump(line, until=("free", "closed"))
        if line.result.status in ("accepted", "unknown"):
            assert was_asked
        if line.result.status == "accepted":
            assert re.match(rb"(250-[^\n]*\n)*250( [^\n]*)?\r?\n", at_dot)


def hear(line, server, said):
    """Let the server say this once a command has come, if one comes."""
    server.settimeout(0.02)
    with suppress(OSError):
        server.recv(65_536)
    with suppress(OSError):
        server.sendall(said)
    line.pump()
