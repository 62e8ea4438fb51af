"""The papers that a model is fitted on, each of them read once: its words in order, as numbers.

    title LINE abstract LINE

Within a line, what a paper says besides follows ALONE, as in tokens.py. A word is one as it is
folded: what its terms are is looked up once a word, not each time that it is said.
"""

import itertools
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.acronyms import Definitions
from digest.ranking.tokens import (
    ALONE,
    LINE,
    counted,
    lines,
    places_of,
    starts_of,
)

BLOCK = 4_000  # So many papers at a time, whose words take some dozen megabytes meanwhile.


class Corpus:
    """Papers, in the order in which they were added."""

    def __init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self._tokens, self._ends = array("i"), array("q")
        self._places: dict[bytes, int] = {}
        self._shouted: Counter[str] = Counter()
        self._hyphenated: Counter[str] = Counter()
        self._definitions = Definitions()

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, document: str) -> None:
        """Read a text. A line that comes twice at its beginning is a title."""
        title, _, rest = document.partition("\n")
        again, _, abstract = rest.partition("\n")
        if title == again:
            self.add(title, abstract)
        else:
            self.add("", document)

    def add(self, title: str, abstract: str) -> None:
        """Read a paper. What its title says counts twice."""
        number = self._numbers.__getitem__
        for line in (title, abstract):
            said, alone = text.reading(line)
            self._tokens.extend(map(number, said))
            if alone:
                self._tokens.append(ALONE)
                self._tokens.extend(map(number, alone))
            self._tokens.append(LINE)
        self._places[_digest(title, abstract)] = len(self._ends)
        self._ends.append(len(self._tokens))
        document = f"{title}\n{title}\n{abstract}"
        self._shouted.update(text.ACRONYM.findall(document))
        self._hyphenated.update(text.hyphenated(document.lower()))
        self._definitions.read(document)

    def place_of(self, title: str, abstract: str) -> int | None:
        """Return the position of the paper that says just this, None where there is none."""
        return self._places.get(_digest(title, abstract))

    # ---- What the papers say

    def in_terms(self, number: Callable[[str], int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the papers' tokens with the numbers of terms, BLOCK papers at a time, and where
        each paper's end.

        `number` is asked once for each time that a word has a term.
        """
        terms = [[number(term) for term in text.stems([word])] for word in self._numbers]
        marks = [ALONE, LINE]  # From the end, these are -2 and -1.
        numbers = np.array([*itertools.chain.from_iterable(terms), *marks], dtype=np.int32)
        sizes = np.array([*map(len, terms), *(1 for _ in marks)], dtype=np.int32)
        starts = np.cumsum(sizes, dtype=np.int32) - sizes
        for tokens, ends in self._blocks():
            places = places_of(starts[tokens], sizes[tokens])
            yield numbers[places], np.cumsum(sizes[tokens])[ends - 1]

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        tokens, ends = np.frombuffer(self._tokens, np.int32), np.frombuffer(self._ends, np.int64)
        starts = starts_of(ends)
        for first in range(0, len(ends), BLOCK):
            some = ends[first : first + BLOCK]
            yield tokens[starts[first] : some[-1]], some - starts[first]

    def columns(self, limit: int) -> tuple[list[str], sparse.csr_matrix]:
        """Return the terms in order, the most frequent `limit` of them, and how often each is in
        each paper, shape (n_papers, n_terms).
        """
        names = sorted({term for word in self._numbers for term in text.stems([word])})
        number = {name: place for place, name in enumerate(names)}.__getitem__
        blocks = [counted(*block, len(names)) for block in self.in_terms(number)]
        none = sparse.csr_matrix((0, len(names)), dtype=np.float32)
        counts = sparse.vstack(blocks or [none], format="csr")
        if len(names) <= limit:
            return names, counts
        having = np.bincount(counts.indices, minlength=len(names))
        frequent = sorted(range(len(names)), key=lambda n: (-having[n], names[n]))[:limit]
        kept = sorted(frequent)
        return [names[n] for n in kept], counts[:, kept]

    # ---- How it is written

    def usual(self) -> dict[str, str]:
        """Return term -> the word that people write most often for it.

        Acronyms are in capitals, and hyphens where most write them.
        """
        return _usual(self._spoken(), self._shouted, _as_one_word(self._hyphenated))

    def _spoken(self) -> Counter[str]:
        """Return how often each word is said."""
        counts = np.zeros(len(self._numbers), dtype=np.int64)
        for tokens, ends in self._blocks():
            is_word = tokens >= 0
            for said in (is_word, is_word & (lines(tokens, ends) == 0)):  # Titles count twice.
                counts += np.bincount(tokens[said], minlength=len(counts))
        return Counter(dict(zip(self._numbers, counts.tolist(), strict=True)))

    def acronyms(self, usual: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Return what acronyms stand for, without those that are mostly written as words."""
        agreed = self._definitions.agreed()
        return {
            acronym: long
            for acronym, long in agreed.items()
            if usual[acronym].rstrip("s").isupper()
        }


def _digest(title: str, abstract: str) -> bytes:
    said = f"{title}\n{abstract}".encode(errors="surrogatepass")
    return blake2b(said, digest_size=16).digest()


def _as_one_word(hyphenated: Counter[str]) -> dict[str, tuple[str, int]]:
    """Return, for words that a hyphen joins, how they are written most often, and how often."""
    joined: dict[str, tuple[str, int]] = {}
    for written, count in sorted(hyphenated.items(), key=lambda item: (-item[1], item[0])):
        words = text.words(written, of_query=True)
        if len(words) == 1:
            joined.setdefault(words[0], (written, count))
    return joined


def _usual(
    spoken: Counter[str], shouted: Counter[str], joined: dict[str, tuple[str, int]]
) -> dict[str, str]:
    """Return term -> the word that people write most often for it.

    Acronyms are in capitals, and hyphens where most write them.
    """
    usual: dict[str, str] = {}
    capitals = {word.lower(): word for word, _ in reversed(shouted.most_common())}
    for word, count in sorted(spoken.items(), key=lambda item: (-item[1], item[0])):
        acronym, plural = capitals.get(word, ""), ""
        if word.endswith("s") and shouted[capitals.get(word[:-1], "")] > shouted[acronym]:
            acronym, plural = capitals[word[:-1]], "s"
        said = acronym + plural if shouted[acronym] * 2 > count else word
        written, often = joined.get(word, ("", 0))
        said = written if often * 2 > count else said
        letters = word.rstrip("0123456789")
        if letters != word and shouted[capitals.get(letters, "")] * 2 > count:
            said = f"{capitals[letters]}-{word[len(letters) :]}"  # GPT-4
        *about, term = text.stems([word]) or [""]
        usual.setdefault(term, said)
        for other in about:  # "gpt4" is about GPT, which is said without the number.
            usual.setdefault(other, said.rstrip("0123456789").rstrip("-"))
    return usual
