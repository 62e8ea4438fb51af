"""Split texts into terms: folded, without stop words, stemmed.

A term is the stem of a word. LaTeX, case, accents, hyphens and the two spellings of English don't
matter: "Graph-based" and "graph based" have the same terms, and so have "pre-training" and
"pretraining", `Schr\\"odinger` and "Schrödinger", "tumour" and "tumor".
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

import Stemmer

from digest.ranking.stopwords import STOP_WORDS

#: What counts as one character of a kind, in expressions.
LETTER, HYPHEN, APOSTROPHE = r"[^\W\d_]", r"[-\u2010\u2011]", r"['\u2019]"
WORD = re.compile(r"[^\W_]{2,}")
WRITTEN_WORD = re.compile(rf"[^\W\d_][^\W_]+(?:{HYPHEN}[^\W_]+)*")
HYPHENATED = re.compile(rf"(?<![^\W_])[^\W_]+(?:{HYPHEN}[^\W_]+)+")
MAX_WORD = 40  # Characters. Longer strings are no words, and would fill the vocabulary.
#: A phrase whose words would look like a subject.
STATE_OF_THE_ART = re.compile(r"state[-\s]+of[-\s]+the[-\s]+art")

# ---- LaTeX: accents are removed, other commands become words

ACCENT_COMMAND = re.compile(r"\\[\"'`^~=.]\s?\{?\\?([A-Za-z])\}?|\\[uvHcdbkrt]\{\\?([A-Za-z])\}")
FONT_COMMAND = re.compile(
    r"\\(?:(?:text|math)(?:bf|it|rm|tt|sf|sc|cal|bb|frak|scr|normal|up)?|emph|mbox|operatorname"
    r"|boldsymbol|bm|bf|it|rm|em|cal|left|right)(?![A-Za-z])\s?"
)
LETTER_COMMAND = re.compile(r"\\(AE|OE|ae|oe|ss|L|l|O|o|i|j)(?![A-Za-z])\s?")  # As in L{}odz.
COMMAND = re.compile(r"\\([A-Za-z]+)")
LATEX_SYNTAX = str.maketrans("", "", "${}_^\\~")

# ---- Unicode: accents are removed, a single Greek letter becomes its name

ACCENT = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
HYPHENS = str.maketrans("\u2010\u2011\u2012\u2013\u2212", "-----")
#: Letters that Unicode does not decompose.
UNACCENTED = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "ß": "ss"}
)
GREEK_LETTER = re.compile(r"(?<![α-ω])[α-ω](?![α-ω])")
NAMES_OF_GREEK = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma
    sigma tau upsilon phi chi psi omega
"""
GREEK = dict(zip("αβγδεζηθικλμνξοπρςστυφχψω", NAMES_OF_GREEK.split(), strict=True))

# ---- Hyphens: most separate two words, with these exceptions

#: Prefixes with or without a hyphen: pre-training, e-mail.
PREFIXES = frozenset(
    """
    anti auto bi bio co counter e electro extra geo hyper hypo infra inter intra macro magneto meta
    micro mono multi nano neuro non omni over photo poly post pre pseudo psycho quasi re semi socio
    spatio sub super thermo trans tri ultra un under
    """.split()  # noqa: SIM905, a list of quoted words is harder to read
)
LAST_WORD = re.compile(r"[^\W_]+$")
FIRST_WORD = re.compile(r"[a-z]{2,}[0-9a-z]*")
ONE_LETTER = re.compile(r"[a-z]\b")  # 3-D is 3D.
FIRST_NUMBER = re.compile(r"[0-9]{1,4}\b")
NUMBERED = re.compile(r"([a-z]{2,})[0-9]{1,4}")

# ---- One spelling: acronyms and Greek words in the singular, British as American

SPELLINGS = [
    (re.compile(r"^([b-df-hj-np-tv-xz]{3,})(?<!s)s$"), r"\1"),  # LLMs
    (re.compile(r"^([b-df-hj-np-tv-xz]{2,}[aeiou])s$"), r"\1"),  # GPUs
    (re.compile(r"(?<=[a-z]{3}[a-bd-uw-z])is(e|ed|es|er|ers|ing|ations?)$"), r"iz\1"),
    (re.compile(r"(?<=[a-z]{3})our(s|ed|ing|al|ally|able|hoods?|less|ful)?$"), r"or\1"),
    (re.compile(r"(?<=[a-z]{2}[bt])re(s|d)?$"), r"er\1"),
    (re.compile(r"(?<=[a-z]{3})ogue(s?)$"), r"og\1"),
    (re.compile(r"(?<=[a-z]{2}l)yses$"), "ysis"),
    (re.compile(r"(?<=[a-z]{3})yse(d?)$"), r"yze\1"),
    (re.compile(r"(?<=th)eses$"), "esis"),
    (re.compile(r"aem|oem(?=at)"), "em"),
    (re.compile(r"oestr"), "estr"),
    (re.compile(r"paed"), "ped"),
    (re.compile(r"(?<=an)aesth"), "esth"),
    (re.compile(r"oedem"), "edem"),
    (re.compile(r"rrhoe"), "rrhe"),
    (re.compile(r"^(f)oe(t)"), r"\1e\2"),
    (re.compile(r"aeti(?=o)"), "eti"),
    (re.compile(r"gynaec"), "gynec"),
]


