"""Split what people write about themselves into phrases, one for each interest.

"I'm a chemist and want to keep up with graph neural networks for molecules, and retrosynthesis."
becomes "graph neural networks for molecules" and "retrosynthesis". Titles, questions, statements
and abstracts are not split.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from digest.interests import grammar
from digest.ranking.stopwords import STOP_WORDS

SHORT_TEXT = 300  # Characters. A longer text is a wish only if somebody says "I" or "our lab".
MAX_PIECE = 5  # Words, but stop words, of a piece of a list without a wish: sentences have more.
MAX_TITLED = 3  # Words of a piece that may have capitals, in a list.
MAX_CONTEXT = 4  # Words.
#: Marks the field that somebody works in, before it.
FIELD = "\x01"

#: Returns whether two words stand together in papers: "trust and safety" are one subject.
type ArePaired = Callable[[str, str], bool]


class Phrase(NamedTuple):
    """A phrase, whether it is not wanted, and the field that its writer works in."""

    text: str
    is_negative: bool = False
    context: str = ""


def phrases(text: str, are_paired: ArePaired | None = None) -> list[Phrase]:
    """Return the phrases of a wish or a list. A text that is neither is its only phrase."""
    text = " ".join(text.replace("’", "'").replace(FIELD, " ").split())
    reader = _Reader(are_paired)
    if is_wish(text):
        reader.read_wish(text)
    elif is_list(text):
        reader.read_list(text)
    return reader.phrases() or [Phrase(text)]


def is_wish(text: str) -> bool:
    """Return whether somebody asks for something, or speaks of themselves."""
    if grammar.PERSON.search(text):
        return True
    is_about = grammar.OF_PAPER.search(text) or grammar.QUESTION.match(text)
    return len(text) <= SHORT_TEXT and not is_about and bool(grammar.WISH.search(text))


def is_list(text: str) -> bool:
    """Return whether a text that is no wish is a list of short phrases."""
    if not grammar.LIST.search(text) or grammar.STATEMENT.search(grammar.QUESTIONS.sub("", text)):
        return False
    clauses = [part for line in _sentences(text) for part in grammar.SEPARATOR.split(line)[::2]]
    pieces = [piece.split() for clause in clauses for piece in grammar.AND.split(clause)[::2]]
    if ";" in text:
        return True
    if _is_title(text, clauses) and (":" in text or max(map(len, pieces)) > MAX_TITLED):
        return False
    sizes = (len({word.lower() for word in piece} - grammar.NO_EDGE) for piece in pieces)
    return all(size <= MAX_PIECE for size in sizes)


def _is_title(text: str, clauses: list[str]) -> bool:
    """Return whether a text is written as titles are, Most Words With Capitals, or asks twice."""
    words = [word for word in text.split()[1:] if word.lower() not in STOP_WORDS]
    if len(words) > 3 and sum(word[0].isupper() for word in words) > 0.7 * len(words):
        return True
    return all(map(grammar.QUESTION.match, clauses)) and len(clauses) > 1


class _Reader:
    """Collects the phrases of a text, and the fields that its writer works in."""

    def __init__(self, are_paired: ArePaired | None) -> None:
        self.are_paired = are_paired
        self.is_wish = False
        self.subjects: list[str] = []
        self.exclusions: list[str] = []
        self.fields: list[str] = []

    def phrases(self) -> list[Phrase]:
        context = " ".join(dict.fromkeys(" ".join(self.fields).split()[:MAX_CONTEXT]))
        # In a sentence, a single word says too little: "robot grasping by touch, vision".
        first_subject = trimmed(" ".join(next(iter(self.subjects), "").split()[:MAX_CONTEXT]))
        fallback = context or (first_subject if self.is_wish and " " in first_subject else "")
        if self.subjects:
            phrases = [Phrase(s, context=context if " " in s else fallback) for s in self.subjects]
        else:
            phrases = [Phrase(field) for field in self.fields]
        return list(dict.fromkeys([*phrases, *(Phrase(text, True) for text in self.exclusions)]))

    def read_list(self, text: str) -> None:
        for sentence in _sentences(text):
            phrases = self._split(grammar.NEGATIVE.sub(self._without_negative, sentence))
            self.fields += phrases[:1] if ": " in sentence else []  # "Public health: vaccination".
            self.subjects += phrases

    def read_wish(self, text: str) -> None:
        self.is_wish = True
        for sentence in _sentences(text):
            start = grammar.INTRODUCTION.match(sentence)
            if start and grammar.WISH.search(start[0]):
                introduction = grammar.FRAME.sub(self._without_frame, start[0])
                fields = self._split(introduction)[:1] if ":" in introduction else []
                self.fields += [text for text in fields if not grammar.NO_SUBJECT.fullmatch(text)]
                sentence = sentence[start.end() :]
            sentence = grammar.NEGATIVE.sub(self._without_negative, sentence)
            phrases = self._split(grammar.FRAME.sub(self._without_frame, sentence))
            self.subjects += [text for text in phrases if not grammar.NO_SUBJECT.fullmatch(text)]

    def _without_negative(self, match: re.Match[str]) -> str:
        self.exclusions += self._split(grammar.FRAME.sub("|", match["unwanted"]))
        return "|"

    def _without_frame(self, match: re.Match[str]) -> str:
        """Return what replaces a frame, and note the field that it names."""
        modifiers = (match["field"] or match["place"] or "").split()
        words = [word for word in modifiers if word.lower() not in grammar.GENERIC]
        profession = (match["profession"] or "").lower()
        for ending, science in grammar.SCIENCES.items():
            words += [profession.removesuffix(ending) + science] * profession.endswith(ending)
        self.fields += [" ".join(words)] if words else []
        return f" | {FIELD}" if match["role_in"] or match["work_in"] else " | "

    def _split(self, sentence: str) -> list[str]:
        """Return the phrases of a sentence without frames."""
        sentence = grammar.SHARED_START.sub(_with_start, sentence.strip())
        clauses = self._without_fields(grammar.SEPARATOR.split(sentence))
        has_end = any(grammar.FIRST_AND.match(c) and trimmed(c) for c in clauses)
        sizes = [len(trimmed(clause).split()) for clause in clauses]
        phrases: list[str] = []
        for number, clause in enumerate(clauses, start=1):
            pieces = grammar.AND.split(grammar.FIRST_AND.sub("", clause, count=1))
            # "Batteries, catalysts and membranes" are three, but "moderation of content, trust and
            # safety" are two.
            is_end = len(clauses) == number > 1 and not has_end
            is_end &= len(trimmed(pieces[0]).split()) >= min(sizes[:-1], default=0)
            phrases += self._join(pieces, is_end=is_end or len(pieces) > 3, is_only=not has_end)
        texts = [text for text in map(trimmed, phrases) if text]
        if texts and " " not in "".join(texts[:-1]):
            shared = grammar.SHARED_END.match(texts[-1])
            texts[:-1] = [text + (shared[1] if shared else "") for text in texts[:-1]]
        return texts

    def _without_fields(self, parts: list[str]) -> list[str]:
        """Return the clauses of [clause, separator, clause …], and note those that are fields.

        "Postdoc in cosmology, dark energy" goes on with a list, of which the field is a part.
        """
        clauses, separators = [part.strip() for part in parts[::2]], parts[1::2]
        subject_clauses = []
        for number, clause in enumerate(clauses):
            if clause.startswith(FIELD):
                clause = clause.removeprefix(FIELD).strip()
                pairs = list(zip(separators[number:], clauses[number + 1 :], strict=True))
                count = next((n for n, (_, text) in enumerate(pairs, 1) if text), len(pairs))
                if {separator for separator, _ in pairs[:count]} != {","}:
                    self.fields += [field] if (field := trimmed(clause)) else []
                    continue
            subject_clauses += [clause] if clause else []
        return subject_clauses

    def _join(self, pieces: list[str], *, is_end: bool, is_only: bool) -> list[str]:
        """Return [piece, conjunction, piece …] joined, except between two subjects.

        A single word before "and" belongs to the next one if papers have them side by side. Else
        the last "and" of a list separates, and so does one after several words, if several follow
        or nothing but such phrases is there.
        """
        phrases = pieces[:1]
        for conjunction, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            left, right = trimmed(phrases[-1]).split(), trimmed(piece).split()
            is_single = len(left) == 1 and bool(right)
            is_pair = bool(self.are_paired and is_single and self.are_paired(left[0], right[0]))
            is_apart = is_end or not (left and right)
            is_apart |= len(left) > 1 and (len(right) > 1 or is_only)
            is_apart |= bool(self.are_paired) and is_only
            is_pair |= left[-2:-1] == ["to"]  # "Robot hands to grasp and handle objects".
            if is_apart and not is_pair:
                phrases.append(piece)
            else:
                phrases[-1] += conjunction + piece
        return phrases


def _sentences(text: str) -> list[str]:
    text = grammar.ASIDE.sub(r", \1,", grammar.ACRONYM.sub("", grammar.SUCH_AS.sub(",", text)))
    return list(filter(None, grammar.SENTENCE_END.split(text)))


def _with_start(series: re.Match[str]) -> str:
    return " | ".join(series["start"] + noun for noun in grammar.NEXT_NOUN.split(series["nouns"]))


def trimmed(clause: str) -> str:
    """Return a phrase without what is no subject at its ends: "recent advances in", "of the"."""
    words = clause.strip(" .!?-–—").split()
    # "In the US" ends with no stop word.
    lower = [word if len(word) > 1 and word.isupper() else word.lower() for word in words]
    while lower and lower[-1] in grammar.NO_EDGE:
        del words[-1], lower[-1]
    for number, (word, next_word) in enumerate(pairwise([*lower, ""])):
        is_general = word in grammar.GENERAL and next_word in grammar.PREPOSITIONS
        is_edge = word in grammar.NO_EDGE and not grammar.EDGE.match(f"{word} {next_word}")
        if not (is_general or is_edge or word in grammar.NEW):
            return " ".join(words[number:]) if set(lower) - grammar.NO_PHRASE else ""
    return ""
