"""Bounces that are no delivery reports, as of qmail and of some Exims, and what looks alike."""

import time
from textwrap import dedent

import pytest

from subscriptions.models import LetterFact
from subscriptions.post import reports
from tests.bounces.receiving import receive, state_of, useless
from tests.came_back import address_of
from tests.make import NOW

pytestmark = pytest.mark.django_db

QMAIL = """\
    Hi. This is the qmail-send program at mail.example.net.
    I'm afraid I wasn't able to deliver your message to the following addresses.
    This is a permanent error; I've given up. Sorry it didn't work out.

    <reader@example.org>:
    {said}

    --- Below this line is a copy of the message.

    Return-Path: <bounces@paperboy.example>
    Subject: Papers

    A full quota of papers, 550 5.2.2 of them.
    """
EXIM = """\
    This message was created automatically by mail delivery software.

    A message that you sent could not be delivered to one or more of its
    recipients. This is a permanent error. The following address(es) failed:

      reader@example.org
        {said}

    ------ This is a copy of the message, including all the headers. ------

    Subject: Papers
    """


def bounce(to, body=QMAIL, said="Sorry, no mailbox here by that name. (#5.1.1)", **headers):
    told = {"From": "MAILER-DAEMON@mail.example.net", "To": to, "Subject": "failure notice"}
    told |= {"Message-ID": "<1@mail.example.net>", "Date": "Mon, 01 Jun 2026 12:05:00 +0000"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\n" for name, value in told.items())
    return f"{lines}\n{dedent(body).format(said=said)}".encode()


def exim(to, said="Unrouteable address"):
    headers = {"Auto_Submitted": "auto-replied", "X_Failed_Recipients": "reader@example.org"}
    return bounce(to, EXIM, said, From="Mail Delivery System <Mailer-Daemon@x.example>", **headers)


@pytest.mark.parametrize("made", [bounce, exim])
def test_a_bounce_in_words_stops_letters(reader, letter, made):
    assert receive(made(address_of(letter))) == "recorded"
    assert receive(made(address_of(letter))) == "known"
    fact = LetterFact.objects.get()
    assert (fact.kind, fact.grade, fact.letter) == ("bounced", "hard", letter)
    assert state_of(reader) == "bounced"
    assert "reader@" not in fact.said + reader.suppressed_reason


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (bounce, "The mailbox is over its size. (#5.2.2)"),
        (bounce, "I could not connect to the server. (#4.4.1)"),
        (bounce, "550 5.7.1 Your message was taken for spam."),
        (bounce, "The mailbox is full."),
        (exim, "retry timeout exceeded"),
    ],
)
def test_what_may_pass_is_counted_and_stops_nothing_by_itself(reader, letter, made, said):
    assert receive(made(address_of(letter), said=said)) == "recorded"
    assert LetterFact.objects.get().grade in ("soft", "policy")
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    ("to", "why"),
    [("bounces@paperboy.example", "foreign"), ("digest+1.927.0123456789abcdef@{}", "forged")],
)
def test_a_bounce_in_words_to_no_signed_address_is_not_believed(reader, letter, to, why):
    mime = bounce(to.format(address_of(letter).partition("@")[2]))
    mime = mime.replace(b"Subject: Papers", f"Message-ID: {letter.message_id}".encode())
    assert receive(mime) == "useless"
    assert useless() == {why: 1}
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    ("sender", "body"),
    [
        # Out of office, a challenge, and a list: all of them quote a bounce.
        ("reader@example.org", "I am away. Of my old address, you hear:\n\n" + QMAIL),
        ("reader@example.org", "Your mail message to the following\n\n<reader@example.org>: click"),
        ("papers-owner@lists.example.org", QMAIL),
        # A mail server that says what happened to nobody.
        ("postmaster@example.org", "Your message to papers@example.org awaits approval."),
        ("MAILER-DAEMON@example.org", "Your message is delayed: <reader@example.org>"),
    ],
)
def test_what_is_no_bounce_changes_nothing(reader, letter, sender, body):
    assert receive(bounce(address_of(letter), body, From=sender)) == "useless"
    assert useless() == {"no-report": 1}
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    "line",
    [
        "failed addresses follow:\n" + "a" * 1_000_000,
        "failed addresses follow:\n" + ("a" * 300 + "\n") * 5_000,
        "the following addresses had\n" + ("a@" * 150 + "\n") * 5_000,
        "here is your list of failed recipients\n" + "<" * 1_000_000,
        "Hi. This is the\n\n" + "<x>:\n" * 200_000,
    ],
)
def test_no_bounce_in_words_takes_long_to_be_read(letter, line):
    begun = time.process_time()
    receive(bounce(address_of(letter), line.replace("{", "")))
    assert time.process_time() - begun < 1


def test_a_bounce_that_breaks_the_library_is_none(letter, monkeypatch):
    monkeypatch.setattr(reports, "scan_message", lambda message: 1 / 0)
    assert receive(bounce(address_of(letter)), now=NOW) == "useless"
