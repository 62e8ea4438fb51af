"""The ranking, without a database: strings and arrays in, choices out."""

import pkgutil
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import digest.ranking
from digest.ranking import choice as choosing
from digest.ranking import query, text
from digest.ranking.choice import DEFAULT, choose, matches
from digest.ranking.explaining import words_behind_weights
from digest.ranking.learning import Learned, learn
from digest.ranking.model import TfidfModel
from digest.ranking.muting import muted
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import MAX_PARTS, MAX_TERMS, parts, queries
from digest.ranking.relevance import relevance
from digest.ranking.tuning import Tuning
from tests import corpora
from tests.corpora import (
    DEFINING,
    TITLES,
    choices_of,
    edition_of,
    follow,
    library,
    of_subject,
    papers_of,
    word,
    words,
)


def everything(weight=1.0):
    """Return an interest in the category of all papers."""
    return Interest("everything", "", weight, ("all",))


def unmuted(papers, *mutes):
    """Return which papers are left to who follows all of them and mutes these texts."""
    profile = Profile((everything(),), follow(mutes=mutes).mutes, len(papers))
    places = papers_of(profile, papers, categories=[("all",)] * len(papers))
    return [papers[place] for place in sorted(places)]


# ---- What a topic's text asks for


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("bread", ["bread"]),
        ("a, b c; d\ne", ["a", "b c", "d", "e"]),
        ("bread, bread ,, ;", ["bread"]),
        ("one two three four, five", ["one two three four", "five"]),
        ("how do ovens bake bread, and why", ["how do ovens bake bread, and why"]),
        (
            "how do ovens\nbake a bread\tso fast that it burns",
            ["how do ovens bake a bread so fast that it burns"],
        ),
        ("rice; how do ovens bake bread, and why", ["rice", "how do ovens bake bread, and why"]),
        (
            'bread, rice; "an oven; a knife" for a good baker',
            ["bread", "rice", '"an oven; a knife" for a good baker'],
        ),
        ('"bread, butter and a knife", rice', ['"bread, butter and a knife"', "rice"]),
        ("„bread, butter“; “rice; fish”", ['"bread, butter"', '"rice; fish"']),
        ('bread "and butter, rice', ['bread "and butter', "rice"]),
        ('5" of bread', ['5" of bread']),
        ('"', ['"']),
        (" ,;\n ", []),
    ],
)
def test_a_topic_is_a_list_of_phrases_or_one_sentence(topic, expected):
    assert parts(topic) == expected


def test_a_semicolon_in_an_abstract_that_was_pasted_parts_nothing():
    abstract = f"bread and ovens are {words(0, 60)}; rice"
    assert parts(abstract) == [abstract]


def test_a_quoted_phrase_is_the_terms_that_must_stand_together():
    (query,) = queries('"graph networks" of “bread ovens” and "oven"')
    assert query.phrases == (("bread", "oven"), ("graph", "network"))
    assert query.terms == ("graph", "network", "bread", "oven", "oven")


def test_parts_that_say_the_same_are_one_and_parts_without_a_term_are_none():
    assert [query.text for query in queries("graph net, the, nets of graphs, 2024, rice")] == [
        "graph net",
        "rice",
    ]
    assert len(queries('graph net, "graph net"')) == 2


def test_of_a_long_list_the_first_parts_count_and_of_a_long_part_the_first_terms():
    many = queries(", ".join(word(n) for n in range(5_000)))
    assert [query.text for query in many] == [word(n) for n in range(MAX_PARTS)]
    (long,) = queries(words(0, 2_000) + " " + words(0, 3))
    assert list(long.terms) == [*words(0, MAX_TERMS).split(), *words(0, 3).split()]


# ---- What is about a topic


def test_papers_about_the_topic_come_and_what_shares_a_word_alone_does_not():
    assert set(papers_of(follow("graph neural networks"))) == {0, 1}


@pytest.mark.parametrize(
    "topic", ["Graph-Neural NETWORKS", "gráph neurál network", r"\emph{Graph} Neural $Networks$"]
)
def test_case_accents_hyphens_latex_and_number_do_not_matter(topic):
    assert papers_of(follow(topic)) == papers_of(follow("graph neural networks"))


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("pretraining", "pre-training"),
        ("GPT4", "GPT-4"),
        ("covid", "COVID-19"),
        ("kmeans", "k-means"),
        ("LLM", "LLMs"),
        ("tumour behaviour", "tumor behavior"),
        ("Schrödinger", r"Schr\"odinger"),
        ("k-means", "kmeans"),
        ("PDE", "PDEs"),
        ("semi supervised", "semi-supervised"),
        ("multi agent planning", "multi-agent planning"),
        ("3D", "3-D"),
    ],
)
def test_a_topic_finds_its_other_spelling(topic, said):
    assert papers_of(follow(topic), ["rice", f"{said} of clusters", "bread"]) == [1]


@pytest.mark.parametrize("said", ["V-JEPA2", "V-JEPA-2"])
def test_a_name_of_a_letter_a_word_and_a_number_is_found(said):
    assert set(papers_of(follow(said), [f"{said} learns", "VJEPA2 learns", "rice"])) == {0, 1}


