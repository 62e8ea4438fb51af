"""How others write a few words: with a hyphen where she has a space, or the other way round.

A hyphen makes one term of a letter, a prefix or a word that is no term, and the next word:
"k-means", "super-resolution", "few-shot", "chain-of-thought". Papers write both, and so they do
"Llama-3", "Llama3" and "Llama 3".
"""

import re
from collections.abc import Container

from digest.ranking import text
from digest.ranking.beside import Lone
from digest.ranking.stopwords import STOP_WORDS
from digest.ranking.text import APOSTROPHE, HYPHEN, LETTER

#: What a hyphen joins to the next word, beside letters.
HINGES = text.PREFIXES | STOP_WORDS
#: Where it isn't there, these are something else: "the", and "over time" is no overtime.
NO_HINGES = frozenset({"a", "an", "the", "over", "re", "un", "under"})
#: Words that are no terms, but of a few words they are meant: "few shot" isn't "zero-shot".
COUNTING = frozenset({"few", "first", "last", "next", "off", "one", "third", "three", "two"})
#: What a space may join as well. In quotes, each of the HINGES.
JOINED = (text.PREFIXES | COUNTING) - NO_HINGES

#: A word and the next one, with a hyphen between them, and with a space.
ALONE = rf"(?<!\w)(?<!{APOSTROPHE})"
HYPHENATED = re.compile(rf"{ALONE}({LETTER}+){HYPHEN}(?=({LETTER}{{2,}}))")
SPACED = re.compile(rf"{ALONE}(?<!-)({LETTER}+)\s+(?=({LETTER}{{2,}}))")
#: In quotes, words that are no terms, with the next one and with the one before.
_HINGE, _NO_HINGE = (f"(?:{'|'.join(sorted(some, key=len))})" for some in (HINGES, NO_HINGES))
RUN = re.compile(
    rf"{ALONE}(?<!-)(?:(?!{_HINGE}\s){LETTER}{{2,}}\s+)?"
    rf"(?!{_NO_HINGE}\s)(?:{_HINGE}\s+)+{LETTER}{{2,}}",
    re.IGNORECASE,
)
#: How a quote begins: nothing before it tells which word stands there.
BEGINNING = re.compile(rf"\s*(?:{_HINGE}\s+)*({_HINGE})\s+({LETTER}{{2,}})", re.IGNORECASE)
#: A word and the number behind it, likewise.
NAMED, NUMBER = rf"(?<![^\W_])({LETTER}{{2,}})", r"(?=\d{1,4}(?![^\W_]))"
NUMBER_JOINED = re.compile(rf"{NAMED}{HYPHEN}?{NUMBER}")
NUMBER_SPACED = re.compile(rf"{NAMED}\s+{NUMBER}")
#: Prefixes that papers write with a hyphen or without, and readers with a space as well.
PREFIX = re.compile(
    r"\b(anti|auto|bio|hyper|inter|intra|meta|micro|multi|nano|neuro|non|poly|pre|pseudo|quasi|semi"
    r"|spatio|sub)\s+(?=[a-z]{3})",
    re.IGNORECASE,
)


def with_prefixes(said: str) -> str:
    """Return a text in which a prefix that stands alone belongs to the next word."""
    return PREFIX.sub(r"\1-", said)


def with_hyphens(said: str, is_quoted: bool) -> str:
    """Return a text with a hyphen where words may be joined: "k-means" for "k means"."""
    if is_quoted:
        said = RUN.sub(lambda found: "-".join(found[0].split()), said)
    said = SPACED.sub(lambda one: f"{one[1]}-" if _is_hinge(one[1], JOINED) else one[0], said)
    return NUMBER_SPACED.sub(r"\1-", said)


def without_hyphens(said: str, _: bool) -> str:
    """Return a text with a space where others have a hyphen: "k means" for "k-means"."""
    said = HYPHENATED.sub(lambda one: f"{one[1]} " if _is_hinge(one[1]) else one[0], said)
    return NUMBER_JOINED.sub(r"\1 ", said)


def _is_hinge(word: str, among: Container[str] = HINGES) -> bool:
    """Return whether it is one of these words, or a letter that is no word by itself."""
    return word.lower() in among or (len(word) == 1 and word not in "AIai")


# ---- What is no term where there is no hyphen, and must stand beside the next word


def hyphenated(said: str) -> list[Lone]:
    return [_before(*found) for found in HYPHENATED.findall(said) if _is_hinge(found[0])]


def counting(said: str) -> list[Lone]:
    return [_before(*found) for found in SPACED.findall(said) if found[0].lower() in COUNTING]


def beginning(quote: str) -> list[Lone]:
    return [_before(*found.groups())] if (found := BEGINNING.match(quote)) else []


def _before(word: str, other: str) -> Lone:
    return "", word.lower(), text.term(other)
