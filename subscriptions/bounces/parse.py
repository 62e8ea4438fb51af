"""What comes back by mail, read: delivery reports (RFC 3464) and complaints (RFC 5965).

Plain functions on bytes: no database, no clock. Whatever is in them was written by strangers, so
nothing of it is believed here; whose letter a report is of, and whether that may be, is found out
in process.py.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import Compat32
from email.utils import getaddresses, parsedate_to_datetime

from flufl.bounce import scan_message

from subscriptions.delivery.transports.smtp_replies import grade_of, status_in, without_addresses

MOST_OCTETS = 1_000_000  # What stands behind is cut off: a report comes before what it returns.
MOST_NESTED, MOST_PARTS, MOST_BLANKS = 50, 1_000, 30_000  # In all, at whatever depth.
MOST_GROUPS = 50
MOST_ADDRESSES = 20
FIELD_CHARACTERS = 2_000
SAID_CHARACTERS = 300

#: A bounce in words is read so far: patterns that search a line take the square of its length.
WORDS_OCTETS, LINE_OCTETS = 50_000, 300
MAIL_SERVER = re.compile("mailer-?daemon|postmaster", re.IGNORECASE)
STATUS_IN_WORDS = re.compile(rb".*(?:#|\b[45][0-9]{2}[ -])([45]\.[0-9]{1,3}\.[0-9]{1,3})\b.*")
MAY_PASS = re.compile(rb"time-?d?[ -]?out|full|quota|temporar|try again|too long", re.IGNORECASE)
COPY = re.compile(rb"^-{3,} ", re.MULTILINE)  # Where the copy of the letter begins.

#: Where a mail server notes to which address it was that a message came.
ADDRESSED_IN = ("X-Original-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "To")
RETURNED = ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers")
COMPLAINTS = ("abuse", "fraud", "opt-out", "opt-out-list")

#: What an action (RFC 3464, 2.3.3) makes of a letter. The first that any recipient met counts.
ACTIONS = {
    "failed": "bounced",
    "delayed": "delayed",
    "delivered": "delivered",
    "expanded": "relayed",
    "relayed": "relayed",
}
ARRIVED = ("delivered", "relayed", "expanded")
GRADES = ("hard", "policy", "soft")


@dataclass(frozen=True)
class Report:
    """What is told of one letter.

    `kind` and `grade` are those of a LetterFact. `addresses` are those to which the letter came
    back, one of which may be its own; `message_id` is the letter's, where it was returned. `name`
    is the same whenever the same is told.
    """

    kind: str
    addresses: tuple[str, ...]
    message_id: str
    name: str
    via: str
    grade: str = ""
    status: str = ""
    said: str = ""
    at: datetime | None = None
    letter_id: int | None = None


class _ByItsParts(Compat32):
    """How a message is taken apart: by the beginning of what its fields say of its parts.

    The policy for messages of today takes a field apart in the square of its length or worse: hours
    for what one message can hold.
    """

    def header_fetch_parse(self, name, value):
        return super().header_fetch_parse(name, value[:FIELD_CHARACTERS])


POLICY = _ByItsParts(message_factory=EmailMessage)


class NoReport(Exception):
    """It tells of no letter. `why` is one of UselessMail's reasons."""

    def __init__(self, why: str):
        super().__init__(why)
        self.why = why


def read(mime: bytes, recipients: tuple[str, ...] = ()) -> Report:
    """Return what a message reports. `recipients` are those of its envelope, where they are known.

    Raises NoReport where it reports nothing. Others go through: the message is broken.
    """
    mime = mime[:MOST_OCTETS]
    if _has_too_many_parts(mime):
        raise ValueError("more parts than any report has")  # They would take a parser long.
    message = message_from_bytes(mime, policy=POLICY)
    parts = list(_parts(message))
    returned = _returned(parts)
    addresses = (*recipients, *_addresses(message, ADDRESSED_IN))
    for part in parts:
        match part.get_content_type():
            case "message/delivery-status" | "message/global-delivery-status":
                return _delivery_report(message, part, returned, addresses)
            case "message/feedback-report":
                return _complaint(message, part, returned, addresses)
    if bounce := _bounce_in_words(message, mime[:WORDS_OCTETS], addresses):
        return bounce
    raise NoReport("autoreply" if _is_by_machine(message) else "no-report")


def _has_too_many_parts(mime) -> bool:
    """Return whether there may be so many, or groups of fields, which a blank line parts."""
    lines = mime.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # As the parser has them.
    is_nested = lines.lower().count(b"multipart/") > MOST_NESTED
    return is_nested or lines.count(b"\n--") > MOST_PARTS or lines.count(b"\n\n") > MOST_BLANKS


# ---- Reports of delivery


def _delivery_report(message, part, returned, addresses) -> Report:
    told = [one for one in _groups(part)[:MOST_GROUPS] if _action(one) in ACTIONS]
    if not told:
        raise NoReport("no-report")
    worst = min(told, key=_badness)
    kind, status = ACTIONS[_action(worst)], _status(worst)
    grade = grade_of(status) if kind == "bounced" else ""
    if grade == "hard" and any(_action(one) in ARRIVED for one in told):
        grade = "soft"  # One of those behind a shared address is gone: it is no reason to stop.
    return Report(
        kind=kind,
        addresses=addresses[:MOST_ADDRESSES],
        message_id=_text(returned, "Message-ID"),
        name=_name(message, kind, status),
        via="mail",
        grade=grade,
        status=status,
        said=cleaned(_diagnosis(worst)),
        at=_moment(_text(worst, "Last-Attempt-Date") or _text(message, "Date")),
    )


