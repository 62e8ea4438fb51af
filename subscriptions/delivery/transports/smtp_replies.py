"""Replies of mail servers (RFC 5321, 4.2; RFC 3463), and what they mean for a letter.

Plain functions on bytes and codes: no sockets, no Django.
"""

import re
from typing import NamedTuple

MAX_REPLY_BYTES = 65_536
MAX_REPLY_LENGTH = 1_000

#: A reply of one or more lines, all with its code (RFC 5321, 4.2.1), and the beginning of one.
_REPLY = re.compile(rb"(?=([2-5][0-9][0-9]))(?:\1-[^\n]*\n)*\1(?: [^\n]*|\r)?\n")
_INCOMPLETE = re.compile(rb"(?:(?=([2-5][0-9][0-9]))(?:\1-[^\n]*\n)+)?[^\n]*")
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![\w.])")

_STATUS_IN_TEXT = re.compile(r"(?<![\w.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.]*[\w])")

#: The codes that let the session go on. At stage "dot" (end of data), 250 means acceptance.
EXPECTED_CODES = {
    "mail": frozenset({250}),
    "rcpt": frozenset({250, 251, 252}),
    "data": frozenset({354}),
    "dot": frozenset({250}),
}

#: Stages at which a 5yz is permanent. Before, it is not about the recipient.
REFUSING_STAGES = frozenset({"rcpt", "data", "dot"})

#: Replies to MAIL of a server without disk space, or out of order (RFC 5321, 4.2.2).
SERVER_PROBLEM = frozenset({451, 452})

#: Replies to a client that has not authenticated, or not over TLS (RFC 4954, RFC 3207).
NOT_AUTHENTICATED = frozenset({530, 534, 535, 538})

_RATE = r"\brates?\b|\blimit|\btoo (?:many|much|fast|quickly)\b|throttl|slow(?:ing)? down"
_USER = "(?:local |e-?mail )?(?:user|recipient|mailbox|address|addressee|account|person|local part)"
#: What the status (RFC 3463, RFC 7505) and the words of a refusal say about the address. The first
#: match counts: some servers give 5.1.1 or "user unknown" for blocks and limits, too. Others, such
#: as 5.0.0 or "mailbox unavailable", may mean anything. A line is a regular expression.
REFUSALS = {
    "policy": [  # We, or this letter, are refused.
        r"^[45]\.7\.|^[45]\.1\.[78] ",
        r"(?:block|black|deny)[ -]?list|\bblocked\b|\b(?:rbl|dnsbl)\b|spamhaus|spamcop|reputation",
        r"\b(?:spam|junk|bulk|virus|content)\b|unsolicited|malware|phish|suspicious|polic(?:y|ies)",
        r"denied|not (?:allowed|permitted|authori[sz]ed)|prohibit|relaying|authenticat",
        r"\b(?:spf|dkim|dmarc|ptr|rdns|helo|ehlo|tls|reverse|client)\b|your (?:ip|host|domain)",
        r"\b(?:senders?|originator|return.path|reply-to|(?:mail|header).from|from.(?:address|domain))\b",
    ],
    "soft": [  # It is temporary, or about the letter's size.
        r"^4\.|^5\.(?:2\.[23]|3\.4|4\.[67]) |^[^a-z]*4[0-9]{2}[ -]",
        r"\bfull\b(?! (?:details|report|header))|quota|storage|\bspace\b|insufficient|exceed",
        rf"{_RATE}|limit|too (?:big|large|long)|larger than|time-?d?[ -]?out|expired|queue|\bloop",
        r"temporar|\blater\b|, try again|\bretr(?:y|ies)\b|unreachable|n.t (?:respond|create)",
        r"connect(?:ion)? (?:refused|timed|reset|lost|to)|lost connection|SMTP connection\.",
    ],
    "hard": [  # No such mailbox or domain, bad syntax, moved, accepts no mail, disabled.
        r"^5\.1\.(?:1|2|3|6|10) |^5\.2\.1 ",
        rf"(?:no such|unknown|invalid|non-?existent|bad|not a valid) (?:host|domain|{_USER})",
        rf"{_USER}.{{0,60}}\b(?:unknown|invalid|inactive|disabled|closed|deleted|no longer)\b",
        rf"{_USER}.{{0,60}}(?:not|n.t) (?:be )?(?:found|exist|known|valid|listed|recogni[sz]ed)",
        r"no (?:mailbox|user|account).{0,6}by that name|not our user|unrouteable|find any host",
        r"does(?: not|n.t) have an? .{0,40} account|not accept (?:any )?mail|no SMTP service",
        r"(?:host|domain)\b.{0,60}\b(?:unknown|not found|not exist)",
        r"(?:adresse|utilisateur|destinataire|benutzer|empf.nger).{0,60}(?:inconnu|n.exis|unbeka)",
    ],
}
REFUSAL_PATTERNS = {grade: re.compile("|".join(lines), re.I) for grade, lines in REFUSALS.items()}

