"""The archive is written: papers become arrays. What an older one has read is not read again."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.acronym_columns import Acronyms
from digest.ranking.archive import FORMAT, Archive, weights_of
from digest.ranking.corpus import BLOCK, Corpus
from digest.ranking.edition import LEAST_LIKENESS, alike, unit
from digest.ranking.model import TfidfModel, unit_rows, weighted
from digest.ranking.tokens import (
    ALONE,
    LINE,
    MOST_AUTHORS,
    NAMES,
    counted,
    name_words,
    places_of,
    sizes_of,
    starts_of,
)

#: Of the papers of so many last days, it is found out beforehand which are alike, since editions
#: are made of them.
TWIN_DAYS = 16
MOST_COUNTED = 255
NO_TOKENS = np.zeros(0, np.int32)
type Arrays = dict[str, np.ndarray]

NO_TWINS: Arrays = {
    "twins": np.zeros((0, 2), np.int32),
    "likeness": np.zeros(0, np.float32),
    "twins_since": np.zeros(1, np.int64),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a paper beside its texts. The day is its number in the calendar."""

    id: str
    day: int
    upvotes: int = 0
    field: str = ""
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Texts:
    """What a paper says, and who wrote it."""

    id: str
    title: str
    abstract: str
    authors: Sequence[str] = ()


def arrays_of(
    model: TfidfModel,
    facts: Iterable[Facts],
    read: Callable[[list[str]], Iterable[Texts]],
    before: Archive | None = None,
    changed: frozenset[str] = frozenset(),
    corpus: Corpus | None = None,
) -> Arrays:
    """Return the arrays of an archive of these papers.

    `read` is asked for the texts of those that `before` doesn't have, or that have `changed` since.
    Papers of which it returns none are left out. Texts that are in the `corpus` are read already.
    """
    in_order = sorted(facts, key=lambda one: (one.day, one.id))
    pool = _Pool(_Reader(model))
    if before is not None:
        pool.take_over(before, changed)
    missing = [one.id for one in in_order if one.id not in pool.pieces]
    pool.add(read(missing), Corpus() if corpus is None else corpus)
    kept = [one for one in in_order if one.id in pool.pieces]
    arrays: Arrays = _of_facts(kept)
    arrays |= _of_terms(model, pool, [one.id for one in kept])
    return arrays | _twins(Archive(model, {**arrays, **NO_TWINS}))


class _Reader:
    """Reads papers into tokens, and numbers the words that it meets: those of the model first."""

    def __init__(self, model: TfidfModel) -> None:
        self.words = {str(term): column for column, term in enumerate(model.terms_)}
        self.names: dict[str, int] = {}

    def texts(self, paper: Texts) -> list[int]:
        """Return the tokens of what a paper says."""
        return [*self._line(paper.title), *self._line(paper.abstract)]

    def _line(self, line: str) -> Iterator[int]:
        said, alone = text.reading(line)
        yield from map(self.word, text.stems(said))
        if alone:
            yield ALONE
            yield from map(self.word, text.stems(alone))
        yield LINE

    def authors(self, paper: Texts) -> list[int]:
        """Return the tokens of the names of a paper's authors."""
        tokens = []
        for author in paper.authors[:MOST_AUTHORS]:
            tokens += [*map(self.name, name_words(author)), LINE]
        return tokens

    def word(self, term: str) -> int:
        """Return the column of a term, a new one where it has none."""
        return self.words.setdefault(term, len(self.words))

    def name(self, word: str) -> int:
        """Return the column of a word of an author's name, a new one where it has none."""
        return self.names.setdefault(word, NAMES + len(self.names))


class _ReadBefore:
    """What the corpus has read, as the tokens of a reader."""

    def __init__(self, corpus: Corpus, reader: _Reader) -> None:
        self._corpus = corpus
        self._tokens, self._ends = array("i"), [0]
        for tokens, ends in corpus.in_terms(reader.word):
            self._ends += (ends + len(self._tokens)).tolist()
            self._tokens.frombytes(tokens.tobytes())

    def texts(self, paper: Texts) -> array | None:
        """Return the tokens of what a paper says, None where the corpus hasn't read just this."""
        place = self._corpus.place_of(paper.title, paper.abstract)
        return None if place is None else self._tokens[self._ends[place] : self._ends[place + 1]]


