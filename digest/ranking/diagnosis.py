"""Why one paper is, or is not, in one subscriber's digest."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from digest.ranking import text
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel, word_column
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Profile
from digest.ranking.query import queries_of
from digest.ranking.ranking import DEFAULT, Ranking
from digest.ranking.relevance import relevance
from digest.ranking.retrieval import NO_QUERY, lines_of, muted

MAX_MISSING = 4
UNRELATED = 0.01  # Less probable papers are not called weak matches.


@dataclass(frozen=True)
class Diagnosis:
    """Whether a paper was chosen, and why or why not.

    Attributes
    ----------
    outcome : str
        - chosen, seen (sent before), or second (a second chance);
        - muted (by `interest`), folded (into `other`), crowded (better papers fill the digest);
        - passed (it came in before the last digest, and does not score enough to come again);
        - weak (too little about `interest`: `missing` are the words of it that the paper lacks),
          unquoted (it does not contain the quotes of `interest`), elsewhere (its categories are not
          those of `interest`), disliked (too similar to papers with negative feedback);
        - unasked (no followed topic matches).
    score, cut : float
        The probability that it is about `interest` (0 if it is of a category or trends), and the
        one that is required.
    rank, match_count : int
        Its rank among the papers that match, from 1, and their number; 0 if it does not match.
    """

    outcome: str
    score: float = 0.0
    cut: float = 0.0
    rank: int = 0
    match_count: int = 0
    interest: str = ""
    missing: tuple[str, ...] = ()
    other: str = ""


def diagnose(
    model: TfidfModel,
    candidates: CandidateSet,
    profile: Profile,
    excluded: Collection[str],
    paper_id: str,
    parameters: Parameters = DEFAULT,
    first_new: int = 0,
) -> Diagnosis:
    """Return why a paper of the candidates is or is not among those chosen."""
    paper = candidates.places[paper_id]
    if paper in candidates.places_of(excluded):
        return Diagnosis("seen")
    for interest in profile.mutes:
        if muted(model, candidates, interest)[paper]:
            return Diagnosis("muted", interest=interest.name)
    unlimited = replace(profile, size=len(candidates))
    options = [excluded], [first_new], parameters
    ranking = Ranking(model, candidates, [unlimited], *options)
    picks = ranking.picks()
    indices = np.flatnonzero(picks.paper == paper)
    if not len(indices):
        return _why_unmatched(ranking, paper)
    index = int(indices[0])
    is_query = picks.query[index] != NO_QUERY
    score = float(expit(picks.margin[index] + parameters.cut_log_odds)) if is_query else 0.0
    diagnosis = Diagnosis("crowded", score, parameters.cut, index + 1, len(picks))
    (choices,) = Ranking(model, candidates, [profile], *options).choices()
    for choice in choices:
        if choice.paper == paper_id:
            return replace(diagnosis, outcome="chosen", interest=choice.topic)
        if paper_id in choice.relatives:
            return replace(diagnosis, outcome="folded", other=choice.paper)
    return diagnosis


def _why_unmatched(ranking: Ranking, paper: int) -> Diagnosis:
    """Return why a paper does not match, by the topic with the highest score."""
    model, candidates, parameters = ranking.model, ranking.candidates, ranking.parameters
    best = Diagnosis("unasked", cut=parameters.cut)
    for interest in ranking.profiles[0].follows:
        outcome_above_cut = "passed" if paper < ranking.first_new[0] else "disliked"
        if interest.categories and paper not in candidates.in_categories(interest.categories):
            outcome_above_cut = "elsewhere"
        if any(paper in candidates.by_author(name) for name in interest.authors):
            return Diagnosis(outcome_above_cut, interest=interest.name)
        lines = [*filter(None, lines_of(model, interest))]
        unquoted = [replace(line, query=replace(line.query, quotes=())) for line in lines]
        relevances = relevance(model, candidates, unquoted) if unquoted else []
        for line, line_relevance in zip(lines, relevances, strict=True):
            query = line.query
            score = float(expit(line_relevance.log_odds[paper]))
            if score <= max(best.score, UNRELATED):
                continue
            outcome = "weak"
            if query.quotes and not candidates.contains_quotes(query, np.array([paper]))[0]:
                outcome = "unquoted"
            elif score >= parameters.cut:
                outcome = outcome_above_cut
            missing = _missing_words(candidates, query.text, paper)
            name = interest.name
            best = replace(best, outcome=outcome, score=score, interest=name, missing=missing)
    return best


def _missing_words(candidates: CandidateSet, line: str, paper: int) -> tuple[str, ...]:
    """Return the words of a line that a paper does not contain, as they were written."""
    (query, *_) = queries_of([line])
    word_by_term = text.as_written(line)
    features = set(candidates.vectors.features[paper].indices.tolist())
    missing_terms = [term for term in query.distinct if word_column(term) not in features]
    return tuple(word_by_term[term] for term in missing_terms[:MAX_MISSING])
