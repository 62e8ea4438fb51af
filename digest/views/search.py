"""The search page: find papers, and mark the words by which they were found.

Without an index or model, only titles of the newest papers are searched, and the page says so.
"""

import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape  # As Django's, which looks for lazy texts first: pages have hundreds.
from itertools import accumulate

from django.utils.safestring import SafeString, mark_safe

from digest.indexing import search
from digest.indexing.index import name_words
from digest.indexing.vocabulary import unknown_words
from digest.interests.operators import operators
from digest.models import Paper
from digest.papers import identifiers
from digest.papers.summary import sentences
from digest.ranking import text
from digest.ranking.authors import is_called, queried_authors
from digest.ranking.query import lines, queries
from digest.views.filters import NO_FILTERS, Filters
from subscriptions.mail.plaintext import shortened

MAX_LENGTH = 300  # Characters of a query.
PAGE = 10
MAX_TITLES = 10_000
MAX_AUTHORS = 4  # Of a result.
SNIPPET_COLUMNS = 240
WORD = re.compile(rf"[^\W_]+(?:{text.HYPHEN}[^\W_]+)*")


@dataclass(frozen=True)
class Result:
    """A paper that was found, as HTML in which the words of the query are marked."""

    paper: Paper
    title: SafeString
    byline: SafeString
    snippet: SafeString


@dataclass(frozen=True)
class Results:
    """A page of results.

    Attributes
    ----------
    all : iterable of rows
        The categories of the papers of all pages.
    count, pages, most : int
        The number of papers, of pages, and of papers on these pages if those are fewer.
    arxiv_id, doi : str
        Set if the query is nothing else.
    is_plain : bool
        Only titles of the newest papers were searched.
    has_no_terms : bool
        The query contains no term.
    is_name : bool
        No paper contains the query, but it is the name of an author.
    unknown_words : sequence of str
        Words of the query that no paper contains.
    suggestion : str
        The query with corrected spelling.
    ignored_operators : sequence of str
        AND, OR and NOT, which have no effect.
    """

    asked: str
    results: Sequence[Result] = ()
    count: int = 0
    page: int = 1
    pages: int = 1
    most: int = 0
    all: Iterable = ()
    arxiv_id: str = ""
    doi: str = ""
    is_plain: bool = False
    has_no_terms: bool = False
    is_name: bool = False
    unknown_words: Sequence[str] = ()
    suggestion: str = ""
    ignored_operators: Sequence[str] = ()


def find(
    asked: str,
    *,
    page: int = 1,
    size: int = PAGE,
    newest: bool = False,
    filters: Filters = NO_FILTERS,
) -> Results:
    """Return the results for a query, or a page of them.

    Runs at most six SQL queries with an index, one more for each line with quotes, and three more
    with filters.
    """
    asked = " ".join(asked.split())[:MAX_LENGTH]
    if not asked:
        return Results(asked)
    named = identifiers.paper_by_id(asked)
    arxiv_id = identifiers.arxiv_id(asked)
    doi = "" if arxiv_id else identifiers.doi(asked)
    if (arxiv_id or doi) and " " not in asked:
        found = [named] if named else []
        return Results(asked, _shown(found, asked), len(found), arxiv_id=arxiv_id, doi=doi)
    index, model = search.in_use()
    unknown, suggestion, is_name = [], "", False
    if index is None:
        newest_ids = Paper.objects.order_by("-day").values("pk")[:MAX_TITLES]
        found = Paper.objects.filter(pk__in=newest_ids, title__icontains=asked)
        ids = list(found.values_list("pk", flat=True)[: search.MAX_RESULTS])
        count = len(ids)
    else:
        passing = filters.passing if filters.hides_some else None
        ids, count, is_name = search.search(index, model, asked, newest=newest, passing=passing)
        if not (is_name or queried_authors(asked)):
            unknown = unknown_words(index.has_words, lines(asked))
            suggestion = search.suggestion(model, asked, unknown)
    if named:
        count += named.pk not in ids
        ids = list(dict.fromkeys([named.pk, *ids]))[: search.MAX_RESULTS]
    page_ids = ids[size * (page - 1) : size * page]
    rows = Paper.objects.order_by().in_bulk(page_ids)
    found = [rows[pk] for pk in page_ids if pk in rows]
    return Results(
        asked,
        _shown(found, asked),
        count,
        page,
        all=Paper.objects.filter(pk__in=ids).order_by().values_list("categories", named=True),
        pages=max(1, -(-len(ids) // size)),
        most=search.MAX_RESULTS if count > len(ids) == search.MAX_RESULTS else 0,
        is_plain=index is None,
        has_no_terms=not (index is None or queries(asked)),
        is_name=is_name,
        unknown_words=unknown,
        suggestion=suggestion,
        ignored_operators=operators(asked),
    )


# ---- What is shown


def _shown(found, asked) -> list[Result]:
    authors = queried_authors(asked)
    wanted = () if authors else queries(asked)
    terms = frozenset(term for query in wanted for term in query.terms)
    results = []
    for paper in found:
        title, byline = marked(paper.title, terms), _byline(paper.authors, authors or (asked,))
        results.append(Result(paper, title, byline, snippet(paper.abstract, terms)))
    return results


def _byline(authors, names):
    """Return some of the authors, with those of the query first in line."""
    words = set(name_words(" ".join(authors)))
    likely = [name for name in names if not words.isdisjoint(name_words(name))]
    is_match = [any(is_called(author, name) for name in likely) for author in authors]
    shown = list(range(len(authors)))
    if len(authors) > MAX_AUTHORS + 1:
        shown = sorted(sorted(shown, key=lambda n: not is_match[n])[:MAX_AUTHORS])
    parts = [
        f"<mark>{escape(authors[n])}</mark>" if is_match[n] else escape(authors[n]) for n in shown
    ]
    return mark_safe(", ".join(parts) + (" …" if len(parts) < len(authors) else ""))  # noqa: S308


def snippet(abstract: str, wanted: frozenset[str]) -> SafeString:
    """Return an abstract from the sentence on that contains the most of the terms."""
    words = _matches(abstract, wanted)
    starts = [0, *accumulate(map(len, sentences(abstract)))]
    found: dict[int, set[str]] = {}  # The terms of each sentence.
    for word in words:
        found.setdefault(bisect(starts, word.start()) - 1, set()).update(_terms(word[0]) & wanted)
    best = max(found, key=lambda n: (len(found[n]), -n), default=0)
    shown = shortened(abstract[starts[best] : starts[best] + 2 * SNIPPET_COLUMNS], SNIPPET_COLUMNS)
    return marked(f"… {shown}" if best else shown, wanted)


def marked(text: str, wanted: frozenset[str]) -> SafeString:
    """Return a text as HTML in which the words with one of the terms are marked."""
    parts, last = [], 0
    for word in _matches(text, wanted):
        parts.append(f"{escape(text[last : word.start()])}<mark>{escape(word[0])}</mark>")
        last = word.end()
    return mark_safe("".join([*parts, escape(text[last:])]))  # noqa: S308, all of it is escaped


def _matches(text, wanted):
    """Return the matches of words with one of the terms."""
    return [word for word in WORD.finditer(text) if not wanted.isdisjoint(_terms(word[0]))]


@lru_cache(100_000)
def _terms(word: str) -> frozenset[str]:
    return frozenset(text.terms(word))
