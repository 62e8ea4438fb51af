"""What counts as it is written: quotes, hyphens, letters and numbers."""

import numpy as np
import pytest
from scipy import sparse

from digest.ranking import beside
from digest.ranking.explaining import words_behind_weights
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import queries
from tests.corpora import (
    DEFINING,
    TITLES,
    choices_of,
    edition_of,
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


@pytest.mark.parametrize("said", ["p38-α MAPK", "T4-L lysozyme", "GPT4-o"])
def test_a_number_that_ends_a_word_belongs_to_it_whatever_a_hyphen_joins_to_it(said):
    """Else a P would have to stand beside "MAPK", which is so in no paper."""
    assert set(papers_of(follow(said), [f"{said} bread", "rice"])) == {0}


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


@pytest.mark.parametrize(
    ("topic", "other"), [("over time", "overtime"), ("a moral", "amoral"), ("I robots", "irobots")]
)
def test_words_that_parted_by_a_space_mean_something_else_are_not_joined(topic, other):
    assert papers_of(follow(topic), [other, topic, "rice"]) == [1]


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


def test_learning_off_policy_is_not_learning_on_policy():
    papers = ["off-policy learning", "off policy learning", "on-policy learning", "rice"]
    assert set(papers_of(follow("off policy learning"), papers)) == {0, 1}


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
    "Llama 3.2",
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
        ("type diabetes 1999", {0, 1, 2, 3, 4, 5}),
        ("Llama 3", {6, 7, 8, 11}),
        ("Llama3", {6, 7, 8, 11}),
        ("Llama-3", {6, 7, 8, 11}),
        ("Llama 3.1", {8}),
        ("Llama3.1", {8}),
        ("Llama 2", {9}),
        ("Llama", {6, 7, 8, 9, 10, 11}),
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
    papers = [
        "T and B cells",
        "vitamins C or D",
        "T and big B cells",
        "papilloma 16 and 18",
        "rice",
    ]
    assert papers_of(follow("T cells"), papers) == [0]
    assert papers_of(follow("vitamin D"), papers) == [1]
    assert papers_of(follow("papilloma 18"), papers) == [3]


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


@pytest.mark.parametrize(
    "topic", ['graph "networks', '"graph networks', 'graph networks"', '"""graph" networks']
)
def test_a_quote_without_its_other_half_does_no_harm(topic):
    assert set(papers_of(follow(topic))) == {0, 1}


@pytest.mark.parametrize(
    ("topic", "ways"),
    [
        ("a survey", {"a survey"}),
        ("zero-one shot", {"zero-one shot"}),
        ("Newton's method", {"Newton's method"}),
        ("cross-multi agent", {"cross-multi agent", "cross-multi-agent"}),
        ('"chain of thought"', {'"chain of thought"', '"chain-of-thought"'}),
        ('"one-two of a kind"', {'"one-two of a kind"', '"one two of a kind"'}),
    ],
)
def test_a_hyphen_comes_where_others_write_one_and_nowhere_else(topic, ways):
    assert {query.text for query in queries(topic)} == ways


@pytest.mark.parametrize(
    "topic",
    ["the first study of bread, rice and yeast in large ovens", '"bread baking" two ovens'],
)
def test_of_a_sentence_and_beside_what_is_quoted_no_word_that_counts_is_meant(topic):
    assert [query.lone for query in queries(topic)] == [()]


def test_of_what_is_quoted_only_its_own_hyphens_must_stand_beside_their_word():
    *_, apart = queries('"T-cell" k-means')
    assert apart.lone == (("", "t", "cell"),)


@pytest.mark.parametrize(
    ("document", "lone", "is_there"),
    [
        ("T and B cells", ("", "t", "cell"), True),
        ("T versus B cells", ("", "t", "cell"), False),
        ("Llama 3.1 bread", ("llama", "3", ""), True),
        ("Llama 4.3 bread", ("llama", "3", ""), False),
    ],
)
def test_a_letter_shares_the_word_of_another_and_a_version_is_its_first_number(
    document, lone, is_there
):
    assert beside.has(document, [lone]) == is_there
