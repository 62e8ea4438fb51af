"""How the words of preference models are shown: as papers spell them, and compounds together."""

from collections.abc import Sequence

import numpy as np

from digest.ranking.model import TfidfModel, bigram_column, word_column

#: Terms that may be joined to compounds, and how often two must be adjacent, if either occurs.
COMPOUNDS, BESIDE = 40, 0.4
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
    beside = (model.idf(columns) <= rarer - np.log(BESIDE)) & (rarer < model.idf(UNKNOWN) - 2)
    beside &= ~np.eye(len(listed), dtype=bool)
    likely = np.where(beside, model.idf(columns), np.inf)
    closest = likely.argmin(axis=1).tolist() if listed else []
    after = {listed[a]: listed[b] for a, b in enumerate(closest) if beside[a, b]}
    words: dict[str, str] = {}
    for first in listed:
        chain = [first] if first not in after.values() else []
        while chain and (following := after.get(chain[-1])) and following not in chain:
            chain.append(following)
        for term in chain:
            words.setdefault(term, " ".join(map(model.word, chain)))
    return [words.get(term) or model.word(term) for term in terms]
