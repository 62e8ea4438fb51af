"""What a visitor searches for among all papers: by words, by an author, by an id.

Where there is no archive that can be used, titles of the newest papers are looked through, and the
page says so.
"""

import re
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape  # As Django's, which looks for lazy texts first: pages have hundreds.
from itertools import chain

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe

from digest import archive, explanations
from digest.models import Paper
from digest.ranking import text
from digest.ranking.archive import Archive
from digest.ranking.authors import asked_for
from digest.ranking.explaining import words_unheard
from digest.ranking.query import operators, queries
from digest.ranking.searching import MAX_NAME, RANKED, by_author, search, similar
from digest.ranking.tokens import name_words
from digest.ranking.tuning import Tuning
from subscriptions.plaintext import SENTENCE_END, shortened

LONGEST = 300  # Characters of a search that are looked at.
PAGE = 10
TITLES = 10_000  # Of the newest papers: anyone may ask, and to look through all takes long.
NAMES = 4  # Authors of a result that are named.
SNIPPET = 320  # Columns.
WORD = re.compile(rf"[^\W_]+(?:{text.HYPHEN}[^\W_]+)*")
BEYOND_ASCII = re.compile(r"[^\W\x00-\x7f]|[\u2010\u2011]")  # Of words.
ALIKE = 8  # So many papers like a paper,
LEAST_ALIKE = 0.12  # where they are as much like it as this.


@dataclass(frozen=True)
class Result:
    """A paper that was found: what is shown of it, with the words that it was found by marked."""

    paper: Paper
    title: SafeString
    byline: SafeString
    snippet: SafeString


@dataclass(frozen=True)
class Results:
    """A page of results. `count` is how many there are in all, `pages` how many can be shown, and
    `most` of how many papers, where those are fewer.

    `arxiv_id` or `doi` is set where nothing else was asked for. `is_plain`: only titles of the
    newest were looked through. `is_wordless`: the text has no term by which papers are found.
    `is_name`: no paper says it, and some are by an author who is called so.
    `unheard`: its words that no paper says. `unobeyed`: AND, OR and NOT, where it has them as if
    they were obeyed.
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
    unobeyed: Sequence[str] = ()


def find(asked: str, *, page: int = 1, newest: bool = False) -> Results:
    """Return what is found for a text. Asks three queries at most, where there is an archive, and
    one more for each part that has quotes.
    """
    asked = " ".join(asked.split())[:LONGEST]
    if not asked:
        return Results(asked)
    named = explanations.paper_by_id(asked)
    arxiv_id = explanations.arxiv_id(asked)
    doi = "" if arxiv_id else explanations.doi(asked)
    if (arxiv_id or doi) and " " not in asked:  # Alone, or an address: there are no words in it.
        found = [named] if named else []
        return Results(asked, _shown(found, asked, None), len(found), arxiv_id=arxiv_id, doi=doi)
    papers = archive.current()
    if papers is None:
        newest_ids = Paper.objects.order_by("-day").values("pk")[:TITLES]
        found = Paper.objects.filter(pk__in=newest_ids, title__icontains=asked)
        ids = list(found.values_list("pk", flat=True)[:RANKED])
        count, is_name = len(ids), False
    else:
        ids, count, is_name = _by_words(papers, asked, newest)
    if named:
        count += named.pk not in ids
        ids = list(dict.fromkeys([named.pk, *ids]))[:RANKED]
    pages = max(1, -(-len(ids) // PAGE))
    some = ids[PAGE * (page - 1) : PAGE * page]
    rows = Paper.objects.order_by().in_bulk(some)
    found = [rows[one] for one in some if one in rows]
    shown, most = _shown(found, asked, papers), RANKED if count > len(ids) == RANKED else 0
    is_plain = papers is None
    is_wordless = not (is_plain or queries(asked))
    told = {"is_plain": is_plain, "is_wordless": is_wordless, "is_name": is_name}
    is_of_authors = is_name or asked_for(asked)
    unheard = [] if is_plain or is_of_authors else words_unheard(papers.columns_of, asked)
    told |= {"unheard": unheard, "unobeyed": operators(asked)}
    return Results(asked, shown, count, page, pages, most, **told)


def _by_words(papers: Archive, asked: str, newest: bool) -> tuple[list[str], int, bool]:
    """Return the ids of the papers that a text finds, how many there are in all, and whether it
    was the names of their authors alone that found them.

    Who names an author whole wants her papers first; part of a name may be a word. Who asks for
    authors wants nothing else.
    """
    if authors := asked_for(asked):
        # So many words of a longer name tell whose it is.
        names = [" ".join(name_words(author)[:MAX_NAME]) for author in authors]
        named = [by_author(papers, name) for name in names]
        places = dict.fromkeys(one for found in zip(*named, strict=True) for one in chain(*found))
        return papers.ids_at(list(places)[:RANKED]), len(places), False
    hits = search(papers, asked, Tuning.of(settings.RANKING), newest=newest)
    whole, part = by_author(papers, asked)
    places = dict.fromkeys([*whole.tolist(), *hits.papers.tolist(), *part.tolist()])
    ids = papers.ids_at(list(places)[:RANKED])
    return ids, len(places) + hits.count - len(hits), bool(places) and not hits.count


def like(paper: Paper) -> list[Paper]:
    """Return the papers that are most like one, by the ranking. Asks two queries at most."""
    papers = archive.current()
    place = -1 if papers is None else papers.place_of(paper.pk)
    if place < 0:
        return []
    hits = similar(papers, place, ALIKE, Tuning.of(settings.RANKING))
    ids = papers.ids_at(hits.papers[hits.scores >= LEAST_ALIKE])
    rows = Paper.objects.filter(pk__in=ids).values_list("pk", "title", "day", "upvotes")
    found = {pk: Paper(pk, title, day=day, upvotes=upvotes) for pk, title, day, upvotes in rows}
    return [found[one] for one in ids if one in found]


# ---- What is shown


def _shown(found, asked, papers) -> list[Result]:
    authors = asked_for(asked)
    wanted = frozenset() if authors else _terms_of(asked, papers)
    names = [frozenset(name_words(one)) for one in authors or (asked,)]
    return [
        Result(one, marked(one.title, wanted), _byline(one, names), snippet(one.abstract, wanted))
        for one in found
    ]


def _terms_of(asked, papers) -> frozenset[str]:
    """Return the terms that were asked for, and the acronyms that stand for several of them.

    Of "k-means" not "mean", which others write after a letter: most means are no k-means.
    """
    first = {query.part: query for query in reversed(queries(asked))}
    wanted = [one for one in queries(asked) if one is first[one.part] or not one.lone]
    terms = {term for query in wanted for term in query.terms}
    acronyms = papers.model.acronyms_ if papers else {}
    return frozenset(
        terms | {acronym for acronym, long in acronyms.items() if terms.issuperset(long)}
    )


def _byline(paper, names):
    """Return some authors, those who were asked for among them."""
    authors = paper.authors
    said = frozenset(name_words(" ".join(authors)))
    likely = [one for one in names if one and one <= said]
    is_meant = [any(one.issubset(name_words(author)) for one in likely) for author in authors]
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
    starts = [0, *(found.end() for found in SENTENCE_END.finditer(abstract))]
    said: dict[int, set[str]] = {}
    for word in words:
        said.setdefault(bisect(starts, word.start()) - 1, set()).update(_terms(word[0]) & wanted)
    best = max(said, key=lambda n: (len(said[n]), -n), default=0)
    start = len(abstract[: starts[best]].rstrip())
    shown = shortened(abstract[start : start + 2 * SNIPPET], SNIPPET)
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
