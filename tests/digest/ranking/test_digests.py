"""A subscriber's digest: reasons, several topics, mutes, folding and what trends."""

from collections import defaultdict

import pytest

from digest.ranking.diagnosis import diagnose
from digest.ranking.profile import Interest, Profile
from digest.ranking.ranking import choose, matches
from digest.ranking.relevance_feedback import learn
from tests.factories.corpora import EVERYTHING, model, of_subject, paper, word, words
from tests.factories.rankings import (
    candidates_of,
    choices_of,
    choose_positions,
    follow,
    papers_of,
    unmuted,
)
from tests.helpers.data_files import cases

CASES = cases("mutes")
REASONS = cases("reasons")

BAKING, STARS = ([of_subject(one, 10_000 + n) for n in range(20)] for one in ("baking", "stars"))

# ---- Reasons


@pytest.mark.parametrize("case", REASONS.values(), ids=REASONS)
def test_reason_has_words_and_phrases_of_paper(case):
    (first,) = choices_of(follow(case["topic"]), [paper(case["title"], case["abstract"])])
    assert (first.basis, first.topic) == ("topic", case["topic"])
    assert [*first.terms] == case["terms"]


INTERESTS = [
    (Interest("rice, bread oven", "rice, bread oven"), "bread oven"),
    (Interest("Baking", "rice, bread oven"), "Baking"),
]


@pytest.mark.parametrize(("interest", "topic"), INTERESTS)
def test_reason_is_own_line_or_topic_name(interest, topic):
    (first, *_) = choices_of(Profile((interest,)), BAKING)
    assert first.topic == topic


def test_reason_names_best_scoring_topic():
    choices = choices_of(follow("bread oven", "galaxy redshift", size=40), BAKING + STARS)
    assert {one.topic for one in choices if one.paper < 20} == {"bread oven"}
    assert {one.topic for one in choices if one.paper >= 20} == {"galaxy redshift"}


# ---- The choice


def test_one_topic_does_not_crowd_out_others():
    few = paper("Nebulae and a nebula", "Nebulae of nebulae")
    profile = follow("bread, oven, flour", "nebulae", size=3)
    topics = [one.topic for one in choices_of(profile, [*BAKING, few])]
    assert len(topics) == 3
    assert topics.count("nebulae") == 1


def test_weight_orders_topics_without_adding_papers():
    galaxies = follow("galaxy redshift").follows
    light, heavy = (
        choices_of(
            Profile((Interest("a", "bread oven", weight), *galaxies), (), 40), BAKING + STARS
        )
        for weight in (0.2, 5.0)
    )
    assert {one.paper for one in light} == {one.paper for one in heavy}
    assert (light[0].topic, heavy[0].topic) == ("galaxy redshift", "a")


def test_topic_matches_equal_followers_picks():
    topic = Interest("Baking", "bread oven")
    candidates = candidates_of(BAKING)
    (chosen,) = choose(model(), candidates, [Profile((topic,), size=3)], [()])
    assert matches(model(), candidates, topic, 3) == chosen != []


# ---- Categories


def test_primary_category_papers_come_after_word_matches():
    facts = {"categories": [("x", "all") if n < 2 else ("all", "x") for n in range(20)]}
    of_x = Interest("X", "", categories=("x",))
    assert {*papers_of(Profile((of_x,), size=2), BAKING, **facts)} == {0, 1}
    both = choices_of(Profile((of_x, *follow("bread oven").follows), size=20), BAKING, **facts)
    assert (both[0].topic, len(both)) == ("bread oven", 20)


# ---- Mutes


@pytest.mark.parametrize(("mute", "left"), CASES["lines"])
def test_mute_matches_all_words_or_prefix(mute, left):
    papers = ["molecular dynamics", "graph", "graphene", "molar graphs"]
    assert unmuted(papers, mute) == (papers if left is None else left)


MANY = (words(0, 60).replace(" ", ", "), [word(n) for n in range(60)] + ["graph"], ["graph"])


@pytest.mark.parametrize(("mute", "papers", "left"), [*CASES["spellings"], MANY])
def test_mute_matches_other_spellings(mute, papers, left):
    assert unmuted(papers, mute) == left


# ---- Folding

IDEA = f"Bread oven\nBread oven\n{words(0, 30)}"
TWINS = [IDEA, f"{IDEA} {word(99)}", f"Bread oven\nBread oven\n{words(40, 30)}"]


def test_near_duplicates_are_folded():
    choices = choices_of(follow("bread oven"), TWINS, ages=[1, 1, 0])
    assert {one.paper: one.relatives for one in choices} == {0: (1,), 2: ()}


@pytest.mark.parametrize(("mutes", "seen"), [((), [1]), ([word(99)], ())])
def test_seen_and_muted_papers_are_not_folded(mutes, seen):
    choices = choices_of(follow("bread oven", mutes=mutes), TWINS, seen=seen)
    assert {one.paper: one.relatives for one in choices} == {0: (), 2: ()}


