"""Parse a topic's text: its lines, and the terms and quotes of each."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from digest.ranking import text
from digest.ranking.stopwords import STOP_WORDS

#: Commas separate phrases of at most so many words; in a sentence, they don't. Semicolons always
#: separate, except in pasted texts.
MAX_PHRASE_WORDS = 4
MAX_NAME = 200  # Characters of an interest's name.
MAX_LINES = 50  # Of a topic. Each takes time.
FEW_TERMS = 3  # In so short a line, single letters and numbers count.
SHORT_TEXT = 400  # Characters. A longer text was pasted.
MAX_TERMS = 400  # Different ones of a line. A pasted abstract has fewer.
MAX_PHRASE_TERMS = 8  # Different ones of a line. More are a text: no paper has all of them.

QUOTES = str.maketrans("“”„«»‟〝〞＂", '"' * 9)
#: URLs and ids are no words: "https://…", "doi.org/…", "hep-th/9901001", a DOI, PMID or ORCID.
ADDRESS = re.compile(
    r"\(?(?:(?:\bhttps?://|\bwww\.|(?<![\w.@/-])(?:[a-z][\w-]*\.)+(?!js/)[a-z]{2,}/"
    r"|\b(?:doi:\s?)?10\.\d{4,9}/|\barxiv:\s?(?=\d|[a-z.-]+/\d)|\bpmid:?\s?(?=\d)|\bpmc(?=\d{4})"
    r')[^\s",;<>]+|(?:\borcid(?: id)?(?: is|:)?\s)?\b\d{4}-\d{4}-\d{4}-\d{3}[\dX]\b'
    r"|(?<![\w./])[a-z]{2,}(?:-[a-z]+)?(?:\.[a-z]{2})?/\d{7}(?:v\d+)?(?!\w)"
    r"|(?<![\w.])\d{4}\.\d{4,5}(?:v\d+)?(?!\.?\w))\)?",
    re.IGNORECASE,
)
QUOTED = re.compile(r'"([^"\n]*)"')
CLAUSE = re.compile(r'(?:"[^"\n]*"|[^;])+')
PIECE = re.compile(r'(?:"[^"\n]*"|[^,;\n])+')
#: Single letters and numbers, which are no terms, with their neighbours. In a short line, a paper
#: must contain one beside the same neighbour: "T cells", "type 2 diabetes". Years may be anywhere.
UNIT_TERM = re.compile(
    r"(?:(\w{2,})[ -]+)?(?<!\w)(?![aAiI]\b|(?:19|20)\d\d\b)([A-Za-z]|\d+)(?!\w)"
    r"(?:[.*]?[ -]+(\w{2,}))?"
)
#: Where a single letter or a number may be joined to its neighbour: "Llama3", "C*-algebra".
JOINT = re.compile(r"(?<=[a-z])[ -]*(?=\d)|(?<=\b[a-z])[.*]?[ -]+(?=\w)")
#: Words that are written with or without a hyphen to the next: "T cells", "semi-supervised".
OPTIONAL_HYPHEN = re.compile(
    rf"(?<![\w-])([b-hj-z]|{'|'.join(sorted(text.PREFIXES - STOP_WORDS - {'e'}))})[ -]"
    r"(?=[a-z]{3})",
    re.IGNORECASE,
)
PLURAL = re.compile(r"(?<=\w{3})s$")


@dataclass(frozen=True)
class Query:
    """One line of a topic's text.

    Attributes
    ----------
    text : str
        The line as the subscriber wrote it.
    terms : tuple of str
        Its stems in order, with repetitions.
    quotes : tuple of str
        Phrases that a paper must contain literally, with alternatives separated by "|".
    """

    text: str
    terms: tuple[str, ...]
    quotes: tuple[str, ...] = ()

    @property
    def distinct(self) -> list[str]:
        return list(dict.fromkeys(self.terms))

    @property
    def is_text(self) -> bool:
        """Whether papers should be near it, rather than have all of its words."""
        return len(self.distinct) > MAX_PHRASE_TERMS

    @cached_property
    def quote_patterns(self) -> list[re.Pattern[str]]:
        """A pattern for each quote in a folded text.

        Spaces equal hyphens, and the last word may be in the singular or the plural.
        """
        return [re.compile("|".join(map(_pattern_of, quote.split("|")))) for quote in self.quotes]


def lines(topic: str) -> list[str]:
    """Return the lines of a topic's text: the phrases of a list, or its sentences.

    A paper is about the topic if it is about one of them.
    """
    topic = ADDRESS.sub(" ", topic.translate(QUOTES))
    clauses = CLAUSE.findall(topic) if len(topic) <= SHORT_TEXT else [topic]
    return list(dict.fromkeys(chain.from_iterable(map(_phrases, clauses))))


def _phrases(clause: str) -> list[str]:
    pieces = [part for piece in PIECE.findall(clause) if (part := piece.strip())]
    is_list = all(len(QUOTED.sub("x", piece).split()) <= MAX_PHRASE_WORDS for piece in pieces)
    return pieces if is_list else [" ".join(clause.split())]


def queries(topic: str, limit: int = MAX_LINES) -> tuple[Query, ...]:
    """Return the queries of a topic's text."""
    return queries_of(lines(topic), limit)


def queries_of(text_lines: Iterable[str], limit: int = MAX_LINES) -> tuple[Query, ...]:
    """Return the queries of lines. Lines without terms are left out."""
    queries_by_terms: dict[tuple[object, ...], Query] = {}
    for line in text_lines:
        # As written, and with optional hyphens as spaces and as hyphens.
        joints = " -" if len(line) <= SHORT_TEXT else ""
        spellings = [OPTIONAL_HYPHEN.sub(rf"\1{joint}", line) for joint in joints]
        for spelling in dict.fromkeys([line, *spellings]):
            query = replace(_query(spelling), text=line)
            if query.terms:
                queries_by_terms.setdefault((query.terms, query.quotes), query)
        if len(queries_by_terms) >= limit:
            break
    return tuple(queries_by_terms.values())[:limit]


def joined(text_lines: Iterable[str]) -> Query:
    """Return all lines as one query, which asks for no quotes."""
    return replace(_query("\n".join(text_lines)), quotes=())


def _query(line: str) -> Query:
    terms = text.stems(text.words(line, of_query=True))
    distinct = set(list(dict.fromkeys(terms))[:MAX_TERMS])
    # Quotes in a pasted abstract are not meant literally.
    quoted = QUOTED.findall(line) if len(line) <= SHORT_TEXT else []
    quotes = [quote.replace("|", " ") for quote in quoted if text.terms(quote)]
    if not quoted and len(distinct) <= FEW_TERMS:
        for previous_word, term, next_word in UNIT_TERM.findall(line):
            alternatives = [f"{previous_word} {term}"] if previous_word else []
            alternatives += [f"{term} {next_word}"] if next_word else []
            quotes += ["|".join(alternatives)] * bool(alternatives)
    return Query(line, tuple(t for t in terms if t in distinct), tuple(dict.fromkeys(quotes)))


def _pattern_of(quote: str) -> str:
    pieces = [part.replace("-", " ").split() for part in JOINT.split(text.folded(quote))]
    pattern = "[.*]?[ -]*".join("[ -]+".join(map(re.escape, words)) for words in pieces)
    return rf"(?<!\w){PLURAL.sub('', pattern)}s?(?!\w)"
