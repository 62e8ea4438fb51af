"""Learn from a subscriber's feedback: a linear model over a few hundred terms.

The model is a ridge regression of liked papers against all others on the TF-IDF vectors of the
corpus, solved in the shared latent space: for the profile q (the mean of the liked papers),
w = q - V diag(e / (e + λ)) Vᵀ q up to a factor, where V are the latent directions and e the share
that each explains. So features that many papers share weigh less, and the less, the more papers
are liked. While they are few, words of similar older papers tell more of what they are about.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from scipy import sparse

from digest.ranking.candidates import CandidateSet
from digest.ranking.model import WIDTH, TfidfModel, Vectors, normalized, word_column
from digest.ranking.relevance import expanded

MAX_TERMS = 300  # Of one subscriber, the heaviest.
DISLIKED_WEIGHT = 0.4  # What a disliked paper counts against a liked one.
LIBRARY_WEIGHT = 10  # A whole library counts as so many liked papers, so that feedback matters.
RIDGE = 0.0005  # λ, as a share of the documents' squared length.
#: For n liked papers, features that many papers share are reduced by the factor n / (n + DAMPING).
#: Expanded papers have the share DAMPING / (n + DAMPING), if n is at most MAX_EXPANDED.
DAMPING, MAX_EXPANDED = 3, 30
#: The weight of the latent similarity, and what is added to it for few papers with feedback.
LATENT_WEIGHT, LATENT_WEIGHT_OF_FEW = 0.2, 0.6
#: The log-odds that a paper is like the liked ones: the weights of the score, the cosine of
#: embeddings and the inverse number of liked papers, and the constant. One paper alone says little.
WITHOUT_EMBEDDING, WITH_EMBEDDING = (30.0, 0.0, -2.95, -5.65), (14.5, 7.1, -1.4, -5.95)


@dataclass(frozen=True)
class LearnedProfile:
    """A preference model: `weights` of `terms`, from so many `liked` papers.

    The terms are in the order of display: neither the rarest nor the most common come first.
    `embedding`: the mean of the liked papers' embeddings, or nothing.
    """

    terms: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    liked: int = 0
    embedding: tuple[float, ...] = ()

    @cached_property
    def columns(self) -> np.ndarray:
        """The features of its terms, (n_terms,)."""
        return np.array([*map(word_column, self.terms)], dtype=np.int32)


def learn(
    model: TfidfModel,
    liked: Sequence[str],
    disliked: Sequence[str] = (),
    removed: Collection[str] = (),
    library: Sequence[str] = (),
    shares: Sequence[float] = (),
    embedding: Sequence[float] = (),
) -> LearnedProfile:
    """Fit a preference model to texts of papers, without `removed` terms.

    Papers of the `library` were known before: together they count as LIBRARY_WEIGHT liked papers.
    `shares`: how much each of them counts among these, at most 1; the same by default.
    """
    likes = model.read([*liked, *library])
    counts = np.ones(len(likes), np.float32)
    library_shares = np.array(shares or [1.0] * len(library))
    counts[len(liked) :] = library_shares * min(1, LIBRARY_WEIGHT / max(library_shares.sum(), 1))
    liked_mean = _mean(model, likes, counts)
    if 0 < len(likes) <= MAX_EXPANDED:
        expanded_mean = _mean(model, expanded(model.background(), likes), counts)
        liked_mean += DAMPING / (len(likes) + DAMPING) * (expanded_mean - liked_mean)
    disliked_mean = _mean(model, model.read(disliked), np.ones(len(disliked), np.float32))
    # What a disliked paper has in common with the liked ones is no reason to dislike it.
    profile = liked_mean - DISLIKED_WEIGHT * np.maximum(disliked_mean - liked_mean, 0)
    profile[np.isin(model.stems_, [*removed])] = 0
    return _learned(model, profile, len(liked) + len(library), embedding)


def learn_each(
    model: TfidfModel,
    likes: Vectors,
    groups: Sequence[np.ndarray],
    embeddings: Sequence[Sequence[float]],
) -> list[LearnedProfile]:
    """Return a preference model for each group of papers, as `learn` fits it to liked ones.

    `groups`: the rows of each group's papers. `embeddings`: of each paper, or nothing.
    """
    words = model.known_words(likes.features)
    expanded_words = model.known_words(expanded(model.background(), likes).features)
    learned = []
    for rows in groups:
        share = DAMPING / (len(rows) + DAMPING) * (len(rows) <= MAX_EXPANDED)
        profile = (1 - share) * words[rows].mean(axis=0) + share * expanded_words[rows].mean(axis=0)
        known = [embeddings[row] for row in rows.tolist() if embeddings[row]]
        embedding = np.mean(known, axis=0).tolist() if known else ()
        learned.append(_learned(model, np.asarray(profile).ravel(), len(rows), embedding))
    return learned


def _learned(
    model: TfidfModel, profile: np.ndarray, liked: int, embedding: Sequence[float]
) -> LearnedProfile:
    """Return the preference model of the heaviest words of a profile, (n_words,)."""
    used = np.flatnonzero((profile != 0) & model.subjects_)
    heaviest = used[np.lexsort((used, -np.abs(profile[used])))[:MAX_TERMS]]
    # In an order in which names of single methods, which are rare, don't come first.
    order = np.argsort(-np.abs(profile[heaviest]) / np.sqrt(model.word_weights[heaviest]))
    columns = heaviest[order]
    weights = profile[columns] / max(float(np.linalg.norm(profile[columns])), 1e-9)
    terms = tuple(model.stems_[columns].tolist())
    rounded = tuple(round(float(weight), 4) for weight in weights)
    return LearnedProfile(terms, rounded, liked, tuple(embedding))


def _mean(model: TfidfModel, papers: Vectors, counts: np.ndarray) -> np.ndarray:
    """Return the mean of the papers' words, each paper counted so much, (n_words,)."""
    return np.asarray(counts @ model.known_words(papers.features)) / max(float(counts.sum()), 1e-9)