def test_any_part_of_a_topic_will_do_and_the_best_one_counts():
    assert set(papers_of(follow("protein folding, graph neural networks"))) == {0, 1, 6}
    papers = ["bread oven", "rice", "sand", "bread flour"]
    (first, *_) = choices_of(follow("bread oven, bread"), papers)
    (alone, *_) = choices_of(follow("bread oven"), papers)
    assert (first.score, first.terms) == (alone.score, alone.terms)


def test_scores_are_between_none_and_all_and_a_paper_is_about_itself():
    (query,) = queries(library()[3])
    scores = relevance(corpora.model(), whole(), [query], Tuning(expansion=0)).scores[0]
    assert scores[3] == pytest.approx(1, abs=1e-4)
    assert scores[3] == scores.max() <= 1
    assert scores.min() >= 0


def test_of_a_sentence_a_paper_must_have_most_of_what_weighs():
    assert papers_of(follow("how do graph networks forecast traffic, and bread")) == [0]


def test_what_a_paper_lacks_of_a_sentence_it_must_make_up_for_by_its_score():
    """Both say three of the four words, one of them among many others."""
    papers = ["bread oven yeast", f"bread oven yeast {words(0, 30)}", "flour", "rice", "sand"]
    topic = "bread oven yeast flour"
    assert papers_of(follow(topic), papers) == [0]
    assert papers_of(follow(topic), [papers[0], f"{papers[1]} flour", *papers[2:]]) == [0, 1]


def test_the_longer_a_sentence_is_the_fewer_of_its_words_are_enough():
    papers = ["bread oven", "flour", "yeast", "rice", "sand"]
    assert papers_of(follow("bread oven yeast flour"), papers) == []
    assert papers_of(follow("bread oven yeast flour rice sand"), papers) == [0]


def test_words_of_a_wish_are_not_what_it_is_about():
    assert papers_of(follow("I want to know more about papers on protein folding")) == [6]
    assert papers_of(follow("I need to understand and look especially at protein folding")) == [6]
    assert papers_of(follow("Curious: please send me things that deal with protein folding")) == [6]


def test_in_two_or_three_words_the_words_of_a_wish_are_the_subject():
    papers = ["tool use", "tools", "the use of bread", "rice"]
    assert papers_of(follow("tool use"), papers) == [0]
    assert [query.terms for query in queries("the best way to use new tools in an oven")] == [
        ("tool", "oven")
    ]
    assert [query.terms for query in queries("new results of methods, recent studies")] == [
        ("new", "result", "method"),
        ("recent", "studi"),
    ]


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("How do nurses use AI?", ("nurs", "ai")),
        ("which new methods forecast floods", ("forecast", "flood")),
        ("what is tool use", ("tool", "use")),
        ("What works?", ("work",)),
        ("how new methods work", ("new", "method", "work")),
    ],
)
def test_words_of_a_question_are_not_what_it_is_about(question, terms):
    assert [query.terms for query in queries(question)] == [terms]


def test_a_word_that_no_paper_has_lets_none_in():
    assert papers_of(follow("hyperkähler graph")) == []
    assert papers_of(follow("graph neural networks of hyperkähler quux and zeugma")) == []


@pytest.mark.parametrize("topic", ["", " ,;, ", "the of and", "2024", "…", "\x00", "🦆", '""'])
def test_a_topic_without_words_finds_nothing(topic):
    assert papers_of(follow(topic)) == []


def test_quotes_in_a_pasted_abstract_are_its_own():
    abstract = f'"graph soup", bread ovens and {words(0, 60)}'
    (query,) = queries(abstract)
    assert not query.phrases
    assert not query.is_literal
    (query,) = queries('"graph soup" with the bread of many ovens, from all of their bakers')
    assert query.phrases == (("graph", "soup"),)


@pytest.mark.parametrize(
    "address",
    [
        "https://arxiv.org/abs/2506.04235",
        "www.example.org/graphs",
        "10.1038/s41586-021-03819-2",
        "doi: 10.1038/s41586-021-03819-2",
        "arXiv:2506.04235v2",
        "arXiv: math/0309136",
    ],
)
def test_an_address_has_no_words(address):
    assert queries(address) == ()
    assert [query.terms for query in queries(f"{address}; as {address}, on bread")] == [("bread",)]


@pytest.mark.parametrize("quoted", ['"graph networks"', "“graph networks”", "„Graphs network“"])
def test_a_phrase_in_quotes_must_stand_together(quoted):
    papers = ["graph networks", "graph neural networks", "networks of a graph", "rice"]
    assert set(papers_of(follow("graph networks"), papers)) == {0, 1, 2}
    assert papers_of(follow(quoted), papers) == [0]


CONFORMAL = [
    "Conformal prediction",
    "a conformal\u2010prediction set",
    "sets of conformal predictions",
    r"\emph{conformal} prediction",
    "conformation prediction",
    "conformal predicting",
    "conformational predictions",
    "rice",
]


@pytest.mark.parametrize(
    ("quoted", "found"),
    [
        ('"conformal prediction"', {0, 1, 2, 3}),
        ('"Conformal predictions"', {0, 1, 2, 3}),
        ('"conformation prediction"', {4}),
        ('"conformational prediction"', {6}),
        ('"conformal predicting"', {5}),
        ('"conformal" prediction', {0, 1, 2, 3, 5}),
        ('"conformal prediction", "conformation prediction"', {0, 1, 2, 3, 4}),
        ('"conform prediction"', set()),
        ("conformal prediction", {0, 1, 2, 3, 4, 5, 6}),
    ],
)
def test_what_stands_in_quotes_means_the_words_as_they_are_written(quoted, found):
    assert set(papers_of(follow(quoted), CONFORMAL)) == found


