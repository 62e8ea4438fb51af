"""What a reader likes and dislikes: what is learned of it, and what it does to her papers."""

import numpy as np
import pytest
from scipy import sparse

from digest.ranking.explaining import words_behind_weights
from digest.ranking.learning import (
    LEAST,
    RIDGE,
    WEIGHTS,
    Learned,
    learn,
    learned_scores,
    vectors_of,
)
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from tests import corpora
from tests.corpora import EACH, edition_of, follow, library, model, of_subject, papers_of

EVERYTHING = Interest("everything", "", categories=("all",))


def texts(subject, count=6):
    return [library()[place] for place in list(of_subject(subject))[:count]]


def ranked(learned=None):
    """Return the papers of the library in the order of who follows the category of them all."""
    profile = Profile((EVERYTHING,), (), len(library()), learned)
    return papers_of(profile, library(), model=model(), categories=[("all",)] * len(library()))


def place_of(subject, order):
    """Return the mean place of a subject's papers, those that are missing at the end."""
    return np.mean([order.index(p) if p in order else len(library()) for p in of_subject(subject)])


def test_what_is_liked_brings_its_like_to_the_front():
    assert place_of("stars", ranked()) > 30
    order = ranked(learn(model(), texts("stars")))
    assert set(order[:EACH]) == set(of_subject("stars"))


def test_what_is_disliked_is_pushed_back():
    order = ranked(learn(model(), [], texts("baking")))
    assert place_of("baking", order) > len(library()) - EACH
    assert {*range(len(library()))} - {*of_subject("baking")} <= {*order}


def test_likes_and_dislikes_work_together():
    learned = learn(model(), texts("stars"), texts("baking"))
    order = ranked(learned)
    assert set(order[:EACH]) == set(of_subject("stars"))
    assert place_of("baking", order) > place_of("baking", ranked(learn(model(), texts("stars"))))


def test_what_a_disliked_paper_shares_with_the_liked_ones_is_no_reason_against_it():
    small = TfidfModel().fit(["bread oven", "bread graph clique", "bread", "rice"])
    both = learn(small, ["bread oven"], ["bread graph clique"])
    weights = dict(zip(both.terms, both.weights, strict=True))
    alone = learn(small, ["bread oven"])
    liked = dict(zip(alone.terms, alone.weights, strict=True))
    assert weights["graph"] < 0
    assert weights["bread"] / weights["oven"] == pytest.approx(liked["bread"] / liked["oven"], 1e-3)


def test_what_she_dislikes_falls_below_the_floor_of_her_topic():
    papers = [f"tensor {corpora.word(n)}" for n in range(40)]
    papers += [corpora.words(100 + 2 * n, 2) for n in range(60)]
    learned = Learned((corpora.word(3), corpora.word(999)), (-0.15, 1.0), 1)
    fitted = TfidfModel().fit([*papers, corpora.word(999)])
    profile = follow("tensor", size=40, learned=learned)
    chosen = papers_of(profile, papers, model=fitted)
    assert set(chosen) == {*range(40)} - {3}


def test_what_many_papers_have_in_common_is_taken_down_as_a_ridge_does():
    """w = q - V diag(e / (e + λ)) Vᵀ q, beside the latent similarity."""
    vectors = vectors_of(model(), [learn(model(), texts("baking"))])
    edition = edition_of(model(), library())
    profile = model().latent(vectors)[0]
    kept = RIDGE / (model().explained_ + RIDGE)
    of_words = (edition.vectors @ vectors.T).toarray().ravel() - edition.latent @ profile
    ridge = of_words + edition.latent @ (kept * profile)
    cosine = edition.directions @ profile / np.linalg.norm(profile)
    for liked, share in ((1, 0.8), (6, 0.3), (600, 0.201)):
        (scores,) = learned_scores(model(), edition, vectors, np.array([liked]))
        assert scores == pytest.approx((ridge + share * cosine) / (1 + share), abs=1e-4)


def test_one_paper_of_another_kind_does_not_lower_the_floor():
    with_another = learn(model(), [*texts("baking", 12), *texts("stars", 1)])
    assert with_another.floor > 0.9 * learn(model(), texts("baking", 12)).floor > LEAST * 1.3


def test_papers_come_for_what_she_likes_alone_and_say_its_words():
    profile = follow("galaxy", learned=learn(model(), texts("baking")), size=30)
    choices = corpora.choices_of(profile, library(), model=model(), seen=of_subject("stars"))
    learned = [choice for choice in choices if choice.basis == "learned"]
    assert len(set(of_subject("baking")[6:]) & {choice.paper for choice in learned}) >= 4
    for choice in learned:
        assert not choice.topic
        assert choice.terms
        assert set(" ".join(choice.terms).split()) <= set(library()[choice.paper].split())


