"""Read what was typed or pasted into the interests box: one entry for each interest.

A line may be words, a list, a sentence, a name, a category, a topic, a title or an abstract. Each
entry can be written as one line that is read as this entry again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from digest.interests import sentences
from digest.ranking import text as ranking_text
from digest.ranking.authors import queried_authors
from digest.ranking.query import ADDRESS, MAX_PHRASE_TERMS, QUOTED, QUOTES, lines
from digest.sources.arxiv.taxonomy import category_names

WORDS, TEXT, AUTHOR, CATEGORY = "words", "text", "author", "category"
TOPIC, PAPER, ORCID, UNREAD = "topic", "paper", "orcid", "unread"
MAX_NAME_WORDS = 4
MAX_UNWANTED = 2  # Words after "no" at the beginning of a line, unlike "no free lunch theorems".
#: Characters of the lines of a pasted paragraph, and of all together.
WRAPPED_LENGTHS, MAX_PARAGRAPH = range(50, 200), 2_000

#: How a line says what it is: "not: surveys", "words: computer vision".
PREFIX = re.compile(rf"(not|{WORDS}|{TEXT}|{TOPIC}|{PAPER}|authors?(?= ?:$)) ?: ?", re.IGNORECASE)
UNWANTED = re.compile(
    r"(?:but )?(?:(no)|not|nothing(?: on| about)?|without|keine?|ohne|(?:avoid|exclude|skip):) "
    r"(?=\S)",
    re.IGNORECASE,
)
#: What a line may begin with, and how many times: each is read in the one before.
MARK = re.compile(rf"{PREFIX.pattern}|{UNWANTED.pattern}", re.IGNORECASE)
TOO_MANY_MARKS = re.compile(rf"(?:{MARK.pattern}){{6}}", re.IGNORECASE)
OR, AND = (re.compile(rf"(?<=\S)\s+{word}\s+(?=\S)") for word in ("OR", "AND"))
#: "LLM AND (planning OR tools)", "reasoning NOT (agents OR vision)". Begins after a parenthesis:
#: from any character, the time would be quadratic.
GROUPED = re.compile(r"(?<![^()])(?P<start>[^()]*?)\s+(?P<word>AND|NOT)\s+\((?P<group>[^()]*)\)")
MAX_ALTERNATIVES = 20  # In parentheses. Each repeats what is before them.
NOT = re.compile(r"(?:^|\s+)(?:AND\s+)?NOT\s+")
PARENTHESES = str.maketrans("()", "  ")
BULLET = re.compile(r"\A(?:[-–—•*·]|\(?\d{1,2}[.)])\s+")
#: "-robotics", as in a search engine, unless all lines are such: then these are bullets.
HYPHEN = re.compile(r"-(?=[^\W\d])")
BY = re.compile(r"(?i:(?:papers? |work )?(?:author|by) )(?=[^\W\d_a-z])")
#: "LLM agents, author: Lei Li".
BEFORE_AUTHOR = re.compile(r"\s*[,;]\s*(?=authors? ?:)", re.IGNORECASE)
NAME = re.compile(r"[^\W\d_][^\d_!?:;()\"/]*")


class Vocabulary(Protocol):
    """What the papers and topics say of words."""

    def look_up(self, references: Iterable[str], titles: Iterable[str]) -> None:
        """Find papers at once. `paper` and `titled` answer for what was looked up."""

    def are_paired(self, left: str, right: str) -> bool:
        """Return whether two words stand together in papers, as in "trust and safety"."""

    def is_general(self, phrase: str) -> bool:
        """Return whether so many papers mention a phrase that its field should be added."""

    def is_author(self, name: str) -> bool:
        """Return whether papers have this author, and hardly one has these words."""

    def topic(self, name: str) -> str:
        """Return the slug of the topic with this name, or an empty string."""

    def paper(self, reference: str) -> str:
        """Return the id of the paper with this id or link, or what it or an ORCID can be looked up
        by (`identifiers.find_reference`), or an empty string.
        """

    def titled(self, title: str) -> str:
        """Return the id of the paper with this title, or an empty string."""


class NoVocabulary:
    """The vocabulary of an installation without papers."""

    def look_up(self, references: Iterable[str], titles: Iterable[str]) -> None:
        pass

    def are_paired(self, left: str, right: str) -> bool:
        return False

    is_general = is_author = lambda self, phrase: False

    def topic(self, name: str) -> str:
        return ""

    paper = titled = topic


NO_VOCABULARY = NoVocabulary()


@dataclass(frozen=True)
class Entry:
    """One interest.

    Attributes
    ----------
    kind : str
        words, text (papers near it), author, category, topic, paper (papers like it), orcid (the
        papers of a person, to choose from), unread (not understood). Empty for an entry that was
        saved before there were kinds.
    text : str
        As it was typed. Of an author, with "author:". Of a paper, its id, or its title and an
        abstract or a reference: `added_papers.parse_entry`.
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
    entries: dict[tuple, Entry] = {}
    all_lines = list(dict.fromkeys(paragraphs(text)))
    is_list = len(all_lines) > 1 and all(line.startswith("-") for line in all_lines)
    look_up((line for line in all_lines if line not in stored), vocabulary)
    for line in all_lines:
        if entry := stored.get(line):
            line_entries = [entry]
        elif match := HYPHEN.match(line):
            read_line = _read_line if is_list else _read_muted
            line_entries = read_line(line[match.end() :], vocabulary)
        else:
            line_entries = _read_line(BULLET.sub("", line), vocabulary)
        for entry in line_entries:
            entries.setdefault(entry.key, entry)
        muted_count = sum(entry.is_muted for entry in entries.values())
        if limit is not None and max(muted_count, len(entries) - muted_count) > limit:
            break
    return [*entries.values()]


