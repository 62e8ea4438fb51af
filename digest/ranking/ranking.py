"""Choose the papers of many subscribers' digests at once.

The papers for a topic are the same for all followers. What differs (weights, papers they had,
mutes, preference models) is applied to many subscribers as arrays. Only reading profiles and
writing choices is done one by one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import batched, chain
from math import ceil, log

import numpy as np
from scipy.special import expit
from threadpoolctl import ThreadpoolController

from digest.ranking import retrieval
from digest.ranking.authors import INSTITUTION, as_query, queried_names
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import MAX_NAME, queries_of
from digest.ranking.reasons import learned_reason, query_reason
from digest.ranking.relevance import ArrayTable
from digest.ranking.relevance_feedback import learned_scores, likeness
from digest.ranking.retrieval import NO_QUERY, Retrieved, muted, retrieve, trending

DEFAULT = Parameters()
#: Workers rank on all cores already: the waiting threads of BLAS double the time.
BLAS = ThreadpoolController()
BATCH_SIZE = 500  # Subscribers ranked at a time, to bound memory.
MAX_INTERESTS = 200  # Of one subscriber: the form takes fewer.
EXTRA_PAPERS = 10  # Papers of a topic beyond two digests' size: some are folded.
LIMIT_STEP = 50  # Limits are rounded up to multiples, so that many subscribers share them.
PRIOR_PAPERS = 2  # Of neutral score, added to those of a topic.
MAX_NEAR_MISSES = 3  # In a digest, at most.
MIN_TREND = 0.5  # From this trend on, a paper may come after its first day.
MISSED_MARGIN = 1.6  # Log-odds. So far above the cut, a paper may come after its first day.
CROWDING = 1.0  # Log-odds that the n-th paper of an interest loses, times ln(n).
#: Log-odds: the weight of a preference model's score, relative to the topic's mean; the usual gain,
#: which is subtracted; and the penalty of a paper that is about no topic.
LEARNED_WEIGHT, EXPECTED_GAIN, OFF_TOPIC_PENALTY = 6.0, 0.35, 1.5
#: For the order alone: the weight of trends, and the penalty of papers found by category.
TREND_WEIGHT, CATEGORY_PENALTY = 0.5, 2.0

#: The groups of a digest, in their order.
NEW, MISSED, NEAR = 0, 1, 2
GROUPS = "new", "missed", "near"
#: Sources of picks: trends, a preference model, or an interest.
TREND, PREFERENCES, FIRST_INTEREST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Choice:
    """One paper for one subscriber.

    Attributes
    ----------
    paper : str
        The id of the paper.
    score : float
        The probability that the paper is about the subscriber's interests.
    basis : str
        topic, learned, trend or new. Planning adds second.
    group : str
        new, missed ("You may have missed") or near ("Close to your interests").
    topic : str
        The name of the topic with the best score, or the best line of own keywords.
    terms : tuple of str
        Its words that the paper contains.
    relatives : tuple of str
        The ids of further papers on the same idea, which are folded into it.
    like : str
        The title of a similar paper that the subscriber chose. Set by planning.
    """

    paper: str
    score: float
    basis: str
    group: str = "new"
    topic: str = ""
    terms: tuple[str, ...] = ()
    relatives: tuple[str, ...] = ()
    like: str = ""


@dataclass(frozen=True)
class Picks(ArrayTable):
    """Papers that may go into digests, as arrays of one length.

    `owner` is the index of the subscriber, `source` where the paper comes from, and `query` the
    number of the source's query. `margin`: how far it is above the cut, in log-odds. `lift`: what
    is added to it for the order.
    """

    owner: np.ndarray
    paper: np.ndarray
    margin: np.ndarray
    lift: np.ndarray
    source: np.ndarray
    query: np.ndarray
    group: np.ndarray


def choose(
    model: TfidfModel,
    candidates: CandidateSet,
    profiles: Sequence[Profile],
    excluded: Sequence[Collection[str]],
    parameters: Parameters = DEFAULT,
    *,
    first_new: Sequence[int] | None = None,
    positions: slice = slice(None),
) -> list[list[Choice]]:
    """Return each subscriber's papers, in the order of their digest.

    Parameters
    ----------
    excluded
        For each subscriber, the ids of the papers that they must not get.
    first_new
        For each subscriber, the position of the first new paper. Earlier papers may come as missed.
        By default all are new.
    positions
        Of the papers that may be chosen: today's. By default all.
    """
    choices: list[list[Choice]] = []
    first_new = first_new or [0] * len(profiles)
    for block in batched(zip(profiles, excluded, first_new, strict=True), BATCH_SIZE):
        members, excluded_ids, starts = zip(*block, strict=True)
        ranking = Ranking(model, candidates, members, excluded_ids, starts, parameters, positions)
        choices += ranking.choices()
    return choices


def matches(
    model: TfidfModel,
    candidates: CandidateSet,
    interest: Interest,
    limit: int,
    parameters: Parameters = DEFAULT,
) -> list[Choice]:
    """Return the papers that match one interest, best first, as its followers would get them."""
    profile = Profile(follows=(interest,), size=limit)
    return choose(model, candidates, [profile], [()], parameters)[0]


class Ranking:
    """Ranks the papers of a block of subscribers."""

    def __init__(
        self,
        model: TfidfModel,
        candidates: CandidateSet,
        profiles: Sequence[Profile],
        excluded: Sequence[Collection[str]],
        first_new: Sequence[int],
        parameters: Parameters,
        positions: slice = slice(None),
    ) -> None:
        self.model, self.candidates, self.parameters = model, candidates, parameters
        self.profiles, self.first_new = profiles, np.array(first_new)
        self.excluded = [candidates.places_of(ids) for ids in excluded]
        self.start, self.stop, _ = positions.indices(len(candidates))
        self.learned = [profile.learned for profile in profiles if profile.learned]
        owners = [owner for owner, profile in enumerate(profiles) if profile.learned]
        self.learned_row = np.full(len(profiles), -1)
        self.learned_row[owners] = np.arange(len(owners))
        with BLAS.limit(limits=1):
            self.preference_scores = learned_scores(model, candidates.vectors, self.learned)

    def choices(self) -> list[list[Choice]]:
        """Return each subscriber's papers, in the order of their digest."""
        picks, relatives = self.choose_and_fold(self.picks())
        own_words, ids = self._own_words(picks), self.candidates.ids
        choices: list[list[Choice]] = [[] for _ in self.profiles]
        scores = expit(picks.margin + self.parameters.cut_log_odds).tolist()
        hits = zip(picks.paper.tolist(), picks.source.tolist(), picks.query.tolist(), strict=True)
        rows = list(zip(picks.owner.tolist(), picks.group.tolist(), scores, hits, strict=True))
        reasons = {hit: self._reason(*hit) for hit in {row[-1] for row in rows}}
        for number, (owner, group, score, hit) in enumerate(rows):
            basis, topic, terms = reasons[hit]
            terms = own_words.get(number, terms)
            relative_ids = tuple([ids[paper] for paper in relatives.get((owner, hit[0]), ())])
            choice = Choice(ids[hit[0]], score, basis, GROUPS[group], topic, terms, relative_ids)
            choices[owner].append(choice)
        return choices

    # ---- What may be chosen

    def picks(self) -> Picks:
        """Return all papers that may be chosen, each subscriber's best first."""
        picks = self._collect()
        picks = picks[~self._is_hidden(picks)]
        # Rounded: the last digits of a query's score depend on what it was scored with.
        score_key = -(picks.margin + picks.lift).round(4)
        picks = picks[np.lexsort((score_key, picks.group, picks.paper, picks.owner))]
        is_first = np.ones(len(picks), dtype=bool)
        is_first[1:] = (np.diff(picks.owner) != 0) | (np.diff(picks.paper) != 0)
        picks = self._add_preferences(picks[is_first])
        score_key = -(picks.margin + picks.lift).round(4)
        order = np.lexsort((self.candidates.rank[picks.paper], score_key, picks.group, picks.owner))
        return picks[order]

    def _collect(self) -> Picks:
        """Return the papers for the interests and preference models of each subscriber."""
        followed = chain.from_iterable(profile.follows[:MAX_INTERESTS] for profile in self.profiles)
        # Subscribers share the objects of topics. An interest's hash takes longer than its id.
        self.interests = [*{id(interest): interest for interest in followed}.values()]
        self.source_of = {id(one): FIRST_INTEREST + n for n, one in enumerate(self.interests)}
        found = retrieve(self.model, self.candidates, self.interests, self.parameters)
        retrieved = [trending(self.candidates), retrieval.NOTHING, *found]
        keys = [TREND, PREFERENCES, *(interest.key for interest in self.interests)]
        # Shared by many subscribers, in this block and the next.
        cache = self.candidates.cached("available", self.parameters, self.start, self.stop)
        owners: list[int] = []
        sources: list[int] = []
        parts: list[tuple[np.ndarray, ...]] = []
        for owner, profile in enumerate(self.profiles):
            restrictions = self._restrictions(owner, profile)
            for source, weight in self._weighted_sources(profile):
                key = keys[source], weight, *restrictions
                part = cache.get(key)
                if part is None:
                    options = weight, *restrictions
                    part = cache[key] = self._available(retrieved[source], source, options)
                owners.append(owner)
                sources.append(source)
                parts.append(part)
        learned = self._learned_picks()
        sizes = [len(part[0]) for part in parts]
        parts.append((learned.paper, learned.margin, learned.lift, learned.query, learned.group))
        papers, margins, lifts, queries, groups = map(np.concatenate, zip(*parts, strict=True))
        all_owners = np.concatenate([np.repeat(owners, sizes), learned.owner])
        all_sources = np.concatenate([np.repeat(sources, sizes), learned.source])
        return Picks(all_owners, papers, margins, lifts, all_sources, queries, groups)

    def _weighted_sources(self, profile: Profile) -> list[tuple[int, float]]:
        """Return the sources of a subscriber's papers, each with its weight."""
        follows = profile.follows[:MAX_INTERESTS]
        if follows:
            return [(self.source_of[id(interest)], interest.weight) for interest in follows]
        return [(PREFERENCES if profile.has_enough_liked else TREND, 1.0)]

    def _restrictions(self, owner: int, profile: Profile) -> tuple[int, int, float]:
        """Return a subscriber's first new paper, how many papers of a source are enough (0: all),
        and how far below the cut they may be.
        """
        limit = 0
        if not (profile.mutes or profile.learned):
            limit = 2 * profile.size + EXTRA_PAPERS + len(self.excluded[owner])
            limit = ceil(limit / LIMIT_STEP) * LIMIT_STEP
        near_margin = self.parameters.near_margin * profile.wants_near
        max_deficit = retrieval.LIFTABLE if profile.learned else near_margin
        return int(self.first_new[owner]), limit, max_deficit

    def _learned_picks(self) -> Picks:
        """Return the new papers that preference models find."""
        log_odds = likeness(self.preference_scores, self.candidates, self.learned)
        has_topics = [bool(profile.follows) for profile in self.profiles if profile.learned]
        penalties = OFF_TOPIC_PENALTY * np.array(has_topics).reshape(-1, 1)
        margins = log_odds - self.parameters.cut_log_odds - penalties
        rows, papers = np.nonzero(margins >= 0)
        owners = np.flatnonzero(self.learned_row >= 0)[rows]
        is_new = (papers >= self.first_new[owners]) & (papers >= self.start) & (papers < self.stop)
        rows, papers, owners = rows[is_new], papers[is_new], owners[is_new]
        margins, zeros = margins[rows, papers], np.zeros(len(rows), int)
        return Picks(owners, papers, margins, zeros, zeros + PREFERENCES, zeros + NO_QUERY, zeros)

    def _available(
        self, retrieved: Retrieved, source: int, options: tuple[float, int, int, float]
    ) -> tuple[np.ndarray, ...]:
        """Return what is found for subscribers to whom papers are new from a position on.

        Papers, margins, lifts, queries and groups. Earlier papers must be well above the cut, or
        trend.
        """
        weight, first_new, limit, max_deficit = options
        is_new = retrieved.papers >= first_new
        is_missed = retrieved.margins >= MISSED_MARGIN
        if source == TREND:
            is_missed = self.candidates.trends[retrieved.papers] >= MIN_TREND
        group = np.where(is_new, np.where(retrieved.margins < 0, NEAR, NEW), MISSED)
        is_available = np.where(is_new, retrieved.margins >= -max_deficit, is_missed)
        is_available &= (retrieved.papers >= self.start) & (retrieved.papers < self.stop)
        places = np.flatnonzero(is_available)
        if limit:
            parts = [places[group[places] == number] for number in range(len(GROUPS))]
            places = np.concatenate([self._limit_ideas(retrieved, part, limit) for part in parts])
        selected = retrieved[places]
        # The odds are multiplied by the weight. Papers of a category come behind those of queries.
        lift = log(weight) - CATEGORY_PENALTY * (selected.queries == NO_QUERY)
        return selected.papers, selected.margins, lift, selected.queries, group[places]

    def _limit_ideas(self, retrieved: Retrieved, places: np.ndarray, limit: int) -> np.ndarray:
        """Return the first places, with `limit` different ideas among them."""
        if len(places) <= limit:
            return places
        ideas = self.candidates.ideas[retrieved.papers[places]]
        leaders = np.sort(np.unique(ideas, return_index=True)[1])
        return places[: leaders[limit]] if len(leaders) > limit else places

    def _is_hidden(self, picks: Picks) -> np.ndarray:
        """Return which picks are hidden: sent before, muted or withdrawn."""
        is_hidden = self.candidates.is_withdrawn[picks.paper]
        count = len(self.candidates)
        excluded = enumerate(self.excluded)
        pairs = [owner * count + paper for owner, papers in excluded for paper in papers]
        if pairs:
            is_hidden |= np.isin(picks.owner * count + picks.paper, pairs)
        row_by_mutes: dict[tuple[Interest, ...], int] = {(): 0}
        rows = [row_by_mutes.setdefault(p.mutes, len(row_by_mutes)) for p in self.profiles]
        masks = np.zeros((len(row_by_mutes), count), dtype=bool)
        for mutes, row in row_by_mutes.items():
            for interest in mutes:
                masks[row] |= muted(self.model, self.candidates, interest)
        return is_hidden | masks[np.array(rows)[picks.owner], picks.paper]

    def _add_preferences(self, picks: Picks) -> Picks:
        """Add preference models to the margins. What falls below the cut is dropped.

        Trends change the order alone: they don't say what a paper is about.
        """
        rows = self.learned_row[picks.owner]
        scores = np.zeros(len(picks))
        scores[rows >= 0] = self.preference_scores[rows[rows >= 0], picks.paper[rows >= 0]]
        is_learned = picks.source == PREFERENCES
        gain = LEARNED_WEIGHT * relative_to_topic(picks, scores) - EXPECTED_GAIN
        margin = picks.margin + np.where(is_learned | (rows < 0), 0, gain)
        trend = np.where(picks.source == TREND, 0, self.candidates.trends[picks.paper])
        is_about = margin >= 0
        group = np.where(is_about & (picks.group == NEAR), NEW, picks.group)
        wants_near = np.array([profile.wants_near for profile in self.profiles])[picks.owner]
        is_near = (group == NEAR) & wants_near & (margin >= -self.parameters.near_margin)
        lift = picks.lift + TREND_WEIGHT * trend
        owner, paper, _, _, source, query, _ = picks.columns()
        return Picks(owner, paper, margin, lift, source, query, group)[is_about | is_near]

    # ---- The choice

    def choose_and_fold(self, picks: Picks) -> tuple[Picks, dict[tuple[int, int], tuple[int, ...]]]:
        """Return the chosen papers, and (owner, paper) -> further papers on the same idea.

        Each idea is represented by its best paper. The more papers an interest has in a digest, the
        less counts the next one, so that no interest crowds out the others.
        """
        ideas = self.candidates.ideas[picks.paper]
        keys = picks.owner * len(self.candidates) + ideas
        _, leaders, idea_numbers = np.unique(keys, return_index=True, return_inverse=True)
        relatives: dict[tuple[int, int], tuple[int, ...]] = {}
        for pick in np.setdiff1d(np.arange(len(picks)), leaders).tolist():
            leader = leaders[idea_numbers[pick]]
            key = int(picks.owner[leader]), int(picks.paper[leader])
            relatives[key] = (*relatives.get(key, ()), int(picks.paper[pick]))
        picks = picks[np.sort(leaders)]
        score = picks.margin + picks.lift - CROWDING * np.log1p(self._earlier_picks(picks))
        order = np.lexsort((-score.round(4), picks.group, picks.owner))
        owner, group = picks.owner[order], picks.group[order]
        sizes = np.array([profile.size for profile in self.profiles])
        is_chosen = _rank_in_group(owner) < sizes[owner]
        is_chosen &= (group != NEAR) | (_rank_in_group(3 * owner + group) < MAX_NEAR_MISSES)
        return picks[np.sort(order[is_chosen])], relatives

    def _earlier_picks(self, picks: Picks) -> np.ndarray:
        """Return how many better picks each has of its subscriber and interest, (n_picks,).

        Each phrase of prose, and each added paper, is an interest.
        """
        of_interests = [one.is_prose or bool(one.examples) for one in self.interests]
        is_apart = np.array([False] * FIRST_INTEREST + of_interests)
        queries = np.where(is_apart[picks.source], picks.query + 1, 0)
        interests = (picks.owner << 36) + (picks.source << 8) + queries
        order = np.argsort(interests, kind="stable")
        earlier = np.empty(len(picks), dtype=np.int64)
        earlier[order] = _rank_in_group(interests[order])
        return earlier

    def _reason(self, paper: int, source: int, query: int) -> tuple[str, str, tuple[str, ...]]:
        """Return the basis, the topic and the terms of a choice."""
        if source == PREFERENCES:
            return "learned", "", ()
        if source == TREND:
            return "trend" if self.candidates.trends[paper] else "new", "", ()
        interest = self.interests[source - FIRST_INTEREST]
        if query == NO_QUERY:
            return "topic", interest.name, ()
        if interest.examples:
            example = interest.examples[query]
            words = query_reason(self.model, self.candidates, queries_of([example.text])[0], paper)
            return "added", example.title[:MAX_NAME], words
        if interest.authors:
            # In own keywords with several authors, only the one who matched explains the choice.
            name = interest.authors[query]
            is_own = bool(queried_names(interest.name))
            topic_name = as_query(name)[:MAX_NAME] if is_own else interest.name
            return "topic", topic_name, () if is_own else (name.removeprefix(INSTITUTION),)
        cache = self.candidates.cached("reasons")
        key = interest.key, query, paper
        reason = cache.get(key)  # Looked up once: another thread may empty the cache.
        if reason is None:
            queries = interest.queries
            words = query_reason(self.model, self.candidates, queries[query], paper)
            is_list = {query.text for query in queries} != {interest.query}
            reason = cache[key] = queries[query].text[:MAX_NAME] if is_list else "", words
        line, words = reason
        # In own keywords with several lines, only the one that matched explains the choice.
        return "topic", line if line and interest.is_own_words else interest.name, words

    def _own_words(self, picks: Picks) -> dict[int, tuple[str, ...]]:
        """Return the words of the picks that preference models found."""
        numbers = np.flatnonzero(picks.source == PREFERENCES).tolist()
        rows, papers = self.learned_row[picks.owner].tolist(), picks.paper.tolist()
        corpus = self.model, self.candidates
        return {n: learned_reason(*corpus, self.learned[rows[n]], papers[n]) for n in numbers}


def relative_to_topic(picks: Picks, scores: np.ndarray) -> np.ndarray:
    """Return scores of preference models, relative to the mean of the picks of their topic.

    Feedback on papers of a followed topic is not about the topic: features that its papers share
    don't count. The mean of few papers is shrunk.
    """
    _, topics = np.unique((picks.owner << 24) + picks.source, return_inverse=True)
    return scores - (np.bincount(topics, scores) / (np.bincount(topics) + PRIOR_PAPERS))[topics]


def _rank_in_group(keys: np.ndarray) -> np.ndarray:
    """Return each element's rank among those with its key, from 0. Equal keys are adjacent."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return np.arange(len(keys)) - np.repeat(starts, np.diff([*starts, len(keys)]))
