"""All papers, as the ranking reads them: arrays that are written once and read where they lie.

A paper is kept as its terms in order (see tokens.py), so that it needs not be read again, whatever
model is fitted. A term is a column: the model's terms come first, then words that the model doesn't
know, then words of authors' names. Papers are in the order of their days, so that those of some
days are a slice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
from scipy import sparse

from digest.ranking.acronym_columns import Acronyms
from digest.ranking.edition import Edition, TextsOf
from digest.ranking.model import ABSENT, TfidfModel, unit_rows
from digest.ranking.tokens import ALONE, LINE, places_of

#: Of what the arrays consist and how texts are read: older ones are written anew, from the texts.
FORMAT = 1
#: What a term counts that a paper has so often, as the model counts it.
SUBLINEAR = np.array([0, *(1 + np.log(np.arange(1, 256)))], dtype=np.float32)


class Archive:
    """The papers and their terms.

    `days` (n_papers,) rises; `ids`, `upvotes`, `lengths` (of their vectors of words) are of the
    same shape; `latent` (n_papers, n_dimensions). `tokens` are the columns of each paper's terms in
    order, up to `token_ends`. `columns` and `counts` say which words each paper has, and how often,
    up to `paper_ends`; `papers` and `paper_counts`, which papers have each term, up to `term_ends`.
    `twins` (n_pairs, 2) are papers of the days from `twins_since` on
    that are alike, by their `likeness`.
    """

    def __init__(
        self,
        model: TfidfModel,
        arrays: Mapping[str, np.ndarray],
        texts_of: TextsOf | None = None,
    ) -> None:
        """Raises ValueError for arrays that can't be an archive of this model's.

        How words are written isn't in it: where something is quoted, `texts_of` is asked.
        """
        self.texts_of = texts_of
        try:
            self._take(model, arrays)
        except (TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError(f"no arrays of an archive: {error}") from error

    def _take(self, model: TfidfModel, arrays: Mapping[str, np.ndarray]) -> None:
        if int(arrays["format"][0]) != FORMAT:
            raise ValueError(f"an archive of format {arrays['format']}, where {FORMAT} is wanted")
        self.model, self.arrays = model, arrays
        self.ids, self.sorted_ids, self.by_id = (
            arrays[name] for name in ("ids", "sorted_ids", "by_id")
        )
        self.days, self.upvotes = arrays["days"], arrays["upvotes"]
        self.tokens, self.token_ends = arrays["tokens"], arrays["token_ends"]
        self.further, self.names = arrays["further"], arrays["names"]
        self.columns, self.counts = arrays["columns"], arrays["counts"]
        self.papers, self.paper_counts = arrays["papers"], arrays["paper_counts"]
        self.paper_ends, self.term_ends = arrays["paper_ends"], arrays["term_ends"]
        self.lengths, self.latent = arrays["lengths"], arrays["latent"]
        self.twins, self.likeness = arrays["twins"], arrays["likeness"]
        self.twins_since = int(arrays["twins_since"][0])
        self.n_terms = len(model.terms_)
        self.n_words = self.n_terms + len(self.further)
        n, width = len(self.days), self.n_words + len(self.names)
        fits = (
            len(self.ids) == len(self.by_id) == len(self.upvotes) == len(self.lengths) == n
            and self.latent.shape == (n, len(model.explained_))
            and _are_ends(self.token_ends, n, len(self.tokens))
            and _are_ends(self.paper_ends, n, len(self.columns))
            and _are_ends(self.term_ends, width, len(self.papers))
            and len(self.counts) == len(self.columns)
            and len(self.paper_counts) == len(self.papers)
            and self.twins.shape == (len(self.likeness), 2)
        )
        if not fits:
            raise ValueError("an archive whose parts don't fit each other or its model")

    def __len__(self) -> int:
        return len(self.days)

    # ---- Papers

    def place_of(self, identity: str) -> int:
        """Return the position of the paper with this id, ABSENT where there is none."""
        found = _find(self.sorted_ids, identity)
        return found if found == ABSENT else int(self.by_id[found])

    def ids_at(self, papers: Sequence[int] | np.ndarray) -> list[str]:
        """Return the ids of the papers at these positions."""
        return [identity.decode() for identity in self.ids[papers].tolist()]

    def of_days(self, first: int, last: int) -> slice:
        """Return where the papers of these days stand."""
        start, end = np.searchsorted(self.days, [first, last + 1]).tolist()
        return slice(start, end)

    def read(self, papers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of the papers one after the other, and where each one's end."""
        starts, sizes = self.spans(papers)
        return self.tokens[places_of(starts, sizes)], np.cumsum(sizes)

    def spans(self, papers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the tokens of each paper start, and how many they are."""
        starts = np.where(papers > 0, self.token_ends[papers - 1], 0)
        return starts, self.token_ends[papers] - starts

    def latent_of(self, papers: np.ndarray) -> np.ndarray:
        """Return the latent vectors of the papers, (n_papers, n_dimensions)."""
        return widened(self.latent[papers])

    def line_of(self, paper: int) -> str:
        """Return what a paper says, as an edition looks for phrases in it."""
        start = int(self.token_ends[paper - 1]) if paper else 0
        tokens = self.tokens[start : self.token_ends[paper]].tolist()
        said = said_in_full = ""
        first = 0
        for _ in ("title", "abstract"):
            last = tokens.index(LINE, first)
            alone = tokens.index(ALONE, first, last) if ALONE in tokens[first:last] else last
            terms = self._spelled(tokens[first:alone])
            in_full = self.model.in_full([*terms, *self._spelled(tokens[alone + 1 : last])])
            said += f" {' '.join(terms)} |"
            if len(in_full) > len(terms):
                said_in_full += f" {' '.join(in_full)} |"
            first = last + 1
        return said + said_in_full

    @cached_property
    def _terms(self) -> list[str]:
        return self.model.terms_.tolist()

    def _spelled(self, columns: list[int]) -> list[str]:
        terms, further, n_terms = self._terms, self.further, self.n_terms
        return [
            terms[column] if column < n_terms else further[column - n_terms].decode()
            for column in columns
        ]

    def words(self) -> Iterator[str]:
        """Yield the words in the order of their columns."""
        return chain(self.model.terms_.tolist(), map(bytes.decode, self.further.tolist()))

    def authors(self) -> Iterator[str]:
        """Yield the words of authors' names in the order of their columns."""
        return map(bytes.decode, self.names.tolist())

    # ---- Terms

    def columns_of(self, terms: Iterable[str]) -> np.ndarray:
        """Return the column of each term of a text, ABSENT where no paper has it."""
        columns = self.model.columns(terms := list(terms))
        for place in np.flatnonzero(columns == ABSENT):
            found = _find(self.further, terms[place])
            columns[place] = found if found == ABSENT else self.n_terms + found
        return columns

    def columns_of_names(self, words: Iterable[str]) -> np.ndarray:
        """Return the column of each word of an author's name, ABSENT where no author has it."""
        found = np.array([_find(self.names, word) for word in words], dtype=np.int64)
        return np.where(found == ABSENT, ABSENT, self.n_words + found)

    def having(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which papers have the term of this column, rising, and how often."""
        start = int(self.term_ends[column - 1]) if column else 0
        end = int(self.term_ends[column])
        return self.papers[start:end], self.paper_counts[start:end]

    @cached_property
    def weights(self) -> np.ndarray:
        """What words weigh, likewise."""
        return weights_of(self.model, len(self.further))

    @cached_property
    def idf(self) -> np.ndarray:
        """The idf of words, and at ABSENT that of a word that no paper has, (n_words + 1,)."""
        return idf_of(self.model, len(self.further))

    @cached_property
    def acronyms(self) -> Acronyms:
        return Acronyms(self.model)

    @cached_property
    def latent_row(self) -> np.ndarray:
        """Where the column of a word stands among the model's latent terms, or ABSENT."""
        rows = np.full(self.n_words + 1, ABSENT, dtype=np.int32)
        rows[self.model.latent_terms_] = np.arange(len(self.model.latent_terms_))
        return rows

    # ---- Editions

    def edition(self, first: int, last: int, today: int) -> Edition:
        """Return the papers of the days from `first` to `last`, as they are new on `today`.

        They are as if the model had read their texts.
        """
        which = self.of_days(first, last)
        papers = np.arange(which.start, which.stop)
        fields, categories = self._filed(papers)
        return Edition(
            self.ids_at(papers),
            unit_rows(self.vectors(papers)[:, : self.n_terms]),
            self.latent[which].astype(np.float32),
            (today - self.days[which]).astype(float),
            self.upvotes[which].astype(float),
            fields,
            categories,
            [],
            self.model,
            line_of=lambda paper: self.line_of(which.start + paper),
            texts_of=self.texts_of,
            twins=self._twins(which) if first >= self.twins_since else None,
        )

    def vectors(self, papers: np.ndarray) -> sparse.csr_matrix:
        """Return the papers as rows of unit length, (n_papers, n_words)."""
        columns, weights, starts = self.entries(papers)
        ends = np.append(starts, len(columns))
        return sparse.csr_matrix((weights, columns, ends), shape=(len(papers), self.n_words))

    def entries(self, papers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the columns and weights of the papers' vectors, and where each one's start."""
        starts = np.where(papers > 0, self.paper_ends[papers - 1], 0)
        sizes = self.paper_ends[papers] - starts
        places = places_of(starts, sizes)
        columns = self.columns[places]
        weights = SUBLINEAR[self.counts[places]] * self.weights[columns]
        weights /= np.repeat(self.lengths[papers], sizes)
        return columns, weights, np.cumsum(sizes) - sizes

    def cosines(self, papers: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return the products of the papers' vectors and one of words (n_words,), (n_papers,)."""
        columns, weights, starts = self.entries(papers)
        sums = np.concatenate([[0], np.cumsum(weights * words[columns], dtype=float)])
        return np.diff(sums[np.append(starts, len(columns))]).astype(np.float32)

    def _filed(self, papers: np.ndarray) -> tuple[list[str], list[tuple[str, ...]]]:
        """Return the field and the categories of each paper."""
        names = [name.decode() for name in self.arrays["shelves"].tolist()]
        ends = self.arrays["category_ends"]
        start = int(ends[papers[0] - 1]) if len(papers) and papers[0] else 0
        categories = self.arrays["categories"][start : ends[papers[-1]] if len(papers) else 0]
        places = [0, *(ends[papers] - start).tolist()]
        filed = [names[number] for number in categories.tolist()]
        fields = [names[number] for number in self.arrays["fields"][papers].tolist()]
        return fields, [tuple(filed[one:two]) for one, two in pairwise(places)]

    def _twins(self, which: slice) -> tuple[np.ndarray, np.ndarray]:
        inside = ((self.twins >= which.start) & (self.twins < which.stop)).all(axis=1)
        return self.twins[inside] - which.start, self.likeness[inside]


def idf_of(model: TfidfModel, n_further: int) -> np.ndarray:
    """Return the idf of words, and at ABSENT that of a word that no paper has.

    What the model doesn't know is as rare as can be.
    """
    rarest = np.log(1 + model.n_documents_) + 1
    return np.append(model.idf_, np.full(n_further + 1, rarest)).astype(np.float32)


def weights_of(model: TfidfModel, n_further: int) -> np.ndarray:
    """Return what words weigh, and at ABSENT a word that no paper has."""
    return (idf_of(model, n_further) ** model.idf_power).astype(np.float32)


def widened(halves: np.ndarray) -> np.ndarray:
    """Return finite numbers of 16 bits in 32, in a third of the time that numpy takes.

    Sign, exponent and fraction go where they belong; then the exponent counts from elsewhere.
    """
    bits = np.left_shift(halves.view(np.int16), 13, dtype=np.int32)
    bits &= ~0x70000000  # What the sign was drawn out to.
    return bits.view(np.float32) * np.float32(2.0**112)


def _find(words: np.ndarray, word: str) -> int:
    """Return where a word stands among those that are sorted, ABSENT where it is none of them."""
    encoded = word.encode(errors="replace")
    # Cut to their length, so that they needn't be copied to compare.
    place = int(np.searchsorted(words, np.array(encoded, dtype=words.dtype)))
    return place if place < len(words) and words[place] == encoded else ABSENT


def _are_ends(ends: np.ndarray, count: int, total: int) -> bool:
    """Return whether these say where `count` pieces of `total` end, one after the other."""
    rises = bool((np.diff(ends, prepend=0) >= 0).all())
    return len(ends) == count and rises and (ends[-1] if count else 0) == total
