"""Why one paper is, or is not, in one reader's digest."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from digest.ranking import text
from digest.ranking.choice import DEFAULT, Ranking, choose
from digest.ranking.edition import Edition
from digest.ranking.meaning import meant
from digest.ranking.model import ABSENT, TfidfModel
from digest.ranking.muting import muted
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import Query
from digest.ranking.relevance import LONG, Relevance, relevance
from digest.ranking.tuning import Tuning


@dataclass(frozen=True)
class Verdict:
    """What became of a paper, and why.

    `what` is one of

    - chosen, seen (she had it), or second (it comes as a second chance);
    - muted (by `topic`), folded (into `other`), crowded (out by better ones);
    - apart (`missing` are the words of `topic` that it lacks), scattered (it has them, but not side
      by side, or in another form than is quoted), weak (about `topic`, but too little), elsewhere
      (in other categories than those of `topic`), disliked (too like papers that she wants less
      of);
    - unasked (she follows nothing that it could be about).

    `place` is its rank among the `of` papers that she could have got, from 1, or 0 where it is none
    of them. `floor` is what its score would have to be.
    """

    what: str
    score: float = 0.0
    floor: float = 0.0
    place: int = 0
    of: int = 0
    topic: str = ""
    missing: tuple[str, ...] = ()
    other: int = -1


def judge(
    model: TfidfModel,
    edition: Edition,
    profile: Profile,
    seen: Collection[int],
    paper: int,
    tuning: Tuning = DEFAULT,
) -> Verdict:
    """Return why the paper at this position is or is not among those chosen for the reader."""
    if paper in seen:
        return Verdict("seen")
    for interest in profile.mutes:
        if muted(model, edition, interest)[paper]:
            return Verdict("muted", topic=interest.name)
    candidates = Ranking(model, edition, [profile], [seen], tuning).candidates()
    everything = replace(profile, size=len(edition))
    beyond = Ranking(model, edition, [everything], [seen], tuning).candidates()
    place, score = _place(candidates.paper, candidates.score, paper)
    if not place:
        place, score = _place(beyond.paper, beyond.score, paper)
        place = place and max(place, len(candidates) + 1)
    if not place:
        return _outside(model, edition, profile, paper, tuning)
    verdict = Verdict("crowded", score, place=place, of=len(beyond))
    (chosen,) = choose(model, edition, [profile], [seen], tuning)
    for choice in chosen:
        if choice.paper == paper:
            return replace(verdict, what="chosen", topic=choice.topic)
        if paper in choice.relatives:
            return replace(verdict, what="folded", other=choice.paper)
    return verdict


def _place(papers: np.ndarray, scores: np.ndarray, paper: int) -> tuple[int, float]:
    """Return a paper's place among candidates, from 1, and its score; 0 where it is none."""
    found = np.flatnonzero(papers == paper)
    return (int(found[0]) + 1, float(scores[found[0]])) if len(found) else (0, 0.0)


def _outside(
    model: TfidfModel, edition: Edition, profile: Profile, paper: int, tuning: Tuning
) -> Verdict:
    """Return why a paper is about nothing that she follows, by the topic that it is nearest to."""
    nearest = Verdict("unasked", floor=tuning.floor)
    for interest in profile.follows:
        if any(paper in edition.by(name) for name in interest.authors):
            if _is_elsewhere(edition, interest, paper):
                return Verdict("elsewhere", topic=interest.name)
            return Verdict("disliked", score=1.0, topic=interest.name)
        parts = meant(model, interest.query)
        if not parts:
            continue
        found = relevance(model, edition, parts, tuning)
        best = _in_her_words(parts, found, paper)
        if found.scores[best, paper] > nearest.score:
            near = _near(model, edition, parts[best], paper, found, best)
            if near.what == "disliked" and _is_elsewhere(edition, interest, paper):
                near = replace(near, what="elsewhere")
            nearest = replace(near, topic=interest.name)
    return nearest


def _is_elsewhere(edition: Edition, interest: Interest, paper: int) -> bool:
    return bool(interest.categories) and paper not in edition.within(interest.categories)


def _in_her_words(parts: Sequence[Query], found: Relevance, paper: int) -> int:
    """Return which query the paper is nearest to: of the ways to write its part, the best of which
    the paper has enough; where it has of none, the one that she wrote, whose words she knows.
    """
    scores = found.scores[:, paper]
    part = parts[int(np.argmax(scores))].part
    ways = [number for number, query in enumerate(parts) if query.part == part]
    had = [number for number in ways if found.enough[number, paper]]
    return max(had, key=lambda number: float(scores[number]), default=ways[0])


def _near(
    model: TfidfModel, edition: Edition, query: Query, paper: int, found: Relevance, row: int
) -> Verdict:
    """Return what keeps a paper from a query, which is in that row of what was found."""
    score, floor = float(found.scores[row, paper]), float(found.wanted[row, paper])
    if not found.enough[row, paper]:
        return Verdict("apart", score, floor, missing=_missing(model, edition, query, paper))
    if query.is_literal and not edition.says_as_written(query, np.array([paper]))[paper]:
        return Verdict("scattered", score, floor)
    return Verdict("weak" if score < floor else "disliked", score, floor)


def _missing(model: TfidfModel, edition: Edition, query: Query, paper: int) -> tuple[str, ...]:
    """Return the heaviest words of a query that a paper doesn't have, as the reader wrote them."""
    said = text.as_written(query.text)
    weighed = []
    for term, column in zip(query.distinct, model.columns(query.distinct), strict=True):
        if column == ABSENT or paper not in edition.having(int(column)):
            weighed.append((-np.inf if column == ABSENT else -float(model.idf_[column]), term))
    return tuple(said[term] for _, term in sorted(weighed)[:LONG])
