"""Operators of other search engines in a topic's text, which have no effect there."""

import re

from digest.ranking.query import QUOTED, QUOTES, SHORT_TEXT

#: In capitals, before a word.
OPERATOR = re.compile(r"(?<=\S\s)(?:AND|OR)(?=\s\S)|\bNOT(?=\s\S|\()")
#: Ways to exclude something in a short topic. In a sentence, most of these describe the subject.
BUT = re.compile(
    r"(?:[,;]\s*(?:but\s+)?|\bbut\s+)(?:not?|except|excluding|without)\s+\w|\s(?:except|excluding)\s+\w",
    re.IGNORECASE,
)
MAX_FEW_WORDS = 8
#: Ways to exclude something in a topic of any length.
BUT_NOT = re.compile(
    r"\bbut\s+(?:not?|nothing)\s+(?!only\b)\w|[\s,;](?:except|excluding)\s+\w", re.IGNORECASE
)


def operators(topic: str) -> list[str]:
    """Return which of AND, OR and NOT a topic's text contains, each once and in order.

    >>> operators("graphs OR molecules"), operators('"AND gates", schedules of the OR')
    (['OR'], [])
    >>> operators("graphs, but not molecules"), operators("not only graphs")
    (['NOT'], [])
    >>> operators("how robots learn from videos of people, but not how cars are driven")
    ['NOT']
    """
    unquoted = QUOTED.sub("x", topic.translate(QUOTES))
    words = OPERATOR.findall(unquoted)
    is_short = len(unquoted.split()) <= MAX_FEW_WORDS
    if (BUT if is_short else BUT_NOT).search(unquoted) and len(unquoted) <= SHORT_TEXT:
        words.append("NOT")
    return list(dict.fromkeys(words))
