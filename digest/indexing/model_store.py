"""The model's life: fitted on the corpus window, kept in Django's storage, loaded once a process.

A model is a file of arrays, never a pickle, with its checksum in the database. One that is
damaged, of an older format or gone is refused, and fitted anew.
"""

import hashlib
import io
import logging
import zipfile
from datetime import timedelta
from itertools import batched
from operator import itemgetter

import numpy as np
from django.conf import settings
from django.core.files.base import ContentFile
from django.utils import timezone

from digest.indexing import file_storage
from digest.indexing.file_storage import Damaged
from digest.models import FittedModel, Paper
from digest.ranking.model import MAX_DOCUMENTS, TfidfModel

logger = logging.getLogger(__name__)

A_DAY = timedelta(days=1)
MIN_DOCUMENTS = 5_000  # However old: fewer know too few words.
READ = 500  # Papers at a time.
KEPT = 2  # So many models stay in the storage: a worker may still be reading the last but one.

_loaded: tuple[str, TfidfModel] | None = None
_told_of = 0  # The row of the last model that was refused in this process, and the log told of.


class NotFitted(Exception):
    """There is no model that can be used, and this is no place to fit one."""


def document(title: str, abstract: str) -> str:
    """Return a paper's text as the model reads it, in lines. The title counts twice."""
    title, abstract = one_line(title), one_line(abstract)
    return f"{title}\n{title}\n{abstract}"


def one_line(text: str) -> str:
    """Return a text as one line."""
    return " ".join(text.split())


def corpus(now) -> tuple[list[str], list[int]]:
    """Return the texts that a model is fitted on, and the ordinals of their days, rising.

    They are of the last CORPUS_DAYS, and of MIN_DOCUMENTS papers at least, counted from the newest
    paper but for those that are said to be of the future.
    """
    papers = Paper.objects.order_by("-day", "pk")
    newest = papers.filter(day__lte=timezone.localdate(now) + A_DAY).first() or papers.first()
    if newest is None:
        return [], []
    first = newest.day - timedelta(days=settings.CORPUS_DAYS - 1)
    count = max(papers.filter(day__gte=first).count(), MIN_DOCUMENTS)
    ids = list(papers.values_list("pk", flat=True)[:count])
    spread = [ids[count * len(ids) // MAX_DOCUMENTS] for count in range(MAX_DOCUMENTS)]
    some = ids if len(ids) <= MAX_DOCUMENTS else spread
    rows = [
        row
        for block in batched(some, READ)
        for row in Paper.objects.filter(pk__in=block).values_list("day", "pk", "title", "abstract")
    ]
    rows.sort(key=itemgetter(0, 1))
    return [document(*row[2:]) for row in rows], [row[0].toordinal() for row in rows]


def fit(now) -> FittedModel:
    """Fit a model on the corpus, and store it. Return its row."""
    model = TfidfModel().fit(*corpus(now))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **model.to_arrays())
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    row = FittedModel.objects.create(
        fitted_at=now,
        name=file_storage.keep("models", "npz", ContentFile(content)),
        sha256=digest,
        documents=len(model.days_),
        terms=len(model.stems_),
    )
    for older in FittedModel.objects.all()[KEPT:]:
        if not older.archives.exists():
            file_storage.forget(older)
    return row


def current(now, *, may_store=True) -> TfidfModel:
    """Return the model in use, the same object as long as it is the same model.

    Where none can be used, one is fitted; with `may_store` it is then the one in use, otherwise it
    is forgotten.
    """
    try:
        return in_use()
    except NotFitted:
        return kept(fit(now)) if may_store else TfidfModel().fit(*corpus(now))


def in_use() -> TfidfModel:
    """Return the stored model, the same object as long as it is the same model. Fits none.

    Raises NotFitted where none can be used.
    """
    global _told_of
    row = FittedModel.objects.first()
    if row is None:
        raise NotFitted
    try:
        return kept(row)
    except Damaged as reason:
        if row.pk != _told_of:  # Each request would, until it is fitted.
            logger.error("The model is refused, and has to be fitted anew: %s", reason)
            _told_of = row.pk
        raise NotFitted from reason


def kept(row: FittedModel) -> TfidfModel:
    """Return the stored model, the same object as long as no other is asked for. Raises Damaged."""
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
        raise Damaged(f"{row.name} holds no model of ours: {error}") from error
