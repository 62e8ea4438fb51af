"""What bioRxiv's and medRxiv's texts have in place of signs is read as the signs."""

import time

from digest.sources import records
from digest.sources.biorxiv import jats_text


def read(text):
    return records.plain(jats_text.abstract(text), records.MAX_ABSTRACT)


def test_symbols_that_stand_as_names_are_signs_and_what_is_not_known_stays():
    for written, said in (
        ("IL-1{beta}, {Delta}F and TNF[alpha]", "IL-1β, ΔF and TNFα"),
        ("19 {o}C, 5 {+/-} 1 [&ge;] [~]3", "19 °C, 5 ± 1 ≥ ∼3"),
        ("10{superscript 6} cells, A [-&gt;] B", "10⁶ cells, A → B"),
        ("[A] in {0, 1} and {A}, [o], a [nobody]", "[A] in {0, 1} and {A}, [o], a [nobody]"),
    ):
        assert read(written) == said


def test_marks_of_the_typesetter_are_not_read():
    for written, said in (
        ("AO_SCPLOWBSTRACTC_SCPLOWBread rises.", "Bread rises."),
        ("MO_SCPLOWUSEC_SCPLOW maps bread.", "MUSE maps bread."),
        ("O_ST_ABSBackgroundC_ST_ABSBread rises.", "Background: Bread rises."),
        ("O_ST_ABSBackground:C_ST_ABSBread rises.", "Background: Bread rises."),
        ("O_LIYeastC_LIO_LIFlourC_LI", "Yeast Flour"),
        ("It rises. O_FIG O_LINKSMALLFIG WIDTH=200 C_FIG It cools.", "It rises. It cools."),
        ("It rises. O_FIG and is not ended", "It rises. and is not ended"),
    ):
        assert read(written) == said


def test_a_heading_is_parted_from_its_sentence():
    for written, said in (
        ("BackgroundBread rises.\n\nResultsIt rose.", "Background: Bread rises. Results: It rose."),
        ("BACKGROUNDBread rises.\nRESULTSIt rose.", "BACKGROUND: Bread rises. RESULTS: It rose."),
        ("MethodsDNA was read.", "Methods: DNA was read."),
        ("ABSTRACT BackgroundBread rises.", "Background: Bread rises."),
        ("AbstractBread rises.", "Bread rises."),
        ("Abstract\n\nBread rises.", "Bread rises."),
    ):
        assert read(written) == said
    for text in [
        "ABSTRACTIONS rise.",
        "Abstract algebra rises.",
        "AIM2 is a gene. ResultsInside stays.",
        "Results are good.",
        "RESULTS: good.",
    ]:
        assert read(text) == text


def test_formulas_are_left_to_who_reads_latex():
    assert jats_text.spelt("$x_{o} = y^{mu}$ of {mu}") == "$x_{o} = y^{mu}$ of μ"


def test_no_text_takes_long():
    marks = ["O_FIG", "O_FIGC_FIG", "{", "[", "{a", "Results", ":", "C_ST", "abstract "]
    for piece in (*marks, "\n", " "):
        start = time.perf_counter()
        jats_text.abstract(piece * (2 * records.MAX_ABSTRACT // len(piece)))
        assert time.perf_counter() - start < 0.5