LETTERS = [
    "T cells of mice",
    "the T-cell",
    "B cells of mice",
    "single cells",
    "T: a theory of cells",
    "rice",
]


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("T cells", {0, 1}),
        ("t cell", {0, 1}),
        ('"T cells"', {0, 1}),
        ("T cells, B cells", {0, 1, 2}),
        ('"T cells" of mice', {0}),
        ("cells", {0, 1, 2, 3, 4}),
        ("a cell", {0, 1, 2, 3, 4}),
        ("I cells", {0, 1, 2, 3, 4}),
        ("baker's cells", set()),
        ("T-cell", {0, 1}),
        ("T-cells, bread", {0, 1}),
    ],
)
def test_a_word_of_one_letter_must_stand_beside_its_neighbour(topic, found):
    assert set(papers_of(follow(topic), LETTERS)) == found


def test_of_a_letter_in_the_middle_one_neighbour_is_enough():
    papers = [
        "deficiency of vitamin D",
        "vitamin C deficiency",
        "deficiency of a vitamin, and of D",
        "rice",
    ]
    assert papers_of(follow("vitamin D deficiency"), papers) == [0]


@pytest.mark.parametrize("said", ["3-D", "11-D", "1.5-B"])
def test_a_number_that_a_hyphen_joins_to_a_letter_is_a_term_with_it(said):
    papers = [f"{said} bread", f"{said.replace('-', '')} bread", "bread", "rice"]
    assert set(papers_of(follow(f"{said} bread"), papers)) == {0, 1}


@pytest.mark.parametrize("topic", ["k-means", "k means", "K-Means", "rice, k means"])
def test_a_letter_and_a_word_are_the_same_with_a_hyphen_and_without(topic):
    papers = ["k-means", "k means", "kmeans", "the $k$-means of graphs", "means of k", "oven means"]
    assert set(papers_of(follow(topic), papers)) == {0, 1, 2, 3}
    assert unmuted(papers, topic) == ["means of k", "oven means"]


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("e commerce", {0, 1}),
        ("3-D", {2}),
        ("3-D vision", {2}),
        ("in-context learning", {3}),
        ('"k-means"', {5, 6}),
        ('"k means"', {5, 6}),
        ("k-means of the bakers, their bread and their ovens", {5}),
    ],
)
def test_other_hyphens_and_what_is_quoted_or_a_sentence_mean_what_they_did(topic, found):
    papers = ["e-commerce", "ecommerce", "3D vision", "in-context learning", "learning contexts"]
    papers += ["k-means of bakers' bread in ovens", "k means"]
    assert set(papers_of(follow(topic), papers)) == found


HYPHENS = [
    "Chain of thought",
    "chain-of-thought prompting",
    "few-shot learning",
    "few shot learning",
    "zero-shot learning",
    "super-resolution",
    "super resolution",
    "resign",
    "sign",
    "rice",
]


@pytest.mark.parametrize(
    ("quoted", "found"),
    [
        ("chain of thought", {0, 1}),
        ("few shot learning", {2, 3}),
        ("super resolution", {5, 6}),
        ("re sign", set()),
    ],
)
def test_in_quotes_a_hyphen_and_a_space_are_the_same(quoted, found):
    assert set(papers_of(follow(f'"{quoted}"'), HYPHENS)) == found
    assert unmuted(HYPHENS, f'"{quoted}"') == [
        said for place, said in enumerate(HYPHENS) if place not in found
    ]
    if found:
        hyphenated = f'"{"-".join(quoted.split(" ", quoted.count(" ") - ("learning" in quoted)))}"'
        assert set(papers_of(follow(hyphenated), HYPHENS)) == found
        assert len(unmuted(HYPHENS, hyphenated)) == len(HYPHENS) - len(found)


def test_without_its_hyphen_a_word_is_none_that_only_ends_so():
    assert set(papers_of(follow('"re-sign"'), HYPHENS)) == {7}
    assert set(papers_of(follow("over-sign"), HYPHENS)) == set()


@pytest.mark.parametrize("topic", ["super resolution", "super-resolution"])
def test_a_prefix_is_the_same_with_a_hyphen_and_with_a_space(topic):
    said = {one.paper: one.terms for one in choices_of(follow(topic), HYPHENS)}
    assert said == {5: ("super-resolution",), 6: ("super resolution",)}


@pytest.mark.parametrize("topic", ["few shot learning", "few-shot learning", "Few shot"])
def test_of_a_few_words_one_that_counts_is_meant(topic):
    said = {one.paper: one.terms for one in choices_of(follow(topic), HYPHENS)}
    assert said[2][0].lower().startswith("few-shot")
    assert said[3][0].lower().startswith("few shot")
    assert len(said) == 2
    assert unmuted(HYPHENS, topic) == HYPHENS[:2] + HYPHENS[4:]


@pytest.mark.parametrize("topic", ["a few papers on learning", "one of the bakers, last"])
def test_a_word_that_counts_what_is_no_term_is_not_meant(topic):
    assert not any(query.is_literal for query in queries(topic))


