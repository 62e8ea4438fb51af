"""Parse delivery reports (RFC 3464), complaints (RFC 5965) and bounces in words.

Plain functions on bytes: no database, no clock. Anyone can send such messages, so process.py checks
which letter a report is about, and whether that is possible.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import Compat32
from email.utils import getaddresses, parsedate_to_datetime

from subscriptions.delivery.transports import smtp_replies

MAX_OCTETS = 1_000_000  # The rest is cut off: a report comes before the returned letter.
MAX_MULTIPARTS, MAX_PARTS, MAX_BLANK_LINES = 50, 1_000, 30_000  # In all, at any depth.
MAX_GROUPS = 50
MAX_ADDRESSES = 20
MAX_FIELD_LENGTH = 2_000
MAX_REPLY_LENGTH = 300

#: So much of a bounce in words is searched.
MAX_TEXT_LENGTH = 50_000
#: The sender or the subject of a bounce. Replies of people and lists may quote bounces.
MAIL_SERVER = re.compile(
    r"(?im)^From: .*(?:mailer.?daemon|mdaemon|postmaster|system.admin|mail.(?:delivery|system))"
    r"|^(?:mail |message |non-?)?(?:undeliver|delivery|returned mail|failure notice|could not be)"
)
FAILURE = re.compile(r"(?i)daemon|fail|error|undeliv|unable|reject|refus|n.t\s(be\s)?(deliv|reach)")
DELAY = re.compile(r"(?i)\bdelay(ed)?\b|not yet|warning .{,8}only|will (be re|keep|contin|re?tr)")
#: The code or the status of a mail server's reply.
REPLY = re.compile(r"(?im)(^|[]:<>([]\s?)[45][0-5]\d[ -]|(?<![\w.])[45](\.\d{1,3}){2}(?![\w.]*\w)")
#: Where the copy of the letter begins, and lines about the letter before that.
COPY_BEGINS = re.compile(
    r"(?im)^[>*=| ]*--.*\b(?:copy|original|unsent|returned|header|message text)"
    r"|^[>| ]*(?:return-path|received|message-id|mime-version|dkim-signature):"
)
ABOUT_COPY = re.compile(r"(?i)\s*(?:subject|from|to|cc|date|sent|content-\S+):")

#: Fields in which mail servers record the address that a message came to.
RECIPIENT_FIELDS = ("X-Original-To", "Delivered-To", "Envelope-To", "X-Envelope-To", "To")
#: Lines of the header of bounces and automatic answers (RFC 3834, and what came before it).
AUTOMATIC = re.compile(
    r"(?im)^(?:Auto-Submitted: auto-(?!generated)|Precedence: (?:bulk|junk|auto_reply)"
    r"|X-Auto-?(?:reply|respond): .|Return-Path: <>|From: .*mailer-?daemon"
    r"|Content-Type: multipart/report)"
)
AUTOMATIC_FIELDS = ("Auto-Submitted", "Precedence", "X-Autoreply", "X-Auto-Reply", "X-Autorespond")
AUTOMATIC_FIELDS += ("Return-Path", "From", "Content-Type")
COPY_TYPES = ("message/rfc822", "message/global", "text/rfc822-headers", "message/rfc822-headers")
COMPLAINT_TYPES = ("abuse", "fraud", "opt-out", "opt-out-list")

#: The kind of report for an action (RFC 3464, 2.3.3). Of several recipients, the first one counts.
ACTIONS = {
    "failed": "bounced",
    "delayed": "delayed",
    "delivered": "delivered",
    "expanded": "relayed",
    "relayed": "relayed",
}
ARRIVALS = ("delivered", "relayed", "expanded")
GRADES = ("hard", "policy", "soft")


@dataclass(frozen=True)
class Report:
    """A report about one letter.

    `kind` and `grade` are those of a LetterFact. `addresses` are those that the report came to, one
    of which may be the letter's envelope sender. `message_id` is the letter's, if it was returned.
    `key` is the same if the report comes again.
    """

    kind: str
    addresses: tuple[str, ...]
    message_id: str
    key: str
    via: str
    grade: str = ""
    status: str = ""
    reply: str = ""
    at: datetime | None = None
    letter_id: int | None = None


class _TruncatingPolicy(Compat32):
    """Parses only the beginning of header fields.

    Python's default policy takes the square of a field's length or more: hours for one message.
    """

    def header_fetch_parse(self, name, value):
        return super().header_fetch_parse(name, value[:MAX_FIELD_LENGTH])


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
    letter_copy = _letter_copy(parts)
    addresses = (*recipients, *_addresses(message, RECIPIENT_FIELDS))
    reply = _reply_in(body_text := _text_before_copy(parts))
    for part in parts:
        match part.get_content_type():
            case "message/delivery-status" | "message/global-delivery-status":
                if groups := _recipient_groups(part):
                    return _delivery_report(message, groups, letter_copy, addresses, reply)
            case "message/feedback-report":
                return _complaint(message, part, letter_copy, addresses)
    if _field(letter_copy, "X-HmXmrOriginalRecipient"):  # Hotmail's former complaints.
        reply = _field(message, "Subject")
        return _report(message, addresses, "complained", reply, _field(letter_copy, "Message-ID"))
    return _text_bounce(message, body_text, reply, addresses)


def addresses_of_request(mime: bytes, recipients: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the addresses that a message came to, or none if it is a bounce or an answer.

    Reads the header alone.
    """
    header_bytes = re.split(rb"\r?\n\r?\n", mime[:MAX_OCTETS], maxsplit=1)[0]
    header = BytesHeaderParser(policy=POLICY).parsebytes(header_bytes)
    header_lines = "\n".join(f"{name}: {_field(header, name)}" for name in AUTOMATIC_FIELDS)
    # A mail program that unsubscribes by itself may say "auto-generated", but answers no message.
    is_answer = "auto-generated" in header_lines.lower() and "In-Reply-To" in header
    if is_answer or AUTOMATIC.search(header_lines):
        return ()
    return (*recipients, *_addresses(header, RECIPIENT_FIELDS))[:MAX_ADDRESSES]


