"""What a reader gets: reasons, several topics, mutes, twins and what trends."""

import numpy as np
import pytest

from digest.ranking.choice import DEFAULT, choose, matches
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from tests import corpora
from tests.corpora import (
    DEFINING,
    TITLES,
    choices_of,
    edition_of,
    everything,
    follow,
    library,
    papers_of,
    unmuted,
    word,
    words,
)

# ---- Why


def test_the_words_of_a_reason_are_those_that_she_wrote():
    (first, *_) = choices_of(follow("proteins folded"))
    assert (first.basis, first.topic) == ("topic", "proteins folded")
    assert " ".join(first.terms) == "proteins folded"


def test_of_many_words_the_heaviest_are_said_in_her_order():
    papers = ["flour yeast oven bread", "bread oven", "bread flour", "bread"]
    (first, *_) = choices_of(follow("bread oven yeast flour"), papers)
    assert first.terms == ("oven", "yeast", "flour")


@pytest.mark.parametrize(
    ("paper", "terms"),
    [
        ("Graph neural networks predict molecules", ("graph neural networks", "molecules")),
        ("Neural networks predict a graph of molecules", ("graph", "neural networks", "molecules")),
        ("Molecules: networks predict a neural graph", ("graph", "neural", "molecules")),
        ("Neural networks: graph neural molecules", ("graph neural", "networks", "molecules")),
    ],
)
def test_words_that_the_paper_has_side_by_side_are_said_as_one(paper, terms):
    others = ["networks", "networks of stars", "stars"]
    (first, *_) = choices_of(follow("graph neural networks for molecules"), [paper, *others])
    assert first.terms == terms


def test_of_a_list_in_her_own_words_the_part_is_said_that_the_paper_is_about():
    (first,) = choices_of(follow('proteins, "sour bread", robots'), ["sour bread", "stars"])
    assert first.topic == '"sour bread"'


@pytest.mark.parametrize("name", ["Baking", "ovens"])
def test_of_a_topic_with_a_name_the_name_is_said(name):
    baking = Profile((Interest(name, 'ovens, "sour bread"'),))
    (first,) = choices_of(baking, ["sour bread", "stars"])
    assert first.topic == name


# ---- Several topics


def test_one_topic_does_not_crowd_out_the_others():
    papers = [f"Quantum gravity of strings {word(n)}" for n in range(9)]
    papers += ["A word on bread in ovens of many kinds and sizes", "Rice"]
    topics = [
        choice.topic for choice in choices_of(follow("gravity", "bread ovens", size=4), papers)
    ]
    assert (topics.count("gravity"), topics.count("bread ovens")) == (3, 1)


def test_a_topic_of_weight_two_has_two_papers_in_a_turn():
    papers = [f"{subject} {word(n)}" for subject in ("gravity", "bread") for n in range(9)]
    light, heavy = Interest("light", "gravity"), Interest("heavy", "bread", 2.0)
    topics = [choice.topic for choice in choices_of(Profile((light, heavy), (), 6), papers)]
    assert topics == ["heavy"] * 4 + ["light"] * 2


def test_a_light_topic_finds_what_a_heavy_one_finds():
    for weight in (0.1, 10.0):
        profile = Profile((Interest("nets", "graph neural networks", weight),))
        assert set(papers_of(profile)) == {0, 1}


def test_what_two_topics_find_comes_before_what_one_finds():
    papers = ["bread galaxy", "bread rice", "galaxy rice", "rice"]
    choices = choices_of(follow("bread", "galaxy"), papers)
    assert choices[0].paper == 0
    assert choices[0].score > choices[1].score + 0.05


def test_what_she_had_never_comes_again():
    order = papers_of(follow("neural networks, graph", size=3))
    later = papers_of(follow("neural networks, graph", size=3), seen=order)
    assert later
    assert not set(later) & set(order)
    assert papers_of(follow("neural networks"), seen=range(9)) == []


def test_the_size_of_a_digest_is_its_most():
    for size in (0, 1, 3):
        assert len(papers_of(follow("neural networks", size=size))) == size


def test_the_papers_of_a_topic_are_what_its_followers_would_see():
    model = TfidfModel().fit(TITLES)
    topic = Interest("nets", "neural networks")
    shown = matches(model, edition_of(model, TITLES), topic, 3)
    assert shown == choices_of(Profile((topic,), (), 3))
    assert len(shown) == 3


# ---- Mute


def test_mute_wins_over_follow():
    assert papers_of(follow("language models", mutes=["bread"])) == [6]
    assert papers_of(follow("bread", mutes=["bread"])) == []