class _Pool:
    """The tokens of papers in any order, by columns of the reader's, and where each one's are."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.pieces: dict[str, tuple[int, int]] = {}
        self._parts = [NO_TOKENS]
        self._size = 0

    def take_over(self, before: Archive, changed: frozenset[str]) -> None:
        """Take over what an older archive has read, but for papers that have changed."""
        words = [self.reader.word(word) for word in before.words()]
        names = [self.reader.name(name) for name in before.authors()]
        marks = [ALONE, LINE]  # From the end, these are -2 and -1.
        renumbered = np.array([*words, *names, *marks], dtype=np.int32)
        for first in range(0, len(before), BLOCK):
            papers = np.arange(first, min(first + BLOCK, len(before)))
            if changed:
                is_kept = [identity not in changed for identity in before.ids_at(papers)]
                papers = papers[np.array(is_kept)]
            tokens, ends = before.read(papers)
            self._append(before.ids_at(papers), renumbered[tokens], ends)

    def add(self, papers: Iterable[Texts], corpus: Corpus) -> None:
        """Read papers, but for the texts that the corpus has read."""
        before = _ReadBefore(corpus, self.reader)
        tokens, ends, ids = array("i"), [], []
        for paper in papers:
            tokens.extend(before.texts(paper) or self.reader.texts(paper))
            tokens.extend(self.reader.authors(paper))
            ends.append(len(tokens))
            ids.append(paper.id)
        self._append(ids, np.frombuffer(tokens, dtype=np.int32), np.array(ends, dtype=np.int64))

    def _append(self, ids: Sequence[str], tokens: np.ndarray, ends: np.ndarray) -> None:
        starts, sizes = starts_of(ends) + self._size, sizes_of(ends)
        self.pieces |= zip(ids, zip(starts.tolist(), sizes.tolist(), strict=True), strict=True)
        self._parts.append(tokens)
        self._size += len(tokens)

    def blocks(self, ids: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the tokens of these papers in this order, BLOCK at a time, with their ends."""
        self._parts = [pool := np.concatenate(self._parts)]
        for first in range(0, len(ids), BLOCK):
            pieces = np.array([self.pieces[one] for one in ids[first : first + BLOCK]])
            yield pool[places_of(pieces[:, 0], pieces[:, 1])], np.cumsum(pieces[:, 1])


def _of_facts(facts: Sequence[Facts]) -> Arrays:
    ids = np.array([one.id.encode() for one in facts], dtype=bytes)
    names = sorted({one.field for one in facts} | {c for one in facts for c in one.categories})
    number = {name: place for place, name in enumerate(names)}
    return {
        "format": np.array([FORMAT]),
        "ids": ids,
        "sorted_ids": np.sort(ids),
        "by_id": np.argsort(ids, kind="stable").astype(np.int32),
        "days": np.array([one.day for one in facts], dtype=np.int32),
        "upvotes": np.array([one.upvotes for one in facts], dtype=np.int32),
        "shelves": np.array([name.encode() for name in names], dtype=bytes),
        "fields": np.array([number[one.field] for one in facts], dtype=np.int32),
        "categories": np.array([number[c] for one in facts for c in one.categories], np.int32),
        "category_ends": np.cumsum([len(one.categories) for one in facts], dtype=np.int64),
    }


def _of_terms(model: TfidfModel, pool: _Pool, ids: Sequence[str]) -> Arrays:
    further, names = _vocabulary(model, pool, ids)
    number = _Renumbering(model, pool.reader, further, names)
    count = _Counting(model, len(further), number.width)
    for tokens, ends in pool.blocks(ids):
        count.add(number(tokens), ends)
    return {"further": further, "names": names, **count.arrays()}


