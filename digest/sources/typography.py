"""Replace ASCII typography in prose: dashes, quotation marks, ties, Markdown.

URLs stay. Each pattern takes linear time: it looks only to the next sign of its kind, or a few
hundred characters ahead.
"""

import re

from digest.sources.latex import HIGH, LOW

ADDRESS = re.compile(r"((?:https?://|www\.)[^\s<>\"“”]+)")
MARKDOWN_LINK = re.compile(r"\[([^\[\]]{1,200})\]\((https?://[^\s()]{1,500})\)")
TIE_BEFORE_ADDRESS = re.compile(r"~(?=https?://)")
LETTER = r"[^\W\d_¹²³⁰-ₜ]"

#: A sign that a text must contain, a pattern, and its replacement.
PATTERNS = [
    (sign, re.compile(pattern), replacement)
    for sign, pattern, replacement in [
        ("*", r"(?<![\w*)])\*\*([^*\s](?:[^*]{0,300}[^*\s])?)\*\*", r"\1"),
        ("*", rf"(?<![\w*)])\*({LETTER}(?:[^*]{{0,200}}[^*\s])?)\*(?![\w*])", r"\1"),
        ("``", r"``([^`\s](?:[^`'\"]|'(?!'))*)(?:''|\"|”|``(?!\w))", r"“\1”"),
        ("``", r"``", "“"),
        ("''", r"(?<![\w'’])''([^`\s](?:[^`'\"]|'(?!'))*)(?:''|\"|”)", r"“\1”"),
        # What closes; not the second derivative f''.
        ("''", r"(?<=\S)(?<!\b\w)''(?!\w)|(?<=\s)''(?=\s)", "”"),
        ("`", r"(?<=\w)`(?=\w)|(?<!\w)`(?=\d\d\b)", "’"),
        ("`", r"(?<![\w`])`([^`\s](?:[^`']|'(?=\w)){0,200})['`](?!\w)", r"‘\1’"),
        ("--", r"\s?(?<!-)---(?!-)\s?", " — "),
        ("--", r"(?<=[^\s\-<!])--(?![->])|(?<=\s)--(?=[\s\d])|(?<=\()--(?=\d)", "–"),
        # A tie holds two words together, or a number and its unit; else it says "about".
        ("~", rf"(?<={LETTER}{{2}})~(?=[\s\w(\[“‘↑↓])|(?<=[.,:;)\]}}%’”×°¢])~(?=[\w(\[“‘])", " "),
        ("~", rf"(?<=\d)~(?={LETTER})|(?<=\d{LETTER})~(?={LETTER}|\()|(?<=&{LETTER})~(?=\d)", " "),
        ("~", rf"(?<!\w\w)(?<={LETTER})~(?=[a-z]{{2}})|(?<=[–—])~|~(?=[–—])", " "),
        ("~", r"(?<=\s)~(?=[a-z]{3}|\([A-Z]{2})|(?<=\d)~(?=%)", ""),
        ("^", r"\^circ\b", "°"),
        ("^", r"(?<=[^\W_])\^([+-]?\d+)(?![\d.]*\d|/\d)", lambda power: power[1].translate(HIGH)),
        # CO_2, but no file_2: that may be its name.
        (
            "_",
            rf"(?<![\w/.@#-])({LETTER}|CO)_(\d{{1,2}})(?!\w|\.\d)",
            lambda name: name[1] + name[2].translate(LOW),
        ),
        (" ", r"(?<=[\w)\]”’%°]) (?=[,;.](?:\s|$))", ""),
    ]
]
SIGNS = re.compile(r"[`~^_*]|--|''|\]\(| [,;.](?:\s|$)")


def typeset(text: str) -> str:
    """Return the text with typographic signs.

    >>> typeset("``A--Z'' of **10^6** words---see Fig.~2")
    '“A–Z” of 10⁶ words — see Fig. 2'
    """
    if not SIGNS.search(text):
        return text
    if "http" in text:
        text = TIE_BEFORE_ADDRESS.sub(" ", text)
        text = MARKDOWN_LINK.sub(_link, text)
    pieces = ADDRESS.split(text)
    pieces[::2] = map(_typeset, pieces[::2])
    return "".join(pieces)


def _typeset(piece):
    for sign, pattern, replacement in PATTERNS:
        if sign in piece:
            piece = pattern.sub(replacement, piece)
    return piece


def _link(match):
    text, address = match.groups()
    return address if text.startswith(("http", "www.")) else f"{text} ({address})"
