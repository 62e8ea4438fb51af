"""What holds for any subscriber and any text, alone and among many."""

import time
from dataclasses import replace
from functools import cache
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.ranking import ranking
from digest.ranking.model import TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import queries
from digest.ranking.ranking import choose
from digest.ranking.relevance_feedback import learn
from digest.ranking.retrieval import muted
from tests.factories.corpora import DEFINITION, model, of_subject, paper, word
from tests.factories.rankings import candidates_of, choose_positions, follow

SUBJECTS = "baking", "stars", "graphs", "cells", 3
PAPERS = [of_subject(subject, 10_000 + n) for n in range(9) for subject in SUBJECTS]
PAPERS += [f"{PAPERS[n]} {word(n)}" for n in (0, 1, 17, 33)] + [PAPERS[4], paper(DEFINITION)]
KNOWN = {
    "ids": [f"{n:03}" for n in range(len(PAPERS))],
    "ages": [n % 5 for n in range(len(PAPERS))],
    "upvotes": [(n * 7) % 11 for n in range(len(PAPERS))],
    "categories": [(("math", "cs", "hep")[n % 3], "all") for n in range(len(PAPERS))],
}
PHRASES = ["bread", "bread oven, flour", "LLM", "T cells", '"spectral coloring"']
PHRASES += ["tumor antigens of the immune cell"]


@cache
def taught():
    rated = [(PAPERS[:20:5],), (PAPERS[1:20:5], PAPERS[:10:5]), ([], PAPERS[3:20:5])]
    return [None, *(learn(model(), *papers) for papers in rated)]


@st.composite
def subscribers(draw):
    """Draw a profile, what it had, and from where papers are new to it."""
    names = st.lists(st.sampled_from(PHRASES), max_size=4, unique=True)
    follows = [Interest(name, name, draw(st.sampled_from([0.5, 1.0, 2.0]))) for name in draw(names)]
    if draw(st.booleans()):
        follows.append(Interest("math", draw(st.sampled_from(["", "bread"])), 1.0, ("math",)))
    profile = Profile(
        tuple(follows),
        tuple(Interest(name, name) for name in draw(names)[:2]),
        draw(st.integers(1, 12)),
        taught()[draw(st.integers(0, 3))],
        has_enough_liked=draw(st.booleans()),
        wants_near=draw(st.booleans()),
    )
    places = st.integers(0, len(PAPERS) - 1)
    return profile, draw(st.frozensets(places, max_size=30)), draw(places)


@cache
def whole():
    return candidates_of(PAPERS, **KNOWN)


def chosen(drawn, candidates=None):
    profiles, seen, first_new = zip(*drawn, strict=True)
    return choose_positions(model(), candidates or whole(), profiles, seen, first_new=first_new)


def nearly(choices):
    """Return choices that equal those whose scores differ by the order of a sum of floats."""
    return [replace(one, score=pytest.approx(one.score, abs=1e-4)) for one in choices]


@given(drawn=st.lists(subscribers(), min_size=1, max_size=5))
def test_batch_ranking_equals_individual_ranking(drawn):
    with patch.object(ranking, "BATCH_SIZE", 2):
        together = chosen(drawn)
    for one, choices in zip(drawn, together, strict=True):
        assert choices == nearly(chosen([one], candidates_of(PAPERS, **KNOWN))[0])


@settings(max_examples=60)
@given(drawn=subscribers())
def test_any_digest_keeps_the_invariants(drawn):
    profile, seen, first_new = drawn
    (choices,) = chosen([drawn])
    listed = [number for one in choices for number in (one.paper, *one.relatives)]
    assert len(choices) <= profile.size
    assert len(listed) == len(set(listed))
    assert not set(listed) & seen
    groups = [("new", "missed", "near").index(one.group) for one in choices]
    assert groups == sorted(groups)
    assert groups.count(2) <= 3 * profile.wants_near
    followed = {query.text for one in profile.follows for query in queries(one.query)}
    followed |= {one.name for one in profile.follows}
    for one in choices:
        assert 0 <= one.score <= 1
        assert (one.group == "missed") == (one.paper < first_new)
        assert (one.topic in followed) == (one.basis == "topic")
        assert one.basis != "trend" or not profile.follows
    for mute in profile.mutes:
        assert not muted(model(), whole(), mute)[listed].any()


@given(drawn=subscribers(), order=st.permutations(range(len(PAPERS))))
def test_paper_order_does_not_change_digests(drawn, order):
    profile, seen, _ = drawn
    facts = {name: [values[n] for n in order] for name, values in KNOWN.items()}
    shuffled = candidates_of([PAPERS[n] for n in order], **facts)
    seen_places = {place for place, number in enumerate(order) if number in seen}
    (ours,), (other,) = chosen([(profile, seen, 0)]), chosen([(profile, seen_places, 0)], shuffled)
    assert [replace(one, paper=order[one.paper], relatives=()) for one in other] == [
        replace(one, relatives=()) for one in nearly(ours)
    ]


# ---- Any text at all


@pytest.mark.slow
@settings(max_examples=60)
@given(
    papers=st.lists(st.text(max_size=60), max_size=8),
    topic=st.text(max_size=60),
    mute=st.text(max_size=20),
)
def test_text_in_any_script_is_ranked(papers, topic, mute):
    fitted = TfidfModel().fit(papers)
    candidates = candidates_of(papers, fitted)
    learned = learn(fitted, [topic] * 3, [mute])
    subscriber = follow(topic, mutes=[mute], wants_near=True, learned=learned)
    profiles = [subscriber, follow(mutes=[mute])]
    shut = set(np.flatnonzero(muted(fitted, candidates, Interest(mute, mute))))
    seen = {0} if papers else set()
    for choices in choose_positions(fitted, candidates, profiles, [seen, set()]):
        places = [one.paper for one in choices]
        assert len(places) == len(set(places))
        assert not shut & set(places)
        assert all(0 <= one.score <= 1 for one in choices)


LONG_TOPICS = ["bread oven ", "\\-{$~^_", "galaxy, ", '"a', "a 1 ", "; t cells 2 "]


@pytest.mark.slow
@pytest.mark.parametrize("piece", LONG_TOPICS)
def test_long_topic_is_ranked_in_linear_time(piece):
    started = time.thread_time()
    topic = "bread oven, " + piece * (100_000 // len(piece))
    both = [follow(topic), follow("bread oven", mutes=[topic])]
    choose(model(), candidates_of(PAPERS, **KNOWN), both, [(), ()])
    assert time.thread_time() - started < 20  # Quadratic, it would take minutes.


# ---- What it needs
