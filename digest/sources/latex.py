r"""LaTeX as text that people can read: a thin layer over pylatexenc, which parses it.

The layer tells formulas from prices, writes scripts and fractions as people do in an email, and
bounds the work: LaTeX that is longer than that of any real paper loses its marks and no more.
"""

import re
import unicodedata
from itertools import batched, zip_longest

from pylatexenc import latex2text, latexwalker
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec
from pylatexenc.latexwalker import LatexGroupNode, LatexMacroNode, LatexWalker
from pylatexenc.macrospec import MacroSpec

MAX_LATEX = 2_000  # Characters, without prose. The parser takes up to 0.1 ms for each.
HIGH = str.maketrans("0123456789+-=()in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ")
LOW = str.maketrans(
    "0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ"
)

# ---- Marks of our own, while a text is read: private characters, which no text has

OPEN, CLOSE, RATIO, END, WORD, GAP, CITE = map(chr, range(0xE000, 0xE007))
DOLLAR, LEFT, RIGHT, LINE, HAT = KEPT = [*map(chr, range(0xE010, 0xE015))]
AGAIN = str.maketrans(dict(zip(KEPT, "${}_^", strict=True)))
PRIVATE = re.compile("[\ue000-\ue01f\U000f0000-\U000ffffd]")
HIDDEN = re.compile("[\U000f0000-\U000ffffd]")

# ---- What is LaTeX in a text

#: A dollar opens a formula where no space follows, and closes one where no space precedes and no
#: digit follows, or where mathematics stands between two. A sentence between two is prose.
FORMULA = re.compile(
    r"(\$\$.+?\$\$|\$\s*[A-Za-z]\w?\s*\$|(?<!\\)\$(?![^$]*(?:\s[A-Za-z]{2,}[,.]?){6})"
    r"(?:(?=[^$]*[\\^_]|[^$\d][^$]*[<>=])(?:\\.|[^$\\])+?|(?![\s\d])(?:\\.|[^$\\])+?(?<!\s)"
    r"|\d(?:\\.|[^$\\])*?(?<!\s)(?=\$(?!\d)))\$)",
    re.DOTALL,
)
#: Prose that the parser need not see. The word after a mark may be the argument of a macro.
PROSE = re.compile(r"(\s[^\s\\${}]+\s)([^\\${}]{20,})(?=\s)")
LATIN = "A-Za-z\u00c0-\u024f"
#: Braces for TeX alone: {B}ERT, n{=}5, {a phrase}. And a set, which keeps them.
FOR_TEX = re.compile(
    rf"(?<=[{LATIN}]){{([{LATIN}]+)}}(?!}})|(?<!{{){{([{LATIN}]+)}}(?=[{LATIN}])"
    rf"|(?<!{{){{([=<>,+~:]|[{LATIN}-]+(?: [{LATIN}-]+)+|[A-Z][{LATIN}-]+|https?://[^\s{{}}]+)}}(?!}})"
)
SET = re.compile(r"(?<![\\\w}^_\])]){(\s*-?\w{1,3}(?:\s*,\s*(?:-?\w{1,3}|…|\.{3}))+\s*)}")
APOSTROPHE = re.compile(r"(?<=[A-Za-z])\\'(?=(?:s|t|re|ve|ll|d|m)\b)|\\'(?![A-Za-z{\\])")
QUOTE = re.compile(r'\\"(?![A-Za-z{\\])')

# ---- Macros that pylatexenc lacks, or says otherwise