@pytest.mark.parametrize("topic", ["Schroedinger bridges", '"schroedinger bridge"', "Goedel"])
def test_a_name_is_found_with_its_umlaut_and_without(topic):
    papers = [r"Schr\"odinger bridges", "Schroedinger bridges", "Schrödinger bridge", "rice"]
    papers = ["Gödel", "Goedel", "Godel", "rice"] if topic == "Goedel" else papers
    assert set(papers_of(follow(topic), papers)) == {0, 1, 2}
    assert unmuted(papers, topic) == ["rice"]


@pytest.mark.parametrize(
    "word", ["venues", "SAEs", "LOESS", "sequence", "guesswork", "autoencoder"]
)
def test_a_word_that_has_no_umlaut_is_asked_for_once(word):
    assert len(queries(word)) == 1


@pytest.mark.parametrize("topic", ["interferon γ", "interferon gamma", "TGF-β"])
def test_a_greek_letter_is_its_name(topic):
    papers = ["interferon gamma and TGF-beta", "interferon-γ, TGF-β", r"interferon, TGF", "rice"]
    assert set(papers_of(follow(topic), papers)) == {0, 1}


def test_a_reason_has_the_letter_that_stands_before_a_word_or_after_it():
    papers = ["T cells of mice", "vitamin D deficiency", "rice"]
    house = Interest("Life", "T cells, vitamin D deficiency, k means", 1)
    choices = choices_of(Profile((house,)), papers)
    assert {one.paper: one.terms for one in choices} == {
        0: ("T cells",),
        1: ("vitamin D deficiency",),
    }


@pytest.mark.parametrize("topic", ["e.g. T cells", "mice, i.e. T cells", "E. g. T cells"])
def test_letters_of_an_abbreviation_are_not_asked_for(topic):
    (choice,) = choices_of(Profile((Interest("Life", topic),)), ["T cells", "rice"])
    assert choice.terms == ("T cells",)


NUMBERS = [
    "type 2 diabetes",
    "type-2 diabetes",
    "type II diabetes",
    "types 1 and 2 of diabetes",
    "type 1 diabetes",
    "2 types of diabetes",
    "Llama 3",
    "Llama3",
    "Llama-3.1",
    "Llama 2",
    "Llama 31",
    "rice",
]


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("type 2 diabetes", {0, 1, 2, 3}),
        ("type-2 diabetes", {0, 1, 2, 3}),
        ('"type 2 diabetes"', {0, 1, 3}),
        ('"type-2 diabetes"', {0, 1, 3}),
        ("type 1 diabetes", {3, 4}),
        ("type diabetes", {0, 1, 2, 3, 4, 5}),
        ("type diabetes 2024", {0, 1, 2, 3, 4, 5}),
        ("Llama 3", {6, 7, 8}),
        ("Llama3", {6, 7, 8}),
        ("Llama-3", {6, 7, 8}),
        ("Llama 3.1", {8}),
        ("Llama3.1", {8}),
        ("Llama 2", {9}),
        ("Llama", {6, 7, 8, 9, 10}),
    ],
)
def test_a_number_must_stand_beside_its_neighbour(topic, found):
    assert set(papers_of(follow(topic, size=20), NUMBERS)) == found


def test_who_mutes_a_version_keeps_the_others():
    assert unmuted(NUMBERS[6:], "Llama 3") == ["Llama 2", "Llama 31", "rice"]


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("type 2 diabetes, bread", ("type 2 diabetes",)),
        ("Llama3, bread", ("Llama3",)),
        ("Llama 3.1, bread", ("Llama-3.1",)),
        ("DeepSeek-R1, bread", ("DeepSeek-R1",)),
    ],
)
def test_a_reason_has_the_number_that_stands_after_a_word(topic, said):
    papers = ["type 2 diabetes", "Llama3.1", "DeepSeek-R1", "rice"]
    (choice,) = choices_of(Profile((Interest("Models", topic),)), papers)
    assert choice.terms == said


def test_a_reason_has_both_letters_of_a_pair():
    topic = Interest("Trials", "A/B testing")
    (choice,) = choices_of(Profile((topic,)), ["A/B tests", "rice"])
    assert choice.terms == ("A/B testing",)


def test_a_reason_has_no_acronym_beside_what_it_stands_for():
    papers = [f"Retrieval augmented generation (RAG) bakes {word(n)}" for n in range(5)]
    model = TfidfModel().fit([*papers, *TITLES])
    columns = model.columns(["rag", "retriev"])
    weights = sparse.csr_matrix(([1.0, 1.0], ([0, 0], columns)), shape=(1, len(model.terms_)))
    behind = words_behind_weights(model, edition_of(model, papers), weights, np.array([0]))
    assert model.acronyms_
    assert sorted(map(str.lower, behind[0])) == ["rag", "retrieval"]


def test_a_reason_has_no_word_beside_another_that_has_it():
    papers = ["chain-of-thought reasoning", "rice"]
    topic = Interest("Thinking", "chain-of-thought reasoning")
    (choice,) = choices_of(Profile((topic,)), papers)
    assert choice.terms == ("chain-of-thought reasoning",)


def test_of_two_letters_both_stand_beside_the_word_that_they_share():
    papers = ["T and B cells", "vitamins C or D", "T and big B cells", "rice"]
    assert papers_of(follow("T cells"), papers) == [0]
    assert papers_of(follow("vitamin D"), papers) == [1]


def test_the_name_of_a_language_need_not_stand_beside_a_word():
    papers = ["static analysis of code in C++", "static analysis of C", "rice"]
    assert set(papers_of(follow("C++ static analysis"), papers)) == {0, 1}