@pytest.mark.parametrize(
    ("mute", "left"),
    [
        ("molecule", ["graph", "graphene", "graph molar"]),
        ("graph", ["molecular dynamics", "graphene"]),
        ("molecular graph", ["molecular dynamics", "graph", "graphene", "graph molar"]),
        ("molecular, graph", ["graphene"]),
        ('"dynamics molecular"', None),
        ('"molecular dynamics"', ["graph", "graphene", "graph molar"]),
        ("the of", None),
        ("GRÁPHS", ["molecular dynamics", "graphene"]),
    ],
)
def test_a_muted_text_shuts_out_what_has_all_words_of_one_part(mute, left):
    papers = ["molecular dynamics", "graph", "graphene", "graph molar"]
    assert unmuted(papers, mute) == (papers if left is None else left)


def test_of_several_words_none_mutes_what_it_only_begins():
    papers = ["molecular graph", "molecule graph"]
    assert unmuted(papers, "molecule graph") == ["molecular graph"]


def test_who_mutes_a_word_with_a_letter_keeps_the_word_with_others():
    papers = ["T cells", "solar cells", "vitamin C", "T and B cells", "vitamins C and D"]
    assert unmuted(papers, "T cells") == ["solar cells", "vitamin C", "vitamins C and D"]
    assert unmuted(papers, "cells, vitamin D") == ["vitamin C"]


def test_a_muted_category_is_shut_out_and_with_words_what_says_them_in_it():
    papers = ["bread", "bread oven", "oven"]
    model = TfidfModel().fit(papers)
    edition = edition_of(model, papers, categories=[("a", "x"), ("b",), ("a",)])
    for mute, left in (
        (Interest("m", "", 1, ("a",)), [1]),
        (Interest("m", "bread", 1, ("a",)), [1, 2]),
        (Interest("m", "", 1, ("x", "b")), [2]),
        (Interest("m", " ", 1, ()), [0, 1, 2]),
        (Interest("m", "bread", 1, ()), [2]),
    ):
        profile = Profile(follow("bread, oven").follows, (mute,))
        (choices,) = choose(model, edition, [profile], [()])
        assert sorted(choice.paper for choice in choices) == left


def test_however_many_are_muted_the_others_come():
    papers = [f"bread oven {word(n)}" for n in range(40)] + [f"bread {word(99)} of sand"]
    papers += [words(200 + 2 * n, 2) for n in range(80)]
    assert papers_of(follow("bread", mutes=["oven"], size=1), papers) == [40]


def test_a_muted_paper_does_not_trend_either():
    profile = Profile(mutes=follow(mutes=["bread"]).mutes)
    assert 7 not in papers_of(profile, upvotes=[1] * 7 + [90, 80])
    assert 7 not in papers_of(profile)


@pytest.mark.parametrize(
    ("papers", "mute", "left"),
    [
        ([f"graph {word(n)}" for n in range(60)], ", ".join(word(n) for n in range(60)), []),
        (["GPUs", "graph"], "GPU", ["graph"]),
        (["kmeans", "graph"], "k-means", ["graph"]),
        (["semi-supervised", "graph"], "semi supervised", ["graph"]),
    ],
)
def test_a_muted_text_is_muted_however_long_it_is_and_however_it_is_spelt(papers, mute, left):
    assert unmuted(papers, mute) == left


def test_who_mutes_words_mutes_the_acronym_that_stands_for_them():
    papers = [*DEFINING, "LLMs bake", "language", "rice"]
    assert unmuted(papers, "large language models") == ["language", "rice"]


def test_who_mutes_an_acronym_mutes_what_it_stands_for():
    papers = [*DEFINING, "large language models", "a large language", "rice"]
    assert unmuted(papers, "LLMs") == ["a large language", "rice"]


def test_who_mutes_a_phrase_with_an_acronym_mutes_it():
    assert unmuted([*DEFINING, "LLM agents"], '"LLM agents"') == DEFINING


@pytest.mark.parametrize("mute", ["zeugma", '"graph zeugma"', "graph zeugma"])
def test_a_word_that_is_newer_than_the_model_is_muted(mute):
    profile = follow("graph", mutes=[mute])
    assert papers_of(profile, ["graph zeugma", "graph"], model=TfidfModel().fit(TITLES)) == [1]


def test_a_word_that_is_newer_than_the_model_is_muted_beside_what_it_begins():
    model = TfidfModel().fit([*TITLES, "zeugmatic graph"])
    profile = follow("graph", mutes=["zeugma"])
    assert papers_of(profile, ["graph zeugma", "graph zeugmatic", "graph"], model=model) == [2]


# ---- The same idea twice