#: A macro and what it says.
SYMBOLS = r"""
    epsilon ε eps ε phi φ circ ∘ implies ⇒ iff ⇔ colon : | ‖ lVert ‖ rVert ‖ ast * R ℝ ell ℓ dots …
    ldots … dotsc … hdots … ne ≠ land ∧ lor ∨ neg ¬ lt < gt > bot ⊥ prime ′ mid | degree ° deg °
    celsius °C percent % textless < textgreater > textpercent % textmu µ upmu µ textbar | Box □
    texttimes × textrightarrow → dashrightarrow ⇢ coloneqq := checkmark ✓ item • ie i.e. eg e.g.
    etc etc. vs vs. wrt w.r.t. Re Re Im Im slash / leqslant ≤ geqslant ≥ bullet • backslash ∖ - -
    textbackslash ∖ textunderscore _ varTheta Θ
"""
#: They leave what follows as it is.
SILENT = r"""
    em it bf rm sf tt sl sc bfseries itshape normalfont boldmath tiny scriptsize footnotesize small
    normalsize large Large LARGE huge Huge displaystyle textstyle scriptstyle limits nolimits xspace
    nonumber protect allowbreak newline noindent centering middle smash boxed big Big bigg Bigg bigl
    Bigl biggl Biggl bigr Bigr biggr Biggr mathrm mathbf mathit mathsf mathtt boldsymbol bm text
    textrm textit textbf textsf texttt textsc textsl emph mbox hbox mathop underline uline ul ! / @
    ensuremath left right today maketitle
"""
#: Words that stand before their argument: log n.
OPERATORS = """
    arccos arcsin arctan arg argmax argmin cos cosh cot det diam dim exp gcd inf ker lg lim ln log
    max min mod polylog Pr rank sgn sign sin sinh sup tan tanh Tr tr Var Cov bmod
"""
CITES = "cite citet citep citealt citealp citeauthor citeyear parencite textcite autocite footcite"
REFERENCES = "ref eqref cref Cref autoref pageref nameref label"
DROPPED = "hspace vspace todo thanks deleted phantom vphantom tag color"
#: Macros with their arguments, as pylatexenc counts them, and what they say.
FORMS = {
    **{name: ("", said) for name, said in batched(SYMBOLS.split(), 2)},
    **{name: ("", f"{WORD}{name}{GAP}") for name in OPERATORS.split()},
    **{name: ("", "") for name in SILENT.split()},
    **{name: ("*[[{", CITE) for name in CITES.split()},
    **{name: ("{", CITE) for name in REFERENCES.split()},
    **{name: ("{", "") for name in DROPPED.split()},
    **{sign: ("", kept) for sign, kept in zip("${}_", KEPT, strict=False)},
    **dict.fromkeys(("enquote", "say"), ("{", "“%s”")),
    **dict.fromkeys(("overset", "stackrel"), ("{{", f"%(2)s^{OPEN}%(1)s{CLOSE}")),
    **dict.fromkeys(("hyperlink", "texorpdfstring"), ("{{", "%(2)s")),
    "binom": ("{{", "(%s choose %s)"),
    "pmod": ("{", " (mod %s)"),
    "operatorname": ("*{", f"{WORD}%(2)s{GAP}"),
    "textsuperscript": ("{", f"^{OPEN}%s{CLOSE}"),
    "textsubscript": ("{", f"_{OPEN}%s{CLOSE}"),
    "ket": ("{", "|%s⟩"),
    "footnote": ("[{", " (%(2)s)"),
    "textcolor": ("[{{", "%(3)s"),
    "hyperref": ("[{", "%(2)s"),
    "replaced": ("[{{", "%(2)s"),
    "includegraphics": ("[{", ""),
    "SI": ("[{{", "%(2)s %(3)s"),
}
#: Letters: the space after them only ends their name, as in `S\o ren`.
LETTERS = frozenset("o O l L i j ss ae AE oe OE aa AA".split())  # noqa: SIM905
#: Accents of formulas. pylatexenc would put one on each character.
ACCENTS = dict(
    zip(
        "hat widehat tilde widetilde bar overline dot ddot check breve vec".split(),  # noqa: SIM905
        "\u0302\u0302\u0303\u0303\u0304\u0304\u0307\u0308\u030c\u0306\u20d7",
        strict=True,
    )
)
ALPHABETS = {"mathbb": "doublestruck", "mathcal": "script", "mathscr": "script", "cal": "script"}
LINKS = {"", "here", "link", "this link", "this url", "url", "website", "code"}

# ---- Scripts and fractions