def test_a_letter_with_a_star_or_a_stop_is_a_word_as_well():
    papers = ["C*-algebras", "Clifford algebras", "E. coli", "coli of E, a city", "rice"]
    assert papers_of(follow("C*-algebras"), papers) == [0]
    assert papers_of(follow("E. coli"), papers) == [2]


def test_an_acronym_stands_for_what_is_quoted_in_any_form():
    papers = [f"Retrieval augmented generation (RAG), {word(n)}" for n in range(5)]
    papers += ["our RAG bakes", "retrieving augmented generations", "rice"]
    assert 5 in papers_of(follow('"retrieval augmented generation"'), papers)
    assert 6 not in papers_of(follow('"retrieval augmented generation"'), papers)


def test_letters_within_other_words_are_not_what_is_quoted():
    papers = [
        "subgraph networks and graphing a network",
        "sub-graph networks, graphed network",
        "graph networkshops of graphed networks",
    ]
    assert papers_of(follow('"graph networks"'), papers) == []


def test_who_mutes_a_phrase_mutes_it_in_all_its_forms():
    assert unmuted(CONFORMAL, '"conformal prediction"') == ["rice"]


def test_a_phrase_does_not_go_over_the_end_of_a_line():
    assert papers_of(follow('"bread ovens"'), ["On bread\nOvens are hot", "Of bread ovens"]) == [1]


def test_a_phrase_may_have_an_acronym():
    papers = [*DEFINING, "LLM agents", "agents of LLMs", "rice", "agents"]
    assert papers_of(follow('"LLM agents"'), papers) == [5]


def test_a_phrase_finds_the_acronym_that_stands_for_it():
    papers = [*DEFINING, "our LLM bakes", "models of large language", "rice"]
    assert 5 in papers_of(follow('"large language models"'), papers)
    assert 5 in papers_of(follow('"language models bake"'), papers)
    assert 6 not in papers_of(follow('"large language models"'), papers)


@pytest.mark.parametrize(
    ("topic", "said"),
    [("GS", ("GS",)), ("rice, GS", ("GS",)), ("bread of GS", ("bread", "GS"))],
)
def test_an_acronym_finds_what_it_stands_for_and_is_the_reason(topic, said):
    papers = [f"Graph soup (GS), {word(n)}" for n in range(5)]
    papers += ["bread with graph soup", "bread with soup of a graph", "stars"]
    found = {one.paper: one.terms for one in choices_of(follow(topic), papers)}
    assert found[5] == said
    assert 6 not in found


def test_in_a_sentence_an_acronym_is_one_word_among_others():
    papers = [*DEFINING, "large language models", "rice"]
    assert 5 not in papers_of(follow("LLM that bake bread in ovens"), papers)


def test_where_the_words_stand_together_a_paper_comes_first():
    papers = ["graph oven networks", "oven graph networks", "rice"]
    assert papers_of(follow("graph networks"), papers, ages=[0, 9, 0]) == [1, 0]


def test_where_the_words_stand_apart_a_paper_must_say_more_of_them():
    papers = [f"machine learning translates {words(0, n)}" for n in (10, 20)]
    papers += [f"machine translation {words(100, 20)}", "rice"]
    assert papers_of(follow("machine translation"), papers) == [0, 2]


@pytest.mark.parametrize(
    "topic", ['graph "networks', '"graph networks', 'graph networks"', '"""graph" networks']
)
def test_a_quote_without_its_other_half_does_no_harm(topic):
    assert set(papers_of(follow(topic))) == {0, 1}


def test_below_the_floor_nothing_is_about_the_topic():
    papers = [f"bread {words(0, 5)}", f"bread {words(10, 120)}", "rice"]
    assert papers_of(follow("bread"), papers) == [0]
    model = TfidfModel().fit(papers)
    edition = edition_of(model, papers)
    for floor, expected in ((0.0, {0, 1}), (0.9, set())):
        (chosen,) = choose(model, edition, [follow("bread")], [()], Tuning(floor=floor))
        assert {choice.paper for choice in chosen} == expected


@pytest.mark.parametrize("tuning", [Tuning(expansion=0), Tuning(latent=0), Tuning()])
def test_the_company_of_a_word_and_the_words_of_the_best_papers_help(tuning):
    """Of two papers that say "bread" as loudly, the one that speaks of baking is nearer."""
    papers = [f"bread yeast flour {word(n)}" for n in range(12)]
    papers += [f"graph vertex clique {word(100 + n)}" for n in range(12)]
    papers += [words(200 + n, 2) for n in range(80)]
    papers += [f"bread yeast flour {words(500, 6)}", f"bread graph vertex {words(510, 6)}"]
    model = TfidfModel().fit(papers)
    edition = edition_of(model, papers)

    def ahead(tuning):
        (chosen,) = choose(model, edition, [follow("bread", size=99)], [()], tuning)
        score = {choice.paper: choice.score for choice in chosen}
        return score[104] - score[105]

    assert ahead(Tuning(expansion=0, latent=0)) == pytest.approx(0, abs=0.001)
    assert ahead(tuning) > 0.02


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"flor": 1}, "flor"),
        ({"floor": 11}, "floor"),
        ({"trend": -1}, "trend"),
        ({"floor": "1"}, "number"),
        ({"latent": float("nan")}, "latent"),
    ],
)
def test_a_setting_that_can_not_be_is_refused(change, complaint):
    assert Tuning.of({"floor": 0.3}) == Tuning(floor=0.3)
    with pytest.raises(ValueError, match=complaint):
        Tuning.of(change)


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
    ("topic", "paper", "said"),
    [
        ("low-resource bread", "low resource bread", "low-resource bread"),
        ("low-resource bread", "a resource for low bread", "low, resource, bread"),
        ("bread-butter-oven", "bread butter oven", "bread-butter-oven"),
        ("low resource bread", "low-resource bread", "low resource bread"),
    ],
)
def test_what_she_wrote_with_a_hyphen_is_said_with_it(topic, paper, said):
    (first,) = choices_of(follow(topic), [paper, "rice"])
    assert ", ".join(first.terms) == said


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


