"""What people typed becomes what people can read: no LaTeX, no markup, no lost words."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources import records
from digest.sources.biorxiv import jats_text
from digest.sources.records import clean, readable_text
from tests.helpers import data_files
from tests.helpers.data_files import cases, pairs

CASES = cases("latex")

# ---- LaTeX


def test_latex_becomes_readable_text():
    for latex, expected in pairs("latex"):
        assert readable_text(latex) == expected


def test_prices_are_no_mathematics():
    for price in CASES["prices"]:
        assert readable_text(price) == price


def test_unbalanced_dollar_swallows_no_sentence():
    text = r"With $R^2 = 0.7 over all that we have seen of the model ($m_1$), it is best."
    assert readable_text(text).endswith("over all that we have seen of the model (m₁), it is best.")


# ---- Typewriters and markup


def test_typewriter_signs_become_typographic():
    for typed, expected in [*pairs("typewriter"), ("a\u200bb\u202ec\x00d\ufdd1e", "a b c d e")]:
        assert readable_text(typed) == expected


# ---- Whatever is typed

FRAGMENTS = data_files.text("latex_fragments.txt").split()
BLANKS_AND_CONTROLS = [" ", "\n", "\u0301", "\ufdd6", "\ud800", "\x00"]
TYPED = st.lists(st.sampled_from(FRAGMENTS + BLANKS_AND_CONTROLS), max_size=25).map("".join)
ANY = st.text(alphabet=st.characters(codec=None), max_size=200)


@pytest.mark.slow
@given(TYPED | ANY)
def test_any_text_becomes_one_stable_line(text):
    line = readable_text(text)
    assert not records.CONTROLS.search(line)
    assert line == " ".join(line.split())
    assert readable_text(line) == line
    short = clean(text, 100)
    assert len(short) <= 100
    assert not records.CONTROLS.search(short)
    short.encode("utf-8")


def test_nested_entities_are_removed():
    line = readable_text("&" + "amp;" * 10 + "lt;i and more")
    assert readable_text(line) == line
    assert line.endswith("lt;i and more")
    assert "&" not in line


WORDS = st.from_regex(r"\A[A-Za-zÀ-ÖØ-öø-ÿ0-9]{1,9}([-'’/][A-Za-z]{1,5}|%)?[.,;:!?]?\Z")


@pytest.mark.slow
@given(st.lists(WORDS, min_size=1, max_size=20), st.sampled_from([" ", "  ", "\n", " \t"]))
def test_prose_without_latex_is_unchanged(words, space):
    assert readable_text(space.join(words)) == " ".join(words)


BOMBS = [*data_files.text("latex_bombs.txt").split(), "$x$ ", " ,", "`a ", "*a ", "\\ "]


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_long_latex_takes_linear_time(bomb):
    for end in ("", "}", "$", "\\)", " $x$"):
        text = (bomb * 40_000)[:40_000] + end
        assert any(seconds_for(text) < 0.2 for _ in range(3))  # Garbage may be collected in one.


def seconds_for(text):
    begun = time.process_time()
    readable_text(text)
    return time.process_time() - begun


def test_excessive_latex_is_stripped():
    assert readable_text(r"\emph{x}" * 400) == "emphx" * 400


# ---- What bioRxiv's and medRxiv's texts have in place of signs is read as the signs


def read(text):
    return records.clean(jats_text.clean_abstract(text), records.MAX_ABSTRACT)


def test_named_symbols_become_characters():
    for written, expected in pairs("jats_symbols"):
        assert read(written) == expected


def test_typesetting_marks_are_removed():
    for written, expected in pairs("jats_marks"):
        assert read(written) == expected


def test_heading_is_separated_from_its_sentence():
    for written, expected in CASES["split"]:
        assert read(written) == expected
    for text in CASES["unchanged"]:
        assert read(text) == text


def test_formulas_are_left_to_latex_reader():
    assert jats_text.replace_marks("$x_{o} = y^{mu}$ of {mu}") == "$x_{o} = y^{mu}$ of μ"


def test_abstracts_are_read_in_linear_time():
    marks = ["O_FIG", "O_FIGC_FIG", "{", "[", "{a", "Results", ":", "C_ST", "abstract "]
    for piece in (*marks, "\n", " "):
        start = time.perf_counter()
        jats_text.clean_abstract(piece * (2 * records.MAX_ABSTRACT // len(piece)))
        assert time.perf_counter() - start < 0.5