def look_up(text_lines: Iterable[str], vocabulary: Vocabulary) -> None:
    """Look up all papers that lines may refer to, so that reading a line asks the database nothing.

    To be called with all lines of a page: one by one, each costs several queries.
    """
    references: list[str] = []
    titles: list[str] = []
    for line in text_lines:
        content = line.translate(QUOTES)
        references += [link.strip("().") for link in ADDRESS.findall(content)]
        mark = HYPHEN.match(content) or BULLET.match(content) or MARK.match(content)
        while mark and not TOO_MANY_MARKS.match(content):
            titles.append(content)
            content = content[mark.end() :]
            references += [content] if mark[0].lower().startswith(PAPER) else []
            mark = MARK.match(content)
        titles += [content, *BEFORE_AUTHOR.split(content), *NOT.split(content)]
    vocabulary.look_up(references, titles)


def written(entry: Entry, vocabulary: Vocabulary = NO_VOCABULARY) -> str:
    """Return the line that is read as this entry."""
    if entry.is_muted:
        return f"not: {written(replace(entry, is_muted=False), vocabulary)}"
    has_prefix = entry.kind in (WORDS, TEXT, PAPER)
    if has_prefix and read(entry.text, vocabulary) != [entry]:
        return f"{entry.kind}: {entry.text}"
    return entry.text


def lines_of(kind: str, text: str) -> tuple[str, ...]:
    """Return the lines that papers are ranked by.

    Sentences and lists that were saved before there were kinds are read by phrases, regardless of
    what papers and topics say: nothing of them becomes an author, a topic or a mute.
    """
    if kind in (WORDS, TEXT):
        return (text,)
    if kind or len(text) > MAX_PARAGRAPH or QUOTED.search(text.translate(QUOTES)):
        return tuple(lines(text))
    if not (sentences.is_wish(text) or sentences.is_list(text)):
        return tuple(lines(text))
    return tuple(p.text for p in sentences.phrases(text) if not p.is_negative)


def paragraphs(text: str) -> Iterator[str]:
    """Yield the lines of a text, and a pasted paragraph of many lines as one."""
    open_lines: list[str] = []
    for line in [*map(str.strip, text.splitlines()), ""]:
        is_wrapped = bool(open_lines) and len(open_lines[-1]) in WRAPPED_LENGTHS
        if open_lines and not (line and is_wrapped and not PREFIX.match(line)):
            for part in [" ".join(open_lines)] if _is_paragraph(open_lines) else open_lines:
                yield " ".join(part.split())
            open_lines = []
        open_lines += [line] if line else []