def test_of_a_long_list_in_her_own_words_the_part_is_said_too():
    line = ", ".join([*(f"words of {number}" for number in range(30)), "sour bread"])
    (first,) = choices_of(Profile((Interest(line[:200], line),)), ["sour bread", "stars"])
    assert first.topic == "sour bread"


@pytest.mark.parametrize("name", ["Baking", "ovens"])
def test_of_a_topic_with_a_name_the_name_is_said(name):
    baking = Profile((Interest(name, 'ovens, "sour bread"'),))
    (first,) = choices_of(baking, ["sour bread", "stars"])
    assert first.topic == name


def test_a_word_that_another_one_says_is_not_said_twice():
    papers = ["in-context learning of rice", "bread"]
    (first,) = choices_of(follow("in-context learning"), papers)
    assert first.terms == ("in-context learning",)


def test_a_light_word_comes_with_its_heavy_neighbour():
    papers = [
        "rice flour yeast bread oven",
        *(f"bread {word}" for word in ("rice", "flour", "yeast")),
    ]
    (first, *_) = choices_of(follow("bread oven yeast flour rice"), papers)
    assert first.terms[0] == "bread oven"


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


def test_where_the_better_one_is_gone_its_relative_comes():
    assert set(papers_of(follow("bread oven"), twins(), seen=[0])) == {1, 2}


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


def test_an_older_paper_needs_more_votes():
    edition = edition_of(TfidfModel().fit([]), ["p"] * 9, ages=range(9), upvotes=[10] * 9)
    assert (np.diff(edition.trends) < 0).all()
    ages, votes = [0] * 5 + [6] * 5, [9, 2, 2, 2, 2, 9, 8, 8, 8, 8]
    edition = edition_of(TfidfModel().fit([]), ["p"] * 10, ages=ages, upvotes=votes)
    assert edition.trends[0] > edition.trends[5]


def test_nothing_trends_where_nobody_voted():
    model = TfidfModel().fit(TITLES)
    assert not edition_of(model, TITLES).trends.any()
    voted = edition_of(model, TITLES, upvotes=[0, 5, 0, 2, 0, 0, 0, 0, 1]).trends
    assert list(np.flatnonzero(voted)) == [1, 3, 8]
    assert 0 < voted[voted > 0].min() <= voted.max() <= 1


def test_who_follows_nothing_gets_what_trends():
    choices = choices_of(Profile(size=2), upvotes=[0, 5, 0, 90, 0, 0, 0, 0, 20])
    assert [choice.paper for choice in choices] == [3, 8]
    assert {choice.basis for choice in choices} == {"trend"}


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


# ---- One reader and many

PHRASES = [
    "bread",
    "galaxy",
    "qubit",
    "photon",
    "survey",
    "rainfall",
    "protein folding",
    "graph vertex",
    "auction, bidder",
    '"oven crust"',
    "speech grammar translation corpus in dialogue",
    "qqq",
]
LIKED = [("baking",), ("stars", "graphs"), ("quantum",)]


@cache
def taught():
    """Return what some readers taught."""
    learned = [
        learn(
            corpora.model(),
            [library()[place] for subject in subjects for place in of_subject(subject)[:4]],
        )
        for subjects in LIKED
    ]
    return [None, *learned, learn(corpora.model(), library()[:2], library()[30:34])]


@st.composite
def readers(draw):
    """Draw a profile, and the papers that its reader had."""
    names = st.lists(st.sampled_from(PHRASES), max_size=4, unique=True)
    weights = st.sampled_from([0.5, 1.0, 2.0])
    follows = [Interest(name, name, draw(weights)) for name in draw(names)]
    if draw(st.booleans()):
        follows.append(Interest("math", draw(st.sampled_from(["", "theory"])), 1.0, ("math",)))
    mutes = [Interest(name, name) for name in draw(names)[:2]]
    learned = draw(st.integers(0, len(LIKED) + 1))
    hidden = draw(st.sets(st.integers(0, len(PAPERS) - 1), max_size=30))
    return tuple(follows), tuple(mutes), draw(st.integers(1, 12)), learned, frozenset(hidden)


#: The library, with twins and a few that say the same.
PAPERS = [*library(), *(f"{library()[n]} {word(8_000 + n)}" for n in (0, 1, 17, 33)), library()[64]]
KNOWN = {
    "ages": [n % 5 for n in range(len(PAPERS))],
    "upvotes": [(n * 7) % 11 for n in range(len(PAPERS))],
    "fields": [("math", "cs", "hep")[n % 3] for n in range(len(PAPERS))],
    "categories": [(("math", "cs", "hep")[n % 3], "all") for n in range(len(PAPERS))],
    "ids": [f"{n:03}" for n in range(len(PAPERS))],
}


