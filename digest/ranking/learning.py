"""What a reader's more, less and saved teach: a linear model of her own over a few hundred terms.

The model is a ridge regression of "hers" against "anybody's" on the TF-IDF vectors of the corpus,
solved in the latent space that all readers share: for the profile q (the mean of what she likes),
w = q - V diag(e / (e + λ)) Vᵀ q up to a factor, where V are the latent directions and e what each
explains. What many papers have in common tells little of her, so it is taken down. So q is all that
is stored of a reader, and a word taken out of it is out of all.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from scipy import sparse

from digest.ranking.edition import Edition, unit
from digest.ranking.model import ABSENT, TfidfModel, unit_rows

WEIGHTS = 300  # So many terms of a reader are kept, the heaviest.
LESS = 0.4  # What a disliked paper counts against a liked one.
BEFORE = 10  # So many liked papers a whole library counts: what she says of new ones is heard.
RIDGE = 0.0005  # λ, as a share of the documents' squared length.
#: The latent similarity counts the more, the fewer papers she has said something of.
LATENT, LATENT_OF_FEW = 0.2, 0.6
#: From so many liked papers on, new ones may come on their account alone.
ENOUGH = 3
LEAST = 0.1  # Of a hundred new papers, about one scores more by any reader's model.


@dataclass(frozen=True)
class Learned:
    """A reader's own model: `weights` of `terms`, from so many `liked` papers.

    The terms are in an order to be told in: neither the rarest nor the most common come first.

    A paper that scores `floor` or more is like those that she likes: a quarter of them score less
    when each is measured by the others. Infinite where there are too few of them to say.
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
    """Return what papers teach, given as texts, without the terms that she `removed`.

    A text whose last line is empty is a title without an abstract.
    Those of her `library` she knew before, so all of them together count as BEFORE that she likes.
    """
    likes, dislikes = model.transform([*liked, *library]), model.transform(disliked)
    counts = np.ones(likes.shape[0], np.float32)
    counts[len(liked) :] = min(1, BEFORE / max(len(library), 1))
    hers, not_hers = _mean(likes, counts), _mean(dislikes, np.ones(len(disliked), np.float32))
    # What a disliked paper has in common with the liked ones is no reason to dislike it.
    profile = (hers - LESS * (not_hers - hers).maximum(0)).tocsr()
    known = ~np.isin(model.terms_[profile.indices], list(removed)) & (profile.data != 0)
    columns, weights = profile.indices[known], profile.data[known]
    heaviest = np.lexsort((columns, -np.abs(weights)))[:WEIGHTS]
    # Told in an order in which the names of single methods, which are rare, don't come first.
    told = np.argsort(-np.abs(weights[heaviest]) / np.sqrt(model.weights_[columns[heaviest]]))
    columns, weights = columns[heaviest][told], weights[heaviest][told]
    weights = weights / max(float(np.linalg.norm(weights)), 1e-9)
    return Learned(
        tuple(model.terms_[columns].tolist()),
        tuple(round(float(weight), 4) for weight in weights),
        len(liked) + len(library),
        _floor(model, likes, np.array([not text.endswith("\n") for text in (*liked, *library)])),
    )


def _mean(rows: sparse.csr_matrix, counts: np.ndarray) -> sparse.csr_matrix:
    """Return the mean of the rows, of which each counts as much as that."""
    return sparse.csr_matrix(counts[None, :] / max(float(counts.sum()), 1e-9)) @ rows


def _floor(model: TfidfModel, likes: sparse.csr_matrix, is_whole: np.ndarray) -> float:
    """Return the lower quartile of what the liked papers score, each measured by the others.

    New papers come with their abstracts: titles alone are nearer to each other than these can be.
    """
    count = likes.shape[0]
    if count < ENOUGH:
        return np.inf
    others = sparse.csr_matrix(
        np.ones((count, count), np.float32) - np.eye(count, dtype=np.float32)
    )
    profiles = unit_rows((others @ likes).tocsr())
    latent = model.latent(likes)
    of_others = np.full(count, count - 1)
    scores = _scores(model, profiles, of_others, likes.T, latent, unit(latent))
    whole = np.diag(scores)[is_whole]
    usual = round(float(np.percentile(whole, 25)), 4) if len(whole) >= ENOUGH else 0
    # Where she likes all kinds of papers, what is like them must be like them still.
    return max(LEAST + LEAST / count, usual)


def vectors_of(model: TfidfModel, learned: Sequence[Learned]) -> sparse.csr_matrix:
    """Return readers' own weights as rows of unit length, shape (n_readers, n_terms).

    Terms that the model doesn't have (any more) are left out.
    """
    columns = model.columns(chain.from_iterable(one.terms for one in learned))
    weights = np.fromiter(chain.from_iterable(one.weights for one in learned), np.float32)
    rows = np.repeat(np.arange(len(learned)), [len(one.terms) for one in learned])
    known = columns != ABSENT
    entries = (weights[known], (rows[known], columns[known]))
    return unit_rows(sparse.csr_matrix(entries, shape=(len(learned), len(model.terms_))))


def learned_scores(
    model: TfidfModel, edition: Edition, vectors: sparse.csr_matrix, liked: np.ndarray
) -> np.ndarray:
    """Return how much readers would like each paper, in [-1, 1], shape (n_readers, n_papers)."""
    if not vectors.shape[0]:  # Most previews are of nobody who taught anything.
        return np.zeros((0, len(edition)))
    papers = edition.columns, edition.latent, edition.directions
    return _scores(model, vectors, liked, *papers)


def _scores(
    model: TfidfModel,
    vectors: sparse.csr_matrix,
    liked: np.ndarray,
    columns: sparse.csr_matrix,
    latent: np.ndarray,
    directions: np.ndarray,
) -> np.ndarray:
    scores = (vectors @ columns).toarray()
    if not latent.shape[1]:
        return np.clip(scores, -1, 1)
    profiles = model.latent(vectors)
    common = model.explained_ / (model.explained_ + RIDGE)
    share = (LATENT + LATENT_OF_FEW / np.maximum(liked, 1))[:, None]
    scores -= (profiles * common) @ latent.T
    scores += (share * unit(profiles)).astype(np.float32) @ directions.T
    return np.clip(scores / (1 + share), -1, 1)
