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
#: A topic's text that names institutions, and what their names begin with among those of authors.
INSTITUTION_QUERY = re.compile(r"institution(?:s|en)? ?: ?(.+)", re.IGNORECASE)
INSTITUTION = "institution: "
SEPARATOR = re.compile(r"\s*;\s*|\s+(?:(?i:and|und)|&|OR)\s+")  # "Or" is somebody's name.
#: As keyboards for Chinese and Japanese write them.
WIDE_PUNCTUATION = str.maketrans("：，；、", ":,;;")
APOSTROPHES = str.maketrans("", "", "'’`´")
LETTERS = re.compile(rf"{text.LETTER}+")
#: Words that a hyphen joins are one name: Wei-Lin Wang is not Wei Wang.
HYPHENATED = re.compile(rf"{LETTERS.pattern}(?:\.?-{LETTERS.pattern})*")
SUFFIXES = frozenset({"jr", "sr", "ii", "iii", "iv"})


def queried_authors(topic: str) -> tuple[str, ...]:
    """Return the authors that a topic's text names, or an empty tuple if it has no "author:".

    >>> queried_authors("author: Emmy Noether; Gödel, K."), queried_authors("authors and editors")
    (('Emmy Noether', 'Gödel, K.'), ())
    >>> queried_authors("author: Emmy Noether, Kurt Gödel and Ada Lovelace")
    ('Emmy Noether', 'Kurt Gödel', 'Ada Lovelace')
    """
    match = AUTHOR_QUERY.fullmatch(" ".join(topic.translate(WIDE_PUNCTUATION).split()))
    pieces = SEPARATOR.split(match[1]) if match else []
    names = [name for piece in pieces for name in _listed(piece)]
    return tuple(dict.fromkeys(name for name in names if full_words(name)))


def queried_names(topic: str) -> tuple[str, ...]:
    """Return the authors that a topic's text names, or the institutions, after INSTITUTION.

    >>> queried_names("institution: ETH Zurich; MIT"), queried_names("author: Emmy Noether")
    (('institution: ETH Zurich', 'institution: MIT'), ('Emmy Noether',))
    """
    match = INSTITUTION_QUERY.fullmatch(" ".join(topic.translate(WIDE_PUNCTUATION).split()))
    if match is None:
        return queried_authors(topic)
    names = [name.strip() for name in match[1].split(";") if full_words(name)]
    return tuple(dict.fromkeys(INSTITUTION + name for name in names))


def as_query(name: str) -> str:
    """Return the text of a topic that names this author or institution."""
    return name if name.startswith(INSTITUTION) else f"author: {name}"


def padded_words(name: str) -> str:
    """Return the words of a name or affiliation, folded, with a space around each.

    >>> padded_words("ETH Zurich") in padded_words("Department of Physics, ETH Zürich, Switzerland")
    True
    """
    return f" {' '.join(re.findall(r'\w+', _folded(name)))} "


def _listed(piece: str) -> list[str]:
    """Return the names of a list, or the only name: "Noether, Emmy".

    Initials and suffixes belong to the name before: "Noether, E.", "Emmy Noether, Jr.".
    """
    names: list[str] = []
    for name in filter(None, map(str.strip, piece.split(","))):
        if names and all(word in SUFFIXES for word in full_words(name)):
            names[-1] += f", {name}"
        else:
            names.append(name)
    is_single_name = len(names) == 2 and min(len(LETTERS.findall(name)) for name in names) < 2
    return [", ".join(names)] if is_single_name else names


def is_called(author: str, name: str) -> bool:
    """Return whether an author may have this name.

    >>> is_called("Emmy Noether", "Noether, E."), is_called("E. Noether", "Emmy Noether")
    (True, True)
    >>> is_called("Amalie Emmy Noether", "Emmy Noether"), is_called("Emmy N. Braun", "Emmy Noether")
    (True, False)
    """
    return _is_called(_hyphen_groups(_folded(author)), _hyphen_groups(_folded(name)))


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
        name_groups, words = _hyphen_groups(_folded(name)), full_words(name)
        numbers_by_word = [set(self._by_word.get(word, ())) for word in words]
        # At least one word matches in full, and each at least by its initial.
        candidates = set().union(*numbers_by_word)
        for word, numbers in zip(words, numbers_by_word, strict=True):
            candidates &= numbers.union(self._by_word.get(word[0], ()))
            if not candidates:
                break
        groups = {number: _hyphen_groups(self._names[number]) for number in candidates}
        return sorted({self._papers[n] for n in candidates if _is_called(groups[n], name_groups)})


def _is_called(author: list[list[str]], name: list[list[str]]) -> bool:
    """Return whether each word of the name equals, abbreviates or is abbreviated by a word of the
    author's name.

    If all words are written in full, the author may have further names. If initials stand for
    words, the author may not: Emmy N. Braun is not Emmy Noether.
    """
    free_words = [(group, word) for group, words in enumerate(author) for word in words]
    unequal_words, matched_groups, equal_count, initial_count = [], set(), 0, 0
    for word in [word for words in name for word in words]:
        match = next((free for free in free_words if free[1] == word), None)
        if match is None:
            unequal_words.append(word)
            continue
        free_words.remove(match)
        matched_groups.add(match[0])
        equal_count += len(word) > 1
    for word in unequal_words:
        match = next((free for free in free_words if _is_initial(word, free[1])), None)
        if match is not None:
            free_words.remove(match)
            initial_count += 1
        elif len(word) > 1 or equal_count < 2:  # The initial of a second name may be missing.
            return False
    unmatched = [group for group, word in free_words if len(word) > 1]
    is_compatible = matched_groups.isdisjoint(unmatched) and not (initial_count and unmatched)
    return equal_count > 0 and is_compatible


def _is_initial(word: str, other: str) -> bool:
    return 1 in (len(word), len(other)) and word[0] == other[0]


def _folded(name: str) -> str:
    return text.folded(name).translate(APOSTROPHES)


def _hyphen_groups(folded_name: str) -> list[list[str]]:
    """Return the words of a folded name, grouped where a hyphen joins them."""
    return [LETTERS.findall(group) for group in HYPHENATED.findall(folded_name)]


def name_words(name: str) -> list[str]:
    """Return the words of a name, folded, initials included."""
    return LETTERS.findall(_folded(name))


def full_words(name: str) -> list[str]:
    """Return the words of a name, folded, without initials."""
    return [word for word in name_words(name) if len(word) > 1]
