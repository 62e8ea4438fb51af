"""What stands in quotes means the words as they are written, but for their number and spelling.

Stems don't tell: those of "conformal prediction" and "conformation predicts" are the same. So of
papers that say the stems, the texts are looked at. So are letters and numbers, which have none.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from digest.ranking import beside, text
from digest.ranking.model import TfidfModel
from digest.ranking.query import Query, Quote

MEANT = "="  # Stands before a term that a paper says by an acronym: how it is written is unknown.


def says(model: TfidfModel, document: str, query: Query) -> bool:
    """Return whether a paper that has a query's terms says what its terms don't tell."""
    return beside.has(document, query.lone) and quotes(model, document, query.quotes)


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