#: Signs that stand high by themselves.
HIGH_SIGNS = {"∘": "°", "⊤": "ᵀ", **{s: s for s in (*"*⋆†‡′″°®™", "**", "st", "nd", "rd", "th")}}
GROUP = f"{OPEN}([^{OPEN}{CLOSE}]*){CLOSE}"
SINGLE = r"[^\s(\ue000-\ue00f]"
SCRIPT = re.compile(rf"([\s{GAP}]*)([_^])\s*(?:{GROUP}|((?<=_)[^\W\d_]{{3,}}|{SINGLE}))(?=(\w?))")
GROUPED_SCRIPT = re.compile(rf"()([_^]){GROUP}()(?=(\w?))")
UPPER_FIRST = re.compile(rf"(\^\s*(?:{GROUP}|{SINGLE}))(\s*_\s*(?:{GROUP}|{SINGLE}))")
LETTER = r"[^\W_⁰-ₜ¹²³ᵢ-ᵪⱼ][\u0300-\u036f\u20d7]*"
#: What needs no parentheses as a script, and above and below the line of a fraction.
ALONE = {
    "^": re.compile(rf"{LETTER}[*′]?|\d+(?:\.\d+)?|[^\W\d_]{{3,}}|\([^()]*\)|[^\w\s]"),
    "_": re.compile(rf"(?:{LETTER})+[*′]?|\d+\.\d+|\([^()]*\)|[^\w\s]"),
}
SCRIPTED = rf"(?:[⁰-ₜ¹²³ᵢ-ᵪⱼ′*°ᵀ\u0300-\u036f\u20d7]|[{LINE}{HAT}][^\W_]+)*"
FACTOR = re.compile(rf"[^\W\d_]{SCRIPTED}|\d+(?:[.,]\d+)*|\([^()]*\)")
ABOVE = re.compile(r"[^\s+\-±∓/=<>≤≥≈·×*,;:|]+|\([^()]*\)")
BELOW = re.compile(rf"[√∂]?(?:{FACTOR.pattern})|√\([^()]*\)|d[a-z]|[^\W\d_]{{2,}}\([^()]*\)")
FRACTION = re.compile(
    rf"([\w)\]}}′‖{CLOSE}{GAP}{RIGHT}]\s*)?{RATIO}([^{RATIO}{END}]*){END}"
    rf"(?=(\s*[\w√∇∑∫(‖{OPEN}{RATIO}{WORD}{LEFT}_^{LINE}{HAT}⁰-ₜ¹²³ᵢ-ᵪⱼ])?)"
)
#: Where spaces stand in a formula: around relations and operations that have two sides, around
#: others if its author put one there, and none within parentheses and before them.
SPACES = [
    (re.compile(pattern), said)
    for pattern, said in [
        (r"(?<=[^\s(\[{,;])\s*([←-⇿∈-∍∝∼-⋯±×·∧∨∩∪⟵-⟿]|:=)\s*(?=[^\s,.;:)\]}^_])", r" \1 "),
        (r"(?<=[^\s(\[{,;:=<>!→≈≤≥∈∼×])(?: ([=<>+]) ?|([=<>+-]) )(?=\S)", r" \1\2 "),
        (r"(?<=[(\[⟨]) | (?=[)\]⟩,]|×$)|(?<=[\w*′])(?<![A-Za-z]{2}) (?=\()", ""),
    ]
]
BEFORE_WORD = re.compile(rf"(?<=[\w)\]}}⟩‖′{CLOSE}{END}{GAP}])\s*{WORD}")
AFTER_WORD = re.compile(rf"{GAP}\s*(?=[\w√⟨‖|∑])")


def _scripted(text, pattern=SCRIPT):
    """Write scripts as Unicode has them, or as in x^(n/2)."""
    if pattern is SCRIPT:
        text = UPPER_FIRST.sub(r"\3\1", text)
    while (said := pattern.sub(_script, text)) != text:
        text = said
    return text


def _script(found):
    before, sign, group, character, after = found.groups()
    inside = _spaced(_fractions(_scripted(group or character or ""))).strip()
    inside = re.sub(r"\s*([^\w\s()\[\]])\s*", r"\1", inside)
    gap = GAP if GAP in before else ""
    if sign == "^" and inside in HIGH_SIGNS:
        return HIGH_SIGNS[inside] + gap
    said = inside.translate(HIGH if sign == "^" else LOW)
    if not re.search(r"[^\W\d_]{3,}", inside) and not set(said) & set(inside):
        return said + gap
    inside = inside if ALONE[sign].fullmatch(inside) else f"({inside})"
    return (LINE if sign == "_" else HAT) + inside + (gap or (after and " "))


def _fractions(text):
    """Put parentheses around the fractions that stand beside a factor: (1/2)n."""
    while (said := FRACTION.sub(_beside, text)) != text:
        text = said
    return text


def _beside(found):
    before, fraction, after = found.groups()
    return f"{before or ''}({fraction})" if before or after else fraction


def _spaced(text):
    """Put spaces around words such as log, where they stand beside something."""
    text = AFTER_WORD.sub(" ", BEFORE_WORD.sub(" ", text))
    return text.replace(WORD, "").replace(GAP, "")


# ---- What macros say


def _argument(node, reader, index=-1):
    text = reader.node_arg_to_text(node, index).strip()
    is_formula = node.parsing_state.in_math_mode
    return _fractions(_scripted(text, SCRIPT if is_formula else GROUPED_SCRIPT))


def _flat(node, reader, index=-1):
    text = _spaced(_argument(node, reader, index))
    factors = text.split()
    is_product = all(map(FACTOR.fullmatch, factors)) and not re.search(f"[{LINE}{HAT}]", text)
    return "".join(factors) if is_product else text


