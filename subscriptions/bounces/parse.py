"""Parse delivery reports (RFC 3464), complaints (RFC 5965) and bounces in words.

Plain functions on bytes: no database, no clock. Anyone can send such messages, so process.py checks
which letter a report is about, and whether that is possible.
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

from subscriptions.delivery.transports import smtp_replies

MAX_OCTETS = 1_000_000  # The rest is cut off: a report comes before the returned letter.
MAX_NESTED, MAX_PARTS, MAX_BLANK_LINES = 50, 1_000, 30_000  # In all, at any depth.
MAX_GROUPS = 50
MAX_ADDRESSES = 20
FIELD_CHARACTERS = 2_000
MAX_REPLY_LENGTH = 300

#: So much of a bounce in words is parsed: searching a line takes the square of its length.
WORDS_OCTETS, LINE_OCTETS = 50_000, 300
MAIL_SERVER = re.compile("mailer-?daemon|postmaster", re.IGNORECASE)
STATUS_IN_WORDS = re.compile(rb".*(?:#|\b[45][0-9]{2}[ -])([45]\.[0-9]{1,3}\.[0-9]{1,3})\b.*")
TEMPORARY = re.compile(rb"time-?d?[ -]?out|full|quota|temporar|try again|too long", re.IGNORECASE)
COPY_BEGINS = re.compile(rb"^-{3,} ", re.MULTILINE)  # Where the copy of the letter begins.

#: Fields in which mail servers record the address that a message came to.
RECIPIENT_FIELDS = ("X-Original-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "To")
RETURNED = ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers")
COMPLAINTS = ("abuse", "fraud", "opt-out", "opt-out-list")

#: The kind of report for an action (RFC 3464, 2.3.3). Of several recipients, the first one counts.
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
    """A report about one letter.

    `kind` and `grade` are those of a LetterFact. `addresses` are those that the report came to, one
    of which may be the letter's envelope sender. `message_id` is the letter's, if it was returned.
    `name` is the same if the report comes again.
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


class _TruncatingPolicy(Compat32):
    """Parses only the beginning of header fields.

    Python's default policy takes the square of a field's length or more: hours for one message.
    """

    def header_fetch_parse(self, name, value):
        return super().header_fetch_parse(name, value[:FIELD_CHARACTERS])


POLICY = _TruncatingPolicy(message_factory=EmailMessage)


class NoReport(Exception):
    """The message is no report about a letter. The exception's message says why."""


def parse_report(mime: bytes, recipients: tuple[str, ...] = ()) -> Report:
    """Return what a message reports. `recipients` are those of its envelope, if known.

    Raises NoReport if it reports nothing, and other exceptions if it is malformed.
    """
    mime = mime[:MAX_OCTETS]
    if _has_too_many_parts(mime):
        raise ValueError("more parts than any report has")  # Parsing would take too long.
    message = message_from_bytes(mime, policy=POLICY)
    parts = list(_parts(message))
    returned = _returned(parts)
    addresses = (*recipients, *_addresses(message, RECIPIENT_FIELDS))
    for part in parts:
        match part.get_content_type():
            case "message/delivery-status" | "message/global-delivery-status":
                return _delivery_report(message, part, returned, addresses)
            case "message/feedback-report":
                return _complaint(message, part, returned, addresses)
    return _bounce_in_words(message, mime[:WORDS_OCTETS], addresses)


def _has_too_many_parts(mime) -> bool:
    """Return whether a message may have too many parts, or groups between blank lines."""
    lines = mime.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # As the parser does.
    is_nested = lines.lower().count(b"multipart/") > MAX_NESTED
    return is_nested or lines.count(b"\n--") > MAX_PARTS or lines.count(b"\n\n") > MAX_BLANK_LINES


# ---- Reports of delivery


def _delivery_report(message, part, returned, addresses) -> Report:
    payload = part.get_payload()  # A group of fields for the message, and one per recipient.
    groups = payload[:MAX_GROUPS] if isinstance(payload, list) else []
    groups = [group for group in groups if _action(group) in ACTIONS]
    if not groups:
        raise NoReport("no report")
    worst = min(groups, key=_severity)
    kind, status = ACTIONS[_action(worst)], _status(worst)
    grade = smtp_replies.grade_of(status) if kind == "bounced" else ""
    if grade == "hard" and any(_action(group) in ARRIVED for group in groups):
        grade = "soft"  # One member of a shared address is gone: no reason to stop.
    at, message_id = _text(worst, "Last-Attempt-Date"), _text(returned, "Message-ID")
    return _report(message, addresses, kind, _diagnosis(worst), message_id, at, grade, status)


