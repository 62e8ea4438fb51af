"""Replies of mail servers: parsed in any chunks, and classified."""

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.delivery.transports import smtp_replies
from subscriptions.delivery.transports.smtp_replies import (
    EXPECTED_CODES,
    Reply,
    classify_reply,
    take_reply,
)
from tests.helpers import data_files

DATA = data_files.load("smtp_replies.toml")
STAGES = ["connect", "hello", "tls", "auth", *EXPECTED_CODES]


def read(*chunks):
    """Return all replies in what a server says, chunk by chunk. A malformed one is the last."""
    received, found = b"", []
    for chunk in chunks:
        received += chunk
        reply, rest = take_reply(received)
        while reply is not None:
            found.append(reply)
            if not reply.code:
                return found
            received = rest
            reply, rest = take_reply(received)
    return found


def said(text):
    (reply,) = read(text.encode() + b"\r\n")
    return reply


def test_reply_has_a_code_a_status_and_words():
    reply = said("550 5.1.1 No such user")
    assert (reply.code, reply.enhanced_status, str(reply)) == (
        550,
        "5.1.1",
        "550 5.1.1 No such user",
    )
    assert "\x00" not in str(said("550 no \x00\x1b[31m"))  # It goes into the database.


def test_replies_are_parsed_in_any_chunks():
    for text, replies in DATA["parsed"]:
        whole = text.encode()
        assert [str(reply).strip() for reply in read(whole)] == replies
        assert read(*(bytes([byte]) for byte in whole)) == read(whole)


def test_long_line_is_parsed_in_any_chunks():
    whole = b"250-2.0.0 " + b"x" * 4_000 + b"\r\n250 " + b"y" * 4_000 + b"\r\n"
    pieces = [whole[at : at + 1_448] for at in range(0, len(whole), 1_448)]
    for reply in (*read(whole), *read(*pieces)):
        assert classify_reply("dot", reply) == ("accepted", "")
        assert len(str(reply)) == smtp_replies.MAX_REPLY_LENGTH


def test_incomplete_reply_is_kept():
    for begun in (b"250 ok", b"250-ok\r\n", b"25"):
        assert take_reply(begun) == (None, begun)


def test_malformed_reply_ends_the_conversation():
    for pieces in DATA["malformed"]:
        line = data_files.repeated(pieces)
        (reply,) = read(line + b"\r\n250 ok\r\n", b"250 ok\r\n")
        assert reply.code == 0
        assert len(str(reply)) <= smtp_replies.MAX_REPLY_LENGTH


def test_enhanced_status_is_read_after_the_code():
    for text, status in DATA["enhanced"]:
        assert said(text).enhanced_status == (status or None)


def test_only_250_at_the_dot_is_acceptance():
    for stage, code in itertools.product(STAGES, range(1_000)):
        is_accepted = classify_reply(stage, Reply(code, "ok"))[0] == "accepted"
        assert is_accepted == ((stage, code) == ("dot", 250))


@pytest.mark.parametrize("stage", STAGES)
def test_codes_are_classified_by_stage(stage):
    is_about_letter = stage in ("rcpt", "data", "dot")
    about = "us" if stage == "mail" else ""  # No letter would fare better there.
    assert classify_reply(stage, said("451 4.3.0 try again")) == ("deferred", about)
    for_ever = "refused" if is_about_letter else "deferred"
    assert classify_reply(stage, said("554 5.7.1 no"))[0] == for_ever
    for code in (530, 534, 535, 538):  # Having to log in is about us.
        assert classify_reply(stage, Reply(code, "5.7.0 who are you?")) == ("deferred", "us")
    nonsense = "unknown" if stage == "dot" else "deferred"
    for code in (0, 200, 251, 334, 399):
        assert classify_reply(stage, Reply(code, "?")) == (nonsense, "")
    for status in ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1") * is_about_letter:
        assert classify_reply(stage, said(f"550 {status} no")) == ("refused", "address")


@pytest.mark.parametrize("text", DATA["bad_address"])
def test_prose_reply_marks_an_address_as_bad(text):
    assert classify_reply("rcpt", Reply(int(text[:3]), text[4:])) == ("refused", "address")


@pytest.mark.parametrize("text", DATA["other_refusal"])
def test_reply_about_something_else_marks_no_address(text):
    assert classify_reply("rcpt", said(text)) == ("refused", "")


def test_name_of_a_host_does_not_grade_its_reply():
    reply = "host spam.unknown.example [192.0.2.1]: 550 {}"
    for words, grade in (("no such user", "hard"), ("an error", "soft")):
        assert smtp_replies.grade_of("", reply.format(words)) == grade


ABOUT = [("rcpt", text, "") for text in DATA["one_letter"]]


@pytest.mark.parametrize(("stage", "text", "about"), [*ABOUT, *DATA["stages"]])
def test_deferral_is_attributed_to_letter_or_us(stage, text, about):
    assert classify_reply(stage, said(text)) == ("deferred", about)


LIKE_REPLIES = st.lists(
    st.sampled_from([b"250", b"-", b" ", b"\r\n", b"\n", b"5.1.1", b"550", b"\xff", b"\r", b"ok"])
).map(b"".join)


@given(st.lists(st.binary(max_size=60) | LIKE_REPLIES, max_size=8), st.sampled_from(STAGES))
def test_any_bytes_are_classified_without_false_acceptance(chunks, stage):
    found = read(*chunks)
    assert [one for one in found if one.code] == [one for one in read(b"".join(chunks)) if one.code]
    for reply in found:
        answer, _ = classify_reply(stage, reply)
        assert str(reply).isprintable()
        if answer == "accepted":
            assert stage == "dot"
            assert re.search(rb"(?:^|\n)250(?: [^\n]*)?\r?\n", b"".join(chunks))


def test_long_text_is_searched_for_addresses_quickly():
    begun = time.monotonic()
    assert smtp_replies.without_addresses("x" * 100_000) == "x" * 100_000
    reply = f"550 <anna@example.org>:{'x' * 100_000}@b@c no"
    assert smtp_replies.without_addresses(reply) == "550 <…>… no"
    assert time.monotonic() - begun < 1
