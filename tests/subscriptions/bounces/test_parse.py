"""What comes back is read: how bad it is, and of which letter, and how much of it is read."""

import time
from pathlib import Path

import pytest
from django.urls import reverse

from subscriptions.bounces import parse, unreadable
from subscriptions.delivery import queue
from subscriptions.models import Letter, LetterFact
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW
from tests.factories.returned_mail import address_of, complaint, group, report
from tests.helpers import data_files
from tests.helpers.data_files import repeated
from tests.helpers.pages import text_of
from tests.subscriptions.bounces.receiving import receive, state_of

pytestmark = pytest.mark.django_db
DATA = data_files.load("bounces.toml")
MESSAGES = data_files.load("hostile_messages.toml")


# ---- Reports of delivery: what is a bounce, how bad, and of which letter


def test_hard_bounce_suppresses_the_address(subscriber, letter):
    assert receive(report(address_of(letter))) == "recorded"
    assert state_of(subscriber) == "bounced"
    assert subscriber.suppressed_at == NOW + HOUR
    assert subscriber.suppressed_reason == "550 5.1.1 <…>: no"
    assert make.fresh(letter).state == Letter.State.ACCEPTED
    fact = letter.facts.get()
    assert (fact.kind, fact.grade, fact.status) == ("bounced", "hard", "5.1.1")


@pytest.mark.parametrize(("action", "status", "kind", "grade"), DATA["actions"])
def test_report_is_graded_by_action_and_status(action, status, kind, grade):
    read = parse.parse_report(report("x@x.example", group(action, status)))
    assert (read.kind, read.grade) == (kind, grade)


def test_unknown_action_is_graded_by_the_words(letter):
    assert receive(report(address_of(letter), group("vanished"))) == "recorded"
    assert letter.facts.get().reply == "It could not be delivered. 5.1.1"
    commented = report("x@x.example", group("failed (full)", "5.2.2"))
    assert parse.parse_report(commented).status == "5.2.2"


@pytest.mark.parametrize(("groups", "expected"), DATA["recipients"])
def test_worst_of_several_recipients_counts(groups, expected):
    read = parse.parse_report(report("x@x.example", *[group(**fields) for fields in groups]))
    assert [read.kind, read.grade, read.status] == expected


@pytest.mark.parametrize(
    "options", [{}, {"returned": "text/rfc822-headers"}, {"returned": "message/rfc822-headers"}]
)
def test_letter_is_identified_by_its_returned_headers(settings, subscriber, letter, options):
    settings.RECIPIENT_DELIMITER = ""
    receive(report("bounces@paperboy.example", message_id=letter.message_id, **options))
    assert state_of(subscriber) == "bounced"


def test_bounce_cancels_waiting_letters_to_that_address_only(subscriber, letter):
    options = {"now": NOW, "closes_at": NOW + DAY}
    theirs = queue.create(subscriber, "goodbye", **options)
    another = queue.create(make.subscriber(), "link", **options)
    receive(report(address_of(letter)))
    for waiting, ended in ((theirs, ("skipped", "suppressed")), (another, ("planned", ""))):
        assert (make.fresh(waiting).state, waiting.reason) == ended


def test_server_reply_is_stored_without_addresses_and_control_characters(letter):
    said = "smtp; 550 5.7.1 <reader@example.org>\x00 \x1b[31m not\u202e here" + "!" * 400
    receive(report(address_of(letter), group(status="5.7.1", said=said)))
    fact = letter.facts.get()
    assert "reader@" not in fact.reply
    assert fact.reply.isprintable()
    assert len(fact.reply) <= 300


# ---- Bounces that are no delivery reports, as of qmail and of some Exims, and what looks alike


QMAIL, EXIM = (Path(__file__).with_name(f"{name}.txt").read_text() for name in ("qmail", "exim"))


