"""What a topic's text asks for: its parts, and in each the terms and the quoted phrases."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from digest.ranking import text
from digest.ranking.stopwords import FILLERS, STOP_WORDS

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
#: Prefixes that papers write with a hyphen or without, and readers with a space as well.
SPACED = re.compile(
    r"\b(anti|auto|bio|hyper|inter|intra|meta|micro|multi|nano|neuro|non|poly|pre|pseudo|quasi|semi"
    r"|spatio|sub)\s+(?=[a-z]{3})",
    re.IGNORECASE,
)
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
#: And how a few words say NOT; in a sentence, they say something of the subject.
BUT = re.compile(
    r"(?:[,;]\s*(?:but\s+)?|\bbut\s+)(?:not?|except|excluding|without)\s+\w|\s(?:except|excluding)\s+\w",
    re.IGNORECASE,
)
FEW = 8  # Words of a line.

#: What stands in quotes: its words, folded.
type Quote = tuple[str, ...]
#: A word of one letter or a number, as in "T cells", "vitamin D" or "type 2 diabetes", or what a
#: hyphen may join to the next word, as in "few-shot": the term before, itself, the term after.
type Lone = tuple[str, str, str]
#: Letters that are words of English, of "e.g." and "i.e.", that an apostrophe makes, or that a
#: hyphen joins to a term; C++ and C#, which stand beside anything; and numbers that are part of a
#: term.
NO_LONE = re.compile(
    r"\b(?:[Ee]\.\s?g|[Ii]\.\s?e)\b|\b[AaIi]\b"
    r"|['\u2019]\w\b|\b[^\W\d](?:['\u2019+#]|[-\u2010\u2011](?=\w))"
    r"|\d[-\u2010\u2011]\w\b|(?<=[^\W\d_]{2})[-\u2010\u2011]?\d{1,4}(?!\w|\.\d)"
)
NUMBER = re.compile(r"\d+(?:\.\d+)*")
#: What a hyphen joins to the next word, so that both are one term, and what others write without
#: it: letters, prefixes, words that are no terms. Papers write both: "k-means", "super-resolution",
#: "few-shot", "chain-of-thought". "E-mail" and "email" are one word as it is.
HINGES = "|".join(sorted(text.PREFIXES | STOP_WORDS, key=len, reverse=True))
WITH_HYPHEN = re.compile(
    rf"(?<![\w'\u2019])([^\W\d_AEIaei]|{HINGES})[-\u2010\u2011](?=([^\W\d_]{{2,}}))", re.IGNORECASE
)
#: Where it isn't there, these are something else: "the", and "over time" is no overtime.
NO_HINGES = "a|an|the|over|re|un|under"
WITHOUT_HYPHEN = re.compile(
    rf"(?<![\w'\u2019-])(?!(?:{NO_HINGES})\s)([^\W\d_AIai]|{'|'.join(text.PREFIXES)})\s+"
    r"(?=[^\W\d_]{2,})",
    re.IGNORECASE,
)
#: Words that are no terms, but of a few words they are meant: "few shot" isn't "zero-shot".
COUNTING = re.compile(
    r"(?<![\w'\u2019-])(few|first|last|next|off|one|third|three|two)\s+(?=([^\W\d_]{2,}))",
    re.IGNORECASE,
)
#: Only in quotes does a word that is no term belong to the next one, however it is written.
QUOTED_WITHOUT = re.compile(
    rf"(?<![\w'\u2019-])(?:(?!(?:{HINGES})\s)[^\W\d_]{{2,}}\s+)?"
    rf"(?!(?:{NO_HINGES})\s)(?:{HINGES})\s+(?:(?:{HINGES})\s+)*[^\W\d_]{{2,}}",
    re.IGNORECASE,
)
#: And so a number after a word: "Llama-3", "Llama3", "Llama 3".
NUMBER_WITH_WORD = re.compile(r"(?<![^\W_])([^\W\d_]{2,})[-\u2010\u2011]?(?=\d{1,4}(?![^\W_]))")
NUMBER_AFTER_WORD = re.compile(r"(?<![^\W_])([^\W\d_]{2,})\s+(?=\d{1,4}(?![^\W_]))")
#: How a quote begins: nothing before it tells which word stands there.
BEGINNING = re.compile(rf"\s*(?:(?:{HINGES})\s+)*({HINGES})\s+([^\W\d_]{{2,}})", re.IGNORECASE)
#: How a name is written without the key for its umlaut, which papers mostly have: "Schroedinger".
UMLAUT = re.compile(
    r"\b(?=\w{6})([b-df-hj-np-tv-z]{1,4})([ao]|(?<![gq])u)e(?=[b-df-hj-np-tv-z]\w)", re.IGNORECASE
)
YEAR = re.compile(r"(?:19|20)\d\d")
QUESTION = re.compile(r"\W*(?:how|what|when|where|which|who|why)\b", re.IGNORECASE)


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
    """
    unquoted = QUOTED.sub("x", topic.translate(QUOTES))
    found = OPERATOR.findall(unquoted)
    if len(unquoted.split()) <= FEW and BUT.search(unquoted):
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
    yield (query := _query(part, part))
    if not query.quotes and len(query.distinct) > SHORT:
        return
    said = query.text
    joined, apart = _rewritten(said, _with_hyphens), _rewritten(said, _without_hyphens)
    ways = [_query(way, part) for way in (joined, _rewritten(said, _with_umlauts)) if way != said]
    if apart != said:
        ways.append(_query(apart, part, spaced=False, beside=_hinges(said)))
    yield from (way for way in ways if query.quotes or len(way.distinct) <= SHORT)


