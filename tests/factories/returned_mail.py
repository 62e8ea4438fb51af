"""Bounces and complaints, as their standards shape them: RFC 3464 and RFC 5965."""

from itertools import count

from subscriptions.delivery import message_ids, verp
from subscriptions.models import Letter
from tests.factories.make import NOW

_number = count(1)


def letter(subscriber, *, left_at=NOW, state=Letter.State.ACCEPTED, kind="digest", **fields):
    """Make a letter that left, as the ledger would have it: a digest, or one of another kind."""
    moments = ("created_at", "closes_at", "frozen_at", "left_at", "ended_at")
    fields = dict.fromkeys(moments, left_at) | {"kind": kind, "state": state} | fields
    made = Letter(subscriber=subscriber, day=left_at.date() if kind == "digest" else None, **fields)
    made.message_id = message_ids.for_letter(made)
    made.save()
    return made


def address_of(letter):
    """Return where the letter comes back to."""
    return verp.envelope_sender(letter.kind, letter.pk, letter.frozen_at)


def group(action="failed", status="5.1.1", said=None, recipient="reader@example.org"):
    """Return what a report says of one recipient."""
    said = f"smtp; 550 {status} <{recipient}>: no" if said is None else said
    fields = [f"Final-Recipient: rfc822; {recipient}", f"Action: {action}", f"Status: {status}"]
    return "\n".join([*fields, *([f"Diagnostic-Code: {said}"] if said else [])])


def report(to, *groups, message_id="", name=None, returned="message/rfc822"):
    """Return a report of delivery to an address, about recipients, returning a letter's header."""
    header = "From: Paperboy <digest@paperboy.example>\nSubject: Papers\n"
    header += f"Message-ID: {message_id}\n" if message_id else ""
    report = (
        "Reporting-MTA: dns; mail.example.net\nArrival-Date: Mon, 01 Jun 2026 12:00:01 +0000\n\n"
    )
    report += "\n\n".join(groups or [group()])
    headers = f"From: MAILER-DAEMON@mail.example.net\nTo: {to}\nSubject: Undelivered Mail\n"
    headers += f"Message-ID: <{name or f'report-{next(_number)}'}@mail.example.net>\n"
    headers += "Date: Mon, 01 Jun 2026 12:05:00 +0000\nAuto-Submitted: auto-replied\n"
    words = "It could not be delivered. 5.1.1\n"
    return _multipart("delivery-status", headers, words, report, returned, header)


def _multipart(kind, headers, words, fields, returned, letter):
    """Return a report of a kind: words for people, fields for programs, and the returned letter."""
    headers += (
        f'MIME-Version: 1.0\nContent-Type: multipart/report; report-type={kind}; boundary="=_b"\n'
    )
    parts = [("text/plain", words), (f"message/{kind}", fields), (returned, letter)]
    body = "".join(f"\n--=_b\nContent-Type: {name}\n\n{part}\n" for name, part in parts)
    return f"{headers}{body}--=_b--\n".encode()


def complaint(to, *, kind="abuse", message_id="", return_path=""):
    """Return a report that a subscriber doesn't want what they got."""
    headers = f"From: feedback@provider.example\nTo: {to}\nSubject: FW: Papers\n"
    headers += f"Message-ID: <complaint-{next(_number)}@provider.example>\n"
    headers += "Date: Mon, 01 Jun 2026 13:00:00 +0000\n"
    words = "This is a report about mail from you.\n"
    fields = f"Feedback-Type: {kind}\nUser-Agent: Reporter/1.0\nVersion: 1\n"
    letter = f"Return-Path: <{return_path}>\nFrom: Paperboy <digest@paperboy.example>\n"
    letter += f"Message-ID: {message_id}\nSubject: Papers\n\nHello.\n"
    return _multipart("feedback-report", headers, words, fields, "message/rfc822", letter)


def answer(to, **headers):
    """Return a plain message, as a person or a machine writes it."""
    headers_of = {"From": "reader@example.org", "To": to, "Subject": "Out of office", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers_of.items())
    return f"{lines}\nI am away. 550 5.1.1 was my room.\n".encode()