def issue(order):
    """Return the papers in this order as an edition."""
    known = {name: [values[n] for n in order] for name, values in KNOWN.items()}
    return edition_of(corpora.model(), [PAPERS[n] for n in order], **known)


@cache
def whole():
    return issue(range(len(PAPERS)))


def profiles_of(drawn):
    """Return the profiles that were drawn, and what each reader had."""
    profiles = [Profile(f, m, size, taught()[number]) for f, m, size, number, _ in drawn]
    return profiles, [hidden for *_, hidden in drawn]


def nearly(choices):
    """Return choices that equal those whose scores differ by the order of a sum of floats."""
    return [replace(one, score=pytest.approx(one.score, abs=1e-5)) for one in choices]


@settings(max_examples=150)
@given(drawn=st.lists(readers(), min_size=1, max_size=5))
def test_readers_together_get_what_each_would_get_alone(drawn):
    profiles, seen = profiles_of(drawn)
    together = choose(corpora.model(), whole(), profiles, seen)
    for profile, hidden, hers in zip(profiles, seen, together, strict=True):
        (alone,) = choose(corpora.model(), whole(), [profile], [hidden])
        assert hers == nearly(alone)


@settings(max_examples=150)
@given(drawn=readers())
def test_a_choice_keeps_what_it_promises(drawn):
    (profile,), (hidden,) = profiles_of([drawn])
    (chosen,) = choose(corpora.model(), whole(), [profile], [hidden])
    scores = [choice.score for choice in chosen]
    told = [paper for choice in chosen for paper in (choice.paper, *choice.relatives)]
    assert len(chosen) <= profile.size
    assert len(told) == len(set(told))
    assert not set(told) & hidden
    assert all(0 <= score <= 1 for score in scores)
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-4)
    for mute in profile.mutes:
        assert not any(says(PAPERS[paper], mute.query) for paper in told)
    names = {interest.name for interest in profile.follows}
    asked = {query.text for interest in profile.follows for query in queries(interest.query)}
    for choice in chosen:
        assert (choice.topic in names | asked) == (choice.basis == "topic")
        assert choice.basis != "trend" or not names


def says(said, mute):
    """Return whether a text says all words of one part of a mute, by its plain reading."""
    spoken = f" {' '.join(text.terms(said))} "
    for part in mute.split(","):
        terms = text.terms(part)
        if len(terms) == 1 and len(terms[0]) >= 6:
            found = f" {terms[0]}" in spoken
        elif '"' in part:
            found = f" {' '.join(terms)} " in spoken
        else:
            found = all(f" {term} " in spoken for term in terms)
        if found and terms:
            return True
    return False


@settings(max_examples=150)
@given(drawn=readers(), order=st.permutations(range(len(PAPERS))))
def test_the_order_of_the_papers_changes_nothing(drawn, order):
    (profile,), (hidden,) = profiles_of([drawn])
    (chosen,) = choose(corpora.model(), whole(), [profile], [hidden])
    hidden = {place for place, paper in enumerate(order) if paper in hidden}
    (shuffled,) = choose(corpora.model(), issue(order), [profile], [hidden])
    assert {order[choice.paper]: choice.score for choice in shuffled} == pytest.approx(
        {choice.paper: choice.score for choice in chosen}, abs=1e-3
    )


def test_the_order_of_equal_papers_changes_nothing_either():
    papers = [f"graph {word(n)}" for n in range(60)]
    papers += [f"bread {words(100 + 3 * n, 3)}" for n in range(60)]
    model = TfidfModel(n_components=0).fit(papers)
    names = [f"{n:03}" for n in range(120)]
    chosen = []
    for order in (names, names[::-1]):
        edition = edition_of(model, [papers[int(name)] for name in order], order)
        (choices,) = choose(model, edition, [follow("graph", size=5)], [()])
        chosen.append({order[choice.paper] for choice in choices})
    assert chosen[0] == chosen[1]


def test_what_others_asked_of_an_edition_before_changes_nothing():
    survey, in_math = Interest("survey", "survey"), Interest("math", "survey", 1.0, ("math",))
    both, used = Profile((survey, in_math), (), 2), issue(range(len(PAPERS)))
    choose(corpora.model(), used, [Profile((survey,))], [()])
    choose(corpora.model(), used, [follow(*PHRASES[:3]), Profile((in_math,))], [(), ()])
    new = issue(range(len(PAPERS)))
    (before,), (after,) = (choose(corpora.model(), one, [both], [()]) for one in (new, used))
    assert [choice.paper for choice in after] == [choice.paper for choice in before]


def test_many_readers_are_ranked_in_parts_and_get_the_same(monkeypatch):
    profiles = [
        follow(
            topic, mutes=["photon"] if n % 3 else [], size=4, learned=taught()[n % len(taught())]
        )
        for n, topic in enumerate(PHRASES * 2)
    ]
    seen = [{n} for n in range(len(profiles))]
    together = choose(corpora.model(), whole(), profiles, seen)
    for most in (1, 40, 100):
        monkeypatch.setattr(choosing, "CANDIDATES", most)
        ranking = choosing.Ranking(corpora.model(), whole(), profiles, seen, DEFAULT)
        assert len(list(ranking.split())) > 1
        assert choose(corpora.model(), whole(), profiles, seen) == [*map(nearly, together)]
    monkeypatch.setattr(choosing, "READERS", 5)
    assert choose(corpora.model(), whole(), profiles, seen) == [*map(nearly, together)]