def _vocabulary(
    model: TfidfModel, pool: _Pool, ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the words that the model doesn't know and the names that these papers have, sorted."""
    words, names = np.zeros(len(pool.reader.words), bool), np.zeros(len(pool.reader.names), bool)
    for tokens, _ in pool.blocks(ids):
        words[tokens[(tokens >= 0) & (tokens < NAMES)]] = True
        names[tokens[tokens >= NAMES] - NAMES] = True
    words[: len(model.terms_)] = False
    return _sorted(pool.reader.words, words), _sorted(pool.reader.names, names)


def _sorted(numbered: dict[str, int], used: np.ndarray) -> np.ndarray:
    kept = [word.encode() for word, is_used in zip(numbered, used.tolist(), strict=True) if is_used]
    return np.array(sorted(kept), dtype=bytes)


class _Renumbering:
    """The reader's columns become those of the archive: words sorted, then names, sorted."""

    def __init__(
        self, model: TfidfModel, reader: _Reader, further: np.ndarray, names: np.ndarray
    ) -> None:
        n_terms = len(model.terms_)
        self.width = n_terms + len(further) + len(names)
        place = {word.decode(): n_terms + n for n, word in enumerate(further.tolist())}
        unknown = list(reader.words)[n_terms:]
        self._words = np.array([*range(n_terms), *(place.get(word, 0) for word in unknown)])
        place = {name.decode(): n for n, name in enumerate(names.tolist())}
        first = n_terms + len(further)
        self._names = np.array([first + place.get(name, 0) for name in reader.names], np.int64)

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        told = tokens.copy()
        is_word, is_name = (tokens >= 0) & (tokens < NAMES), tokens >= NAMES
        told[is_word] = self._words[tokens[is_word]]
        told[is_name] = self._names[tokens[is_name] - NAMES]
        return told


class _Counting:
    """What the papers say, gathered block by block, and turned round at the end."""

    def __init__(self, model: TfidfModel, n_further: int, width: int) -> None:
        self.model, self.width, self.n_words = model, width, len(model.terms_) + n_further
        self.acronyms, self.weights = Acronyms(model), weights_of(model, n_further)
        self.tokens: list[np.ndarray] = []
        self.sizes: list[np.ndarray] = []
        self.counts: list[sparse.csr_matrix] = []
        self.lengths: list[np.ndarray] = []
        self.latent: list[np.ndarray] = []
        self.add(NO_TOKENS, np.zeros(0, np.int64))

    def add(self, tokens: np.ndarray, ends: np.ndarray) -> None:
        counts = self.acronyms.told(counted(tokens, ends, self.width))
        vectors = weighted(counts[:, : self.n_words], self.weights)
        lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
        latent = self.model.latent(unit_rows(vectors[:, : len(self.model.terms_)]))
        counts.data = np.minimum(counts.data, MOST_COUNTED).astype(np.uint8)
        self.tokens.append(tokens.astype(np.int32, copy=False))
        self.sizes.append(sizes_of(ends))
        self.counts.append(counts)
        self.lengths.append(np.maximum(lengths, 1e-9).astype(np.float32))
        self.latent.append(latent.astype(np.float16))

    def arrays(self) -> Arrays:
        """Return the arrays. What was gathered is let go, piece by piece: it is as large again."""
        arrays = {
            "tokens": _joined(self.tokens),
            "token_ends": np.cumsum(_joined(self.sizes), dtype=np.int64),
            "lengths": _joined(self.lengths),
            "latent": _joined(self.latent),
        }
        by_paper = sparse.vstack(self.counts, format="csr")
        self.counts.clear()
        by_term, words = by_paper.tocsc(), by_paper[:, : self.n_words]
        return arrays | {
            "columns": words.indices.astype(np.int32, copy=False),
            "counts": words.data,
            "paper_ends": words.indptr[1:].astype(np.int64),
            "papers": by_term.indices.astype(np.int32, copy=False),
            "paper_counts": by_term.data,
            "term_ends": by_term.indptr[1:].astype(np.int64),
        }


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    joined = np.concatenate(parts)
    parts.clear()
    return joined


def _twins(archive: Archive) -> Arrays:
    """Return which of the last days' papers are alike."""
    since = int(archive.days[-1]) - TWIN_DAYS + 1 if len(archive) else 0
    which = archive.of_days(since, since + TWIN_DAYS)
    papers = np.arange(which.start, which.stop)
    vectors = unit_rows(archive.vectors(papers)[:, : archive.n_terms])
    directions = unit(archive.latent[which].astype(np.float32))
    found = [(NO_TWINS["twins"], NO_TWINS["likeness"])]
    for pairs, cosines in alike(vectors, directions, np.arange(len(papers))):
        are_twins = cosines >= LEAST_LIKENESS
        found.append((pairs[are_twins], cosines[are_twins]))
    return {
        "twins": (np.concatenate([pairs for pairs, _ in found]) + which.start).astype(np.int32),
        "likeness": np.concatenate([cosines for _, cosines in found]).astype(np.float32),
        "twins_since": np.array([since]),
    }
