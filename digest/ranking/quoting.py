"""What stands in quotes means the words as they are written, but for their number and spelling.

Stems don't tell: those of "conformal prediction" and "conformation predicts" are the same. So of
papers that say the stems, the texts are looked at. So are letters and numbers, which have none.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from digest.ranking import text
from digest.ranking.model import TfidfModel
from digest.ranking.query import Lone, Query, Quote

#: How else a number is written. "V" and "X" are letters more often.
NUMBERS = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8"}
NUMBERS |= {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
NUMBERS |= {"seven": "7", "eight": "8", "nine": "9", "ten": "10"}
MEANT = "="  # Stands before a term that a paper says by an acronym: how it is written is unknown.


def says(model: TfidfModel, document: str, query: Query) -> bool:
    """Return whether a paper that has a query's terms says what its terms don't tell."""
    return _has_lone(document, query.lone) and quotes(model, document, query.quotes)


def _has_lone(document: str, wanted: Sequence[Lone]) -> bool:
    """Return whether each word of one letter and each number stands beside one of its neighbours,
    as in "T cells" and "type 2 diabetes".

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
        for other in _beside(words, place, step)
        if (neighbour := text.term(other))
    }
    return all(
        bool({(letter, before, -1), (letter, after, 1)} & beside)
        for before, letter, after in wanted
    )


def _beside(words: list[str], place: int, step: int) -> Iterator[str]:
    """Yield the next word and, of "T and B cells", the one that T shares with B."""
    joint, letter, shared = (words[place + step * far] for far in (1, 2, 3))
    yield joint
    if joint in ("and", "or") and (len(letter) == 1 or letter.isdecimal()):
        yield shared


def quotes(model: TfidfModel, document: str, wanted: Sequence[Quote]) -> bool:
    """Return whether a paper that has the stems of the quotes has their words."""
    said = document.lower()
    rest = [quote for quote in wanted if not _letters(quote).search(said)]
    if not rest:  # Most write it as she does, and needn't be read word by word.
        return True
    written = _as_written(model, document)
    return all(_words(quote).search(written) for quote in rest)


def _as_written(model: TfidfModel, document: str) -> str:
    """Return how a paper writes its words, in a row, with a mark between lines.

    As Edition has its terms: once as a query would say them, and once in full.
    """
    as_query = in_full = ""
    for line in dict.fromkeys(document.splitlines()):  # The title is there twice.
        said, alone = text.reading(line)
        as_query += f" {' '.join(text.forms(said))} |"
        terms, forms = text.stems(said + alone), text.forms(said + alone)
        for acronym in model.acronyms_.keys() & set(terms):
            place, long = terms.index(acronym) + 1, model.acronyms_[acronym]
            terms[place:place] = long
            forms[place:place] = [MEANT + term for term in long]
        in_full += f" {' '.join(forms)} |"
    return as_query + in_full


@lru_cache(10_000)
def _letters(quote: Quote) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){'[ -]'.join(map(re.escape, quote))}s?(?![\w-])")


@lru_cache(10_000)
def _words(quote: Quote) -> re.Pattern[str]:
    words = zip(text.stems(list(quote)), text.forms(list(quote)), strict=True)
    wanted = (f"(?:{re.escape(form)}|{MEANT}{re.escape(term)})" for term, form in words)
    return re.compile(f" {' '.join(wanted)} ")