def vectors_of(model: TfidfModel, learned: Sequence[LearnedProfile]) -> Vectors:
    """Return preference models as vectors of words, shape (n_models, WIDTH)."""
    columns = np.concatenate([profile.columns for profile in learned])
    weights = np.fromiter(chain.from_iterable(profile.weights for profile in learned), np.float32)
    ends = np.cumsum([0, *(len(profile.terms) for profile in learned)])
    shape = len(learned), WIDTH
    features = normalized(sparse.csr_matrix((weights, columns, ends), shape=shape))
    return Vectors(features, model.latent(features))


def learned_scores(
    model: TfidfModel, papers: Vectors, learned: Sequence[LearnedProfile]
) -> np.ndarray:
    """Return how much subscribers would like each paper, in [-1, 1], (n_models, n_papers)."""
    if not learned:  # As in most previews.
        return np.zeros((0, len(papers)))
    vectors = vectors_of(model, learned)
    liked = np.array([max(profile.liked, 1) for profile in learned])[:, None]
    scores = (papers.columns.narrowed(vectors.features) @ papers.columns.by_feature).toarray()
    shrinkage = model.explained_ / (model.explained_ + RIDGE)
    scores -= liked / (liked + DAMPING) * ((vectors.latent * shrinkage) @ papers.latent.T)
    latent_weight = LATENT_WEIGHT + LATENT_WEIGHT_OF_FEW / liked
    scores += latent_weight * (vectors.directions @ papers.directions.T)
    return np.clip(scores / (1 + latent_weight), -1, 1)


def likeness(
    scores: np.ndarray, candidates: CandidateSet, learned: Sequence[LearnedProfile]
) -> np.ndarray:
    """Return the log-odds that each paper is like the liked ones, given the learned scores.

    Shape (n_models, n_papers). Nothing is like no liked papers.
    """
    has_embedding, cosines = np.zeros(scores.shape, bool), np.zeros(scores.shape)
    rows = [row for row, profile in enumerate(learned) if profile.embedding]
    if rows and candidates.has_embedding.any():
        has_embedding[rows] = candidates.has_embedding
        cosines[rows] = candidates.cosines(np.array([learned[row].embedding for row in rows]))
    liked = np.array([profile.liked for profile in learned]).reshape(-1, 1)
    # As for topics, a title shares too much by one word.
    inputs = scores * candidates.fullness, cosines, 1 / np.maximum(liked, 1), 1.0
    log_odds = [sum(map(np.multiply, w, inputs)) for w in (WITH_EMBEDDING, WITHOUT_EMBEDDING)]
    return np.where(liked > 0, np.where(has_embedding, *log_odds), -np.inf)
