r"""LaTeX as text that people can read: a thin layer over pylatexenc.

Regular expressions tell formulas from prices and repair what confuses the parser (`REPAIRS`),
pylatexenc parses, and `_Reader` writes formulas as people type them in an email. Nearly all rules
are needed by at least five of 65,000 titles and abstracts.
"""

import re
from itertools import batched, zip_longest

from pylatexenc import latex2text, latexwalker
from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, SpecialsTextSpec
from pylatexenc.latexwalker import LatexGroupNode, LatexMacroNode, LatexToken
from pylatexenc.macrospec import MacroSpec, MacroStandardArgsParser, SpecialsSpec

MARKS = re.compile(r"[\\{}^_$]")
MAX_MARKS = 1_000  # Backslashes, braces, scripts and dollars. Each takes up to 0.1 ms.
HIGH = str.maketrans("0123456789+-=()in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ")
LOW = str.maketrans(
    "0123456789+-=()aehijklmnoprstuvxβγρφχ", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ"
)
#: Superscripts that need no sign before them.
RAISED = {"∘": "°", "⊤": "ᵀ", "*": "*", "⋆": "⋆", "′": "′", "st": "st", "nd": "nd", "th": "th"}

# ---- From LaTeX to LaTeX that the parser understands

#: A dollar opens a formula where no space follows, and closes one where no space precedes and no
#: digit follows, or where mathematics stands between two. A sentence between two is prose.
FORMULA = re.compile(
    r"\\.|(?P<formula>\$\$.+?\$\$|\$\s*[A-Za-z]\w?\s*\$|\$(?![^$]*(?:\s[A-Za-z]{2,}[,.]?){6})"
    r"(?:(?=[^$]*[\\^_]|[^$\d][^$]*[<>=])(?:\\.|[^$\\])+?|(?![\s\d])(?:\\.|[^$\\])+?(?<!\s)"
    r"|\d(?:\\.|[^$\\])*?(?<!\s)(?=\$(?!\d)))\$)|\$"
)
REPAIRS = [
    # Citations and references, and the parentheses around them.
    (r"[\s~]{0,3}([(\[])?\\(?:\w*cite\w*|ref)(?:\[[^][]*\])*\{[^{}]*\}(?(1)[)\]])", ""),
    # Sets in prose, percent signs that are no comments, the end of a macro's name.
    (r"(?<![\\\w}^_\])]){(\s*-?\w{1,3}(?:\s*,\s*(?:-?\w{1,3}|…|\.{3}))+\s*)}", r"\\{\1\\}"),
    (r"(\\.)|%", lambda match: match[1] or r"\%"),
    (r"(\\[A-Za-z]+)(?=[^\W\d_A-Za-z])", r"\1 "),
    # Greek letters as arXiv's database has them: \b{eta}.
    (r"\\([bdkr])\{(eta|elta|appa|ho)\}", r"\\\1\2{}"),
    # MathJax's characters, which `records.readable_text` reads.
    (r"\\unicode\{(x(?![EFef]\w{3})[0-9A-Fa-f]{2,4})\}", r"&#\1;"),
    # x^\text{max} is x^{\text{max}}, and x^2_i is x_i^2.
    (r"(?<!\\)([_^])\s*(\\[A-Za-z]+(?:\s*\{[^{}]*\})*)", r"\1{\2}"),
    (r"(\^(?:\{[^{}]*\}|\w))\s*(_(?:\{[^{}]*\}|\w))", r"\2\1"),
]
#: Braces that only TeX needs in a text without other LaTeX: {B}ERT, {a phrase}.
FOR_TEX = re.compile(r"{([A-Z][\w-]+|[\w-]+(?: [\w-]+)+|[=<>,+~:])}|(?<=\w){(\w)}|{(\w)}(?=\w)")

# ---- What macros say

PRODUCT = r"[^\s+\-/·,]+|\([^()]*\)"
FACTOR = r"√?(?:[^\W\d_](?:[⁰-ₜ¹²³ᵢ-ᵪⱼ′*]|[_^]\w+)*|\d+|\([^()]*\))"


def _argument(node, l2tobj, index=-1):
    return l2tobj.node_arg_to_text(node, index).strip()


