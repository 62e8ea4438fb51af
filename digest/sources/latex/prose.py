"""LaTeX within prose: finds formulas and commands, and leaves alone what is none.

A dollar is a price more often than not where it isn't one of a pair, and braces may be a set. Each
step goes through the text once, whatever it holds.
"""

import re
from collections.abc import Callable

from digest.sources.latex.commands import arguments_of
from digest.sources.latex.symbols import (
    ACCENTS,
    CITES,
    KEPT,
    LETTERS,
    SILENT,
    SPACES,
    TEXT_FONTS,
    UNSAID,
)

#: Converts one piece: its LaTeX, and whether it is a formula.
Convert = Callable[[str, bool], str]

# ---- Characters that were escaped

AGAIN = str.maketrans({kept: character for character, kept in KEPT.items()})
TWO_BRACES = re.compile(f"(?<={KEPT['{']})(?={KEPT['{']})|(?<={KEPT['}']})(?={KEPT['}']})")
ESCAPED = re.compile(r"\\\\([%&#_])|(\\\\)|\\([$%&#_{}])|(%)")
CODE = re.compile(r"\\u([0-9a-f]{4})(?![0-9a-f])")

#: As sources leave it that drop backslashes: \href{https://…}{text}.
ADDRESS_AND_TEXT = re.compile(
    r"(https?://[^\s{}<>\"]{1,500})\{[^{}]{0,300}(?:\{[^{}]{0,300}\}[^{}]{0,100})?\}"
)

# ---- Formulas

ENVIRONMENTS = "equation|align|gather|multline|eqnarray|displaymath|math|flalign"
SIGN = re.compile(
    rf"\\\\|\$\$|\$|\\[()\[\]]|\\begin\s?\{{(?:{ENVIRONMENTS})\*?\}}|\\end\s?\{{(?:{ENVIRONMENTS})\*?\}}"
)
CLOSES = {r"\)": r"\(", r"\]": r"\[", "$": "$", "$$": "$$"}
#: What makes mathematics of what has a space inside its dollars.
MATHS = re.compile(r"[\\^_=<>+\u0370-\u03ff\u2100-\u22ff]")
MARKED = re.compile(r"[\\^_]")
COMMAND = re.compile(r"\\[A-Za-z]+(?:\s*\{[^{}]*\})?")
PROSE = re.compile(r"[A-Za-z]{2,}")
HELD = re.compile(r"\{[^{}]*\}")
OF_SENTENCE = re.compile(r"(?<!\S)[A-Za-z]{2,}(?=[\s.,;:]|$)")
A_SENTENCE = 6  # Words: then a dollar is missing, and this one belongs to another formula.
#: Dollars that have lost their partner: behind a word, before one letter. Prices have neither.
ODD = re.compile(r"(?<=[^\W\d])\$(?![\w$]|\s\d)|(?<![\w$])\$(?=[A-Za-z]\b)")

# ---- Commands

MARK = re.compile(r"\\([A-Za-z]+|.|$)|[{}]|[_^](?=\{)", re.DOTALL)
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
SPACE = re.compile(r"\s*")
OPTION = re.compile(r"\[[^\[\]]{0,200}\]")
ENVIRONMENT = re.compile(r"\s?\{[A-Za-z]{1,30}\*?\}(?:\[[^\[\]]{0,50}\])?")
#: What a command takes where no braces are: an accent the next letter, others a letter alone.
LETTER = re.compile(r"\s*(?:\\[A-Za-z]+|[^\W_])")
ONE_LETTER = re.compile(r"\s*(?:\\[A-Za-z]+|\d|[^\W\d_](?![^\W_]))")
SHORT_FORMS = re.compile(r"(?<=[A-Za-z])\\'(?=(?:s|t|re|ve|ll|d|m)\b)|\\'(?![A-Za-z{\\])")
QUOTES = re.compile(r'\\"(?![A-Za-z{\\])')
LATIN = "A-Za-z\u00c0-\u024f"
#: Groups that are for TeX where nothing else is LaTeX: {B}ERT, n{=}5, {a phrase}, {GPT}.
PART_OF_WORD = re.compile(rf"[{LATIN}][{{][{LATIN}]+[}}]|[{{][{LATIN}]+[}}][{LATIN}]")
OF_TEX = re.compile(rf"[=<>,+~:]|[{LATIN}-]+(?: [{LATIN}-]+)+|[A-Z][{LATIN}-]+|https?://\S+")
#: What a source that drops backslashes leaves of the commonest signs.
LOST = {"times": "×", "sim": "∼", "approx": "≈", "pm": "±", "deg": "°", "circ": "°"}
SET = re.compile(r"\s*-?\w{1,3}(?:\s*,\s*(?:-?\w{1,3}|…|\.{3}))+\s*")
#: Commands of prose: a line in what they hold is no script.
OTHERS_OF_PROSE = """
    underline uline ul href url path footnote footnotetext textcolor colorbox hyperref hyperlink
    hypertarget raisebox scalebox replaced enquote say circled textsuperscript textsubscript
    texorpdfstring num numprint SI qty si unit fbox hbox boxed
""".split()  # noqa: SIM905
OF_PROSE = frozenset([*ACCENTS, *TEXT_FONTS, *UNSAID, *LETTERS, *SILENT, *OTHERS_OF_PROSE])
#: What they leave where nothing follows that they could be about.
ALONE = {"-": "-", "@": "", "!": "", "/": "", "|": "‖", "`": "‘", "'": "’", "n": " "}


