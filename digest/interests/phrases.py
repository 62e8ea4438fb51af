"""Find the phrases of a text in which people write about themselves and what they want to read.

Words of people and of reading separate phrases (`words.toml`), and so does punctuation: "I'm a PhD
student working on graph learning, and curious about proteins" has "graph learning" and "proteins".
"""

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from digest.ranking.query import ADDRESS
from digest.ranking.stopwords import STOP_WORDS

WORD_LISTS = Path(__file__).with_name("words.toml").read_text(encoding="utf-8")
WORDS = {name: frozenset(words.split()) for name, words in tomllib.loads(WORD_LISTS).items()}
EDGES = WORDS["edges"] | STOP_WORDS
BEGINNINGS = EDGES | WORDS["beginnings"]
NO_SUBJECTS = WORDS["separators"] | BEGINNINGS
BULLETS = "–—•*·▪▸►◦●-"
TOKEN = re.compile(r"(?:i\.e|e\.g|vs|cf)\.|[^\W_](?:[\w'./+*&-]*[\w+*])?|[^\s\w]|\n")
SENTENCE_END = frozenset(".;!?\n")
ADVERSATIVES = frozenset({"but", "aber", "mais"})
CONJUNCTIONS = ADVERSATIVES | {"and", "or", "und", "oder", "et", "ou"}
BEFORE_NEGATION = WORDS["speakers"] | WORDS["auxiliaries"]
#: Struck out by the person, as in Markdown: not an interest.
STRUCK = re.compile(r"~~(.+?)~~", re.DOTALL)
SENTENCE = re.compile(r"\w{2}[)\"”’]?[.!?](?:\s+\S|\s*$)")
MIN_SENTENCE_WORDS = 5


class Phrase(NamedTuple):
    """A phrase and where it stands in its text. Of an unwanted one, somebody says "no"."""

    text: str
    start: int
    end: int
    is_unwanted: bool = False


def is_prose(line: str) -> bool:
    """Return whether somebody speaks of themselves in a line, or it has a whole sentence."""
    tokens = _tokens(_blanked(ADDRESS, line))
    if any(_is_speaker(tokens, place) for place in range(len(tokens))):
        return True
    return bool(SENTENCE.search(line)) and len(line.split()) >= MIN_SENTENCE_WORDS


def struck_phrases(text: str) -> list[Phrase]:
    """Return what somebody struck out."""
    return [Phrase(match[1], *match.span()) for match in STRUCK.finditer(text)]


@lru_cache(10_000)
def phrases(text: str) -> tuple[Phrase, ...]:
    """Return the phrases of a text in their order. A repeated phrase is returned each time."""
    struck = {phrase.text.casefold() for phrase in struck_phrases(text)}
    tokens = _tokens(_blanked(STRUCK, _blanked(ADDRESS, text)))
    found: list[Phrase] = []
    run: list[re.Match[str]] = []
    is_unwanted, begins_clause, continues, is_list = False, True, False, False
    for place, token in enumerate(tokens):
        word = _lower(token[0])
        next_word = _lower(tokens[place + 1][0]) if place + 1 < len(tokens) else ""
        is_negation = word in WORDS["negations"] and (begins_clause or next_word == "interested")
        is_separator = is_negation or continues or _separates(tokens, place)
        continues = is_negation and next_word in WORDS["continued"]
        if is_negation and not continues:
            is_unwanted = True
        if is_separator:
            found += _phrase_of(text, run, is_unwanted and not is_negation)
            run = []
        else:
            run.append(token)
        if word == "\n":  # "Not interested in:" holds for the list below it.
            is_list = is_list or (is_unwanted and text[: token.start()].endswith(":"))
            is_list = is_list and next_word in BULLETS
        if word in ADVERSATIVES or (word in SENTENCE_END and not (word == "\n" and is_list)):
            is_unwanted = False
        is_boundary = is_separator and (not word[0].isalnum() or word in CONJUNCTIONS)
        begins_clause = is_boundary or (begins_clause and word in BEFORE_NEGATION)
    found += _phrase_of(text, run, is_unwanted)
    return tuple(phrase for phrase in found if phrase.text.casefold() not in struck)


def toggle(text: str, phrase: str) -> str:
    """Return a text in which a phrase is struck out wherever it stands, or is so no more."""
    if any(struck.text.casefold() == phrase.casefold() for struck in struck_phrases(text)):
        return STRUCK.sub(
            lambda match: match[1] if match[1].casefold() == phrase.casefold() else match[0], text
        )
    for found in reversed(phrases(text)):
        if found.text.casefold() == phrase.casefold():
            text = f"{text[: found.start]}~~{text[found.start : found.end]}~~{text[found.end :]}"
    return text


def _tokens(text: str) -> list[re.Match[str]]:
    return [*TOKEN.finditer(text.replace("’", "'"))]


def _lower(word: str) -> str:
    """Return a word in lower case. Acronyms are other words: "IT", "US"."""
    return word if len(word) > 1 and word.isupper() else word.lower()


def _blanked(pattern: re.Pattern[str], text: str) -> str:
    """Return a text of the same length, with punctuation in place of the matches."""
    return pattern.sub(lambda match: "|" * len(match[0]), text)


def _is_speaker(tokens: list[re.Match[str]], place: int) -> bool:
    """Return whether a word is a speaker's. "I" is a numeral in "type I interferon"."""
    word = tokens[place][0]
    if word.lower() != "i":
        return _lower(word) in WORDS["speakers"]
    after = tokens[place + 1][0].lower() if place + 1 < len(tokens) else ""
    before = tokens[place - 1][0].lower() if place else ""
    is_subject = before.isalnum() and before not in NO_SUBJECTS
    return after[:1].isalpha() and not is_subject


def _separates(tokens: list[re.Match[str]], place: int) -> bool:
    word = tokens[place][0]
    is_punctuation = not word[0].isalnum()
    return is_punctuation or _lower(word) in WORDS["separators"] or _is_speaker(tokens, place)


def _phrase_of(text: str, run: list[re.Match[str]], is_unwanted: bool) -> list[Phrase]:
    """Return the phrase of adjacent words without edges, if any is left."""
    words = [_lower(token[0]) for token in run]
    starts = [
        place
        for place, word in enumerate(words)
        if word not in BEGINNINGS and (len(word) > 1 or run[place][0].isupper())
    ]
    if not starts or WORDS["names"].intersection(words):
        return []
    last = max(place for place, word in enumerate(words) if word not in EDGES)
    start, end = run[starts[0]].start(), run[last].end()
    is_initial = end - start == 1
    phrase = Phrase(" ".join(text[start:end].split()), start, end, is_unwanted)
    return [] if is_initial else [phrase]
