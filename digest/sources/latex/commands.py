"""The commands that LaTeX has: what follows each, and what it says.

pylatexenc's own tables, and what they lack. What Unicode cannot show is written as people write it
in a mail: (a + b)/2, √(2n).
"""

import re
import unicodedata

from pylatexenc import latex2text, latexwalker
from pylatexenc.latex2text import EnvironmentTextSpec, MacroTextSpec, SpecialsTextSpec
from pylatexenc.latexwalker import LatexMacroNode
from pylatexenc.macrospec import MacroSpec, MacroStandardArgsParser, SpecialsSpec

from digest.sources.latex.scripts import lowered, raised
from digest.sources.latex.spacing import Kind
from digest.sources.latex.symbols import (
    ACCENTS,
    ALPHABETS,
    FONTS,
    KEPT,
    OPERATORS,
    SILENT,
    SYMBOLS,
    TEXT_FONTS,
    UNITS,
    UNSAID,
)

FRACTIONS = ("frac", "dfrac", "tfrac", "cfrac", "nicefrac", "sfrac", "textfrac", "flatfrac")
#: One letter with what hangs on it, or a number: what a root needs no parentheses for.
SCRIPTS = r"(?:[\u0300-\u036f\u20d7⁰-ₜ¹²³ᵢ-ᵪⱼ′*°ᵀ]|[_^][^\W_]+)*"
FACTOR = re.compile(rf"[^\W\d_]{SCRIPTS}|\d+(?:[.,]\d+)*|\([^()]*\)")
#: Likewise what is divided by: a root, a differential, or a function with a name.
DIVISOR = re.compile(rf"[√∂]?(?:{FACTOR.pattern})|d[a-z]|√\([^()]*\)|[^\W\d_]{{2,}}\([^()]*\)")
#: What has no operation in it: the upper part of a fraction.
PRODUCT = re.compile(r"[^\s+\-±∓/=<>≤≥≈∼·×∗*,;:|]+|\([^()]*\)")
#: As arXiv's own tools leave them: \\b{eta}, \\k{appa}.
GREEK = {"beta": "β", "delta": "δ", "kappa": "κ", "rho": "ρ", "chi": "χ", "upsilon": "υ"}
CLOSE_UNITS = ("%", "°", KEPT["%"])  # They stand close to their number.
LINKS = {"", "here", "link", "this link", "this url", "url", "website", "code"}


# ---- What commands say


def _argument(node, reader, index=0):
    return reader.node_arg_to_text(node, index).strip()


def _source(node, index=-1):
    """Return an argument as it was written: addresses and units are no prose."""
    argument = node.nodeargd.argnlist[index]
    return argument.latex_verbatim().strip("{} ")


def _last(node, l2tobj):
    return l2tobj.node_arg_to_text(node, -1)


def _first(node, l2tobj):
    return l2tobj.node_arg_to_text(node, 0)


def _fraction(node, l2tobj):
    upper, lower = (_as_product(_argument(node, l2tobj, index)) for index in (0, 1))
    return f"{_unless(PRODUCT, upper)}/{_unless(DIVISOR, lower)}"


def _as_product(text):
    """Close up letters that stand side by side: `L Δ` is LΔ."""
    factors = text.split()
    return "".join(factors) if all(map(FACTOR.fullmatch, factors)) else text


def _root(node, l2tobj):
    degree, radicand = _argument(node, l2tobj, 0), _unless(FACTOR, _argument(node, l2tobj, 1))
    sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(degree)
    return f"{sign}{radicand}" if sign else f"{radicand}^(1/{degree})"


def _unless(pattern, text):
    """Return the text in parentheses, unless it needs none."""
    return text if pattern.fullmatch(text) else f"({text})"


def _binomial(node, l2tobj):
    return f"({_argument(node, l2tobj, 0)} choose {_argument(node, l2tobj, 1)})"


def _accented(node, l2tobj):
    """Put the accent on the only letter, which may have scripts; words go without."""
    text, accent = _argument(node, l2tobj), ACCENTS[node.macroname]
    if len(text) > 1 and (greek := GREEK.get(node.macroname + text)):
        return greek
    if not text:
        return node.macroname if re.fullmatch(r"[A-Za-z~^]", node.macroname) else ""
    letter, others = text[0].translate({0x131: "i", 0x237: "j"}), text[1:]
    is_of_formula = len(node.macroname) > 1 and node.macroname != "not"
    if is_of_formula and not re.fullmatch(SCRIPTS, others):
        return text
    return unicodedata.normalize("NFC", letter + accent) + others


