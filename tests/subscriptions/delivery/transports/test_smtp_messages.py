"""A letter on a line: what is said, that it arrives as it is, and what becomes of the line."""

import time

import pytest

from subscriptions.delivery.transports import smtp_connection
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from tests.factories.make import NOW
from tests.subscriptions.delivery.transports.conversation import (
    EXPECTED_CODES,
    MIME,
    SENDER,
    deliver,
    envelope,
    judged,
    pair,
    pump,
    wait_for,
)


def test_letters_arrive_as_they_are_over_one_connection(server, line):
    verdict = deliver(line)
    assert judged(verdict) == ("accepted", "dot", "")
    assert verdict.reply == "250 2.0.0 kept"
    assert line.state == "free"
    assert {deliver(line, f"r{n}").status for n in range(5)} == {"accepted"}
    recipients = ["reader@example.org", *(f"r{n}@example.org" for n in range(5))]
    assert server.accepted == [(recipient, MIME) for recipient in recipients]
    assert server.connected == 1


def test_dots_at_the_start_of_lines_arrive_as_they_were(server, line):
    letters = [
        b".\r\n",
        b"..\r\n.\r\n\r\n.x\r\n",
        b"a\r\n.\r\n.\r\nRCPT TO:<x@example.org>\r\n",
        b"\r\n" + b"." * 1_000 + b"\r\n",
        b"",
        b"Subject: x\r\n\r\nx",  # A letter needs no last line end.
    ]
    for mime in letters:
        assert deliver(line, mime=mime).status == "accepted"
        kept = server.accepted[-1][1]
        assert kept == mime or kept == mime + b"\r\n"


def test_a_dot_after_a_bare_lf_ends_no_letter():
    with pair() as (line, server):
        line.begin(envelope(), b"Hello\n.\nMAIL FROM:<x@example.org>\r\n")
        server.sendall(EXPECTED_CODES)
        pump(line)
        assert b"\n.\n" not in server.recv(65_536)


def test_a_large_letter_reaches_a_slow_reader():
    mime = b"x" * 70 + b"\r\n"
    mime *= 20_000
    with pair() as (line, server):
        line.begin(envelope(), mime)
        server.sendall(EXPECTED_CODES)
        assert pump(line, seconds=0.1) == "busy"
        received = bytearray()
        while line.state == "busy":
            received += server.recv(50_000)
            line.pump(0)
        server.setblocking(False)
        while not received.endswith(mime[-1_000:]) or len(received) < len(mime):
            received += server.recv(1 << 20)
        assert received.partition(b"DATA\r\n")[2] == mime
        assert pump(line) == "fence"


def test_a_letter_is_handed_over_outside_of_a_round_too(server):
    mime = (b"x" * 70 + b"\r\n") * 20_000
    message = Message(SENDER, "r@example.org", mime, "digest", 1, NOW)
    assert hand_over(transport_for(server.url), message).status == "accepted"
    assert server.accepted == [("r@example.org", mime)]


def test_the_size_is_told_where_it_is_asked_for():
    with pair(frozenset({"size"})) as (line, server):
        line.begin(envelope(), MIME)
        assert server.recv(1_000) == b"MAIL FROM:<%s> SIZE=%d\r\n" % (SENDER.encode(), len(MIME))


def test_commands_go_out_together_where_that_is_offered_and_only_there():
    for extensions, count in ((frozenset({"pipelining"}), 3), (frozenset(), 1)):
        with pair(extensions) as (line, server):
            line.begin(envelope(), MIME)
            assert server.recv(1_000).count(b"\r\n") == count


def test_a_letter_that_is_withdrawn_before_its_dot_is_not_kept(server, line):
    line.begin(envelope(), MIME)
    assert pump(line) == "fence"
    time.sleep(0.05)
    assert (line.state, line.verdict) == ("fence", None)
    line.connection.close()
    wait_for(lambda: server.bodies)
    assert server.bodies == [MIME]
    assert server.accepted == []


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        ({"pipelining"}, b"250 ok\r\n550 5.1.1 no\r\n554 no valid recipients\r\n"),
        ({}, b"550 5.1.1 no\r\n"),  # Commands go out one by one.
    ],
)
def test_a_refused_letter_takes_its_leave_where_the_server_reads_commands(extensions, said):
    with pair(frozenset(extensions)) as (line, server):
        line.begin(envelope(), MIME)
        server.recv(1_000)
        server.sendall(said)
        pump(line)
        assert server.recv(1_000) == b"QUIT\r\n"


