"""Names of LaTeX commands and what they say: what pylatexenc doesn't know, or says otherwise."""

#: What stands for characters that are to be seen as they are, while the rest is read. Unicode keeps
#: these for such uses: no text holds them.
KEPT = dict(zip("$%&#_{}^", map(chr, range(0xFDD1, 0xFDD9)), strict=True))

#: Commands without arguments.
SYMBOLS = {
    # Letters as people type them; pylatexenc's own variants are rare in fonts.
    "epsilon": "ε",
    "eps": "ε",
    "phi": "φ",
    "leqslant": "≤",
    "geqslant": "≥",
    "lt": "<",
    "gt": ">",
    "ast": "*",
    "bullet": "•",
    "prime": "′",
    "bot": "⊥",
    "|": "‖",
    "colon": ":",
    "coloneqq": ":=",
    "implies": "⇒",
    "impliedby": "⇐",
    "iff": "⇔",
    "backslash": "∖",
    "textbackslash": "∖",
    "dashrightarrow": "⇢",
    "Re": "Re",
    "Im": "Im",
    "R": "ℝ",
    "Box": "□",
    "upmu": "µ",
    "lbrack": "[",
    "rbrack": "]",
    "varTheta": "Θ",
    "dotsc": "…",
    "dotso": "…",
    "dotsb": "⋯",
    "dotsm": "⋯",
    "hdots": "…",
    "land": "∧",
    "lor": "∨",
    "ne": "≠",
    "neg": "¬",
    "lnot": "¬",
    "qed": "∎",
    # Text
    "P": "¶",
    "S": "§",
    "copyright": "©",
    "pounds": "£",
    "euro": "€",
    "textmu": "µ",
    "textcent": "¢",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textunderscore": "_",
    "textbullet": "•",
    "textasteriskcentered": "*",
    "textrightarrow": "→",
    "textleftarrow": "←",
    "textuparrow": "↑",
    "textdownarrow": "↓",
    "textellipsis": "…",
    "texttimes": "×",
    "textpercent": "%",
    "percent": "%",
    "degree": "°",
    "celsius": "°C",
    "degreeCelsius": "°C",
    "slash": "/",
    "lq": "‘",
    "rq": "’",
    "checkmark": "✓",
    "cmark": "✓",
    "xmark": "✗",
    "LaTeX": "LaTeX",
    "TeX": "TeX",
    "BibTeX": "BibTeX",
    "item": " • ",
    "eg": "e.g.",
    "ie": "i.e.",
    "etal": "et al.",
    "etc": "etc.",
    "vs": "vs.",
    "wrt": "w.r.t.",
    "aka": "a.k.a.",
    "iid": "i.i.d.",
}

#: Words that stand before their argument: log n.
NAMED_SO = """
    arccos arcsin arctan arg argmax argmin cos cosh cot coth csc deg det diag dim exp gcd hom inf
    ker lcm lg lim ln log max min mod polylog Pr rank sec sgn sign sin sinh span sup supp tan tanh
    Tr tr trace Var Cov vol
""".split()  # noqa: SIM905
OPERATORS = {name: name for name in NAMED_SO} | {
    "limsup": "lim sup",
    "liminf": "lim inf",
    "argsup": "arg sup",
}

#: Switches of font and size, spaces of no width: they say nothing.
SILENT = frozenset(
    """
    em it bf rm sf sl tt sc bfseries itshape rmfamily sffamily slshape ttfamily scshape
    mdseries upshape normalfont boldmath unboldmath tiny scriptsize footnotesize small normalsize
    large Large LARGE huge Huge displaystyle textstyle scriptstyle scriptscriptstyle limits
    nolimits nonumber notag xspace protect allowbreak linebreak newline noindent centering
    hfill maketitle mathstrut strut relax big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr
    Biggr bigm Bigm biggm Biggm middle today ! / @
    """.split()  # noqa: SIM905
)

#: Spaces that are meant.
SPACES = {",", ":", ";", " ", ">", "quad", "qquad", "enspace", "thinspace", "space", "\\", "par"}

