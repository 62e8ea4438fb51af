"""What mail servers and readers send back, as their standards shape it: RFC 3464 and RFC 5965."""

from itertools import count

from subscriptions.delivery import message_ids, verp
from subscriptions.models import Letter
from tests.factories.make import NOW

_number = count(1)


def letter(subscriber, *, left_at=NOW, state=Letter.State.ACCEPTED, kind="digest", **fields):
    """Make a letter that left, as the ledger would have it: a digest, or one of another kind."""
    made = Letter(
        subscriber=subscriber,
        kind=kind,
        day=left_at.date() if kind == "digest" else None,
        state=state,
        created_at=left_at,
        closes_at=left_at,
        frozen_at=left_at,
        left_at=left_at,
        ended_at=left_at,
        **fields,
    )
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
    return _multipart(
        "delivery-status",
        {
            "From": "MAILER-DAEMON@mail.example.net",
            "To": to,
            "Message-ID": f"<{name or f'report-{next(_number)}'}@mail.example.net>",
            "Date": "Mon, 01 Jun 2026 12:05:00 +0000",
            "Subject": "Undelivered Mail",
            "Auto-Submitted": "auto-replied",
        },
        "It could not be delivered. 5.1.1\n",
        "Reporting-MTA: dns; mail.example.net\nArrival-Date: Mon, 01 Jun 2026 12:00:01 +0000\n\n"
        + "\n\n".join(groups or [group()]),
        returned,
        header,
    )


def _multipart(kind, headers, words, told, returned, letter):
    """Return a report of a kind: words for people, what is told, and the letter as returned."""
    headers |= {
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/report; report-type={kind}; boundary="=_b"',
    }
    parts = [("text/plain", words), (f"message/{kind}", told), (returned, letter)]
    head = "".join(f"{name}: {value}\n" for name, value in headers.items())
    body = "".join(f"\n--=_b\nContent-Type: {name}\n\n{part}\n" for name, part in parts)
    return f"{head}{body}--=_b--\n".encode()


def complaint(to, *, kind="abuse", message_id="", return_path=""):
    """Return a report that a subscriber doesn't want what they got."""
    return _multipart(
        "feedback-report",
        {
            "From": "feedback@provider.example",
            "To": to,
            "Message-ID": f"<complaint-{next(_number)}@provider.example>",
            "Date": "Mon, 01 Jun 2026 13:00:00 +0000",
            "Subject": "FW: Papers",
        },
        "This is a report about mail from you.\n",
        f"Feedback-Type: {kind}\nUser-Agent: Reporter/1.0\nVersion: 1\n",
        "message/rfc822",
        f"Return-Path: <{return_path}>\nFrom: Paperboy <digest@paperboy.example>\n"
        f"Message-ID: {message_id}\nSubject: Papers\n\nHello.\n",
    )


def answer(to, **headers):
    """Return a plain message, as a person or a machine writes it."""
    told = {"From": "reader@example.org", "To": to, "Subject": "Out of office", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in told.items())
    return f"{lines}\nI am away. 550 5.1.1 was my room.\n".encode()
