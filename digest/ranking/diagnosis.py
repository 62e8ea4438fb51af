"""Why one paper is, or is not, in one subscriber's digest."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from digest.ranking import text
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel, word_column
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Profile
from digest.ranking.query import queries
from digest.ranking.relevance import coverage, scores_of
from digest.ranking.retrieval import muted
from digest.ranking.selection import DEFAULT, Ranking

MAX_MISSING = 4


@dataclass(frozen=True)
class Verdict:
    """What became of a paper, and why.

    Attributes
    ----------
    what : str
        - chosen, seen (they had it), or second (it comes as a second chance);
        - muted (by `topic`), folded (into `other`), crowded (out by better ones);
        - passed (it came in before their last digest, and is not so good that it comes again);
        - weak (about `topic`, but too little: `missing` are the words of it that it lacks),
          unquoted (it does not say what `topic` has in quotes), elsewhere (in other categories than
          those of `topic`), disliked (too like papers that they want less of);
        - unasked (they follow nothing that it could be about).
    score, cut : float
        What it reached for `topic`, and what it would have to reach.
    place, of : int
        Its rank among the papers that they could have got, from 1; 0 where it is none of them.
    """

    what: str
    score: float = 0.0
    cut: float = 0.0
    place: int = 0
    of: int = 0
    topic: str = ""
    missing: tuple[str, ...] = ()
    other: int = -1


def judge(
    model: TfidfModel,
    candidates: CandidateSet,
    profile: Profile,
    seen: Collection[int],
    paper: int,
    parameters: Parameters = DEFAULT,
    since: int = 0,
) -> Verdict:
    """Return why the paper at this position is or is not among those chosen."""
    if paper in seen:
        return Verdict("seen")
    for interest in profile.mutes:
        if muted(model, candidates, interest)[paper]:
            return Verdict("muted", topic=interest.name)
    everything = replace(profile, size=len(candidates))
    picks = Ranking(model, candidates, [everything], [seen], [since], parameters).picks()
    places = np.flatnonzero(picks.paper == paper)
    if not len(places):
        return _outside(model, candidates, profile, paper, parameters, since)
    place = int(places[0])
    score = min(float(picks.score[place]), 1.0)
    verdict = Verdict("crowded", score, place=place + 1, of=len(picks))
    (chosen,) = Ranking(model, candidates, [profile], [seen], [since], parameters).choices()
    for choice in chosen:
        if choice.paper == paper:
            return replace(verdict, what="chosen", topic=choice.topic)
        if paper in choice.relatives:
            return replace(verdict, what="folded", other=choice.paper)
    return verdict


def _outside(
    model: TfidfModel,
    candidates: CandidateSet,
    profile: Profile,
    paper: int,
    parameters: Parameters,
    since: int,
) -> Verdict:
    """Return why a paper is no candidate, by the topic that it is nearest to."""
    cut = parameters.cut + parameters.semantic_cut * float(candidates.has_embedding[paper])
    nearest = Verdict("unasked", cut=cut)
    where = np.array([paper])
    for interest in profile.follows:
        is_elsewhere = bool(interest.categories) and paper not in candidates.within(
            interest.categories
        )
        other = "elsewhere" if is_elsewhere else "passed" if paper < since else "disliked"
        if any(paper in candidates.by(name) for name in interest.authors):
            return Verdict(other, topic=interest.name)
        asked = queries(interest.query, model.acronyms_)
        if not asked:
            continue
        scores, rarity = scores_of(model, candidates, asked, parameters)
        for query, score, rare in zip(asked, scores[:, paper], rarity[:, paper], strict=True):
            reached = float(score + rare + coverage(model, candidates, query, where)[0])
            if reached <= nearest.score or not score:
                continue
            what = "weak"
            if query.quotes and not candidates.say(query, where)[0]:
                what = "unquoted"
            elif reached >= cut:
                what = other
            missing = _missing(candidates, query.text, paper)
            nearest = Verdict(what, reached, cut, topic=interest.name, missing=missing)
    return nearest


def _missing(candidates: CandidateSet, line: str, paper: int) -> tuple[str, ...]:
    """Return the words of a line that a paper doesn't have, as they were written."""
    (query, *_) = queries(line)
    written = text.as_written(line)
    has = set(candidates.vectors.features[paper].indices.tolist())
    lacking = [term for term in query.distinct if word_column(term) not in has]
    return tuple(written[term] for term in lacking[:MAX_MISSING])
