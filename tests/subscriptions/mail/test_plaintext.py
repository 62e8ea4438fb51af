"""Lines of the text part, whatever a paper says of itself."""

import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from subscriptions.mail.plaintext import COLUMNS, columns, wrapped

NUMBERED = re.compile(r"\s*\[?\d+[\].)](\s|$)")
WORDS = st.one_of(
    st.sampled_from(["a", "12.", "[3]", "4)", "5.\u00a06.", "图4.", "7.x", "\u20038. ", "(9)", ""]),
    st.integers(65, 80).map(lambda length: "x" * length),
    st.text("x1.)图 ", min_size=60, max_size=160),
    st.text("1. ", max_size=90),
)
SPOKEN = st.lists(WORDS, max_size=30).map(" ".join)


@given(SPOKEN, st.sampled_from(["", "    "]))
@example("x" * 72 + "4. y", "    ")
@example("x" * 71 + " 4. y", "    ")
@example("1. " * 40, "    ")
@example("1" * 100 + ". y", "    ")
@example("图" * 36 + "4. 我们", "    ")
@example("word  12. " * 30, "    ")
def test_wrapped_line_does_not_begin_like_a_paper(said, indent):
    lines = wrapped(f"{indent}Why: {said}").splitlines()
    assert not [line for line in lines if NUMBERED.match(line)]
    assert all(columns(line) <= COLUMNS for line in lines)
    assert marks(" ".join(lines)) == marks(f"Why: {said}")


@given(SPOKEN)
@example("x" * 69 + "4. y")
def test_title_has_its_number_once(title):
    lines = wrapped(f"3. A {title}").splitlines()
    assert [line for line in lines if NUMBERED.match(line)] == lines[:1]
    assert lines[0].startswith("3. A")


@given(SPOKEN)
def test_abstract_beginning_with_a_number_is_no_paper(said):
    lines = wrapped(f"Paper\n    4. {said}").splitlines()
    assert not [line for line in lines if NUMBERED.match(line)]


def marks(text):
    """Return all that is to be read, without how numbers are marked."""
    return re.sub(r"[\s().\[\]]", "", text)


def test_wide_characters_count_as_two_columns():
    wide = [one for one in map(chr, range(0x110000)) if unicodedata.east_asian_width(one) in "WF"]
    assert columns("".join(wide)) == 2 * len(wide)
