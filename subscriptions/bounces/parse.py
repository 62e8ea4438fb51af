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
MAX_NESTED, MAX_PARTS, MAX_BLANK_LINES = 50, 1_000, 30_000  # In all, at any depth.
MAX_GROUPS = 50
MAX_ADDRESSES = 20
FIELD_CHARACTERS = 2_000
MAX_REPLY_LENGTH = 300

#: So much of a bounce in words is searched.
MAX_WORDS = 50_000
#: The sender or the subject of a bounce. Replies of people and lists may quote bounces.
MAIL_SERVER = re.compile(
    r"(?im)^From: .*(?:mailer.?daemon|mdaemon|postmaster|system.admin|mail.(?:delivery|system))"
    r"|^(?:mail |message |non-?)?(?:undeliver|delivery|returned mail|failure notice|could not be)"
)
FAILED = re.compile(r"(?i)daemon|fail|error|undeliv|unable|reject|refus|n.t\s(be\s)?(deliv|reach)")
DELAYED = re.compile(r"(?i)\bdelay(ed)?\b|not yet|warning .{,8}only|will (be re|keep|contin|re?tr)")
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
SIGNS = ("Auto-Submitted", "Precedence", "X-Autoreply", "X-Auto-Reply", "X-Autorespond")
SIGNS += ("Return-Path", "From", "Content-Type")
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
    reply: str = ""
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
    reply = _reply_in(words := _words(parts))
    for part in parts:
        match part.get_content_type():
            case "message/delivery-status" | "message/global-delivery-status":
                if groups := _groups(part):
                    return _delivery_report(message, groups, returned, addresses, reply)
            case "message/feedback-report":
                return _complaint(message, part, returned, addresses)
    if _text(returned, "X-HmXmrOriginalRecipient"):  # Hotmail's, before it had feedback reports.
        reply = _text(message, "Subject")
        return _report(message, addresses, "complained", reply, _text(returned, "Message-ID"))
    return _bounce_in_words(message, words, reply, addresses)


def addresses_of_request(mime: bytes, recipients: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the addresses that a message came to, or none if it is a bounce or an answer.

    Reads the header alone.
    """
    head = re.split(rb"\r?\n\r?\n", mime[:MAX_OCTETS], maxsplit=1)[0]
    header = BytesHeaderParser(policy=POLICY).parsebytes(head)
    signs = "\n".join(f"{name}: {_text(header, name)}" for name in SIGNS)
    # A mail program that unsubscribes by itself may say "auto-generated", but answers no message.
    is_answer = "auto-generated" in signs.lower() and "In-Reply-To" in header
    if is_answer or AUTOMATIC.search(signs):
        return ()
    return (*recipients, *_addresses(header, RECIPIENT_FIELDS))[:MAX_ADDRESSES]


def _has_too_many_parts(mime) -> bool:
    """Return whether a message may have too many parts, or groups between blank lines."""
    lines = mime.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # As the parser does.
    is_nested = lines.lower().count(b"multipart/") > MAX_NESTED
    return is_nested or lines.count(b"\n--") > MAX_PARTS or lines.count(b"\n\n") > MAX_BLANK_LINES


# ---- Reports of delivery


def _groups(part) -> list:
    """Return the groups of fields about a recipient with an action that is known."""
    payload = part.get_payload()
    groups = payload[:MAX_GROUPS] if isinstance(payload, list) else []
    return [group for group in groups if _action(group) in ACTIONS]


def _delivery_report(message, groups, returned, addresses, reply) -> Report:
    if len(groups) == 1 and _status(groups[0])[1:] in ("", ".0.0") and not _diagnosis(groups[0]):
        groups[0]["Diagnostic-Code"] = f"smtp; {reply}"
    worst = min(groups, key=_severity)
    kind, status = ACTIONS[_action(worst)], _status(worst)
    grade = _grade(worst) if kind == "bounced" else ""
    if grade == "hard" and any(_action(group) in ARRIVED for group in groups):
        grade = "soft"  # One member of a shared address is gone: no reason to stop.
    at, message_id = _text(worst, "Last-Attempt-Date"), _text(returned, "Message-ID")
    return _report(message, addresses, kind, _diagnosis(worst), message_id, at, grade, status)


def _action(group) -> str:
    return _text(group, "Action").lower().partition(" ")[0]


def _grade(group) -> str:
    return smtp_replies.grade_of(_status(group), _diagnosis(group))


def _severity(group):
    """Return a sort key: recipients that do not exist come first."""
    return list(ACTIONS).index(_action(group)), GRADES.index(_grade(group))


def _status(group) -> str:
    """Return the status in the server's reply, or else that of the report if it says more."""
    status = smtp_replies.status_in(_text(group, "Status"))
    reply = smtp_replies.status_in(_diagnosis(group))
    return status if status and (not reply or reply.endswith(".0.0")) else reply


def _diagnosis(group) -> str:
    kind, semicolon, reply = _text(group, "Diagnostic-Code").partition(";")
    return reply if semicolon else kind


# ---- Bounces in words


def _bounce_in_words(message, words, reply, addresses) -> Report:
    """Parse a bounce without a delivery report, such as one of qmail or an older Exim.

    It has no Message-ID, so it counts only if its signed address names a letter.
    """
    subject = _text(message, "Subject")
    head = f"From: {_text(message, 'From')} {_text(message, 'Return-Path')}\n{subject}"
    is_failure = MAIL_SERVER.search(head) and (reply or FAILED.search(head))
    if not is_failure or DELAYED.search(f"{subject}\n{words}"):
        raise NoReport("no report")
    reply = reply or words or subject
    status = smtp_replies.status_in(reply)
    grade = smtp_replies.grade_of(status, reply)
    return _report(message, addresses, "bounced", reply, grade=grade, status=status)


def _reply_in(words) -> str:
    """Return the server's reply, or else what says most, to the end of its paragraph."""
    for pattern in (REPLY, *smtp_replies.REFUSAL_PATTERNS.values(), FAILED):
        if match := pattern.search(words):
            start = words.rfind("\n", 0, match.start() + 1) + 1
            return words[start:].split("\n\n")[0]
    return ""


def _words(parts) -> str:
    """Return the text before the copy of the letter."""
    words = ""
    for part in itertools.takewhile(lambda part: part.get_content_type() not in RETURNED, parts):
        if part.get_content_maintype() in ("text", "multipart"):  # The latter is broken.
            words += part.get_payload(decode=True)[:MAX_WORDS].decode("utf-8", "replace")
    words = re.sub("</?[A-Za-z][^<>@]*>", " ", words[:MAX_WORDS])  # HTML, but not addresses.
    lines = [line.strip() for line in words.splitlines() if not ABOUT_COPY.match(line)]
    return COPY_BEGINS.split("\n".join(lines), maxsplit=1)[0].strip()


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
        reply=clean_reply(reply),
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
    values = [value for field, value in message.raw_items() if field.lower() == name.lower()]
    return [" ".join(str(value)[:FIELD_CHARACTERS].split()) for value in values]


def _moment(text) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def clean_reply(text: str) -> str:
    """Return a server's reply on one line, without addresses and unprintable characters."""
    return smtp_replies.printable_line(smtp_replies.without_addresses(text), MAX_REPLY_LENGTH)
