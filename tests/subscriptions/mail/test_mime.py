"""Bytes as SMTP carries them: quoted-printable, and headers that are one header each."""

import quopri
import re
from email import message_from_bytes, policy
from email.header import Header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.mail import mime as wire
from subscriptions.mail import plaintext

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=400)
TOKEN = "A-_b" * 5 + "22.c0-" + "x" * 40


def decoded(quoted):
    return quopri.decodestring(quoted.replace(b"\r\n", b"\n")).decode()


@given(TEXTS)
def test_quoted_text_decodes_and_has_short_ascii_lines(text):
    assert decoded(wire.quoted(text)) == text
    for line in wire.quoted(text).split(b"\r\n"):
        assert len(line) <= 76
        assert re.fullmatch(rb"[\t -~]*", line)
        assert not line.endswith((b" ", b"\t"))
        assert not line.startswith((b"From ", b"."))


@pytest.mark.parametrize("other", [TOKEN.swapcase(), TOKEN.replace(".", "~6a1d73c0.")])
@given(before=TEXTS, after=TEXTS)
def test_quoting_around_a_token_does_not_depend_on_it(other, before, after):
    lines = [wire.quoted(f"{before}/{token}/{after}") for token in (TOKEN, other)]
    assert lines[0].replace(TOKEN.encode(), other.encode()) == lines[1]
    assert b"=\r\n" + TOKEN.encode() + b"=\r\n" in lines[0]


@pytest.mark.parametrize("mistakable", ["From here", ".here", ". . .", "/" + TOKEN + "/.here"])
def test_soft_line_breaks_start_no_envelope_or_end(mistakable):
    for before in range(60, 90):
        text = "a" * before + mistakable
        assert not re.search(rb"^(From |\.)", wire.quoted(text), re.MULTILINE)
        assert decoded(wire.quoted(text)) == text


@pytest.mark.parametrize("subject", ["=?utf-8?q?Your_account?=", "=?utf-8?q?Re=3A_x?= + 9 more"])
def test_text_like_an_encoded_word_is_kept(subject):
    header = wire.header("Subject", subject)
    assert message_from_bytes(header + b"\r\n", policy=policy.default)["Subject"] == subject


def test_long_domain_is_not_cut_into_encoded_words():
    domain = "a" * 60 + "." + "b" * 60 + ".example.org"
    for name, value in (
        ("List-Id", f"Daily papers <daily.{domain}>"),
        ("Feedback-ID", f"20260601:digest:{domain}:paperboy"),
    ):
        assert wire.header(name, value) == f"{name}: {value}\r\n".encode()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x85", "\u2028", "\x1b"])
@pytest.mark.parametrize("name", ["Subject", "X-Other"])
def test_line_end_in_a_header_is_refused(name, end):
    with pytest.raises(ValueError, match=name):
        wire.header(name, f"Papers{end}Bcc: everyone@example.org")


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=80))
def test_short_subject_equals_the_standard_librarys(text):
    subject = plaintext.one_line(text).replace("=?", "")
    folded = Header(subject, None, wire.WIDTH, "Subject").encode(linesep="\r\n")
    assert wire.header("Subject", subject) == f"Subject: {folded}\r\n".encode()


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_one_line_subject_is_one_valid_header(text):
    subject = plaintext.one_line(text)
    header = wire.header("Subject", subject)
    (line, *folded), last = header.split(b"\r\n")[:-1], header.split(b"\r\n")[-1]
    assert last == b""
    assert line.startswith(b"Subject: ") or not subject
    assert all(one.startswith(b" ") and one.strip() for one in folded)
    assert all(len(one) <= 76 for one in (line, *folded)) or subject.isascii()
    assert all(len(word) <= 75 for word in re.findall(rb"=\?[^?]+\?.\?[^?]*\?=", header))
    message = message_from_bytes(header + b"\r\n", policy=policy.default)
    assert message.keys() == ["Subject"]
    assert " ".join(message["Subject"].split()) == subject


def test_message_encodes_names_and_joins_its_parts():
    parts = [wire.quoted("text"), b" =C3=BCnd"], [wire.quoted("<p>html</p>")]
    mime = wire.message([("From", "Päper <a@example.org>")], *parts, "=_mark")
    message = message_from_bytes(mime, policy=policy.default)
    assert message["From"].addresses[0].display_name == "Päper"
    assert [part.get_content() for part in message.iter_parts()] == ["text ünd", "<p>html</p>"]