#: Commands that say what they hold: within a formula, and in prose.
FONTS = """
    mathrm mathbf mathit mathsf mathtt mathnormal boldsymbol bm pmb mathop mathrel mathbin mathord
    mathopen mathclose mathpunct mathinner underline uline ul hbox fbox smash boxed ensuremath
    substack underbrace overbrace rlap llap
""".split()  # noqa: SIM905
TEXT_FONTS = """
    text textrm textit textbf textsf texttt textsc textsl textup textmd textnormal emph mbox hl
    sout st uwave textlf added revised highlight title author
""".split()  # noqa: SIM905
ALPHABETS = {
    "mathbb": "doublestruck",
    "mathbbm": "doublestruck",
    "mathds": "doublestruck",
    "mathcal": "script",
    "mathscr": "script",
    "mathfrak": "fraktur",
    "cal": "script",
}
#: Commands that readers need not see, with their arguments.
CITES = {
    **dict.fromkeys(
        ["label", "ref", "eqref", "autoref", "cref", "Cref", "pageref", "nameref"], "{"
    ),
    **dict.fromkeys(
        ["parencite", "textcite", "autocite", "footcite", "citeyearpar", "nocite"], "[[{"
    ),
    **dict.fromkeys(
        ["cite", "citet", "citep", "citealt", "citealp", "citeauthor", "citeyear"], "*[[{"
    ),
    **dict.fromkeys(["Cite", "Citet", "Citep", "Citealt", "Citealp", "Citeauthor"], "*[[{"),
}
UNSAID = {
    **dict.fromkeys(("date", "input", "include"), "{"),
    **CITES,
    **dict.fromkeys(
        ["deleted", "thanks", "todo", "phantom", "hphantom", "vphantom", "tag", "pagestyle"], "{"
    ),
    **dict.fromkeys(["usepackage", "hypersetup", "bibliography", "bibliographystyle"], "{"),
    **dict.fromkeys(("hspace", "vspace"), "*{"),
    **dict.fromkeys(("color", "includegraphics"), "[{"),
}
#: Accents, as the combining characters that Unicode has.
ACCENTS = {
    "'": "\u0301",
    "`": "\u0300",
    '"': "\u0308",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    ".": "\u0307",
    "c": "\u0327",
    "H": "\u030b",
    "k": "\u0328",
    "b": "\u0331",
    "d": "\u0323",
    "r": "\u030a",
    "u": "\u0306",
    "v": "\u030c",
    "acute": "\u0301",
    "grave": "\u0300",
    "hat": "\u0302",
    "widehat": "\u0302",
    "tilde": "\u0303",
    "widetilde": "\u0303",
    "bar": "\u0304",
    "overline": "\u0304",
    "dot": "\u0307",
    "ddot": "\u0308",
    "breve": "\u0306",
    "check": "\u030c",
    "widecheck": "\u030c",
    "mathring": "\u030a",
    "vec": "\u20d7",
    "overrightarrow": "\u20d7",
    "not": "\u0338",
}
#: Letters: the space after them only ends their name, as in `S\\o ren`.
LETTERS = frozenset("o O l L i j ss ae AE oe OE aa AA dh DH dj DJ ng NG th TH".split())  # noqa: SIM905

#: siunitx
UNITS = {
    "percent": "%",
    "per": "/",
    "squared": "²",
    "cubed": "³",
    "tothe": "^",
    "kilo": "k",
    "mega": "M",
    "giga": "G",
    "tera": "T",
    "peta": "P",
    "deci": "d",
    "centi": "c",
    "milli": "m",
    "micro": "µ",
    "nano": "n",
    "pico": "p",
    "femto": "f",
    "meter": "m",
    "metre": "m",
    "gram": "g",
    "kilogram": "kg",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
    "hertz": "Hz",
    "joule": "J",
    "watt": "W",
    "volt": "V",
    "ampere": "A",
    "ohm": "Ω",
    "kelvin": "K",
    "mole": "mol",
    "newton": "N",
    "pascal": "Pa",
    "tesla": "T",
    "liter": "L",
    "litre": "L",
    "byte": "B",
    "bit": "bit",
    "decibel": "dB",
    "electronvolt": "eV",
    "degree": "°",
    "celsius": "°C",
    "degreeCelsius": "°C",
    "angstrom": "Å",
    "parsec": "pc",
}
