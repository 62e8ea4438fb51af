"""What a topic's text asks for: its parts, and in each the terms and the quoted phrases."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from digest.ranking import joints, text
from digest.ranking.beside import Lone, lone_words
from digest.ranking.stopwords import FILLERS

#: A comma parts a list of phrases of so many words at most; in a sentence it is only a comma. A
#: semicolon parts anything but what was pasted.
PHRASE = 4
#: So many parts of a topic are looked at: nobody means more, and each costs time.
MAX_PARTS = 50
#: So few terms are meant one by one; more are a sentence.
SHORT = 3
SHORT_TEXT = 400  # Characters. What is longer is read anew each time: many would fill the memory.
MAX_TERMS = 400  # And of a part so many different terms: an abstract that was pasted has fewer.

QUOTES = str.maketrans("“”„«»‟〝〞＂", '"' * 9)
#: Addresses and ids of papers, whose letters are no words: "https://…", "arXiv:2506.04235", a DOI.
ADDRESS = re.compile(
    r'(?:\bhttps?://|\bwww\.|\b(?:doi:\s?)?10\.\d{4,9}/|\barxiv:\s?(?=\d|[a-z.-]+/\d))[^\s",;<>]+',
    re.IGNORECASE,
)
QUOTED = re.compile(r'"([^"\n]*)"')
CLAUSE = re.compile(r'(?:"[^"\n]*"|[^;])+')
PIECE = re.compile(r'(?:"[^"\n]*"|[^,;\n])+')
#: What other search engines obey, and nothing does here: in capitals, before something.
OPERATOR = re.compile(r"(?<=\S\s)(?:AND|OR)(?=\s\S)|\bNOT(?=\s\S|\()")
#: And how a few words say NOT; in a sentence, most of these say something of the subject.
BUT = re.compile(
    r"(?:[,;]\s*(?:but\s+)?|\bbut\s+)(?:not?|except|excluding|without)\s+\w|\s(?:except|excluding)\s+\w",
    re.IGNORECASE,
)
FEW = 8  # Words of a line.
#: What leaves something out in a wish of any length.
BUT_NOT = re.compile(
    r"\bbut\s+(?:not?|nothing)\s+(?!only\b)\w|[\s,;](?:except|excluding)\s+\w", re.IGNORECASE
)
QUESTION = re.compile(r"\W*(?:how|what|when|where|which|who|why)\b", re.IGNORECASE)
#: How a name is written without the key for its umlaut, which papers mostly have: "Schroedinger".
UMLAUT = re.compile(
    r"\b(?=\w{6})([b-df-hj-np-tv-z]{1,4})([ao]|(?<![gq])u)e(?=[b-df-hj-np-tv-z]\w)", re.IGNORECASE
)

#: What stands in quotes: its words, folded.
type Quote = tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """One part of a topic's text: its terms, and those that must stand next to each other.

    `terms` are in the order in which they were written, each as often as it was. `quotes` are the
    words that are meant as they are written. `lone` are words that must stand beside a neighbour:
    those of one letter and the numbers, which are no terms, where all words are meant, and what a
    hyphen may join. `text` may be another way to write the `part` of her topic.
    """

    text: str
    part: str
    terms: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...] = ()
    quotes: tuple[Quote, ...] = ()
    lone: tuple[Lone, ...] = ()

    @property
    def distinct(self) -> list[str]:
        return list(dict.fromkeys(self.terms))

    @property
    def is_literal(self) -> bool:
        """Return whether the terms of a paper alone don't tell that it says this."""
        return bool(self.phrases or self.quotes or self.lone)

    @property
    def is_short(self) -> bool:
        """Return whether it is a few words, unquoted: a subject where they stand together."""
        return not self.phrases and 1 < len(self.terms) <= SHORT

    @property
    def is_sentence(self) -> bool:
        """Return whether it has more terms than are meant one by one, none of them quoted."""
        return not self.phrases and len(self.distinct) > SHORT


def parts(topic: str) -> list[str]:
    """Return the parts of a topic's text: the phrases of a list, or the sentences that it has.

    A paper is about the topic where it is about one of them.
    """
    topic = ADDRESS.sub(" ", topic.translate(QUOTES))
    clauses = CLAUSE.findall(topic) if len(topic) <= SHORT_TEXT else [topic]
    return list(dict.fromkeys(chain.from_iterable(map(_phrases, clauses))))


def _phrases(clause: str) -> list[str]:
    pieces = [part for piece in PIECE.findall(clause) if (part := piece.strip())]
    is_list = all(len(QUOTED.sub("x", piece).split()) <= PHRASE for piece in pieces)
    return pieces if is_list else [" ".join(clause.split())]


