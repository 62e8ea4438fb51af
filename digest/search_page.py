"""The page of a search: what is found for a text, and what is shown of it.

Where there is no index or model that can be used, titles of the newest papers are looked through,
and the page says so.
"""

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape  # As Django's, which looks for lazy texts first: pages have hundreds.
from itertools import accumulate

from django.utils.safestring import SafeString, mark_safe

from digest import explanations
from digest.indexing import search
from digest.indexing.index import name_words
from digest.models import Paper
from digest.ranking import text
from digest.ranking.authors import asked_for, is_called
from digest.ranking.query import queries
from digest.ranking.reasons import unknown_words
from digest.summary import sentences
from digest.wording import operators
from subscriptions.plaintext import shortened

LONGEST = 300  # Characters of a search that are looked at.
PAGE = 10
TITLES = 10_000  # Of the newest papers: anyone may ask, and to look through all takes long.
NAMES = 4  # Authors of a result that are named.
SNIPPET = 320  # Columns.
WORD = re.compile(rf"[^\W_]+(?:{text.HYPHEN}[^\W_]+)*")
BEYOND_ASCII = re.compile(r"[^\W\x00-\x7f]|[\u2010\u2011]")  # Of words.


@dataclass(frozen=True)
class Result:
    """A paper that was found: what is shown of it, with the words that it was found by marked."""

    paper: Paper
    title: SafeString
    byline: SafeString
    snippet: SafeString


@dataclass(frozen=True)
class Results:
    """A page of results.

    Attributes
    ----------
    count, pages, most : int
        How many papers there are in all, how many pages can be shown, and of how many papers, where
        those are fewer.
    arxiv_id, doi : str
        Set where nothing else was asked for.
    is_plain : bool
        Only titles of the newest papers were looked through.
    is_wordless : bool
        The text has no term by which papers are found.
    is_name : bool
        No paper says it, and some are by an author who is called so.
    unheard : sequence of str
        Its words that no paper says.
    suggestion : str
        The text as it was probably meant.
    unobeyed : sequence of str
        AND, OR and NOT, where it has them as if they were obeyed.
    """

    asked: str
    results: Sequence[Result] = ()
    count: int = 0
    page: int = 1
    pages: int = 1
    most: int = 0
    arxiv_id: str = ""
    doi: str = ""
    is_plain: bool = False
    is_wordless: bool = False
    is_name: bool = False
    unheard: Sequence[str] = ()
    suggestion: str = ""
    unobeyed: Sequence[str] = ()


