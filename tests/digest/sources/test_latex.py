"""What people typed becomes what people can read: no LaTeX, no markup, no lost words."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources import records
from digest.sources.biorxiv import jats_text
from digest.sources.records import plain, readable

# ---- LaTeX


def test_latex_is_written_as_in_an_email():
    for latex, said in [
        # Scripts
        (r"$a_i$ and $x^2$ and $x_i^2$ and $x^2_i$", "aᵢ and x² and xᵢ² and xᵢ²"),
        (r"below $10^{-3}$, 10^{-3} of H^{2}O, $2^{n+1}$", "below 10⁻³, 10⁻³ of H²O, 2ⁿ⁺¹"),
        (r"$x_{\text{max}}y$, $T_{\rm eff}$, $x_\text{max}$", "x_max y, T_eff, x_max"),
        (r"$e^{-x}$, $d^{0.5}$, $\max_{x \in X} f(x)$", "e^(-x), d^0.5, max_(x∈X) f(x)"),
        (r"$^{18}$F, CO$_2$, the $n^{th}$, $A^\top$, $90^\circ$", "¹⁸F, CO₂, the nth, Aᵀ, 90°"),
        # Fractions and roots
        (r"$\frac{a+b}{2n}$, $\frac12$, $\sqrt{T}K$, $\sqrt{TK}$", "(a+b)/(2n), 1/2, √T K, √(TK)"),
        (r"$\frac{1}{2}n$, $\frac12\|F\|^2$, $\log\frac1n$", "(1/2)n, (1/2)‖F‖², log(1/n)"),
        (r"$(\log k)^{1+\frac1p-\frac{1}{p^2}}$, $n^{\frac1p}$", "(log k)^(1+1/p-1/p²), n^(1/p)"),
        # Letters
        (r"$\hat{y}$, $\bar x$, $\tilde{\mathcal{O}}(n)$, $f'$", "ŷ, x̄, Õ(n), f′"),
        (r"$\mathbb{R}^n$, $\mathcal{L}$, $\mathcal{ALC}$, $\mathbf{x}$", "ℝⁿ, ℒ, ALC, x"),
        (r"$\epsilon$, $\varepsilon$, $\phi$, \b{eta}", "ε, ε, φ, β"),
        # Sets
        (r"$\{0,1\}^n$, $n \in \{4,5,6\}$, \{1, 2\}", "{0,1}ⁿ, n ∈ {4,5,6}, {1, 2}"),
        (r"\emph{A} set {0, 1} of {two words}", "A set {0, 1} of two words"),
        ("{B}read and {GNN}s, n{=}5, a set {0, 1}", "Bread and GNNs, n=5, a set {0, 1}"),
        # Spaces
        (r"$O(n\log n)$, $a\le b$, $\le 5$, $\Delta t$", "O(n log n), a ≤ b, ≤5, Δt"),
        (r"$$a = b$$ and \[c = d\] and \(e\), by $-$5 dB", "a = b and c = d and e, by –5 dB"),
        (r"$f$$:$$X$$\to$$Y$ in $ n $ steps", "f:X→Y in n steps"),
        # Commands in prose
        (r"\textbf{Bold \emph{and} plain} {\it slanted}", "Bold and plain slanted"),
        (r"5\% of Q\&A, \#1, a\_b, $45\%$ and $45%$", "5% of Q&A, #1, a_b, 45% and 45%"),
        (r"Erd\H{o}s, Sk\l odowska, na{\"i}ve, \'Elan", "Erdős, Skłodowska, naïve, Élan"),
        (r"we propose \ours{}: \sys beats \tool{X}", "we propose ours: sys beats X"),
        (r"as~\cite{a,b} (\citep[p.~3]{c}) in a\footnote{See b.} note", "as in a (See b.) note"),
        (r"x$\unicode{x2014}$y, 36$^\circ$C, high\-minded", "x—y, 36°C, high-minded"),
        (r"\href{https://example.org/a_b~c--d}{here}", "https://example.org/a_b~c--d"),
        (r"\href{https://x.org/a}{our page}, \url{x.org/a%20b}", "our page, x.org/a%20b"),
        (r"For $5, $\alpha$ of \$6 and $x=7$.", "For $5, α of $6 and x=7."),
        # Broken
        (r"an \textbf{open end", "an open end"),
        (r"too much} of \emph{it} and \cite{lost", "too much of it and lost"),
    ]:
        assert readable(latex) == said


def test_prices_are_no_mathematics():
    for price in [
        "It costs $5 million and $10 more, from $10-$20 to $30–$40",
        "at ($65) or (<$5), not US$2.50, between $5 and $10",
        "$3/month and $4/month, the $COIN token",
        "10$ and 20$ each",
    ]:
        assert readable(price) == price


def test_unbalanced_dollar_swallows_no_sentence():
    text = r"With $R^2 = 0.7 over all that we have seen of the model ($m_1$), it is best."
    assert readable(text).endswith("over all that we have seen of the model (m₁), it is best.")


# ---- Typewriters and markup


def test_a_typewriters_signs_become_a_printers():
    for typed, said in [
        ("``one'' and ``two\" and ''three''", "“one” and “two” and “three”"),
        ("a `word' and the 'other' don't", "a ‘word’ and the 'other' don't"),
        ("pages 1--2, A--B---and so on -- yes", "pages 1–2, A–B — and so on – yes"),
        ("run it with --verbose; a --> b", "run it with --verbose; a --> b"),
        ("Fig.~2, 13~mm, GPT~4, Bo~Example", "Fig. 2, 13 mm, GPT 4, Bo Example"),
        ("about ~5%, X ~ Y, 3~5 times, X~N(0,1)", "about ~5%, X ~ Y, 3~5 times, X~N(0,1)"),
        ("**T**wo *words* of 2 * 3 * 4, A* and B*", "Two words of 2 * 3 * 4, A* and B*"),
        ("10^6 steps, R^2, 10^-3, x^2.5", "10⁶ steps, R², 10⁻³, x^2.5"),
        ("CO_2 and L_1 of file_2 and my_name", "CO₂ and L₁ of file_2 and my_name"),
        ("one , two ; three .", "one, two; three."),
        ("AT&amp;T, &amp;lt;3 and 5 &gt; 4", "AT&T, <3 and 5 > 4"),
        ("<b>One</b><br/>two, a<b>c", "One two, a<b>c"),
        ("See <a href='https://x.org/?a=1' class=\"x\">it</a>, <b x>", "See it, <b x>"),
        ("a\u200bb\u202ec\x00d\ufdd1e", "a b c d e"),
    ]:
        assert readable(typed) == said


# ---- Whatever is typed

FRAGMENTS = r"""
    $ $$ \( \) \[ \] { } \ \\ \{ \} _ ^ _{ ^{ ~ -- --- `` ` '' ' * ** & &amp; &lt; &#36; % \%
    \frac \frac{1}{2} \sqrt{ \sqrt[ \textbf{ \emph{a} \alpha \to \le \x \foo{b} \hat \bar{x} \'e \"
    \cite{a} \href{ \url{b} \footnote{ \left( \right) \begin{equation} \end{equation} \begin{cases}
    \end{cases} \text{ \mathbb{R} \log \unicode{x24} \u0024 \textbackslash <b> </b> <br> [a](http
    http://a. {times} \, | ‖ = - + , . ; ( ) [ ] $5 a b1 x_1 x^2 α é
""".split()  # noqa: SIM905
BLANKS_AND_CONTROLS = [" ", "\n", "\u0301", "\ufdd6", "\ud800", "\x00"]
TYPED = st.lists(st.sampled_from(FRAGMENTS + BLANKS_AND_CONTROLS), max_size=25).map("".join)
ANY = st.text(alphabet=st.characters(codec=None), max_size=200)


@pytest.mark.slow
@given(TYPED | ANY)
def test_any_text_becomes_one_stable_line(text):
    line = readable(text)
    assert not records.CONTROLS.search(line)
    assert line == " ".join(line.split())
    assert readable(line) == line
    short = plain(text, 100)
    assert len(short) <= 100
    assert not records.CONTROLS.search(short)
    short.encode("utf-8")


def test_markup_within_markup_without_end_is_left_out():
    line = readable("&" + "amp;" * 10 + "lt;i and more")
    assert readable(line) == line
    assert line.endswith("lt;i and more")
    assert "&" not in line


WORDS = st.from_regex(r"\A[A-Za-zÀ-ÖØ-öø-ÿ0-9]{1,9}([-'’/][A-Za-z]{1,5}|%)?[.,;:!?]?\Z")


@pytest.mark.slow
@given(st.lists(WORDS, min_size=1, max_size=20), st.sampled_from([" ", "  ", "\n", " \t"]))
def test_prose_without_latex_is_left_alone(words, space):
    assert readable(space.join(words)) == " ".join(words)


BOMBS = r"""
    $ $$ \( \[ { } \{ \frac{ \textbf{ _{ ^{ `` ' **a ~ -- &amp; &#38; <b> [a](http://b \cite{ \hat \
    \begin{equation} \begin{cases} $a_{ \sqrt[ \foo{ \' ⁰ x_ $\frac12
""".split()  # noqa: SIM905


@pytest.mark.slow
@pytest.mark.parametrize("bomb", [*BOMBS, "$x$ ", " ,", "`a ", "*a ", "\\ "])
def test_long_latex_takes_linear_time(bomb):
    for end in ("", "}", "$", "\\)", " $x$"):
        text = (bomb * 40_000)[:40_000] + end
        assert any(seconds_for(text) < 0.2 for _ in range(3))  # Garbage may be collected in one.


def seconds_for(text):
    begun = time.process_time()
    readable(text)
    return time.process_time() - begun


def test_latex_beyond_all_measure_loses_its_marks():
    assert readable(r"\emph{x}" * 400) == "emphx" * 400


# ---- What bioRxiv's and medRxiv's texts have in place of signs is read as the signs


def read(text):
    return records.plain(jats_text.abstract(text), records.MAX_ABSTRACT)


def test_named_symbols_become_characters():
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
