"""How the parts of a formula stand beside each other, after TeX's own rule. Pure.

TeX knows what each part is, and from two neighbours how far apart they stand; the spaces that an
author typed don't matter to it. Here too: `a\\le b` becomes `a ≤ b`, `n\\log n` becomes `n log n`,
and a sign without a left side keeps to its right: `\\le 5` becomes `≤5`. Only around `=`, `<`, `+`
and the like does the author decide: `p<0.05` stays as close as she wrote it.
"""

import re
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from digest.sources.latex.symbols import KEPT


class Kind(Enum):
    ORDINARY = auto()
    OPERATOR = auto()  # log, max, ∑: a word before its argument.
    BINARY = auto()
    RELATION = auto()
    ASCII = auto()  # A relation or an operation of one ASCII character.
    OPEN = auto()
    CLOSE = auto()
    COMMA = auto()
    SPACE = auto()
    FRACTION = auto()
    ROOT = auto()


class Space(IntEnum):
    NONE = 0
    PERHAPS = 1  # After a command, where it may only end its name.
    TYPED = 2  # TeX skips it.
    MEANT = 3  # As `\\,` is.


@dataclass(slots=True)
class Part:
    text: str
    kind: Kind = Kind.ORDINARY
    space: Space = Space.NONE  # Before it, in what the author wrote.


PIECE = re.compile(r"\s+|[^\W_]+|:=|[<>=!]=|[-=]>|.", re.DOTALL)
SIGNS = {
    Kind.ASCII: [*"=<>+-*", ":=", "<=", ">=", "==", "!=", "->", "=>"],
    Kind.BINARY: "±∓×÷·⋅∘∩∪⊎∧∨⊕⊖⊗⊘⊙∖⊔⊓⋉⋊⋆•",
    Kind.OPERATOR: "∑∏∐∫∬∭∮⋃⋂⨁⨂⨆",
    Kind.OPEN: f"([{{⟨⌈⌊{KEPT['{']}",
    Kind.CLOSE: f")]}}⟩⌉⌋{KEPT['}']}",
    Kind.COMMA: ",;",
}
KIND_OF = {sign: kind for kind, signs in SIGNS.items() for sign in signs}
#: Arrows, orders, equalities and memberships, as Unicode has them together.
RELATION = re.compile("[←-⇿⟰-⟿∈-∍∝∣-∦∼-≿⊀-⊋⊏-⊒⊢⊣⊥-⊯⊲-⊵⋈⋍⋐⋑⋖-⋭⩽⩾⪅-⪖⪝-⪢⪯-⪺⫅⫆⫋⫌≔∶]\u0338?")
OPERANDS = {Kind.ORDINARY, Kind.CLOSE, Kind.FRACTION, Kind.ROOT, Kind.OPERATOR}
ENDS = {Kind.CLOSE, Kind.COMMA}
INFIX = {Kind.BINARY, Kind.RELATION, Kind.ASCII}
FACTORS = {Kind.ORDINARY, Kind.CLOSE, Kind.FRACTION, Kind.ROOT}
#: A script that Unicode doesn't have: a letter right after it would be read as part of it.
WRITTEN_SCRIPT = re.compile(r"[_^][^\W_]+(?:\.\d+)?$")


def kind_of(text: str) -> Kind:
    """Return what a sign is."""
    if RELATION.fullmatch(text):
        return Kind.RELATION
    return KIND_OF.get(text, Kind.ORDINARY)


def parts_of(text: str) -> list[Part]:
    """Return the parts of what was typed without commands, such as `f(x) = 2`."""
    return [
        Part("", Kind.SPACE, Space.TYPED) if piece.isspace() else Part(piece, kind_of(piece))
        for piece in PIECE.findall(text)
    ]


def together(parts: list[Part]) -> str:
    """Return the parts as one text, each as far from the last as it should be."""
    edges = [_is_meant(part) for part in (*parts[:1], *parts[-1:])]
    parts = _without_spaces(parts)
    _mark_norms(parts)
    _mark_fractions(parts)
    said = []
    for index, part in enumerate(parts):
        if index and _are_apart(parts, index):
            said.append(" ")
        said.append(part.text)
    before, after = edges if said else ("", "")
    return before + "".join(said) + after


def _is_meant(part):
    return " " if part.kind is Kind.SPACE and part.space == Space.MEANT else ""


def _without_spaces(parts):
    """Return the parts but for spaces, each of which the next part remembers."""
    kept, space = [], Space.NONE
    for part in parts:
        if part.kind is Kind.SPACE:
            space = max(space, part.space)
        elif part.text:
            part.space, space = max(part.space, space), Space.NONE
            kept.append(part)
    return kept


def _mark_norms(parts):
    """Tell the lines that open a norm from those that close it: every other one."""
    lines = [part for part in parts if part.kind is Kind.ORDINARY and part.text[0] == "‖"]
    if len(lines) % 2 == 0:
        for index, line in enumerate(lines):
            line.kind = Kind.CLOSE if index % 2 else Kind.OPEN


def _mark_fractions(parts):
    """Put parentheses around fractions that stand beside a factor: a half of n is (1/2)n."""
    for index, part in enumerate(parts):
        before = parts[index - 1].kind if index else None
        after = parts[index + 1].kind if index + 1 < len(parts) else None
        if part.kind is Kind.FRACTION and (
            before in FACTORS
            or before is Kind.OPERATOR
            or after in FACTORS - {Kind.CLOSE}
            or after in (Kind.OPEN, Kind.OPERATOR)
        ):
            part.text = f"({part.text})"


def _are_apart(parts, index):
    before, part = parts[index - 1], parts[index]
    if before.kind is Kind.OPEN or part.kind in ENDS:
        return False
    if part.kind in INFIX:
        return _is_apart_from_its_left(parts, index)
    if before.kind in INFIX:
        return _is_apart_from_its_right(parts, index - 1)
    if part.kind is Kind.OPERATOR:
        return before.kind in OPERANDS or part.space >= Space.TYPED
    if before.kind is Kind.OPERATOR:
        if before.text[0] in SIGNS[Kind.OPERATOR]:
            return True
        return part.kind is not Kind.OPEN and not part.text.startswith("(")
    if before.kind is Kind.ROOT or WRITTEN_SCRIPT.search(before.text):
        return part.text[0].isalnum() or part.kind is Kind.ROOT
    return part.space >= Space.TYPED and (part.kind is not Kind.OPEN or before.kind is Kind.COMMA)


def _is_apart_from_its_left(parts, index):
    sign = parts[index]
    if not _has_left_side(parts, index):
        return sign.space >= Space.TYPED
    if not _has_right_side(parts, index):
        return sign.space >= Space.TYPED and sign.kind is not Kind.BINARY
    if sign.kind is not Kind.ASCII:
        return True
    return bool(sign.space or parts[index + 1].space)


def _is_apart_from_its_right(parts, index):
    sign, after = parts[index], parts[index + 1]
    if not _has_left_side(parts, index) or not _has_right_side(parts, index):
        return after.space >= Space.TYPED and after.kind in INFIX
    if sign.kind is not Kind.ASCII:
        return True
    return bool(sign.space or after.space) and not _is_minus_of_a_list(parts, index)


def _is_minus_of_a_list(parts, index):
    """Return whether a minus stands close to what follows only, as in `1 -1`."""
    return (
        parts[index].text == "-"
        and parts[index].space >= Space.TYPED
        and not parts[index + 1].space
    )


def _has_left_side(parts, index):
    return index > 0 and parts[index - 1].kind in OPERANDS


def _has_right_side(parts, index):
    return index + 1 < len(parts) and parts[index + 1].kind not in ENDS
