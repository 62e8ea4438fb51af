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
    query: str,
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
    query = " ".join(query.split())[:MAX_LENGTH]
    if not query:
        return Results(query)
    exact_match = identifiers.paper_by_id(query)
    arxiv_id = identifiers.find_arxiv_id(query)
    doi = "" if arxiv_id else identifiers.find_doi(query)
    if (arxiv_id or doi) and " " not in query:
        papers = [exact_match] if exact_match else []
        return Results(query, _results(papers, query), len(papers), arxiv_id=arxiv_id, doi=doi)
    index, model = search.in_use()
    unknown, suggestion, is_name = [], "", False
    if index is None:
        newest_ids = Paper.objects.order_by("-day").values("pk")[:MAX_TITLES]
        papers = Paper.objects.filter(pk__in=newest_ids, title__icontains=query)
        ids = list(papers.values_list("pk", flat=True)[: search.MAX_RESULTS])
        count = len(ids)
    else:
        passing = filters.passing if filters.hides_some else None
        ids, count, is_name = search.search(index, model, query, newest=newest, passing=passing)
        if not (is_name or queried_authors(query)):
            unknown = unknown_words(index.has_words, lines(query))
            suggestion = search.suggestion(model, query, unknown)
    if exact_match:
        count += exact_match.pk not in ids
        ids = list(dict.fromkeys([exact_match.pk, *ids]))[: search.MAX_RESULTS]
    page_ids = ids[size * (page - 1) : size * page]
    rows = Paper.objects.order_by().in_bulk(page_ids)
    papers = [rows[pk] for pk in page_ids if pk in rows]
    return Results(
        query,
        _results(papers, query),
        count,
        page,
        all=Paper.objects.filter(pk__in=ids).order_by().values_list("categories", named=True),
        pages=max(1, -(-len(ids) // size)),
        most=search.MAX_RESULTS if count > len(ids) == search.MAX_RESULTS else 0,
        is_plain=index is None,
        has_no_terms=not (index is None or queries(query)),
        is_name=is_name,
        unknown_words=unknown,
        suggestion=suggestion,
        ignored_operators=operators(query),
    )


# ---- What is shown


def _results(papers, query) -> list[Result]:
    authors = queried_authors(query)
    parsed = () if authors else queries(query)
    terms = frozenset(term for query in parsed for term in query.terms)
    results = []
    for paper in papers:
        title, byline = marked(paper.title, terms), _byline(paper.authors, authors or (query,))
        results.append(Result(paper, title, byline, snippet(paper.abstract, terms)))
    return results


def _byline(authors, names):
    """Return some of the authors, with those of the query first in line."""
    words = set(name_words(" ".join(authors)))
    likely = [name for name in names if not words.isdisjoint(name_words(name))]
    is_match = [any(is_called(author, name) for name in likely) for author in authors]
    indices = list(range(len(authors)))
    if len(authors) > MAX_AUTHORS + 1:
        indices = sorted(sorted(indices, key=lambda n: not is_match[n])[:MAX_AUTHORS])
    parts = [
        f"<mark>{escape(authors[n])}</mark>" if is_match[n] else escape(authors[n]) for n in indices
    ]
    return mark_safe(", ".join(parts) + (" …" if len(parts) < len(authors) else ""))  # noqa: S308


def snippet(abstract: str, terms: frozenset[str]) -> SafeString:
    """Return an abstract from the sentence on that contains the most of the terms."""
    words = _matches(abstract, terms)
    starts = [0, *accumulate(map(len, sentences(abstract)))]
    matches: dict[int, set[str]] = {}  # The terms of each sentence.
    for word in words:
        matches.setdefault(bisect(starts, word.start()) - 1, set()).update(_terms(word[0]) & terms)
    best = max(matches, key=lambda n: (len(matches[n]), -n), default=0)
    quote = shortened(abstract[starts[best] : starts[best] + 2 * SNIPPET_COLUMNS], SNIPPET_COLUMNS)
    return marked(f"… {quote}" if best else quote, terms)


def marked(text: str, terms: frozenset[str]) -> SafeString:
    """Return a text as HTML in which the words with one of the terms are marked."""
    parts, end = [], 0
    for word in _matches(text, terms):
        parts.append(f"{escape(text[end : word.start()])}<mark>{escape(word[0])}</mark>")
        end = word.end()
    return mark_safe("".join([*parts, escape(text[end:])]))  # noqa: S308, all of it is escaped


def _matches(text, terms):
    """Return the matches of words with one of the terms."""
    return [word for word in WORD.finditer(text) if not terms.isdisjoint(_terms(word[0]))]


@lru_cache(100_000)
def _terms(word: str) -> frozenset[str]:
    return frozenset(text.terms(word))
