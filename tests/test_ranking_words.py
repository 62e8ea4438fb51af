"""What counts as it is written: quotes, hyphens, letters and numbers."""

import pytest

from tests.corpora import (
    DEFINING,
    choices_of,
    follow,
    papers_of,
    unmuted,
    word,
)


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
        ('"T cells"', {0, 1}),
        ("T cells, B cells", {0, 1, 2}),
        ('"T cells" of mice', {0}),
        ("cells", {0, 1, 2, 3, 4}),
        ("baker's cells", set()),
        ("T-cell", {0, 1}),
    ],
)
def test_a_word_of_one_letter_must_stand_beside_its_neighbour(topic, found):
    assert set(papers_of(follow(topic), LETTERS)) == found


@pytest.mark.parametrize("topic", ["k-means", "k means", "K-Means", "rice, k means"])
def test_a_letter_and_a_word_are_the_same_with_a_hyphen_and_without(topic):
    papers = ["k-means", "k means", "kmeans", "the $k$-means of graphs", "means of k", "oven means"]
    assert set(papers_of(follow(topic), papers)) == {0, 1, 2, 3}
    assert unmuted(papers, topic) == ["means of k", "oven means"]


HYPHENS = [
    "Chain of thought",
    "chain-of-thought prompting",
    "few-shot learning",
    "few shot learning",
    "zero-shot learning",
    "resign",
    "sign",
    "rice",
]


@pytest.mark.parametrize(
    ("quoted", "found"),
    [
        ("chain of thought", {0, 1}),
        ("few shot learning", {2, 3}),
        ("re sign", set()),
    ],
)
def test_in_quotes_a_hyphen_and_a_space_are_the_same(quoted, found):
    assert set(papers_of(follow(f'"{quoted}"'), HYPHENS)) == found
    assert unmuted(HYPHENS, f'"{quoted}"') == [
        said for place, said in enumerate(HYPHENS) if place not in found
    ]


@pytest.mark.parametrize("topic", ["Schroedinger bridges", '"schroedinger bridge"', "Goedel"])
def test_a_name_is_found_with_its_umlaut_and_without(topic):
    papers = [r"Schr\"odinger bridges", "Schroedinger bridges", "Schrödinger bridge", "rice"]
    papers = ["Gödel", "Goedel", "Godel", "rice"] if topic == "Goedel" else papers
    assert set(papers_of(follow(topic), papers)) == {0, 1, 2}
    assert unmuted(papers, topic) == ["rice"]


@pytest.mark.parametrize("topic", ["interferon γ", "interferon gamma", "TGF-β"])
def test_a_greek_letter_is_its_name(topic):
    papers = ["interferon gamma and TGF-beta", "interferon-γ, TGF-β", r"interferon, TGF", "rice"]
    assert set(papers_of(follow(topic), papers)) == {0, 1}


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
    "Llama 3.2",
    "rice",
]


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("type 2 diabetes", {0, 1, 2, 3}),
        ("type-2 diabetes", {0, 1, 2, 3}),
        ('"type 2 diabetes"', {0, 1, 3}),
        ("type 1 diabetes", {3, 4}),
        ("type diabetes", {0, 1, 2, 3, 4, 5}),
        ("Llama 3", {6, 7, 8, 11}),
        ("Llama 3.1", {8}),
        ("Llama 2", {9}),
        ("Llama", {6, 7, 8, 9, 10, 11}),
    ],
)
def test_a_number_must_stand_beside_its_neighbour(topic, found):
    assert set(papers_of(follow(topic, size=20), NUMBERS)) == found


def test_who_mutes_a_version_keeps_the_others():
    assert unmuted(NUMBERS[6:], "Llama 3") == ["Llama 2", "Llama 31", "rice"]


def test_a_letter_with_a_star_or_a_stop_is_a_word_as_well():
    papers = ["C*-algebras", "Clifford algebras", "E. coli", "coli of E, a city", "rice"]
    assert papers_of(follow("C*-algebras"), papers) == [0]
    assert papers_of(follow("E. coli"), papers) == [2]


def test_who_mutes_a_phrase_mutes_it_in_all_its_forms():
    assert unmuted(CONFORMAL, '"conformal prediction"') == ["rice"]


def test_a_phrase_does_not_go_over_the_end_of_a_line():
    assert papers_of(follow('"bread ovens"'), ["On bread\nOvens are hot", "Of bread ovens"]) == [1]


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


@pytest.mark.parametrize(
    "topic", ['graph "networks', '"graph networks', 'graph networks"', '"""graph" networks']
)
def test_a_quote_without_its_other_half_does_no_harm(topic):
    assert set(papers_of(follow(topic))) == {0, 1}
