"""What the lines of a topic ask for, and which papers are about them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit

from digest.ranking import retrieval
from digest.ranking.candidates import MIN_ABSTRACT_WORDS, MIN_OLDER
from digest.ranking.model import TfidfModel
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import MAX_LINES, MAX_TERMS, lines, queries
from tests.factories.corpora import library, of_subject, paper, word, words
from tests.factories.rankings import candidates_of, choices_of, follow, papers_of
from tests.helpers.data_files import cases

CASES = cases("topic_lines")

# ---- What a topic's text asks for


@pytest.mark.parametrize(("topic", "expected"), CASES["lines"])
def test_topic_is_phrases_or_one_sentence(topic, expected):
    assert lines(topic) == expected


def test_punctuation_in_pasted_abstract_is_ignored():
    abstract = f'"bread soup" and ovens are {words(0, 60)}; rice'
    (query,) = queries(abstract)
    assert (query.text, query.quotes) == (abstract, ())


@pytest.mark.parametrize(("topic", "terms"), CASES["addresses"])
def test_urls_are_removed_from_queries(topic, terms):
    (query,) = queries(topic)
    assert [*query.terms] == terms


def test_equal_and_empty_lines_are_merged():
    merged = queries("graph net, the, nets of graphs, graphs nets, 2024, rice")
    assert [query.text for query in merged] == ["graph net", "nets of graphs", "rice"]
    assert len(queries('graph net, "graph net"')) == 2


def test_long_topics_are_truncated():
    many = queries(", ".join(word(n) for n in range(5_000)))
    assert [query.text for query in many] == [word(n) for n in range(MAX_LINES)]
    (long,) = queries(f"{words(0, 2_000)} {words(0, 3)}")
    assert list(long.terms) == f"{words(0, MAX_TERMS)} {words(0, 3)}".split()


# ---- What a paper must say

BREAD = paper("Bread from ovens", "The bread of an oven")
STARS = paper("Redshifts of galaxies", "Quasars in a telescope")


def test_phrase_scores_higher_than_separate_words():
    apart = paper("Spectral methods", "Clique and coloring. We see graphs of all kinds")
    papers = [apart, paper("Planar vertices", "Methods of spectral graph coloring and a clique")]
    choices = choices_of(follow("spectral graph coloring", wants_near=True), papers)
    assert choices[0].paper == 1
    assert len(choices) == 1 or choices[0].score > choices[1].score


def test_title_words_count_more():
    papers = [paper("Of ovens", "Flour of bread"), paper("Flour of bread", "Of ovens")]
    assert papers_of(follow("flour of bread"), papers)[0] == 1


def test_title_without_abstract_scores_lower():
    """A word that it shares with a line is a large part of it."""
    title = "Coloring\nColoring\n"
    candidates = candidates_of([title, title + words(700, MIN_ABSTRACT_WORDS)])
    assert candidates.fullness.tolist() == [pytest.approx(MIN_ABSTRACT_WORDS**-0.5), 1]
    assert papers_of(follow("spectral graph coloring"), [title]) == []


@pytest.mark.parametrize("topic", CASES["without_words"])
def test_topic_without_words_finds_nothing(topic):
    assert papers_of(follow(topic, wants_near=True), [BREAD, STARS]) == []


@pytest.mark.parametrize(("topic", "spelling"), CASES["spellings"])
def test_topic_finds_other_spellings(topic, spelling):
    assert papers_of(follow(topic), [paper("Rice"), paper(f"On {spelling}", f"{spelling}")]) == [1]


@pytest.mark.parametrize(("topic", "expected"), CASES["quoted"])
def test_quoted_phrase_matches_verbatim(topic, expected):
    papers = [
        paper("Spectral coloring", "Of spectral colorings"),
        paper("Planar graphs", "The spectral-coloring of a planar graph: spectral coloring"),
        paper("Coloring is spectral", "Spectral graph coloring"),
    ]
    assert sorted(papers_of(follow(topic), papers)) == expected


@pytest.mark.parametrize(("topic", "expected"), [('"GAS"', {0}), ('"GA"', {1}), ('"LLMs"', {2, 3})])
def test_quoted_word_matches_singular_and_plural(topic, expected):
    papers = [paper(f"On {one}", f"Of {one}") for one in ("gas", "GA", "LLM", "LLMs")]
    assert set(papers_of(follow(topic), papers)) == expected


@pytest.mark.parametrize(("topic", "titles", "expected"), CASES["lone"])
def test_lone_letter_needs_its_neighbour(topic, titles, expected):
    papers = [paper(one, f"Of {one}") for one in titles]
    assert sorted(papers_of(follow(topic), papers)) == expected


# ---- The whole


def own_words(*lines):
    """Return the profile of a subscriber who wrote these lines."""
    follows = tuple(Interest(line, line, read_lines=(line,), whole=lines) for line in lines)
    return Profile(follows, wants_near=True)


def log_odds_of(profile, papers):
    return {choice.paper: logit(choice.score) for choice in choices_of(profile, papers)}


def test_paper_near_the_whole_is_preferred():
    lines = "oven bread", "flour yeast"
    papers = [paper("Oven bread", "Bread of galaxies"), paper("Oven bread", "Bread of yeast")]
    alone = log_odds_of(follow(lines[0], wants_near=True), papers)
    scores = log_odds_of(own_words(*lines), papers)
    assert scores[1] - scores[0] > alone[1] - alone[0]


def test_many_lines_count_less_than_the_whole():
    lines = "oven bread", "galaxies quasars", "planar graph", "telescope", "vertices", "redshifts"
    papers = [paper("Oven bread", "Bread in an oven")]
    few, many = (log_odds_of(own_words(*some), papers)[0] for some in (lines[:2], lines))
    assert few > many


def test_phrase_in_prose_that_says_little_is_no_line(monkeypatch):
    monkeypatch.setattr(retrieval, "COMMON", 0.003)
    interest = Interest("", "text", read_lines=("bread", "quasars of galaxies"))
    prose = replace(interest, is_prose=True)
    papers = [paper("Bread from ovens", "Bread"), STARS]
    assert sorted(papers_of(Profile((interest,)), papers)) == [0, 1]
    assert papers_of(Profile((prose,)), papers) == [1]
    loose = replace(prose, read_lines=("galaxies bread", "quasars of galaxies"))
    assert papers_of(Profile((loose,)), papers) == [1]
    only = replace(prose, read_lines=("bread",))  # Nothing else was written.
    assert papers_of(Profile((only,)), papers) == [0]


# ---- The cut


def test_unrelated_papers_are_cut():
    new = [of_subject("baking", 10_000 + n) for n in range(8)]
    new += [of_subject(subject, 10_000) for subject in ("stars", "graphs", *range(50))]
    chosen = papers_of(follow("bread, yeast, flour", size=50), new)
    assert len(chosen) >= 5
    assert set(chosen) <= set(range(8))


def test_score_does_not_depend_on_other_papers():
    new = [of_subject("baking", 10_000 + n) for n in range(30)]
    (alone,) = choices_of(follow("bread oven"), [BREAD])
    scores = {
        one.paper: one.score for one in choices_of(follow("bread oven", size=31), [*new, BREAD])
    }
    assert scores[30] == pytest.approx(alone.score, abs=1e-4)


def test_cut_is_configurable():
    profile = follow("bread oven", size=40)
    counts = [len(groups_of(profile, cut)) for cut in (0.0, 0.95, 0.9999)]
    assert counts[0] == 40 > counts[1] > counts[2] == 0


@pytest.mark.parametrize("count", [195, 800])
def test_small_corpus_finds_only_matching_papers(count):
    texts = library()[: count - 3]
    texts = [*texts, *[paper("Sourdough bread", f"Bread of sourdough {n}") for n in range(3)]]
    fitted = TfidfModel().fit(texts)
    new = [paper("Bread of sourdough", "Sourdough and its bread"), STARS, paper("Books")]
    assert papers_of(follow("sourdough bread"), new, fitted=fitted) == [0]
    assert papers_of(follow("hyperkähler manifolds"), new, fitted=fitted) == []


def test_only_old_papers_determine_rarity():
    """A line is new when its first papers are, however many of them the model was fitted on."""
    new = [of_subject("baking", 20_000 + n) for n in range(120)]
    fitted = TfidfModel().fit([*library(), *new], [*[1] * len(library()), *[9] * len(new)])
    profile = follow("bread oven", size=120)
    of_all, of_old = (papers_of(profile, new, fitted=fitted, first_day=day) for day in (0, 9))
    assert len(of_old) > len(of_all)


# ---- Near misses and what was passed over

BAKING = [of_subject("baking", 10_000 + n) for n in range(40)]


def groups_of(profile, cut, **known):
    choices = choices_of(profile, BAKING, parameters=Parameters(cut=cut), **known)
    return {one.paper: one.group for one in choices}


def test_near_misses_are_limited_to_three():
    without = groups_of(follow("bread oven", size=40), 0.95)
    within = groups_of(follow("bread oven", size=40, wants_near=True), 0.95)
    assert set(without.values()) == {"new"}
    assert [*within.values()] == ["new"] * len(without) + ["near"] * 3


def test_missed_papers_need_high_scores():
    profile = follow("bread oven", size=40)
    every = groups_of(profile, 0.9)
    later = groups_of(profile, 0.9, first_new=20)
    missed = {paper for paper, group in later.items() if group == "missed"}
    assert {paper for paper in every if paper >= 20} == later.keys() - missed
    assert set() < missed < {paper for paper in every if paper < 20}
    assert not groups_of(profile, 0.9, first_new=20, seen=missed).keys() & missed


# ---- Embeddings


def test_embeddings_find_papers_with_other_words():
    papers = [paper("Loaves", "Bread of the oven"), paper("Sourdough", "Bread"), STARS, BREAD]
    near = np.array([[0.0, 1], [1, 0], [0, 1], [0, 0]], np.float32)
    older = np.tile(near[:2], (MIN_OLDER // 2, 1))
    facts = {"embeddings": near, "encode": lambda texts: [np.array([1.0, 0])] * len(texts)}
    assert choices_of(follow("bread oven"), papers, **facts, older=older[1:]) == choices_of(
        follow("bread oven"), papers
    )
    facts["older"] = older
    profile = follow("bread oven", size=4)
    assert papers_of(profile, papers) == [3, 0]
    assert papers_of(profile, papers, **facts) == [3, 1]  # The first has no embedding.


# ---- Settings


@pytest.mark.parametrize("changes", [{"cut": 3.85}, {"cut": float("nan")}, {"trend": 3}])
def test_invalid_change_is_refused(changes):
    with pytest.raises(ValueError, match=r"^(cut must be|only cut can)"):
        Parameters.of(changes)
