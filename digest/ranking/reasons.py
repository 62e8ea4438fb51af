"""The words that weighed most in a choice, in their usual spelling.

Words that are adjacent in the paper are joined: "graph neural networks, molecules".
"""

from collections.abc import Collection, Iterable

import numpy as np

from digest.ranking import text
from digest.ranking.candidates import CandidateSet
from digest.ranking.model import TfidfModel, bigram_column, word_column
from digest.ranking.query import Query
from digest.ranking.relevance_feedback import LearnedProfile

MAX_WORDS = 3
#: Words of abstracts that say nothing of why a paper was picked, unless it has no others.
WEAK_WORDS = frozenset(
    """
    achieve achieves best better different effective effectively equal equally equals existing
    extensive good high higher important improve improves improved introduce introduces large
    less low lower need needs new novel outperform outperforms present presents prove proves recent
    recently releases significant significantly various
    """.split()  # noqa: SIM905, a list of quoted words is harder to read
)


def query_reason(
    model: TfidfModel, candidates: CandidateSet, query: Query, paper: int
) -> tuple[str, ...]:
    """Return the words of the query that weigh most in this paper, as the query spells them.

    In the order of the query.
    """
    word_by_term = text.as_written(query.text)
    words = {term: word_by_term.get(term) or model.word(term) for term in query.distinct}
    weights = model.idf(np.array([*map(word_column, words)])).tolist()
    features = candidates.vectors.weights_of(paper)
    strong_weights = {
        term: weight
        for (term, word), weight in zip(words.items(), weights, strict=True)
        if word.lower() not in WEAK_WORDS
    }
    strong_words = {term: words[term] for term in strong_weights}
    reason = _heaviest(features, strong_words, strong_weights.values())
    return reason or _heaviest(features, words, weights)


def learned_reason(
    model: TfidfModel, candidates: CandidateSet, learned: LearnedProfile, paper: int
) -> tuple[str, ...]:
    """Return the words of a preference model that weigh most in this paper."""
    weights = candidates.vectors.weights_of(paper)
    shared = {
        term: weight * weights.get(word_column(term), 0)
        for term, weight in zip(learned.terms, learned.weights, strict=True)
    }
    heaviest = sorted((term for term in shared if shared[term] > 0), key=lambda term: -shared[term])
    in_order = _in_order(weights, heaviest[: MAX_WORDS + 1])
    words = {stem: model.word(stem) for stem in in_order}
    return _heaviest(weights, words, [1.0] * len(words))


def _in_order(features: Collection[int], stems: list[str]) -> list[str]:
    """Return the stems, reordered so that those adjacent in the paper are adjacent."""
    ordered: list[str] = []
    for stem in stems:
        if stem in ordered:
            continue
        chain = [stem]
        while nexts := [s for s in stems if s not in chain and _are_beside(features, chain[-1], s)]:
            chain.append(nexts[0])
        while prevs := [s for s in stems if s not in chain and _are_beside(features, s, chain[0])]:
            chain.insert(0, prevs[0])
        ordered += [link for link in chain if link not in ordered]
    return ordered


def _heaviest(
    features: Collection[int], words: dict[str, str], weights: Iterable[float]
) -> tuple[str, ...]:
    """Return the heaviest phrases of these words (stem -> word) that a paper contains."""
    phrases: list[tuple[float, str, str]] = []  # Weight, last stem, phrase.
    for (stem, word), weight in zip(words.items(), weights, strict=True):
        is_part = any(word != other and word in other.split("-") for other in words.values())
        is_repeated = any(word == phrase.split(" ")[-1] for *_, phrase in phrases)
        if word_column(stem) not in features or is_part or is_repeated:
            continue
        if phrases and _are_beside(features, phrases[-1][1], stem):
            phrase_weight, _, phrase = phrases.pop()
            phrases.append((max(phrase_weight, weight), stem, f"{phrase} {word}"))
        else:
            phrases.append((weight, stem, word))
    heaviest = sorted(phrases, key=lambda phrase: -phrase[0])[:MAX_WORDS]
    return tuple(phrase[2] for phrase in phrases if phrase in heaviest)


def _are_beside(features: Collection[int], first: str, second: str) -> bool:
    return bigram_column(first, second) in features
