"""Plain text of emails: cleaned, shortened, and broken into lines.

A line that begins with a number and a dot is a paper of a digest. Texts of papers never begin a
line so, wherever they are broken.
"""

import re
import unicodedata

COLUMNS = 76  # RFC 5322 (2.1.1): less than 78. Only URLs may be longer.
HANGING_INDENT = "    "
SIGNATURE = "-- "
NO_BREAK = "\u00a0"
NUMBER = re.compile(rf"\[?(\d+)[\].)](?=[ {NO_BREAK}]|$)")
BEFORE_NUMBER = re.compile(rf" (?={NUMBER.pattern})")
#: Characters that are removed: controls except tab and line feed, Unicode line separators,
#: overrides of the writing direction, noncharacters and surrogates.
INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17))
    + "]"
)
#: Includes all characters of two columns, but no dashes, quotes and arrows.
MAYBE_WIDE = re.compile("[\u1100-\u1fff\u2300-\U0010ffff]")


def cleaned(text: str) -> str:
    """Remove characters that an email must not show."""
    if text.replace("\n", "").isprintable():
        return text  # The pattern is slow.
    return INVISIBLE.sub("", text)


def one_line(text: str) -> str:
    """Return the text on one line, with single spaces."""
    if not text.isprintable():  # Of all white space, only the space is.
        text = INVISIBLE.sub(" ", text)
    elif "  " not in text:
        return text.strip(" ")
    return " ".join(text.split())


def shortened(text: str, max_columns: int) -> str:
    """Return the text on one line of at most `max_columns` columns, cut after a word."""
    text = one_line(text)
    if columns(text) <= max_columns:
        return text
    start = text[: fitting_length(text, max(max_columns - 1, 0))]
    whole_words, space, _ = start.rpartition(" ")
    if space and len(whole_words) > len(start) // 2:  # An endless word is cut.
        start = whole_words
    return start.rstrip(" ,;:.–—-(") + "…"


def wrapped(text: str) -> str:
    """Break the lines; each continues under its own indent."""
    return spaced("\n".join(map(wrapped_line, text.splitlines())))


def spaced(text: str) -> str:
    """Reduce runs of blank lines to one, and strip the text."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def wrapped_line(line: str) -> str:
    """Break one line of a template, under its own indent."""
    if line == SIGNATURE:
        return line
    body = " ".join(line.split())
    indent = next_indent = line[: len(line) - len(line.lstrip())]
    if NUMBER.match(body) and indent:  # An abstract that begins like a paper: "1. We show …".
        body = unnumbered(body)
    elif NUMBER.match(body):
        body, next_indent = body.replace(" ", NO_BREAK, 1), HANGING_INDENT
    body = BEFORE_NUMBER.sub(NO_BREAK, body)
    lines = _wrap_words(body, indent, next_indent)
    return "\n".join(part.replace(NO_BREAK, " ").rstrip() for part in lines)


def columns(text: str) -> int:
    """Return the width: East Asian wide characters take two columns."""
    if _is_narrow(text):
        return len(text)
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def fitting_length(text: str, max_columns: int) -> int:
    """Return how many characters from the start fit into `max_columns` columns."""
    if _is_narrow(text):
        return min(len(text), max_columns)
    width = 0
    for count, character in enumerate(text):
        width += columns(character)
        if width > max_columns:
            return count
    return len(text)


def unnumbered(text: str) -> str:
    """Change a start like a paper's: "1. We show" becomes "(1) We show"."""
    return NUMBER.sub(r"(\1)", text, count=1) if NUMBER.match(text) else text


def _wrap_words(body, first_indent, next_indent):
    lines, line, width = [], "", 0
    for word in body.split(" "):
        for index, piece in enumerate(_pieces(word)):
            piece_width = columns(piece)
            if line and (index or width + 1 + piece_width > COLUMNS):
                lines.append(line)
                line = ""
            if line:
                line, width = f"{line} {piece}", width + 1 + piece_width
            else:
                line = (next_indent if lines else first_indent) + piece
                width = len(line) - len(piece) + piece_width
    return [*lines, line]


def _pieces(word):
    """Split a word that is longer than a line, unless it is a URL."""
    width = COLUMNS - len(HANGING_INDENT)
    is_url = "://" in word
    # Of an endless word, look only at what a line could hold.
    while not is_url and (end := fitting_length(word[: width + 1], width)) < len(word):
        yield word[:end]
        word = unnumbered(word[end:].lstrip(NO_BREAK))
    yield word


def _is_narrow(text):
    """Return whether no character can take two columns."""
    return text.isascii() or not MAYBE_WIDE.search(text)
