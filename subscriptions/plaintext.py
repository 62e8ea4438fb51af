"""Plain text as letters have it: cleaned, shortened, and broken into lines, none of which misleads.

A line that begins with a number and a dot is a paper of a digest. What a paper says of itself never
begins a line so, wherever it is broken.
"""

import re
import unicodedata

COLUMNS = 76  # RFC 5322 (2.1.1) asks for less than 78. Web addresses alone may be longer.
HANG = "    "
SIGNATURE = "-- "
NO_BREAK = "\u00a0"
NUMBER = re.compile(rf"\[?(\d+)[\].)](?=[ {NO_BREAK}]|$)")
BEFORE_NUMBER = re.compile(rf" (?={NUMBER.pattern})")
#: Characters that no letter shows: controls but tab and line feed, separators that some take for
#: line ends, overrides of the writing direction, noncharacters and halves of pairs.
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17))
    + "]"
)
#: Among these are all characters that take two columns. Dashes, quotes and arrows are not.
MAYBE_WIDE = re.compile("[\u1100-\u1fff\u2300-\U0010ffff]")


def cleaned(text: str) -> str:
    """Return the text without the characters that no letter shows."""
    return UNSEEN.sub("", text)


def one_line(text: str) -> str:
    """Return the text as a header or a line can hold it."""
    if not text.isprintable():  # Of all that parts words, only the space is.
        text = UNSEEN.sub(" ", text)
    elif "  " not in text:
        return text.strip(" ")
    return " ".join(text.split())


def shortened(text: str, limit: int) -> str:
    """Return the text on one line of at most `limit` columns, cut after a word."""
    text = one_line(text)
    if columns(text) <= limit:
        return text
    head = text[: fitting(text, max(limit - 1, 0))]
    at_word, space, _ = head.rpartition(" ")
    if space and len(at_word) > len(head) // 2:  # One endless word is cut where it must be.
        head = at_word
    return head.rstrip(" ,;:.–—-(") + "…"


def wrapped(text: str) -> str:
    """Return the text with its lines broken; each goes on under its own indent."""
    return spaced("\n".join([part for line in text.splitlines() for part in _wrapped(line)]))


def spaced(text: str) -> str:
    """Return the text with one blank line for each run of them, and none around it.

    So templates may have as many as they like.
    """
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def broken(line: str) -> str:
    """Return a line of a template as the lines that it becomes in a letter."""
    return "\n".join(_wrapped(line))


def columns(text: str) -> int:
    """Return how wide the text is: characters of East Asia take two columns."""
    if _is_narrow(text):
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def fitting(text: str, limit: int) -> int:
    """Return how many characters of the text, from its start, fit into so many columns."""
    if _is_narrow(text):
        return min(len(text), limit)
    width = 0
    for at, character in enumerate(text):
        width += columns(character)
        if width > limit:
            return at
    return len(text)


def unnumbered(text: str) -> str:
    """Return the text so that it doesn't begin like a paper: "1. We show" becomes "(1) We show"."""
    return NUMBER.sub(r"(\1)", text, count=1) if NUMBER.match(text) else text


def _wrapped(line):
    if line == SIGNATURE:
        return [line]
    body = " ".join(line.split())
    indent = line[: len(line) - len(line.lstrip())]
    if not NUMBER.match(body):
        return _broken(body, indent, indent)
    if indent:  # An abstract that begins like a paper: "1. We show …".
        return _broken(unnumbered(body), indent, indent)
    return _broken(body.replace(" ", NO_BREAK, 1), "", HANG)


def _broken(body, first, rest):
    """Return the lines of one paragraph: the first under its indent, the others under theirs."""
    body = BEFORE_NUMBER.sub(NO_BREAK, body)
    lines = _at_spaces(body, first, rest) or _at_words(body, first, rest)
    return [line.replace(NO_BREAK, " ").rstrip() for line in lines]


def _at_spaces(body, first, rest):
    """Return the lines as most texts have them: nothing wide, and no word longer than a line."""
    lines, indent = [], first
    if not _is_narrow(body):
        return lines
    while len(indent) + len(body) > COLUMNS:
        end = body.rfind(" ", 1, COLUMNS - len(indent) + 1)
        if end < 0:
            return []
        lines.append(indent + body[:end])
        body, indent = body[end + 1 :], rest
    return [*lines, indent + body]


def _at_words(body, first, rest):
    lines, line, width = [], "", 0
    for word in body.split(" "):
        for nth, piece in enumerate(_pieces(word)):
            wide = columns(piece)
            if line and (nth or width + 1 + wide > COLUMNS):
                lines.append(line)
                line = ""
            if line:
                line, width = f"{line} {piece}", width + 1 + wide
            else:
                line = (rest if lines else first) + piece
                width = len(line) - len(piece) + wide
    return [*lines, line]


def _pieces(word):
    """Cut a word that no line could hold, unless it is a web address."""
    widest = COLUMNS - len(HANG)
    is_address = "://" in word
    # Of a word without end, no more is looked at than a line could hold.
    while not is_address and (at := fitting(word[: widest + 1], widest)) < len(word):
        yield word[:at]
        word = unnumbered(word[at:].lstrip(NO_BREAK))
    yield word


def _is_narrow(text):
    """Return whether surely no character takes two columns."""
    return text.isascii() or not MAYBE_WIDE.search(text)
