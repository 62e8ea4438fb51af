"""Acronyms and their long forms, as papers define them: "large language models (LLMs)".

The long form is found as by Schwartz and Hearst (2003), "A simple algorithm for identifying
abbreviation definitions in biomedical text".
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping

from digest.ranking import text

DEFINED = re.compile(r"\(([A-Z][A-Za-z]{1,8})\)")
WORD = re.compile(r"[^\s-]+")
WORDS_BEFORE = 160  # Characters before an acronym that are searched for its long form.
#: How many papers must define an acronym, and which share of them in the same way. ASR, which is
#: speech recognition or the success rate of attacks, is not expanded.
MIN_DEFINITIONS, MIN_AGREEMENT = 5, 0.8


class Definitions:
    """The definitions of acronyms in a corpus."""

    def __init__(self) -> None:
        self._found: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)

    def read(self, document: str) -> None:
        """Record the definitions of a document, each acronym once."""
        if "(" not in document:
            return
        defined = {}
        for found in DEFINED.finditer(document):
            acronym = found[1].removesuffix("s")
            before = document[max(0, found.start() - WORDS_BEFORE) : found.start()]
            has_capitals = sum(map(str.isupper, acronym)) > 1
            if has_capitals and (long := long_form(acronym, before)):
                defined[acronym] = long
        for acronym, long in defined.items():
            terms = text.terms(acronym)
            stands_for = tuple(text.terms(long))
            if len(terms) == 1 and len(stands_for) > 1 and terms[0] not in stands_for:
                self._found[terms[0]][stands_for] += 1

    def agreed(self, usual: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Return the acronyms with frequent, unambiguous definitions: term -> long form's terms.

        `usual` is the most frequent spelling of each term: it must be in capitals.
        """
        agreed = {}
        for acronym, counts in sorted(self._found.items()):
            long, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
            is_common = count >= MIN_DEFINITIONS and count >= MIN_AGREEMENT * counts.total()
            if is_common and usual.get(acronym, "").rstrip("s").isupper():
                agreed[acronym] = long
        return agreed


def long_form(acronym: str, before: str) -> str:
    """Return the long form of an acronym at the end of the text before it, or an empty string.

    Words whose initials are the acronym are preferred: in "proximal policy optimization", the
    letter P also begins the second word.
    """
    begin = [word.start() for word in WORD.finditer(before)][-len(acronym) :]
    if [before[place].lower() for place in begin] == [*acronym.lower()] and (
        begin[0] == 0 or before[begin[0] - 1] != "-"
    ):
        return " ".join(before[begin[0] :].lower().split())
    words = before.split()[-min(len(acronym) + 5, 2 * len(acronym)) :]
    text = " ".join(words).lower()
    place = len(text)
    for number, letter in reversed(list(enumerate(acronym.lower()))):
        place = text.rfind(letter, 0, place)
        while number == 0 and place > 0 and text[place - 1].isalnum():
            place = text.rfind(letter, 0, place)  # The first letter begins a word.
        if place < 0:
            return ""
    return text[text.rfind(" ", 0, place) + 1 :]
