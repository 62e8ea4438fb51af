"""Which papers go into whose digest: all subscribers of a shard at once.

What is found for a topic is the same for all who follow it. What is a subscriber's own (weights,
what they had, what they mute, what they taught) is laid over the candidates of many as arrays: only
reading the profiles and writing the choices is done one by one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import batched

import numpy as np

from digest.ranking.authors import asked_for
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import NAME, Interest, Profile
from digest.ranking.query import Query, queries
from digest.ranking.reasons import learned_reason, query_reason
from digest.ranking.relevance_feedback import learned_scores
from digest.ranking.retrieval import NO_QUERY, NOTHING, Found, find, muted, trending

DEFAULT = Parameters()
SUBSCRIBERS = 500  # So many at a time, to bound memory.
MAX_INTERESTS = 200  # Of one subscriber: the form takes fewer.
SPARE = 10  # So many more papers of a topic are looked at than twice a digest: some are folded.
LIMITS = 50  # How many are looked at is a multiple of this, so that many subscribers share it.
PRIOR = 2  # So many papers of which they have no opinion are added to those of a topic.
NEAR_MISSES = 3  # In a digest, at most.
TRENDS = 0.5  # What trends so much comes back after its first day.

#: The groups of a digest, in their order.
NEW, MISSED, NEAR = 0, 1, 2
GROUPS = "new", "missed", "near"
#: Where a candidate comes from: one of these, or an interest.
TREND, OWN, FIRST_INTEREST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Choice:
    """One paper for one subscriber.

    Attributes
    ----------
    paper : int
        Its position.
    score : float
        In [0, 1].
    basis : str
        topic, learned, trend or new.
    group : str
        new, missed ("You may have missed") or near ("Close to your interests").
    topic : str
        The name of the topic, or the line of their own words, that scores best.
    terms : tuple of str
        The words of it that the paper has.
    relatives : tuple of int
        The positions of further papers on the same idea, for which it stands.
    """

    paper: int
    score: float
    basis: str
    group: str = "new"
    topic: str = ""
    terms: tuple[str, ...] = ()
    relatives: tuple[int, ...] = ()


@dataclass(frozen=True)
class Picks:
    """Papers that may go into digests, as arrays of one length.

    `owner` is the subscriber's place among those asked for, `source` where the paper comes from,
    and `query` which of the source's queries found it. `is_sure`: it is well above the cut.
    """

    owner: np.ndarray
    paper: np.ndarray
    score: np.ndarray
    source: np.ndarray
    query: np.ndarray
    group: np.ndarray
    is_sure: np.ndarray

    def __len__(self) -> int:
        return len(self.owner)

    def columns(self) -> tuple[np.ndarray, ...]:
        best = self.owner, self.paper, self.score, self.source, self.query
        return *best, self.group, self.is_sure

    def __getitem__(self, which: np.ndarray) -> "Picks":
        return Picks(*(column[which] for column in self.columns()))


def choose(
    model: TfidfModel,
    candidates: CandidateSet,
    profiles: Sequence[Profile],
    seen: Sequence[Collection[int]],
    parameters: Parameters = DEFAULT,
    *,
    since: Sequence[int] | None = None,
    among: slice = slice(None),
) -> list[list[Choice]]:
    """Return each subscriber's papers, in the order of their digest.

    Parameters
    ----------
    seen
        For each subscriber, the positions of the papers that they must not get again.
    since
        For each, the position from which papers are new to them; what came in before may come back
        as missed. By default all are new.
    among
        The positions of the papers that there are today.
    """
    chosen: list[list[Choice]] = []
    since = since or [0] * len(profiles)
    for block in batched(zip(profiles, seen, since, strict=True), SUBSCRIBERS):
        some, had, new = zip(*block, strict=True)
        chosen += Ranking(model, candidates, some, had, new, parameters, among).choices()
    return chosen


def matches(
    model: TfidfModel,
    candidates: CandidateSet,
    interest: Interest,
    limit: int,
    parameters: Parameters = DEFAULT,
) -> list[Choice]:
    """Return the papers that match one interest, best first: what its followers would see."""
    profile = Profile(follows=(interest,), size=limit)
    return choose(model, candidates, [profile], [()], parameters)[0]


class Ranking:
    """The digests of some subscribers."""

    def __init__(
        self,
        model: TfidfModel,
        candidates: CandidateSet,
        profiles: Sequence[Profile],
        seen: Sequence[Collection[int]],
        since: Sequence[int],
        parameters: Parameters,
        among: slice = slice(None),
    ) -> None:
        self.model, self.candidates, self.parameters = model, candidates, parameters
        self.profiles, self.seen, self.since = profiles, seen, np.array(since)
        self.first, self.last, _ = among.indices(len(candidates))
        learned = [(n, one.learned) for n, one in enumerate(profiles) if one.learned]
        self.own_row = np.full(len(profiles), -1)
        self.own_row[[n for n, _ in learned]] = np.arange(len(learned))
        self.learned = [one for _, one in learned]
        self.own_scores = learned_scores(model, candidates.vectors, self.learned)

    def choices(self) -> list[list[Choice]]:
        """Return each subscriber's papers, in the order of their digest."""
        picks, relatives = self.folded(self.picks())
        own_words = self._own_words(picks)
        chosen: list[list[Choice]] = [[] for _ in self.profiles]
        rows = zip(*(column.tolist() for column in picks.columns()), strict=True)
        for number, (owner, paper, score, source, query, group, _) in enumerate(rows):
            basis, topic, terms = self._reason(paper, source, query)
            terms = own_words.get(number, terms)
            further = relatives.get((owner, paper), ())
            choice = Choice(paper, min(score, 1.0), basis, GROUPS[group], topic, terms, further)
            chosen[owner].append(choice)
        return chosen

    # ---- What may be chosen

    def picks(self) -> Picks:
        """Return all papers that may be chosen, each subscriber's best first."""
        picks = self._gathered()
        picks = picks[~self._is_hidden(picks)]
        picks = picks[np.lexsort((-picks.score, picks.group, picks.paper, picks.owner))]
        is_first = np.ones(len(picks), dtype=bool)
        is_first[1:] = (np.diff(picks.owner) != 0) | (np.diff(picks.paper) != 0)
        picks = self._with_taste(picks[is_first])
        order = self.candidates.rank[picks.paper], -picks.score.round(4), picks.group, picks.owner
        return picks[np.lexsort(order)]

    def _gathered(self) -> Picks:
        """Return what the interests find for each, and what is like the papers that they like."""
        self.interests = list(
            dict.fromkeys(one for p in self.profiles for one in p.follows[:MAX_INTERESTS])
        )
        number = {interest: FIRST_INTEREST + n for n, interest in enumerate(self.interests)}
        found = find(self.model, self.candidates, self.interests, self.parameters)
        sources = [trending(self.candidates), NOTHING, *found]
        names = [TREND, OWN, *((one.query, one.categories, one.authors) for one in self.interests)]
        # What is available for a topic is the same for many, in this block and in the next.
        cache = self.candidates.cached("available", self.parameters, self.first, self.last)
        owners: list[int] = []
        asked: list[int] = []
        each: list[tuple[np.ndarray, ...]] = []
        for owner, profile in enumerate(self.profiles):
            mine = [(number[one], one.weight) for one in profile.follows[:MAX_INTERESTS]]
            if not mine:
                mine = [(OWN if profile.is_known else TREND, 1.0)]
            is_limited = not (profile.mutes or profile.learned)
            limit = 2 * profile.size + SPARE + len(self.seen[owner]) if is_limited else 0
            limit = -(-limit // LIMITS) * LIMITS
            for source, weight in mine:
                rest = weight, int(self.since[owner]), limit, profile.wants_near
                key = names[source], *rest
                part = cache.get(key)
                if part is None:
                    part = cache[key] = self._available(sources[source], source, *rest)
                owners.append(owner)
                asked.append(source)
                each.append(part)
        liked = self._liked()
        sizes = [len(part[0]) for part in each]
        each.append((liked.paper, liked.score, liked.query, liked.group, liked.is_sure))
        papers, scores, *others = map(np.concatenate, zip(*each, strict=True))
        all_owners = np.concatenate([np.repeat(owners, sizes), liked.owner])
        all_sources = np.concatenate([np.repeat(asked, sizes), liked.source])
        return Picks(all_owners, papers, scores, all_sources, *others)

    def _liked(self) -> Picks:
        """Return the new papers that own models find. Their scores are added later."""
        floors = np.array([one.floor for one in self.learned]).reshape(-1, 1)
        rows, papers = np.nonzero(self.own_scores >= floors)
        owners = np.flatnonzero(self.own_row >= 0)[rows]
        new = (papers >= self.since[owners]) & (papers >= self.first) & (papers < self.last)
        rows, papers, owners = rows[new], papers[new], owners[new]
        zeros = np.zeros(len(rows), int)
        rest = zeros + NO_QUERY, zeros, zeros > 0
        return Picks(owners, papers, np.zeros(len(rows)), zeros + OWN, *rest)

    def _available(
        self, found: Found, source: int, weight: float, since: int, limit: int, wants_near: bool
    ) -> tuple[np.ndarray, ...]:
        """Return what there is for those to whom papers are new since a position.

        Papers, scores, queries, groups, and which are well above the cut. What came in before must
        be, or trend.
        """
        is_new = found.papers >= since
        again = found.margins >= self.parameters.missed
        if source == TREND:
            again = found.scores >= TRENDS
        group = np.where(is_new, np.where(found.margins < 0, NEAR, NEW), MISSED)
        wanted = (is_new & (wants_near | (found.margins >= 0))) | (again & ~is_new)
        wanted &= (found.papers >= self.first) & (found.papers < self.last)
        places = np.flatnonzero(wanted)
        if limit:
            parts = [places[group[places] == one] for one in range(len(GROUPS))]
            places = np.concatenate([self._ideas(found, some, limit) for some in parts])
        some, scores = found[places], found.scores[places]
        # The odds are multiplied by the weight, so that scores stay within [0, 1].
        scores = weight * scores / (1 + (weight - 1) * scores)
        is_sure = (some.margins >= self.parameters.missed / 2) | (some.queries == NO_QUERY)
        return some.papers, scores, some.queries, group[places], is_sure

    def _ideas(self, found: Found, places: np.ndarray, limit: int) -> np.ndarray:
        """Return the first places, so many that there are `limit` different ideas among them."""
        if len(places) <= limit:
            return places
        ideas = self.candidates.groups(self.parameters.duplicate)[found.papers[places]]
        leaders = np.sort(_firsts(ideas)[0])
        return places[: leaders[limit]] if len(leaders) > limit else places

    def _is_hidden(self, picks: Picks) -> np.ndarray:
        """Return which papers subscribers must not get: had already, muted or withdrawn."""
        hidden = self.candidates.is_withdrawn[picks.paper]
        count = len(self.candidates)
        pairs = [owner * count + paper for owner, had in enumerate(self.seen) for paper in had]
        if pairs:
            hidden |= np.isin(picks.owner * count + picks.paper, pairs)
        number: dict[tuple[Interest, ...], int] = {(): 0}
        of_owner = np.array([number.setdefault(one.mutes, len(number)) for one in self.profiles])
        masks = np.zeros((len(number), count), dtype=bool)
        for mutes, row in number.items():
            for interest in mutes:
                masks[row] |= muted(self.model, self.candidates, interest)
        return hidden | masks[of_owner[picks.owner], picks.paper]

    def _with_taste(self, picks: Picks) -> Picks:
        """Return papers with what subscribers taught and what trends in their scores.

        What they want less of goes. A score may be above 1, so that no two of the best are equal.
        """
        rows = self.own_row[picks.owner]
        own = np.zeros(len(picks))
        own[rows >= 0] = self.own_scores[rows[rows >= 0], picks.paper[rows >= 0]]
        is_own = picks.source == OWN
        own = np.where(is_own, own, within_topics(picks, own))
        score = np.where(is_own, own, picks.score + self.parameters.learned * own)
        ahead = np.where(picks.source == TREND, 0, self.candidates.trends[picks.paper])
        score = np.maximum(score * (1 + self.parameters.trend * ahead), 0)
        owner, paper, _, *rest = picks.columns()
        taught = Picks(owner, paper, score, *rest)
        return taught[score > np.where(own < 0, picks.score / 2, 0)]

    # ---- The choice

    def folded(self, picks: Picks) -> tuple[Picks, dict[tuple[int, int], tuple[int, ...]]]:
        """Return the chosen papers, and for (owner, paper) those on the same idea.

        Each idea is there once, by its best paper. The best paper of each topic comes first if it
        is well above the cut, so that no topic crowds out the others; then the best of all.
        """
        ideas = self.candidates.groups(self.parameters.duplicate)[picks.paper]
        leaders, idea = _firsts(picks.owner * len(self.candidates) + ideas)
        relatives: dict[tuple[int, int], tuple[int, ...]] = {}
        for follower in np.setdiff1d(np.arange(len(picks)), leaders).tolist():
            leader = leaders[idea[follower]]
            key = int(picks.owner[leader]), int(picks.paper[leader])
            relatives[key] = (*relatives.get(key, ()), int(picks.paper[follower]))
        picks = picks[np.sort(leaders)]
        best, _ = _firsts((picks.owner << 24) + picks.source)
        is_best = np.zeros(len(picks), dtype=bool)
        is_best[best] = picks.is_sure[best]
        order = np.lexsort((np.arange(len(picks)), ~is_best, picks.group, picks.owner))
        owner, group = picks.owner[order], picks.group[order]
        sizes = np.array([profile.size for profile in self.profiles])
        taken = _places(owner) < sizes[owner]
        taken &= (group != NEAR) | (_places(3 * owner + group) < NEAR_MISSES)
        return picks[np.sort(order[taken])], relatives

    def _reason(self, paper: int, source: int, query: int) -> tuple[str, str, tuple[str, ...]]:
        """Return the basis, the topic and the words for which a paper is there."""
        if source == OWN:
            return "learned", "", ()
        if source == TREND:
            return "trend" if self.candidates.trends[paper] else "new", "", ()
        interest = self.interests[source - FIRST_INTEREST]
        if query == NO_QUERY:
            return "topic", interest.name, ()
        if interest.authors:
            # Of several in their own words, the others don't explain why a paper is there.
            name = interest.authors[query]
            is_own = bool(asked_for(interest.name))
            called = f"author: {name}"[:NAME] if is_own else interest.name
            return "topic", called, () if is_own else (name,)
        cache = self.candidates.cached("reasons")
        key = interest.query, query, paper
        reason = cache.get(key)  # Looked up once: another thread may empty the cache.
        if reason is None:
            asked = self._asked(interest.query)
            words = query_reason(self.model, self.candidates, asked[query], paper)
            is_list = len({one.text for one in asked}) > 1
            reason = cache[key] = asked[query].text[:NAME] if is_list else "", words
        line, words = reason
        # Of a list in their own words, the other lines don't explain why a paper is there.
        return "topic", line if line and interest.is_own_words else interest.name, words

    def _asked(self, topic: str) -> tuple[Query, ...]:
        cache = self.candidates.cached("queries")
        asked = cache.get(topic)
        if asked is None:
            asked = cache[topic] = queries(topic, self.model.acronyms_)
        return asked

    def _own_words(self, picks: Picks) -> dict[int, tuple[str, ...]]:
        """Return the words behind the papers that are there on account of what people taught."""
        own = np.flatnonzero(picks.source == OWN).tolist()
        rows, papers = self.own_row[picks.owner].tolist(), picks.paper.tolist()
        return {
            number: learned_reason(
                self.model, self.candidates, self.learned[rows[number]], papers[number]
            )
            for number in own
        }


def within_topics(picks: Picks, own: np.ndarray) -> np.ndarray:
    """Return subscribers' own scores, those below zero measured by the others of the same topic.

    Who wants less of some papers of a topic follows it still: what they have in common with all of
    it, such as its words, is no reason against it. Of few papers, that is less sure.
    """
    if not len(own):
        return own
    _, topics = np.unique((picks.owner << 24) + picks.source, return_inverse=True)
    usual = np.minimum(np.bincount(topics, own) / (np.bincount(topics) + PRIOR), 0)[topics]
    return np.where(own < 0, np.minimum(own - usual, 0), own)


def _firsts(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each different key stands first, and the number of each one's key."""
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    return first, number


def _places(keys: np.ndarray) -> np.ndarray:
    """Return each one's place among those of its key, from 0. Equal keys are neighbours."""
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return np.arange(len(keys)) - np.repeat(starts, np.diff([*starts, len(keys)]))