def _action(group) -> str:
    return _text(group, "Action").lower()


def _severity(group):
    """Return a sort key: recipients that do not exist come first."""
    order = list(ACTIONS)
    grade = smtp_replies.grade_of(_status(group)) if _action(group) == "failed" else "soft"
    return order.index(_action(group)), GRADES.index(grade)


def _status(group) -> str:
    """Return the status, or that in the server's reply if it is more specific."""
    status = smtp_replies.status_in(_text(group, "Status"))
    diagnosis = smtp_replies.status_in(_diagnosis(group))
    is_open = not status or status.endswith(".0.0")
    return diagnosis if is_open and diagnosis[:1] == (status or diagnosis)[:1] else status


def _diagnosis(group) -> str:
    kind, semicolon, reply = _text(group, "Diagnostic-Code").partition(";")
    return reply if semicolon else kind


# ---- Bounces in words


def _bounce_in_words(message, mime, addresses) -> Report:
    """Parse a bounce without a delivery report, such as one of qmail or an older Exim.

    It has no Message-ID, so it counts only if its signed address names a letter.
    """
    sender = "".join(_addresses(message, ["From"])[:1])
    if not MAIL_SERVER.fullmatch(sender.partition("@")[0]):
        raise NoReport("no report")  # Replies of people and lists may quote anything.
    mime = b"\n".join(line[:LINE_OCTETS] for line in mime.splitlines())
    try:
        failed = scan_message(message_from_bytes(mime, policy=POLICY))
    except Exception:  # The library has two dozen parsers, for hostile input.
        failed = None
    if not failed:
        raise NoReport("no report")
    words = COPY_BEGINS.split(mime, maxsplit=1)[0]
    line = STATUS_IN_WORDS.search(words)
    status = line[1].decode() if line else ""
    reply = line[0].decode("ascii", "replace") if line else "named by a bounce in words"
    without_status = "soft" if TEMPORARY.search(words) else "hard"
    grade = smtp_replies.grade_of(status) if status else without_status
    return _report(message, addresses, "bounced", reply, grade=grade, status=status)


# ---- Complaints


def _complaint(message, part, returned, addresses) -> Report:
    fields = next(iter(part.iter_parts()), None) or EmailMessage()
    if _text(fields, "Feedback-Type").lower() not in COMPLAINTS:
        raise NoReport("no report")
    addresses += _addresses(fields, ["Original-Mail-From"]) + _addresses(returned, ["Return-Path"])
    reply, at = _text(fields, "Feedback-Type"), _text(fields, "Arrival-Date")
    return _report(message, addresses, "complained", reply, _text(returned, "Message-ID"), at)


# ---- Shared


def _report(message, addresses, kind, reply, message_id="", at="", grade="", status="") -> Report:
    # The same if the report comes again.
    name = "\n".join([_text(message, "Message-ID") or _text(message, "Date"), kind, status])
    return Report(
        kind=kind,
        addresses=addresses[:MAX_ADDRESSES],
        message_id=message_id,
        name=hashlib.sha256(name.encode("utf-8", "replace")).hexdigest(),
        via="mail",
        grade=grade,
        status=status,
        said=clean_reply(reply),
        at=_moment(at or _text(message, "Date")),
    )


def _parts(message) -> Iterator[EmailMessage]:
    """Yield the parts of a message, but not those of messages within it."""
    if not message.is_multipart() or message.get_content_maintype() != "multipart":
        yield message
    else:
        for part in message.iter_parts():
            yield from _parts(part)


def _returned(parts):
    """Return the returned letter, or its header."""
    for part in parts:
        if part.get_content_type() not in RETURNED:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):
            return payload[0] if payload else EmailMessage()
        return message_from_bytes(part.get_payload(decode=True), policy=POLICY)
    return EmailMessage()


def _addresses(message, fields) -> tuple[str, ...]:
    """Return the addresses in these fields, in order."""
    texts = [text for name in fields for text in _texts(message, name)]
    return tuple(address for _, address in getaddresses(texts[:MAX_ADDRESSES]) if address)


def _text(message, name) -> str:
    return next(iter(_texts(message, name)), "")


def _texts(message, name) -> list[str]:
    """Return the fields of this name without decoding, which hostile values could break."""
    found = [value for field, value in message.raw_items() if field.lower() == name.lower()]
    return [" ".join(str(value)[:FIELD_CHARACTERS].split()) for value in found]


def _moment(text) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def clean_reply(text: str) -> str:
    """Return a server's reply on one line, without addresses and unprintable characters."""
    return smtp_replies.printable_line(smtp_replies.without_addresses(text), MAX_REPLY_LENGTH)
