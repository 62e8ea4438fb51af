"""A subscriber's digest: reasons, several topics, mutes, folding and what trends."""

import pytest

from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.selection import choose, matches
from tests.factories.corpora import (
    EVERYTHING,
    candidates_of,
    choices_of,
    follow,
    model,
    of_subject,
    paper,
    papers_of,
    unmuted,
    word,
    words,
)

BAKING, STARS = (
    [of_subject(subject, 10_000 + n) for n in range(20)] for subject in ("baking", "stars")
)

# ---- Reasons


@pytest.mark.parametrize(
    ("title", "terms"),
    [
        ("Planar things have spectral graph coloring", ("spectral graph coloring", "planar")),
        (
            "Graph coloring notes: spectral tests of planar",
            ("spectral", "graph coloring", "planar"),
        ),
    ],
)
def test_a_reason_has_the_words_that_the_paper_says_and_phrases_as_one(title, terms):
    topic = "spectral graph coloring for the planar"
    (first,) = choices_of(follow(topic), [paper(title, title)])
    assert (first.basis, first.topic, first.terms) == ("topic", topic, terms)


def test_a_partial_match_names_only_the_words_that_the_paper_has():
    said = paper("Galaxy redshift", "Quasar and galaxy, redshift and nebula")
    (first,) = choices_of(follow("galaxy redshift surveys of telescopes"), [said])
    assert first.terms == ("galaxy redshift",)


@pytest.mark.parametrize(
    ("interest", "topic"),
    [
        (Interest("rice, bread oven", "rice, bread oven"), "bread oven"),
        (Interest("Baking", "rice, bread oven"), "Baking"),
    ],
)
def test_of_own_words_the_line_is_the_reason_and_of_a_named_topic_its_name(interest, topic):
    (first, *_) = choices_of(Profile((interest,)), BAKING)
    assert first.topic == topic


def test_papers_of_several_topics_name_the_one_that_scores_best():
    choices = choices_of(follow("bread oven", "galaxy redshift", size=40), BAKING + STARS)
    assert {one.topic for one in choices if one.paper < 20} == {"bread oven"}
    assert {one.topic for one in choices if one.paper >= 20} == {"galaxy redshift"}


# ---- The choice


def test_one_topic_does_not_crowd_out_the_others():
    few = paper("Nebulae and a nebula", "Nebulae of nebulae")
    profile = follow("bread, oven, flour", "nebulae", size=3)
    topics = [one.topic for one in choices_of(profile, [*BAKING, few])]
    assert len(topics) == 3
    assert topics.count("nebulae") == 1


def test_a_heavier_topic_comes_first_and_no_topic_is_heavy_enough_to_find_more():
    light, heavy = (
        choices_of(Profile((Interest("a", "bread oven", weight), *others), (), 40), BAKING + STARS)
        for weight in (0.2, 5.0)
        for others in [follow("galaxy redshift").follows]
    )
    assert {one.paper for one in light} == {one.paper for one in heavy}
    assert light[0].topic == "galaxy redshift"
    assert heavy[0].topic == "a"
    assert all(0 <= one.score <= 1 for one in heavy)


def test_a_topic_shows_what_its_followers_would_get():
    topic = Interest("Baking", "bread oven")
    shown = matches(model(), candidates_of(BAKING), topic, 3)
    assert shown == choices_of(Profile((topic,), size=3), BAKING)
    assert shown


def test_a_withdrawn_paper_is_nobodys():
    found = papers_of(follow("bread oven"), BAKING)
    left = papers_of(follow("bread oven"), BAKING, withdrawn=frozenset([f"{found[0]:03}"]))
    assert found[0] not in left
    assert set(found[1:]) <= set(left)


# ---- Categories


def test_a_category_brings_its_primary_papers_first_and_below_what_is_asked_for_in_words():
    known = {"categories": [("x", "all") if n < 2 else ("all", "x") for n in range(20)]}
    of_x = Interest("X", "", categories=("x",))
    assert {*papers_of(Profile((of_x,), size=2), BAKING, **known)} == {0, 1}
    both = choices_of(Profile((of_x, *follow("bread oven").follows), size=20), BAKING, **known)
    assert (both[0].topic, len(both)) == ("bread oven", 20)


# ---- Mutes


@pytest.mark.parametrize(
    ("mute", "left"),
    [
        ("molecule", ["graph", "graphene", "molar graphs"]),
        ("graph", ["molecular dynamics", "graphene"]),
        ("graph molar", ["molecular dynamics", "graph", "graphene"]),
        ("molecular, graph", ["graphene"]),
        ('"dynamics molecular"', None),
        ('"molecular dynamics"', ["graph", "graphene", "molar graphs"]),
        ("the of", None),
        ("GRÁPHS", ["molecular dynamics", "graphene"]),
    ],
)
def test_a_line_mutes_what_has_all_its_words_and_a_word_alone_what_it_begins(mute, left):
    papers = ["molecular dynamics", "graph", "graphene", "molar graphs"]
    assert unmuted(papers, mute) == (papers if left is None else left)


