"""Lines of a template become the lines of a plain letter: none too wide, none that misleads.

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


def wrapped(text: str) -> str:
    """Return the text with its lines broken; each goes on under its own indent.

    Runs of blank lines become one, so that templates may have as many as they like.
    """
    lines = [part for line in text.splitlines() for part in _wrapped(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def columns(text: str) -> int:
    """Return how wide the text is: characters of East Asia take two columns."""
    if text.isascii():
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def fitting(text: str, limit: int) -> int:
    """Return how many characters of the text, from its start, fit into so many columns."""
    if text.isascii():
        return min(len(text), limit)
    width = 0
    for at, character in enumerate(text):
        width += columns(character)
        if width > limit:
            return at
    return len(text)


def _wrapped(line):
    if line == SIGNATURE:
        return [line]
    body = " ".join(line.split())
    indent = line[: len(line) - len(line.lstrip())]
    if not NUMBER.match(body):
        return _broken(body, indent, indent)
    if indent:  # An abstract that begins like a paper: "1. We show …".
        return _broken(_unnumbered(body), indent, indent)
    return _broken(body.replace(" ", NO_BREAK, 1), "", HANG)


def _broken(body, first, rest):
    """Return the lines of one paragraph: the first under its indent, the others under theirs."""
    lines, line = [], ""
    for word in BEFORE_NUMBER.sub(NO_BREAK, body).split(" "):
        for nth, piece in enumerate(_pieces(word)):
            indent = rest if lines else first
            if line and (nth or columns(f"{indent}{line} {piece}") > COLUMNS):
                lines.append(indent + line)
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    lines.append((rest if lines else first) + line)
    return [line.replace(NO_BREAK, " ").rstrip() for line in lines]


def _pieces(word):
    """Cut a word that no line could hold, unless it is a web address."""
    widest = COLUMNS - len(HANG)
    while columns(word) > widest and "://" not in word:
        at = fitting(word, widest)
        yield word[:at]
        word = _unnumbered(word[at:].lstrip(NO_BREAK))
    yield word


def _unnumbered(text):
    """Return the text so that it doesn't begin like a paper: "1. We show" becomes "(1) We show"."""
    return NUMBER.sub(r"(\1)", text, count=1) if NUMBER.match(text) else text
