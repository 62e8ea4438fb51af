"""What is found in the archive: papers about a text, by an author, like a paper.

As the ranking finds: a text has parts, a paper is about it where it has the terms of one of them,
and its score is the cosine of the words, the cosine in the latent space, and both again for the
words of the best papers. There is no floor: who searches for a word wants to see where it is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digest.ranking import text
from digest.ranking.archive import SUBLINEAR, Archive
from digest.ranking.edition import cosines_of
from digest.ranking.meaning import meant
from digest.ranking.model import ABSENT
from digest.ranking.query import SHORT, Query
from digest.ranking.quoting import says
from digest.ranking.relevance import BEST, COVERAGE, ENOUGH, LACKING, LONG, TOGETHER
from digest.ranking.tokens import TEXTS, lines, name_words, say
from digest.ranking.tuning import Tuning

MAX_PARTS = 12  # Of a search: each costs time.
MAX_TERMS = 24  # Of a part, its rarest.
MAX_NAME = 5  # Words of an author's name.
#: So many papers are read word after word for phrases, so many are measured in the latent space,
#: and so many by all that the ranking knows: as many as are shown.
READ, MEASURED, RANKED = 1_000, 500, 150
#: By so many of a paper's heaviest terms, others like it are looked for; so many are looked at.
TELLING, NEAR = 25, 60


@dataclass(frozen=True)
class Hits:
    """Positions of papers, best first, their scores in [0, 1], and how many there are in all."""

    papers: np.ndarray
    scores: np.ndarray
    count: int

    def __len__(self) -> int:
        return len(self.papers)


NO_HITS = Hits(np.zeros(0, np.int64), np.zeros(0), 0)


def search(archive: Archive, asked: str, tuning: Tuning, *, newest: bool = False) -> Hits:
    """Return the papers that are about the text, the best of them, or the newest."""
    parts = [
        _about(archive, query, tuning, newest) for query in meant(archive.model, asked, MAX_PARTS)
    ]
    papers = np.concatenate([NO_HITS.papers, *(part.papers for part in parts)])
    papers, of_part = np.unique(papers, return_inverse=True)
    scores = np.zeros(len(papers))
    np.maximum.at(scores, of_part, np.concatenate([NO_HITS.scores, *(p.scores for p in parts)]))
    count = max([len(papers), *(part.count for part in parts)])
    if newest:
        return Hits(papers[: -RANKED - 1 : -1], scores[: -RANKED - 1 : -1], count)
    order = np.lexsort((-papers, -scores, ~_are_called(archive, papers, asked)))[:RANKED]
    return Hits(papers[order], scores[order], count)


def _are_called(archive: Archive, papers: np.ndarray, asked: str) -> np.ndarray:
    """Return which of the papers have this text for their title."""
    columns = archive.columns_of(text.stems(text.words(asked, of_query=True))).tolist()
    starts, sizes = archive.spans(papers)
    called = (sizes > len(columns)) & bool(columns)
    for place, column in enumerate(columns):
        called[called] = archive.tokens[starts[called] + place] == column
    called[called] = archive.tokens[starts[called] + len(columns)] < 0  # The line ends there.
    return called


def _about(archive: Archive, query: Query, tuning: Tuning, newest: bool) -> Hits:
    """Return the papers that are about one part of a search."""
    asked = _Asked(archive, query)
    papers, lacking = asked.candidates()
    scores = asked.words(papers)
    if query.is_sentence:  # Most have too few of its words: those that have most are measured.
        best = np.sort(_best(scores, MEASURED))
        papers, lacking, scores = papers[best], lacking[best], scores[best]
    if query.is_literal:
        best = _best(scores, READ)
        best = best[asked.says(papers[best], query.phrases)]
        best = best[asked.says_as_written(papers[best])]
        papers, lacking, scores = papers[best], lacking[best], scores[best]
    count = len(papers)
    best = np.arange(count)[-MEASURED:] if newest else _best(scores, MEASURED)
    papers, lacking = papers[best], lacking[best]
    scores = asked.with_latent(papers, scores[best], tuning)
    enough = scores >= LACKING * lacking
    papers, scores, count = papers[enough], scores[enough], count - int((~enough).sum())
    if not newest:
        best = _best(scores, RANKED)
        papers, scores = papers[best], asked.ranked(papers[best], scores[best], tuning)
    return Hits(papers, scores, count)


class _Asked:
    """A query as the archive reads it: columns, and the weights of a vector of unit length."""

    def __init__(self, archive: Archive, query: Query) -> None:
        self.archive, self.query = archive, query
        self._counted: dict[int, np.ndarray] = {}
        columns = archive.columns_of(query.distinct)
        rarest = np.argsort(-archive.idf[columns], kind="stable")[:MAX_TERMS]
        self.columns = columns[rarest]
        self.idf = archive.idf[self.columns]
        often = [query.terms.count(query.distinct[place]) for place in rarest]
        known = self.columns != ABSENT
        weights = SUBLINEAR[np.minimum(often, 255)] * archive.weights[self.columns] * known
        self.weights = weights / max(float(np.linalg.norm(weights)), 1e-9)

    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the papers that have enough of the terms, rising, and the share that they lack.

        See relevance.coverage, which says the same of an edition.
        """
        if len(self.columns) <= SHORT:
            papers = self._having_all()
            return papers, np.zeros(len(papers))
        covered = np.zeros(len(self.archive), dtype=np.float32)
        for column, idf in zip(self.columns.tolist(), self.idf.tolist(), strict=True):
            if column != ABSENT:
                covered[self.archive.having(column)[0]] += idf
        whole, most = self.idf.sum() - 1e-3, self.idf[:LONG].sum()
        papers = np.flatnonzero(covered >= min(COVERAGE * most / len(self.columns), whole))
        lacking = np.clip(1 - covered[papers] / most, 0, 1)
        return papers, np.where(covered[papers] >= whole, 0, lacking)

    def _having_all(self) -> np.ndarray:
        """Return the papers that have all of the terms, rising. The rarest come first."""
        if (self.columns == ABSENT).any():
            return NO_HITS.papers
        first, *others = self.columns.tolist()
        papers = self.archive.having(first)[0].astype(np.int64)
        for other in others:
            papers = papers[self._often(other)[papers] > 0]
        return papers

    def _often(self, column: int) -> np.ndarray:
        """Return how often each paper of the archive has the term of this column."""
        if column not in self._counted:
            having, counts = self.archive.having(column)
            often = np.zeros(len(self.archive), dtype=np.uint8)
            often[having] = counts
            self._counted[column] = often
        return self._counted[column]

    def words(self, papers: np.ndarray) -> np.ndarray:
        """Return the cosines of the words with those of the papers."""
        scores = np.zeros(len(papers), dtype=np.float32)
        for column, weight in zip(self.columns.tolist(), self.weights.tolist(), strict=True):
            if column != ABSENT:
                often = SUBLINEAR[self._often(column)[papers]]
                scores += often * (weight * float(self.archive.weights[column]))
        return scores / self.archive.lengths[papers]

    def says(self, papers: np.ndarray, phrases: Sequence[Sequence[str]]) -> np.ndarray:
        """Return which of the papers say all phrases, in these words or by their acronyms."""
        tokens, ends = self.archive.read(papers)
        says = np.ones(len(papers), dtype=bool)
        for phrase in phrases:
            said = np.zeros(len(papers), dtype=bool)
            columns = self.archive.columns_of(phrase).tolist()
            for variant in self.archive.acronyms.variants(columns):
                said |= say(tokens, ends, variant)
            says &= said
        return says

    def says_as_written(self, papers: np.ndarray) -> np.ndarray:
        """Return which of the papers say what is literal, its phrases aside."""
        if not (self.query.quotes or self.query.lone):
            return np.ones(len(papers), dtype=bool)
        if self.archive.texts_of is None:
            raise ValueError("an archive without texts can't say how words are written")
        texts = self.archive.texts_of(self.archive.ids_at(papers))
        found = [says(self.archive.model, said, self.query) for said in texts]
        return np.array(found, dtype=bool)

    def with_latent(self, papers: np.ndarray, words: np.ndarray, tuning: Tuning) -> np.ndarray:
        """Return the scores of the papers by their words and in the latent space."""
        return _both(words, self.archive, papers, self.columns, self.weights, tuning)

    def ranked(self, papers: np.ndarray, scores: np.ndarray, tuning: Tuning) -> np.ndarray:
        """Return the scores with the words of the best papers, and for words side by side."""
        if tuning.expansion and len(self.archive) >= ENOUGH and len(papers):
            best = _best(scores, BEST)
            words = self._words_of(papers[best], scores[best] ** 2)
            columns = np.flatnonzero(words)
            cosines = self.archive.cosines(papers, words)
            further = _both(cosines, self.archive, papers, columns, words[columns], tuning)
            share = tuning.expansion * scores.max()
            scores = (scores + share * further) / (1 + share)
        if self.query.is_short:
            together = self.says(papers, [self.query.terms])
            scores = np.where(together, 1 - (1 - scores) ** TOGETHER, scores)
        return np.round(scores, 5)

    def _words_of(self, papers: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return a vector of the words of these papers together, (n_words,)."""
        columns, weights, starts = self.archive.entries(papers)
        sizes = np.diff(starts, append=len(columns))
        words = np.zeros(self.archive.n_words, dtype=np.float32)
        np.add.at(words, columns, weights * np.repeat(shares, sizes))
        return words / max(float(np.linalg.norm(words)), 1e-9)


def _both(
    cosines: np.ndarray,
    archive: Archive,
    papers: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    tuning: Tuning,
) -> np.ndarray:
    """Return cosines of words with those of the latent space, as relevance.similarity does."""
    if not archive.latent.shape[1]:
        return np.clip(cosines, 0, 1)
    rows = archive.latent_row[columns]
    place = weights[rows != ABSENT] @ archive.model.components_[rows[rows != ABSENT]]
    near = cosines_of(archive.latent_of(papers), place)
    return np.clip((cosines + tuning.latent * near) / (1 + tuning.latent), 0, 1)


def _best(scores: np.ndarray, limit: int) -> np.ndarray:
    """Return where the highest scores are, in no order.

    Of many, the best of every eighth say below what none of the best of all can be.
    """
    if len(scores) <= limit:
        return np.arange(len(scores))
    some = scores[::8]
    if len(some) <= limit:
        return np.argpartition(-scores, limit - 1)[:limit]
    least = some[np.argpartition(-some, limit - 1)[limit - 1]]
    among = np.flatnonzero(scores >= least)
    return among[np.argpartition(-scores[among], limit - 1)[:limit]]


# ---- By an author


def by_author(archive: Archive, asked: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the papers of whom the text names, newest first: by the whole name, and by a part."""
    words = list(dict.fromkeys(name_words(asked)))
    columns = archive.columns_of_names(words[: MAX_NAME + 1])
    nobody = NO_HITS.papers, NO_HITS.papers
    if not 0 < len(columns) <= MAX_NAME or (columns == ABSENT).any():
        return nobody
    named = np.zeros(len(archive), dtype=np.uint8)
    for column in columns.tolist():
        named[archive.having(column)[0]] += 1
    papers = np.flatnonzero(named == len(columns))[: -READ - 1 : -1]
    tokens, ends = archive.read(papers)
    of_paper = np.repeat(np.arange(len(papers)), np.diff(ends, prepend=0))
    line = lines(tokens, ends)
    is_name = (line >= TEXTS) & (tokens >= 0)
    number = of_paper * (1 << 20) + line
    authors, of_author = np.unique(number[is_name], return_inverse=True)
    said = np.bincount(of_author, np.isin(tokens[is_name], columns), len(authors))
    is_meant = said >= len(columns)
    is_whole = is_meant & (np.bincount(of_author, minlength=len(authors)) == len(columns))
    whole = np.unique(authors[is_whole] >> 20)
    part = np.setdiff1d(authors[is_meant] >> 20, whole)
    return papers[whole], papers[part]


# ---- Like a paper


def similar(archive: Archive, paper: int, limit: int, tuning: Tuning) -> Hits:
    """Return the papers that are most like the one at this position."""
    columns, weights, _ = archive.entries(np.array([paper]))
    scores = np.zeros(len(archive), dtype=np.float32)
    for place in np.argsort(-weights, kind="stable")[:TELLING].tolist():
        having, counts = archive.having(int(columns[place]))
        weight = weights[place] * archive.weights[columns[place]]
        np.add.at(scores, having, (SUBLINEAR * weight)[counts])
    scores /= archive.lengths
    scores[paper] = 0
    near = _best(scores, NEAR)
    near = near[scores[near] > 0]
    words = np.zeros(archive.n_words, dtype=np.float32)
    words[columns] = weights
    both = _both(archive.cosines(near, words), archive, near, columns, weights, tuning)
    order = np.lexsort((-near, -both))[:limit]
    return Hits(near[order], both[order], len(near))