@pytest.mark.parametrize(
    ("mute", "papers", "left"),
    [
        (
            "T cells",
            ["T cells", "the T-cell", "solar cells", "B cells"],
            ["solar cells", "B cells"],
        ),
        (
            "Llama 3",
            ["Llama 3", "Llama-3.1", "Llama3", "Llama 2", "Llama 31"],
            ["Llama 2", "Llama 31"],
        ),
        ("k-means", ["kmeans", "k-means", "means"], ["means"]),
        ("semi supervised", ["semi-supervised", "supervised"], ["supervised"]),
        ("multi-agent", ["multi agent", "multiagent", "agent"], ["agent"]),
        ("GPU", ["GPUs", "graph"], ["graph"]),
        ("zeugma", ["zeugmas of a graph", "graph"], ["graph"]),
        ("large language models", ["LLMs bake", "a large language"], ["a large language"]),
        ("LLM", ["large language models", "a large language"], ["a large language"]),
        (words(0, 60).replace(" ", ", "), [word(n) for n in range(60)] + ["graph"], ["graph"]),
    ],
)
def test_a_mute_holds_however_it_is_spelt(mute, papers, left):
    assert unmuted(papers, mute) == left


def test_a_category_can_be_muted_whole_or_where_it_says_words():
    papers, known = ["bread", "bread oven", "oven"], {"categories": ["ax", "b", "a"]}
    for mute, left in (
        (Interest("m", "", categories=("a",)), [1]),
        (Interest("m", "bread", categories=("a",)), [1, 2]),
        (Interest("m", "", categories=("x", "b")), [2]),
        (Interest("m", " "), [0, 1, 2]),
    ):
        everything = Interest("all", "", categories=("a", "b"))
        assert sorted(papers_of(Profile((everything,), (mute,)), papers, **known)) == left


def test_however_many_are_muted_the_others_come():
    papers = [paper(f"Bread oven {word(n)}") for n in range(60)] + [paper("Bread and crust")]
    assert papers_of(follow("bread", mutes=["oven"], size=1), papers) == [60]


# ---- Folding

IDEA = f"Bread oven\nBread oven\n{words(0, 30)}"
TWINS = [IDEA, f"{IDEA} {word(99)}", f"Bread oven\nBread oven\n{words(40, 30)}"]


def test_near_duplicates_are_one_entry_with_its_relatives():
    choices = choices_of(follow("bread oven"), TWINS, ages=[1, 1, 0])
    assert {one.paper: one.relatives for one in choices} == {0: (1,), 2: ()}


@pytest.mark.parametrize("hide", [{"seen": [1]}, {"mutes": [word(99)]}])
def test_what_must_not_be_shown_is_no_relative(hide):
    profile = follow("bread oven", mutes=hide.get("mutes", ()))
    choices = choices_of(profile, TWINS, seen=hide.get("seen", ()))
    assert {one.paper: one.relatives for one in choices} == {0: (), 2: ()}


def test_short_texts_are_never_folded_but_for_one_work_under_two_ids():
    papers = ["bread oven"] * 3
    groups = candidates_of(papers).groups(0.7)
    assert len(set(groups.tolist())) == 3
    groups = candidates_of(papers, aliases={"000": ["002"]}).groups(0.7)
    assert groups[0] == groups[2] != groups[1]


def test_likeness_is_not_handed_on():
    """A is like B and B like C, but C has an idea of its own."""
    one, two, three, four = (words(n, 12) for n in (0, 20, 40, 60))
    papers = [f"{one} {two} {three}", f"{two} {three} {four}", f"{three} {four} {words(80, 12)}"]
    fitted = TfidfModel().fit(papers)
    assert candidates_of(papers, fitted).groups(0.3).tolist() == [0, 0, 2]


def test_many_papers_on_one_idea_leave_room_for_the_others():
    papers = [f"{IDEA} {word(900 + n)}" for n in range(40)]
    papers += [f"bread oven {words(1_000 + 40 * n, 30)}" for n in range(9)]
    assert len(papers_of(Profile((EVERYTHING,), size=5), papers, ages=[0] * 40 + [1] * 9)) == 5


# ---- What trends


def test_mathematics_trends_beside_language_models():
    known = {
        "upvotes": [200 + n for n in range(30)] + [2] * 29 + [9],
        "categories": [("cs.CL",)] * 30 + [("math.AG",)] * 30,
    }
    trends = candidates_of(BAKING * 3, **known).trends
    assert trends[59] == trends.max()
    assert (trends >= 0).all()
    assert (trends <= 1).all()


def test_who_follows_nothing_gets_what_trends_or_what_is_newest():
    (first, *_) = choices_of(Profile(), BAKING, upvotes=[3, 90] + [3] * 18)
    assert (first.paper, first.basis, first.topic) == (1, "trend", "")
    newest = choices_of(Profile(size=2), BAKING, ages=[9, 9, 0, 1] + [9] * 16)
    assert [(one.paper, one.basis) for one in newest] == [(2, "new"), (3, "new")]
    assert choices_of(Profile(is_known=True), BAKING, upvotes=[3, 90] + [3] * 18) == []


def test_popularity_lifts_a_paper_of_a_topic_but_brings_none_in():
    plain = papers_of(follow("bread oven", size=20), BAKING)
    known = {"upvotes": [900 if n == plain[-1] else 1 for n in range(20)]}
    lifted = papers_of(follow("bread oven", size=20), BAKING, **known)
    assert set(lifted) == set(plain)
    assert lifted.index(plain[-1]) <= plain.index(plain[-1])


# ---- Edges


def test_nobody_or_no_paper_is_no_problem():
    assert choose(model(), candidates_of([]), [follow("bread"), Profile()], [(), ()]) == [[], []]
    assert choose(model(), candidates_of(BAKING), [], []) == []
    assert choices_of(follow("bread oven", mutes=["x", '"a b"']), []) == []
    (only,) = papers_of(follow("bread oven"), [paper("Bread oven", "Bread")])
    assert only == 0