def test_a_server_that_refuses_and_is_gone_before_leave_is_taken_has_been_heard():
    with pair(frozenset()) as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"550 5.1.1 no\r\n")
        server.close()
        pump(line)
        assert (line.verdict.status, line.verdict.reply) == ("deferred", "550 5.1.1 no")


def test_no_address_smuggles_a_command_in():
    smuggling = "r@example.org>\r\nRCPT TO:<x@example.org"
    recipients = [smuggling, "ré@example.org", "r r@example.org", "r>r@example.org", "r<r@x.y", ""]
    cases = [(SENDER, recipient, ("refused", "rcpt", "")) for recipient in recipients]
    cases.append(("d@example.org\r\nQUIT", "r@example.org", ("deferred", "mail", "us")))
    for sender, recipient, expected in cases:
        with pair() as (line, server):
            line.begin(Message(sender, recipient, MIME, "", 1, NOW))
            assert judged(line.verdict) == expected
            assert server.recv(1_000) == b""


# What becomes of a line between letters


@pytest.mark.parametrize(
    "said", [b"", b"421 4.4.2 idle\r\n", b"421 4.4.2 id", b"421-4.4.2 idle\r\n", b"250 ok\r\n"]
)
def test_a_free_line_on_which_something_happens_is_closed(said):
    with pair() as (line, server):
        server.sendall(said)
        if not said:
            server.close()
        assert not line.connection.is_usable()
        assert line.state == "closed"


def test_a_line_that_was_idle_for_long_since_its_last_letter_is_not_trusted(monkeypatch):
    monkeypatch.setattr(smtp_connection, "MAX_IDLE_SECONDS", 0.2)
    with pair() as (line, server):
        time.sleep(0.15)
        used(line, server)
        time.sleep(0.1)
        assert line.connection.is_usable()
        time.sleep(0.2)
        assert not line.connection.is_usable()
        assert line.state == "closed"
        assert server.recv(100) == b"QUIT\r\n"


def used(line, server):
    line.begin(envelope(), MIME)
    server.sendall(EXPECTED_CODES)
    pump(line)
    line.finish()
    server.sendall(b"250 ok\r\n")
    pump(line)
    server.recv(65_536)
    assert line.verdict.status == "accepted"


@pytest.mark.parametrize("said", [b"", b"421 4.4.2 idle\r\n", b"421 4.4.2 id"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_used_line_that_was_closed_meanwhile_says_nothing_of_the_letter(said, when):
    with pair() as (line, server):
        used(line, server)
        if when == "after":
            line.begin(envelope(), MIME)
        server.sendall(said)
        server.close()
        if when == "before":
            line.begin(envelope(), MIME)
        pump(line)
        assert judged(line.verdict) == ("deferred", "mail", "connection")


@pytest.mark.parametrize(
    ("said", "then", "expected"),
    [
        (b"452 4.3.1 no space\r\n", "stays", ("deferred", "mail", "us")),
        (b"550 no\r\n", "stays", ("deferred", "mail", "")),
        (b"250 ok\r\n421 4.7.0 slow down\r\n", "stays", ("deferred", "rcpt", "provider")),
        (b"250 ok\r\n", "hangs up", ("deferred", "rcpt", "")),
    ],
)
def test_a_used_line_that_answers_says_something_of_the_letter(said, then, expected):
    with pair() as (line, server):
        used(line, server)
        line.begin(envelope(), MIME)
        server.sendall(said)
        if then == "hangs up":
            server.close()
        pump(line)
        assert judged(line.verdict) == expected


def test_a_used_line_on_which_nothing_is_heard_is_no_reason_to_hurry(impatient):
    with pair() as (line, server):
        used(line, server)
        line.begin(envelope(), MIME)
        pump(line)
        assert judged(line.verdict) == ("deferred", "mail", "")


def test_a_closed_line_stays_closed_and_its_letter_may_be_offered_again_at_once():
    with pair() as (line, _):
        line.connection.close()
        line.begin(envelope(), MIME)
        assert judged(line.verdict) == ("deferred", "mail", "connection")
        line.connection.close()
        assert not line.connection.is_usable()


def test_leave_is_taken_without_waiting(server, line):
    server.replies["quit"] = b""
    deliver(line)
    began = time.monotonic()
    line.close()
    wait_for(lambda: b"QUIT\r\n" in server.heard)
    assert b"QUIT\r\n" in server.heard
    assert time.monotonic() - began < 1
