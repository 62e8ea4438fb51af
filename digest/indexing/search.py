"""What is found among all papers: by words, by an author, like a paper.

A few hundred papers that have the words are found in the index, and ranked by the model as it ranks
candidates. There is no cut: who searches for a word wants to see where it is said.
"""

import re
import time
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import chain

import numpy as np
from django.conf import settings

from digest.indexing import index_store, model_store
from digest.indexing.embeddings import encode_queries, vectors_of
from digest.indexing.index import Index, best, in_full
from digest.models import Paper
from digest.ranking import text
from digest.ranking.authors import asked_for, is_called
from digest.ranking.model import TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.query import FEW_TERMS, queries
from digest.ranking.relevance import vectors_of as vectors_of_queries

#: So many papers are read for quotes, and so many for authors; so many are ranked by the model, and
#: so many are shown.
READ, NAMED, MEASURED, RANKED = 1_000, 500, 40, 150
MAX_LINES = 12  # Of a search: each costs time.
TITLED = 10.0  # More than any score: who types a title wants that paper first.
#: So many papers like a paper, of so many that are looked at, where they are as much like it.
ALIKE, NEAR, LEAST_ALIKE = 8, 30, 0.2
FEW_WORDS, MISSPELT = 3, 0.78  # So many words are corrected by those that are so much like them.

_model: tuple[float, TfidfModel | None] = (0.0, None)  # Until when it is not asked for, and which.


def in_use() -> tuple[Index, TfidfModel] | tuple[None, None]:
    """Return what is searched with, or that there is nothing."""
    global _model
    index = index_store.current()
    try:
        if index is not None and time.monotonic() >= _model[0]:
            _model = time.monotonic() + index_store.NOTICED, model_store.in_use()
        return (None, None) if index is None else (index, _model[1])
    except model_store.NotFitted:
        return None, None


def search(
    index: Index, model: TfidfModel, asked: str, *, newest: bool = False
) -> tuple[list[str], int, bool]:
    """Return the ids of the papers that a text finds, how many there are in all, and whether it
    was the names of their authors alone that found them.

    Papers by an author with exactly this name come first. A part of a name may be a word, so its
    papers come last. A search for `author:` finds nothing else.
    """
    if authors := asked_for(asked):
        named = [_named(index, author, or_initials=True) for author in authors]
        ids = list(
            dict.fromkeys(chain(*(one for both in zip(*named, strict=True) for one in both)))
        )
        return ids[:RANKED], len(ids), False
    about, count = _about(index, model, asked, newest)
    whole, part = _named(index, asked)
    ids = list(dict.fromkeys([*whole, *about, *part]))
    return ids[:RANKED], len(ids) + count - len(about), bool(ids) and not count


def _about(index, model, asked, newest):
    """Return the papers that are about a text, the best or the newest first, and their number."""
    wanted = queries(asked, model.acronyms_, MAX_LINES)
    scores, is_short = np.zeros(len(index), np.float32), {}
    for query in wanted:
        unquoted = set(query.terms).difference(text.terms(" ".join(query.quotes)))
        # As the line was written, whatever its acronyms stand for.
        all_of_them = is_short.setdefault(query.text, len(unquoted) <= FEW_TERMS)
        papers, fit = index.matching(query.terms, all_of_them=all_of_them)
        if query.quotes:
            some = np.arange(len(papers))[-READ:] if newest else best(fit, READ)
            texts = map(text.folded, index_store.texts_of(index.ids_at(papers[some])))
            said = [all(quote.search(one) for quote in query.said) for one in texts]
            some = some[np.array(said, dtype=bool)]
            papers, fit = papers[some], fit[some]
        scores[papers] = np.maximum(scores[papers], fit)
    papers = np.flatnonzero(scores)
    if newest or not len(papers):
        return index.ids_at(papers[: -RANKED - 1 : -1]), len(papers)
    scores[index.titled(asked)] += TITLED
    shown = papers[best(scores[papers], RANKED)]
    shown = shown[np.lexsort((-shown, -scores[shown]))]
    ids = index.ids_at(shown)
    found = model.vectors(index.counts_of(ids[:MEASURED])[0])
    fit = found.similarity(vectors_of_queries(model, wanted))
    meanings = encode_queries([query.text for query in wanted]) @ vectors_of(ids[:MEASURED]).T
    fit += Parameters.of(settings.RANKING).semantic * meanings
    total = np.round(fit.max(axis=0), 5) + TITLED * (scores[shown[:MEASURED]] >= TITLED)
    order = np.lexsort((-shown[:MEASURED], -total))
    return [*(ids[place] for place in order), *ids[MEASURED:]], len(papers)


def suggestion(model: TfidfModel, asked: str, unknown: Sequence[str]) -> str:
    """Return a text with words that no paper has as they were probably meant, or nothing.

    Of several that are written much like a word, the commonest.
    """
    meant = asked
    for word in unknown[:FEW_WORDS]:
        weights = {
            known: weight
            for known, weight in zip(model.words_.tolist(), model.word_weights, strict=True)
            if known[0] == word[0].lower() and abs(len(known) - len(word)) < 3
        }
        if near := get_close_matches(word.lower(), weights, cutoff=MISSPELT):
            likely = min(near, key=weights.__getitem__)
            meant = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", likely, meant)
    return "" if meant == asked else meant


def by_author(index: Index, name: str) -> list[str]:
    """Return the ids of the papers by somebody who is called just so, the newest first."""
    return _named(index, name)[0]


def _named(index, name, *, or_initials=False):
    """Return the papers by somebody who is called so, and those where it is part of a name."""
    ids = index.ids_at(index.named(name, or_initials=or_initials)[: -NAMED - 1 : -1])
    words, whole, part = in_full(name), [], []
    for one, authors in zip(ids, index_store.authors_of(ids), strict=True):
        likely = [
            author for author in authors if any(word in text.folded(author) for word in words)
        ]
        called = [author for author in likely if is_called(author, name)]
        if called:
            is_whole = any(is_called(name, author) for author in called)
            (whole if is_whole else part).append(one)
    return whole, part


def like(paper: Paper) -> list[Paper]:
    """Return the papers that are most like one, by the ranking. Asks four queries at most."""
    index, model = in_use()
    place = -1 if index is None else index.place_of(paper.pk)
    if place < 0:
        return []
    ids = [paper.pk, *index.ids_at(index.like(place, NEAR))]
    vectors, meanings = model.vectors(index.counts_of(ids)[0]), vectors_of(ids)
    (scores,) = vectors[1:].similarity(vectors[:1])
    scores += Parameters.of(settings.RANKING).semantic * meanings[1:] @ meanings[0]
    order = np.argsort(-scores, kind="stable")[:ALIKE]
    ids = [ids[1 + place] for place in order if scores[place] >= LEAST_ALIKE]
    rows = Paper.objects.filter(pk__in=ids).values_list("pk", "title", "day", "upvotes")
    found = {pk: Paper(pk, title, day=day, upvotes=upvotes) for pk, title, day, upvotes in rows}
    return [found[one] for one in ids if one in found]