def _has_too_many_parts(mime) -> bool:
    """Return whether a message may have too many parts, or groups between blank lines."""
    lines = mime.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # As the parser does.
    is_nested = lines.lower().count(b"multipart/") > MAX_MULTIPARTS
    return is_nested or lines.count(b"\n--") > MAX_PARTS or lines.count(b"\n\n") > MAX_BLANK_LINES


# ---- Reports of delivery


def _recipient_groups(part) -> list:
    """Return the groups of fields about a recipient with an action that is known."""
    payload = part.get_payload()
    groups = payload[:MAX_GROUPS] if isinstance(payload, list) else []
    return [group for group in groups if _action(group) in ACTIONS]


def _delivery_report(message, groups, letter_copy, addresses, reply) -> Report:
    if len(groups) == 1 and _status(groups[0])[1:] in ("", ".0.0") and not _diagnosis(groups[0]):
        groups[0]["Diagnostic-Code"] = f"smtp; {reply}"
    worst = min(groups, key=_severity)
    kind, status = ACTIONS[_action(worst)], _status(worst)
    grade = _grade(worst) if kind == "bounced" else ""
    if grade == "hard" and any(_action(group) in ARRIVALS for group in groups):
        grade = "soft"  # One member of a shared address is gone: no reason to stop.
    date, message_id = _field(worst, "Last-Attempt-Date"), _field(letter_copy, "Message-ID")
    return _report(message, addresses, kind, _diagnosis(worst), message_id, date, grade, status)


def _action(group) -> str:
    return _field(group, "Action").lower().partition(" ")[0]


def _grade(group) -> str:
    return smtp_replies.grade_of(_status(group), _diagnosis(group))


def _severity(group):
    """Return a sort key: recipients that do not exist come first."""
    return list(ACTIONS).index(_action(group)), GRADES.index(_grade(group))


def _status(group) -> str:
    """Return the status in the server's reply, or else that of the report if it says more."""
    status = smtp_replies.status_in(_field(group, "Status"))
    in_reply = smtp_replies.status_in(_diagnosis(group))
    return status if status and (not in_reply or in_reply.endswith(".0.0")) else in_reply


def _diagnosis(group) -> str:
    kind, semicolon, reply = _field(group, "Diagnostic-Code").partition(";")
    return reply if semicolon else kind


# ---- Bounces in words


