"""Records: the data of a source about one paper, as clean values. No models, no network.

Untrusted text is cleaned here, once: one Unicode form, no control characters, no tags, no LaTeX.
Pages and emails only have to escape it.

Each step takes linear time, whatever the text contains.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from urllib.parse import urlsplit

from digest.sources.latex import without_latex
from digest.sources.typography import typeset

MAX_TITLE = 1_000
MAX_ABSTRACT = 20_000
MAX_NAMES = 3_000
MAX_AFFILIATIONS = 20
MAX_AFFILIATION_READ = 1_000

MAX_ID = 100
NEW_ID = re.compile(r"(\d{4}\.\d{4,5})(v\d+)?", re.ASCII)
ARXIVS = re.compile(
    r"(arxiv:|(https?://)?(www\.|export\.)?arxiv\.org/(abs|pdf|html)/)", re.IGNORECASE | re.ASCII
)
OLD_ID = re.compile(r"([a-z-]+)(\.[A-Z]{2})?/(\d{7})(v\d+)?", re.ASCII)
#: Without "/../" and "/./", which browsers resolve: its page's address would lead to another page.
OTHER_ID = re.compile(r"[a-z][a-z0-9-]*:(?!.*/\.\.?(?:/|$))[A-Za-z0-9._/()-]+")
CONTROLS = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
    r"\u200b\u2060\ufeff\ufdd0-\ufdef"
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(17))  # No characters.
    + "]"
)
MARKS = re.compile(r"[&\\$`{}~^_*<]|--|''")
#: Markup, and misplaced punctuation, for which `readable_text` has something to do.
READ = re.compile(rf"{MARKS.pattern}|\]\(http| [,;.](?:\s|$)")
# A number that Python refuses to parse, and that is no character's.
NO_CHARACTER = re.compile(r"&#[0-9]{9,};?")
LATEX = re.compile(r"[\\${}]")
TAG = re.compile(
    r"<(/?)(a|b|i|em|strong|sub|sup|p|tt|u|span|div|font|jats:\w+)"
    r"""(?:\s+[\w:-]{1,30}=(?:"[^"<>]{0,500}"|'[^'<>]{0,500}'))*\s?>"""
)
LINE_BREAK = re.compile(r"<br ?/?>")
EMAIL = re.compile(r"(?:\s*electronic address:\s*)?[^\s,;:@]++@[^\s,;]+", re.IGNORECASE)
#: Characters of other categories that are invisible, as a link with such a title would be.
BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
ROUNDS = 4  # Markup may be nested: &amp;lt; is &lt;, which is <.

#: The record of a journal's publication. It updates a paper, but creates none.
PUBLISHED = "published"


class BadRecord(ValueError):
    """This is no record of a paper. The message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One paper, as a source has it. Unknown fields are empty or None."""

    id: str
    title: str
    abstract: str = ""
    day: date | None = None
    day_is_estimate: bool = False
    authors: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    upvotes: int | None = None
    url: str = ""
    version: int | None = None
    announced_as: str = ""
    is_withdrawn: bool = False
    comments: str = ""
    journal_ref: str = ""
    doi: str = ""
    license: str = ""
    github: str = ""
    github_stars: int | None = None
    hugging_face: dict[str, str | list[str]] | None = None
    affiliations: list[str] = field(default_factory=list)
    #: The texts of other sources are kept, because each would replace those of the other.
    only_adds: bool = False
    num_comments: int | None = None

    @classmethod
    def from_json(cls, row: dict) -> "Record":
        """Return the record of which these are the fields, with an ISO date."""
        return cls(**row | {"day": row["day"] and date.fromisoformat(row["day"])})


def publication(paper_id: str, journal_ref: str, doi: str) -> Record:
    """Return the record of a journal's publication of a paper."""
    return Record(paper_id, "", announced_as=PUBLISHED, journal_ref=journal_ref, doi=doi)


def canonical_id(text: str) -> str:
    """Return the id without its version. Raises BadRecord.

    >>> canonical_id("arXiv:2506.04235v2"), canonical_id("math.GT/0309136")
    ('2506.04235', 'math/0309136')
    """
    text = text.strip()
    if prefix := ARXIVS.match(text):
        text = text[prefix.end() :].removesuffix(".pdf")
    if len(text) <= MAX_ID:  # The database's limit.
        if match := NEW_ID.fullmatch(text):
            return match[1]
        if match := OLD_ID.fullmatch(text):
            return f"{match[1]}/{match[3]}"
        if OTHER_ID.fullmatch(text):
            return text
    raise BadRecord(f"{text[:60]!r} is not the id of a paper")


