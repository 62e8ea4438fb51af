"""What people write about themselves is split into phrases."""

import time

import pytest

from digest.interests.sentences import Phrase, phrases
from tests.helpers.data_files import cases

CASES = cases("interest_sentences")


SENTENCES = CASES["wishes"] | CASES["lists"] | CASES["verbs"]


@pytest.mark.parametrize(("text", "expected"), SENTENCES.items())
def test_wishes_and_lists_are_split_into_phrases(text, expected):
    assert [phrase.text for phrase in phrases(text)] == expected


@pytest.mark.parametrize("text", CASES["whole"])
def test_titles_and_abstracts_stay_one_text(text):
    assert phrases(text) == [Phrase(text)]


@pytest.mark.parametrize(("text", "unwanted"), CASES["negative"])
def test_unwanted_phrase_is_negative(text, unwanted):
    assert [phrase.text for phrase in phrases(text) if phrase.is_negative] == unwanted


@pytest.mark.parametrize(("text", "context"), CASES["roles"])
def test_field_of_a_role_is_the_context(text, context):
    (phrase,) = phrases(text)
    assert (phrase.text.lower(), phrase.context) == ("taste", context)


def test_field_is_the_interest_without_others():
    assert phrases("I'm a marine biologist.") == [Phrase("marine biology")]
    assert [p.text for p in phrases("postdoc in tea, cups, and lids")] == ["tea", "cups", "lids"]


def test_and_is_kept_in_phrases_used_by_papers():
    pairs = {("milk", "sugar"), ("soil", "water")}

    def read(text):
        return [phrase.text for phrase in phrases(text, lambda *pair: pair in pairs)]

    assert read("I like milk and sugar") == ["milk and sugar"]
    assert read("I like tea and cups") == ["tea", "cups"]
    assert read("tea, soil and water conservation") == ["tea", "soil and water conservation"]


@pytest.mark.parametrize(
    "part", ["I ", "a, ", "and ", "at A", "we're ", "is(", "x-", "ph.d ", "(a "]
)
def test_reading_takes_linear_time(part):
    start = time.process_time()
    phrases((part * 2_000)[:2_000])
    assert time.process_time() - start < 0.5


def test_single_word_gets_context_of_first_phrase():
    all_phrases = phrases("I teach small robots to brew with clay cups, leaves")
    assert [(phrase.text, phrase.context) for phrase in all_phrases][1:] == [
        ("leaves", "small robots to brew")
    ]
    assert {phrase.context for phrase in phrases("clay cups, leaves")} == {""}
