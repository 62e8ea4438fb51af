"""How the words of preference models are shown: as papers spell them, and compounds together."""

from collections.abc import Sequence

import numpy as np

from digest.ranking.model import TfidfModel, bigram_column, word_column

#: How many terms may be joined, and the share of their occurrences in which two are adjacent.
MAX_CANDIDATES, MIN_SHARE = 40, 0.4
UNKNOWN = np.array([-1])  # No feature: its idf is the highest.


def spellings(model: TfidfModel, terms: Sequence[str]) -> list[str]:
    """Return the spelling of terms. Adjacent terms share one: "voice conversion" for "voice" and
    for "conversion".
    """
    candidates = terms[:MAX_CANDIDATES]
    columns = np.array([[bigram_column(a, b) for b in candidates] for a in candidates])
    bigram_idf = model.idf(columns.reshape(len(candidates), len(candidates)))
    idf = model.idf(np.array([*map(word_column, candidates)], int))
    # The idf is the logarithm of a frequency: this difference is a ratio.
    max_idf = np.maximum(idf, idf[:, None])
    adjacent = (bigram_idf <= max_idf - np.log(MIN_SHARE)) & (max_idf < model.idf(UNKNOWN) - 2)
    adjacent &= ~np.eye(len(candidates), dtype=bool)
    partners = np.where(adjacent, bigram_idf, np.inf).argmin(axis=1).tolist() if candidates else []
    next_terms = {candidates[a]: candidates[b] for a, b in enumerate(partners) if adjacent[a, b]}
    words: dict[str, str] = {}
    for first_term in (term for term in candidates if term not in next_terms.values()):
        compound = [first_term]
        while (next_term := next_terms.get(compound[-1])) and next_term not in compound:
            compound.append(next_term)
        for term in compound:
            words.setdefault(term, " ".join(map(model.word, compound)))
    return [words.get(term) or model.word(term) for term in terms]