def month_of(identity: str) -> date | None:
    """Return the first day of the month of an arXiv id, or None for other ids.

    >>> month_of("2506.04235"), month_of("math/9912001")
    (datetime.date(2025, 6, 1), datetime.date(1999, 12, 1))
    """
    match = re.match(r"(?:[a-z-]+/)?(\d\d)(0[1-9]|1[0-2])", identity)
    if not match:
        return None
    year = int(match[1])
    return date(1900 + year if year > 90 else 2000 + year, int(match[2]), 1)


def id_from_title(title: str) -> str:
    """Return an id for a paper without one. Titles with the same words have the same id."""
    words = " ".join(re.findall(r"\w+", title.casefold())) or title
    return f"title:{hashlib.sha256(words.encode()).hexdigest()[:20]}"


def clean(text: str, limit: int) -> str:
    """Return untrusted text as one line of readable characters, or "" if all are invisible."""
    if len(text) > limit or not text.isprintable() or READ.search(text):
        text = readable_text(text[: 2 * limit])
    else:
        text = unicodedata.normalize("NFC", " ".join(text.split()))  # Most are clean already.
    if not (text.isascii() or any(map(_is_visible, text))):
        return ""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _is_visible(character):
    return unicodedata.category(character)[0] in "LNPS" and character not in BLANK


def readable_text(text: str) -> str:
    """Return a text as one line without LaTeX and markup. Idempotent.

    For the texts of papers, and for subscribers' words that others read.

    >>> readable_text("$\\\\alpha$-stable processes")
    'α-stable processes'
    """
    for _ in range(ROUNDS):
        cleaned_text = _strip_markup(text)
        if cleaned_text == text or not READ.search(cleaned_text):
            return cleaned_text
        text = cleaned_text
    # Too deeply nested: only its words.
    words = MARKS.sub(" ", text).replace("](", "] (").split()
    return " ".join(typeset(" ".join(words)).split())


def _strip_markup(text):
    if not text.isprintable():  # Then it may have control characters, whose pattern is slow.
        text = CONTROLS.sub(" ", text)
    if "&" in text:
        text = CONTROLS.sub(" ", html.unescape(NO_CHARACTER.sub("\ufffd", text)))
    text = " ".join(text.split())  # A formula or a pair of tags may have line breaks.
    if "<" in text:
        text = _without_tags(LINE_BREAK.sub(" ", text))
    if LATEX.search(text):
        text = without_latex(text)
    text = typeset(text)
    return " ".join(unicodedata.normalize("NFC", text).split())


def _without_tags(text):
    """Remove tags in pairs. Others stay: `a<b>c` is mathematics."""
    open_tags, tag_spans = {}, []
    for tag in TAG.finditer(text):
        is_end, name = tag.groups()
        if not is_end:
            open_tags.setdefault(name, []).append(tag.span())
        elif open_tags.get(name):
            tag_spans += [open_tags[name].pop(), tag.span()]
    return "".join(parts_outside(text, sorted(tag_spans)))


def parts_outside(text: str, spans: Iterable[tuple[int, int]]) -> list[str]:
    """Return the parts of a text that are not in these spans, which are sorted."""
    parts, position = [], 0
    for start, end in spans:
        parts.append(text[position:start])
        position = end
    return [*parts, text[position:]]


def clean_names(values) -> list[str]:
    """Return authors or categories as a list of plain, short texts."""
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list):
        return []
    strings = (value for value in values[:MAX_NAMES] if isinstance(value, str))
    return [name for text in strings if (name := clean(text, 200))]


def clean_affiliations(values: Iterable[str]) -> list[str]:
    """Return affiliations as plain texts, without repeats and email addresses."""
    texts = dict.fromkeys(value[:MAX_AFFILIATION_READ] for value in islice(values, MAX_NAMES))
    affiliations = [clean(EMAIL.sub("", text), 200).strip(" .,;") for text in texts]
    return list(dict.fromkeys(filter(None, affiliations)))[:MAX_AFFILIATIONS]


def web_address(text: str) -> str:
    """Return the text if it is an http(s) URL, or an empty string."""
    text = text.strip()
    if len(text) > 500 or not text.isprintable() or " " in text:
        return ""
    try:
        split_url = urlsplit(text)
        return text if split_url.scheme in ("http", "https") and split_url.hostname else ""
    except ValueError:
        return ""
