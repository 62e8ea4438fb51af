"""What subscribers like and dislike: what is learned of it, and what it does to their papers."""

import numpy as np
import pytest

from digest.ranking.model import TfidfModel
from digest.ranking.profile import Profile
from digest.ranking.relevance_feedback import MAX_TERMS, LearnedProfile, learn, likeness
from tests.factories.corpora import EVERYTHING, library, model, of_subject, paper, words
from tests.factories.rankings import candidates_of, choices_of, follow, papers_of

BAKING, STARS, OTHER = (
    [of_subject(subject, 10_000 + n) for n in range(12)] for subject in ("baking", "stars", 7)
)
PAPERS = OTHER + STARS + BAKING  # Nothing is for baking but what is learned.
ARE_BAKING = {*range(24, 36)}


def liked(count, subject="baking"):
    return [of_subject(subject, 20_000 + n) for n in range(count)]


def test_terms_shared_with_liked_papers_stay_positive():
    learned = learn(model(), [paper("Bread ovens")] * 3, [paper("Bread graphs", "A clique")])
    weights = dict(zip(learned.terms, learned.weights, strict=True))
    assert weights["cliqu"] < 0 < weights["bread"]


def test_learned_papers_come_without_topic_with_words():
    choices = choices_of(follow("qqq", learned=learn(model(), liked(3))), PAPERS)
    assert len(choices) >= 5
    assert {one.paper for one in choices} <= ARE_BAKING
    assert {(one.basis, one.topic) for one in choices} == {("learned", "")}
    for one in choices:
        words = set(" ".join(one.terms).split())
        assert words
        assert words <= set(PAPERS[one.paper].replace(".", "").split())


def test_unlike_papers_are_omitted():
    learned = learn(model(), liked(10))
    assert papers_of(follow("qqq", learned=learned), OTHER + STARS) == []


def test_more_likes_raise_the_odds():
    profiles = [LearnedProfile(("bread",), (1.0,), count) for count in (0, 1, 9)]
    odds = likeness(np.full((3, len(PAPERS)), 0.2), candidates_of(PAPERS), profiles)
    assert np.isneginf(odds[0]).all()
    assert (odds[1] < odds[2]).all()


def test_library_papers_count_by_shares():
    papers = liked(6) + liked(6, "stars")
    alike, same = (learn(model(), [], library=papers, shares=of) for of in ([], [1.0] * 12))
    assert alike == same
    learned = learn(model(), [], library=papers, shares=[1.0] * 6 + [0.1] * 6)
    profile = Profile((EVERYTHING,), (), len(PAPERS), learned)
    assert {*papers_of(profile, PAPERS)[:6]} <= ARE_BAKING


def test_removed_term_is_in_no_weight():
    removed = {"bread", "flour"}
    whole, without = (learn(model(), liked(6), (), some) for some in ((), removed))
    assert removed <= set(whole.terms)
    assert not removed & set(without.terms)
    assert np.linalg.norm(without.weights) == pytest.approx(1, abs=1e-3)


def test_fillers_of_abstracts_are_not_learned():
    """A word that abstracts say often and titles never is no subject."""
    texts = library()[:1_000]
    texts[::9] = [f"{text} roughly obtain" for text in texts[::9]]
    fitted = TfidfModel().fit(texts)
    learned = learn(fitted, [f"{text} roughly obtain" for text in liked(5)])
    assert "bread" in learned.terms
    assert not {"rough", "obtain"} & set(learned.terms)


def test_only_heaviest_terms_are_kept():
    texts = [f"{words(10 * n, 40)}\n{words(10 * n, 40)}" for n in range(60)] * 2
    learned = learn(TfidfModel().fit(texts), texts)
    assert len(learned.terms) == len(learned.weights) == MAX_TERMS


def test_a_large_library_counts_as_ten_likes():
    learned = learn(model(), liked(5), library=liked(200, "stars"))
    weights = dict(zip(learned.terms, learned.weights, strict=True))
    heaviest = max(learned.weights)
    assert max(weights.get(term, 0) for term in ("bread", "oven", "flour")) > heaviest / 4
    assert learned.liked == 205
