"""Which papers go into whose digest: all readers of a shard at once.

What is found for a topic is the same for all who follow it. What is a reader's own (her weights,
what she has had, what she mutes, what she taught) is laid over the candidates of many readers as
arrays: only reading the profiles and writing the choices is done reader by reader.

Candidates are sorted by packing what they are sorted by into one integer each, with the candidate's
own number in the lowest bits, so that a sorted integer still says whose it was.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import batched

import numpy as np

from digest.ranking.authors import asked_for
from digest.ranking.edition import Edition
from digest.ranking.explaining import words_behind_query, words_behind_weights
from digest.ranking.finding import NO_QUERY, NOTHING, Found, find, trending
from digest.ranking.learning import learned_scores, vectors_of
from digest.ranking.meaning import meant
from digest.ranking.model import TfidfModel
from digest.ranking.muting import muted
from digest.ranking.profile import NAME, Interest, Profile
from digest.ranking.tuning import Tuning

DEFAULT = Tuning()
READERS = 2_000  # So many at a time, which is below 2 ** 11.
CANDIDATES = 2_000_000  # So many candidates at a time, about: they must stay below 2 ** 22.
NUMBER, PAPER, SOURCE = 22, 24, 24  # Bits of each in a packed integer.
STEPS = 10_000  # Scores that differ by less are the same: sums of floats depend on their order.
MAX_INTERESTS = 200  # Of one reader: the form takes fewer, and what lies beyond is not looked at.
WORDS_CACHED = 500_000  # Reasons, of a topic and a paper each.
SPARE = 10  # So many more papers of a topic are looked at than twice a digest: some are folded.

PRIOR = 2  # So many papers of which she has no opinion are added to those of a topic.

#: Where a candidate comes from: one of these, or an interest.
TREND, OWN, FIRST_INTEREST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Choice:
    """One paper for one reader. `basis` is topic, learned, trend or new.

    `relatives` are the positions of further papers on the same idea, for which it stands.
    """

    paper: int
    score: float
    basis: str
    topic: str = ""
    terms: tuple[str, ...] = ()
    relatives: tuple[int, ...] = ()


@dataclass(frozen=True)
class Candidates:
    """Papers that may go into digests, as arrays of one length.

    `reader` is her place among those asked for, `source` where the paper comes from, and `query`
    which of the source's queries found it.
    """

    reader: np.ndarray
    paper: np.ndarray
    score: np.ndarray
    source: np.ndarray
    query: np.ndarray

    def __len__(self) -> int:
        return len(self.reader)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.reader, self.paper, self.score, self.source, self.query))

    def __getitem__(self, which: np.ndarray) -> "Candidates":
        return Candidates(*(column[which] for column in self))

    def plus(self, other: "Candidates") -> "Candidates":
        return Candidates(*map(np.concatenate, zip(self, other, strict=True)))


def choose(
    model: TfidfModel,
    edition: Edition,
    profiles: Sequence[Profile],
    seen: Sequence[Collection[int]],
    tuning: Tuning = DEFAULT,
) -> list[list[Choice]]:
    """Return each reader's papers, best first.

    `seen` holds, for each reader, the positions of the papers that she must not get again. What
    one reader gets doesn't depend on who else is asked for.
    """
    chosen: list[list[Choice]] = []
    for block in batched(zip(profiles, seen, strict=True), READERS):
        readers, hidden = zip(*block, strict=True)
        for ranking in Ranking(model, edition, readers, hidden, tuning).split():
            chosen += ranking.choices()
    return chosen


def matches(
    model: TfidfModel,
    edition: Edition,
    interest: Interest,
    limit: int,
    tuning: Tuning = DEFAULT,
) -> list[Choice]:
    """Return the papers that match one interest, best first: what its followers would see."""
    profile = Profile(follows=(interest,), size=limit)
    return choose(model, edition, [profile], [()], tuning)[0]


class Ranking:
    """The candidates of some readers, best first, and the digests that are made of them."""

    def __init__(
        self,
        model: TfidfModel,
        edition: Edition,
        profiles: Sequence[Profile],
        seen: Sequence[Collection[int]],
        tuning: Tuning,
    ) -> None:
        self.model, self.edition, self.tuning = model, edition, tuning
        self.profiles, self.seen = profiles, seen
        self._find()
        self._learn()

    def split(self) -> Iterator["Ranking"]:
        """Yield this ranking, or some of fewer readers where there are too many candidates."""
        readers = np.repeat(np.arange(len(self.profiles)), self._sources_each)
        per_reader = np.bincount(readers, self._counts, minlength=len(self.profiles))
        per_reader[self._owners] += (self._own_scores >= self._own_floors[:, None]).sum(axis=1)
        part = (np.cumsum(per_reader) // CANDIDATES).astype(int)
        if part[-1] == part[0]:
            yield self
            return
        for number in np.unique(part):
            which = np.flatnonzero(part == number).tolist()
            profiles, seen = [self.profiles[n] for n in which], [self.seen[n] for n in which]
            yield Ranking(self.model, self.edition, profiles, seen, self.tuning)

    def choices(self) -> list[list[Choice]]:
        """Return each reader's papers, best first."""
        candidates = self.candidates()
        leaders, relatives = folded(candidates, self.edition, self.tuning)
        picked = self.in_turns(candidates, leaders)
        own_words = self._own_words(candidates, picked)
        chosen: list[list[Choice]] = [[] for _ in self.profiles]
        for number, reader, paper, score, source, query in zip(
            picked.tolist(), *(column.tolist() for column in candidates[picked]), strict=True
        ):
            basis, topic, terms = self._reason(paper, source, query)
            chosen[reader].append(
                Choice(
                    paper,
                    score,
                    basis,
                    topic,
                    own_words.get(number, terms),
                    relatives.get(number, ()),
                )
            )
        return chosen

    # ---- What there is

    def _find(self) -> None:
        """Find what the readers' interests find; number these, and note who has which."""
        number: dict[Interest, int] = {}
        sources: list[int] = []
        each: list[int] = []
        for profile in self.profiles:
            mine = [
                number.setdefault(interest, len(number) + FIRST_INTEREST)
                for interest in profile.follows[:MAX_INTERESTS]
            ]
            sources += mine or [OWN if profile.is_known else TREND]
            each.append(len(mine) or 1)
        self.interests = list(number)
        found = find(self.model, self.edition, self.interests, self.tuning)
        self.found = [trending(self.edition), NOTHING, *found]
        self._weights = np.array([1.0, 1.0, *(interest.weight for interest in self.interests)])
        self._least = np.array([one.least for one in self.found])
        self._sources, self._sources_each = np.array(sources), np.array(each)
        # Of a topic, so many are enough for a digest: unless much is muted, or ranked by her own.
        limits = [
            len(self.edition)
            if profile.mutes or profile.learned
            else 2 * profile.size + SPARE + len(hidden) + len(self.edition.withdrawn)
            for profile, hidden in zip(self.profiles, self.seen, strict=True)
        ]
        sizes = np.array([len(one) for one in self.found])
        alike = np.array([self._alike(one) for one in self.found])
        enough = np.repeat(limits, self._sources_each) + alike[self._sources]
        self._counts = np.minimum(sizes[self._sources], enough)

    def _alike(self, found: Found) -> int:
        """Return how many of the papers are folded into others of them."""
        groups = self.edition.groups(self.tuning.duplicate)[found.papers]
        return len(groups) - len(np.unique(groups))

    def _learn(self) -> None:
        """Score all papers by the readers' own models."""
        learned = [(n, one.learned) for n, one in enumerate(self.profiles) if one.learned]
        self._row_of = np.full(len(self.profiles), -1)
        self._row_of[[n for n, _ in learned]] = np.arange(len(learned))
        models = [one for _, one in learned]
        self._own_vectors = vectors_of(self.model, models)
        self._own_floors = np.array([one.floor for one in models])
        liked = np.array([one.liked for one in models])
        self._own_scores = learned_scores(self.model, self.edition, self._own_vectors, liked)
        self._owners = np.array([n for n, _ in learned], dtype=np.int64)

    # ---- Candidates

    def candidates(self) -> Candidates:
        """Return the papers that may be chosen: reader after reader, each one's best first."""
        gathered = self._gathered().plus(self._liked())
        return self._merged(gathered[~self._is_hidden(gathered)])

    def _gathered(self) -> Candidates:
        """Return what the interests find, each reader's weights applied."""
        starts = np.cumsum([0, *(len(one) for one in self.found[:-1])])[self._sources]
        within = np.arange(self._counts.sum()) - np.repeat(
            np.cumsum(self._counts) - self._counts, self._counts
        )
        place = np.repeat(starts, self._counts) + within
        scores = np.concatenate([one.scores for one in self.found])[place]
        found_by = np.concatenate([one.queries for one in self.found])[place]
        source = np.repeat(self._sources, self._counts)
        weights = np.where(found_by == NO_QUERY, 1.0, self._weights[source])
        return Candidates(
            np.repeat(np.repeat(np.arange(len(self.profiles)), self._sources_each), self._counts),
            np.concatenate([one.papers for one in self.found])[place],
            weighted(scores, weights),
            source,
            found_by,
        )

    def _liked(self) -> Candidates:
        """Return what readers' own models find. The scores are added when all is merged."""
        rows, papers = np.nonzero(self._own_scores >= self._own_floors[:, None])
        return Candidates(
            self._owners[rows],
            papers,
            np.zeros(len(rows)),
            np.full(len(rows), OWN),
            np.full(len(rows), NO_QUERY),
        )

    def _is_hidden(self, candidates: Candidates) -> np.ndarray:
        """Return which candidates their readers must not get: had already, muted or withdrawn."""
        pairs = [(n << PAPER) + p for n, hidden in enumerate(self.seen) for p in hidden]
        hidden = self.edition.is_withdrawn[candidates.paper]
        if pairs:
            hidden |= np.isin((candidates.reader << PAPER) + candidates.paper, pairs)
        number: dict[tuple[Interest, ...], int] = {(): 0}
        of_reader = np.array([number.setdefault(p.mutes, len(number)) for p in self.profiles])
        masks = np.array([self._muted(mutes) for mutes in number])
        return hidden | masks[of_reader[candidates.reader], candidates.paper]

    def _muted(self, mutes: Sequence[Interest]) -> np.ndarray:
        shut = np.zeros(len(self.edition), dtype=bool)
        for interest in mutes:
            shut |= muted(self.model, self.edition, interest)
        return shut

    def _merged(self, candidates: Candidates) -> Candidates:
        """Return one candidate for each reader and paper, with all that speaks for it, best first.

        The best source is its reason; others add a share.
        """
        if not len(candidates):
            return candidates
        pair = (candidates.reader << PAPER) + self.edition.rank[candidates.paper]
        numbers, starts = grouped(pair)
        scores = candidates.score[numbers]
        best = np.maximum.reduceat(scores, starts)
        further = np.add.reduceat(scores, starts) - best
        group = np.repeat(np.arange(len(starts)), np.diff([*starts, len(numbers)]))
        is_best = np.flatnonzero(scores == best[group])
        first = is_best[np.flatnonzero(np.diff(group[is_best], prepend=-1))]
        merged = candidates[numbers[first]]
        total = self._total(merged, best + self.tuning.further * further)
        least = weighted(self._least, self._weights)[merged.source]
        merged = replace(merged, score=np.clip(total, 0, 1))[total >= least]
        steps = STEPS - np.rint(merged.score * STEPS).astype(np.int64)
        order, _ = grouped(merged.reader * (STEPS + 1) + steps)
        return merged[order]

    def _total(self, merged: Candidates, topics: np.ndarray) -> np.ndarray:
        """Return the scores with what the reader taught and what trends."""
        rows = self._row_of[merged.reader]
        own = np.zeros(len(merged))
        taught = np.flatnonzero(rows >= 0)
        own[taught] = self._own_scores[rows[taught], merged.paper[taught]]
        own[taught] = within_topics(merged[taught], own[taught])
        total = np.where(merged.source == OWN, own, topics + self.tuning.learned * own)
        ahead = np.where(merged.source == TREND, 0, self.edition.trends[merged.paper])
        return total * (1 + self.tuning.trend * ahead)

    # ---- The choice

    def in_turns(self, candidates: Candidates, leaders: np.ndarray) -> np.ndarray:
        """Return the numbers of the chosen candidates, reader after reader, best first.

        The sources take turns, the better paper first in each turn, so that one topic with many
        papers or with rarer words doesn't crowd out the others. A topic of weight 2 has two papers
        in a turn.
        """
        if not len(leaders):
            return leaders
        readers, sources = candidates.reader[leaders], candidates.source[leaders]
        order, starts = grouped((readers << SOURCE) + sources)
        turns = np.empty(len(leaders))
        turns[order] = np.ceil((places(starts, len(order)) + 1) / self._weights[sources[order]])
        order, starts = grouped((readers << SOURCE) + turns.astype(np.int64))
        by_reader = grouped(readers[order])[1]
        sizes = np.array([profile.size for profile in self.profiles])
        taken = order[places(by_reader, len(order)) < sizes[readers[order]]]
        return np.sort(leaders[taken])

    def _reason(self, paper: int, source: int, query: int) -> tuple[str, str, tuple[str, ...]]:
        """Return the basis, the topic and the words for which a paper is there."""
        if source == OWN:
            return "learned", "", ()
        if source == TREND:
            return "trend" if self.edition.trends[paper] else "new", "", ()
        interest = self.interests[source - FIRST_INTEREST]
        if query == NO_QUERY:
            return "topic", interest.name, ()
        if interest.authors:
            # Of several in her own words, the others don't explain why a paper is there.
            name = interest.authors[query]
            is_own = bool(asked_for(interest.name))
            called = f"author: {name}"[:NAME] if is_own else interest.name
            return "topic", called, () if is_own else (name,)
        cache = self.edition.cached("words", limit=WORDS_CACHED)
        key = interest.query, query, paper
        said = cache.get(key)
        if said is None:
            parts = meant(self.model, interest.query)
            words = words_behind_query(self.model, self.edition, parts[query], paper)
            is_list = len({one.part for one in parts}) > 1
            said = cache[key] = parts[query].part[:NAME] if is_list else "", words
        part, words = said
        # Of a list in her own words, the other parts don't explain why a paper is there.
        return "topic", part if part and interest.is_own_words else interest.name, words

    def _own_words(self, candidates: Candidates, picked: np.ndarray) -> dict[int, tuple[str, ...]]:
        """Return the words behind the papers that are there on account of what readers taught."""
        own = picked[candidates.source[picked] == OWN]
        rows = self._own_vectors[self._row_of[candidates.reader[own]]]
        words = words_behind_weights(self.model, self.edition, rows, candidates.paper[own])
        return dict(zip(own.tolist(), words, strict=True))