def twins():
    """Return three papers: two on one idea, the second with a word more, and another."""
    idea = f"bread oven {words(0, 24)}"
    return [idea, f"{idea} {word(99)}", f"bread oven {words(30, 8)}", "rice"]


def test_near_duplicates_fold_into_the_better_one():
    first, second = choices_of(follow("bread oven"), twins(), ages=[1, 1, 0, 0])
    assert {first.paper, second.paper} == {0, 2}
    assert {choice.paper: choice.relatives for choice in (first, second)} == {0: (1,), 2: ()}


@pytest.mark.parametrize("hide", [{"seen": [1]}, {"mutes": [word(99)]}])
def test_what_she_must_not_get_is_no_relative(hide):
    profile = follow("bread oven", mutes=hide.get("mutes", ()))
    choices = choices_of(profile, twins(), seen=hide.get("seen", ()))
    assert {choice.paper for choice in choices} == {0, 2}
    assert not any(choice.relatives for choice in choices)


def test_short_texts_are_never_folded():
    papers = ["bread oven yeast"] * 5 + ["rice"]
    assert len(papers_of(follow("bread"), papers)) == 5


def test_likeness_is_not_handed_on():
    """A is like B and B like C, but C has an idea of its own."""
    one, two, three, four = (words(n, 12) for n in (0, 20, 40, 60))
    papers = [f"{one} {two} {three}", f"{two} {three} {four}", f"{three} {four} {words(80, 12)}"]
    model = TfidfModel(idf_power=1).fit(papers)
    groups = edition_of(model, papers).groups(0.5).tolist()
    cosines = (model.transform(papers) @ model.transform(papers).T).toarray()
    assert cosines[0, 1] > 0.5 < cosines[1, 2]
    assert cosines[0, 2] < 0.5
    assert groups == [0, 0, 2]


def test_twins_fold_in_a_large_edition_with_a_latent_part_too():
    papers = [*library(), f"{library()[3]} {word(7_777)}", f"{library()[50]} more"]
    edition = edition_of(corpora.model(), papers)
    groups = edition.groups(DEFAULT.duplicate)
    assert edition.latent.shape[1]
    assert groups[120] == groups[3]
    assert groups[121] == groups[50]
    assert len(set(groups)) == len(library())


def test_many_papers_on_one_idea_leave_room_for_the_others():
    idea = f"bread oven {words(0, 200)}"
    papers = [f"{idea} {word(900 + n)}" for n in range(40)]
    papers += [f"bread oven {words(1_000 + 40 * n, 30)}" for n in range(9)]
    profile = Profile((everything(),), (), 5)
    known = {"categories": [("all",)] * 49, "ages": [0] * 40 + [1] * 9}
    assert len(papers_of(profile, papers, **known)) == 5


# ---- What trends


def test_mathematics_trends_beside_language_models():
    fields = ["cs"] * 10 + ["math"] * 10
    votes = [100] * 9 + [400] + [3] * 9 + [14]
    edition = edition_of(TfidfModel().fit([]), ["paper"] * 20, upvotes=votes, fields=fields)
    order = np.argsort(-edition.trends)
    assert set(order[:2]) == {9, 19}
    assert edition.trends[19] > 5 * edition.trends[0]


def test_nothing_trends_where_nobody_voted():
    model = TfidfModel().fit(TITLES)
    assert not edition_of(model, TITLES).trends.any()
    voted = edition_of(model, TITLES, upvotes=[0, 5, 0, 2, 0, 0, 0, 0, 1]).trends
    assert list(np.flatnonzero(voted)) == [1, 3, 8]
    assert 0 < voted[voted > 0].min() <= voted.max() <= 1


def test_where_nobody_voted_the_newest_come_one_field_after_the_other():
    known = {"ages": [1, 1, 0, 0, 0, 0, 2, 2, 2], "fields": ["b", "a", *"aaab", "a", "a", "b"]}
    choices = choices_of(Profile(size=6), **known)
    assert [choice.paper for choice in choices] == [2, 5, 3, 4, 1, 0]
    assert {choice.basis for choice in choices} == {"new"}


def test_who_follows_a_topic_gets_nothing_that_only_trends():
    assert papers_of(follow("bread"), upvotes=[900] + [1] * 8) == [7, 8]
    assert papers_of(follow("qqq"), upvotes=[900] + [1] * 8) == []


def test_of_papers_on_a_topic_the_one_that_trends_comes_first():
    papers = [f"bread {word(n)}" for n in range(9)] + ["rice"]
    votes = [2, 2, 2, 2, 90, 2, 2, 2, 2, 2]
    choices = choices_of(follow("bread"), papers, upvotes=votes)
    assert choices[0].paper == 4
    assert choices[0].basis == "topic"
    assert choices[0].score > choices[1].score