def _is_paragraph(lines: list[str]) -> bool:
    """Return whether lines of the usual length are prose: sentences that go on in the next line."""
    continued_count = sum(line[0].islower() for line in lines[1:])
    is_prose = any(". " in line for line in lines) and sum(map(len, lines)) < MAX_PARAGRAPH
    return is_prose and len(lines) > 2 and 2 * continued_count >= len(lines) - 1


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
    if names := queried_authors(line):
        return [Entry(AUTHOR, f"author: {name}") for name in names]
    if categories := category_names(line):
        return [Entry(CATEGORY, category) for category in categories]
    if len(parts := BEFORE_AUTHOR.split(line)) > 1:
        return [entry for part in parts if part for entry in _read_line(part, vocabulary)]
    if QUOTED.search(line) and not sentences.is_wish(QUOTED.sub("", line)):
        return [_read_phrase(part, NO_VOCABULARY) for part in lines(line)]
    if not line.isupper() and (OR.search(line) or AND.search(line) or NOT.search(line)):
        return _read_operators(line, vocabulary)
    links = [_read_link(link.strip("()."), vocabulary) for link in ADDRESS.findall(line)]
    if links:
        line = ADDRESS.sub(" ", line).rstrip(" .")
    line = " ".join(line.split())
    line_entry = _read_phrase(line, vocabulary)
    if line_entry.kind in (TOPIC, AUTHOR, UNREAD):
        return links if links and line_entry.kind == UNREAD else [line_entry, *links]
    # The words in quotes are no part of a sentence.
    quotes = {f"Quote{n}Quote": match[0] for n, match in enumerate(QUOTED.finditer(line))}
    for mark, quote in quotes.items():
        line = line.replace(quote, mark, 1)
    phrases = sentences.phrases(line, vocabulary.are_paired)
    if line.endswith(":") and sentences.is_wish(line) and phrases == [sentences.Phrase(line)]:
        phrases = []  # It introduces the next lines.
    entries = []
    for phrase in phrases:
        text = phrase.text
        for mark, quote in quotes.items():
            text = text.replace(mark, quote)
        entry = _read_phrase(text, vocabulary, phrase.context)
        entries.append(replace(entry, is_muted=phrase.is_negative))
    is_text = [entry.kind for entry in entries] == [TEXT]  # Links in a pasted text are part of it.
    return entries if is_text else [*entries, *links]


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
    entries = []
    line = GROUPED.sub(_ungrouped, line)
    phrases: dict[tuple[str, bool], None] = {}
    for alternative in OR.split(line.translate(PARENTHESES)):
        phrase, *muted_phrases = NOT.split(alternative)
        phrases[" ".join(AND.sub(" ", phrase).split()), False] = None
        phrases |= dict.fromkeys((muted_phrase.strip(), True) for muted_phrase in muted_phrases)
    for phrase, is_muted in phrases:
        if phrase and is_muted:
            entries += _read_muted(phrase, vocabulary)
        elif phrase:
            entries.append(_read_phrase(phrase, vocabulary))
    return entries


def _ungrouped(match: re.Match[str]) -> str:
    start, phrases = match["start"], OR.split(match["group"])
    if match["word"] == "NOT":
        return " NOT ".join([start, *phrases])
    return " OR ".join(f"{start} AND {phrase}" for phrase in phrases[:MAX_ALTERNATIVES])


def _read_phrase(phrase: str, vocabulary: Vocabulary, context: str = "") -> Entry:
    """Return the entry of a phrase. Its context is added if it says too little without it."""
    terms = list(dict.fromkeys(ranking_text.terms(phrase)))
    if not terms:
        return Entry(UNREAD, phrase)
    if slug := vocabulary.topic(phrase):
        return Entry(TOPIC, phrase, slug=slug)
    if categories := category_names(phrase):
        return Entry(CATEGORY, categories[0])
    is_name = NAME.fullmatch(phrase) and len(phrase.split()) <= MAX_NAME_WORDS
    if is_name and vocabulary.is_author(phrase):
        return Entry(AUTHOR, f"author: {phrase}")
    if context and not {*ranking_text.terms(context)} & {*terms} and vocabulary.is_general(phrase):
        phrase = f"{phrase} in {context}"
    return Entry(TEXT if len(terms) > MAX_PHRASE_TERMS else WORDS, phrase)