def without_latex(text: str, convert: Convert) -> str:
    """Return the text with its LaTeX as `convert` says it."""
    text = ADDRESS_AND_TEXT.sub(r"\1", CODE.sub(_character, text))
    text = ESCAPED.sub(_kept, text)
    prose = _without_formulas(text, convert)
    is_latex = prose != text or "\\" in prose
    # What begins by looking behind is slow to search, so it is asked first for what all need.
    text = ODD.sub("", prose) if is_latex and "$" in prose else prose
    text = text.replace("$", KEPT["$"])
    if QUOTES.search(text):  # Somebody's program escaped them: \"so\".
        text = text.replace('\\"', '"')
    if "\\'" in text:
        text = SHORT_FORMS.sub("’", text)
    text = _Commands(text, convert, is_latex).read()
    if KEPT["{"] in text or KEPT["}"] in text:
        text = TWO_BRACES.sub(" ", text)  # Together they look like a template's.
    return text.translate(AGAIN)


def _character(code):
    character = chr(int(code[1], 16))
    return character if character.isprintable() else code[0]


def _kept(escaped):
    twice, line, once, percent = escaped.groups()
    return line or KEPT[twice or once or percent]


# ---- Formulas


def _without_formulas(text, convert):
    """Replace formulas. The last sign that may open one counts."""
    said, at = [], 0
    opener, start, end = "", 0, 0
    for sign in SIGN.finditer(text):
        mark = sign[0]
        if mark == "\\\\":
            continue
        if mark == "$$" and opener == "$":  # One formula ends, the next begins: $a$$b$.
            mark = "$"
        is_end = opener and (CLOSES.get(mark) or mark.replace("end", "begin", 1)) == opener
        if is_end and _is_formula(text, mark, end, sign.start()):
            said += [text[at:start], convert(text[end : sign.start()], True)]
            at = sign.start() + len(mark)
            opener = ""
            if len(mark) < len(sign[0]):
                opener, start, end = "$", at, sign.end()
        elif mark[:2] not in (r"\)", r"\]") and not mark.startswith(r"\end"):
            opener, start, end = mark, sign.start(), sign.end()
    return "".join([*said, text[at:]])


def _is_formula(text, mark, start, end):
    """Tell formulas from prices, by pandoc's rule for what a dollar opens and closes, and more."""
    if mark != "$":
        return True
    inside, before, after = text[start:end], text[start - 2 : start - 1], text[end + 1 : end + 2]
    if not inside.strip():
        return False
    words = len(PROSE.findall(COMMAND.sub(" ", inside)))
    is_open, is_closed = not inside[0].isspace(), not inside[-1].isspace()
    if inside.lstrip()[0].isdigit() and not MARKED.search(inside):
        return is_open and is_closed and not after.isdigit() and not (words and " " in inside)
    if is_open and is_closed:
        return len(OF_SENTENCE.findall(HELD.sub("", HELD.sub("", inside)))) < A_SENTENCE
    # A dollar before a space closes most often, and one after a space opens.
    if (not is_open and before.isalnum()) or (not is_closed and (after.isalnum() or after == "\\")):
        return False
    return words < 3 if MATHS.search(inside) else words < 2


# ---- Commands


def _ends_of_groups(text):
    """Return where each group ends, by where it begins."""
    open_at, ends = [], {}
    for brace in BRACE.finditer(text):
        if brace[0] == "{":
            open_at.append(brace.start())
        elif brace[0] == "}" and open_at:
            ends[open_at.pop()] = brace.start()
    return ends


def _strays(text, ends):
    """Return the braces that close nothing."""
    closing = {brace.start() for brace in BRACE.finditer(text) if brace[0] == "}"}
    return closing.difference(ends.values())


