"""Learn from a subscriber's feedback: a linear model over a few hundred terms.

The model is a ridge regression of liked papers against all others on the TF-IDF vectors of the
corpus, solved in the shared latent space: for the profile q (the mean of the liked papers),
w = q - V diag(e / (e + λ)) Vᵀ q up to a factor, where V are the latent directions and e the share
that each explains. So features that many papers share weigh less, and the less, the more papers
are liked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy import sparse

from digest.ranking.model import WIDTH, TfidfModel, Vectors, bigram_column, normalized, word_column

MAX_TERMS = 300  # Of one subscriber, the heaviest.
DISLIKED_WEIGHT = 0.4  # What a disliked paper counts against a liked one.
LIBRARY_WEIGHT = 10  # A whole library counts as so many liked papers, so that feedback matters.
RIDGE = 0.0005  # λ, as a share of the documents' squared length.
DAMPING = 3  # The common is taken down by n / (n + DAMPING) for n liked papers.
#: The weight of the latent similarity, and what is added to it for few papers with feedback.
LATENT, LATENT_OF_FEW = 0.2, 0.6
ENOUGH = 3  # From so many liked papers on, the model alone may choose papers:
#: Terms that may be joined to compounds, and how often two must be adjacent, if either occurs.
COMPOUNDS, BESIDE = 40, 0.4
UNKNOWN = np.array([-1])  # No feature: its idf is the highest.
RARE = 0.005  # those with higher scores than all but this share of older papers,
MIN_LIKENESS = 0.4  # or, if those are too few, than this share of the liked papers' median.


@dataclass(frozen=True)
class LearnedProfile:
    """A preference model: `weights` of `terms`, from so many `liked` papers.

    The terms are in the order of display: neither the rarest nor the most common come first. A
    paper that scores `floor` or more is similar to the liked ones; infinite with too few of these.
    """

    terms: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    liked: int = 0
    floor: float = np.inf


def learn(
    model: TfidfModel,
    liked: Sequence[str],
    disliked: Sequence[str] = (),
    removed: Collection[str] = (),
    library: Sequence[str] = (),
    shares: Sequence[float] = (),
) -> LearnedProfile:
    """Fit a preference model to texts of papers, without `removed` terms.

    Papers of the `library` were known before: together they count as LIBRARY_WEIGHT liked papers.
    `shares`: how much each of them counts among these, at most 1; the same by default.
    """
    likes = model.read([*liked, *library])
    counts = np.ones(len(likes), np.float32)
    of_each = np.array(shares or [1.0] * len(library))
    counts[len(liked) :] = of_each * min(1, LIBRARY_WEIGHT / max(of_each.sum(), 1))
    theirs = _mean(model, likes, counts)
    not_theirs = _mean(model, model.read(disliked), np.ones(len(disliked), np.float32))
    # What a disliked paper has in common with the liked ones is no reason to dislike it.
    profile = theirs - DISLIKED_WEIGHT * np.maximum(not_theirs - theirs, 0)
    profile[np.isin(model.stems_, [*removed]) | ~model.subjects_] = 0
    heaviest = np.lexsort((np.arange(len(profile)), -np.abs(profile)))[:MAX_TERMS]
    heaviest = heaviest[profile[heaviest] != 0]
    # In an order in which names of single methods, which are rare, don't come first.
    order = np.argsort(-np.abs(profile[heaviest]) / np.sqrt(model.word_weights[heaviest]))
    columns = heaviest[order]
    weights = profile[columns] / max(float(np.linalg.norm(profile[columns])), 1e-9)
    learned = LearnedProfile(
        tuple(model.stems_[columns].tolist()),
        tuple(round(float(weight), 4) for weight in weights),
        len(liked) + len(library),
    )
    return replace(learned, floor=_floor(model, learned, likes))


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
    beside &= ~np.eye(len(listed), dtype=bool) & ~np.isin(listed, [*model.acronyms_])
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


def _mean(model: TfidfModel, papers: Vectors, counts: np.ndarray) -> np.ndarray:
    """Return the mean of the papers' words, each paper counted so much, (n_words,)."""
    return np.asarray(counts @ model.known_words(papers.features)) / max(float(counts.sum()), 1e-9)


def _floor(model: TfidfModel, learned: LearnedProfile, likes: Vectors) -> float:
    """Return the score that few older papers reach."""
    if learned.liked < ENOUGH:
        return np.inf
    scores = learned_scores(model, model.background(), [learned])[0]
    few = int(RARE * len(scores))
    if few < ENOUGH:
        return MIN_LIKENESS * float(np.median(learned_scores(model, likes, [learned])))
    return float(np.sort(scores)[max(len(scores) - learned.liked - few - 1, 0)])


def vectors_of(model: TfidfModel, learned: Sequence[LearnedProfile]) -> Vectors:
    """Return own models as vectors of words, shape (n_models, WIDTH)."""
    terms = [own.terms for own in learned]
    columns = np.fromiter(map(word_column, chain.from_iterable(terms)), int)
    weights = np.fromiter(chain.from_iterable(own.weights for own in learned), np.float32)
    rows = np.repeat(np.arange(len(learned)), list(map(len, terms)))
    shape = len(learned), WIDTH
    features = normalized(sparse.csr_matrix((weights, (rows, columns)), shape=shape))
    return Vectors(features, model.latent(features))


def learned_scores(
    model: TfidfModel, papers: Vectors, learned: Sequence[LearnedProfile]
) -> np.ndarray:
    """Return how much subscribers would like each paper, in [-1, 1], (n_models, n_papers)."""
    if not learned:  # As in most previews.
        return np.zeros((0, len(papers)))
    own = vectors_of(model, learned)
    liked = np.array([max(own.liked, 1) for own in learned])[:, None]
    scores = (papers.columns.narrowed(own.features) @ papers.columns.by_feature).toarray()
    common = model.explained_ / (model.explained_ + RIDGE)
    scores -= liked / (liked + DAMPING) * ((own.latent * common) @ papers.latent.T)
    share = LATENT + LATENT_OF_FEW / liked
    scores += share * (own.directions @ papers.directions.T)
    return np.clip(scores / (1 + share), -1, 1)
