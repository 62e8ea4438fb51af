"""The sentence that says what a paper does, out of its abstract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.papers.summary import MAX_LENGTH, MAX_WORDS, best_sentence, sentences
from tests.factories.letter_data import TEXTS
from tests.helpers.data_files import cases

CASES = cases("summaries")

BACKGROUND = "Reefs are essential for the sea. However, corals bleach in recent years."
WE = "We present graph networks that tell which corals bleach."
#: What the abstracts of the table are made of.
PARTS = {"background": BACKGROUND, "contribution": WE}
PARTS |= {"continued": f"w{WE[1:]}", "stem": WE.removesuffix(".")}


def test_text_is_split_at_sentence_ends():
    for text in CASES["texts"]:
        pieces = text.split("|")
        assert [one.strip() for one in sentences(" ".join(pieces))] == [
            one.strip() for one in pieces
        ]


def test_summary_quotes_the_contribution():
    for abstract, expected in CASES["abstracts"]:
        abstract, expected = (text.format(**PARTS) for text in (abstract, expected))
        assert best_sentence("CoralNet: bleaching", abstract) == expected


@pytest.mark.parametrize("sentence", CASES["hanging"])
def test_summary_needs_no_preceding_sentence(sentence):
    assert best_sentence("Corals", f"{sentence} Reefs were mapped.") == "Reefs were mapped."


def test_summary_prefers_sentence_with_subscribers_terms():
    abstract = f"{BACKGROUND} {WE} We prove bounds on the tides."
    assert best_sentence("Reefs", abstract) == best_sentence("Reefs", abstract, ["graph"]) == WE
    assert best_sentence("Reefs", abstract, ["tide", "bounds"]) == "We prove bounds on the tides."


@pytest.mark.slow
@given(TEXTS, st.lists(st.sampled_from([WE, BACKGROUND, "(", ", which ", "x" * 400]) | TEXTS))
def test_any_summary_is_short_and_verbatim(title, pieces):
    abstract = " ".join(pieces)
    short = best_sentence(title, abstract, title.split())
    assert len(short.split()) <= MAX_WORDS
    assert len(short) <= MAX_LENGTH
    assert short[1:].removesuffix(".") in " ".join(abstract.split())