def folded(
    candidates: Candidates, edition: Edition, tuning: Tuning
) -> tuple[np.ndarray, dict[int, tuple[int, ...]]]:
    """Return the numbers of the candidates that stand for an idea, and the papers on the same one.

    The best candidate leads; what else has its idea is listed by the leader's number.
    """
    idea = (candidates.reader << PAPER) + edition.groups(tuning.duplicate)[candidates.paper]
    numbers, starts = grouped(idea)
    leaders = numbers[starts]
    sizes = np.diff([*starts, len(numbers)])
    relatives = {
        int(numbers[start]): tuple(candidates.paper[numbers[start + 1 : start + size]].tolist())
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True)
    }
    return np.sort(leaders), relatives


def within_topics(candidates: Candidates, own: np.ndarray) -> np.ndarray:
    """Return readers' own scores, those below zero measured by the others of the same topic.

    Who wants less of some papers of a topic follows it still: what they have in common with all of
    it, such as its words, is no reason against it. Of few papers, that is less sure.
    """
    if not len(own):
        return own
    numbers, starts = grouped((candidates.reader << SOURCE) + candidates.source)
    sizes = np.diff([*starts, len(numbers)])
    means = np.minimum(np.add.reduceat(own[numbers], starts) / (sizes + PRIOR), 0)
    usual = np.empty(len(own))
    usual[numbers] = np.repeat(means, sizes)
    return np.where(own < 0, np.minimum(own - usual, 0), own)


def weighted(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return scores with their odds multiplied by weights, so that they stay within [0, 1]."""
    return weights * scores / (1 + (weights - 1) * scores)


def grouped(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the keys, sorted by key and then by number, and where each key starts.

    Keys are below 2 ** 41 and fewer than 2 ** 22.
    """
    packed = np.sort((keys << NUMBER) + np.arange(len(keys)))
    sorted_keys = packed >> NUMBER
    starts = np.flatnonzero(np.diff(sorted_keys, prepend=-1))
    return packed & ((1 << NUMBER) - 1), starts


def places(starts: np.ndarray, count: int) -> np.ndarray:
    """Return each one's place in its group, from 0."""
    return np.arange(count) - np.repeat(starts, np.diff([*starts, count]))
