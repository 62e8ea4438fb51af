"""One piece of LaTeX as text that people can read: a formula, or a command with its arguments.

pylatexenc parses it; here its nodes become text, with TeX's own spacing.
"""

import re
from collections import deque

from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import (
    LatexGroupNode,
    LatexMacroNode,
    LatexSpecialsNode,
    LatexWalker,
)

from digest.sources.latex import spacing
from digest.sources.latex.commands import KINDS, KNOWN, SAID, TEXTS, arguments_of
from digest.sources.latex.scripts import WORD, lowered, raised
from digest.sources.latex.spacing import Kind, Part, Space, kind_of, parts_of
from digest.sources.latex.symbols import LETTERS, SILENT, SPACES

TAKE_SPACE = LETTERS | SILENT
FUNCTION = re.compile(r"[a-z]{3,}")  # A word that stands before its argument: rank A.
DASHES = re.compile(r"\s*-{1,3}\s*")
#: The library would take α for a part of the name in \hatα.
NAME_AND_LETTER = re.compile(r"(\\[A-Za-z]+)(?=[^\W\d_A-Za-z])")


# ---- What is asked for


def formula(latex: str) -> str:
    """Return a formula without its dollars as text. Raise an error where it is none.

    >>> formula(r"O(n\\log n)"), formula(r"x_i^2 \\le 10^{-3}"), formula(r"\\frac{a+b}{2}")
    ('O(n log n)', 'xᵢ² ≤ 10⁻³', '(a+b)/2')
    """
    if DASHES.fullmatch(latex):
        return "–"  # A minus, or a dash of prose; it looks like either.
    return _converted(latex, in_math_mode=True).strip().replace("′′", "″")


def words(latex: str) -> str:
    """Return commands that stand in prose as text. Raise an error where they are broken.

    >>> words(r"\\textbf{bold \\emph{and} plain}"), words(r"\\'{E}mile")
    ('bold and plain', 'Émile')
    """
    return _converted(latex, in_math_mode=False)


def bare(latex: str) -> str:
    """Return the piece without what marks it as LaTeX: the last resort, for broken ones."""
    return re.sub(r"\\([A-Za-z]*)|[{}$]", lambda sign: sign[1] or "", latex)


def _converted(latex, in_math_mode):
    latex = NAME_AND_LETTER.sub(r"\1 ", latex)
    walker = Walker(latex, latex_context=KNOWN)
    state = walker.make_parsing_state(in_math_mode=in_math_mode)
    nodes, *_ = walker.get_latex_nodes(parsing_state=state)
    return READER.nodelist_to_text(nodes)


# ---- LaTeX becomes nodes


class Walker(LatexWalker):
    """Parses; a command that is an argument brings its own, as in `\\hat\\mathbf{x}`."""

    def get_latex_expression(self, pos, strict_braces=None, parsing_state=None):
        token = self.get_token(pos, environments=False, parsing_state=parsing_state)
        if token.tok == "macro" and arguments_of(token.arg):
            nodes, _, length = self.get_latex_nodes(
                token.pos, read_max_nodes=1, parsing_state=parsing_state
            )
            return nodes[0], token.pos, length
        return super().get_latex_expression(pos, strict_braces, parsing_state)


# ---- Nodes become text


