"""Why a paper is, or is not, in a subscriber's digest: one verdict for each fate."""

import pytest

from digest.ranking import text
from digest.ranking.diagnosis import Diagnosis, diagnose
from digest.ranking.profile import Interest, Profile
from digest.ranking.relevance_feedback import Learned, learn
from digest.ranking.selection import DEFAULT, choose
from tests.factories.corpora import (
    candidates_of,
    choices_of,
    follow,
    model,
    of_subject,
    paper,
    words,
)

PAPERS = [of_subject(subject, 10_000 + n) for n in range(8) for subject in ("baking", "stars", 7)]
PAPERS += [f"{PAPERS[0]} {words(0, 1)}", paper("Bread ovens", "Galaxies")]
COUNT = len(PAPERS)
KNOWN = {"upvotes": [n % 4 for n in range(COUNT)], "categories": [("cs.LG", "all")] * COUNT}
TAUGHT = learn(model(), PAPERS[:12:3], PAPERS[1:13:3])


def verdict(profile, number, papers=PAPERS, *, seen=(), since=0, **known):
    return diagnose(
        model(), candidates_of(papers, **known), profile, set(seen), number, since=since
    )


@pytest.mark.parametrize(
    ("profile", "since"),
    [
        (follow("bread, oven", "galaxy redshift", mutes=["quasar"], size=4), 12),
        (follow("bread oven", size=12, learned=TAUGHT), 0),
        (follow("bread oven", size=30, wants_near=True), 12),
        (Profile((Interest("all", "", 1.0, ("all",)), Interest("b", "bread", 3.0)), (), 15), 0),
        (Profile(size=3), 12),
    ],
)
def test_verdicts_agree_with_what_is_chosen(profile, since):
    candidates, seen = candidates_of(PAPERS, **KNOWN), {4, 20}
    (chosen,) = choose(model(), candidates, [profile], [seen], since=[since])
    verdicts = [
        diagnose(model(), candidates, profile, seen, number, since=since) for number in range(COUNT)
    ]
    assert {n for n, one in enumerate(verdicts) if one.what in ("chosen", "second")} == {
        one.paper for one in chosen
    }
    assert [verdicts[one.paper].score for one in chosen] == [one.score for one in chosen]
    assert [verdicts[n].what for n in seen] == ["seen", "seen"]
    assert {(n, one.other) for n, one in enumerate(verdicts) if one.what == "folded"} == {
        (number, one.paper) for one in chosen for number in one.relatives
    }
    in_reach = [one for one in verdicts if one.place]
    assert sorted(one.place for one in in_reach) == [n + 1 for n in range(len(in_reach))]
    assert {one.of for one in in_reach} <= {len(in_reach)}


def test_what_is_muted_names_the_topic_that_mutes_it():
    profile = follow("bread oven", mutes=["galaxies", "bread"])
    assert verdict(profile, 0, [paper("Bread oven")]) == Diagnosis("muted", topic="bread")


def test_what_says_too_little_of_a_topic_is_weak_and_its_missing_words_are_told():
    told = verdict(
        follow("qqq", "Planar graphs of Proteins"), 0, [paper("Planar things", "Planar")]
    )
    assert (told.what, told.topic) == ("weak", "Planar graphs of Proteins")
    assert told.missing == ("graphs", "Proteins")
    assert 0 < told.score < told.cut == DEFAULT.cut


@pytest.mark.parametrize("profile", [follow("the of"), Profile()])
def test_what_nothing_followed_could_be_about_is_unasked(profile):
    told = verdict(profile, 0, [paper("Quarks"), paper("Bread")], upvotes=[0, 3])
    assert (told.what, told.topic) == ("unasked", "")


@pytest.mark.parametrize(
    ("what", "profile", "since"),
    [
        ("unquoted", follow('"oven bread"'), 0),
        ("elsewhere", Profile((Interest("b", "bread oven", 1.0, ("math.GT",)),)), 0),
        ("passed", follow("bread oven"), 1),
        ("disliked", follow("bread oven", learned=Learned(("bread", "oven"), (-0.7, -0.7), 2)), 0),
    ],
)
def test_what_reaches_the_cut_and_is_not_chosen_has_another_cause(what, profile, since):
    said = paper("Bread oven", "Bread in the oven")
    parameters = {"since": since, "categories": [("cs.LG",)]}
    if what == "passed":  # Well above the cut, it would come again.
        (line,) = choices_of(follow("bread oven"), [said])
        assert line.group == "new"
        said = paper("Oven", "Of oven and bread flour")
    told = verdict(profile, 0, [said], **parameters)
    assert (told.what, told.topic) == (what, profile.follows[0].name)
    assert told.score >= told.cut


def test_an_authors_paper_in_other_categories_is_elsewhere_and_a_disliked_one_is_disliked():
    known = {"authors_of": lambda ids: [["E. Noether"]] * len(ids), "categories": [("cs.LG",)]}
    group = Interest("Our group", "", 1.0, ("math.GT",), ("Emmy Noether",))
    assert verdict(Profile((group,)), 0, [PAPERS[0]], **known).what == "elsewhere"
    terms = tuple(dict.fromkeys(text.terms(PAPERS[0])))
    profile = Profile(
        (Interest("Hers", "", authors=("Emmy Noether",)),),
        learned=Learned(terms, (-1.0,) * len(terms), 1),
    )
    assert verdict(profile, 0, [PAPERS[0]], **known).what == "disliked"