def _unless(pattern, text):
    return text if pattern.fullmatch(text) else f"({text})"


def _fraction(node, l2tobj):
    above, below = (_flat(node, l2tobj, index) for index in (0, 1))
    return f"{RATIO}{_unless(ABOVE, above)}/{_unless(BELOW, below)}{END}"


def _root(node, l2tobj):
    degree, inside = (_flat(node, l2tobj, index) for index in (0, 1))
    sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree)
    inside = _unless(FACTOR, inside)
    return f"{sign}{inside}{GAP}" if sign else f"{inside}^{OPEN}1/{degree}{CLOSE}"


def _accented(node, l2tobj):
    """Put the accent on the letter; words go without."""
    text = _flat(node, l2tobj)
    if not text[:1].isalpha() or not re.fullmatch(SCRIPTED, text[1:]):
        return text
    return unicodedata.normalize("NFC", text[0] + ACCENTS[node.macroname]) + text[1:]


def _in_alphabet(node, l2tobj):
    """Return one letter in its alphabet; O is Landau's, and names are easier to read without."""
    text = _flat(node, l2tobj)
    if len(text) != 1 or text == "O":
        return text
    return latex2text.fmt_math_text_style(text, ALPHABETS[node.macroname])


def _address(node):
    source = node.nodeargd.argnlist[0].latex_verbatim().strip("{} ")
    return re.sub(r"\\([%&#_~$])", r"\1", source)


def _link(node, l2tobj):
    said = _argument(node, l2tobj, 1)
    if not isinstance(node.nodeargd.argnlist[1], LatexGroupNode):  # It is missing.
        return f"{_address(node)}{' ' if said.isalnum() else ''}{said}"
    return _address(node) if said.casefold() in LINKS else said


def _character(node, l2tobj):
    """Return the character of MathJax's \\unicode{x2014}."""
    code = re.fullmatch(r"[xX]([0-9A-Fa-f]{2,4})", _argument(node, l2tobj))
    character = chr(int(code[1], 16)) if code else ""
    return character if character.isprintable() else ""


# ---- pylatexenc, with these


class _Reader(LatexNodes2Text):
    def nodelist_to_text(self, nodelist):
        said = ""
        for node, after in zip_longest(nodelist, nodelist[1:]):
            if not isinstance(node, LatexMacroNode):
                text = self.node_to_text(node)
                is_script = isinstance(node, LatexGroupNode) and said.rstrip()[-1:] in ("_", "^")
                said += f"{OPEN}{text}{CLOSE}" if is_script else text
                continue
            is_own = not self.latex_context.get_macro_spec(node.macroname).macroname
            if node.nodeargd is None:  # Its argument is missing: it was a sign, or is broken.
                said += node.macroname if len(node.macroname) == 1 else ""
                continue
            if is_own and isinstance(after, LatexGroupNode) and after.nodelist:
                continue  # An author's own command: what it holds matters.
            word = self.macro_node_to_text(node)
            following = getattr(after, "chars", "")[:1]
            is_product = node.parsing_state.in_math_mode and (following.isalnum() or not following)
            ends_name = not word or node.macroname in LETTERS or is_product
            said += word + ("" if ends_name else node.macro_post_space)
        return said

    def chars_node_to_text(self, node, textcol=0):
        if not node.parsing_state.in_math_mode:
            return node.chars
        return node.chars.replace("''", "″").replace("'", "′").translate({38: " ", 126: " "})

    def math_node_to_text(self, node):
        return _formula(self.nodelist_to_text(node.nodelist))


def _contexts():
    """Return what pylatexenc knows of macros: how to parse them, and what they say."""
    parsed = latexwalker.get_default_latex_context_db()
    parsed = parsed.filter_context(keep_which=["macros", "environments"])
    said = latex2text.get_default_latex_context_db()
    unread = ["nonascii-specials", "latex-ethuebung", "nonstandard-qit"]
    said = said.filter_context(exclude_categories=unread)
    forms = {
        **FORMS,
        **{name: ("{{", _fraction) for name in ("frac", "dfrac", "tfrac", "cfrac", "sfrac")},
        **{name: ("{", _accented) for name in ACCENTS},
        **{name: ("{", _in_alphabet) for name in ALPHABETS},
        "sqrt": ("[{", _root),
        "url": ("{", lambda node: _address(node)),
        "href": ("{{", _link),
        "unicode": ("{", _character),
    }
    macros = [MacroSpec(name, arguments) for name, (arguments, _) in forms.items()]
    parsed.add_context_category("paperboy", macros=macros, prepend=True)
    texts = [MacroTextSpec(name, text, discard=not text) for name, (_, text) in forms.items()]
    said.add_context_category("paperboy", macros=texts, prepend=True)
    said.set_unknown_macro_spec(MacroTextSpec("", lambda node: node.macroname))
    return parsed, said


