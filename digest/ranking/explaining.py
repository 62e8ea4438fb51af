"""The words behind a choice: those that weighed most, as people write them.

Words that the paper says side by side are one: "graph neural networks, molecules".
"""

import re
from collections.abc import Callable, Collection, Mapping
from itertools import compress, permutations

import numpy as np
from scipy import sparse

from digest.ranking import text
from digest.ranking.edition import Edition
from digest.ranking.model import ABSENT, TfidfModel
from digest.ranking.query import SHORT_TEXT, Query, queries

WORDS = 3
MOST = 0.5  # Of the terms of a text.
HYPHEN = re.compile(text.HYPHEN)


def words_behind_query(
    model: TfidfModel, edition: Edition, query: Query, paper: int
) -> tuple[str, ...]:
    """Return the words of the query that weigh most in this paper, as the reader wrote them.

    In her order as well, whichever of them is the rarest. Light ones come with a heavy neighbour.
    """
    start, end = edition.vectors.indptr[paper : paper + 2]
    said, weights = edition.vectors.indices[start:end], edition.vectors.data[start:end]
    cache = edition.cached("asked")
    asked = cache.get(query)
    if asked is None:
        asked = cache[query] = model.columns(query.distinct), _as_she_wrote(model, query)
    columns, hers = asked
    places = np.minimum(np.searchsorted(said, columns), max(len(said) - 1, 0))
    if not len(said):
        return ()
    heard = np.flatnonzero(said[places] == columns)
    weighed = weights[places[heard]] * model.weights_[columns[heard]]
    terms = query.distinct
    ranked: dict[str, int] = {}  # The heaviest first.
    for place in heard[np.argsort(-weighed, kind="stable")].tolist():
        ranked[hers[terms[place]]] = place
    for word in [*ranked]:
        if any(word != other and word in HYPHEN.split(other) for other in ranked):
            del ranked[word]  # "in-context" says "context".
    in_order = {word: terms[ranked[word]] for word in sorted(ranked, key=ranked.__getitem__)}
    phrases = _side_by_side(model, in_order, edition.in_a_row(paper))
    rank = {word: number for number, word in enumerate(ranked)}
    heaviest = sorted(phrases, key=lambda phrase: min(rank[word] for word in phrase))[:WORDS]
    said_as_one = (" ".join(phrase) for phrase in phrases if phrase in heaviest)
    return tuple(_with_hyphens(phrase, query) for phrase in said_as_one)


def _with_hyphens(phrase: str, query: Query) -> str:
    """Return words that stand side by side with the hyphens that the reader wrote between them."""
    for hyphenated in text.hyphenated(query.text):
        apart = HYPHEN.sub(" ", hyphenated)
        phrase = re.sub(rf"(?<!\S){re.escape(apart)}(?!\S)", hyphenated, phrase)
    return phrase


def _as_she_wrote(model: TfidfModel, query: Query) -> dict[str, str]:
    """Return, for each term of a query, the word that she wrote for it, with its letter or number:
    "T cells", "vitamin D", "type 2". For what an acronym stands for, that is the acronym.
    """
    hers = text.as_written(query.text)
    for acronym in model.acronyms_.keys() & hers.keys():
        hers = dict.fromkeys(model.acronyms_[acronym], hers[acronym]) | hers
    for before, letter, after in query.lone:
        if len(letter) > 1 and text.term(letter):
            continue  # As "super" of "super resolution", which is said anyway.
        if before in hers and not letter.isalpha():
            number = rf"{text.LETTER}{{2,}}(?:{text.HYPHEN}|\s)*{re.escape(letter)}(?![^\W_])"
            for said in re.findall(number, query.text):
                hers |= {term: said for term, word in hers.items() if said.startswith(word)}
            continue
        as_she_does = letter.upper() if re.search(rf"\b{letter.upper()}\b", query.text) else letter
        if paired := re.search(rf"\w[/&]{letter}\b", query.text, re.IGNORECASE):
            as_she_does = paired[0]  # "A/B testing" is no "B testing".
        if after in hers:
            hers[after] = f"{as_she_does} {hers[after]}"
        elif before in hers:
            hers[before] = f"{hers[before]} {as_she_does}"
    return hers


def _side_by_side(model: TfidfModel, words: Mapping[str, str], said: str) -> list[list[str]]:
    """Return the words in order, those together whose terms follow each other in what is said.

    But for an acronym and what it stands for, which are read side by side: "federated learning
    (FL)" says no "FL federated". `words` are word -> term.
    """
    phrases: list[list[str]] = []
    terms = ""
    for word, term in words.items():
        meant = terms.split()
        stand_for = {long for one in (*meant, term) for long in model.acronyms_.get(one, ())}
        if phrases and f" {terms} {term} " in said and stand_for.isdisjoint((*meant, term)):
            phrases[-1].append(word)
            terms = f"{terms} {term}"
        else:
            phrases.append([word])
            terms = term
    return phrases


def words_unheard(
    columns_of: Callable[[list[str]], np.ndarray], asked: str, but: Collection[str] = ()
) -> list[str]:
    """Return the words of a text of which no paper has the term, as the reader wrote them: those of
    a part that papers have in none of the ways to write it. Parts that are in `but` aside.
    """
    told: dict[str, list[str]] = {}
    for query in queries(asked):  # As she writes it first; others may write it otherwise.
        lacking = [] if query.part in but else _unheard(columns_of, query)
        told[query.part] = lacking and told.get(query.part, lacking)
    return list(dict.fromkeys(word for lacking in told.values() for word in lacking))


def _unheard(columns_of: Callable[[list[str]], np.ndarray], query: Query) -> list[str]:
    """What was pasted has names of its own: of that, nothing, unless most of it is unknown."""
    is_absent = columns_of(query.distinct) == ABSENT
    if len(query.text) > SHORT_TEXT and is_absent.mean() < MOST:
        return []
    hers = text.as_written(query.text)
    return [hers[term] for term in compress(query.distinct, is_absent)]


def words_behind_weights(
    model: TfidfModel, edition: Edition, vectors: sparse.csr_matrix, papers: np.ndarray
) -> list[tuple[str, ...]]:
    """Return, for each row of a reader's own weights and its paper, the words that weigh most.

    In the order in which the most of them stand side by side in the paper.
    """
    shared = vectors.multiply(edition.vectors[papers]).tocsr()
    behind = []
    for row in range(shared.shape[0]):
        start, end = shared.indptr[row : row + 2]
        heaviest = np.argsort(-shared.data[start:end], kind="stable")[:WORDS]
        columns = shared.indices[start:end][heaviest[shared.data[start:end][heaviest] > 0]]
        words = zip(model.words_[columns].tolist(), model.terms_[columns].tolist(), strict=True)
        said = edition.in_a_row(int(papers[row]))
        orders = [_side_by_side(model, dict(order), said) for order in permutations(words)]
        fewest = min(orders, key=lambda phrases: len(phrases))
        behind.append(tuple(map(" ".join, fewest)))
    return behind
