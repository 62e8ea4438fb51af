"""What letters quote of an abstract: the beginning, and the sentence that has the reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest import blocks, excerpts
from digest.blocks import Form
from digest.models import Paper, Pick
from subscriptions import plaintext
from tests.materials import TEXTS

TITLE = "On reefs"
FIRST = "Reefs are warm, and so are the seas around them."
SECOND = "Many have looked at what becomes of fish, of weeds and of people who live there."
THIRD = "Some have looked at storms too, which come more often now than they did before."
FOURTH = "We train graph networks on the tides."
LAST = "They tell which corals bleach."
ABSTRACT = " ".join([FIRST, SECOND, THIRD, FOURTH, LAST])
ROOM = 200


def excerpt(*words, title=TITLE, abstract=ABSTRACT, limit=ROOM):
    place = excerpts.sentence_for(title, abstract, words, limit)
    return excerpts.excerpt(abstract, limit, place)


BEGINNING = plaintext.summary(ABSTRACT, ROOM)


@pytest.mark.parametrize("words", [(), ("warm",), ("On",), ("weeds", "fish"), ("moon",)])
def test_the_beginning_is_quoted_where_it_says_what_it_can_of_the_reason(words):
    assert excerpt(*words) == BEGINNING == f"{FIRST} {SECOND}"


def test_an_excerpt_ends_with_the_sentence_that_has_the_reason():
    assert excerpt("graph", "networks") == f"{FIRST} {SECOND} … {FOURTH}"
    assert excerpt("bleach") == f"{FIRST} {SECOND} … {LAST}"
    cut = SECOND.removesuffix(" who live there.")
    assert excerpt("storms") == f"{FIRST} {cut}… {THIRD}"


def test_a_sentence_that_follows_the_beginning_follows_it_without_a_gap():
    assert excerpt("storms", limit=215) == f"{FIRST} {SECOND} {THIRD}"


def test_what_the_title_says_is_not_looked_for():
    assert excerpt("bleach", title="How corals bleach") == BEGINNING


def test_a_word_is_said_in_whatever_form_it_is():
    assert excerpt("bleaching") == excerpt("Bleached") == excerpt("bleach")
    assert excerpt("reef", "sea") == BEGINNING


def test_the_word_that_weighs_most_and_is_missing_decides():
    assert excerpt("warm", "corals", "graph").endswith(LAST)
    assert excerpt("warm", "graph", "corals").endswith(FOURTH)


def test_where_there_is_little_room_the_beginning_is_all():
    assert excerpt("bleach", limit=120) == plaintext.summary(ABSTRACT, 120)


def test_a_long_sentence_is_cut_and_only_quoted_for_what_is_left_of_it():
    long = "It tells corals from weeds " + "and so on " * 30 + "until the moon."
    abstract = f"{FIRST} {SECOND} {long}"
    quoted = excerpt("corals", abstract=abstract)
    assert quoted.startswith(f"{FIRST} … It tells corals from weeds and so on")
    assert quoted.endswith("and…")
    assert excerpt("moon", abstract=abstract) == plaintext.summary(abstract, ROOM)


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=3), st.integers(0, 420))
def test_an_excerpt_is_one_line_that_has_room_whatever_is_said(title, abstract, words, limit):
    words += abstract.split()[-2:]
    said = excerpt(*words, title=title, abstract=f"{abstract}. {abstract}", limit=limit)
    assert said == plaintext.one_line(said)
    assert plaintext.columns(said) <= limit


def test_two_letters_quote_one_paper_each_for_its_own_reason():
    paper = Paper(id="2606.00001", title=TITLE, abstract=ABSTRACT, authors=[], categories=[])
    picks = [
        Pick(paper=paper, position=1, basis="topic", topic_name=word, terms=[word])
        for word in ("bleach", "graph", "warm")
    ]
    for pick in picks:
        pick.would_fold = []
    place = blocks.place("en")
    told = [
        b"".join(entry.html + entry.say_html)
        for entry in blocks.entries(picks, Form(ROOM), place, lambda identity: f"/{identity}")
    ]
    assert [LAST.encode() in one for one in told] == [True, False, False]
    assert [FOURTH.encode() in one for one in told] == [False, True, False]