PARSED, SAID = _contexts()
READER = _Reader(SAID)


# ---- What is asked for


def without_latex(text: str) -> str:
    r"""Return a text with its LaTeX as people would write it.

    >>> without_latex(r"$\alpha$-stable in $O(n\log n)$, \emph{not} $5 or \{0, 1\}")
    'α-stable in O(n log n), not $5 or {0, 1}'
    """
    text = PRIVATE.sub("", text)
    hidden, left = [], MAX_LATEX

    def hide(said):
        hidden.append(said)
        return chr(0xF0000 + len(hidden) - 1)

    def formula(found):
        nonlocal left
        left -= len(found[0])
        return hide(_converted(found[0], is_formula=True) if left > 0 else _bare(found[0]))

    prose = FORMULA.sub(formula, text)
    if not re.search(r"\\|[_^]\{", text) and not hidden:
        return FOR_TEX.sub(lambda braces: braces[1] or braces[2] or braces[3], text)
    prose = PROSE.sub(lambda run: run[1] + hide(run[2]), _escaped(prose))
    said = _converted(prose) if len(prose) <= MAX_LATEX else _bare(prose)
    said = re.sub(rf"[\s~]{{0,3}}[(\[]{CITE}[)\]]|[\s~]{{0,3}}{CITE}", "", said)
    for _ in range(2):  # Prose, and the formulas in it.
        said = HIDDEN.sub(lambda mark: hidden[ord(mark[0]) - 0xF0000], said)
    return PRIVATE.sub("", said.translate(AGAIN))


def _converted(latex, *, is_formula=False):
    if is_formula:
        latex = latex[2:-2] if latex.startswith("$$") else latex[1:-1]
    latex = re.sub(r"(?<!\\)%", r"\\%", _balanced(latex))
    latex = re.sub(r"(\\[A-Za-z]+)(?=[^\W\d_A-Za-z])", r"\1 ", latex)  # The name ends here.
    latex = re.sub(r"\\(?:left|right)\s*\.", "", latex)
    walker = LatexWalker(latex, latex_context=PARSED, tolerant_parsing=True)
    try:
        state = walker.make_parsing_state(in_math_mode=is_formula)
        nodes, *_ = walker.get_latex_nodes(parsing_state=state)
        said = READER.nodelist_to_text(nodes)
    except Exception:  # The library raises many kinds at broken LaTeX.
        return _bare(latex)
    return _formula(said) if is_formula else _fractions(_scripted(said, GROUPED_SCRIPT))


def _formula(said):
    if not said.strip(" -"):
        return "–" if "-" in said else ""  # A minus, or a dash of prose.
    said = said.strip()
    for pattern, tidy in SPACES:
        said = pattern.sub(tidy, said)
    return _spaced(_fractions(_scripted(said)))


def _escaped(prose):
    """Escape what a person meant for itself."""
    prose = re.sub(r"\\u([0-9a-f]{4})(?![0-9a-f])", r"\\unicode{x\1}", prose)
    prose = re.sub(r"\\([bdkr])\{(eta|elta|appa|ho)\}", r"\\\1\2{}", prose)  # As arXiv leaves them.
    prose = re.sub(r"\\\\([%&#_])", r"\\\1", prose)
    prose = re.sub(r"\\@(?=\d)", "@", prose)
    prose = SET.sub(r"\\{\1\\}", re.sub(r"(?<!\\)\$", r"\\$", prose))
    if QUOTE.search(prose):
        prose = prose.replace('\\"', '"')
    return APOSTROPHE.sub("’", prose)


def _balanced(latex):
    """Return the LaTeX without the braces that have no partner: they would swallow the rest."""
    pieces, opened = re.split(r"(\\[A-Za-z]+\{|\\.|[{}])", latex), []
    for at, piece in enumerate(pieces):
        if piece.endswith("{") and piece != "\\{":
            opened.append(at)
        elif piece == "}":
            pieces[at] = "}" if opened else ""
            opened = opened[:-1]
    for at in opened:
        pieces[at] = " "
    return "".join(pieces)


def _bare(text):
    return re.sub(r"\\([A-Za-z]*)|[{}$]", lambda mark: mark[1] or "", text)
