"""Records: what a source knows about a paper, as plain, clean values. No models, no network.

Text from outside is made plain here, once: one Unicode form, no control characters, no tags, no
LaTeX. Whoever shows it later escapes it and needs to think of nothing else.

Each step takes time in proportion to the text, whatever it holds: no pattern searches far, from a
thousand places, for an end that may be missing.
"""

import hashlib
import html
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from urllib.parse import urlsplit

from pylatexenc.latex2text import LatexNodes2Text

MAX_TITLE = 1_000
MAX_ABSTRACT = 20_000
MAX_NAMES = 3_000
SHORT = 100  # Characters; 99 of 100 formulas in abstracts have fewer.

NEW_ID = re.compile(r"(\d{4}\.\d{4,5})(v\d+)?")
OLD_ID = re.compile(r"([a-z-]+)(\.[A-Z]{2})?/(\d{7})(v\d+)?")
OTHER_ID = re.compile(r"[a-z][a-z0-9-]*:[A-Za-z0-9._/()-]+")
CONTROLS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
MARKS = re.compile(r"[&\\$`]|--|</")
# A number that Python refuses to read, and that is no character's.
NO_CHARACTER = re.compile(r"&#[0-9]{9,};?")
TAG = re.compile(r"<(/?)(b|i|em|strong|sub|sup|p|tt|u|span|jats:\w+)>")
# Mathematics, by pandoc's rule for what a dollar opens and closes; commands, with what they hold.
MATHS = re.compile(
    r"\$\$[^$]+\$\$|\$(?=[^\s$])[^$]*(?<=[^\s$])\$"
    r"|\\\((?:[^\\]|\\(?![()]))++\\\)|\\\[(?:[^\\]|\\(?![\[\]]))++\\\]"
)
COMMAND = re.compile(r"\\(?:[A-Za-z]+|[`'^\"~=.])\s*(?:\{[^{}]*\})*[A-Za-z]?")
# What the converter would lose: the text of links and notes, and of old font commands.
SAID = [
    (re.compile(r"\\href\s*\{([^{}]*)\}\s*\{(?:here|link|this link|)\}"), r"\1"),
    (re.compile(r"\\href\s*\{[^{}]*\}\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\url\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\footnote\s*\{([^{}]*)\}"), r" (\1)"),
    (re.compile(r"~?\\(?:cite|ref|label)[a-z]*\s*\{[^{}]*\}"), ""),
    (re.compile(r"\{\\(?:em|it|bf|sc|tt|sl)\s([^{}]*)\}"), r"\1"),
    (re.compile(r"\\@(?=\d)"), "@"),
    (re.compile(r"\\@"), ""),
]
TYPOGRAPHY = [
    (re.compile(r"``([^`']*)''"), "“\\1”"),
    (re.compile(r"\s?---\s?"), " — "),
    (re.compile(r"(?<=\w)--(?=\w)|(?<=\s)--(?=\s)"), "–"),
]


class BadRecord(ValueError):
    """This is no paper, and why not."""


@dataclass(frozen=True, slots=True)
class Record:
    """One paper as a source tells of it. What isn't known is empty or None."""

    id: str
    title: str
    abstract: str = ""
    day: date | None = None
    day_is_estimate: bool = False
    authors: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    upvotes: int | None = None
    url: str = ""
    source: str = ""
    version: int | None = None
    announced_as: str = ""
    is_withdrawn: bool = False
    comments: str = ""
    journal_ref: str = ""
    doi: str = ""
    license: str = ""
    github: str = ""
    github_stars: int | None = None
    num_comments: int | None = None


def canonical_id(text: str) -> str:
    """Return the id without its version, or raise BadRecord.

    >>> canonical_id("arXiv:2506.04235v2"), canonical_id("math.GT/0309136")
    ('2506.04235', 'math/0309136')
    """
    text = re.sub(r"^(arxiv:|https?://arxiv\.org/abs/)", "", text.strip(), flags=re.IGNORECASE)
    if match := NEW_ID.fullmatch(text):
        return match[1]
    if match := OLD_ID.fullmatch(text):
        return f"{match[1]}/{match[3]}"
    if OTHER_ID.fullmatch(text) and len(text) <= 100:
        return text
    raise BadRecord(f"{text[:60]!r} is no id of a paper")