def _parenthesize(pattern, text):
    """Put the text in parentheses unless it matches."""
    return text if re.fullmatch(pattern, text) else f"({text})"


def _script(node, l2tobj):
    sign = getattr(node, "specials_chars", "^")
    text = re.sub(r"\s*([^\w\s()\[\]])\s*", r"\1", _argument(node, l2tobj))
    is_group = isinstance(node.nodeargd.argnlist[-1], LatexGroupNode)
    if not is_group and not node.parsing_state.in_math_mode:
        return sign + text  # As in a file's name.
    if sign == "^" and text in RAISED:
        return RAISED[text]
    shifted = text.translate(HIGH if sign == "^" else LOW)
    if not re.search(r"[^\W\d_]{3}", text) and not set(shifted) & set(text):
        return shifted
    word = r"(?:[^\W_][\u0300-\u036f*′]*)+" if sign == "_" else r"[^\W\d_]{3,}|\w[*′]?"
    return sign + _parenthesize(rf"{word}|\d+\.\d+|[^\w\s]|\([^()]*\)", text)


def _fraction(node, l2tobj):
    numerator, denominator = _argument(node, l2tobj, 0), _argument(node, l2tobj, 1)
    return f"{_parenthesize(PRODUCT, numerator)}/{_parenthesize(FACTOR, denominator)}"


def _root(node, l2tobj):
    degree, radicand = _argument(node, l2tobj, 0), _parenthesize(FACTOR, _argument(node, l2tobj))
    return f"{radicand}^(1/{degree})" if degree else f"√{radicand}"


def _styled(node, l2tobj):
    """Change a single letter. Words are easier to read without, and O is Landau's."""
    text = _argument(node, l2tobj)
    if len(text) != 1:
        return text
    if node.macroname == "mathcal":
        return text if text == "O" else latex2text.fmt_math_text_style(text, "script")
    return text + ACCENTS[node.macroname]


def _link(node, l2tobj):
    url, text = _argument(node, l2tobj, 0), _argument(node, l2tobj)
    is_empty = text.casefold() in ("", ".", "here", "link", "this link", "this url", "url", "code")
    return url if is_empty else text


#: They leave what follows as it is.
SILENT = r"""em it bf rm small left right big Big bigl bigr Bigl Bigr url cite citep texttt textsf
    mathrm mathbf mathit mathsf mathtt boldsymbol bm cal mbox sc itshape Large LARGE biggl biggr"""
SYMBOLS = (
    "epsilon ε phi φ ast * colon : | ‖ ne ≠ deg ° degree ° percent % land ∧ lor ∨ bot ⊥ - - "
    "ie i.e. eg e.g. textless < textgreater >"
)
ACCENTS = {"widehat": "\u0302", "widetilde": "\u0303", "bar": "\u0304", "overline": "\u0304"}
#: Macros with their arguments, as pylatexenc counts them, and what they say.
MACROS = {
    **{name: ("", "") for name in SILENT.split()},
    **{name: ("", text) for name, text in batched(SYMBOLS.split(), 2)},
    **dict.fromkeys((*ACCENTS, "mathcal"), ("{", _styled)),
    **dict.fromkeys(("frac", "dfrac", "tfrac", "sfrac"), ("{{", _fraction)),
    "sqrt": ("[{", _root),
    "binom": ("{{", "(%s choose %s)"),
    "textsuperscript": ("{", _script),
    "footnote": ("[{", " (%(2)s)"),
    "href": ("{{", _link),
}

# ---- pylatexenc, with these


class _Walker(latexwalker.LatexWalker):
    """Reads plain text in one piece: pylatexenc reads it character by character."""

    def get_token(self, pos, include_brace_chars=None, environments=True, **kwargs):
        if environments and (run := re.compile(r"[^\\${}\[\]^_%]+").match(self.s, pos)):
            return LatexToken("char", run[0], pos, len(run[0]), "")
        return super().get_token(pos, include_brace_chars, environments, **kwargs)


WORD = re.compile(r"[A-Za-z]{2,}|[←-⇿∈-∍∝∼-⋯±×·∧∨∩∪⟵-⟿]")
NO_SPACE = re.compile(r"(?<=[(\[⟨{]) +| +(?=[)\]⟩},_^⁰-ₜ²³¹]|×\s*$)|(?<=[\w*′]) +(?=[({])")


