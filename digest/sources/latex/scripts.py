"""What stands above and below the line, where Unicode has it and where it has not. Pure.

Letters become superscripts and subscripts only where Unicode itself calls them so. The others that
look like some are letters of phonetics, which many fonts lack.
"""

import re

HIGH = str.maketrans("0123456789+-=()in", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁱⁿ")
LOW = str.maketrans(
    "0123456789+-=()aehijklmnoprstuvxβγρφχ",
    "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ",
)
WORD = re.compile(r"[^\W\d_]{3,}")  # It is easier to read on the line.
#: Signs that stand high by themselves, and what stands for some that don't.
HIGH_SIGNS = {
    "∘": "°",
    "circ": "°",
    "*": "*",
    "**": "**",
    "⋆": "⋆",
    "†": "†",
    "‡": "‡",
    "′": "′",
    "″": "″",
    "′′": "″",
    "°": "°",
    "®": "®",
    "™": "™",
    "TM": "™",
    "⊤": "ᵀ",
    "th": "th",
}
ORDINALS = {"st", "nd", "rd"}
AROUND_SIGNS = re.compile(r"\s*([^\w\s()\[\]])\s*")
LETTER = r"[^\W_⁰-ₜ¹²³ᵢ-ᵪⱼ][\u0300-\u036f\u20d7]*"
#: Needs no parentheses: one letter, word or number, what has some already; below the line also
#: a few letters, which cannot be read as a product there.
ALONE = {
    "^": re.compile(rf"{LETTER}[*′]?|\d+(?:\.\d+)?|[^\W\d_]{{3,}}|\([^()]*\)|[^\w\s]"),
    "_": re.compile(rf"(?:{LETTER})+[*′]?|\d+\.\d+|\([^()]*\)|[^\w\s]"),
}


def raised(text: str, after: str = "") -> str:
    """Return the text as it stands above the line.

    >>> raised("2"), raised("-3"), raised("d"), raised("n/2"), raised("th")
    ('²', '⁻³', '^d', '^(n/2)', 'th')
    """
    text = _close(text)
    if text in HIGH_SIGNS:
        return HIGH_SIGNS[text]
    if text in ORDINALS and after[-1:].isdigit():
        return text
    return _written("^", text, HIGH)


def lowered(text: str) -> str:
    """Return the text as it stands below the line.

    >>> lowered("i"), lowered("max"), lowered("x ∈ X")
    ('ᵢ', '_max', '_(x∈X)')
    """
    return _written("_", _close(text), LOW)


def _written(sign, text, letters):
    said = text.translate(letters)
    if text and not WORD.search(text) and not set(said) & set(text):
        return said
    if not text:
        return ""
    return f"{sign}{text}" if ALONE[sign].fullmatch(text) else f"{sign}({text})"


def _close(text):
    return AROUND_SIGNS.sub(r"\1", text.strip())
