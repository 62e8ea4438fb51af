"""Clean texts of HighWire, which serves bioRxiv and medRxiv.

Symbols are names in braces or brackets ({beta}, [~], [&ge;]); small capitals, lists and figures are
between marks (AO_SCPLOWBSTRACTC_SCPLOW); headings are not separated from their sentence
("ResultsBread rises"). Unknown marks stay. Each step takes linear time.
"""

import re

GREEK_NAMES = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma
    tau upsilon phi chi psi omega
    """.split()  # noqa: SIM905, a list of quoted words is harder to read
GREEK = dict(zip(GREEK_NAMES, "αβγδεζηθικλμνξοπρστυφχψω", strict=True))
SYMBOLS = {
    **GREEK,
    **{name.title(): letter.upper() for name, letter in GREEK.items()},
    **{f"superscript {digit}": raised for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{"+/-": "±", "approx": "≈", "cap": "∩", "infty": "∞", "gtrsim": "≳", "micro": "µ"},
    **{"o": "°", "degrees": "°", "middle dot": "·", "euro": "€", "pound": "£"},
    **{"downarrow": "↓", "uparrow": "↑", "Rightarrow": "⇒", "triangleup": "Δ"},
}
#: A single letter in brackets may be a set, or a concentration.
BRACKETED = {
    **{name: sign for name, sign in SYMBOLS.items() if len(name) > 1},
    **{"~": "∼", "~=": "≃", "-": "–", "bullet": "•", "isin": "∈"},
    **{"&ge;": "≥", "&le;": "≤", "-&gt;": "→"},
}
#: After _ or ^, braces are LaTeX.
NAME = re.compile(r"(?<![_^])\{([^{}\s][^{}]{0,19})\}|\[([^][\s]{1,12})\]")

#: Text between these is removed.
CUT = [("O_FIG", "C_FIG"), ("O_TBL", "C_TBL")]
#: Marks and their replacements. Small capitals are within words.
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
#: At the start of a paragraph, directly before a sentence. AIM2 is a gene.
HEADING = re.compile(
    rf"^[^\S\n]*((?:{'|'.join(HEADINGS)})(?=[A-Z\"“(])"
    rf"|(?:{'|'.join(HEADINGS).upper()})(?=[A-Z][a-z ]))",
    re.MULTILINE,
)
OF_ABSTRACT = re.compile(
    r"\s*(?:ABSTRACT(?![A-Z]{2}|[a-z])[\s:.]*|Abstract(?:(?=[A-Z])|[:.]\s*|\s*\n\s*))"
)


def replace_marks(text: str) -> str:
    """Return a text with symbols instead of names, and without marks.

    >>> replace_marks("TGF-{beta} rose by [~]5 {+/-} 1, in AO_SCPLOWTPC_SCPLOW too")
    'TGF-β rose by ∼5 ± 1, in ATP too'
    """
    for start, end in CUT:
        kept, *sections = text.split(start)
        text = kept + "".join(text.partition(end)[2] if end in text else text for text in sections)
    for mark, replacement in MARKS:
        text = mark.sub(replacement, text)
    return NAME.sub(_sign, text)


def clean_abstract(text: str) -> str:
    """Return a cleaned abstract with separated headings, and without the heading "Abstract".

    >>> [clean_abstract(text) for text in ("ABSTRACTBread rises.", "BackgroundBread rises.")]
    ['Bread rises.', 'Background: Bread rises.']
    """
    text = replace_marks(text)
    heading = OF_ABSTRACT.match(text)
    return HEADING.sub(r"\1: ", text[heading.end() :] if heading else text)


def _sign(match):
    braced, bracketed = match.groups()
    return SYMBOLS.get(braced, match[0]) if braced else BRACKETED.get(bracketed, match[0])