def operators(topic: str) -> list[str]:
    """Return what a topic's text has of AND, OR and NOT, each once and in order.

    >>> operators("graphs OR molecules"), operators('"AND gates", schedules of the OR')
    (['OR'], [])
    >>> operators("graphs, but not molecules"), operators("not only graphs")
    (['NOT'], [])
    >>> operators("how robots learn from videos of people, but not how cars are driven")
    ['NOT']
    """
    unquoted = QUOTED.sub("x", topic.translate(QUOTES))
    found = OPERATOR.findall(unquoted)
    is_few = len(unquoted.split()) <= FEW
    if (BUT if is_few else BUT_NOT).search(unquoted) and len(unquoted) <= SHORT_TEXT:
        found.append("NOT")
    return list(dict.fromkeys(found))


def queries(topic: str, limit: int = MAX_PARTS) -> tuple[Query, ...]:
    """Return what a topic's text asks for, each part once. Parts without any term are left out."""
    return (remembered if len(topic) <= SHORT_TEXT else _queries)(topic, limit)


def _queries(topic: str, limit: int) -> tuple[Query, ...]:
    found: dict[tuple[object, ...], Query] = {}
    for query in chain.from_iterable(map(_ways, parts(topic))):
        if query.terms:
            key = frozenset(query.terms), query.phrases, query.quotes, query.lone
            found.setdefault(key, query)
        if len(found) == limit:
            break
    return tuple(found.values())


remembered = lru_cache(maxsize=20_000)(_queries)


def _ways(part: str) -> Iterator[Query]:
    """Yield a part as it is written and, of what stands in quotes, or of a few words, as others
    write it: "T-cell" as "T cell", "k means" as "k-means", "Llama3" as "Llama 3", and
    "chain of thought" as "chain-of-thought"; and "Schroedinger" as "Schrodinger", as "ö" is read.
    """
    said = joints.with_prefixes(part)
    yield (query := _query(said, part))
    if not query.quotes and len(query.distinct) > SHORT:
        return
    joined, apart = _rewritten(said, joints.with_hyphens), _rewritten(said, joints.without_hyphens)
    ways = [_query(way, part) for way in (joined, _rewritten(said, _with_umlauts)) if way != said]
    if apart != said:
        ways.append(_query(apart, part, joints.hyphenated(" ".join(QUOTED.findall(said)) or said)))
    yield from (way for way in ways if query.quotes or len(way.distinct) <= SHORT)


def _rewritten(said: str, rewrite: Callable[[str, bool], str]) -> str:
    """Return a part written otherwise: what it has in quotes or, where it has none, all of it."""
    if QUOTED.search(said):
        return QUOTED.sub(lambda quoted: f'"{rewrite(quoted[1], True)}"', said)
    return rewrite(said, False)


def _with_umlauts(said: str, _: bool) -> str:
    return UMLAUT.sub(r"\1\2", said)


def _query(said: str, part: str, hinges: Sequence[Lone] = ()) -> Query:
    """Return a part, written so, of which the hinges had a hyphen."""
    terms = _terms(said)
    distinct = set(list(dict.fromkeys(terms))[:MAX_TERMS])
    # What is quoted in an abstract that was pasted is no wish of hers.
    quoted = QUOTED.findall(said) if len(said) <= SHORT_TEXT else []
    quotes = {tuple(text.words(one, of_query=True)) for one in quoted}
    stems = {quote: tuple(text.stems(list(quote))) for quote in quotes}
    is_few = len(distinct) <= SHORT
    lone = [one for meant in ([said] if is_few else quoted) for one in lone_words(meant)]
    if is_few and not quoted:
        lone += joints.counting(said)
    lone += chain.from_iterable(map(joints.beginning, quoted))
    return Query(
        said,
        part,
        tuple(term for term in terms if term in distinct),
        tuple(sorted({phrase for phrase in stems.values() if len(phrase) > 1})),
        tuple(sorted(quote for quote in quotes if stems[quote])),
        tuple(dict.fromkeys(one for one in (*lone, *hinges) if one[0] or one[2])),
    )


def _terms(said: str) -> list[str]:
    """Return the terms of a text; of a sentence or a question, those that say something."""
    words = text.words(said, of_query=True)
    terms = text.stems(words)
    if (is_sentence := len(terms) > SHORT) or QUESTION.match(said):
        saying = text.stems([word for word in words if word not in FILLERS])
        if len(saying) >= (1 if is_sentence else 2):  # "What is tool use?" is about no mere tool.
            return saying
    return terms
