"""What each fault leaves of a letter."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions.delivery.transports.smtp_connection import SECONDS
from tests.subscriptions.delivery.transports.conversation import (
    COMMANDS,
    EXPECTED_CODES,
    MIME,
    STAGES,
    at_fence,
    deliver,
    envelope,
    judged,
    pair,
    pump,
    wait_for,
)


@pytest.mark.parametrize("stage", STAGES)
def test_4yz_is_for_later_and_5yz_for_ever(server, opened, stage):
    refused = ("deferred", "mail", "") if stage == "mail" else ("refused", stage, "address")
    for code, expected in ((450, ("deferred", stage, "")), (550, refused)):
        line = opened(server)
        assert judged(deliver(line, f"{code}-{stage}")) == expected
        assert line.state == "closed"
    assert server.accepted == []


@pytest.mark.parametrize("stage", STAGES)
def test_silence_and_nonsense_leave_doubt_only_after_the_dot(server, opened, stage):
    expected = "unknown" if stage == "dot" else "deferred"
    for how in ("drop", "reset", "garble", "204"):
        line = opened(server)
        assert judged(deliver(line, f"{how}-{stage}")) == (expected, stage, ""), how
        assert line.state == "closed"


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_is_silent_or_trickles_bytes_gets_no_more_time(
    server, opened, stage, impatient, monkeypatch
):
    monkeypatch.setattr("tests.servers.smtp.BYTE_SECONDS", 0.05)
    for how in ("silent", "slow"):
        verdict = deliver(opened(server), f"{how}-{stage}")
        assert judged(verdict) == ("unknown" if stage == "dot" else "deferred", stage, "")
        assert verdict.reply == "the mail server did not answer in time"


def test_an_answer_that_comes_a_byte_at_a_time_is_an_answer(server, line):
    for stage in STAGES:
        assert deliver(line, f"slow-{stage}").status == "accepted"


def test_each_answer_has_a_time_of_its_own_though_all_was_said_together(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        for reply in EXPECTED_CODES.splitlines(keepends=True):
            time.sleep(0.1)  # Of the 0.15 seconds that each has.
            line.pump(0)
            assert line.state == "busy"
            server.sendall(reply)
            line.pump(0)
        assert line.state == "fence"


def test_the_time_that_a_letter_waits_at_the_fence_is_not_the_servers(impatient):
    with at_fence() as (line, _):
        fill(line.connection._sock)
        time.sleep(0.2)
        line.pump(0)
        assert line.state == "fence"
        line.finish()
        line.pump(0)
        assert line.state == "answering"


def test_the_time_allowed_is_what_rfc_5321_asks_for():
    assert SECONDS == {"mail": 300, "rcpt": 300, "data": 120, "body": 180, "dot": 600}


@pytest.mark.parametrize("stage", COMMANDS)
def test_two_answers_to_one_command_end_the_conversation(server, line, stage):
    assert deliver(line, f"glued-{stage}").status == "deferred"
    assert line.state == "closed"
    assert server.accepted == []


def test_answers_to_what_was_not_said_yet_end_the_conversation():
    """Else an answer to RCPT that came late could be taken for one to the dot."""
    with pair(frozenset()) as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(EXPECTED_CODES)
        pump(line)
        assert line.verdict.status == "deferred"
        assert server.recv(1_000).count(b"\r\n") == 1


def test_the_first_answer_to_the_dot_counts_and_the_line_is_not_used_again(server, line):
    assert deliver(line, "glued-dot").status == "accepted"
    wait_for(lambda: not line.connection.is_usable())
    assert line.state == "closed"


@pytest.mark.parametrize("how", ["early", "drop"])
def test_an_answer_or_the_end_before_the_dot_is_no_acceptance(server, line, how):
    line.begin(envelope(f"{how}-body"), MIME)
    pump(line)
    time.sleep(0.05)
    line.finish()
    assert judged(line.verdict) == ("deferred", "body", "")
    assert server.accepted == []


def test_half_an_answer_before_the_dot_is_no_acceptance():
    with at_fence() as (line, server):
        server.sendall(b"250-early\r\n")
        line.finish()
        assert judged(line.verdict) == ("deferred", "body", "")


@pytest.mark.parametrize(
    ("code", "then"), [(250, "waits"), (250, "reads on"), (250, "hangs up"), (550, "reads on")]
)
def test_an_answer_while_the_dot_waits_in_our_hands_is_none_to_it(code, then):
    with at_fence() as (line, server):
        fill(line.connection._sock)
        line.finish()
        assert line.state == "answering"
        server.sendall(b"%d what?\r\n" % code)
        if then == "reads on":
            drain(server)
        elif then == "hangs up":
            server.close()
        pump(line)
        assert judged(line.verdict)[:2] == ("deferred", "dot")
        assert line.verdict.reply == f"{code} what?"
        assert then == "hangs up" or not drain(server).endswith(b".\r\n")


def fill(sock):
    """Let the connection hold as much as it can, as where the server is slow to read."""
    with suppress(BlockingIOError):
        while sock.send(b"x" * 65_536):
            pass


def test_a_recipient_may_be_taken_in_three_ways():
    for code in (250, 251, 252):
        with pair() as (line, server):
            line.begin(envelope(), MIME)
            server.sendall(b"250 ok\r\n%d ok\r\n354 go on\r\n" % code)
            assert pump(line) == "fence"


def test_a_server_that_reads_nothing_gets_no_more_time(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME * 10_000)
        server.sendall(EXPECTED_CODES)
        assert pump(line) == "closed"
        assert judged(line.verdict) == ("deferred", "body", "")


def test_a_server_that_reads_on_gets_more_time(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME * 20_000)
        server.sendall(EXPECTED_CODES)
        for _ in range(4):
            pump(line, seconds=0.05)
            assert line.state == "busy"
            drain(server)


def drain(sock):
    """Return what has come."""
    sock.setblocking(False)
    found = b""
    with suppress(BlockingIOError):
        while more := sock.recv(1 << 20):
            found += more
    return found


def test_a_server_that_hangs_up_amid_the_body_is_heard_out():
    with pair() as (line, server):
        line.begin(envelope(), MIME * 10_000)
        server.sendall(EXPECTED_CODES)
        pump(line, seconds=0.05)
        server.sendall(b"552 5.3.4 too big\r\n")
        server.close()
        pump(line)
        assert judged(line.verdict) == ("deferred", "body", "")
        assert line.verdict.reply == "552 5.3.4 too big"


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        (b"250 ok\r\n550 5.1.1 no\r\n354 go on\r\n", ("refused", "rcpt", "address")),
        (b"250 ok\r\n550 5.1.1 no\r\n", ("refused", "rcpt", "address")),  # It may yet ask.
        (b"450 no\r\n503 no\r\n354 go on\r\n", ("deferred", "mail", "")),
    ],
)
def test_a_letter_is_refused_and_a_body_is_asked_for_all_the_same(replies, expected):
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.recv(1_000)
        server.sendall(replies)
        pump(line)
        assert judged(line.verdict) == expected
        assert server.recv(1_000) == b""  # Not even QUIT, which would be the body.


def test_a_line_that_is_closed_amid_a_letter_says_nothing_that_would_be_its_body():
    with at_fence() as (line, server):
        line.close()
        assert drain(server).endswith(b"DATA\r\n" + MIME)


# Whatever is said

CHUNKS = st.binary(max_size=80) | st.lists(
    st.sampled_from(
        [b"250 ok\r\n", b"354 go\r\n", b"550 5.1.1 no\r\n", b"421", b"\r\n", b"-", b"250"]
    )
).map(b"".join)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    envelope_replies=st.just([b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"]) | st.lists(CHUNKS),
    at_fence=st.just(b"") | CHUNKS,
    at_dot=CHUNKS,
    pipelines=st.booleans(),
)
def test_no_letter_is_accepted_without_a_250_after_its_dot(
    envelope_replies, at_fence, at_dot, pipelines
):
    with pair(frozenset({"pipelining"} if pipelines else ())) as (line, server):
        line.begin(envelope(), MIME)
        for said in envelope_replies:
            hear(line, server, said)
        hear(line, server, at_fence)
        if line.state == "fence":
            line.finish()
        was_asked = line.state == "answering"
        hear(line, server, at_dot)
        server.close()  # Heard at once, unless a process that is just begun has it open as well.
        pump(line, until=("free", "closed"))
        if line.verdict.status in ("accepted", "unknown"):
            assert was_asked
        if line.verdict.status == "accepted":
            assert re.match(rb"(250-[^\n]*\n)*250( [^\n]*)?\r?\n", at_dot)


def hear(line, server, said):
    if line.state != "closed":
        server.sendall(said)
        line.pump(0)