class _Commands:
    """Reads a text once, from left to right, and says what commands say."""

    def __init__(self, text, convert, is_latex):
        self.text, self.convert, self.is_latex = text, convert, is_latex
        self.ends = _ends_of_groups(text)
        #: Closing braces that a reader isn't to see.
        self.unseen = _strays(text, self.ends) if is_latex else set()
        self.said, self.at = [], 0

    def read(self):
        while mark := MARK.search(self.text, self.at):
            self._say(self.text[self.at : mark.start()])
            self.at = mark.end()
            if mark[0] == "{":
                self._begin_group(mark.start())
            elif mark[0] == "}":
                self._say("}" if mark.start() not in self.unseen else "")
            elif mark[0] in "_^":
                self._script(mark.start())
            else:
                self._command(mark[1], mark.start())
        return "".join([*self.said, self.text[self.at :]])

    def _say(self, text):
        if text:
            self.said.append(text)

    # ---- Groups

    def _begin_group(self, start):
        if start not in self.ends:
            is_of_broken_one = self.said and self.said[-1].startswith("\\")
            instead = " " if self.text[start - 1 : start] == "}" else ""
            self._say("{" if is_of_broken_one or not self.is_latex else instead)
        elif (inside := self.text[start + 1 : self.ends[start]]) in LOST:
            self._say(LOST[inside])
            self.at = self.ends[start] + 1
        elif self._is_for_tex_only(start, self.ends[start]):
            self.unseen.add(self.ends[start])
        else:
            self._say("{")

    def _is_for_tex_only(self, start, end):
        """Tell a group from a set, and from what only looks like LaTeX."""
        inside = self.text[start + 1 : end]
        if "\\" in inside:
            return True
        if self.is_latex:
            return not SET.fullmatch(inside)
        around = self.text[max(0, start - 1) : end + 2]
        if "{{" in around or "}}" in around:
            return False
        return bool(OF_TEX.fullmatch(inside) or PART_OF_WORD.search(around))

    def _script(self, start):
        end = self.ends.get(start + 1)
        if end is None:
            self._say(self.text[start])
            return
        base = self.said.pop() if self.said else ""
        self._say(base[:-1])
        self._say(self.convert(base[-1:] + self.text[start : end + 1], True))
        self.at = end + 1

    # ---- Commands

    def _command(self, name, start):
        wants = arguments_of(name)
        if name in ("begin", "end"):
            environment = ENVIRONMENT.match(self.text, self.at)
            self.at = environment.end() if environment else self.at
            self._say(" ")
        elif name in SPACES:
            self._say(" ")
        elif wants is None or (name in ALONE and name not in ACCENTS):
            self._unknown(name)
        elif not wants:
            self._symbol(name)
        elif (end := self._end_of_arguments(name, wants)) is None:
            self._broken(name, start)
        else:
            self.at = end
            self._known(name, self.text[start:end])

    def _unknown(self, name):
        """An author's own command: what it holds matters, or else its name."""
        end = self.ends.get(self.at)
        if name.isalpha() and end is not None and end > self.at + 1:
            self.unseen.add(end)
            self.at += 1
        elif name == "@" and self.text[self.at : self.at + 1].isdigit():
            self._say("@")
        else:
            self._say(ALONE.get(name, name))

    def _symbol(self, name):
        if name in LETTERS or name in SILENT:
            self.at = SPACE.match(self.text, self.at).end()
        self._say("°" if name == "deg" else self.convert(f"\\{name}", name not in OF_PROSE))

    def _end_of_arguments(self, name, wants):
        """Return where the command's arguments end, None if some are missing."""
        at = self.at
        for want in wants:
            start = SPACE.match(self.text, at).end()
            if want == "{" and start in self.ends:
                at = self.ends[start] + 1
            elif want == "{":
                takes_any = len(name) == 1 or at > self.at
                letter = (LETTER if takes_any else ONE_LETTER).match(self.text, at)
                if not letter or name in TEXT_FONTS:
                    return None
                at = letter.end()
            elif want == "*":
                at += self.text.startswith("*", at)
            elif option := OPTION.match(self.text, at):
                at = option.end()
        return at

    def _broken(self, name, start):
        """Of what has no end, the words stay; of a formula all, since nobody knows its parts."""
        after = SPACE.match(self.text, self.at).end()
        if self.text.startswith("{", after) and name not in OF_PROSE:
            self._say(self.text[start : self.at])
            return
        if name in ("textcolor", "colorbox") and after in self.ends:
            self.at = self.ends[after] + 1
        elif self.text.startswith("{", after) and after not in self.ends:
            self.at = after + 1
        if name in ("href", "footnote", "footnotetext"):
            self._say(" ")
        elif name in ACCENTS or name not in OF_PROSE:
            self._say(ALONE.get(name, name))

    def _known(self, name, piece):
        if name in CITES:
            self._cite()
        else:
            self._say(self.convert(piece, name not in OF_PROSE))

    def _cite(self):
        """Take out a citation with the space before it, and with parentheses of its own."""
        self._strip()
        before = self.said[-1][-1:] if self.said else ""
        if before and before + self.text[self.at : self.at + 1] in ("()", "[]"):
            self.said[-1] = self.said[-1][:-1]
            self.at += 1
            self._strip()

    def _strip(self):
        while self.said and not (stripped := self.said[-1].rstrip(" ~")):
            self.said.pop()
        if self.said:
            self.said[-1] = stripped