def month_of(identity: str) -> date | None:
    """Return the first day of the month in which arXiv gave this id, None for other ids.

    >>> month_of("2506.04235"), month_of("math/9912001")
    (datetime.date(2025, 6, 1), datetime.date(1999, 12, 1))
    """
    match = re.match(r"(?:[a-z-]+/)?(\d\d)(0[1-9]|1[0-2])", identity)
    if not match:
        return None
    year = int(match[1])
    return date(1900 + year if year > 90 else 2000 + year, int(match[2]), 1)


def id_from_title(title: str) -> str:
    """Return an id for a paper that came without one: the same for the same words."""
    words = " ".join(re.findall(r"\w+", title.casefold()))
    return f"title:{hashlib.sha256(words.encode()).hexdigest()[:20]}"


def plain(text: str, limit: int) -> str:
    """Return text from outside as one line of plain, readable characters."""
    if len(text) <= limit and text.isprintable() and not MARKS.search(text):
        return unicodedata.normalize("NFC", " ".join(text.split()))  # Most are clean already.
    text = CONTROLS.sub(" ", text[: 2 * limit])
    if "&" in text:
        text = CONTROLS.sub(" ", html.unescape(NO_CHARACTER.sub("\ufffd", text)))
    text = " ".join(text.split())  # A formula or a pair of tags may go on in the next line.
    if "</" in text:
        text = _without_tags(text)
    if "\\" in text or "$" in text:
        text = readable_latex(text)
    if "--" in text or "``" in text:
        for pattern, said in TYPOGRAPHY:
            text = pattern.sub(said, text)
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _without_tags(text):
    """Take out the tags that come in pairs. Others stay: `a<b>c` is mathematics."""
    open_at, cuts = {}, []
    for tag in TAG.finditer(text):
        is_end, name = tag.groups()
        if not is_end:
            open_at.setdefault(name, []).append(tag.span())
        elif open_at.get(name):
            cuts += [open_at[name].pop(), tag.span()]
    kept, at = [], 0
    for start, end in sorted(cuts):
        kept.append(text[at:start])
        at = end
    return "".join([*kept, text[at:]])


def readable_latex(text: str) -> str:
    """Return the text with its LaTeX as Unicode: `$\\alpha<\\beta$` becomes α<β.

    What is no LaTeX (a price, a lone dollar) stays as it is.
    """
    text = text.replace("\\$", "\ue000")
    for pattern, said in SAID:
        text = pattern.sub(said, text)
    text = MATHS.sub(_maths, text)
    text = COMMAND.sub(lambda match: _latex_to_text(match[0]), text)
    return text.replace("\ue000", "$").replace("\\%", "%").replace("\\&", "&").replace("\\_", "_")


def _maths(match):
    """Two prices are no formula: `$10-$20` opens with a digit, and a digit follows its close."""
    follows = match.string[match.end() : match.end() + 1]
    if match[0][1:2].isdigit() and follows.isdigit():
        return match[0]
    return _latex_to_text(match[0])


_converter = LatexNodes2Text(math_mode="text", strict_latex_spaces=False, keep_comments=True)


def _latex_to_text(latex):
    """Return the piece of LaTeX as text. Short ones come again and again, and are remembered."""
    return _short_to_text(latex) if len(latex) <= SHORT else _converted(latex)


def _converted(latex):
    try:
        text = _converter.latex_to_text(latex).strip("\n")
    except Exception:  # The library raises many kinds at broken LaTeX.
        text = "%s"
    # It leaves its own placeholders where an argument is missing. Then the reader sees it raw.
    return text if "%s" not in text or "%s" in latex else latex


# A few MB, since each entry is short: what a source sends must not fill the memory.
_short_to_text = lru_cache(maxsize=20_000)(_converted)


def names(values) -> list[str]:
    """Return authors or categories as a list of plain, short texts."""
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list):
        return []
    return [text for value in values[:MAX_NAMES] if (text := plain(str(value), 200))]


def web_address(text: str) -> str:
    """Return an http(s) address, or nothing where the text is none."""
    text = text.strip()
    if len(text) > 500 or not text.isprintable() or " " in text:
        return ""
    try:
        parts = urlsplit(text)
        return text if parts.scheme in ("http", "https") and parts.hostname else ""
    except ValueError:
        return ""