class _Stems(dict[str, str]):
    """Word -> its terms, separated by a space. A cache.

    Stop words and numbers have none, "gpt4" has two, all others one.
    """

    def __init__(self) -> None:
        super().__init__()
        # Safe with threads: its C code holds the interpreter lock.
        self._stem = Stemmer.Stemmer("english", 0).stemWord

    def __missing__(self, word: str) -> str:
        is_no_term = word in STOP_WORDS or word.isdecimal() or len(word) > MAX_WORD
        stem = "" if is_no_term else self._stem(_spelled(word))
        if stem and (numbered := NUMBERED.fullmatch(word)):
            stem = f"{self[numbered[1]]} {stem}"
        if len(self) > 500_000:
            self.clear()
        self[word] = stem
        return stem


_stems = _Stems()


def _spelled(word: str) -> str:
    for spelling, replacement in SPELLINGS:
        word = spelling.sub(replacement, word)
    return word


def words(text: str, *, of_query: bool = False) -> list[str]:
    """Return the words of a text, folded, in order.

    In a paper, "k-means" is "kmeans" and "means"; in a query, only the first.
    """
    query_words, extra_words = split_words(text)
    return query_words if of_query else query_words + extra_words


def split_words(text: str) -> tuple[list[str], list[str]]:
    """Return the words of a text as a query, and the further words that a paper's text has."""
    extra_words: list[str] = []
    if "\\" in text or "$" in text:
        text = _without_latex(text)
    text = folded(text)
    if not text.isascii():
        text = GREEK_LETTER.sub(lambda letter: f" {GREEK[letter[0]]}", text)
    if "state" in text:
        text = STATE_OF_THE_ART.sub(" ", text)
    if "-" in text:
        text, extra_words = _without_hyphens(text)
    return WORD.findall(text), WORD.findall(" ".join(extra_words))


def folded(text: str) -> str:
    """Return a text in lower case, without accents, with one kind of hyphens."""
    text = text.lower()
    if text.isascii():
        return text
    text = ACCENT.sub("", unicodedata.normalize("NFKD", text)).lower()
    return text.translate(HYPHENS).translate(UNACCENTED)


def stems(words: list[str]) -> list[str]:
    """Return the terms of folded words, in order. Stop words and numbers have none."""
    return " ".join(map(_stems.__getitem__, words)).split()


def terms(text: str) -> list[str]:
    """Return the terms of a text in order, repeats included."""
    return stems(words(text))


def as_written(text: str) -> dict[str, str]:
    """Return the word of each term of a text, in its case."""
    word_by_term: dict[str, str] = {}
    for word in (*WORD.findall(text), *HYPHENATED.findall(text)):  # "pre-training", "k-means".
        for term in terms(word):
            word_by_term.setdefault(term, word)
    for word in (*words(text), *words(text, of_query=True)):
        for term in stems([word]):
            word_by_term.setdefault(term, word)
    return word_by_term


def usual_words(texts: Iterable[str]) -> dict[str, str]:
    """Return the most frequent word of each stem, with hyphens.

    In lower case, except acronyms.
    """
    counts: Counter[str] = Counter()
    for document in texts:
        counts.update(WRITTEN_WORD.findall(document))
    forms: Counter[tuple[str, str]] = Counter()
    for word, count in counts.items():
        stems = terms(word)
        if len(stems) == 1 or (stems and word[-1].isdigit()):
            is_acronym = sum(map(str.isupper, word)) > 1
            forms[stems[-1], word if is_acronym else word.lower()] += count
    word_by_stem: dict[str, str] = {}
    for (stem, word), _ in sorted(forms.items(), key=lambda item: (-item[1], item[0])):
        word_by_stem.setdefault(stem, word)
    return word_by_stem


def _without_latex(text: str) -> str:
    text = ACCENT_COMMAND.sub(lambda match: match[1] or match[2], text)
    text = LETTER_COMMAND.sub(r"\1", FONT_COMMAND.sub("", text))
    text = COMMAND.sub(r" \1 ", text)
    return text.translate(LATEX_SYNTAX)


def _without_hyphens(text: str) -> tuple[str, list[str]]:
    """Return the text without hyphens ("pretraining", "gpt4", else two words), and further words.

    "k-means", whose first word alone is no term, becomes one word, and "means" a further one.
    """
    start, *pieces = text.split("-")
    parts, extra_words = [start], []
    for piece in pieces:
        last_word = LAST_WORD.search(parts[-1][-16:])
        word = last_word[0] if last_word else ""
        first_word = FIRST_WORD.match(piece)
        if word in PREFIXES and first_word:
            parts.append(piece)
        elif len(word) == 1 and first_word:
            parts.append(piece)
            extra_words.append(first_word[0])
        elif (ONE_LETTER if word.isdecimal() else FIRST_NUMBER).match(piece):
            parts.append(piece)
        else:
            parts.append(f" {piece}")
    return "".join(parts), extra_words