def _text_bounce(message, text, reply, addresses) -> Report:
    """Parse a bounce without a delivery report, such as one of qmail or an older Exim.

    It has no Message-ID, so it counts only if its signed address names a letter.
    """
    subject = _field(message, "Subject")
    headers = f"From: {_field(message, 'From')} {_field(message, 'Return-Path')}\n{subject}"
    is_failure = MAIL_SERVER.search(headers) and (reply or FAILURE.search(headers))
    if not is_failure or DELAY.search(f"{subject}\n{text}"):
        raise NoReport("no report")
    reply = reply or text or subject
    status = smtp_replies.status_in(reply)
    grade = smtp_replies.grade_of(status, reply)
    return _report(message, addresses, "bounced", reply, grade=grade, status=status)


def _reply_in(text) -> str:
    """Return the server's reply, or else what says most, to the end of its paragraph."""
    for pattern in (REPLY, *smtp_replies.REFUSAL_PATTERNS.values(), FAILURE):
        if match := pattern.search(text):
            start = text.rfind("\n", 0, match.start() + 1) + 1
            return text[start:].split("\n\n")[0]
    return ""


def _text_before_copy(parts) -> str:
    """Return the text before the copy of the letter."""
    text = ""
    for part in itertools.takewhile(lambda part: part.get_content_type() not in COPY_TYPES, parts):
        if part.get_content_maintype() in ("text", "multipart"):  # The latter is broken.
            text += part.get_payload(decode=True)[:MAX_TEXT_LENGTH].decode("utf-8", "replace")
    text = re.sub("</?[A-Za-z][^<>@]*>", " ", text[:MAX_TEXT_LENGTH])  # HTML, but not addresses.
    lines = [line.strip() for line in text.splitlines() if not ABOUT_COPY.match(line)]
    return COPY_BEGINS.split("\n".join(lines), maxsplit=1)[0].strip()


# ---- Complaints


def _complaint(message, part, letter_copy, addresses) -> Report:
    fields = next(iter(part.iter_parts()), None) or EmailMessage()
    if _field(fields, "Feedback-Type").lower() not in COMPLAINT_TYPES:
        raise NoReport("no report")
    addresses += _addresses(fields, ["Original-Mail-From"])
    addresses += _addresses(letter_copy, ["Return-Path"])
    reply, date = _field(fields, "Feedback-Type"), _field(fields, "Arrival-Date")
    return _report(message, addresses, "complained", reply, _field(letter_copy, "Message-ID"), date)


# ---- Shared


def _report(message, addresses, kind, reply, message_id="", date="", grade="", status="") -> Report:
    # The same if the report comes again.
    identity = "\n".join([_field(message, "Message-ID") or _field(message, "Date"), kind, status])
    return Report(
        kind=kind,
        addresses=addresses[:MAX_ADDRESSES],
        message_id=message_id,
        key=hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest(),
        via="mail",
        grade=grade,
        status=status,
        reply=clean_reply(reply),
        at=_parse_date(date or _field(message, "Date")),
    )


def _parts(message) -> Iterator[EmailMessage]:
    """Yield the parts of a message, but not those of messages within it."""
    if not message.is_multipart() or message.get_content_maintype() != "multipart":
        yield message
    else:
        for part in message.iter_parts():
            yield from _parts(part)


def _letter_copy(parts):
    """Return the returned letter, or its header."""
    for part in parts:
        if part.get_content_type() not in COPY_TYPES:
            continue
        payload = part.get_payload()
        if isinstance(payload, list):
            return payload[0] if payload else EmailMessage()
        return message_from_bytes(part.get_payload(decode=True), policy=POLICY)
    return EmailMessage()


def _addresses(message, field_names) -> tuple[str, ...]:
    """Return the addresses in these fields, in order."""
    values = [text for name in field_names for text in _field_values(message, name)]
    return tuple(address for _, address in getaddresses(values[:MAX_ADDRESSES]) if address)


def _field(message, name) -> str:
    return next(iter(_field_values(message, name)), "")


def _field_values(message, name) -> list[str]:
    """Return the fields of this name without decoding, which hostile values could break."""
    values = [value for field, value in message.raw_items() if field.lower() == name.lower()]
    return [" ".join(str(value)[:MAX_FIELD_LENGTH].split()) for value in values]


def _parse_date(text) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def clean_reply(text: str) -> str:
    """Return a server's reply on one line, without addresses and unprintable characters."""
    return smtp_replies.printable_line(smtp_replies.without_addresses(text), MAX_REPLY_LENGTH)
