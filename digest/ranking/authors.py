"""Match the names of followed or muted authors with the authors of papers.

Papers have full names, initials, capitals, or no accents. So a name is the set of its words, and an
initial matches each word that it begins. Two people with the same name are not distinguished.
"""

import re
from collections.abc import Sequence
from itertools import chain

from digest.ranking import text

#: A topic's text that names authors.
AUTHOR_QUERY = re.compile(r"(?:authors?|autor(?:en|in|innen)?|au) ?: ?(.+)", re.IGNORECASE)
SEPARATOR = re.compile(r"\s*;\s*|\s+(?:(?i:and|und)|&|OR)\s+")  # "Or" is somebody's name.
#: As keyboards for Chinese and Japanese write them.
WIDE_PUNCTUATION = str.maketrans("：，；、", ":,;;")
APOSTROPHES = str.maketrans("", "", "'’`´")
LETTERS = re.compile(rf"{text.LETTER}+")
#: Words that a hyphen joins are one name: Wei-Lin Wang is not Wei Wang.
JOINED = re.compile(rf"{LETTERS.pattern}(?:\.?-{LETTERS.pattern})*")
SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv"})


def queried_authors(said: str) -> tuple[str, ...]:
    """Return the authors that a topic's text names, or an empty tuple if it has no "author:".

    >>> queried_authors("author: Emmy Noether; Gödel, K."), queried_authors("authors and editors")
    (('Emmy Noether', 'Gödel, K.'), ())
    >>> queried_authors("author: Emmy Noether, Kurt Gödel and Ada Lovelace")
    ('Emmy Noether', 'Kurt Gödel', 'Ada Lovelace')
    """
    found = AUTHOR_QUERY.fullmatch(" ".join(said.translate(WIDE_PUNCTUATION).split()))
    pieces = SEPARATOR.split(found[1]) if found else []
    names = [name for piece in pieces for name in _listed(piece)]
    return tuple(dict.fromkeys(name for name in names if _full(name)))


def _listed(piece: str) -> list[str]:
    """Return the names of a list, or the only name: "Noether, Emmy".

    Initials and suffixes belong to the name before: "Noether, E.", "Emmy Noether, Jr.".
    """
    names: list[str] = []
    for name in filter(None, map(str.strip, piece.split(","))):
        if names and all(word in SUFFIXES for word in _full(name)):
            names[-1] += f", {name}"
        else:
            names.append(name)
    is_one = len(names) == 2 and min(len(LETTERS.findall(name)) for name in names) < 2
    return [", ".join(names)] if is_one else names


def is_called(author: str, name: str) -> bool:
    """Return whether an author may have this name.

    >>> is_called("Emmy Noether", "Noether, E."), is_called("E. Noether", "Emmy Noether")
    (True, True)
    >>> is_called("Amalie Emmy Noether", "Emmy Noether"), is_called("Emmy N. Braun", "Emmy Noether")
    (True, False)
    """
    return _is_called(_joined(_folded(author)), _joined(_folded(name)))


class Authors:
    """An index of papers by the names of their authors."""

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        self._papers = [paper for paper, authors in enumerate(names) for _ in authors]
        self._names = _folded("\n".join(chain.from_iterable(names))).split("\n")
        self._by_word: dict[str, list[int]] = {}
        for number, name in enumerate(self._names):
            for word in LETTERS.findall(name):
                self._by_word.setdefault(word, []).append(number)

    def by_author(self, name: str) -> list[int]:
        """Return the positions of the papers by an author with this name, ascending."""
        words, full = _joined(_folded(name)), _full(name)
        having = [set(self._by_word.get(word, ())) for word in full]
        may_be = set().union(*having)  # At least one word matches in full,
        for word, in_full in zip(full, having, strict=True):  # and each at least by its initial.
            may_be &= in_full.union(self._by_word.get(word[0], ()))
            if not may_be:
                break
        found = [n for n in may_be if _is_called(_joined(self._names[n]), words)]
        return sorted({self._papers[n] for n in found})


def _is_called(author: list[list[str]], name: list[list[str]]) -> bool:
    """Return whether each word of the name equals, abbreviates or is abbreviated by a word of the
    author's name.

    If all words are written in full, the author may have further names. If initials stand for
    words, the author may not: Emmy N. Braun is not Emmy Noether.
    """
    free = [(joined, word) for joined, words in enumerate(author) for word in words]
    wanted, had, in_full, by_initial = [], set(), 0, 0
    for word in [word for words in name for word in words]:
        found = next((candidate for candidate in free if candidate[1] == word), None)
        if found is None:
            wanted.append(word)
            continue
        free.remove(found)
        had.add(found[0])
        in_full += len(word) > 1
    for word in wanted:
        found = next((candidate for candidate in free if _is_initial(word, candidate[1])), None)
        if found is not None:
            free.remove(found)
            by_initial += 1
        elif len(word) > 1 or in_full < 2:  # The initial of a second name may be missing.
            return False
    unmatched = [joined for joined, word in free if len(word) > 1]
    return in_full > 0 and had.isdisjoint(unmatched) and not (by_initial and unmatched)


def _is_initial(word: str, other: str) -> bool:
    return 1 in (len(word), len(other)) and word[0] == other[0]


def _folded(said: str) -> str:
    return text.folded(said).translate(APOSTROPHES)


def _joined(folded: str) -> list[list[str]]:
    """Return the words of a folded name, grouped where a hyphen joins them."""
    return [LETTERS.findall(joined) for joined in JOINED.findall(folded)]


def _full(name: str) -> list[str]:
    return [word for word in LETTERS.findall(_folded(name)) if len(word) > 1]
