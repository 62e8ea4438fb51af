"""What mail servers say (RFC 5321, 4.2; RFC 3463), and what it means for a letter.

Plain functions on bytes and codes: no sockets, no Django.
"""

import re
from typing import NamedTuple

#: RFC 5321, 4.5.3.1.5, allows 512. Whoever says more is understood all the same: a yes to the dot
#: that isn't leaves its letter in doubt.
LINE_BYTES = 8_192
REPLY_LINES = 100
SAID_CHARACTERS = 1_000

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?![\w.])")

_STATUS_AMID = re.compile(r"(?<![\w.])[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.]*[\w])")

#: Which codes let the conversation go on; after the dot, which one means acceptance.
GO_ON = {
    "connect": frozenset({220}),
    "hello": frozenset({250}),
    "tls": frozenset({220}),
    "auth": frozenset({235}),
    "mail": frozenset({250}),
    "rcpt": frozenset({250, 251, 252}),
    "data": frozenset({354}),
    "body": frozenset(),  # Nothing is asked: whatever is said here ends it.
    "dot": frozenset({250}),
}

#: Where a 5yz is for ever. Before, it is about us: MAIL names our own address and no other.
REFUSING_STAGES = frozenset({"rcpt", "data", "dot"})

#: What a server says to MAIL that is out of disk, or of order (RFC 5321, 4.2.2).
NO_ROOM = frozenset({451, 452})

#: What is said to a client that has not proven who it is, or not over TLS (RFC 4954, RFC 3207).
UNPROVEN = frozenset({530, 534, 535, 538})

#: With these the address itself is bad (RFC 3463, 3.2 and 3.3; RFC 7505): no such mailbox, no such
#: domain, no such syntax, moved, takes no mail at all, disabled. Policy (5.7.x) and a full mailbox
#: (5.2.2) say nothing of it, and a code without a status may mean either.
BAD_ADDRESS = frozenset({"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})

#: With 421 to MAIL or RCPT, the server itself goes away (RFC 3463, 3.4): a relay that is being
#: reloaded, say, which is of no provider.
_GOES_AWAY = re.compile(r"4\.3\.")

#: Where 421 means that the server has had enough of us, and isn't just tidying up.
BUSY_STAGES = frozenset({"rcpt", "data", "dot"})
_SLOWER = re.compile(
    r"\brates?\b|\blimit|\btoo (?:many|much|fast)\b|throttl|slow(?:ing)? down", re.I
)
#: These are about one mailbox, one letter, one idle connection, whatever words come with them.
_NOT_SLOWER = re.compile(r"4\.[12]\.|4\.3\.4$|4\.4\.2$")
_ADDRESS = re.compile(r"(?<![^\s<>])[^\s<>]+@[^\s<>]+")  # Only from where a word begins.
_GREYLISTED = re.compile(r"gr[ea]y[\s_-]*list", re.I)


class Reply(NamedTuple):
    """A complete reply. Its code is 0 where it is none that RFC 5321 knows."""

    code: int
    text: str  # Lines are parted by \n.

    @property
    def enhanced(self) -> str | None:
        """The enhanced status (RFC 3463), if it is one of the code's own class."""
        match = _ENHANCED.match(self.text)
        return match[0] if match and int(match[1]) == self.code // 100 else None

    def __str__(self):
        words = " ".join(f"{self.code or ''} {self.text}".split())
        if not words.isprintable():  # A database may refuse what isn't, NUL above all.
            words = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)
        return words[:SAID_CHARACTERS]


class ReplyParser:
    """Bytes in, complete replies out.

    It keeps no more than one unfinished reply of bounded size. After a malformed one, the
    conversation can't be followed any longer: it returns that one, and no other.
    """

    def __init__(self):
        self._bytes = b""
        self._lines = []  # Of a reply that is not complete.
        self._code = 0
        self._is_lost = False

    def feed(self, data: bytes) -> None:
        if not self._is_lost:
            self._bytes += data

    def has_more(self) -> bool:
        """Return whether anything was said beyond the replies that were taken."""
        return bool(self._bytes or self._lines)

    def take(self) -> Reply | None:
        """Return the next reply, or None where it is not complete yet."""
        while (end := self._bytes.find(b"\n", 0, LINE_BYTES)) >= 0:
            line, self._bytes = self._bytes[:end], self._bytes[end + 1 :]
            reply = self._read(line.removesuffix(b"\r"))
            if reply is not None:
                return reply
        if len(self._bytes) >= LINE_BYTES:
            return self._lose(self._bytes)
        return None

    def _read(self, line):
        match = _LINE.fullmatch(line)
        if match is None or len(self._lines) == REPLY_LINES:
            return self._lose(line)
        code, mark, text = match.groups(b"")
        if not self._lines:
            self._code = int(code)
        elif int(code) != self._code:
            return self._lose(line)
        self._lines.append(text)
        if mark == b"-":
            return None
        text = b"\n".join(self._lines).decode("utf-8", "replace")
        self._lines = []
        return Reply(self._code, text)

    def _lose(self, line):
        self._bytes, self._lines, self._is_lost = b"", [], True
        return Reply(0, line[:LINE_BYTES].decode("utf-8", "replace"))


def judge(stage: str, reply: Reply) -> tuple[str, str]:
    """Return the status and the scope (see DeliveryResult) of a reply that ends the conversation.

    Only 250 after end of data (stage "dot") is acceptance (RFC 5321, 4.1.1.4). 5yz is permanent,
    anything else may pass: a server that sends nonsense is broken. After end of data, nonsense
    means that the outcome is unknown.
    """
    match reply.code // 100:
        case 5 if reply.code in UNPROVEN or stage == "auth":
            return "deferred", "us"
        case 5 if stage not in REFUSING_STAGES:
            return "deferred", ""
        case 5:
            return "refused", "address" if reply.enhanced in BAD_ADDRESS else ""
        case 4:
            return "deferred", _whom_it_is_about(stage, reply)
    if stage != "dot":
        return "deferred", ""
    return "accepted" if reply.code in GO_ON["dot"] else "unknown", ""


def _whom_it_is_about(stage, reply):
    """What is said to MAIL is said before there is a recipient: where it has no room, or wants us
    slower, no letter would fare better. Nor would one with a server that goes away.
    """
    status = reply.enhanced or ""
    if _GREYLISTED.search(reply.text):
        return ""
    if stage == "mail" and reply.code in NO_ROOM:
        return "us"
    if _NOT_SLOWER.match(status):
        return ""
    if status.startswith("4.7.") or _SLOWER.search(reply.text):
        return "us" if stage == "mail" else "provider"
    if reply.code == 421 and stage in ("mail", "rcpt") and _GOES_AWAY.match(status):
        return "us"
    return "provider" if reply.code == 421 and stage in BUSY_STAGES else ""


def grade_of(status: str) -> str:
    """Return what a letter that came back with this status (RFC 3463) says of its address.

    "hard": it is none. "policy": we, or this letter, are not let in. "soft": all else, which may
    pass, such as a full mailbox.
    """
    if status in BAD_ADDRESS:
        return "hard"
    return "policy" if status[1:4] == ".7." else "soft"


def status_in(said: str) -> str:
    """Return the first enhanced status in a server's words, such as 5.1.1, or nothing."""
    match = _STATUS_AMID.search(said)
    return match[0] if match else ""


def without_addresses(said: str) -> str:
    """Return a server's words without the addresses in them, to be kept apart from their letter."""
    return _ADDRESS.sub("…", said)
