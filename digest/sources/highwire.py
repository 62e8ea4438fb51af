"""What HighWire, which serves bioRxiv and medRxiv, writes in texts in place of signs.

Symbols are names in braces or brackets ({beta}, [~], [&ge;]), small capitals, lists and figures
stand between marks (AO_SCPLOWBSTRACTC_SCPLOW), and headings have lost what parted them from their
sentence ("ResultsBread rises"). What isn't known here stays as it is written. Pure, and each step
takes time in proportion to the text.
"""

import re

GREEK_NAMES = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma
    tau upsilon phi chi psi omega
    """.split()  # noqa: SIM905, a list of quoted words is harder to read
GREEK = dict(zip(GREEK_NAMES, "αβγδεζηθικλμνξοπρστυφχψω", strict=True))
NAMED = {
    **GREEK,
    **{name.title(): letter.upper() for name, letter in GREEK.items()},
    **{f"superscript {digit}": raised for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{"+/-": "±", "approx": "≈", "cap": "∩", "infty": "∞", "gtrsim": "≳", "micro": "µ"},
    **{"o": "°", "degrees": "°", "middle dot": "·", "euro": "€", "pound": "£"},
    **{"downarrow": "↓", "uparrow": "↑", "Rightarrow": "⇒", "triangleup": "Δ"},
}
#: A single letter in brackets may be a set, or a concentration.
BRACKETED = {
    **{name: sign for name, sign in NAMED.items() if len(name) > 1},
    **{"~": "∼", "~=": "≃", "-": "–", "bullet": "•", "isin": "∈"},
    **{"&ge;": "≥", "&le;": "≤", "-&gt;": "→"},
}
#: What is lowered or raised is LaTeX.
NAME = re.compile(r"(?<![_^])\{([^{}\s][^{}]{0,19})\}|\[([^][\s]{1,12})\]")

#: Within these is nothing to read.
CUT = [("O_FIG", "C_FIG"), ("O_TBL", "C_TBL")]
#: Small capitals are within a word; others part it, or what is a heading from its sentence.
MARKS = [
    (re.compile(r"[OC]_SCP(?:LOW|CAP)"), ""),
    (re.compile(r":?C_ST_ABS"), ": "),
    (re.compile(r"[OC]_(?:ST_ABS|TEXTBOX|INLINEFIG|LI|LST|FD)"), "\n"),
]

HEADINGS = [
    *("Aims?", "Approach", "Background", "Conclusions?", "Design", "Discussion"),
    *("Findings", "Funding", "Highlights", "Importance", "Interpretation", "Introduction"),
    *("Interventions?", "Limitations", "Main outcomes and measures", "Materials and methods"),
    *("Methodology", "Methods", "Motivation", "Objectives?", "Participants", "Purpose"),
    *("Rationale", "Results?", "Setting", "Significance(?: statement)?", "Summary"),
]
#: At the start of a paragraph, right before a sentence. AIM2 is a gene.
HEADING = re.compile(
    rf"^[^\S\n]*((?:{'|'.join(HEADINGS)})(?=[A-Z\"“(])"
    rf"|(?:{'|'.join(HEADINGS).upper()})(?=[A-Z][a-z ]))",
    re.MULTILINE,
)
OF_ABSTRACT = re.compile(
    r"\s*(?:ABSTRACT(?![A-Z]{2}|[a-z])[\s:.]*|Abstract(?:(?=[A-Z])|[:.]\s*|\s*\n\s*))"
)


def spelt(text: str) -> str:
    """Return a text with its signs and without its marks.

    >>> spelt("TGF-{beta} rose by [~]5 {+/-} 1, in AO_SCPLOWTPC_SCPLOW too")
    'TGF-β rose by ∼5 ± 1, in ATP too'
    """
    for start, end in CUT:  # Each end is looked for in its own part alone.
        first, *others = text.split(start)
        text = first + "".join(one.partition(end)[2] if end in one else one for one in others)
    for mark, said in MARKS:
        text = mark.sub(said, text)
    return NAME.sub(_sign, text)


def abstract(text: str) -> str:
    """Return an abstract so, with its headings apart and without its own.

    >>> abstract("ABSTRACTBread rises."), abstract("BackgroundBread rises.")
    ('Bread rises.', 'Background: Bread rises.')
    """
    text = spelt(text)
    own = OF_ABSTRACT.match(text)
    return HEADING.sub(r"\1: ", text[own.end() :] if own else text)


def _sign(found):
    braced, bracketed = found.groups()
    return NAMED.get(braced, found[0]) if braced else BRACKETED.get(bracketed, found[0])
