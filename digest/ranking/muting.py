"""What a muted interest shuts out. Mute wins over follow, and rather shuts out too much."""

import sys
from dataclasses import replace

import numpy as np

from digest.ranking.edition import Edition
from digest.ranking.meaning import meant
from digest.ranking.model import ABSENT, TfidfModel
from digest.ranking.profile import Interest
from digest.ranking.query import Query

#: Of a word that stands alone, what it begins is muted with it: "molecule" mutes "molecular". The
#: stem must be so long, so that "graph" leaves "graphene" alone.
STEM = 6


def muted(model: TfidfModel, edition: Edition, interest: Interest) -> np.ndarray:
    """Return which papers a muted interest shuts out, shape (n_papers,).

    They have all words of one part of its text, or one of its authors, and are in its categories.
    """
    cache = edition.cached("muted")
    key = interest.query, interest.categories, interest.authors
    shut = cache.get(key)
    if shut is None:
        shut = cache[key] = _muted(model, edition, interest)
    return shut


def _muted(model: TfidfModel, edition: Edition, interest: Interest) -> np.ndarray:
    within = np.zeros(len(edition), dtype=bool)
    within[list(edition.within(interest.categories))] = True
    if not (interest.query.strip() or interest.authors):
        return within
    shut = np.zeros(len(edition), dtype=bool)
    for name in interest.authors:
        shut[edition.by(name)] = True
    for query in meant(model, interest.query, limit=sys.maxsize):  # All of it: mute wins.
        shut |= _saying(model, edition, query)
    return shut & within if interest.categories else shut


def _saying(model: TfidfModel, edition: Edition, query: Query) -> np.ndarray:
    """Return which papers say all of the query."""
    saying = np.ones(len(edition), dtype=bool)
    is_alone = len(query.distinct) == 1
    for term, column in zip(query.distinct, model.columns(query.distinct), strict=True):
        columns = [] if column == ABSENT else [int(column)]
        if is_alone and len(term) >= STEM:
            columns = model.beginning_with(term)
        having = np.zeros(len(edition), dtype=bool)
        for one in columns:
            having[edition.having(one)] = True
        if column == ABSENT:  # Papers may be newer than the model, and say what it doesn't know.
            having |= edition.says([(term,)], np.arange(len(edition)))
        saying &= having
    if query.phrases:
        saying &= edition.says(query.phrases, np.flatnonzero(saying))
    if query.lone:  # Without the T, all cells would be muted.
        saying &= edition.says_as_written(
            replace(query, phrases=(), quotes=()), np.flatnonzero(saying)
        )
    return saying
