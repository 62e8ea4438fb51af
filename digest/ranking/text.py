"""Text becomes terms: folded, without stop words, stemmed.

A term is the stem of a word. Case, accents and hyphens don't matter: "Graph-based" and "graph
based" have the same terms.
"""

import re
import threading
import unicodedata

import snowballstemmer
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

WORD = re.compile(r"[^\W_]{2,}")
ACCENT = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
MAX_WORD = 40  # Longer ones are no words; they would only fill the vocabulary.
#: What abstracts say of themselves and readers of their wishes, beside the stop words of English.
PAPER_STOP_WORDS = frozenset(
    """
    paper papers propose proposed proposes approach approaches method methods result results show
    shows use used using based novel new existing et al via however demonstrate demonstrates want
    wants know like interested interest interesting work works working way ways make makes better
    good best prevent research study studies recent latest learned topic topics
    """.split()  # noqa: SIM905, a list of fifty quoted words is harder to read
)
#: Said of everything, and about nothing: its words would look like a subject.
STATE_OF_THE_ART = re.compile(r"state[-\s]+of[-\s]+the[-\s]+art")


class _Stems(dict[str, str]):
    """Word -> stem, computed once a word. Stop words and numbers have the empty stem."""

    def __init__(self) -> None:
        super().__init__()
        self._stem = snowballstemmer.stemmer("english").stemWord
        self._lock = threading.Lock()  # The stemmer keeps the word that it is at.

    def __missing__(self, word: str) -> str:
        stop = word in ENGLISH_STOP_WORDS or word in PAPER_STOP_WORDS
        with self._lock:
            stem = "" if stop or word.isdecimal() or len(word) > MAX_WORD else self._stem(word)
        if len(self) > 500_000:
            self.clear()
        self[word] = stem
        return stem


_stems = _Stems()


def words(text: str) -> list[str]:
    """Return the words of a text, folded, in order."""
    text = text.lower()
    if not text.isascii():
        text = ACCENT.sub("", unicodedata.normalize("NFKD", text)).lower()
    return WORD.findall(STATE_OF_THE_ART.sub(" ", text))


def stems(words: list[str]) -> list[str]:
    """Return the terms of folded words, in order. Stop words and numbers have none."""
    return [stem for word in words if (stem := _stems[word])]


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, repeats included."""
    return stems(words(text))
