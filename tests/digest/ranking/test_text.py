"""Text becomes terms, and terms become the subscriber's own words again."""

import sys
import time
from functools import partial

import pytest
import Stemmer
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.ranking import text
from tests.factories import corpora
from tests.helpers.data_files import cases, pairs
from tests.helpers.threads import at_once

CASES = cases("terms")

SPELLINGS = [
    *pairs("spellings"),
    ("n\u0303 man\u0303ana", "ñ mañana"),
    ("pre\u2010training", "pretraining"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_spelling_variants_have_the_same_terms(one, other):
    assert text.terms(one) == text.terms(other) != []


@pytest.mark.parametrize(("document", "terms"), CASES["terms"])
def test_text_is_split_into_terms(document, terms):
    assert text.terms(document) == terms


@pytest.mark.parametrize("document", CASES["correct"])
def test_correct_spellings_are_unchanged(document):
    assert text.terms(document) == [text._stems._stem(word) for word in document.lower().split()]


@pytest.mark.parametrize("document", CASES["without_terms"])
def test_stop_words_have_no_terms(document):
    assert text.terms(document) == []


@pytest.mark.parametrize("subject", CASES["subjects"])
def test_possible_subjects_are_no_stop_words(subject):
    assert text.terms(subject)


@pytest.mark.parametrize(("document", "term", "word"), CASES["as_written"])
def test_term_is_shown_as_written(document, term, word):
    assert text.as_written(document)[term] == word


LETTERS = st.sampled_from(
    [*"aGé-α\\\"'{}$^_~ 14sŁ\u0301\u2011", "graph", "state of the art", "pre"]
)


@settings(max_examples=100)
@given(st.one_of(st.text(max_size=40), st.lists(LETTERS, max_size=25).map("".join)))
def test_every_term_maps_back_to_a_word(document):
    written = text.as_written(document)
    assert set(text.terms(document)) <= set(written)
    assert all(written.values())


@pytest.mark.slow
@pytest.mark.parametrize("piece", CASES["hostile"])
def test_hostile_text_takes_linear_time(piece):
    document = piece * (100_000 // len(piece))
    started = time.thread_time()
    text.terms(document)
    text.as_written(document)
    assert time.thread_time() - started < 24  # Quadratic, it would take minutes.


def test_concurrent_stemming_is_thread_safe():
    """A stemmer keeps the word that it is at: with one in Python, threads took each other's."""
    documents = [[f"{corpora.word(n)}ations" for n in range(place, 2_000, 4)] for place in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        read = at_once(*[partial(text.stems, words) for words in documents])
    finally:
        sys.setswitchinterval(interval)
    alone = Stemmer.Stemmer("english").stemWords
    assert read == [alone(words) for words in documents]