def _in_alphabet(node, l2tobj):
    """Return one letter in its alphabet; O is Landau's, and names are easier to read without."""
    text = _argument(node, l2tobj)
    if text == "1" and ALPHABETS[node.macroname] == "doublestruck":
        return "𝟙"
    if len(text) != 1 or text == "O":
        return text
    return latex2text.fmt_math_text_style(text, ALPHABETS[node.macroname])


def _link(node, l2tobj):
    said = _argument(node, l2tobj, 1)
    return _source(node, 0) if said.casefold() in LINKS else said


def _address(node):
    return _source(node)


def _note(node, l2tobj):
    return f" ({_argument(node, l2tobj, 1)})"


def _delimiter(node, l2tobj):
    said = _argument(node, l2tobj)
    return "" if said == "." else said


def _above(node, l2tobj):
    return _argument(node, l2tobj, 1) + raised(_argument(node, l2tobj, 0))


def _below(node, l2tobj):
    return _argument(node, l2tobj, 1) + lowered(_argument(node, l2tobj, 0))


def _arrow(node, l2tobj):
    return "→" + raised(_argument(node, l2tobj, 1))


def _superscript(node, l2tobj):
    return raised(_argument(node, l2tobj)).removeprefix("^")


def _subscript(node, l2tobj):
    return lowered(_argument(node, l2tobj)).removeprefix("_")


def _character(node, l2tobj):
    """MathJax's \\unicode{x2014}."""
    code = re.fullmatch(r"[xX]([0-9A-Fa-f]{1,5})|(\d{1,6})", _argument(node, l2tobj))
    if not code:
        return ""
    number = int(code[1], 16) if code[1] else int(code[2])
    character = chr(number) if number < 0x110000 else ""
    return character if character.isprintable() else ""


def _number(node, index=-1):
    """1e-3 is 1×10⁻³."""
    return re.sub(
        r"(\d)[eE]([+-]?\d+)",
        lambda number: f"{number[1]}×10{raised(number[2])}",
        _source(node, index),
    )


def _unit(node):
    return re.sub(r"\\([A-Za-z]+)\s*", lambda name: UNITS.get(name[1], name[1]), _source(node))


def _quantity(node):
    number, unit = _number(node, -2), _unit(node)
    return f"{number}{unit}" if unit[:1] in CLOSE_UNITS else f"{number} {unit}"


def _rows(node, reader):
    rows, row = [], []
    for part in node.nodelist:
        if isinstance(part, LatexMacroNode) and part.macroname == "\\":
            rows.append(row)
            row = []
        else:
            row.append(part)
    return "; ".join(filter(None, (reader.nodelist_to_text(row).strip() for row in [*rows, row])))


def _matrix(node, l2tobj):
    return f"[{_rows(node, l2tobj)}]"


def _cases(node, l2tobj):
    return f"{KEPT['{']}{_rows(node, l2tobj)}{KEPT['}']}"


# ---- The commands, with their arguments, as pylatexenc wants to be told


def _around(before, after):
    return lambda node, l2tobj: f"{before}{_last(node, l2tobj)}{after}"