def test_candidates_of_readers_own_models_count_as_well(monkeypatch):
    """With the bits and the limit of the product in proportion: 2 ** 10 and half of it."""
    learned = Learned(("bread", "galaxi", "qubit"), (0.6, 0.6, 0.5), 9, 0.0)
    profiles = [follow(topic, learned=learned) for topic in PHRASES]
    alone = [choose(corpora.model(), whole(), [profile], [()])[0] for profile in profiles]
    monkeypatch.setattr(choosing, "NUMBER", 10)
    monkeypatch.setattr(choosing, "CANDIDATES", 500)
    assert choose(corpora.model(), whole(), profiles, [()] * len(profiles)) == [*map(nearly, alone)]


# ---- Any text at all


@settings(max_examples=100)
@given(
    papers=st.lists(st.text(max_size=60), max_size=8),
    topic=st.text(max_size=60),
    mute=st.text(max_size=20),
    size=st.integers(1, 50),
)
def test_any_text_of_any_script_ranks_without_harm(papers, topic, mute, size):
    model = TfidfModel().fit(papers)
    edition = edition_of(model, papers)
    profiles = [follow(topic, mutes=[mute], size=size), follow(mutes=[mute], size=size)]
    shut = set(np.flatnonzero(muted(model, edition, Interest(mute, mute))))
    for choices in choose(model, edition, profiles, [{0}, set()]):
        positions = [choice.paper for choice in choices]
        assert len(positions) == len(set(positions)) <= size
        assert not shut & set(positions)
        assert all(0 <= choice.score <= 1 for choice in choices)


def test_every_plane_of_unicode_can_be_read_followed_and_muted():
    papers = [
        " ".join(chr(plane * 0x10000 + place) * 2 for place in range(0, 0x10000, 97))
        for plane in range(17)
    ]
    model = TfidfModel().fit([*papers, *TITLES])
    again = TfidfModel.from_arrays(model.to_arrays())
    edition = edition_of(again, papers)
    for plane, said in enumerate(papers):
        topic = said[plane * 30 :][:40]
        choose(again, edition, [follow(topic, mutes=[said])], [()])
        known = [term for term in text.terms(said) if len(term) < 20]
        if known:
            assert muted(again, edition, Interest("m", known[0]))[plane]
    letters = [bool(text.terms(said)) for said in papers]
    assert letters[:4] == [True] * 4  # The planes with letters, and no others.


@pytest.mark.parametrize(
    "topic",
    [
        "bread oven " * 9_000,
        "bread, " + "-" * 50_000 + "\\" * 50_000,
        "bread, " + ", ".join(f"{word(n)} galaxy" for n in range(3_000)),
        "bread " + '"a' * 50_000,
        "bread, " + "{$~^_" * 20_000,
    ],
    ids=["words", "syntax", "list", "quotes", "latex"],
)
def test_a_topic_of_a_hundred_thousand_characters_is_only_long(topic):
    started = time.thread_time()
    readers = [follow(topic), follow(topic, mutes=[topic])]
    hers, of_who_mutes_it = choose(corpora.model(), whole(), readers, [(), ()])
    assert time.thread_time() - started < 20  # Quadratic, it would take minutes.
    assert hers
    assert of_who_mutes_it == []


def test_a_topic_of_very_many_parts_takes_little_memory():
    topic = "bread, " + ", ".join(f"{word(n)} galaxy" for n in range(3_000))
    model, edition = corpora.model(), whole()
    tracemalloc.start()
    choose(model, edition, [follow(topic, mutes=[topic])], [()])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * 2**20


def test_what_is_remembered_of_queries_is_some_dozens_of_megabytes_at_most():
    before = query.remembered.cache_info()
    queries("bread " * query.SHORT_TEXT)
    assert query.remembered.cache_info() == before
    assert before.maxsize * query.SHORT_TEXT < 10_000_000


# ---- What it needs


def test_the_ranking_imports_neither_django_nor_celery_nor_scikit_learn():
    names = [module.name for module in pkgutil.iter_modules(digest.ranking.__path__)]
    assert len(names) >= 14
    code = "import sys, importlib\n"
    code += f"for name in {names}: importlib.import_module('digest.ranking.' + name)\n"
    code += (
        "sys.exit(bool({'django', 'celery', 'sklearn'} & {n.split('.')[0] for n in sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_only_fitting_imports_scikit_learn(tmp_path):
    np.savez(tmp_path / "model.npz", **corpora.model().to_arrays())
    code = f"""
import sys, numpy as np
from digest.ranking.choice import choose
from digest.ranking.edition import Edition
from digest.ranking.learning import learn
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.verdict import judge
model = TfidfModel.from_arrays(dict(np.load({str(tmp_path / "model.npz")!r})))
edition = Edition.of(model, ["a", "b"], {library()[:2]!r})
profile = Profile((Interest("bread", "bread"),), (), 10, learn(model, ["bread oven"] * 3))
assert choose(model, edition, [profile], [()])[0]
judge(model, edition, profile, (), 0)
assert "sklearn" not in sys.modules
TfidfModel().fit(["bread"])
assert "sklearn" in sys.modules
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
