"""Letters on SMTP connections: what each fault at each stage leaves of letter and line."""

import ipaddress
import re
import select
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions.post import smtp_line, smtp_server
from subscriptions.post.line import Envelope, NoLine
from subscriptions.post.smtp_line import SECONDS, SmtpLine
from subscriptions.post.smtp_server import SmtpServer, SmtpTransport, check, parse_server
from tests.make import NOW
from tests.smtp_server import EXTENSIONS, MailServer

MIME = b"Subject: Papers\r\n\r\n" + b"Graphs.\r\n" * 50
SENDER = "digest@papers.example.org"
ONE_BY_ONE = ("8BITMIME",)
COMMANDS = ["mail", "rcpt", "data"]
STAGES = [*COMMANDS, "dot"]


@pytest.fixture(params=["pipelined", "one by one"])
def server(request):
    with MailServer(EXTENSIONS if request.param == "pipelined" else ONE_BY_ONE) as server:
        yield server
        server.shutdown()


@pytest.fixture
def opened():
    """Return a function that opens a line to a server, until the test is over."""
    with ExitStack() as lines:

        def open_line(server, **fields):
            line = transport(server, **fields).open()
            lines.callback(line.close)
            return line

        yield open_line


@pytest.fixture
def line(server, opened):
    return opened(server)


@pytest.fixture
def impatient(monkeypatch):
    for stage in SECONDS:
        monkeypatch.setitem(SECONDS, stage, 0.15)


def transport(server, **fields):
    return SmtpTransport(SmtpServer(*server.server_address, **fields))


def envelope(order="reader"):
    """Return an envelope whose recipient, or sender before RCPT, says what the server does."""
    is_early = order.endswith("-mail")
    sender = f"{order}@example.org" if is_early else SENDER
    return Envelope(sender, "r@example.org" if is_early else f"{order}@example.org", "", 1, NOW)


def pump(line, seconds=3.0, until=("fence", "free", "closed")):
    """Do what the engine does: pump whenever the socket is ready, and to look at the time."""
    deadline = time.monotonic() + seconds
    while line.state not in until and time.monotonic() < deadline:
        writers = [line] if line.wants_write else []
        select.select([line], writers, [], 0.02)
        line.pump(time.monotonic())
    return line.state


def deliver(line, order="reader", mime=MIME):
    """Hand a letter over, if need be through the fence. Return the verdict."""
    line.begin(envelope(order), mime)
    if pump(line) == "fence":
        line.finish()
        pump(line)
    return line.verdict


def judged(verdict):
    return verdict.answer, verdict.stage, verdict.about