def test_what_a_reader_likes_is_said_as_the_paper_says_it():
    papers = ["the crust of bread", "bread and its crust", "bread has yeast, and a crust"]
    edition = edition_of(model(), papers)
    weights = np.zeros((3, len(model().terms_)))
    weights[:, model().columns(["bread", "crust"])] = [2, 1]
    said = words_behind_weights(model(), edition, sparse.csr_matrix(weights), np.arange(3))
    assert said == [("crust bread",), ("bread crust",), ("bread", "crust")]


def test_two_likes_bring_nothing_on_their_own_account():
    two = learn(model(), texts("baking", 2))
    assert two.floor == np.inf
    assert learn(model(), texts("baking", 3)).floor < 1
    chosen = corpora.choices_of(follow("galaxy", learned=two), library(), model=model())
    assert {choice.basis for choice in chosen} == {"topic"}


def test_a_like_of_her_likes_reaches_the_floor_and_a_stranger_does_not():
    learned = learn(model(), texts("baking", 10))
    profile = follow("qqq", size=120, learned=learned)
    chosen = papers_of(profile, library(), model=model(), seen=of_subject("baking")[:10])
    assert set(of_subject("baking")[10:]) & set(chosen)
    assert set(chosen) <= set(of_subject("baking"))


def test_a_removed_term_is_out_of_weights_and_reasons():
    removed = {"bread", "flour"}
    whole, without = learn(model(), texts("baking")), learn(model(), texts("baking"), (), removed)
    assert set(whole.terms) - set(without.terms) == removed
    assert np.linalg.norm(without.weights) == pytest.approx(1, abs=1e-3)
    choices = corpora.choices_of(follow("qqq", learned=without, size=30), library(), model=model())
    assert choices
    assert not any(removed & set(choice.terms) for choice in choices)


def test_the_heaviest_terms_are_kept_and_no_more():
    liked = [" ".join([corpora.word(n), corpora.words(500, 400)]) for n in range(4)]
    wide = TfidfModel().fit([*liked, *library()])
    learned = learn(wide, [f"{liked[0]} {'bread ' * 50}", *texts("baking", 1)])
    assert len(learned.terms) == len(learned.weights) == WEIGHTS == 300
    assert "bread" in learned.terms


def test_the_terms_are_told_without_the_rarest_first():
    """The rarest weighs the most, and says the least of what she likes."""
    liked = [f"bread oven {corpora.word(n)}" for n in range(3)]
    fitted = TfidfModel().fit(liked + ["bread", "oven", "the bread oven"] * 3)
    learned = learn(fitted, liked)
    assert learned.terms[:2] == ("bread", "oven")
    assert max(learned.weights) not in learned.weights[:2]


def test_who_said_nothing_has_learned_nothing():
    for learned in (learn(model(), []), learn(model(), ["qqq"], [""])):
        assert learned.terms == ()
        profile = follow("bread, galaxy", learned=learned)
        assert papers_of(profile, library(), model=model()) == papers_of(
            follow("bread, galaxy"), library(), model=model()
        )


def test_muted_is_muted_however_much_it_is_liked():
    learned = learn(model(), texts("baking", 10))
    profile = follow("galaxy", mutes=["bread", "dough"], size=120, learned=learned)
    chosen = papers_of(profile, library(), model=model())
    assert not any({"bread", "dough"} & set(library()[place].split()) for place in chosen)
    assert set(of_subject("baking")) & set(chosen)


def test_papers_with_nothing_in_common_with_what_she_likes_do_not_come():
    papers = ["bread oven", "galaxy quasar", "qubit photon", "auction bidder", "rainfall drought"]
    learned = learn(TfidfModel().fit(papers), papers[:3])
    chosen = corpora.choices_of(follow("qqq", learned=learned), papers, seen=range(3))
    assert chosen == []


def test_what_she_likes_comes_first_however_many_papers_her_topic_has():
    papers = [f"tensor {corpora.word(n)}" for n in range(40)]
    papers += [corpora.words(100 + 2 * n, 2) for n in range(60)]
    ages = range(len(papers))
    learned = learn(TfidfModel().fit(papers), [corpora.word(39)])
    assert papers_of(follow("tensor", size=40), papers, ages=ages)[-1] == 39
    for size in (1, 40):
        profile = follow("tensor", size=size, learned=learned)
        assert papers_of(profile, papers, ages=ages)[0] == 39
