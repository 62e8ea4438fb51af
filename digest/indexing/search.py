"""Search all papers: by words, by an author, or by similarity to a paper.

The index finds a few hundred papers with the words, and the model ranks them like candidates. There
is no cut: a search lists all papers with the words.
"""

import re
import time
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from itertools import chain

import numpy as np

from digest.indexing import index_store, model_store
from digest.indexing.embeddings import encode_queries, vectors_of
from digest.indexing.index import Index, best
from digest.models import Paper
from digest.ranking import text
from digest.ranking.authors import full_words, is_called, queried_authors
from digest.ranking.model import TfidfModel
from digest.ranking.query import FEW_TERMS, queries
from digest.ranking.relevance import vectors_of as vectors_of_queries

#: How many papers are read for quotes, read for authors, ranked by the model, and listed.
READ_BATCH, MAX_NAMED, MAX_SCORED, MAX_RESULTS = 1_000, 500, 40, 150
MAX_LINES = 12  # Of a search. Each takes time.
EMBEDDING_WEIGHT = 1.5  # The weight of the cosine of embeddings, beside the similarity of words.
TITLE_BONUS = 10.0  # More than any score: a paper with this title comes first.
#: How many similar papers are listed, of how many that are scored, with which least score.
MAX_SIMILAR, SIMILAR_POOL, MIN_SIMILARITY = 8, 30, 0.2
#: How many words are corrected, among how many known words that are so similar (difflib).
MAX_CORRECTED, SPELLING_CUTOFF = 3, 0.78

type Filter = Callable[[Sequence[str]], Collection[str]]

#: The model, and until when (monotonic time) it is used without a query.
_model: tuple[float, TfidfModel | None] = (0.0, None)


def in_use() -> tuple[Index, TfidfModel] | tuple[None, None]:
    """Return the index and the model in use, or None for both."""
    global _model
    index = index_store.current()
    try:
        if index is not None and time.monotonic() >= _model[0]:
            _model = time.monotonic() + index_store.CHECK_SECONDS, model_store.in_use()
        return (None, None) if index is None else (index, _model[1])
    except model_store.NotFitted:
        return None, None


def search(
    index: Index,
    model: TfidfModel,
    phrase: str,
    *,
    newest: bool = False,
    passing: Filter | None = None,
) -> tuple[list[str], int, bool]:
    """Return the ids of the papers for a text, their total number, and whether only the names of
    authors matched.

    `passing` returns which of the papers pass a filter. Of papers with the words, it gets the best
    or newest READ_BATCH.

    Papers by an author with exactly this name come first, papers where it is a part of a name come
    last. A search for `author:` finds nothing else.
    """
    if authors := queried_authors(phrase):
        author_ids = [_search_name(index, author, or_initials=True) for author in authors]
        ids = _passed(dict.fromkeys(chain(*chain(*zip(*author_ids, strict=True)))), passing)
        return ids[:MAX_RESULTS], len(ids), False
    word_ids, count = _search_words(index, model, phrase, newest, passing)
    full_name_ids, part_name_ids = (_passed(ids, passing) for ids in _search_name(index, phrase))
    ids = list(dict.fromkeys([*full_name_ids, *word_ids, *part_name_ids]))
    return ids[:MAX_RESULTS], len(ids) + count - len(word_ids), bool(ids) and not count


def _passed(ids, passing):
    """Return the ids that pass the filter, in order."""
    ids = list(ids)
    if passing is None or not ids:
        return ids
    passed = passing(ids)
    return [paper_id for paper_id in ids if paper_id in passed]


