"""What a topic's text asks for: its parts, and in each the terms and the quoted phrases."""

import re
from dataclasses import dataclass
from functools import lru_cache

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

#: What stands in quotes: its words, folded.
type Quote = tuple[str, ...]


@dataclass(frozen=True)
class Query:
    """One part of a topic's text: its terms, and those that must stand next to each other.

    `terms` are in the order in which they were written, each as often as it was. `quotes` are the
    words that are meant as they are written.
    """

    text: str
    terms: tuple[str, ...]
    phrases: tuple[tuple[str, ...], ...] = ()
    quotes: tuple[Quote, ...] = ()

    @property
    def distinct(self) -> list[str]:
        return list(dict.fromkeys(self.terms))

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


def queries(topic: str, limit: int = MAX_PARTS) -> tuple[Query, ...]:
    """Return what a topic's text asks for, each part once. Parts without any term are left out."""
    return (remembered if len(topic) <= SHORT_TEXT else _queries)(topic, limit)


def _queries(topic: str, limit: int) -> tuple[Query, ...]:
    found: dict[tuple[object, ...], Query] = {}
    for part in parts(topic):
        query = _query(part)
        if query.terms:
            found.setdefault((frozenset(query.terms), query.phrases, query.quotes), query)
        if len(found) == limit:
            break
    return tuple(found.values())


remembered = lru_cache(maxsize=20_000)(_queries)


def _query(part: str) -> Query:
    part = SPACED.sub(r"\1-", part)
    words = text.words(part, of_query=True)
    terms = text.stems(words)
    if len(terms) > SHORT:
        terms = text.stems([word for word in words if word not in FILLERS]) or terms
    distinct = set(list(dict.fromkeys(terms))[:MAX_TERMS])
    quotes = {tuple(text.words(quoted, of_query=True)) for quoted in QUOTED.findall(part)}
    stems = {quote: tuple(text.stems(list(quote))) for quote in quotes}
    return Query(
        part,
        tuple(term for term in terms if term in distinct),
        tuple(sorted({phrase for phrase in stems.values() if len(phrase) > 1})),
        tuple(sorted(quote for quote in quotes if stems[quote])),
    )
