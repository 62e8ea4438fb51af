"""What a topic's text asks for, and which papers are about it."""

import pytest

from digest.ranking.choice import choose
from digest.ranking.model import TfidfModel
from digest.ranking.query import MAX_PARTS, MAX_TERMS, parts, queries
from digest.ranking.tuning import Tuning
from tests.corpora import (
    choices_of,
    edition_of,
    follow,
    papers_of,
    word,
    words,
)

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


def test_words_of_a_wish_are_not_what_it_is_about():
    assert papers_of(follow("I want to know more about papers on protein folding")) == [6]
    assert papers_of(follow("I need to understand and look especially at protein folding")) == [6]
    assert papers_of(follow("Curious: please send me things that deal with protein folding")) == [6]


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


def test_where_the_words_stand_together_a_paper_comes_first():
    papers = ["graph oven networks", "oven graph networks", "rice"]
    assert papers_of(follow("graph networks"), papers, ages=[0, 9, 0]) == [1, 0]


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
