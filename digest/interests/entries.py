"""Read what was typed or pasted into the interests box: one entry for each interest.

Prose is one entry, a text. Without prose, a line may be words, a list, a name, a category, a topic,
a link or a title. Each entry can be written as lines that are read as this entry again.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from digest.interests.phrases import BULLETS, is_prose, phrases, struck_phrases
from digest.ranking import text as ranking_text
from digest.ranking.authors import as_query, queried_names
from digest.ranking.query import ADDRESS, MAX_PHRASE_TERMS, QUOTED, QUOTES, lines
from digest.sources.arxiv.taxonomy import category_names

WORDS, TEXT, AUTHOR, CATEGORY = "words", "text", "author", "category"
TOPIC, PAPER, ORCID, UNREAD = "topic", "paper", "orcid", "unread"
MAX_NAME_WORDS = 4
MAX_UNWANTED = 2  # Words after "no" at the beginning of a line, unlike "no free lunch theorems".
MAX_PIECE_WORDS = 6  # Of a list. Longer pieces are parts of a title.
MAX_MARKS = 5  # At the beginning of a line, as in "not: words: tea".
MAX_ALTERNATIVES = 20  # In parentheses. Each repeats what is before them.

#: How a line says what it is: "not: surveys", "words: computer vision".
PREFIX = re.compile(
    rf"(not|{WORDS}|{TEXT}|{TOPIC}|{PAPER}|(?:author|institution)s?(?= ?:$)) ?: ?", re.IGNORECASE
)
UNWANTED = re.compile(
    r"(?:(?:but|aber) )?(?:please )?(?:(no)|not(?: interested in)?|nothing(?: on| about)?|without"
    r"|keine?|ohne|(?:avoid|exclude|skip):|(?<=please )(?:avoid|exclude|skip)) "
    r"(?!only |just |limited )(?=\S)",
    re.IGNORECASE,
)
MARK = re.compile(rf"{PREFIX.pattern}|{UNWANTED.pattern}", re.IGNORECASE)
TOO_MANY_MARKS = re.compile(rf"(?:{MARK.pattern}){{{MAX_MARKS + 1}}}", re.IGNORECASE)
OR, AND = (re.compile(rf"(?<=\S)\s+{word}\s+(?=\S)") for word in ("OR", "AND"))
#: "LLM AND (planning OR tools)", "reasoning NOT (agents OR vision)". Begins after a parenthesis:
#: from any character, the time would be quadratic.
GROUPED = re.compile(r"(?<![^()])(?P<start>[^()]*?)\s+(?P<word>AND|NOT)\s+\((?P<group>[^()]*)\)")
NOT = re.compile(r"(?:^|\s+)(?:AND\s+)?NOT\s+")
PARENTHESES = str.maketrans("()", "  ")
BULLET = re.compile(rf"\A(?:[{BULLETS}]|\(?\d{{1,2}}[.)])\s+")
#: "-robotics", as in a search engine, unless all lines are such: then these are bullets.
HYPHEN = re.compile(r"-(?=[^\W\d])")
BY = re.compile(r"(?i:(?:papers? |work )?(?:author|by) )(?=[^\W\d_a-z])")
#: "LLM agents, author: Lei Li".
BEFORE_AUTHOR = re.compile(r"\s*[,;]\s*(?=(?:author|institution)s? ?:)", re.IGNORECASE)
NAME = re.compile(r"[^\W\d_][^\d_!?:;()\"/]*")
#: Between the pieces of a list, before one that is unwanted, and between two of several words.
SEPARATOR = re.compile(
    r"\s*[,;|•·]\s*(?:(?:and|or|und|et)\s+)?"
    r"|(?:\.|\s+(?:but|aber))\s+(?=(?:please )?(?:no|not|keine?) (?!only |just |limited ))",
    re.IGNORECASE,
)
CONJUNCTION = re.compile(r"(?<=\S)\s+(?:and|or|und|et|&)\s+(?=\S+\s)", re.IGNORECASE)


class Vocabulary:
    """What the papers and topics say of words. This one knows none."""

    def is_author(self, name: str) -> bool:
        """Return whether papers have this author, and hardly one has these words."""
        return False

    def topic(self, name: str) -> str:
        """Return the slug of the topic with this name, or an empty string."""
        return ""

    def paper(self, reference: str) -> str:
        """Return the id of the paper with this id or link, or what it or an ORCID can be looked up
        by (`identifiers.find_reference`), or an empty string.
        """
        return ""

    def titled(self, title: str) -> str:
        """Return the id of the paper with this title, or an empty string."""
        return ""


NO_VOCABULARY = Vocabulary()


@dataclass(frozen=True)
class Entry:
    """One interest.

    Attributes
    ----------
    kind : str
        words, text (prose, a title or an abstract), author (or institution), category, topic,
        paper (papers like it), orcid (the papers of a person, to choose from), unread (not
        understood).
    text : str
        As it was typed. Of an author, with "author:", or of an institution, with "institution:".
        Of a paper, its id, or its title and an abstract or a reference: `added_papers.parse_entry`.
    is_muted : bool
    slug : str
        Of a topic.
    """

    kind: str
    text: str
    is_muted: bool = False
    slug: str = ""

    @property
    def key(self) -> tuple[str, str, bool]:
        """What is equal in entries that match the same papers: "Robots" and "robots"."""
        return self.kind, self.slug or self.text.casefold(), self.is_muted


def read(
    text: str,
    vocabulary: Vocabulary = NO_VOCABULARY,
    stored: Mapping[str, Entry] | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """Return the entries of a text, each once. A line that is `stored` is that entry.

    Stops after the line that exceeds the `limit` of followed or of muted entries.
    """
    text = "".join(letter for letter in text if letter.isprintable() or letter.isspace())
    stored = stored or {}
    all_lines = [" ".join(line.split()) for line in text.splitlines()]
    all_lines = list(dict.fromkeys(filter(None, all_lines)))
    plain_lines = [
        line
        for line in all_lines
        if not (line in stored or _is_explicit(line) or vocabulary.titled(line))
    ]
    has_prose = any(map(is_prose, plain_lines))
    is_list = len(all_lines) > 1 and all(line.startswith("-") for line in all_lines)
    entries: dict[tuple, Entry] = {}
    labels: dict[tuple, Entry] = {}
    for line in all_lines:
        if entry := stored.get(line):
            line_entries = [entry]
        elif has_prose and line in plain_lines:
            is_first = line == plain_lines[0]
            line_entries = _read_prose("\n".join(plain_lines), vocabulary) if is_first else []
        elif match := HYPHEN.match(line):
            read_line = _read_line if is_list else _read_muted
            line_entries = read_line(line[match.end() :], vocabulary)
        else:
            line_entries = _read_line(BULLET.sub("", line), vocabulary)
        for entry in line_entries:
            (labels if _is_label(entry) else entries).setdefault(entry.key, entry)
        muted_count = sum(entry.is_muted for entry in entries.values())
        if limit is not None and max(muted_count, len(entries) - muted_count) > limit:
            break
    return [*(entries or labels).values()]


def written(entries: Sequence[Entry], vocabulary: Vocabulary = NO_VOCABULARY) -> list[str]:
    """Return a string for each entry. All of them, each on lines of its own, are read as these."""
    prose = next(filter(_is_prose, entries), None)
    return [_written(e, vocabulary, beside_text=prose not in (None, e)) for e in entries]


def _is_prose(entry: Entry) -> bool:
    is_text = entry.kind == TEXT and not entry.is_muted
    return is_text and any(map(is_prose, entry.text.splitlines()))


def _written(entry: Entry, vocabulary: Vocabulary, *, beside_text: bool) -> str:
    if entry.is_muted:
        entry = replace(entry, is_muted=False)
        return f"not: {' '.join(_written(entry, vocabulary, beside_text=False).split())}"
    if entry.slug:
        return f"{TOPIC}: {entry.text}"
    has_prefix = entry.kind in (WORDS, TEXT, PAPER)
    is_read = not (beside_text and not _is_explicit(entry.text))
    if has_prefix and not (is_read and read(entry.text, vocabulary) == [entry]):
        return f"{entry.kind}: {' '.join(entry.text.split())}"
    return entry.text


def lines_of(kind: str, text: str) -> tuple[str, ...]:
    """Return the lines that papers are ranked by: of a text, the phrases that are wanted."""
    if kind == TEXT:
        wanted = (phrase.text for phrase in phrases(text) if not phrase.is_unwanted)
        return tuple(dict.fromkeys(wanted))
    return (text,) if kind == WORDS else tuple(lines(text))


def _is_label(entry: Entry) -> bool:
    """Return whether an entry only introduces others: "Research interests:"."""
    return entry.kind == UNREAD and not ADDRESS.search(entry.text) and not phrases(entry.text)


def _is_explicit(line: str) -> bool:
    """Return whether a line is an entry of its own, even beside prose."""
    return bool(
        PREFIX.match(line) or queried_names(line) or category_names(line) or ADDRESS.fullmatch(line)
    )


def _read_prose(text: str, vocabulary: Vocabulary) -> list[Entry]:
    """Return the entry of a text, and those of the papers that it links to. Ignores other links."""
    links = []
    for link in ADDRESS.findall(text):
        entry = _read_link(link.strip("()."), vocabulary)
        if entry.kind != UNREAD:
            links.append(entry)
            text = text.replace(link, " ", 1)
    text = "\n".join(" ".join(line.split()) for line in text.splitlines()).strip()
    if phrases(text) or struck_phrases(text):
        return [Entry(TEXT, text), *links]
    return links or [Entry(UNREAD, text)]


def _read_line(line: str, vocabulary: Vocabulary) -> list[Entry]:
    line = line.translate(QUOTES)
    if TOO_MANY_MARKS.match(line):
        return [Entry(UNREAD, line)]
    if match := PREFIX.match(line):
        text = line[match.end() :]
        return _read_prefixed(match[1].lower(), text, vocabulary) if text else [Entry(UNREAD, line)]
    match = UNWANTED.match(line)
    if match and not (match[1] and len(line[match.end() :].split()) > MAX_UNWANTED):
        return _read_muted(line[match.end() :], vocabulary)
    if (match := BY.match(line)) and vocabulary.is_author(line[match.end() :]):
        return [Entry(AUTHOR, f"author: {line[match.end() :]}")]
    if paper := vocabulary.titled(line):
        return [Entry(PAPER, paper)]
    if names := queried_names(line):
        return [Entry(AUTHOR, as_query(name)) for name in names]
    if categories := category_names(line):
        return [Entry(CATEGORY, category) for category in categories]
    if len(parts := BEFORE_AUTHOR.split(line)) > 1:
        return [entry for part in parts if part for entry in _read_line(part, vocabulary)]
    if QUOTED.search(line):
        return [_read_phrase(part, NO_VOCABULARY) for part in lines(line)]
    if not line.isupper() and (OR.search(line) or AND.search(line) or NOT.search(line)):
        return _read_operators(line, vocabulary)
    links = [_read_link(link.strip("()."), vocabulary) for link in ADDRESS.findall(line)]
    if links:
        line = ADDRESS.sub(" ", line).rstrip(" .,;")
    line_entry = _read_phrase(" ".join(line.split()), vocabulary)
    if line_entry.kind in (TOPIC, AUTHOR, UNREAD):
        return links if links and line_entry.kind == UNREAD else [line_entry, *links]
    pieces = _pieces(line)
    if len(pieces) > 1:
        entries = [*chain.from_iterable(_read_piece(piece, vocabulary) for piece in pieces), *links]
        return [entry for entry in entries if entry.kind != UNREAD or entry in links] or entries
    return [line_entry, *links]


def _pieces(line: str) -> list[str]:
    """Return the pieces of a list, or the line itself."""
    label, colon, rest = line.partition(": ")
    if colon and not phrases(label):  # "Keywords: tea, cups".
        line = rest
    pieces = [piece for piece in SEPARATOR.split(line.strip(" .")) if piece]
    if ";" not in line and any(len(piece.split()) > MAX_PIECE_WORDS for piece in pieces):
        return [line]
    split = []
    for piece in pieces:
        match = CONJUNCTION.search(piece)
        if match and " " in piece[: match.start()]:
            split += [piece[: match.start()], piece[match.end() :]]
        else:
            split.append(piece)
    return split


def _read_piece(piece: str, vocabulary: Vocabulary) -> list[Entry]:
    if match := UNWANTED.match(piece):
        return [replace(_read_phrase(piece[match.end() :], vocabulary), is_muted=True)]
    return [_read_phrase(piece, vocabulary)]


def _read_prefixed(prefix: str, content: str, vocabulary: Vocabulary) -> list[Entry]:
    if prefix == "not":
        return _read_muted(content, vocabulary)
    if prefix == TOPIC:
        slug = vocabulary.topic(content)
        return [Entry(TOPIC, content, slug=slug)] if slug else _read_line(content, vocabulary)
    if prefix == PAPER:
        is_title = len(content.split()) > 1
        paper = (vocabulary.titled(content) or content) if is_title else vocabulary.paper(content)
        return [Entry(PAPER, paper)] if paper else _read_line(content, vocabulary)
    return [Entry(prefix, content) if ranking_text.terms(content) else Entry(UNREAD, content)]


def _read_link(link: str, vocabulary: Vocabulary) -> Entry:
    paper = vocabulary.paper(link)
    if paper.startswith(f"{ORCID}:"):
        return Entry(ORCID, paper.removeprefix(f"{ORCID}:"))
    return Entry(PAPER, paper) if paper else Entry(UNREAD, link)


def _read_muted(line: str, vocabulary: Vocabulary) -> list[Entry]:
    return [replace(entry, is_muted=True) for entry in _read_line(line, vocabulary)]


def _read_operators(line: str, vocabulary: Vocabulary) -> list[Entry]:
    """Read alternatives as entries, and what follows NOT as muted."""
    line = GROUPED.sub(_ungrouped, line)
    texts: dict[tuple[str, bool], None] = {}
    for alternative in OR.split(line.translate(PARENTHESES)):
        phrase, *muted_phrases = NOT.split(alternative)
        texts[" ".join(AND.sub(" ", phrase).split()), False] = None
        texts |= dict.fromkeys((muted_phrase.strip(), True) for muted_phrase in muted_phrases)
    entries = []
    for phrase, is_muted in texts:
        if phrase and is_muted:
            entries += _read_muted(phrase, vocabulary)
        elif phrase:
            entries.append(_read_phrase(phrase, vocabulary))
    return entries


def _ungrouped(match: re.Match[str]) -> str:
    start, alternatives = match["start"], OR.split(match["group"])
    if match["word"] == "NOT":
        return " NOT ".join([start, *alternatives])
    return " OR ".join(f"{start} AND {phrase}" for phrase in alternatives[:MAX_ALTERNATIVES])


def _read_phrase(phrase: str, vocabulary: Vocabulary) -> Entry:
    terms = set(ranking_text.terms(phrase))
    if not (terms and phrases(phrase)):
        return Entry(UNREAD, phrase)
    if slug := vocabulary.topic(phrase):
        return Entry(TOPIC, phrase, slug=slug)
    if categories := category_names(phrase):
        return Entry(CATEGORY, categories[0])
    is_name = NAME.fullmatch(phrase) and len(phrase.split()) <= MAX_NAME_WORDS
    if is_name and vocabulary.is_author(phrase):
        return Entry(AUTHOR, f"author: {phrase}")
    return Entry(TEXT if len(terms) > MAX_PHRASE_TERMS else WORDS, phrase)
