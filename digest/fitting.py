"""The model's life: fitted on the corpus window, kept in Django's storage, loaded once a process.

A model is a file of arrays, never a pickle, with its checksum in the database. One that is
damaged, of an older format or gone is refused, and fitted anew.
"""

import hashlib
import io
import logging
import zipfile
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from digest import files
from digest.models import FittedModel, Paper
from digest.ranking.corpus import Corpus
from digest.ranking.model import TfidfModel

logger = logging.getLogger(__name__)

A_DAY = timedelta(days=1)
LEAST = 5_000  # So many papers are read at least, however old: fewer know too few words.
KEPT = 2  # So many models stay in the storage: a worker may still be reading the last but one.

_loaded: tuple[str, TfidfModel] | None = None
_told_of = 0  # The row of the last model that was refused in this process, and the log told of.


class Damaged(Exception):
    """The stored model can't be used, and why."""


class NotFitted(Exception):
    """There is no model that can be used, and this is no place to fit one."""


def document(title: str, abstract: str) -> str:
    """Return a paper's text as the model reads it, in lines. The title counts twice."""
    title, abstract = one_line(title), one_line(abstract)
    return f"{title}\n{title}\n{abstract}"


def one_line(text: str) -> str:
    """Return a text as one line."""
    return " ".join(text.split())


def read_corpus(now) -> Corpus:
    """Read the papers of the last CORPUS_DAYS, and LEAST papers if there are so many.

    The days are counted from the newest paper, but for those that are said to be of the future.
    """
    corpus = Corpus()
    papers = Paper.objects.order_by("-day", "pk")
    newest = papers.filter(day__lte=timezone.localdate(now) + A_DAY).first() or papers.first()
    if newest is None:
        return corpus
    first = newest.day - timedelta(days=settings.CORPUS_DAYS - 1)
    count = max(papers.filter(day__gte=first).count(), LEAST)
    for title, abstract in papers.values_list("title", "abstract")[:count].iterator():
        corpus.add(one_line(title), one_line(abstract))
    return corpus


def fit(now, corpus: Corpus | None = None) -> FittedModel:
    """Fit a model on the corpus window, which may be read already, and store it. Return its row."""
    model = TfidfModel().fit_read(read_corpus(now) if corpus is None else corpus)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **model.to_arrays())
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    row = FittedModel.objects.create(
        fitted_at=now,
        name=files.keep("models", "npz", ContentFile(content)),
        sha256=digest,
        documents=model.n_documents_,
        terms=len(model.terms_),
    )
    for older in FittedModel.objects.all()[KEPT:]:
        if not older.archives.exists():
            files.forget(older)
    return row


def current(now, *, may_store=True) -> TfidfModel:
    """Return the model in use, the same object as long as it is the same model.

    Where none can be used, one is fitted; with `may_store` it is then the one in use, otherwise it
    is forgotten.
    """
    try:
        return in_use()
    except NotFitted:
        return kept(fit(now)) if may_store else TfidfModel().fit_read(read_corpus(now))


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
    content = stored(row)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return TfidfModel.from_arrays(dict(arrays))
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise Damaged(f"{row.name} holds no model of ours: {error}") from error


def stored(row: FittedModel) -> bytes:
    """Return the stored model's file, whoever has it in memory. Raises Damaged with the reason."""
    try:
        with default_storage.open(row.name) as file:
            content = file.read()
    except OSError as error:
        raise Damaged(f"{row.name} can't be read ({type(error).__name__})") from error
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise Damaged(f"{row.name} is not what was stored: its checksum differs")
    return content
