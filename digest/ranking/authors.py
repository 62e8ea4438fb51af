"""Whose papers somebody follows or mutes, by the names that papers have them under.

One names its authors in full, another by initials, a third in capitals or without accents. So a
name is the set of its words, and an initial stands for each word that it begins. Two people of one
name can't be told apart.
"""

import re
from collections.abc import Sequence

from digest.ranking import text

#: What a topic's text begins with that asks for people.
ASKING = re.compile(r"(?:authors?|autor(?:en|in|innen)?|au) ?: ?(.+)", re.IGNORECASE)
BETWEEN = re.compile(r"\s*;\s*|\s+(?:(?i:and|und)|&|OR)\s+")  # "Or" is somebody's name.
#: As keyboards for Chinese and Japanese write them.
SIGNS = str.maketrans("：，；、", ":,;;")
APOSTROPHES = str.maketrans("", "", "'’`´")
LETTERS = re.compile(rf"{text.LETTER}+")
#: Words that a hyphen joins are one name: Wei-Lin Wang is not Wei Wang.
JOINED = re.compile(rf"{LETTERS.pattern}(?:\.?-{LETTERS.pattern})*")
SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv"})


def asked_for(said: str) -> tuple[str, ...]:
    """Return the names of those for whom a topic's text asks, none where it asks for words.

    >>> asked_for("author: Emmy Noether; Gödel, K."), asked_for("authors and editors")
    (('Emmy Noether', 'Gödel, K.'), ())
    >>> asked_for("author: Emmy Noether, Kurt Gödel and Ada Lovelace")
    ('Emmy Noether', 'Kurt Gödel', 'Ada Lovelace')
    """
    found = ASKING.fullmatch(" ".join(said.translate(SIGNS).split()))
    pieces = BETWEEN.split(found[1]) if found else []
    names = [name for piece in pieces for name in _listed(piece)]
    return tuple(dict.fromkeys(name for name in names if _full(name)))


def _listed(piece: str) -> list[str]:
    """Return the names of a list, where it is none of a single name: "Noether, Emmy".

    What is no name of its own belongs to the one before: "Noether, E.", "Emmy Noether, Jr.".
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
    """Return whether an author may be the one who is asked for by this name.

    >>> is_called("Emmy Noether", "Noether, E."), is_called("E. Noether", "Emmy Noether")
    (True, True)
    >>> is_called("Amalie Emmy Noether", "Emmy Noether"), is_called("Emmy N. Braun", "Emmy Noether")
    (True, False)
    """
    return _is_called(_joined(_folded(author)), _joined(_folded(name)))


class Authors:
    """Who wrote each of some papers."""

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        self._papers = [paper for paper, some in enumerate(names) for _ in some]
        self._names = _folded("\n".join(name for some in names for name in some)).split("\n")
        self._by_word: dict[str, list[int]] = {}
        for number, one in enumerate(self._names):
            for word in LETTERS.findall(one):
                self._by_word.setdefault(word, []).append(number)

    def by(self, name: str) -> list[int]:
        """Return the positions of the papers by somebody who is called so, in order."""
        words, full = _joined(_folded(name)), _full(name)
        having = [set(self._by_word.get(word, ())) for word in full]
        may_be = set().union(*having)  # One word at least is had in full,
        for word, in_full in zip(full, having, strict=True):  # each by its initial at least.
            may_be &= in_full.union(self._by_word.get(word[0], ()))
            if not may_be:
                break
        found = {
            self._papers[one] for one in may_be if _is_called(_joined(self._names[one]), words)
        }
        return sorted(found)


def _is_called(author: list[list[str]], name: list[list[str]]) -> bool:
    """Return whether each word of the name is one of the author's, or its initial, or has it for
    one.

    If all words are written in full, the author may have other names. If initials stand for words,
    the author may not: Emmy N. Braun is not Emmy Noether.
    """
    free = [(joined, word) for joined, words in enumerate(author) for word in words]
    wanted, had, in_full, by_initial = [], set(), 0, 0
    for word in [word for words in name for word in words]:
        found = next((one for one in free if one[1] == word), None)
        if found is None:
            wanted.append(word)
            continue
        free.remove(found)
        had.add(found[0])
        in_full += len(word) > 1
    for word in wanted:
        found = next((one for one in free if _is_initial(word, one[1])), None)
        if found is not None:
            free.remove(found)
            by_initial += 1
        elif len(word) > 1 or in_full < 2:  # Some leave out the initial of a second name.
            return False
    others = [joined for joined, word in free if len(word) > 1]
    return in_full > 0 and had.isdisjoint(others) and not (by_initial and others)


def _is_initial(word: str, other: str) -> bool:
    return 1 in (len(word), len(other)) and word[0] == other[0]


def _folded(said: str) -> str:
    return text.folded(said).translate(APOSTROPHES)


def _joined(folded: str) -> list[list[str]]:
    """Return the words of a folded name, those together that a hyphen joins."""
    return [LETTERS.findall(joined) for joined in JOINED.findall(folded)]


def _full(name: str) -> list[str]:
    return [word for word in LETTERS.findall(_folded(name)) if len(word) > 1]
