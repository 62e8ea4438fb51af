"""How the words of preference models are shown: as papers spell them, and compounds together."""

from collections.abc import Sequence

import numpy as np

from digest.ranking.model import TfidfModel, bigram_column, word_column

#: Terms that may be joined to compounds, and how often two must be adjacent, if either occurs.
COMPOUNDS, MIN_SHARE = 40, 0.4
UNKNOWN = np.array([-1])  # No feature: its idf is the highest.


def written(model: TfidfModel, terms: Sequence[str]) -> list[str]:
    """Return the spelling of terms. Adjacent terms share one: "voice conversion" for "voice" and
    for "conversion".
    """
    listed = terms[:COMPOUNDS]
    columns = np.array([[bigram_column(a, b) for b in listed] for a in listed])
    columns = columns.reshape(len(listed), len(listed))
    idf = model.idf(np.array([*map(word_column, listed)], int))
    # The idf is the logarithm of a frequency: this difference is a ratio.
    rarer = np.maximum(idf, idf[:, None])
    adjacent = (model.idf(columns) <= rarer - np.log(MIN_SHARE)) & (rarer < model.idf(UNKNOWN) - 2)
    adjacent &= ~np.eye(len(listed), dtype=bool)
    likely = np.where(adjacent, model.idf(columns), np.inf)
    closest = likely.argmin(axis=1).tolist() if listed else []
    next_terms = {listed[a]: listed[b] for a, b in enumerate(closest) if adjacent[a, b]}
    words: dict[str, str] = {}
    for first in listed:
        chain = [first] if first not in next_terms.values() else []
        while chain and (next_term := next_terms.get(chain[-1])) and next_term not in chain:
            chain.append(next_term)
        for term in chain:
            words.setdefault(term, " ".join(map(model.word, chain)))
    return [words.get(term) or model.word(term) for term in terms]