def _search_words(index, model, phrase, newest, passing):
    """Return the papers with the words of a text, best or newest first, and their number."""
    lines = queries(phrase, MAX_LINES)
    scores, is_short_by_text = np.zeros(len(index), np.float32), {}
    for query in lines:
        unquoted = set(query.terms).difference(text.terms(" ".join(query.quotes)))
        is_short = is_short_by_text.setdefault(query.text, len(unquoted) <= FEW_TERMS)
        papers, cosines = index.matching(query.terms, all_of_them=is_short)
        if query.quotes:
            batch = np.arange(len(papers))[-READ_BATCH:] if newest else best(cosines, READ_BATCH)
            texts = map(text.folded, index_store.texts_of(index.ids_at(papers[batch])))
            has_all = [all(quote.search(body) for quote in query.quote_patterns) for body in texts]
            batch = batch[np.array(has_all, dtype=bool)]
            papers, cosines = papers[batch], cosines[batch]
        scores[papers] = np.maximum(scores[papers], cosines)
    papers = np.flatnonzero(scores)
    if passing and len(papers):
        batch = np.arange(len(papers))[-READ_BATCH:] if newest else best(scores[papers], READ_BATCH)
        papers = np.sort(papers[batch])
        ids = index.ids_at(papers)
        passed = passing(ids)
        papers = papers[[paper_id in passed for paper_id in ids]]
    if newest or not len(papers):
        return index.ids_at(papers[: -MAX_RESULTS - 1 : -1]), len(papers)
    scores[index.titled(phrase)] += TITLE_BONUS
    top = papers[best(scores[papers], MAX_RESULTS)]
    top = top[np.lexsort((-top, -scores[top]))]
    ids = index.ids_at(top)
    vectors = model.vectors(index.counts_of(ids[:MAX_SCORED])[0])
    similarity = vectors.similarity(vectors_of_queries(model, lines))
    cosines = encode_queries([query.text for query in lines]) @ vectors_of(ids[:MAX_SCORED]).T
    similarity += EMBEDDING_WEIGHT * cosines
    has_title = scores[top[:MAX_SCORED]] >= TITLE_BONUS
    total = np.round(similarity.max(axis=0), 5) + TITLE_BONUS * has_title
    order = np.lexsort((-top[:MAX_SCORED], -total))
    return [*(ids[place] for place in order), *ids[MAX_SCORED:]], len(papers)


def suggestion(model: TfidfModel, phrase: str, unknown: Sequence[str]) -> str:
    """Return a text with the spelling of unknown words corrected, or an empty string.

    Each unknown word is replaced by the word with the most similar spelling.
    """
    corrected = phrase
    for word in unknown[:MAX_CORRECTED]:
        candidates = [
            candidate
            for candidate in model.words_.tolist()
            if candidate[0] == word[0].lower() and abs(len(candidate) - len(word)) < 3
        ]
        for likeliest in get_close_matches(word.lower(), candidates, 1, SPELLING_CUTOFF):
            corrected = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", likeliest, corrected)
    return "" if corrected == phrase else corrected


def _search_name(index, name, *, or_initials=False):
    """Return the papers by authors with this name, and those where it is a part of a name."""
    ids = index.ids_at(index.named(name, or_initials=or_initials)[: -MAX_NAMED - 1 : -1])
    words, full_name_ids, part_name_ids = full_words(name), [], []
    for paper_id, authors in zip(ids, index_store.authors_of(ids), strict=True):
        likely = [a for a in authors if any(word in text.folded(a) for word in words)]
        namesakes = [author for author in likely if is_called(author, name)]
        if namesakes:
            is_full_name = any(is_called(name, author) for author in namesakes)
            (full_name_ids if is_full_name else part_name_ids).append(paper_id)
    return full_name_ids, part_name_ids


def similar(paper: Paper) -> list[Paper]:
    """Return the papers that are most similar to one. Runs four queries at most."""
    index, model = in_use()
    place = -1 if index is None else index.place_of(paper.pk)
    if place < 0:
        return []
    ids = [paper.pk, *index.ids_at(index.similar(place, SIMILAR_POOL))]
    vectors, embeddings = model.vectors(index.counts_of(ids)[0]), vectors_of(ids)
    (scores,) = vectors[1:].similarity(vectors[:1])
    scores += EMBEDDING_WEIGHT * embeddings[1:] @ embeddings[0]
    order = np.argsort(-scores, kind="stable")[:MAX_SIMILAR]
    ids = [ids[1 + place] for place in order if scores[place] >= MIN_SIMILARITY]
    rows = Paper.objects.filter(pk__in=ids).values_list("pk", "title", "day", "upvotes")
    papers = {pk: Paper(pk, title, day=day, upvotes=upvotes) for pk, title, day, upvotes in rows}
    return [papers[paper_id] for paper_id in ids if paper_id in papers]