class _Reader(LatexNodes2Text):
    def nodelist_to_text(self, nodelist):
        """Join the nodes, with spaces around words and relations, and (1/2)n for a fraction."""
        is_formula = bool(nodelist) and nodelist[0].parsing_state.in_math_mode
        pieces, fractions = [], []
        for node, next_node in zip_longest(nodelist, nodelist[1:]):
            is_bare = isinstance(node, LatexMacroNode) and not node.nodeargs
            is_unknown = is_bare and not self.latex_context.get_macro_spec(node.macroname).macroname
            if is_unknown and isinstance(next_node, LatexGroupNode) and next_node.nodelist:
                continue  # An author's own command: what it holds matters.
            text = self.node_to_text(node)
            next_char = getattr(next_node, "chars", getattr(next_node, "specials_chars", "a"))[:1]
            if getattr(node, "macroname", "").endswith("frac"):
                fractions.append(len(pieces))
            elif is_formula and is_bare and WORD.fullmatch(text):
                text = f" {text} " if pieces or text.isascii() else text
            elif is_formula and next_char.isalnum():
                text += " " if text[:1] in ("√", "_", "^") else ""
            elif is_bare and text and not "À" <= text < "ɐ":
                text += node.macro_post_space  # In prose, not after letters: S\o ren.
            pieces.append(text)
        for position in fractions:
            preceding = "".join(pieces[:position]).rstrip()
            following = "".join(pieces[position + 1 :]).lstrip()
            if re.search(r"[\w)\]}′‖]$", preceding) or re.match(r"[\w√∇∑∫(‖]", following):
                pieces[position] = f"({pieces[position]})"
        return NO_SPACE.sub("", "".join(pieces)) if is_formula else "".join(pieces)


PARSER_CONTEXT = latexwalker.get_default_latex_context_db()
PARSER_CONTEXT = PARSER_CONTEXT.filter_context(keep_which=["macros", "environments"])
macros = [MacroSpec(name, arguments) for name, (arguments, _) in MACROS.items()]
scripts = [SpecialsSpec(sign, MacroStandardArgsParser("{")) for sign in "_^"]
PARSER_CONTEXT.add_context_category("paperboy", macros, [], scripts, prepend=True)
TEXT_CONTEXT = latex2text.get_default_latex_context_db()
macros = [MacroTextSpec(name, text, discard=not text) for name, (_, text) in MACROS.items()]
scripts = [SpecialsTextSpec(sign, _script) for sign in "_^"]
TEXT_CONTEXT.add_context_category("paperboy", macros, [], scripts, prepend=True)
TEXT_CONTEXT.set_unknown_macro_spec(MacroTextSpec("", lambda node: node.macroname))
READER = _Reader(TEXT_CONTEXT, strict_latex_spaces=True)


def without_latex(text: str) -> str:
    r"""Return a text with its LaTeX as people would write it.

    >>> without_latex(r"$\alpha$-stable in $O(n\log n)$, \emph{not} $5 or \{0, 1\}")
    'α-stable in O(n log n), not $5 or {0, 1}'
    """
    if not re.search(r"[\\$]|[_^]\{", text):
        return FOR_TEX.sub(r"\1\2\3", text)
    latex = text
    for pattern, replacement in REPAIRS:
        latex = re.sub(pattern, replacement, latex)
    latex = FORMULA.sub(_delimited, latex)
    try:
        if len(MARKS.findall(latex)) > MAX_MARKS:
            raise ValueError("This is no text of a paper.")
        walker = _Walker(latex, latex_context=PARSER_CONTEXT, tolerant_parsing=True)
        return READER.nodelist_to_text(walker.get_latex_nodes()[0])
    except Exception:  # The library raises many kinds at broken LaTeX.
        return re.sub(r"\\([A-Za-z]*)|[{}$]", lambda mark: mark[1] or "", text)


def _delimited(match):
    if match["formula"]:
        formula = match["formula"].strip("$").replace("'", "′")
        return rf"\({formula}\)" if formula.strip("- ") else "–"
    return r"\$" if match[0] == "$" else match[0]
