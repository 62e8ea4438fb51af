"""What a topic's text asks for: its parts, and in each the terms and the quoted phrases."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from digest.ranking import text
from digest.ranking.stopwords import FILLERS

#: A comma parts a list of phrases of so many words at most; in a sentence it is only a comma.
PHRASE = 4
#: So many parts of a topic are looked at: nobody means more, and each costs time.
MAX_PARTS = 50
#: So few terms are meant one by one; more are a sentence.
SHORT = 3
SHORT_TEXT = 400  # Characters. What is longer is read anew each time: many would fill the memory.
MAX_TERMS = 400  # And of a part so many different terms: an abstract that was pasted has fewer.

QUOTES = str.maketrans("“”„«»‟〝〞＂", '"' * 9)
#: Prefixes that papers write with a hyphen or without, and readers with a space as well.
SPACED = re.compile(
    r"\b(anti|auto|bio|hyper|inter|intra|meta|micro|multi|nano|neuro|non|poly|pre|pseudo|quasi|semi"
    r"|spatio|sub)\s+(?=[a-z]{3})",
    re.IGNORECASE,
)
QUOTED = re.compile(r'"([^"\n]*)"')
PIECE = re.compile(r'(?:"[^"\n]*"|[^,;\n])+')
#: What other search engines obey, and nothing does here: in capitals, before something.
OPERATOR = re.compile(r"(?<=\S\s)(?:AND|OR)(?=\s\S)|\bNOT(?=\s\S|\()")

#: What stands in quotes: its words, folded.
type Quote = tuple[str, ...]
#: A word of one letter or a number, as in "T cells", "vitamin D" or "type 2 diabetes": the term
#: before, itself, the term after.
type Lone = tuple[str, str, str]
#: Letters that are words of English, that an apostrophe makes, or that a hyphen joins to a term;
#: C++ and C#, which stand beside anything; and numbers that are part of a term.
NO_LONE = re.compile(
    r"\b[AaIi]\b|['\u2019]\w\b|\b[^\W\d](?:['\u2019+#]|[-\u2010\u2011](?=\w))"
    r"|\d[-\u2010\u2011]\w\b|(?<=[^\W\d_]{2})[-\u2010\u2011]?\d{1,4}(?!\w|\.\d)"
)
NUMBER = re.compile(r"\d+(?:\.\d+)*")
#: A letter before a word, with a hyphen between them or without: papers write both. "E-mail" and
#: "email" are one word as it is.
WITH_HYPHEN = re.compile(r"(?<![\w'\u2019-])([^\W\d_AEIaei])[-\u2010\u2011](?=[^\W\d_]{2})")
WITHOUT_HYPHEN = re.compile(r"(?<![\w'\u2019-])([^\W\d_AIai])\s+(?=[^\W\d_]{2})")
#: And so a number after a word: "Llama-3", "Llama3", "Llama 3".
NUMBER_WITH_WORD = re.compile(r"(?<![^\W_])([^\W\d_]{2,})[-\u2010\u2011]?(?=\d{1,4}(?![^\W_]))")
NUMBER_AFTER_WORD = re.compile(r"(?<![^\W_])([^\W\d_]{2,})\s+(?=\d{1,4}(?![^\W_]))")
WAYS = (
    (WITH_HYPHEN, r"\1 "),
    (WITHOUT_HYPHEN, r"\1-"),
    (NUMBER_WITH_WORD, r"\1 "),
    (NUMBER_AFTER_WORD, r"\1-"),
)
YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True)
class Query:
    """One part of a topic's text: its terms, and those that must stand next to each other.

    `terms` are in the order in which they were written, each as often as it was. `quotes` are the
    words that are meant as they are written. `lone` are the words of one letter and the numbers,
    which are no terms, where all words are meant. `text` may be another way to write the `part` of
    her topic.
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
        return bool(self.quotes or self.lone)

    @property
    def is_short(self) -> bool:
        """Return whether it is a few words, unquoted: a subject where they stand together."""
        return not self.phrases and 1 < len(self.terms) <= SHORT


def parts(topic: str) -> list[str]:
    """Return the parts of a topic's text: the phrases of a list, or the sentence that it is.

    A paper is about the topic where it is about one of them.
    """
    topic = topic.translate(QUOTES)
    pieces = [part for piece in PIECE.findall(topic) if (part := piece.strip())]
    is_list = all(len(QUOTED.sub("x", piece).split()) <= PHRASE for piece in pieces)
    return list(dict.fromkeys(pieces)) if is_list else [" ".join(topic.split())]


def operators(topic: str) -> list[str]:
    """Return what a topic's text has of AND, OR and NOT, each once and in order.

    >>> operators("graphs OR molecules"), operators('"AND gates", schedules of the OR')
    (['OR'], [])
    """
    unquoted = QUOTED.sub("x", topic.translate(QUOTES))
    return list(dict.fromkeys(OPERATOR.findall(unquoted)))


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
    """Yield a part as it is written and, of a few words with a letter or number among them, as
    others write it: "T-cell" as "T cell", "k means" as "k-means", and "Llama3" as "Llama 3".
    """
    yield (query := _query(part, part))
    if len(query.distinct) > SHORT or query.quotes:
        return
    for written, otherwise in WAYS:
        if written.search(part):
            way = _query(written.sub(otherwise, part), part)
            if len(way.distinct) <= SHORT:
                yield way
            return


def _query(said: str, part: str) -> Query:
    said = SPACED.sub(r"\1-", said)
    words = text.words(said, of_query=True)
    terms = text.stems(words)
    if len(terms) > SHORT:
        terms = text.stems([word for word in words if word not in FILLERS]) or terms
    distinct = set(list(dict.fromkeys(terms))[:MAX_TERMS])
    quotes = {tuple(text.words(quoted, of_query=True)) for quoted in QUOTED.findall(said)}
    stems = {quote: tuple(text.stems(list(quote))) for quote in quotes}
    meant = [said] if len(distinct) <= SHORT else QUOTED.findall(said)
    return Query(
        said,
        part,
        tuple(term for term in terms if term in distinct),
        tuple(sorted({phrase for phrase in stems.values() if len(phrase) > 1})),
        tuple(sorted(quote for quote in quotes if stems[quote])),
        tuple(dict.fromkeys(lone for said in meant for lone in lone_words(said))),
    )


def lone_words(said: str) -> list[Lone]:
    """Return the words of one letter and the numbers in a text, each with its neighbours, in order.

    But for years, which stand anywhere.

    >>> lone_words("C*-algebras"), lone_words("vitamin D"), lone_words("k-means")
    ([('', 'c', 'algebra')], [('vitamin', 'd', '')], [])
    >>> lone_words("type 2 diabetes"), lone_words("Qwen2.5"), lone_words("GPT-4 in 2024")
    ([('type', '2', 'diabet')], [('qwen', '2.5', '')], [])
    """
    words = ["", *text.SYMBOL.findall(NO_LONE.sub(" ", said).lower()), ""]
    found = [
        (text.term(words[place - 1]), word, text.term(words[place + 1]))
        for place, word in enumerate(words)
        if (len(word) == 1 and word.isalpha())
        or (NUMBER.fullmatch(word) and not YEAR.fullmatch(word))
    ]
    return [one for one in found if one[0] or one[2]]
