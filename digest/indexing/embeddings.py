"""Sentence embeddings of papers: computed in the background, stored as rows, read as arrays.

Without SEMANTIC_MODEL, or if its model cannot be used, there are none, and all else goes on.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import lru_cache
from itertools import batched
from pathlib import Path
from time import monotonic

import numpy as np
from django.conf import settings
from django.db import IntegrityError
from django.db.models import Exists, OuterRef
from django.utils import timezone

from digest.indexing.encoder import Encoder, EncoderError, paper_text
from digest.models import Paper, PaperEmbedding
from digest.models.locks import Lease
from digest.models.papers import PaperQuerySet

logger = logging.getLogger(__name__)

STORED = np.dtype("<f2")
LENGTH_TOLERANCE = 0.01  # A stored vector may be so much longer or shorter than 1.
BATCH = 32  # Papers whose vectors are computed and committed together.
LIST_SIZE = 1_000  # Papers after which those that came in meanwhile are looked for.
READ_BATCH = 2_000  # Rows read by one query.
LEASE = timedelta(minutes=5)  # Longer than a batch takes.

_loaded: dict[tuple[str, Path], Encoder] = {}
_logged: set[str] = set()  # Reasons why the model could not be used.


# ---- The model


def load(*, download: bool = False, threads: int = 1) -> Encoder:
    """Return the model of SEMANTIC_MODEL, loaded once a process. Raises EncoderError.

    It may take `threads` cores, 0 for all, from when it is loaded.
    """
    key = settings.SEMANTIC_MODEL, settings.DATA_DIR / "semantic"
    if key not in _loaded:
        _loaded[key] = Encoder.load(*key, download=download, threads=threads)
    return _loaded[key]


def encoder(*, download: bool = False) -> Encoder | None:
    """Return the model, or None without one. A reason why not is logged once a process."""
    if not settings.SEMANTIC_MODEL:
        return None
    try:
        return load(download=download)
    except EncoderError as error:
        if str(error) not in _logged:
            logger.error("Papers are ranked without embeddings: %s", error)
            _logged.add(str(error))
        return None


# ---- Reading


def vectors_of(ids: Sequence[str]) -> np.ndarray:
    """Return the vectors of papers, float32, shape (n_ids, n_dimensions): zeros for a paper that
    has none. Without a model, n_dimensions is 0.
    """
    model = encoder()
    vectors = np.zeros((len(ids), model.dimensions if model else 0), np.float32)
    if model is None:
        return vectors
    embeddings = PaperEmbedding.objects.filter(model=model.identity)
    for start, batch in zip(range(0, len(ids), READ_BATCH), batched(ids, READ_BATCH), strict=True):
        vector_by_id = dict(embeddings.filter(pk__in=batch).values_list("pk", "vector"))
        rows = [row for row, pk in enumerate(batch, start) if pk in vector_by_id]
        vectors[rows] = _decoded([vector_by_id[ids[row]] for row in rows], model.dimensions)
    return vectors


def _decoded(stored_vectors: Iterable[bytes], dimensions: int) -> np.ndarray:
    """Return stored vectors as rows, zeros for invalid ones (wrong size or length, not finite)."""
    size = dimensions * STORED.itemsize
    content = b"".join(vector if len(vector) == size else bytes(size) for vector in stored_vectors)
    with np.errstate(invalid="ignore"):  # Random bytes may be signalling NaNs.
        vectors = np.frombuffer(content, STORED).reshape(-1, dimensions).astype(np.float32)
        lengths = np.linalg.norm(vectors, axis=1)
    vectors[~(np.abs(lengths - 1) <= LENGTH_TOLERANCE)] = 0  # NaN is not <= either.
    return vectors


def encode_queries(texts: Sequence[str]) -> np.ndarray:
    """Return the vectors of short texts, as `vectors_of`. Caches 10,000."""
    model = encoder()
    if model is None or not texts:
        return np.zeros((len(texts), model.dimensions if model else 0), np.float32)
    return np.stack([_query(model, text) for text in texts])


@lru_cache(maxsize=10_000)
def _query(model, text):
    return model.encode_queries([text])[0]


# ---- Computing


def first_day(now) -> date:
    """Return the first day of the papers that get a vector."""
    return timezone.localdate(now) - timedelta(days=settings.CORPUS_DAYS - 1)


def without_vector(model: Encoder, since: date) -> PaperQuerySet:
    """Return the papers since this day that have no vector of this model and of their present
    state, newest first.
    """
    embeddings = PaperEmbedding.objects.filter(pk=OuterRef("pk"), model=model.identity)
    present_vectors = embeddings.filter(changed_at=OuterRef("changed_at"))
    return Paper.objects.filter(~Exists(present_vectors), day__gte=since).order_by("-day", "pk")


def embed_missing(
    now,
    *,
    since: date | None = None,
    seconds: float = float("inf"),
    is_stopping: Callable[[], bool] = lambda: False,
    on_batch: Callable[[int], object] = lambda count: None,
) -> int:
    """Compute and store missing vectors, newest papers first. Return how many.

    Of the papers of the corpus window, or `since` a day. Stops after so many seconds, or when the
    process `is_stopping`. Each batch is committed, and reported to `on_batch` by its size. If
    another process is computing, it returns 0 at once.
    """
    model = encoder(download=True)
    lease = Lease("embeddings", LEASE)
    if model is None or not lease.acquire():
        return 0
    since, ends_at, count = since or first_day(now), monotonic() + seconds, 0
    try:
        while ids := list(without_vector(model, since).values_list("pk", flat=True)[:LIST_SIZE]):
            for batch in batched(ids, BATCH):
                if monotonic() >= ends_at or is_stopping() or not lease.renew():
                    return count
                with suppress(IntegrityError):  # A paper was deleted meanwhile.
                    count += _embed(model, batch)
                on_batch(len(batch))
        return count
    finally:
        lease.release()


def _embed(model, ids):
    papers = Paper.objects.filter(pk__in=ids).values_list("pk", "changed_at", "title", "abstract")
    rows = list(papers)
    vectors = model.encode([paper_text(title, abstract) for *_, title, abstract in rows])
    PaperEmbedding.objects.bulk_create(
        [
            PaperEmbedding(
                paper_id=pk,
                model=model.identity,
                changed_at=changed_at,
                vector=vector.astype(STORED).tobytes(),
            )
            for (pk, changed_at, *_), vector in zip(rows, vectors, strict=True)
        ],
        update_conflicts=True,
        unique_fields=["paper"],
        update_fields=["model", "changed_at", "vector"],
    )
    return len(rows)
