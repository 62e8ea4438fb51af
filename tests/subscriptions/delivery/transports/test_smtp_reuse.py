"""What becomes of the line: which is used again, and what is heard on a used one."""

import time

import pytest

from subscriptions.delivery.transports import smtp_connection
from subscriptions.delivery.transports.base import Message
from tests.factories.make import NOW
from tests.subscriptions.delivery.transports.conversation import (
    MIME,
    SENDER,
    deliver,
    envelope,
    judged,
    pair,
    pump,
    wait_for,
)


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


@pytest.mark.parametrize(
    ("sender", "recipient", "expected"),
    [
        (SENDER, "r@example.org>\r\nRCPT TO:<x@example.org", ("refused", "rcpt", "")),
        (SENDER, "ré@example.org", ("refused", "rcpt", "")),
        (SENDER, "r r@example.org", ("refused", "rcpt", "")),
        (SENDER, "r>r@example.org", ("refused", "rcpt", "")),
        (SENDER, "r<r@example.org", ("refused", "rcpt", "")),
        (SENDER, "", ("refused", "rcpt", "")),
        ("d@example.org\r\nQUIT", "r@example.org", ("deferred", "mail", "us")),
    ],
)
def test_no_address_smuggles_a_command_in(sender, recipient, expected):
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
    monkeypatch.setattr(smtp_connection, "FRESH_SECONDS", 0.2)
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
    server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
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


def test_a_line_that_answered_mail_and_then_hung_up_says_something_of_the_letter():
    with pair() as (line, server):
        used(line, server)
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n")
        server.close()
        pump(line)
        assert judged(line.verdict) == ("deferred", "rcpt", "")


def test_a_letter_for_a_closed_line_may_be_offered_again_at_once():
    with pair() as (line, _):
        line.connection.close()
        line.begin(envelope(), MIME)
        assert judged(line.verdict) == ("deferred", "mail", "connection")


def test_a_closed_line_stays_closed_whatever_is_asked_of_it():
    with pair() as (line, _):
        line.connection.close()
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