#: These are about one mailbox, one letter or one idle connection, whatever the text says.
_NO_RATE_LIMIT = re.compile(r"4\.[12]\.|4\.3\.4$|4\.4\.2$")
_ADDRESS = re.compile(r"(?<![^\s<>])[^\s<>]+@[^\s<>]+")  # From the start of a word.
_HOST = re.compile(r"\bhost \S+(?= ?\[)", re.I)  # Its name may contain any word.
_GREYLISTED = re.compile(r"gr[ea]y[\s_-]*list", re.I)


class Reply(NamedTuple):
    """A complete reply. Its code is 0 if it is malformed (RFC 5321)."""

    code: int
    text: str  # Lines are separated by \n.

    @property
    def enhanced_status(self) -> str | None:
        """The enhanced status (RFC 3463), if it is of the same class as the code."""
        match = _ENHANCED.match(self.text)
        return match[0] if match and int(match[1]) == self.code // 100 else None

    def __str__(self):
        return printable_line(f"{self.code or ''} {self.text}", MAX_REPLY_LENGTH)


def take_reply(data: bytes) -> tuple[Reply | None, bytes]:
    """Return the first reply in what was received, or None if it is not complete, and the rest."""
    if match := _REPLY.match(data):
        lines = [line[4:] for line in match[0].splitlines()]
        text = b"\n".join(lines).decode("utf-8", "replace")
        return Reply(int(match[1]), text), data[match.end() :]
    if len(data) > MAX_REPLY_BYTES or not _INCOMPLETE.fullmatch(data):
        return Reply(0, data[:MAX_REPLY_LENGTH].decode("utf-8", "replace")), b""
    return None, data


def classify_reply(stage: str, reply: Reply) -> tuple[str, str]:
    """Return the status and the scope (see DeliveryResult) of a reply that ends the session.

    Only 250 after end of data (stage "dot") is acceptance (RFC 5321, 4.1.1.4). 5yz is permanent,
    anything else temporary. After end of data, the outcome of an unexpected reply is unknown.
    """
    match reply.code // 100:
        case 5 if reply.code in NOT_AUTHENTICATED or stage == "auth":
            return "deferred", "us"
        case 5 if stage not in REFUSING_STAGES:
            return "deferred", ""
        case 5:
            grade = grade_of(reply.enhanced_status or "", reply.text)
            return "refused", "address" if grade == "hard" else ""
        case 4:
            return "deferred", _scope_of(stage, reply)
    if stage != "dot":
        return "deferred", ""
    return "accepted" if reply.code in EXPECTED_CODES["dot"] else "unknown", ""


def _scope_of(stage, reply):
    """Return the scope of a 4yz.

    A reply to MAIL comes before there is a recipient, so a full or limiting server would accept no
    other letter either. Nor would a server that shuts down.
    """
    status = reply.enhanced_status or ""
    if _GREYLISTED.search(reply.text):
        return ""
    if stage == "mail" and reply.code in SERVER_PROBLEM:
        return "us"
    if _NO_RATE_LIMIT.match(status):
        return ""
    if status.startswith("4.7.") or re.search(_RATE, reply.text, re.I):
        return "us" if stage == "mail" else ""
    # The server shuts down (RFC 3463, 3.4): a relay that is being reloaded, say.
    is_going_down = reply.code == 421 and status.startswith("4.3.")
    return "us" if is_going_down and stage in ("mail", "rcpt") else ""


def grade_of(status: str, reply: str, default: str = "soft") -> str:
    """Return what a refusal says about the address: a key of REFUSALS, or the default."""
    line = f"{status} {printable_line(without_addresses(reply), MAX_REPLY_LENGTH)}"
    line = _HOST.sub("", line)
    return next((grade for grade, words in REFUSAL_PATTERNS.items() if words.search(line)), default)


def status_in(text: str) -> str:
    """Return the first enhanced status in a text, such as 5.1.1, or ""."""
    match = _STATUS_IN_TEXT.search(text)
    return match[0] if match else ""


def printable_line(text: str, limit: int) -> str:
    """Return a reply on one line. The database may refuse unprintable characters, above all NUL."""
    words = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)[:limit]


def without_addresses(text: str) -> str:
    """Return a server's reply without addresses, so that it can be stored or logged."""
    return _ADDRESS.sub("…", text)