def test_short_texts_are_folded_only_as_aliases():
    papers = ["bread oven"] * 3
    groups = candidates_of(papers).ideas
    assert len(set(groups.tolist())) == 3
    groups = candidates_of(papers, aliases={"000": ["002"]}).ideas
    assert groups[0] == groups[2] != groups[1]


def test_duplicates_leave_room_for_other_papers():
    papers = [f"{IDEA} {word(900 + n)}" for n in range(40)]
    papers += [f"bread oven {words(1_000 + 40 * n, 30)}" for n in range(9)]
    assert len(papers_of(Profile((EVERYTHING,), size=5), papers, ages=[0] * 40 + [1] * 9)) == 5


# ---- What trends


def test_trends_are_relative_to_category():
    upvotes = [200 + n for n in range(30)] + [2] * 29 + [9]
    categories = [("cs.CL",)] * 30 + [("math.AG",)] * 30
    trends = candidates_of(BAKING * 3, upvotes=upvotes, categories=categories).trends
    assert trends[59] == trends.max() <= 1
    assert trends.min() >= 0


def test_newest_papers_come_without_topics_and_upvotes():
    newest = choices_of(Profile(size=2), BAKING, ages=[9, 9, 0, 1] + [9] * 16)
    assert [(one.paper, one.basis) for one in newest] == [(2, "new"), (3, "new")]
    assert choices_of(Profile(has_enough_liked=True), BAKING, upvotes=[3, 90] + [3] * 18) == []


def test_popularity_lifts_only_matching_papers():
    profile = follow("bread oven", size=20)
    plain = papers_of(profile, BAKING)
    lifted = papers_of(profile, BAKING, upvotes=[1 + 899 * (n == plain[-1]) for n in range(20)])
    assert set(lifted) == set(plain)
    assert lifted.index(plain[-1]) < len(plain) - 1


# ---- Edges


def test_empty_inputs_give_empty_digests():
    assert choose(model(), candidates_of([]), [follow("bread"), Profile()], [(), ()]) == [[], []]
    assert choose(model(), candidates_of(BAKING), [], []) == []


# ---- Why a paper is, or is not, in a subscriber's digest: one diagnosis for each case


PAPERS = [of_subject(subject, 10_000 + n) for n in range(8) for subject in ("baking", "stars", 7)]
PAPERS += [f"{PAPERS[0]} {words(0, 1)}", paper("Bread ovens", "Galaxies")]
COUNT = len(PAPERS)
KNOWN = {"upvotes": [n % 4 for n in range(COUNT)], "categories": [("cs.LG", "all")] * COUNT}
TAUGHT = learn(model(), PAPERS[:12:3], PAPERS[1:13:3])


PROFILES = [
    (follow("bread, oven", "galaxy redshift", mutes=["quasar"], size=4), 12),
    (follow("bread oven", size=12, learned=TAUGHT), 0),
    (follow("bread oven", size=30, wants_near=True), 12),
    (Profile((Interest("all", "", 1.0, ("all",)), Interest("b", "bread", 3.0)), (), 15), 0),
    (Profile(size=3), 12),
]


@pytest.mark.parametrize(("profile", "first_new"), PROFILES)
def test_diagnoses_agree_with_choices(profile, first_new):
    candidates, seen = candidates_of(PAPERS, **KNOWN), {4, 20}
    (chosen,) = choose_positions(model(), candidates, [profile], [seen], first_new=[first_new])
    excluded = {candidates.ids[place] for place in seen}
    diagnoses = [
        diagnose(model(), candidates, profile, excluded, paper, first_new=first_new)
        for paper in candidates.ids
    ]
    places = defaultdict(set)
    for place, one in enumerate(diagnoses):
        places[one.outcome].add(place)
    assert places["chosen"] | places["second"] == {one.paper for one in chosen}
    assert places["folded"] == {place for one in chosen for place in one.relatives}
    assert places["seen"] == seen
    for one in chosen:  # A category and what trends say nothing of a probability.
        is_by_words = one.topic not in ("", "all")
        assert diagnoses[one.paper].score == (one.score if is_by_words else 0)
    ranks = sorted(one.rank for one in diagnoses if one.rank)
    assert ranks == [*range(1, len(ranks) + 1)]
    assert {one.match_count for one in diagnoses if one.rank} <= {len(ranks)}


TOPOLOGY = {"categories": ("math.GT",)}
OUTCOMES = [
    ("passed", follow("bread oven"), 1),
    ("elsewhere", Profile((Interest("Bread", "bread oven", **TOPOLOGY),)), 0),
    ("elsewhere", Profile((Interest("Lab", "", authors=("Emmy Noether",), **TOPOLOGY),)), 0),
]


@pytest.mark.parametrize(("outcome", "profile", "first_new"), OUTCOMES)
def test_paper_above_cut_is_passed_or_elsewhere(outcome, profile, first_new):
    facts = {"authors_of": lambda ids: [["E. Noether"]], "categories": [("cs.LG",)]}
    candidates = candidates_of([paper("Bread cliques", "Of bread of a clique")], **facts)
    diagnosis = diagnose(model(), candidates, profile, (), candidates.ids[0], first_new=first_new)
    assert (diagnosis.outcome, diagnosis.interest) == (outcome, profile.follows[0].name)