def find(asked: str, *, page: int = 1, newest: bool = False) -> Results:
    """Return what is found for a text. Asks five queries at most where there is an index, and one
    more for each line that has quotes.
    """
    asked = " ".join(asked.split())[:LONGEST]
    if not asked:
        return Results(asked)
    named = explanations.paper_by_id(asked)
    arxiv_id = explanations.arxiv_id(asked)
    doi = "" if arxiv_id else explanations.doi(asked)
    if (arxiv_id or doi) and " " not in asked:  # Alone, or an address: there are no words in it.
        found = [named] if named else []
        return Results(asked, _shown(found, asked), len(found), arxiv_id=arxiv_id, doi=doi)
    index, model = search.in_use()
    unheard, suggestion, is_name = [], "", False
    if index is None:
        newest_ids = Paper.objects.order_by("-day").values("pk")[:TITLES]
        found = Paper.objects.filter(pk__in=newest_ids, title__icontains=asked)
        ids = list(found.values_list("pk", flat=True)[: search.RANKED])
        count = len(ids)
    else:
        ids, count, is_name = search.search(index, model, asked, newest=newest)
        if not (is_name or asked_for(asked)):
            unheard = unknown_words(index.has_words, asked)
            suggestion = search.suggestion(model, asked, unheard)
    if named:
        count += named.pk not in ids
        ids = list(dict.fromkeys([named.pk, *ids]))[: search.RANKED]
    some = ids[PAGE * (page - 1) : PAGE * page]
    rows = Paper.objects.order_by().in_bulk(some)
    found = [rows[one] for one in some if one in rows]
    return Results(
        asked,
        _shown(found, asked, model),
        count,
        page,
        pages=max(1, -(-len(ids) // PAGE)),
        most=search.RANKED if count > len(ids) == search.RANKED else 0,
        is_plain=index is None,
        is_wordless=not (index is None or queries(asked)),
        is_name=is_name,
        unheard=unheard,
        suggestion=suggestion,
        unobeyed=operators(asked),
    )


# ---- What is shown


def _shown(found, asked, model=None) -> list[Result]:
    authors = asked_for(asked)
    wanted = () if authors else queries(asked, model and model.acronyms_)
    terms = frozenset(term for query in wanted for term in query.terms)
    return [
        Result(
            one,
            marked(one.title, terms),
            _byline(one.authors, authors or (asked,)),
            snippet(one.abstract, terms),
        )
        for one in found
    ]


def _byline(authors, names):
    """Return some authors, those who were asked for among them."""
    said = set(name_words(" ".join(authors)))
    likely = [name for name in names if not said.isdisjoint(name_words(name))]
    is_meant = [any(is_called(author, name) for name in likely) for author in authors]
    if len(authors) > NAMES + 1:
        places = sorted(sorted(range(len(authors)), key=lambda n: not is_meant[n])[:NAMES])
    else:
        places = range(len(authors))
    named = [
        f"<mark>{escape(authors[n])}</mark>" if is_meant[n] else escape(authors[n]) for n in places
    ]
    return mark_safe(", ".join(named) + (" …" if len(named) < len(authors) else ""))  # noqa: S308


def snippet(abstract: str, wanted: frozenset[str]) -> SafeString:
    """Return the sentences of an abstract from the one on that says the most of what is wanted."""
    words = _said(abstract, wanted)
    starts = [0, *accumulate(map(len, sentences(abstract)))]
    said: dict[int, set[str]] = {}
    for word in words:
        said.setdefault(bisect(starts, word.start()) - 1, set()).update(_terms(word[0]) & wanted)
    best = max(said, key=lambda n: (len(said[n]), -n), default=0)
    shown = shortened(abstract[starts[best] : starts[best] + 2 * SNIPPET], SNIPPET)
    return marked(f"… {shown}" if best else shown, wanted)


def marked(said: str, wanted: frozenset[str]) -> SafeString:
    """Return a text as HTML, with the words that have one of the terms marked."""
    parts, last = [], 0
    for word in _said(said, wanted):
        parts.append(f"{escape(said[last : word.start()])}<mark>{escape(word[0])}</mark>")
        last = word.end()
    return mark_safe("".join([*parts, escape(said[last:])]))  # noqa: S308, all of it is escaped


def _said(text, wanted):
    """Return where the text says one of the terms.

    A stem begins as its word does, or as a part of it behind a hyphen: so few words need to be
    stemmed. Behind an accent, it may begin anywhere.
    """
    if text.isascii() or not BEYOND_ASCII.search(text):
        words = map(_whole, _beginnings(wanted).finditer(text))
    else:
        words = WORD.finditer(text)
    return [word for word in words if not wanted.isdisjoint(_terms(word[0]))]


def _whole(word):
    """Return the whole of a word, of which a part behind a hyphen may have been found."""
    text, start = word.string, word.start()
    while text[start - 1 : start] == "-" and text[start - 2 : start - 1].isalnum():
        start -= 2
        while text[start - 1 : start].isalnum():
            start -= 1
    return word if start == word.start() else WORD.match(text, start)


@lru_cache(1_000)
def _beginnings(wanted: frozenset[str]) -> re.Pattern[str]:
    """Return what finds words from where they begin, or a part does, as one of the terms.

    Some are written with a vowel before it (oedema). The letter is looked for fast; what stands
    before it is seldom asked.
    """
    starts = {term[0] for term in wanted if term.isascii()}
    starts |= {"a", "o"} if "e" in starts else set()
    letters = "".join(sorted(starts | {start.upper() for start in starts}))
    return re.compile(rf"[{letters}](?<![^\W_].)[^\W_]*(?:-[^\W_]+)*" if letters else "(?!)")


@lru_cache(100_000)
def _terms(word: str) -> frozenset[str]:
    return frozenset(text.terms(word))