def _groups(part) -> list:
    """Return the groups of fields: that of the message, and one for each recipient."""
    payload = part.get_payload()
    return payload if isinstance(payload, list) else []


def _action(group) -> str:
    return _text(group, "Action").lower()


def _badness(group):
    """Order recipients by what befell them: who is gone for good comes first."""
    order = list(ACTIONS)
    grade = grade_of(_status(group)) if _action(group) == "failed" else "soft"
    return order.index(_action(group)), GRADES.index(grade)


def _status(group) -> str:
    """Return the status, from the server's own words where the report leaves it open."""
    status, diagnosis = status_in(_text(group, "Status")), status_in(_diagnosis(group))
    is_open = not status or status.endswith(".0.0")
    return diagnosis if is_open and diagnosis[:1] == (status or diagnosis)[:1] else status


def _diagnosis(group) -> str:
    kind, semicolon, said = _text(group, "Diagnostic-Code").partition(";")
    return said if semicolon else kind


# ---- Bounces in words


def _bounce_in_words(message, mime, addresses) -> Report | None:
    """Return what a bounce without a delivery report tells, such as one of qmail or an older Exim.

    It has no Message-ID, so it counts only for a letter that its signed address names.
    """
    sender = "".join(_addresses(message, ["From"])[:1])
    if not MAIL_SERVER.fullmatch(sender.partition("@")[0]):
        return None  # Whoever answers for a person, or for a list, may quote anything.
    mime = b"\n".join(line[:LINE_OCTETS] for line in mime.splitlines())
    try:
        failed = scan_message(message_from_bytes(mime, policy=POLICY))
    except Exception:  # The library reads what strangers wrote with two dozen parsers.
        return None
    if not failed:
        return None
    said = COPY.split(mime, maxsplit=1)[0]
    told = STATUS_IN_WORDS.search(said)
    status = told[1].decode() if told else ""
    without_status = "soft" if MAY_PASS.search(said) else "hard"
    return Report(
        kind="bounced",
        addresses=addresses[:MOST_ADDRESSES],
        message_id="",
        name=_name(message, "bounced", status),
        via="mail",
        grade=grade_of(status) if status else without_status,
        status=status,
        said=cleaned(told[0].decode("ascii", "replace")) if told else "named by a bounce in words",
        at=_moment(_text(message, "Date")),
    )


# ---- Complaints


def _complaint(message, part, returned, addresses) -> Report:
    fields = next(iter(part.iter_parts()), None) or EmailMessage()
    if _text(fields, "Feedback-Type").lower() not in COMPLAINTS:
        raise NoReport("no-report")
    sources = (*addresses, *_addresses(fields, ["Original-Mail-From"]))
    return Report(
        kind="complained",
        addresses=(*sources, *_addresses(returned, ["Return-Path"]))[:MOST_ADDRESSES],
        message_id=_text(returned, "Message-ID"),
        name=_name(message, "complained", ""),
        via="mail",
        said=cleaned(_text(fields, "Feedback-Type")),
        at=_moment(_text(fields, "Arrival-Date") or _text(message, "Date")),
    )


# ---- What they share


def _parts(message) -> Iterator[EmailMessage]:
    """Yield the parts of a message, none of those of a message within it."""
    if not message.is_multipart() or message.get_content_maintype() != "multipart":
        yield message
    else:
        for part in message.iter_parts():
            yield from _parts(part)


def _returned(parts):
    """Return the letter that is returned, or what is returned of its header."""
    for part in parts:
        if part.get_content_type() not in RETURNED:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):
            return payload[0] if payload else EmailMessage()
        return message_from_bytes(part.get_payload(decode=True), policy=POLICY)
    return EmailMessage()


def _addresses(message, fields) -> tuple[str, ...]:
    """Return the addresses in these fields, in their order."""
    told = [text for name in fields for text in _texts(message, name)]
    return tuple(address for _, address in getaddresses(told[:MOST_ADDRESSES]) if address)


def _text(message, name) -> str:
    return next(iter(_texts(message, name)), "")


def _texts(message, name) -> list[str]:
    """Return what stands in the fields of this name, as it was written: hostile ones can't be
    understood, and need not.
    """
    found = [value for field, value in message.raw_items() if field.lower() == name.lower()]
    return [" ".join(str(value)[:FIELD_CHARACTERS].split()) for value in found]


def _is_by_machine(message) -> bool:
    """Return whether a machine wrote it, as those do who answer for people (RFC 3834, 5)."""
    told = _text(message, "Auto-Submitted").lower()
    if told and told != "no":
        return True
    return _text(message, "Precedence").lower() == "auto_reply" or any(
        _text(message, name) for name in ("X-Autoreply", "X-Autorespond")
    )


def _name(message, *told) -> str:
    """Return what tells this report from all others, and is the same when it comes again."""
    marks = [_text(message, "Message-ID") or _text(message, "Date"), *told]
    return hashlib.sha256("\n".join(marks).encode("utf-8", "replace")).hexdigest()


def _moment(text) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def cleaned(said: str) -> str:
    """Return a server's words in one line, without addresses and what no database keeps."""
    words = " ".join(without_addresses(said).split())
    readable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
    return readable[:SAID_CHARACTERS]