#: name, arguments, what it says
COMMANDS = [
    *[(name, "{{", _fraction) for name in FRACTIONS],
    *[(name, "{{", _binomial) for name in ("binom", "dbinom", "tbinom")],
    ("sqrt", "[{", _root),
    *[(name, "{", _accented) for name in ACCENTS],
    *[(name, "{", _in_alphabet) for name in ALPHABETS],
    *[(name, "{", _last) for name in FONTS],
    *[(name, "{", _last) for name in TEXT_FONTS],
    ("operatorname", "*{", _last),
    *[(name, "{", _delimiter) for name in ("left", "right")],
    *[(name, "{{", _above) for name in ("overset", "stackrel")],
    ("underset", "{{", _below),
    *[(name, "[{", _arrow) for name in ("xrightarrow", "xlongrightarrow")],
    ("pmod", "{", _around("(mod ", ")")),
    ("bmod", "", "mod"),
    ("ket", "{", _around("|", "⟩")),
    ("bra", "{", _around("⟨", "|")),
    ("braket", "{", _around("⟨", "⟩")),
    ("abs", "{", _around("|", "|")),
    ("norm", "{", _around("‖", "‖")),
    ("floor", "{", _around("⌊", "⌋")),
    ("ceil", "{", _around("⌈", "⌉")),
    ("set", "{", _around(KEPT["{"], KEPT["}"])),
    *[(name, "{", _around("“", "”")) for name in ("enquote", "say")],
    ("circled", "{", _around("(", ")")),
    ("unicode", "{", _character),
    ("textsuperscript", "{", _superscript),
    ("textsubscript", "{", _subscript),
    ("texorpdfstring", "{{", _last),
    ("href", "{{", _link),
    *[(name, "{", _address) for name in ("url", "path")],
    *[(name, "[{", _note) for name in ("footnote", "footnotetext")],
    *[(name, "[{{", _last) for name in ("textcolor", "colorbox")],
    ("hyperref", "[{", _last),
    *[(name, "{{", _last) for name in ("hyperlink", "hypertarget", "raisebox", "scalebox")],
    ("replaced", "{{", _first),
    *[(name, "[{", _number) for name in ("num", "numprint")],
    *[(name, "[{{", _quantity) for name in ("SI", "qty")],
    *[(name, "[{", _unit) for name in ("si", "unit")],
    *[(name, arguments, None) for name, arguments in UNSAID.items()],
    *[(name, "", None) for name in SILENT],
    *[(name, "", said) for name, said in {**SYMBOLS, **OPERATORS}.items()],
]
KINDS = {
    **dict.fromkeys(FRACTIONS, Kind.FRACTION),
    **dict.fromkeys((*OPERATORS, "operatorname", "underset"), Kind.OPERATOR),
    **dict.fromkeys(("left", "langle", "lVert", "lvert", "lfloor", "lceil"), Kind.OPEN),
    **dict.fromkeys(("right", "rangle", "rVert", "rvert", "rfloor", "rceil"), Kind.CLOSE),
    **dict.fromkeys(("mid", "colon", "coloneqq", "overset", "stackrel"), Kind.RELATION),
    **dict.fromkeys(("xrightarrow", "xlongrightarrow"), Kind.RELATION),
    **dict.fromkeys(("bmod", "mod"), Kind.BINARY),
    "sqrt": Kind.ROOT,
}
TEXTS = frozenset((*TEXT_FONTS, "mathrm", "mathsf", "mathtt", "pmod"))
MATRICES = ("array", "matrix", "pmatrix", "bmatrix", "vmatrix", "smallmatrix", "psmallmatrix")


def _parsed():
    """Return what is known of commands to parse them."""
    known = latexwalker.get_default_latex_context_db()
    known = known.filter_context(keep_categories=["latex-base", "natbib"])
    macros = []
    for name, arguments, _ in COMMANDS:
        modes = [False] * len(arguments) if name in TEXT_FONTS else None
        macros.append(MacroSpec(name, MacroStandardArgsParser(arguments, args_math_mode=modes)))
    known.add_context_category(
        "paperboy", macros, [], [SpecialsSpec(sign) for sign in "_^~"], prepend=True
    )
    return known


def _said():
    """Return what is known of commands to say them."""
    said = latex2text.get_default_latex_context_db()
    said = said.filter_context(
        exclude_categories=["nonascii-specials", "latex-ethuebung", "nonstandard-qit"]
    )
    macros = [MacroTextSpec(name, says) for name, _, says in COMMANDS]
    environments = [EnvironmentTextSpec(name, _matrix) for name in MATRICES]
    environments += [EnvironmentTextSpec(name, _cases) for name in ("cases", "dcases", "rcases")]
    specials = [SpecialsTextSpec(sign, " ") for sign in "~&"]
    said.add_context_category("paperboy", macros, environments, specials, prepend=True)
    return said


KNOWN, SAID = _parsed(), _said()


def arguments_of(name: str) -> str | None:
    """Return what follows the command, `{` or `[` for each; None for a command that is unknown."""
    spec = KNOWN.get_macro_spec(name)
    if spec is not None:
        return spec.args_parser.argspec
    return "" if SAID.get_macro_spec(name) is not None else None
