"""Fit the model on the corpus window, store it, and load it once a process.

A model is a file of arrays, never a pickle, with its checksum in the database. A damaged or missing
file, or one of an older format, is refused, and the model is fitted anew.
"""

import hashlib
import io
import logging
import zipfile
from datetime import timedelta
from itertools import batched, chain
from operator import itemgetter

import numpy as np
from django.conf import settings
from django.core.files.base import ContentFile
from django.utils import timezone

from digest.indexing import file_storage
from digest.indexing.file_storage import Damaged
from digest.models import FittedModel, Paper
from digest.ranking.model import MAX_DOCUMENTS, TfidfModel
from subscriptions.mail.plaintext import one_line

logger = logging.getLogger(__name__)

ONE_DAY = timedelta(days=1)
MIN_DOCUMENTS = 5_000  # Of any age: fewer have too few words.
READ_BATCH = 500  # Papers at a time.
MAX_FILES = 2  # That stay in the storage: a worker may still be reading the previous one.

_loaded: tuple[str, TfidfModel] | None = None
_logged_row = 0  # The model that this process last refused and logged.


class NotFitted(Exception):
    """There is no usable model, and the caller may not fit one."""


def document(title: str, abstract: str) -> str:
    """Return a paper's text for the model, in lines. The title counts twice."""
    title, abstract = one_line(title), one_line(abstract)
    return f"{title}\n{title}\n{abstract}"


def corpus(now) -> tuple[list[str], list[int]]:
    """Return the texts to fit a model on, and the ordinals of their days, ascending.

    The papers of the last CORPUS_DAYS, at least MIN_DOCUMENTS, counted from the newest paper that
    is not dated in the future.
    """
    papers = Paper.objects.order_by("-day", "pk")
    newest = papers.filter(day__lte=timezone.localdate(now) + ONE_DAY).first() or papers.first()
    if newest is None:
        return [], []
    first_day = newest.day - timedelta(days=settings.CORPUS_DAYS - 1)
    count = max(papers.filter(day__gte=first_day).count(), MIN_DOCUMENTS)
    ids = list(papers.values_list("pk", flat=True)[:count])
    if len(ids) > MAX_DOCUMENTS:  # Evenly spread.
        ids = [ids[number * len(ids) // MAX_DOCUMENTS] for number in range(MAX_DOCUMENTS)]
    fields = Paper.objects.values_list("day", "pk", "title", "abstract")
    blocks = (fields.filter(pk__in=block) for block in batched(ids, READ_BATCH))
    rows = sorted(chain.from_iterable(blocks), key=itemgetter(0, 1))
    return [document(*row[2:]) for row in rows], [row[0].toordinal() for row in rows]


def fit(now) -> FittedModel:
    """Fit a model on the corpus, and store it. Return its row."""
    model = TfidfModel().fit(*corpus(now))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **model.to_arrays())
    content = buffer.getvalue()
    row = FittedModel.objects.create(
        fitted_at=now,
        name=file_storage.save("models", "npz", ContentFile(content)),
        sha256=hashlib.sha256(content).hexdigest(),
        documents=len(model.days_),
        terms=len(model.stems_),
    )
    for old_row in FittedModel.objects.all()[MAX_FILES:]:
        file_storage.delete(old_row)
    return row


def current(now, *, may_store=True) -> TfidfModel:
    """Return the model in use, the same object as long as it is the same model.

    Fits one if there is none. With `may_store`, it is stored and used from then on.
    """
    try:
        return in_use()
    except NotFitted:
        return cached(fit(now)) if may_store else TfidfModel().fit(*corpus(now))


def in_use() -> TfidfModel:
    """Return the stored model, the same object as long as it is the same model.

    Raises NotFitted without a usable one.
    """
    global _logged_row
    row = FittedModel.objects.first()
    if row is None:
        raise NotFitted
    try:
        return cached(row)
    except Damaged as reason:
        if row.pk != _logged_row:  # Once, not with each request.
            logger.error("The model is rejected and must be fitted again: %s", reason)
            _logged_row = row.pk
        raise NotFitted from reason


def cached(row: FittedModel) -> TfidfModel:
    """Return the stored model, from memory if it was the last one. Raises Damaged."""
    global _loaded
    loaded = _loaded
    if loaded is None or loaded[0] != row.sha256:
        loaded = _loaded = (row.sha256, load(row))
    return loaded[1]


def load(row: FittedModel) -> TfidfModel:
    """Return the stored model. Raises Damaged with the reason."""
    try:
        with np.load(io.BytesIO(file_storage.read(row)), allow_pickle=False) as arrays:
            return TfidfModel.from_arrays(dict(arrays))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise Damaged(f"{row.name} is not a valid model: {error}") from error