@contextmanager
def pair(extensions=frozenset({"pipelining"})):
    """Return a line, and the server's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(3)
        yield SmtpLine(ours, extensions), theirs


# What is accepted


def test_a_letter_arrives_as_it_is_and_the_line_is_free_again(server, line):
    verdict = deliver(line)
    assert judged(verdict) == ("accepted", "dot", "")
    assert verdict.reply == "250 2.0.0 kept"
    assert line.state == "free"
    assert server.accepted == [("reader@example.org", MIME)]


def test_a_hundred_letters_go_over_one_connection(server, line):
    assert {deliver(line, f"r{n}").answer for n in range(100)} == {"accepted"}
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
    assert deliver(line, mime=mime).answer == "accepted"
    ((_, kept),) = server.accepted
    assert kept == mime or kept == mime + b"\r\n"


def test_a_dot_after_a_bare_lf_ends_no_letter():
    with pair() as (line, server):
        line.begin(envelope(), b"Hello\n.\nMAIL FROM:<x@example.org>\r\n")
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        assert b"\n.\n" not in server.recv(65_536)


def test_a_letter_needs_no_last_line_end(server, line):
    assert deliver(line, mime=b"Subject: x\r\n\r\nx").answer == "accepted"
    assert server.accepted[0][1].endswith(b"\r\nx\r\n")


def test_a_large_letter_reaches_a_slow_reader():
    mime = b"x" * 70 + b"\r\n"
    mime *= 100_000
    with pair() as (line, server):
        line.begin(envelope(), mime)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        assert pump(line, seconds=0.1) == "busy"
        assert line.wants_write
        received = bytearray()
        while line.state == "busy":
            received += server.recv(50_000)
            line.pump(time.monotonic())
        server.setblocking(False)
        while not received.endswith(mime[-1_000:]) or len(received) < len(mime):
            received += server.recv(1 << 20)
        assert received.partition(b"DATA\r\n")[2] == mime
        assert (line.state, line.wants_write) == ("fence", False)


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
        line.pump(time.monotonic())
        assert line.state == "fence"
        assert server.recv(65_536) == MIME
        line.finish()
        assert server.recv(100) == b".\r\n"
        server.sendall(b"250 ok\r\n")
        line.pump(time.monotonic())
        assert line.verdict.answer == "accepted"


def test_nothing_of_the_dot_is_sent_before_it_is_asked_for(server, line):
    line.begin(envelope(), MIME)
    assert pump(line) == "fence"
    time.sleep(0.05)
    line.pump(time.monotonic())
    assert (line.state, line.verdict) == ("fence", None)
    assert server.accepted == []


def test_a_letter_that_is_withdrawn_is_not_kept(server, line):
    line.begin(envelope(), MIME)
    pump(line)
    line.withdraw()
    wait_for(lambda: server.bodies)
    assert (line.state, line.fileno()) == ("closed", None)
    assert server.bodies == [MIME]
    assert server.accepted == []


def wait_for(condition):
    deadline = time.monotonic() + 3
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)


# What each fault leaves of a letter


@pytest.mark.parametrize("stage", STAGES)
def test_4yz_is_for_later(server, line, stage):
    assert judged(deliver(line, f"450-{stage}")) == ("deferred", stage, "")
    assert line.state == "closed"
    assert server.accepted == []


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_421_is_about_the_provider_once_it_has_the_address(server, line, stage):
    assert judged(deliver(line, f"421-{stage}")) == ("deferred", stage, "provider")


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_5yz_is_for_ever(server, line, stage):
    assert judged(deliver(line, f"550-{stage}")) == ("refused", stage, "address")
    assert line.state == "closed"
    assert server.accepted == []


def test_a_sender_that_is_refused_is_no_end_of_a_letter(server, line):
    assert judged(deliver(line, "550-mail")) == ("deferred", "mail", "")


@pytest.mark.parametrize("code", [530, 534, 535, 538])
@pytest.mark.parametrize("stage", STAGES)
def test_having_to_log_in_is_about_us(server, line, stage, code):
    assert judged(deliver(line, f"{code}-{stage}")) == ("deferred", stage, "us")


@pytest.mark.parametrize("how", ["drop", "reset", "garble", "204"])
@pytest.mark.parametrize("stage", STAGES)
def test_silence_and_nonsense_leave_doubt_only_after_the_dot(server, line, stage, how):
    expected = "unknown" if stage == "dot" else "deferred"
    assert judged(deliver(line, f"{how}-{stage}")) == (expected, stage, "")
    assert line.state == "closed"


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_owes_an_answer_too_long_gets_no_more_time(server, line, stage, impatient):
    verdict = deliver(line, f"silent-{stage}")
    assert judged(verdict) == ("unknown" if stage == "dot" else "deferred", stage, "")
    assert verdict.reply == "the mail server did not answer in time"


@pytest.mark.parametrize("stage", STAGES)
def test_an_answer_that_comes_a_byte_at_a_time_is_an_answer(server, line, stage):
    assert deliver(line, f"slow-{stage}").answer == "accepted"


@pytest.mark.parametrize("stage", STAGES)
def test_bytes_that_trickle_in_buy_no_time(server, line, stage, impatient, monkeypatch):
    monkeypatch.setattr("tests.smtp_server.BYTE_SECONDS", 0.05)
    assert deliver(line, f"slow-{stage}").answer == ("unknown" if stage == "dot" else "deferred")


def test_each_answer_has_a_time_of_its_own_though_all_was_said_together(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"):
            assert pump(line, seconds=0.1) == "busy"
            server.sendall(reply)
            line.pump(time.monotonic())
        assert line.state == "fence"


def test_the_time_that_a_letter_waits_at_the_fence_is_not_the_servers(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        fill(line._sock)
        time.sleep(0.2)
        line.pump(time.monotonic())
        assert line.state == "fence"
        line.finish()
        line.pump(time.monotonic())
        assert line.state == "answering"


def test_the_time_allowed_is_what_rfc_5321_asks_for():
    assert SECONDS == {"mail": 300, "rcpt": 300, "data": 120, "body": 180, "dot": 600}


@pytest.mark.parametrize("stage", COMMANDS)
def test_two_answers_to_one_command_end_the_conversation(server, line, stage):
    assert deliver(line, f"glued-{stage}").answer == "deferred"
    assert line.state == "closed"
    assert server.accepted == []


def test_answers_to_what_was_not_said_yet_end_the_conversation():
    """Else an answer to RCPT that came late could be taken for one to the dot."""
    with pair(frozenset()) as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        assert line.verdict.answer == "deferred"
        assert server.recv(1_000).count(b"\r\n") == 1


def test_the_first_answer_to_the_dot_counts_and_the_line_is_not_used_again(server, line):
    assert deliver(line, "glued-dot").answer == "accepted"
    pump(line, until="closed", seconds=1)
    assert line.state == "closed"


def test_an_answer_before_the_dot_is_no_acceptance(server, line):
    line.begin(envelope("early-body"), MIME)
    pump(line)
    time.sleep(0.05)
    line.finish()
    assert judged(line.verdict) == ("deferred", "body", "")
    assert server.accepted == []


@pytest.mark.parametrize("then", ["waits", "reads on", "hangs up"])
@pytest.mark.parametrize("code", [250, 421, 550])
def test_an_answer_while_the_dot_waits_in_our_hands_is_none_to_it(code, then):
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        fill(line._sock)
        line.finish()
        assert (line.state, line.wants_write) == ("answering", True)
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


def test_half_an_answer_before_the_dot_is_no_acceptance():
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        server.sendall(b"250-early\r\n")
        line.finish()
        assert judged(line.verdict) == ("deferred", "body", "")


@pytest.mark.parametrize("code", [250, 251, 252])
def test_a_recipient_may_be_taken_in_three_ways(code):
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n%d ok\r\n354 go on\r\n" % code)
        assert pump(line) == "fence"


def test_a_server_that_hangs_up_at_the_fence_is_not_sent_the_dot(server, line):
    line.begin(envelope("drop-body"), MIME)
    pump(line)
    time.sleep(0.05)
    line.finish()
    assert judged(line.verdict) == ("deferred", "body", "")


def test_a_server_that_reads_nothing_gets_no_more_time(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME * 10_000)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        assert pump(line) == "closed"
        assert judged(line.verdict) == ("deferred", "body", "")
        assert not line.wants_write


def test_a_server_that_reads_on_gets_more_time(impatient):
    with pair() as (line, server):
        line.begin(envelope(), MIME * 100_000)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        for _ in range(6):
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
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
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
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
        pump(line)
        line.close()
        assert drain(server).endswith(b"DATA\r\n" + MIME)


def test_after_a_refused_letter_the_next_one_has_a_line_of_its_own(server, opened):
    assert deliver(opened(server), "550-rcpt").answer == "refused"
    assert deliver(opened(server)).answer == "accepted"
    assert server.connected == 2


def test_a_refused_letter_takes_its_leave_where_the_server_reads_commands():
    with pair() as (line, server):
        line.begin(envelope(), MIME)
        server.recv(1_000)
        server.sendall(b"250 ok\r\n550 5.1.1 no\r\n554 no valid recipients\r\n")
        pump(line)
        assert server.recv(1_000) == b"QUIT\r\n"


def test_a_refused_letter_takes_its_leave_where_commands_go_out_one_by_one():
    with pair(frozenset()) as (line, server):
        line.begin(envelope(), MIME)
        server.recv(1_000)
        server.sendall(b"550 5.1.1 no\r\n")
        pump(line)
        assert server.recv(1_000) == b"QUIT\r\n"


def test_a_server_that_refuses_and_is_gone_before_leave_is_taken_has_been_heard():
    with pair(frozenset()) as (line, server):
        line.begin(envelope(), MIME)
        server.sendall(b"550 5.1.1 no\r\n")
        server.close()
        pump(line)
        assert (line.verdict.answer, line.verdict.reply) == ("deferred", "550 5.1.1 no")


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
        line.begin(Envelope(sender, recipient, "", 1, NOW), MIME)
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
        line.pump(time.monotonic())
        assert not line.is_fresh(time.monotonic())
        assert (line.state, line.verdict) == ("closed", None)


def test_a_line_that_was_idle_for_long_is_not_trusted():
    with pair() as (line, server):
        now = time.monotonic()
        assert line.is_fresh(now + smtp_line.FRESH_SECONDS - 1)
        assert not line.is_fresh(now + smtp_line.FRESH_SECONDS + 1)
        assert line.state == "closed"
        assert server.recv(100) == b"QUIT\r\n"


def test_a_line_that_is_at_a_letter_has_no_verdict_and_is_not_free():
    with pair() as (line, server):
        used(line, server)
        line.begin(envelope(), MIME)
        assert line.verdict is None
        assert not line.is_fresh(time.monotonic() + 2 * smtp_line.FRESH_SECONDS)
        assert line.state == "busy"  # However long that takes.


def test_a_line_is_idle_since_its_last_letter():
    with pair() as (line, server):
        line._idle_since -= smtp_line.FRESH_SECONDS - 1
        used(line, server)
        assert line.is_fresh(time.monotonic() + 2)


def used(line, server):
    line.begin(envelope(), MIME)
    server.sendall(b"250 ok\r\n250 ok\r\n354 go on\r\n")
    pump(line)
    line.finish()
    server.sendall(b"250 ok\r\n")
    pump(line)
    server.recv(65_536)
    assert line.verdict.answer == "accepted"


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
        assert judged(line.verdict) == ("deferred", "mail", "line")


@pytest.mark.parametrize(
    ("reply", "about"), [(b"452 4.3.1 no space\r\n", "us"), (b"550 no\r\n", "")]
)
def test_a_used_line_that_stays_open_has_an_answer_of_its_own(reply, about):
    with pair() as (line, server):
        used(line, server)
        line.begin(envelope(), MIME)
        server.sendall(reply)
        pump(line)
        assert judged(line.verdict) == ("deferred", "mail", about)


def test_a_provider_that_wants_us_slower_is_heard_on_a_used_line_too():
    with pair() as (line, server):
        used(line, server)
        line.begin(envelope(), MIME)
        server.sendall(b"250 ok\r\n421 4.7.0 slow down\r\n")
        pump(line)
        assert judged(line.verdict) == ("deferred", "rcpt", "provider")


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
        line.close()
        line.begin(envelope(), MIME)
        assert judged(line.verdict) == ("deferred", "mail", "line")


def test_a_closed_line_stays_closed_whatever_is_asked_of_it():
    with pair() as (line, _):
        line.withdraw()
        line.pump(time.monotonic())
        line.finish()
        line.close()
        assert (line.state, line.verdict, line.wants_write) == ("closed", None, False)


def test_leave_is_taken_without_waiting(server, line):
    server.replies["quit"] = b""
    deliver(line)
    began = time.monotonic()
    line.close()
    wait_for(lambda: b"QUIT\r\n" in server.heard)
    assert b"QUIT\r\n" in server.heard
    assert time.monotonic() - began < 1


# Whatever is said

CHUNKS = st.binary(max_size=80) | st.lists(
    st.sampled_from(
        [b"250 ok\r\n", b"354 go\r\n", b"550 5.1.1 no\r\n", b"421", b"\r\n", b"-", b"250"]
    )
).map(b"".join)


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
        line.finish()
        was_asked = line.state == "answering"
        hear(line, server, at_dot)
        server.close()
        line.pump(time.monotonic())
        assert line.state == "closed"
        if line.verdict.answer in ("accepted", "unknown"):
            assert was_asked
        if line.verdict.answer == "accepted":
            assert re.match(rb"(250-[^\n]*\n)*250( [^\n]*)?\r?\n", at_dot)


def hear(line, server, said):
    if line.state != "closed":
        server.sendall(said)
        line.pump(time.monotonic())


# How we get in


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody but itself vouches for, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example.org")])
    now = timezone.now()
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "mail.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(pem)
    )
    return file


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.fixture(params=["starttls", "implicit"])
def tls_server(request, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    extensions = (*EXTENSIONS, "AUTH PLAIN LOGIN")
    if request.param == "starttls":
        extensions += ("STARTTLS",)
    with MailServer(extensions, context) as server:
        server.told = request.param
        yield server
        server.shutdown()


SECRET = {"user": "you", "password": "hush"}


def test_letters_go_over_tls(tls_server, trusted, opened):
    line = opened(tls_server, tls=tls_server.told, **SECRET)
    large = b"x" * 70 + b"\r\n"
    large *= 10_000
    assert deliver(line).answer == "accepted"
    assert deliver(line, mime=large).answer == "accepted"
    assert [mime for _, mime in tls_server.accepted] == [MIME, large]


def test_what_is_offered_is_asked_again_once_nobody_can_listen_in(tls_server, trusted, opened):
    opened(tls_server, tls=tls_server.told)
    in_turn = {"starttls": [b"ehlo", b"STAR", b"ehlo"], "implicit": [b"ehlo"]}
    assert [line[:4] for line in tls_server.heard] == in_turn[tls_server.told]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", ["drop", "550", "slow"])
def test_faults_mean_the_same_over_tls(tls_server, trusted, opened, stage, how):
    line = opened(tls_server, tls=tls_server.told)
    expected = {
        "slow": "accepted",
        "drop": "unknown" if stage == "dot" else "deferred",
        "550": "deferred" if stage == "mail" else "refused",
    }
    assert deliver(line, f"{how}-{stage}").answer == expected[how]


def refusal(server, **fields):
    with pytest.raises(NoLine) as refused:
        transport(server, **fields).open()
    return refused.value


def test_a_certificate_that_nobody_vouches_for_gets_no_letter_and_no_password(tls_server):
    refused = refusal(tls_server, tls=tls_server.told, **SECRET)
    assert refused.kind == "tls"
    assert "CERTIFICATE_VERIFY_FAILED" in refused.reply
    assert [line[:4] for line in tls_server.heard] in ([], [b"ehlo", b"STAR"])


def test_a_certificate_for_another_name_is_refused(tls_server, trusted):
    server = SmtpServer("localhost", tls_server.server_address[1], tls_server.told)
    with pytest.raises(NoLine) as refused:
        SmtpTransport(server).open()
    assert refused.value.kind == "tls"


def test_without_starttls_nothing_is_said_in_plain_text(server):
    assert refusal(server, tls="starttls", **SECRET).kind == "tls"
    assert [line[:4] for line in server.heard] == [b"ehlo"]


def test_a_server_that_hangs_up_amid_the_handshake_is_not_reached():
    with MailServer((*EXTENSIONS, "STARTTLS"), tls=None) as server:  # It has no certificate.
        assert refusal(server, tls="starttls").kind == "unreachable"
        server.shutdown()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"454 4.7.0 TLS is away\r\n", "unreachable"),
        (b"502 no\r\n", "tls"),
        (b"220 go ahead\r\n250 and this is said in plain text\r\n", "unreachable"),
    ],
)
def test_starttls_that_is_not_started_ends_it(reply, kind):
    with MailServer((*EXTENSIONS, "STARTTLS")) as server:
        server.replies["starttls"] = reply
        assert refusal(server, tls="starttls", **SECRET).kind == kind
        assert b"hush" not in b"".join(server.heard)
        assert len(server.heard) == 2
        server.shutdown()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"535 5.7.8 no\r\n", "auth"),
        (b"534 5.7.9 mechanism too weak\r\n", "auth"),
        (b"500 what?\r\n", "auth"),
        (b"454 4.7.0 later\r\n", "unreachable"),
        (b"\xff\r\n", "unreachable"),
    ],
)
def test_a_password_that_is_not_taken_is_told_apart_from_a_server_that_is_busy(reply, kind):
    with MailServer((*EXTENSIONS, "AUTH PLAIN")) as server:
        server.replies["auth"] = reply
        assert refusal(server, **SECRET).kind == kind
        server.shutdown()


def test_a_server_that_talks_nonsense_is_not_told_the_password_in_another_way():
    with MailServer((*EXTENSIONS, "AUTH PLAIN LOGIN")) as server:
        server.replies["auth"] = b"\xff\r\n"
        refusal(server, **SECRET)
        assert [line[:4] for line in server.heard] == [b"ehlo", b"AUTH"]
        server.shutdown()


def test_a_server_that_takes_no_passwords_is_not_given_letters(server):
    assert refusal(server, **SECRET).kind == "auth"


def test_a_password_that_cannot_be_sent_is_not_shown():
    with MailServer((*EXTENSIONS, "AUTH PLAIN")) as server:
        refused = refusal(server, user="you", password="hüsh")
        assert refused.kind == "auth"
        assert refused.reply.startswith("the user name or password holds a character")
        server.shutdown()


@pytest.mark.parametrize(
    "greeting",
    [b"421 not now\r\n", b"554 go away\r\n", b"\xff\r\n", b"", b"220 " + b"x" * 10_000 + b"\r\n"],
)
def test_a_server_that_greets_badly_is_not_reached(server, greeting, monkeypatch):
    monkeypatch.setattr(smtp_server, "CONNECT_SECONDS", 0.2)
    server.at_connect = greeting
    assert refusal(server).kind == "unreachable"


def test_a_server_that_hangs_up_unsaid_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("tests.smtp_server.Conversation.handle", lambda conversation: None)
    assert refusal(server).reply == "SMTPServerDisconnected: it hung up"


def test_what_the_server_offers_is_what_is_used(server):
    sock, extensions = smtp_server.connect(SmtpServer(*server.server_address), None)
    sock.close()
    assert extensions == {name.lower() for name in server.extensions}


def test_bytes_that_trickle_in_buy_no_time_at_the_greeting(server, monkeypatch):
    monkeypatch.setattr(smtp_server, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("tests.smtp_server.BYTE_SECONDS", 0.05)
    monkeypatch.setattr("tests.smtp_server.Conversation.say", trickle)
    assert refusal(server).reply == "the mail server did not answer in time"


def trickle(conversation, reply):
    for byte in reply:
        conversation.wfile.write(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize(
    "reply", [b"421 not now\r\n", b"250-\r\n250 ok\r\n250 ok\r\n", b"220 hi\r\n"]
)
def test_a_server_that_answers_ehlo_badly_is_not_reached(server, reply):
    server.replies["ehlo"] = reply
    assert refusal(server).kind == "unreachable"


def test_a_server_without_ehlo_is_greeted_with_helo(server, opened):
    server.replies["ehlo"] = b"502 what?\r\n"
    assert deliver(opened(server)).answer == "accepted"


@pytest.mark.parametrize("host", ["x" * 64 + ".example.org", "a..b"])
def test_a_host_that_no_name_can_have_is_not_reached(host):
    with pytest.raises(NoLine) as refused:
        SmtpTransport(SmtpServer(host, 25)).open()
    assert refused.value.kind == "unreachable"


def test_the_dot_does_not_wait_for_the_server_to_acknowledge_the_body(server):
    sock, _ = smtp_server.connect(SmtpServer(*server.server_address), None)
    with sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_nobody_listening_is_not_reached():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
    with pytest.raises(NoLine) as refused:
        SmtpTransport(SmtpServer(*address)).open()
    assert refused.value.kind == "unreachable"


def test_a_mail_server_that_greets_us_well_checks_out(server):
    assert check(SmtpServer(*server.server_address)) == ""
    server.at_connect = b"554 go away\r\n"
    assert check(SmtpServer(*server.server_address)) == "554 go away"


# Where it is


def test_the_mail_server_is_read_from_its_address():
    server = parse_server(
        "smtp://you%40x:h%2Fush@mail.example.org:2525?tls=starttls&connections=50"
    )
    assert server == SmtpServer("mail.example.org", 2525, "starttls", "you@x", "h/ush", 50)
    assert "ush" not in repr(server)


@pytest.mark.parametrize(
    ("url", "port", "tls"),
    [
        ("smtp://mail.example.org", 25, "none"),
        ("smtp://mail.example.org:587", 587, "starttls"),
        ("smtp://mail.example.org:465", 465, "implicit"),
        ("smtps://mail.example.org", 465, "implicit"),
        ("smtp://mail.example.org?tls=starttls", 587, "starttls"),
        ("smtp://mail.example.org:587?tls=none", 587, "none"),
    ],
)
def test_the_port_and_the_scheme_say_which_tls_is_meant(url, port, tls):
    server = parse_server(url)
    assert (server.port, server.tls, server.connections) == (port, tls, 20)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("smtp://you:hush@mail.example.org", "EMAIL_URL: a password is never sent to another"),
        ("smtp://you:hush@10.0.0.7?tls=none", "EMAIL_URL: a password is never sent to another"),
        ("smtp://mail.example.org?connections=0", "EMAIL_URL: connections must be a number from 1"),
        ("smtp://mail.example.org?connections=501", "EMAIL_URL: connections must be a number"),
        ("smtp://mail.example.org?connections=many", "EMAIL_URL: connections must be a number"),
    ],
)
def test_a_mail_server_that_makes_no_sense_is_refused_with_a_sentence(url, sentence):
    with pytest.raises(ImproperlyConfigured) as refused:
        parse_server(url)
    assert str(refused.value).startswith(sentence)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
def test_a_password_may_stay_on_this_machine_without_tls(host):
    assert parse_server(f"smtp://you:hush@{host}").password == "hush"
