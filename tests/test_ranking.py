"""The ranking, without a database: strings and arrays in, choices out."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.ranking import choice, text
from digest.ranking.choice import Edition, Interest, Profile, choose
from digest.ranking.model import TfidfModel

CORPUS = [
    "Graph neural networks for traffic forecasting on road networks",
    "A survey of graph neural networks",
    "Neural networks for images",
    "Neural networks and their images",
    "Training neural networks on images",
    "Diffusion models generate molecular graphs",
    "Protein folding with language models",
    "Bayesian statistics of bread",
    "Large language models reason about bread",
]


def edition_of(model, papers, ages=None, upvotes=None, fields=()):
    zeros = np.zeros(len(papers))
    return Edition(
        model.transform(papers),
        zeros if ages is None else np.array(ages, float),
        zeros if upvotes is None else np.array(upvotes, float),
        fields,
    )


def muting(*queries):
    return tuple(Interest("muted", query) for query in queries)


def chosen(query, papers=CORPUS, *, mutes=(), seen=(), size=10):
    """Return the papers that one reader gets, as texts, with the choices."""
    model = TfidfModel().fit(papers)
    profile = Profile((Interest("mine", query),), muting(*mutes), size)
    (choices,) = choose(model, edition_of(model, papers), [profile], [set(seen)])
    return [papers[c.paper] for c in choices], choices


def test_papers_about_the_topic_come_and_what_shares_a_word_alone_does_not():
    papers, _ = chosen("graph neural networks")
    assert set(papers) == {CORPUS[0], CORPUS[1]}


def test_the_words_of_the_reason_are_whole_words():
    _, choices = chosen("graph neural networks")
    assert choices[0].topic == "mine"
    assert set(choices[0].terms) == {"graph", "neural", "networks"}


@pytest.mark.parametrize(
    "query", ["Graph-Neural NETWORKS", "graph neural network", "gráph neurál networks"]
)
def test_case_accents_hyphens_and_number_do_not_matter(query):
    assert chosen(query)[0] == chosen("graph neural networks")[0]


def test_any_part_of_a_topic_will_do():
    papers, _ = chosen("protein folding, graph neural networks")
    assert set(papers) == {CORPUS[0], CORPUS[1], CORPUS[6]}


def test_a_comma_in_a_sentence_parts_nothing():
    assert chosen("how do graph networks forecast traffic, and bread")[0] == [CORPUS[0]]
    assert choice.parts("a, b c; d") == ["a", "b c", "d"]


def test_words_of_a_wish_are_not_what_it_is_about():
    assert chosen("I want to know more about papers on protein folding")[0] == [CORPUS[6]]


def test_state_of_the_art_is_no_state():
    assert chosen("state models", ["A state-of-the-art models", "Bread", "Rice"])[0] == []


def test_the_words_of_the_reason_are_those_that_she_wrote():
    _, choices = chosen("Proteins folded")
    assert set(choices[0].terms) == {"proteins", "folded"}


def test_one_topic_does_not_crowd_out_the_others():
    papers = [f"Quantum gravity of strings {n}" for n in range(9)]
    papers += ["A word on bread in ovens of many kinds and sizes", "Rice"]
    model = TfidfModel().fit(papers)
    profile = Profile((Interest("a", "quantum gravity"), Interest("b", "bread ovens")), size=4)
    (choices,) = choose(model, edition_of(model, papers), [profile], [set()])
    assert [c.topic for c in choices].count("b") == 1


def test_a_word_that_no_paper_has_lets_none_in():
    assert chosen("hyperkähler graph")[0] == []


@pytest.mark.parametrize("query", ["", " ,;, ", "the of and", "2024", "…", "\x00", "🦆"])
def test_a_topic_without_words_matches_nothing(query):
    assert chosen(query)[0] == []


def test_mute_wins_over_follow():
    papers, _ = chosen("language models", mutes=["bread"])
    assert papers == [CORPUS[6]]


def test_muting_two_words_mutes_what_has_both():
    assert set(chosen("language models", mutes=["protein bread"])[0]) == {CORPUS[6], CORPUS[8]}
    assert chosen("language models", mutes=["protein, bread"])[0] == []


def test_a_heavier_topic_comes_first():
    model = TfidfModel().fit(CORPUS)
    edition = edition_of(model, CORPUS)
    light = Profile((Interest("a", "protein folding"), Interest("b", "bayesian statistics", 3.0)))
    (choices,) = choose(model, edition, [light], [set()])
    assert [c.topic for c in choices] == ["b", "a"]


def test_readers_in_one_product_get_what_each_would_get_alone():
    model = TfidfModel().fit(CORPUS)
    edition = edition_of(model, CORPUS)
    profiles = [
        Profile((Interest("x", "graph neural networks"),)),
        Profile((Interest("y", "bread"), Interest("x", "graph neural networks"))),
        Profile(),
        Profile((Interest("y", "bread"),), muting("bayesian")),
    ]
    seen = [{0}, set(), set(), set()]
    together = choose(model, edition, profiles, seen)
    alone = [choose(model, edition, [p], [s])[0] for p, s in zip(profiles, seen, strict=True)]
    assert together == alone


def test_the_order_of_the_papers_changes_nothing():
    shuffled = CORPUS[::-1]
    for query in ["graph neural networks", "bread, language models", "models"]:
        assert sorted(chosen(query)[0]) == sorted(chosen(query, shuffled)[0])


def test_a_stored_model_ranks_as_the_fitted_one():
    model = TfidfModel().fit(CORPUS)
    again = TfidfModel.from_arrays(model.to_arrays())
    ours, theirs = model.transform(CORPUS), again.transform(CORPUS)
    assert np.array_equal(ours.toarray(), theirs.toarray())
    assert all(array.dtype != object for array in model.to_arrays().values())


@pytest.mark.parametrize(
    "damage",
    [
        {"format": np.array(0)},
        {"idf": np.array([1.0])},
        {"idf": np.full(3, np.nan), "terms": np.array(list("abc")), "words": np.array(list("abc"))},
    ],
)
def test_a_model_that_can_not_be_is_refused(damage):
    arrays = TfidfModel().fit(CORPUS).to_arrays() | damage
    with pytest.raises(ValueError, match="a model"):
        TfidfModel.from_arrays(arrays)


def test_a_trend_ages():
    model = TfidfModel().fit(CORPUS)
    edition = edition_of(model, CORPUS, ages=range(9), upvotes=[10] * 9)
    assert list(np.argsort(-edition.trends)) == list(range(9))
    assert edition.trends.max() == 1.0


def test_a_topic_of_a_hundred_thousand_characters_is_only_long():
    assert chosen("graph neural networks " * 5_000)[0]


def test_words_are_folded_and_stems_map_back():
    assert text.terms("Erdős–Rényi’s Graphs") == text.terms("erdos renyi graph")


@settings(max_examples=150, deadline=None)
@given(
    papers=st.lists(st.text(max_size=60), max_size=8),
    query=st.text(max_size=60),
    mute=st.text(max_size=20),
    size=st.integers(1, 50),
)
def test_any_text_of_any_script_ranks_without_harm(papers, query, mute, size):
    model = TfidfModel().fit(papers)
    edition = edition_of(model, papers)
    profiles = [
        Profile((Interest("t", query),), muting(mute), size),
        Profile((), muting(mute), size),
    ]
    (interest,) = muting(mute)
    muted = choice.muted_by(model, edition, interest)
    for choices in choose(model, edition, profiles, [{0}, set()]):
        positions = [c.paper for c in choices]
        assert len(positions) == len(set(positions)) <= size
        assert not muted & set(positions)
        assert all(0 <= c.score <= 1 for c in choices)
        assert [c.score for c in choices] == sorted((c.score for c in choices), reverse=True)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(st.sampled_from(["graph", "neural", "network", "bread"]), min_size=1))
def test_a_muted_word_never_appears_whatever_is_followed(words):
    query = " ".join(words)
    for mute in ("graph", "graphs", "GRAPH"):
        assert all("graph" not in paper.lower() for paper in chosen(query, mutes=[mute])[0])


def test_the_ranking_imports_without_django():
    code = (
        "import sys; from digest.ranking import choice, model; "
        "sys.exit(any(name.split('.')[0] in ('django', 'celery') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
