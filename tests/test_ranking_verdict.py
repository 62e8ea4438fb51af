"""Why a paper is, or is not, in a reader's digest: one verdict for each fate."""

import pytest

from digest.ranking import text
from digest.ranking.choice import DEFAULT, choose
from digest.ranking.learning import Learned
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.verdict import Verdict, judge
from tests import corpora
from tests.corpora import TITLES, edition_of, follow, library

#: Who likes baking and not stars.
TAUGHT = Learned(("bread", "flour", "yeast", "galaxi"), (0.6, 0.5, 0.5, -0.4), 5, 0.05)


def verdict(profile, paper, papers=TITLES, *, seen=(), **known):
    model = TfidfModel().fit(papers)
    return judge(model, edition_of(model, papers, **known), profile, set(seen), paper)


def test_a_chosen_paper_says_its_topic_and_its_place():
    of_bread = verdict(follow("graph networks", "bread"), 7)
    assert (of_bread.what, of_bread.topic) == ("chosen", "bread")
    chosen = corpora.choices_of(follow("graph networks", "bread"))
    assert of_bread.of == len(chosen)
    assert chosen[of_bread.place - 1].paper == 7
    assert of_bread.score == chosen[of_bread.place - 1].score


def test_what_she_had_is_seen_whatever_else_it_is():
    assert verdict(follow("bread", mutes=["bread"]), 7, seen=[7]) == Verdict("seen")


def test_what_she_mutes_is_muted_by_the_topic_that_does_it():
    profile = follow("bread", mutes=["galaxies", "bayesian"])
    assert verdict(profile, 7) == Verdict("muted", topic="bayesian")
    assert verdict(profile, 8).what == "chosen"


def test_what_lacks_words_of_the_topic_is_apart_by_these_words():
    apart = verdict(follow("qqq", "Graphs of Proteins"), 0)
    assert (apart.what, apart.topic, apart.missing) == (
        "apart",
        "Graphs of Proteins",
        ("Proteins",),
    )
    unknown = verdict(follow("hyperkähler Graphs"), 0)
    assert (unknown.what, unknown.missing) == ("apart", ("hyperkähler",))


def test_what_it_lacks_is_told_in_her_words_and_in_no_other_way_to_write_them():
    assert verdict(follow('"graphs of proteins"'), 0).missing == ("proteins",)


def test_of_several_topics_the_nearest_is_told():
    papers = ["bread oven yeast", "rice", "bread", "bread graph"]
    assert verdict(follow("graph bread galaxy", "bread yeast rice"), 0, papers).topic == (
        "bread yeast rice"
    )


@pytest.mark.parametrize("profile", [follow("bread"), follow("the of"), Profile()])
def test_what_nothing_that_she_follows_could_be_about_is_unasked(profile):
    papers = ["quark lepton", "bread oven"]
    assert verdict(profile, 0, papers, upvotes=[0, 3]) == Verdict("unasked", floor=DEFAULT.floor)


@pytest.mark.parametrize(
    "profile",
    [
        follow("bread, galaxy", "survey", mutes=["quasar"], size=4),
        follow("photon", size=12, learned=TAUGHT),
        Profile((Interest("all", "", 1.0, ("all",)), Interest("b", "bread", 3.0)), (), 21),
        Profile(size=3),
        Profile((Interest("all", "", 1.0, ("all",)), Interest("b", "bread", 3.0)), (), 6),
    ],
)
def test_verdicts_agree_with_what_is_chosen(profile):
    papers = [*library()[:50], library()[3].replace("\n", " \n"), library()[90]]
    model, edition = (
        corpora.model(),
        edition_of(
            corpora.model(), papers, upvotes=[n % 4 for n in range(52)], categories=[("all",)] * 52
        ),
    )
    seen = {4, 20}
    (chosen,) = choose(model, edition, [profile], [seen])
    verdicts = [judge(model, edition, profile, seen, paper) for paper in range(len(papers))]
    named = {paper for paper, one in enumerate(verdicts) if one.what == "chosen"}
    assert named == {choice.paper for choice in chosen} != set()
    assert [verdicts[c.paper].score for c in chosen] == [choice.score for choice in chosen]
    places = [verdicts[choice.paper].place for choice in chosen]
    assert places == sorted(places)
    assert {(paper, one.other) for paper, one in enumerate(verdicts) if one.what == "folded"} == {
        (paper, choice.paper) for choice in chosen for paper in choice.relatives
    }
    in_reach = [one for one in verdicts if one.place]
    assert {one.what for one in verdicts if one not in in_reach} <= {
        *("seen", "muted", "apart", "weak", "unasked")
    }
    assert {one.of for one in in_reach} == {len(in_reach)}
    assert all(one.place <= one.of for one in in_reach)
    by_place = sorted(in_reach, key=lambda one: one.place)[: len(chosen)]
    assert [one.place for one in by_place] == [n + 1 for n in range(len(chosen))]


@pytest.mark.parametrize(
    ("what", "profile"),
    [
        ("scattered", follow('"graph traffic"')),
        ("elsewhere", Profile((Interest("g", "graph networks", 1.0, ("math.GT",)),))),
        (
            "disliked",
            follow("graph networks", learned=Learned(("graph", "network"), (-0.7, -0.7))),
        ),
    ],
)
def test_what_is_relevant_enough_and_yet_not_hers_is_told_apart(what, profile):
    told = verdict(profile, 0, categories=[("cs.LG",)] * len(TITLES))
    assert told.what == what
    assert told.score >= told.floor
    assert told.topic == profile.follows[0].name


def test_what_somebody_wrote_whom_she_follows_in_other_categories_is_elsewhere():
    follows = (Interest("Our group", "", 1.0, ("math.GT",), ("Emmy Noether",)),)
    told = verdict(
        Profile(follows), 0, categories=[("cs.LG",)] * len(TITLES), authors_of=by_emmy_noether
    )
    assert told == Verdict("elsewhere", topic="Our group")


def test_what_somebody_wrote_whom_she_follows_may_be_too_like_what_she_wants_less_of():
    words = tuple(dict.fromkeys(text.terms(TITLES[0])))
    profile = Profile(
        (Interest("Hers", "", 1.0, (), ("Emmy Noether",)),),
        learned=Learned(words, (-1.0,) * len(words)),
    )
    told = verdict(profile, 0, authors_of=by_emmy_noether)
    assert told == Verdict("disliked", score=1.0, topic="Hers")


def by_emmy_noether(ids):
    return [["E. Noether"] for _ in ids]
