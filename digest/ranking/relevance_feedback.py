"""What a subscriber's more, less and saved teach: a linear model over a few hundred terms.

The model is a ridge regression of "theirs" against "anybody's" on the TF-IDF vectors of the corpus,
solved in the latent space that all share: for the profile q (the mean of what they like),
w = q - V diag(e / (e + λ)) Vᵀ q up to a factor, where V are the latent directions and e what each
explains. What many papers have in common tells little of a person, so it is taken down: the more,
the more papers they like.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from scipy import sparse

from digest.ranking.model import WIDTH, TfidfModel, Vectors, bigram_column, normalized, word_column

MAX_TERMS = 300  # Of one subscriber, the heaviest.
LESS = 0.4  # What a disliked paper counts against a liked one.
LIBRARY = 10  # So many liked papers a whole library counts: what they say of new ones is heard.
RIDGE = 0.0005  # λ, as a share of the documents' squared length.
FEW = 3  # The common is taken down by n / (n + FEW) for n liked papers.
#: The latent similarity counts the more, the fewer papers they have said something of.
LATENT, LATENT_OF_FEW = 0.2, 0.6
ENOUGH = 3  # From so many liked papers on, new ones may come on their account alone,
#: Of so many terms, two are told as one that stand side by side so often, where either is said.
COMPOUNDS, BESIDE = 40, 0.4
UNKNOWN = np.array([-1])  # No feature: its idf is the highest.
RARE = 0.005  # if they are more like them than all but this share of older papers,
ALIKE = 0.4  # or, where these are too few to tell, so much as what they like mostly is.


@dataclass(frozen=True)
class Learned:
    """A subscriber's own model: `weights` of `terms`, from so many `liked` papers.

    The terms are in an order to be told in: neither the rarest nor the most common come first. A
    paper that scores `floor` or more is like those that they like; infinite where too few are.
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
) -> Learned:
    """Return what papers teach, given as texts, without the terms that they `removed`.

    Those of the `library` they knew before: all of them together count as LIBRARY that they like.
    """
    likes = model.read([*liked, *library])
    counts = np.ones(len(likes), np.float32)
    counts[len(liked) :] = min(1, LIBRARY / max(len(library), 1))
    theirs = _mean(model, likes, counts)
    not_theirs = _mean(model, model.read(disliked), np.ones(len(disliked), np.float32))
    # What a disliked paper has in common with the liked ones is no reason to dislike it.
    profile = theirs - LESS * np.maximum(not_theirs - theirs, 0)
    profile[np.isin(model.stems_, [*removed]) | ~model.subjects_] = 0
    heaviest = np.lexsort((np.arange(len(profile)), -np.abs(profile)))[:MAX_TERMS]
    heaviest = heaviest[profile[heaviest] != 0]
    # Told in an order in which the names of single methods, which are rare, don't come first.
    told = np.argsort(-np.abs(profile[heaviest]) / np.sqrt(model.word_weights[heaviest]))
    columns = heaviest[told]
    weights = profile[columns] / max(float(np.linalg.norm(profile[columns])), 1e-9)
    learned = Learned(
        tuple(model.stems_[columns].tolist()),
        tuple(round(float(weight), 4) for weight in weights),
        len(liked) + len(library),
    )
    return replace(learned, floor=_floor(model, learned, likes))


def written(model: TfidfModel, terms: Sequence[str]) -> list[str]:
    """Return how terms are written: "voice" and "conversion" both as "voice conversion" where they
    mostly stand side by side.
    """
    some = terms[:COMPOUNDS]
    columns = np.array([[bigram_column(a, b) for b in some] for a in some]).reshape(
        len(some), len(some)
    )
    idf = model.idf(np.array([*map(word_column, some)], int))
    # The idf is the logarithm of a frequency: this difference is a ratio.
    rarer = np.maximum(idf, idf[:, None])
    beside = (model.idf(columns) <= rarer - np.log(BESIDE)) & (rarer < model.idf(UNKNOWN) - 2)
    beside &= ~np.eye(len(some), dtype=bool) & ~np.isin(some, [*model.acronyms_])
    likely = np.where(beside, model.idf(columns), np.inf)
    closest = likely.argmin(axis=1).tolist() if some else []
    after = {some[a]: some[b] for a, b in enumerate(closest) if beside[a, b]}
    words: dict[str, str] = {}
    for first in some:
        chain = [first] if first not in after.values() else []
        while chain and (following := after.get(chain[-1])) and following not in chain:
            chain.append(following)
        for term in chain:
            words.setdefault(term, " ".join(map(model.word, chain)))
    return [words.get(term) or model.word(term) for term in terms]


def _mean(model: TfidfModel, papers: Vectors, counts: np.ndarray) -> np.ndarray:
    """Return the mean of the papers' words, each paper counted so much, (n_words,)."""
    return np.asarray(counts @ model.known_words(papers.features)) / max(float(counts.sum()), 1e-9)


def _floor(model: TfidfModel, learned: Learned, likes: Vectors) -> float:
    """Return the score that few older papers reach."""
    if learned.liked < ENOUGH:
        return np.inf
    scores = learned_scores(model, model.background(), [learned])[0]
    few = int(RARE * len(scores))
    if few < ENOUGH:
        return ALIKE * float(np.median(learned_scores(model, likes, [learned])))
    return float(np.sort(scores)[max(len(scores) - learned.liked - few - 1, 0)])


def vectors_of(model: TfidfModel, learned: Sequence[Learned]) -> Vectors:
    """Return own models as vectors of words, shape (n_models, WIDTH)."""
    columns = np.fromiter(map(word_column, chain.from_iterable(one.terms for one in learned)), int)
    weights = np.fromiter(chain.from_iterable(one.weights for one in learned), np.float32)
    rows = np.repeat(np.arange(len(learned)), [len(one.terms) for one in learned])
    shape = len(learned), WIDTH
    features = normalized(sparse.csr_matrix((weights, (rows, columns)), shape=shape))
    return Vectors(features, model.latent(features))


def learned_scores(model: TfidfModel, papers: Vectors, learned: Sequence[Learned]) -> np.ndarray:
    """Return how much subscribers would like each paper, in [-1, 1], (n_models, n_papers)."""
    if not learned:  # Most previews are of nobody who taught anything.
        return np.zeros((0, len(papers)))
    own = vectors_of(model, learned)
    liked = np.array([max(one.liked, 1) for one in learned])[:, None]
    scores = (papers.columns.narrowed(own.features) @ papers.columns.by_feature).toarray()
    common = model.explained_ / (model.explained_ + RIDGE)
    scores -= liked / (liked + FEW) * ((own.latent * common) @ papers.latent.T)
    share = LATENT + LATENT_OF_FEW / liked
    scores += share * (own.directions @ papers.directions.T)
    return np.clip(scores / (1 + share), -1, 1)
