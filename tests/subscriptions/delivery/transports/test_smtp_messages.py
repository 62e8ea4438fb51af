"""A letter on a line: what is said, in which order, and that it arrives as it is."""

import time

import pytest

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


def test_a_letter_arrives_as_it_is_and_the_line_is_free_again(server, line):
    verdict = deliver(line)
    assert judged(verdict) == ("accepted", "dot", "")
    assert verdict.reply == "250 2.0.0 kept"
    assert line.state == "free"
    assert server.accepted == [("reader@example.org", MIME)]


def test_a_hundred_letters_go_over_one_connection(server, line):
    assert {deliver(line, f"r{n}").status for n in range(100)} == {"accepted"}
    assert [recipient for recipient, _ in server.accepted] == [
        f"r{n}@example.org" for n in range(100)
    ]
    assert server.connected == 1


@pytest.mark.parametrize(
    "mime",
    [
        b".\r\n",
        b"..\r\n.\r\n\r\n.x\r\n",
        b"a\r\n.\r\n.\r\nRCPT TO:<x@example.org>\r\n",
        b"\r\n" + b"." * 1_000 + b"\r\n",
        b"",
    ],
)
def test_dots_at_the_start_of_lines_arrive_as_they_were(server, line, mime):
    assert deliver(line, mime=mime).status == "accepted"
    ((_, kept),) = server.accepted
    assert kept == mime or kept == mime + b"\r\n"


def test_a_dot_after_a_bare_lf_ends_no_letter():
    with pair() as (line, server):
        line.begin(envelope(), b"Hello\n.\nMAIL FROM:<x@example.org>\r\n")
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        assert b"\n.\n" not in server.recv(65_536)


def test_a_letter_needs_no_last_line_end(server, line):
    assert deliver(line, mime=b"Subject: x\r\n\r\nx").status == "accepted"
    assert server.accepted[0][1].endswith(b"\r\nx\r\n")


def test_a_large_letter_reaches_a_slow_reader():
    mime = b"x" * 70 + b"\r\n"
    mime *= 100_000
    with pair() as (line, server):
        line.begin(envelope(), mime)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
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


def test_the_size_is_told_where_it_is_asked_for():
    with pair(frozenset({"size"})) as (line, server):
        line.begin(envelope(), MIME)
        assert server.recv(1_000) == b"MAIL FROM:<%s> SIZE=%d\r\n" % (SENDER.encode(), len(MIME))


def test_commands_go_out_together_where_that_is_offered_and_only_there():
    for extensions, count in ((frozenset({"pipelining"}), 3), (frozenset(), 1)):
        with pair(extensions) as (line, server):
            line.begin(envelope(), MIME)
            assert server.recv(1_000).count(b"\r\n") == count


def test_a_letter_takes_five_turns_of_the_connection():
    """One write for the envelope, one for the body, one for the dot; what is read, in two."""
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.recv(1_000)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        line.pump(0)
        assert line.state == "fence"
        assert server.recv(65_536) == MIME
        line.finish()
        assert server.recv(100) == b".\r\n"
        server.sendall(b"250 ok\r\n")
        line.pump(0)
        assert line.verdict.status == "accepted"


def test_nothing_of_the_dot_is_sent_before_it_is_asked_for(server, line):
    line.begin(envelope(), MIME)
    assert pump(line) == "fence"
    time.sleep(0.05)
    assert (line.state, line.verdict) == ("fence", None)
    assert server.accepted == []


def test_a_letter_that_is_withdrawn_is_not_kept(server, line):
    line.begin(envelope(), MIME)
    pump(line)
    line.connection.close()
    wait_for(lambda: server.bodies)
    assert server.bodies == [MIME]
    assert server.accepted == []
