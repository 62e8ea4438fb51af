"""What is no term, and must stand beside a neighbour: letters, numbers, what a hyphen may join.

Without the T, "T cells" would be about any cells, "type 2 diabetes" about type 1, and "re-sign"
about any sign.
"""

import re
from collections.abc import Iterator, Sequence

from digest.ranking import text
from digest.ranking.text import APOSTROPHE, HYPHEN, LETTER

#: The term before, the letter, number or word itself, and the term after.
type Lone = tuple[str, str, str]

#: What doesn't stand for itself.
NO_LONE = re.compile(
    r"\b(?:[Ee]\.\s?g|[Ii]\.\s?e)\b|\b[AaIi]\b"  # Words of English,
    rf"|{APOSTROPHE}\w\b|\b{LETTER}{APOSTROPHE}"  # what an apostrophe makes,
    rf"|\b{LETTER}[+#]"  # C++ and C#, which stand beside anything,
    rf"|\b{LETTER}{HYPHEN}(?=\w)"  # what a hyphen joins to a term,
    rf"|(?<![^\W_])\d+(?:\.\d+)*{HYPHEN}\w\b|(?<=\d){HYPHEN}\w\b"  # or to a number: "11-D", "T4-L",
    rf"|(?<={LETTER}{{2}}){HYPHEN}?\d{{1,4}}(?!\w|\.\d)"  # and a number that is part of one.
)
#: But for years, which stand anywhere.
NUMBER = re.compile(r"(?!(?:19|20)\d\d$)\d+(?:\.\d+)*")
#: How else a number is written. "V" and "X" are letters more often.
NUMBERS = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8"}
NUMBERS |= {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
NUMBERS |= {"seven": "7", "eight": "8", "nine": "9", "ten": "10"}


def lone_words(said: str) -> list[Lone]:
    """Return the words of one letter and the numbers in a text, each with its neighbours, in order.

    Greek letters are none: they are terms by their names.

    >>> lone_words("C*-algebras"), lone_words("vitamin D"), lone_words("k-means")
    ([('', 'c', 'algebra')], [('vitamin', 'd', '')], [])
    >>> lone_words("type 2 diabetes"), lone_words("Qwen2.5"), lone_words("GPT-4 in 2024")
    ([('type', '2', 'diabet')], [('qwen', '2.5', '')], [])
    """
    words = ["", *text.SYMBOL.findall(NO_LONE.sub(" ", said).lower()), ""]
    return [
        (text.term(words[place - 1]), word, text.term(words[place + 1]))
        for place, word in enumerate(words)
        if NUMBER.fullmatch(word) or (len(word) == 1 and word.isalpha() and word not in text.GREEK)
    ]


def has(document: str, wanted: Sequence[Lone]) -> bool:
    """Return whether each word that is wanted stands beside one of its neighbours in a paper, as in
    "T cells" and "type 2 diabetes".

    What a hyphen joins counts as well, and "T and B cells" says both. A number may be a word, and
    one of a version have further ones behind it.
    """
    if not wanted:
        return True
    edge = [""] * 3
    words = [*edge, *text.SYMBOL.findall(document.lower()), *edge]
    meant = {letter for _, letter, _ in wanted}
    beside = {
        (letter, neighbour, step)
        for place, word in enumerate(words)
        for letter in {word, NUMBERS.get(word, word.partition(".")[0])} & meant
        for step in (-1, 1)
        for other in _next(words, place, step)
        if (neighbour := text.term(other))
    }
    return all(
        bool({(letter, before, -1), (letter, after, 1)} & beside)
        for before, letter, after in wanted
    )


def _next(words: list[str], place: int, step: int) -> Iterator[str]:
    """Yield the next word and, of "T and B cells", the one that T shares with B."""
    joint, letter, shared = (words[place + step * far] for far in (1, 2, 3))
    yield joint
    if joint in ("and", "or") and (len(letter) == 1 or letter.isdecimal()):
        yield shared