def bounce(to, body=QMAIL, said="Sorry, no mailbox here by that name. (#5.1.1)", **headers):
    fields = {"From": "MAILER-DAEMON@mail.example.net", "To": to, "Subject": "failure notice"}
    fields |= {"Message-ID": "<1@mail.example.net>", "Date": "Mon, 01 Jun 2026 12:05:00 +0000"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"{lines}\n{body.format(said=said)}".encode()


def exim(to, said="Unrouteable address"):
    headers = {"Auto_Submitted": "auto-replied", "X_Failed_Recipients": "reader@example.org"}
    return bounce(to, EXIM, said, From="Mail Delivery System <Mailer-Daemon@x.example>", **headers)


@pytest.mark.parametrize("made", [bounce, exim])
def test_prose_bounce_suppresses_the_address(subscriber, letter, made):
    assert receive(made(address_of(letter))) == "recorded"
    assert receive(made(address_of(letter))) == "known"
    fact = LetterFact.objects.get()
    assert (fact.kind, fact.grade, fact.letter) == ("bounced", "hard", letter)
    assert state_of(subscriber) == "bounced"
    assert "reader@" not in fact.reply + subscriber.suppressed_reason


def test_soft_prose_bounce_suppresses_nobody(subscriber, letter):
    makers = {"qmail": bounce, "exim": exim}
    for server, said, grade in DATA["soft_words"]:
        mime = makers[server]("x@y", said=said)
        assert parse.parse_report(mime).grade == grade
    assert receive(mime, to=(address_of(letter),)) == "recorded"
    assert state_of(subscriber) == "written to"


def test_block_list_reply_is_shown_and_suppresses_nobody(subscriber, letter, admin_client):
    reply = "host mx.example.org [192.0.2.9]: 550 a part of your range stands on our block list"
    mime = exim(address_of(letter), f"SMTP error after RCPT TO:<reader@example.org>:\n    {reply}")
    assert receive(mime) == "recorded"
    assert (state_of(subscriber), letter.facts.get().grade) == ("written to", "policy")
    url = reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
    assert reply in text_of(admin_client.get(url))


@pytest.mark.parametrize("headers", DATA["senders"])
def test_bounce_is_read_from_any_mail_server_name(headers):
    said = "There was an error delivering your mail.\n\nHost mx.example.org says:\n550 Unknown user"
    read = parse.parse_report(bounce("x@y", "{said}\n\nMessage-Id: <1@x>\nspam", said, **headers))
    assert (read.kind, read.grade) == ("bounced", "hard")
    assert read.reply == "Host mx.example.org says: 550 Unknown user"


def test_returned_letters_words_do_not_grade_a_bounce():
    for said, grade in (("Nobody knows why.", "soft"), ("No such user.", "hard")):
        body = "Not delivered: {said}\nSubject: A virus\n-- copy of mail --\nno such user, spam"
        assert parse.parse_report(bounce("x@y", body, said)).grade == grade
    html = "<p>Error.</p><b>There is no <br>such user</b>".replace(" <br>", " ")
    read = parse.parse_report(bounce("x@y", html, Content_Type="text/html"))
    assert (read.grade, read.reply) == ("hard", "Error. There is no such user")


@pytest.mark.parametrize(("to", "why"), DATA["unsigned"])
def test_prose_bounce_to_an_unsigned_address_is_refused(subscriber, letter, to, why, caplog):
    caplog.set_level("INFO")
    mime = bounce(to.format(domain=address_of(letter).partition("@")[2]))
    mime = mime.replace(b"Subject: Papers", f"Message-ID: {letter.message_id}".encode())
    assert receive(mime) == "useless"
    assert why in caplog.text
    assert state_of(subscriber) == "written to"


def test_message_that_is_no_bounce_changes_nothing(subscriber, letter):
    for sender, body in DATA["no_bounces"]:
        body = body.format(bounce=QMAIL)
        mime = bounce(address_of(letter), body, From=sender, Subject="Re: returned mail")
        assert receive(mime) == "useless"
    assert state_of(subscriber) == "written to"


# ---- Messages that would break the parser, or keep it for long: how much of them is read


def test_message_that_breaks_the_parser_is_set_aside_once(
    subscriber, letter, monkeypatch, data_dir
):
    monkeypatch.setattr(parse, "_addresses", lambda *_: 1 / 0)
    mime = report(address_of(letter))
    assert [receive(mime), receive(mime)] == ["aside", "aside"]
    (kept,) = (data_dir / "returned").iterdir()
    assert kept.read_bytes() == mime
    assert kept.stat().st_mode & 0o077 == 0


def nested(depth):
    part = 'Content-Type: multipart/mixed; boundary="{0}"\n\n--{0}\n'.format
    parts = [part(n).encode() for n in range(depth)]
    return b"MIME-Version: 1.0\n" + b"".join(parts)


HOSTILE = {name: repeated(pieces) for name, pieces in MESSAGES["rejected"].items()}
HOSTILE |= {f"{depth} nested parts": nested(depth) for depth in (40, 3000)}
HOSTILE |= {
    name: bounce("x@paperboy.example", repeated(pieces).decode())
    for name, pieces in MESSAGES["rejected_bodies"].items()
}


@pytest.mark.parametrize("mime", HOSTILE.values(), ids=HOSTILE)
def test_hostile_messages_are_rejected_quickly(mime):
    begun = time.process_time()
    assert receive(mime) in ("useless", "aside")
    assert time.process_time() - begun < 1
    assert not LetterFact.objects.exists()


def test_long_header_field_is_read_up_to_a_limit(letter):
    """What stands behind is nobody's, also where it would name another letter."""
    padded = f"x@example.org, {' ' * parse.MAX_FIELD_LENGTH}{address_of(letter)}"
    assert receive(report(padded)) == "useless"
    assert receive(report(padded[-parse.MAX_FIELD_LENGTH :].strip())) == "recorded"


def test_report_with_an_invalid_date_has_no_time():
    mime = report("x@x.example")
    for date in (b"Mon, 99 Foo 0000", b"Mon, 01 Jan 99999 00:00:00 +0000", b"\x00"):
        assert parse.parse_report(mime.replace(b"Mon, 01 Jun 2026 12:05:00 +0000", date)).at is None


def test_report_time_is_that_of_the_bounce():
    last = "\nLast-Attempt-Date: Mon, 01 Jun 2026 12:03:00 +0000"
    unwanted = complaint("x@x.example")
    arrived = b"Arrival-Date: Mon, 01 Jun 2026 12:00:01 +0000\nFeedback-Type:"
    reports = [report("x@x.example", group() + more) for more in (last, "")]
    reports += [unwanted.replace(b"Feedback-Type:", arrived), unwanted]
    times = [parse.parse_report(mime).at for mime in reports]
    assert [f"{at:%H:%M:%S}" for at in times] == ["12:03:00", "12:05:00", "12:00:01", "13:00:00"]


def test_set_aside_messages_are_limited(monkeypatch, data_dir):
    monkeypatch.setattr(parse, "parse_report", lambda *_: 1 / 0)
    monkeypatch.setattr(unreadable, "MAX_FILES", 3)
    for number in range(5):
        receive(b"%d" % number, now=NOW + number * HOUR)
    kept = sorted(path.read_bytes() for path in (data_dir / "returned").iterdir())
    assert kept == [b"2", b"3", b"4"]
    unreadable.purge(NOW + 3.5 * HOUR)
    assert [path.read_bytes() for path in (data_dir / "returned").iterdir()] == [b"4"]
