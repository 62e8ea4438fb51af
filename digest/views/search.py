"""The search page: find papers, and mark the words by which they were found.

Without an index or model, only titles of the newest papers are searched, and the page says so.
"""

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape  # As Django's, which looks for lazy texts first: pages have hundreds.
from itertools import accumulate

from django.utils.safestring import SafeString, mark_safe

from digest.indexing import search
from digest.indexing.vocabulary import unknown_words
from digest.interests.operators import operators
from digest.models import Paper
from digest.papers import identifiers
from digest.papers.summary import sentences
from digest.ranking import text
from digest.ranking.authors import is_called, name_words, queried_authors
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
    papers : iterable
        The papers of all pages, with only their categories.
    count, page_count, limit : int
        The number of papers, of pages, and of papers on these pages if those are fewer.
    arxiv_id, doi : str
        Set if the query is nothing else.
    is_title_search : bool
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

    query: str
    results: Sequence[Result] = ()
    count: int = 0
    page: int = 1
    page_count: int = 1
    limit: int = 0
    papers: Iterable = ()
    arxiv_id: str = ""
    doi: str = ""
    is_title_search: bool = False
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
        return Results(query, _make_results(papers, query), len(papers), arxiv_id=arxiv_id, doi=doi)
    index, model = search.in_use()
    unknown, suggestion, is_name = [], "", False
    if index is None:
        newest_ids = Paper.objects.order_by("-day").values("pk")[:MAX_TITLES]
        papers = Paper.objects.filter(pk__in=newest_ids, title__icontains=query)
        ids = list(papers.values_list("pk", flat=True)[: search.MAX_RESULTS])
        count = len(ids)
    else:
        passing_ids = filters.passing_ids if filters.hides_papers else None
        ids, count, is_name = search.search(index, model, query, newest=newest, passing=passing_ids)
        if not (is_name or queried_authors(query)):
            unknown = unknown_words(index.has_words, lines(query))
            suggestion = search.suggestion(model, query, unknown)
    if exact_match:
        count += exact_match.pk not in ids
        ids = list(dict.fromkeys([exact_match.pk, *ids]))[: search.MAX_RESULTS]
    page_ids = ids[size * (page - 1) : size * page]
    papers_by_id = Paper.objects.order_by().in_bulk(page_ids)
    papers = [papers_by_id[pk] for pk in page_ids if pk in papers_by_id]
    return Results(
        query,
        _make_results(papers, query),
        count,
        page,
        papers=Paper.objects.filter(pk__in=ids).order_by().values_list("categories", named=True),
        page_count=max(1, -(-len(ids) // size)),
        limit=search.MAX_RESULTS if count > len(ids) == search.MAX_RESULTS else 0,
        is_title_search=index is None,
        has_no_terms=not (index is None or queries(query)),
        is_name=is_name,
        unknown_words=unknown,
        suggestion=suggestion,
        ignored_operators=operators(query),
    )


# ---- What is shown


def _make_results(papers, query) -> list[Result]:
    authors = queried_authors(query)
    parsed_queries = () if authors else queries(query)
    terms = frozenset(term for query in parsed_queries for term in query.terms)
    results = []
    for paper in papers:
        title, byline = mark_terms(paper.title, terms), _byline(paper.authors, authors or (query,))
        results.append(Result(paper, title, byline, snippet(paper.abstract, terms)))
    return results


def _byline(authors, queried_names):
    """Return some of the authors in order, preferably those that the query names."""
    words = set(name_words(" ".join(authors)))
    possible_names = [name for name in queried_names if not words.isdisjoint(name_words(name))]
    is_match = [any(is_called(author, name) for name in possible_names) for author in authors]
    indices = list(range(len(authors)))
    if len(authors) > MAX_AUTHORS + 1:
        indices = sorted(sorted(indices, key=lambda n: not is_match[n])[:MAX_AUTHORS])
    names = [
        f"<mark>{escape(authors[n])}</mark>" if is_match[n] else escape(authors[n]) for n in indices
    ]
    return mark_safe(", ".join(names) + (" …" if len(names) < len(authors) else ""))  # noqa: S308


def snippet(abstract: str, terms: frozenset[str]) -> SafeString:
    """Return the abstract from the sentence that contains most of the terms."""
    starts = [0, *accumulate(map(len, sentences(abstract)))]
    terms_at = defaultdict(set)  # The terms of each sentence.
    for match in _find_terms(abstract, terms):
        terms_at[bisect(starts, match.start()) - 1] |= _word_terms(match[0]) & terms
    best_index = max(terms_at, key=lambda index: (len(terms_at[index]), -index), default=0)
    excerpt = shortened(abstract[starts[best_index] :][: 2 * SNIPPET_COLUMNS], SNIPPET_COLUMNS)
    return mark_terms(f"… {excerpt}" if best_index else excerpt, terms)


def mark_terms(text: str, terms: frozenset[str]) -> SafeString:
    """Return a text as HTML in which the words with one of the terms are marked."""
    parts, end = [], 0
    for match in _find_terms(text, terms):
        parts.append(f"{escape(text[end : match.start()])}<mark>{escape(match[0])}</mark>")
        end = match.end()
    return mark_safe("".join([*parts, escape(text[end:])]))  # noqa: S308, all of it is escaped


def _find_terms(text, terms):
    """Return the matches of words with one of the terms."""
    return [match for match in WORD.finditer(text) if not terms.isdisjoint(_word_terms(match[0]))]


@lru_cache(100_000)
def _word_terms(word: str) -> frozenset[str]:
    return frozenset(text.terms(word))
