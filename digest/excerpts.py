"""What a letter quotes of an abstract: how it begins, and the sentence that has the reason.

Of four papers in five, the title and the first sentences say all words for which they were chosen.
Of the others, the excerpt ends with the sentence that says the first word that is missing.
"""

from collections.abc import Iterable
from functools import lru_cache

from digest.ranking import text
from subscriptions.plaintext import columns, one_line, sentences, shortened, summary

LEAST = 200  # Columns. With less room, the beginning is all.
SHARE = 2 / 3  # Of the room, that sentence has so much at most.
GAP = " … "


def sentence_for(title: str, abstract: str, words: Iterable[str], limit: int) -> int | None:
    """Return the position of the sentence that ends the excerpt; None where it is the beginning.

    `words` are those of the reason, the weightiest first.
    """
    if limit < LEAST:
        return None
    first_said = _first_said(title, abstract, limit)
    said_in = [first_said.get(term) for word in words for term in text.terms(word)]
    return next((place for place in said_in if place is not None), None)


def excerpt(abstract: str, limit: int, place: int | None = None) -> str:
    """Return the beginning of an abstract, in `limit` columns, with this sentence at its end."""
    if place is None:
        return summary(abstract, limit)
    told = sentences(abstract)
    end = _at_the_end(told[place], limit)
    before = " ".join(told[:place])
    beginning = summary(before, limit - columns(GAP + end))
    is_next = beginning == before or beginning.endswith("…")
    return beginning + (" " if is_next else GAP) + end


@lru_cache(1_000)  # As many papers as a day may have; each takes some ten kilobytes.
def _first_said(title: str, abstract: str, limit: int) -> dict[str, int | None]:
    """Return term -> the position of the first sentence that says it. None for what the title or
    the beginning says.
    """
    shown = text.terms(f"{one_line(title)} . {summary(abstract, limit)}")
    first: dict[str, int | None] = dict.fromkeys(shown)
    for place, sentence in enumerate(sentences(abstract)[1:], start=1):
        for term in text.terms(_at_the_end(sentence, limit)):
            first.setdefault(term, place)
    return first


def _at_the_end(sentence: str, limit: int) -> str:
    return shortened(sentence, int(limit * SHARE))