class Reader(LatexNodes2Text):
    """Reads prose as it stands, and formulas with TeX's spacing."""

    def nodelist_to_text(self, nodelist):
        if nodelist and nodelist[0].parsing_state.in_math_mode:
            return spacing.together(self._parts(nodelist))
        following = [*nodelist[1:], None]
        return "".join(map(self._word, nodelist, following))

    def chars_node_to_text(self, node, textcol=0):
        return node.chars

    def macro_node_to_text(self, node):
        if not self._knows(node):
            return node.macroname  # An author's own.
        if node.nodeargd is None and arguments_of(node.macroname):
            return node.macroname if len(node.macroname) == 1 else ""
        return super().macro_node_to_text(node)

    def _knows(self, node):
        return self.latex_context.get_macro_spec(node.macroname) is not None

    def _word(self, node, following):
        if not isinstance(node, LatexMacroNode):
            return self.node_to_text(node)
        if not self._knows(node) and _holds(following):
            return ""  # An author's own command: what it holds matters.
        said = self.node_to_text(node)
        return said if node.macroname in TAKE_SPACE else said + node.macro_post_space

    def _parts(self, nodelist):
        parts, nodes = [], deque(nodelist)
        while nodes:
            node = nodes.popleft()
            if (typed := _typed(node)) is not None:
                _take(parts, parts_of(typed))
            elif isinstance(node, LatexSpecialsNode) and node.specials_chars in "_^":
                _hang(parts, self._scripts(node.specials_chars, nodes, parts))
            elif isinstance(node, LatexMacroNode):
                if self._knows(node) or not _holds(nodes[0] if nodes else None):
                    self._take_command(parts, node)
            elif (said := self.node_to_text(node)).strip():
                parts.append(Part(said))
            elif said:
                parts.append(_space_of(said))
        return parts

    def _scripts(self, sign, nodes, parts):
        """Take a script off the nodes, and the other one where both are; the lower comes first."""
        script = self._script(sign, nodes, parts)
        other = nodes[0] if nodes else None
        if sign == "^" and isinstance(other, LatexSpecialsNode) and other.specials_chars == "_":
            nodes.popleft()
            return self._script("_", nodes, parts) + script
        return script

    def _script(self, sign, nodes, parts):
        """Take what follows the sign off the nodes: of letters the first, as TeX does.

        A whole word below the line was meant as one, though TeX takes its first letter only.
        """
        while nodes and _is_blank(nodes[0]):
            nodes.popleft()
        if not nodes:
            return sign
        node = nodes.popleft()
        text = (_typed(node) or "").lstrip()
        if text:
            word = WORD.match(text) if sign == "_" else None
            length = word.end() if word else 1
            if others := text[length:]:
                nodes.appendleft(others)
            text = text[:length]
        else:
            text = self._groupnodecontents_to_text(node)
        return lowered(text) if sign == "_" else raised(text, parts[-1].text if parts else "")

    def _take_command(self, parts, node):
        name = node.macroname
        if name in SPACES:
            parts.append(Part("", Kind.SPACE, Space.MEANT))
            return
        said = self.macro_node_to_text(node)
        if name == "deg" and parts and parts[-1].text[-1:].isdigit():
            parts[-1].text += "°"
        else:
            word = said.strip()
            part = Part(word, self._kind(name, word))
            _take(parts, [_space_of(said[:1]), part, _space_of(said[-1:])])
        if node.macro_post_space:
            parts.append(Part("", Kind.SPACE, Space.PERHAPS))

    def _kind(self, name, said):
        if name in KINDS:
            return KINDS[name]
        is_word = name in TEXTS or self.latex_context.get_macro_spec(name) is None
        return Kind.OPERATOR if is_word and FUNCTION.fullmatch(said) else kind_of(said)


def _typed(node):
    """Return what was typed without commands: characters, or what is left of some."""
    return node if isinstance(node, str) else getattr(node, "chars", None)


def _is_blank(node):
    typed = _typed(node)
    return typed is not None and not typed.strip()


def _holds(node):
    return isinstance(node, LatexGroupNode) and bool(node.nodelist)


def _take(parts, more):
    for part in more:
        if part.text and not part.text.strip("'′") and parts:
            parts[-1].text += "′" * len(part.text)
        elif part.text or part.kind is Kind.SPACE:
            parts.append(part)


def _hang(parts, script):
    """Hang a script on the last part, if there is one that can bear it."""
    while parts and parts[-1].kind is Kind.SPACE:
        parts.pop()
    if not parts or parts[-1].kind in (Kind.OPEN, Kind.COMMA):
        parts.append(Part(script))
        return
    if parts[-1].kind in (Kind.FRACTION, Kind.ROOT):
        parts[-1] = Part(f"({parts[-1].text})")
    parts[-1].text += script


def _space_of(character):
    return Part("", Kind.SPACE, Space.MEANT if character.isspace() else Space.NONE)


READER = Reader(SAID)