def _rewritten(said: str, rewrite: Callable[[str, bool], str]) -> str:
    """Return a part written otherwise: what it has in quotes or, where it has none, all of it."""
    if QUOTED.search(said):
        return QUOTED.sub(lambda quoted: f'"{rewrite(quoted[1], True)}"', said)
    return rewrite(said, False)


def _with_hyphens(said: str, is_quoted: bool) -> str:
    if is_quoted:
        said = QUOTED_WITHOUT.sub(lambda found: "-".join(found[0].split()), said)
    else:
        said = COUNTING.sub(r"\1-", said)
    return NUMBER_AFTER_WORD.sub(r"\1-", WITHOUT_HYPHEN.sub(r"\1-", said))


def _with_umlauts(said: str, _: bool) -> str:
    return UMLAUT.sub(r"\1\2", said)


def _without_hyphens(said: str, _: bool) -> str:
    return NUMBER_WITH_WORD.sub(r"\1 ", WITH_HYPHEN.sub(r"\1 ", said))


def _hinges(said: str) -> list[Lone]:
    """Return what hyphens join to the next word, so that it still must stand beside it: without
    the "re", "re-sign" would be about any sign.
    """
    meant = " ".join(QUOTED.findall(said)) or said
    return [_hinge(found) for found in WITH_HYPHEN.finditer(meant)]


def _hinge(found: re.Match[str]) -> Lone:
    return "", found[1].lower(), text.term(found[2])


def _query(said: str, part: str, *, spaced: bool = True, beside: Sequence[Lone] = ()) -> Query:
    """Return a part, written so. `spaced`: a prefix that stands alone belongs to the next word."""
    said = SPACED.sub(r"\1-", said) if spaced else said
    words = text.words(said, of_query=True)
    terms = text.stems(words)
    if (is_sentence := len(terms) > SHORT) or QUESTION.match(said):
        saying = text.stems([word for word in words if word not in FILLERS])
        if len(saying) >= (1 if is_sentence else 2):  # "What is tool use?" is about no mere tool.
            terms = saying
    distinct = set(list(dict.fromkeys(terms))[:MAX_TERMS])
    # What is quoted in an abstract that was pasted is no wish of hers.
    quoted = QUOTED.findall(said) if len(said) <= SHORT_TEXT else []
    quotes = {tuple(text.words(one, of_query=True)) for one in quoted}
    stems = {quote: tuple(text.stems(list(quote))) for quote in quotes}
    meant = [said] if len(distinct) <= SHORT else quoted
    lone = [lone for said in meant for lone in lone_words(said)]
    if not quoted and len(distinct) <= SHORT:
        lone += [_hinge(found) for found in COUNTING.finditer(said)]
    lone += [_hinge(found) for one in quoted if (found := BEGINNING.match(one))]
    lone += beside
    return Query(
        said,
        part,
        tuple(term for term in terms if term in distinct),
        tuple(sorted({phrase for phrase in stems.values() if len(phrase) > 1})),
        tuple(sorted(quote for quote in quotes if stems[quote])),
        tuple(dict.fromkeys(one for one in lone if one[0] or one[2])),
    )


def lone_words(said: str) -> list[Lone]:
    """Return the words of one letter and the numbers in a text, each with its neighbours, in order.

    But for years, which stand anywhere, and Greek letters, which are terms by their names.

    >>> lone_words("C*-algebras"), lone_words("vitamin D"), lone_words("k-means")
    ([('', 'c', 'algebra')], [('vitamin', 'd', '')], [])
    >>> lone_words("type 2 diabetes"), lone_words("Qwen2.5"), lone_words("GPT-4 in 2024")
    ([('type', '2', 'diabet')], [('qwen', '2.5', '')], [])
    """
    words = ["", *text.SYMBOL.findall(NO_LONE.sub(" ", said).lower()), ""]
    found = [
        (text.term(words[place - 1]), word, text.term(words[place + 1]))
        for place, word in enumerate(words)
        if (len(word) == 1 and word.isalpha() and word not in text.GREEK)
        or (NUMBER.fullmatch(word) and not YEAR.fullmatch(word))
    ]
    return [one for one in found if one[0] or one[2]]
