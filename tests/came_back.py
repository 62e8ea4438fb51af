"""What mail servers and readers send back, as their standards shape it: RFC 3464 and RFC 5965."""

from itertools import count
from textwrap import dedent

from subscriptions.models import Letter
from subscriptions.post import message_ids, verp
from tests.make import NOW

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
    made.message_id = message_ids.of(made)
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
    name = name or f"report-{next(_number)}"
    header = f"Message-ID: {message_id}\n" if message_id else ""
    text = dedent(
        """\
        From: MAILER-DAEMON@mail.example.net
        To: {to}
        Message-ID: <{name}@mail.example.net>
        Date: Mon, 01 Jun 2026 12:05:00 +0000
        Subject: Undelivered Mail
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"

        --=_b
        Content-Type: text/plain

        It could not be delivered. 5.1.1

        --=_b
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mail.example.net
        Arrival-Date: Mon, 01 Jun 2026 12:00:01 +0000

        {groups}

        --=_b
        Content-Type: {returned}

        From: Paperboy <digest@paperboy.example>
        Subject: Papers
        {header}
        --=_b--
        """
    )
    told = text.format(
        to=to, name=name, groups="\n\n".join(groups or [group()]), returned=returned, header=header
    )
    return told.encode()


def complaint(to, *, kind="abuse", message_id="", return_path=""):
    """Return a report that a reader doesn't want what she got."""
    name = f"complaint-{next(_number)}"
    text = dedent(
        """\
        From: feedback@provider.example
        To: {to}
        Message-ID: <{name}@provider.example>
        Date: Mon, 01 Jun 2026 13:00:00 +0000
        Subject: FW: Papers
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=feedback-report; boundary="=_b"

        --=_b
        Content-Type: text/plain

        This is a report about mail from you.

        --=_b
        Content-Type: message/feedback-report

        Feedback-Type: {kind}
        User-Agent: Reporter/1.0
        Version: 1

        --=_b
        Content-Type: message/rfc822

        Return-Path: <{return_path}>
        From: Paperboy <digest@paperboy.example>
        Message-ID: {message_id}
        Subject: Papers

        Hello.
        --=_b--
        """
    )
    told = text.format(to=to, kind=kind, name=name, message_id=message_id, return_path=return_path)
    return told.encode()


def answer(to, **headers):
    """Return a plain message, as a person or a machine writes it."""
    told = {"From": "reader@example.org", "To": to, "Subject": "Out of office", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in told.items())
    return f"{lines}\nI am away. 550 5.1.1 was my room.\n".encode()
