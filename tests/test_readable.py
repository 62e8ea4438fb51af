"""What people typed becomes what people can read: no LaTeX, no markup, no lost words."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources import records
from digest.sources.latex import formulas
from digest.sources.records import plain, readable

# ---- Formulas


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"$a_i$ and $x^2$ and $x_i^2$", "aᵢ and x² and xᵢ²"),
        (r"below $10^{-3}$", "below 10⁻³"),
        (r"in $O(n \log n)$ or $n\log n$ time", "in O(n log n) or n log n time"),
        (r"$\frac{a}{b}$, $\frac{a+b}{2n}$, $\frac12$", "a/b, (a+b)/(2n), 1/2"),
        (r"$\frac{1}{2}n$ is no $\frac{1}{2n}$", "(1/2)n is no 1/(2n)"),
        (r"$\frac{dy}{dx}$ or $\frac{\partial y}{\partial x}$", "dy/dx or ∂y/∂x"),
        (r"$\frac{1}{n(n-1)}$ and $\log\frac{1}{\delta}$", "1/(n(n-1)) and log(1/δ)"),
        (r"$\sqrt{n}$, $\sqrt{2n}$, $\sqrt[3]{n}$, $\sqrt[k]{n}$", "√n, √(2n), ∛n, n^(1/k)"),
        (r"$\sqrt{T}K$ is no $\sqrt{TK}$", "√T K is no √(TK)"),
        (r"$\sqrt{m(n+1)}$, $\frac{a b}{c}$, $\frac{a}{b}^2$", "√(m(n+1)), ab/c, (a/b)²"),
        (r"$\sum_{i=1}^n x_i$ or $\sum^n_{i=1} x_i$", "∑ᵢ₌₁ⁿ xᵢ or ∑ᵢ₌₁ⁿ xᵢ"),
        (r"$\max_{x \in X} f(x)$, $\sum_{n=1}^N (x_n)$", "max_(x∈X) f(x), ∑ₙ₌₁^N (xₙ)"),
        (r"$x_{\text{max}}$, $T_{\rm eff}$, $x_\mathrm{in}$", "x_max, T_eff, xᵢₙ"),
        (r"$d_{model}y$ and $d_model$", "d_model y and d_model"),
        (r"$2^{n+1}$, $e^{-x}$, $m^{2\gamma}$, $d^{1/2}$", "2ⁿ⁺¹, e^(-x), m^(2γ), d^(1/2)"),
        (r"$n^{-1}$, $d^{0.5}$, $\pi_{0.5}$", "n⁻¹, d^0.5, π_0.5"),
        (r"the $n^{th}$, $2^{nd}$ and $k$th", "the nth, 2nd and kth"),
        (r"$x'$, $f''$, $A^\top$, $x^*$, $90^\circ$", "x′, f″, Aᵀ, x*, 90°"),
        (r"$\hat{y}$, $\bar x$, $\tilde{\mathcal{O}}(n)$", "ŷ, x̄, Õ(n)"),
        (r"$\widehat{AB}$ and $\hat\mathbf{x}$", "AB and x̂"),
        (r"$x\not\in Y$ and $a\not=b$", "x ∉ Y and a ≠ b"),
        (r"$\mathbb{R}^n$, $\mathcal{L}$, $\mathfrak{g}$", "ℝⁿ, ℒ, 𝔤"),
        (r"$\mathbb{1}_A$, $\left. x \right|_0$, $x^ {2}$, $\hatα$", "𝟙_A, x|₀, x², α̂"),
        (r"$\mathcal{ALC}$, $\mathbf{x}$, $\mathsf{P}$", "ALC, x, P"),
        (r"$\epsilon$, $\varepsilon$, $\phi$", "ε, ε, φ"),
        (r"$\{0,1\}^n$ and $\left(\frac{a}{b}\right)^2$", "{0,1}ⁿ and (a/b)²"),
        (r"$\lVert x\rVert_2$, $\| x \|$, $\langle u, v\rangle$", "‖x‖₂, ‖x‖, ⟨u, v⟩"),
        (r"$\binom{n}{k}$ and $a \pmod{n}$", "(n choose k) and a (mod n)"),
        (r"$\begin{pmatrix}1 & 0\\ 0 & 1\end{pmatrix}$", "[1 0; 0 1]"),
        (r"$f(x)=\begin{cases}1 & x>0\\ 0\end{cases}$", "f(x)={1 x>0; 0}"),
        (r"so $$a = b$$ and \[c = d\] and \(e\)", "so a = b and c = d and e"),
        (r"so \begin{align*} a &= b \end{align*} holds", "so a = b holds"),
        (r"$f$$:$$X$$\to$$Y$ and $a$$b$ c", "f:X→Y and ab c"),
        (r"$^{18}$F, CO$_2$, H$_2$O, E$_{\text{max}}$", "¹⁸F, CO₂, H₂O, E_max"),
        (r"$1{,}000$ runs, $256{\times}256$", "1,000 runs, 256×256"),
        (r"$\ourmethod$ in $\poly(n)$", "ourmethod in poly(n)"),
        ("spaced $ \\alpha $-decay of $ n $ steps", "spaced α-decay of n steps"),
        ("over\nlines $\\alpha\n+ 1$", "over lines α + 1"),
    ],
)
def test_formulas_are_written_as_in_a_letter_among_friends(latex, said):
    assert readable(latex) == said


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"$1 \times 2$, $d\times d$", "1 × 2, d × d"),
        (r"$a\le b$ and $\alpha \to x$", "a ≤ b and α → x"),
        (r"$\le 5$, $\sim 3$, $\pm 0.1$, $3\times$ faster", "≤5, ∼3, ±0.1, 3× faster"),
        (r"$0.9\pm0.1$ or $x = \pm 1$", "0.9 ± 0.1 or x = ±1"),
        (r"$p<0.05$, $p < 0.05$, $k= 5$, $p$<$0.05$", "p<0.05, p < 0.05, k = 5, p<0.05"),
        (r"$\alpha<\beta$, $\alpha = \beta$", "α<β, α = β"),
        (r"$\Delta t$, $\lambda x$, $\phi (x)$, $\pi$", "Δt, λx, φ(x), π"),
        (r"$10\,\mathrm{GeV}$ and $5\mathrm{~ms}$", "10 GeV and 5 ms"),
        (r"$x \text{ if } y$, $\mathrm{d}x$, $\operatorname{rank} A$", "x if y, dx, rank A"),
        (r"$P(y \mid x)$, $f\colon X\to Y$, $a := b$", "P(y | x), f : X → Y, a := b"),
        (
            r"$-1$, $x=-1$, $(-1, 1)$, $-\infty$, $k-1$, $k - 1$",
            "-1, x=-1, (-1, 1), -∞, k-1, k - 1",
        ),
        (r"by $-$5 dB, a list of $1 -1$", "by –5 dB, a list of 1 -1"),
    ],
)
def test_signs_stand_as_far_apart_as_they_should_and_none_is_lost(latex, said):
    assert readable(latex) == said


@pytest.mark.parametrize(
    "price",
    [
        "It costs $5 million and $10 more",
        "from $10-$20 to $30–$40",
        "at ($65) or (<$5), not US$2.50",
        "between $5 and $10, $3/month and $4/month",
        "10$ and 20$ each",
        "the $COIN token",
    ],
)
def test_prices_are_no_mathematics(price):
    assert readable(price) == price


def test_a_price_beside_a_formula_leaves_the_formula():
    assert readable(r"For $5 each, $\alpha$ of \$6 and $x=7$.") == "For $5 each, α of $6 and x=7."


def test_a_dollar_that_lost_its_partner_takes_no_sentence_with_it():
    text = r"With $R^2 = 0.7 over all that we have seen of the model ($m_1$), it is best."
    assert (
        readable(text) == "With R² = 0.7 over all that we have seen of the model (m₁), it is best."
    )


# ---- Commands


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"\textbf{Bold \emph{and} plain}, {\it slanted}", "Bold and plain, slanted"),
        (r"\underline{T}wo \textcolor{red}{\textbf{$x^2$}}", "Two x²"),
        (r"5\% of Q\&A, \#1, a\_b", "5% of Q&A, #1, a_b"),
        (r"$45\%$ and $45%$", "45% and 45%"),
        (r"Erd\H{o}s, Sk\l odowska, na{\"i}ve, \'Elan, Fran\c{c}ois", None),
        (
            r"we propose \ours{}: (\ours) beats \sys on \tool{X}",
            "we propose ours: (ours) beats sys on X",
        ),
        (r"\ie more, \eg this", "i.e. more, e.g. this"),
        (r"seen~\cite{a,b} before \citep[p.~3]{c}.", "seen before."),
        (r"as (\cite{a}) shows in Section~\ref{s}", "as shows in Section"),
        (r"a note\footnote{See there.} here", "a note (See there.) here"),
        (r"\SI{5}{\kilo\gram}, \SI{7}{\percent}, \num{1e-3}", "5 kg, 7%, 1×10⁻³"),
        (r"0.4\,mm vs.\ 0.5\,mm", "0.4 mm vs. 0.5 mm"),
        (r"36{\deg}, $9\deg$, 36$^\circ$C, 1\degree", "36°, 9°, 36°C, 1°"),
        (r"\textbf{\mine{x}} and $\vector{y}$", "x and y"),
        (r"\mathbb{R}^2, 3 \times 4, \alpha is", "ℝ², 3 × 4, α is"),
        (r"10^{-3} of H^{2}O and the 2^{nd}", "10⁻³ of H²O and the 2nd"),
        (r"x$\unicode{x2014}$y\u2014z, a$\unicode{x7}$b", "x—y—z, ab"),
        (r"\replaced{one}{two} \deleted{three}", "one"),
        (r"one\\two and high\-minded", "one two and high-minded"),
        (r"\begin{itemize} \item one \item two \end{itemize}", "• one • two"),
        (r"\b{eta}-rays, \k{appa}", "β-rays, κ"),
        (r"don\'t and it\'s \"so\"", 'don’t and it’s "so"'),
        (r"$\input{secret} x$", "x"),
    ],
)
def test_commands_leave_what_they_say(latex, said):
    assert readable(latex) == (said or "Erdős, Skłodowska, naïve, Élan, François")


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"\href{https://example.org/a_b~c--d}{here}", "https://example.org/a_b~c--d"),
        (r"\href{https://example.org/a}{our page}", "our page"),
        (r"\url{https://example.org/a%20b}", "https://example.org/a%20b"),
        (r"at~https://example.org/~me/a--b_1", "at https://example.org/~me/a--b_1"),
        (r"[code](https://example.org/a_b)", "code (https://example.org/a_b)"),
        ("[https://example.org](https://example.org)", "https://example.org"),
        ("at https://example.org{this page}.", "at https://example.org."),
        ("at https://example.org{blue{this page}}.", "at https://example.org."),
    ],
)
def test_web_addresses_stay_as_they_are(latex, said):
    assert readable(latex) == said


@pytest.mark.parametrize(
    ("latex", "said"),
    [
        (r"broken $\frac{ math", r"broken $\frac{ math"),
        (r"an \textbf{open end", "an open end"),
        (r"\textcolor{red}{{an open end", "an open end"),
        (r"\href{https://example.org}{open", "https://example.org open"),
        (r"\textcolor{red}ends", "ends"),
        (r"too much} of \emph{it}", "too much of it"),
        (r"$x^$ and $\frac{1}$ and $\foo$", "x^ and 1 and foo"),
        (r"{\em unended and \cite{lost", "unended and lost"),
        (r"\hat and $\alpha\beta\hat$", "hat and αβ"),
    ],
)
def test_broken_latex_keeps_its_words(latex, said):
    assert readable(latex) == said


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (r"\emph{A} set \{1, 2\} or {0, 1} of {two words}", "A set {1, 2} or {0, 1} of two words"),
        ("{B}read and {GNN}s, {Ü}mit", "Bread and GNNs, Ümit"),
        ("a set {0, 1}, {x: 1} and {{two words}}", "a set {0, 1}, {x: 1} and {{two words}}"),
        (r"$\{\{1\},\{2\}\}$", "{ {1},{2} }"),
        ("16{times} smaller, n{=}5, 360^{circ}", "16× smaller, n=5, 360°"),
    ],
)
def test_braces_are_a_set_or_of_no_use_to_readers(typed, said):
    assert readable(typed) == said


# ---- Typewriters and markup


@pytest.mark.parametrize(
    ("typed", "said"),
    [
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
        ("a\u200bb\u202ec\x00d\ufdd1e", "a b c d e"),
    ],
)
def test_a_typewriters_signs_become_a_printers(typed, said):
    assert readable(typed) == said


def test_a_paper_is_readable_from_title_to_authors():
    assert plain(r"Learning $k$-trees in $\mathbb{R}^n$", 100) == "Learning k-trees in ℝⁿ"
    assert records.names([r"Ren\'e Example", r"{\L}ukasz B."]) == ["René Example", "Łukasz B."]


def test_a_topic_that_she_typed_is_readable():
    assert readable(r"$\alpha$-stable processes") == "α-stable processes"
    assert readable(r"  Erd\H{o}s--R\'enyi   graphs ") == "Erdős–Rényi graphs"
    assert readable("graph neural networks") == "graph neural networks"


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


@given(TYPED | ANY)
def test_any_text_becomes_one_line_that_stays_as_it_is(text):
    line = readable(text)
    assert not records.CONTROLS.search(line)
    assert line == " ".join(line.split())
    assert readable(line) == line


def test_markup_within_markup_without_end_is_left_out():
    line = readable("&" + "amp;" * 10 + "lt;i and more")
    assert readable(line) == line
    assert line.endswith("lt;i and more")
    assert "&" not in line


WORDS = st.from_regex(r"\A[A-Za-zÀ-ÖØ-öø-ÿ0-9]{1,9}([-'’/][A-Za-z]{1,5}|%)?[.,;:!?]?\Z")


@given(st.lists(WORDS, min_size=1, max_size=20), st.sampled_from([" ", "  ", "\n", " \t"]))
def test_prose_without_latex_is_left_alone(words, space):
    assert readable(space.join(words)) == " ".join(words)


BOMBS = ["$", "\\(", "\\[", "{", "}", "\\{", "\\frac{", "\\textbf{", "$x$ ", "_{", "^{", "``", "'"]
BOMBS += [
    "**a",
    "*a ",
    "~",
    "--",
    "&amp;",
    "&#38;",
    "<b>",
    "[a](http://b",
    "\\cite{",
    "\\hat",
    "\\",
]
BOMBS += [
    "\\begin{equation}",
    "\\begin{cases}",
    "$a_{",
    "\\sqrt[",
    "\\foo{",
    " ,",
    "`a ",
    "\\'",
    "⁰",
]


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("end", ["", "}", "$", "\\)"])
def test_forty_thousand_characters_take_no_half_second(bomb, end):
    text = (bomb * 40_000)[:40_000] + end
    assert min(seconds_for(text) for _ in range(3)) < 0.5  # Garbage may be collected in one.


def seconds_for(text):
    begun = time.process_time()
    readable(text)
    return time.process_time() - begun


def test_forty_thousand_characters_of_different_formulas_take_no_half_second():
    text = "".join(rf"$\frac{{{n}}}{{\sqrt{{x_{n}}}}}$ " for n in range(1_500))
    begun = time.process_time()
    said = readable(text)
    assert time.process_time() - begun < 0.5
    assert said.startswith("0/√x₀ 1/√x₁")
    assert "\\" not in said
    assert said.endswith("frac1499sqrtx_1499")  # More than anybody reads is not worth the time.


def test_a_formula_of_a_thousand_levels_is_shown_without_its_marks():
    deep = "$" + "{" * 1_000 + "x" + "}" * 1_000 + "$"
    assert readable(deep) == "x"
    assert formulas.bare(r"\frac{a}{b}$") == "fracab"


def test_tags_with_attributes_go_in_pairs_too():
    text = """See <a href='https://example.org/?a=1' class="x">the page</a>, a<b> and <b x>."""
    assert readable(text) == "See the page, a<b> and <b x>."
