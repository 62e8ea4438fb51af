"""Messages that would break their reader, or keep it for long: how much of them is read."""

import time

import pytest

from subscriptions.models import LetterFact
from subscriptions.post import reports, retention, unreadable
from tests.bounces.receiving import HOUR, receive, state_of, useless
from tests.came_back import address_of, complaint, group, report
from tests.make import NOW

pytestmark = pytest.mark.django_db


def test_a_message_that_breaks_its_reader_is_set_aside_once(reader, letter, monkeypatch, data_dir):
    monkeypatch.setattr(reports, "_addresses", lambda *_: 1 / 0)
    mime = report(address_of(letter))
    assert [receive(mime), receive(mime)] == ["aside", "aside"]
    (kept,) = (data_dir / "returned").iterdir()
    assert kept.read_bytes() == mime
    assert kept.stat().st_mode & 0o077 == 0
    assert useless() == {"unreadable": 2}


def test_no_more_than_so_many_are_set_aside(monkeypatch, data_dir):
    monkeypatch.setattr(reports, "read", lambda *_: 1 / 0)
    monkeypatch.setattr(unreadable, "MOST", 3)
    for number in range(5):
        receive(b"%d" % number, now=NOW + number * HOUR)
    kept = sorted(path.read_bytes() for path in (data_dir / "returned").iterdir())
    assert kept == [b"2", b"3", b"4"]
    retention.purge(NOW + unreadable.KEEP + 3.5 * HOUR)
    assert [path.read_bytes() for path in (data_dir / "returned").iterdir()] == [b"4"]


def nested(depth):
    parts = [
        f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n'.encode() for n in range(depth)
    ]
    return b"MIME-Version: 1.0\n" + b"".join(parts)


@pytest.mark.parametrize(
    "mime",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe" * 5000,
        b"Content-Type: multipart/report; report-type=delivery-status\n\n--\n",
        b"Content-Type: multipart/report; boundary=" + b"b" * 100_000 + b"\n\n",
        b"Content-Type: message/delivery-status\n\nAction: failed\nStatus: 5.1.1\n",
        b"Content-Type: message/feedback-report\n\n",
        b"To: " + b"a@b," * 100_000 + b"\n\n",
        b"To: " + b"<" * 200_000 + b"\nMessage-ID: [[[\n\n",
        nested(40),
        nested(3000),
        b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n\nx\n" * 100_000,
        b"Content-Type: text/plain; charset=nonsense\nContent-Transfer-Encoding: base64\n\n???",
    ],
    ids=range(13),
)
def test_whatever_is_sent_does_no_harm(mime):
    assert receive(mime) in ("useless", "aside")
    assert not LetterFact.objects.exists()


@pytest.mark.parametrize(
    "mime",
    [
        nested(60),
        b"To: x@y\n" + b"\n--b\n\nx" * 2_000,
        b"To: x@y\r" + b"\r--b\r\rx" * 2_000,
        b"Content-Type: message/delivery-status\n\n" + b"x\n\n" * 300_000,
    ],
    ids=["nested", "parts", "parts behind carriage returns", "groups of fields"],
)
def test_more_parts_than_any_report_has_are_not_parsed(mime):
    """It would take seconds."""
    with pytest.raises(ValueError, match="more parts"):
        reports.read(mime)


@pytest.mark.parametrize(
    "mime",
    [
        b"Content-Type: text/plain" + b";" * 20_000 + b"\n\n",
        b'Content-Type: multipart/report; boundary="' + b'"' * 20_000 + b"\n\n",
        b"Content-Type: text/rfc822-headers; charset=punycode\n\n" + b"a9" * 100_000,
    ],
    ids=["parameters", "quotes", "a charset"],
)
def test_no_message_takes_long_to_be_read(mime):
    begun = time.monotonic()
    receive(mime)
    assert time.monotonic() - begun < 1


def test_of_a_field_only_so_much_is_read(letter):
    """What stands behind is nobody's, also where it would name another letter."""
    padded = f"x@example.org, {' ' * reports.FIELD_CHARACTERS}{address_of(letter)}"
    assert receive(report(padded)) == "useless"
    assert receive(report(padded[-reports.FIELD_CHARACTERS :].strip())) == "recorded"


def test_of_many_addresses_and_recipients_the_first_are_read():
    everyone = ", ".join(f"{n}@example.org" for n in range(reports.MOST_ADDRESSES + 5))
    groups = [group("delivered", "2.1.5")] * reports.MOST_GROUPS
    read = [
        reports.read(mime) for mime in (report(everyone, *groups, group()), complaint(everyone))
    ]
    assert [one.kind for one in read] == ["delivered", "complained"]
    assert [len(one.addresses) for one in read] == [reports.MOST_ADDRESSES] * 2


def test_what_stands_behind_so_much_is_not_read(letter):
    head, blank, body = report(address_of(letter)).partition(b"\n\n")
    mime = head + blank + b"x" * reports.MOST_OCTETS + b"\n" + body
    assert receive(mime) == "useless"


def test_a_huge_message_is_read_as_far_as_the_report_goes(reader, letter):
    mime = report(address_of(letter)).replace(b"--=_b--", b"x" * 3_000_000 + b"\n--=_b--")
    assert receive(mime) == "recorded"
    assert state_of(reader) == "bounced"


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 99 Foo 0000",
        "Mon, 01 Jan 99999 00:00:00 +0000",
        "Mon, 01 Jan 1999 00:00:00 +0000",
        "\x00",
    ],
)
def test_a_report_may_tell_no_time_that_can_be(letter, date):
    mime = report(address_of(letter))
    mime = mime.replace(b"Date: Mon, 01 Jun 2026 12:05:00 +0000", f"Date: {date}".encode())
    assert receive(mime) == "recorded"
    assert letter.facts.get().at is None


def test_a_report_tells_when_it_was_or_else_when_it_was_written():
    last = "\nLast-Attempt-Date: Mon, 01 Jun 2026 12:03:00 +0000"
    unwanted = complaint("x@x.example")
    arrived = b"Arrival-Date: Mon, 01 Jun 2026 12:00:01 +0000\nFeedback-Type:"
    told = [
        report("x@x.example", group() + last),
        report("x@x.example", group()),
        unwanted.replace(b"Feedback-Type:", arrived),
        unwanted,
    ]
    times = [reports.read(mime).at for mime in told]
    assert [f"{at:%H:%M:%S}" for at in times] == ["12:03:00", "12:05:00", "12:00:01", "13:00:00"]
