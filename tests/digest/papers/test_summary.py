"""The sentence that says what a paper does, out of its abstract."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.letters import fragments
from digest.letters.fragments import Density
from digest.models import Paper, Pick
from digest.papers.summary import MAX_LENGTH, MAX_WORDS, best_sentence, sentences
from subscriptions.mail.byte_templates import EncodedBytes
from tests.factories.cases import cases
from tests.factories.letter_data import TEXTS

CASES = cases("summaries")

BACKGROUND = "Reefs are essential for the sea. However, corals bleach in recent years."
WE = "We present graph networks that tell which corals bleach."


def test_text_is_split_at_sentence_ends():
    for said in [
        "As Smith et al. (2020) say, e.g. in Fig. 2 and Eqs. 3, or i.e. there.|It rises 3.5 times.",
        "J. Smith of the U.S. Army has v2.0.|Good vs. Bad of type A.|We show it.|Of genus g.|In K.",
        "“So it is.” |Really?|Yes!|1: 2. 3",
        "图一。|我们。",
        "We present scX.|scX is a method. of no kind",
    ]:
        pieces = said.split("|")
        assert [one.strip() for one in sentences(" ".join(pieces))] == [
            one.strip() for one in pieces
        ]


def test_summary_quotes_the_contribution():
    for abstract, said in [
        (f"{BACKGROUND} {WE} Extensive experiments show its effectiveness.", WE),
        (f"{BACKGROUND} To address this, {WE[0].lower()}{WE[1:]}", WE),
        (f"Background: {BACKGROUND} Methods: {WE}", WE),
        (
            f"{BACKGROUND} Bleaching is studied on forty reefs.",
            "Bleaching is studied on forty reefs.",
        ),
        ("CoralNet is a network.", "CoralNet is a network."),
        # Too long: what stands before a clause that it does without.
        (f"{BACKGROUND} {WE[:-1]}, which {'and so on ' * 10}.", WE),
        (f"{BACKGROUND} Since {'it is so ' * 10}, {WE[0].lower()}{WE[1:]}", WE),
        # No clause may go: another sentence is quoted, or none.
        (f"{WE[:-1]} {'and so on ' * 10}. Corals are tested.", "Corals are tested."),
        (f"{WE[:-1]} {'and so on ' * 10}.", ""),
        ("We show that for each n, which is so, " + "it is so " * 10, ""),
        ("", ""),
    ]:
        assert best_sentence("CoralNet: bleaching", abstract) == said


@pytest.mark.parametrize("sentence", CASES["hanging"])
def test_summary_needs_no_preceding_sentence(sentence):
    assert best_sentence("Corals", f"{sentence} Reefs were mapped.") == "Reefs were mapped."


def test_summary_prefers_sentence_with_subscribers_terms():
    abstract = f"{BACKGROUND} {WE} We prove bounds on the tides."
    assert best_sentence("Reefs", abstract) == best_sentence("Reefs", abstract, ["graph"]) == WE
    assert best_sentence("Reefs", abstract, ["tide", "bounds"]) == "We prove bounds on the tides."


@pytest.mark.slow
@given(TEXTS, st.lists(st.sampled_from([WE, BACKGROUND, "(", ", which ", "x" * 400]) | TEXTS))
def test_any_summary_is_short_and_verbatim(title, said):
    abstract = " ".join(said)
    short = best_sentence(title, abstract, title.split())
    assert len(short.split()) <= MAX_WORDS
    assert len(short) <= MAX_LENGTH
    assert short[1:].removesuffix(".") in " ".join(abstract.split())


def test_letters_quote_sentence_for_their_reason():
    paper = Paper(id="2606.00001", title="Reefs", abstract=f"{WE} We prove bounds on the tides.")
    picks = [
        Pick(paper=paper, position=1, basis="topic", topic_name=words[0], terms=words)
        for words in (["graph"], ["bounds", "tides"])
    ]
    for pick in picks:
        pick.would_fold = []
    entries = fragments.entries(picks, Density(), fragments.letter_site("en"), lambda paper_id: {})
    holes = dict.fromkeys(["number", "note"], EncodedBytes())
    rendered = [b"".join(paper.html.join(holes)).replace(b"=\r\n", b"") for paper, _ in entries]
    assert [WE.encode() in one for one in rendered] == [True, False]
    assert [b"We prove bounds" in one for one in rendered] == [False, True]
