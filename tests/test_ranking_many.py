"""What holds for any reader and any text, alone and among many."""

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

from digest.ranking import choice as choosing
from digest.ranking import query, text
from digest.ranking.choice import DEFAULT, choose
from digest.ranking.learning import Learned, learn
from digest.ranking.model import TfidfModel
from digest.ranking.muting import muted
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import queries
from digest.ranking.relevance import relevance
from digest.ranking.tuning import Tuning
from tests import corpora
from tests.corpora import (
    TITLES,
    edition_of,
    follow,
    library,
    of_subject,
    word,
    words,
)

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


def test_scores_are_between_none_and_all_and_a_paper_is_about_itself():
    (query,) = queries(library()[3])
    scores = relevance(corpora.model(), whole(), [query], Tuning(expansion=0)).scores[0]
    assert scores[3] == pytest.approx(1, abs=1e-4)
    assert scores[3] == scores.max() <= 1
    assert scores.min() >= 0


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
