"""The index's life: written where papers come in, kept in Django's storage, read by all.

It is a file of arrays, never a pickle, with its checksum in the database. Where the storage is a
folder, the file is mapped into memory, so that several processes share it. One that is damaged, of
another format or gone is refused: the last but one is used meanwhile, and a new one written.
"""

import hashlib
import logging
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from itertools import batched
from mmap import MADV_DONTNEED, mmap
from threading import Lock

from django.core.files import File
from django.db.models import Count, Max

from digest.indexing import array_file, file_storage, model_store
from digest.indexing.file_storage import Damaged
from digest.indexing.index import Index, arrays_of
from digest.models import ArchiveFile, FittedModel, Paper
from digest.models.locks import Lease

logger = logging.getLogger(__name__)

MOST = 1_000_000  # The newest papers. A worker needs gigabytes of memory to write so many.
KEPT = 2  # So many files stay in the storage.
#: What is stored may be committed so long after the moment that it bears.
COMMITTED_LATE = timedelta(hours=1)
LEASE = timedelta(minutes=10)  # Longer than it takes to write.
READ = 1_000  # So many papers' texts are read at a time.
NOTICED = 5  # Seconds until a process notices that there is another index.
REFUSED = 60  # Seconds until a file that was refused is looked at again.

_loaded: tuple[str, Index] | None = None
_noticed = 0.0
_loading = Lock()
_refused: dict[int, float] = {}


# ---- Writing


def renew(now) -> FittedModel:
    """Fit the model, and bring the index up to date. Return the model's row."""
    row = model_store.fit(now)
    refresh(now)
    return row


def refresh(now) -> bool:
    """Write the index anew if papers have changed since, or its file is damaged. Fit the model
    anew if it is refused: until the next planning may be a day. Return whether it was written.
    """
    row = FittedModel.objects.first()
    if row is None:
        return False
    try:
        file_storage.read(row)  # This process may have it in memory, and others need it.
        model_store.kept(row)
    except Damaged as reason:
        logger.error("The model is refused, and fitted anew: %s", reason)
        model_store.fit(now)
    return not is_current() and write(now) is not None


def is_current() -> bool:
    """Return whether it has all papers as they are, in a whole file."""
    row = ArchiveFile.objects.first()
    count, changed_at = _state()
    if row is None or (row.papers, row.changed_at) != (min(count, MOST), changed_at):
        return False
    try:
        load(row)
    except Damaged as reason:
        logger.error("The index is written anew: %s", reason)
        return False
    return True


def _state():
    return Paper.objects.aggregate(count=Count("pk"), changed=Max("changed_at")).values()


def write(now) -> ArchiveFile | None:
    """Write all papers. Return the row, None where another is at it or nothing was fitted yet.

    What an earlier file has is not read again, but for papers that have changed since.
    """
    lease = Lease("archive", LEASE)
    if not lease.acquire():
        return None
    try:
        model = FittedModel.objects.first()
        return model and _write(now, model)
    finally:
        lease.release()


def _write(now, model):
    global _noticed
    _, changed_at = _state()
    before, changed = None, ()
    for row in ArchiveFile.objects.all()[:KEPT]:
        with suppress(Damaged):
            before, since = load(row), row.written_at - COMMITTED_LATE
            changed = frozenset(
                Paper.objects.filter(changed_at__gt=since).values_list("pk", flat=True).iterator()
            )
            break
    newest = Paper.objects.order_by("-day", "-pk").values_list("pk", "day")[:MOST]
    days = {pk: day.toordinal() for pk, day in newest.iterator()}
    arrays = arrays_of(days, _entries, before, changed)
    with tempfile.TemporaryFile() as file:
        array_file.write(arrays, file)
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        name = file_storage.keep("archives", "arrays", File(file))
    written = ArchiveFile.objects.create(
        written_at=now,
        name=name,
        size=size,
        sha256=digest,
        model=model,  # Of whichever model: the version before refuses the file by its format.
        papers=len(arrays["ids"]),
        changed_at=changed_at,
    )
    for older in ArchiveFile.objects.all()[KEPT:]:
        file_storage.forget(older)
    _noticed = 0.0
    return written


def _entries(ids):
    for pk, title, abstract, authors in _rows(ids, "title", "abstract", "authors"):
        yield pk, model_store.document(title, abstract), authors


def _rows(ids, *fields):
    for some in batched(ids, READ):
        yield from Paper.objects.filter(pk__in=some).order_by().values_list("pk", *fields)


# ---- Reading


def current() -> Index | None:
    """Return the index in use, the same object as long as it is the same one.

    None where there is none that can be used. Asks one query, at most each NOTICED seconds. While
    one thread loads another file, others go on with the last one.
    """
    global _loaded, _noticed
    if _loaded is not None and time.monotonic() < _noticed:
        return _loaded[1]
    with _loading:
        _noticed = time.monotonic() + NOTICED
        for row in ArchiveFile.objects.all()[:KEPT]:
            if _loaded is not None and _loaded[0] == row.sha256:
                return _loaded[1]
            if time.monotonic() < _refused.get(row.pk, 0):
                continue
            try:
                _loaded = row.sha256, load(row)
                return _loaded[1]
            except Damaged as reason:
                _refused[row.pk] = time.monotonic() + REFUSED
                logger.error("The index is refused: %s", reason)
        _loaded = None
        return None


def texts_of(ids) -> list[str]:
    """Return the texts of papers as the database has them, nothing of one that is gone.

    One query for READ papers.
    """
    texts = {pk: model_store.document(*said) for pk, *said in _rows(ids, "title", "abstract")}
    return [texts.get(one, "") for one in ids]


def authors_of(ids) -> list[list[str]]:
    """Return who wrote papers, nobody of one that is gone. One query for READ papers."""
    authors = dict(_rows(ids, "authors"))
    return [authors.get(one, []) for one in ids]


def load(row: ArchiveFile) -> Index:
    """Return the stored index. Raises Damaged with the reason."""
    content = file_storage.read(row)
    if isinstance(content, mmap):  # What is needed of it comes back as it is read.
        content.madvise(MADV_DONTNEED)
    try:
        return Index(array_file.read(content))
    except ValueError as error:
        raise Damaged(f"{row.name} holds no index of ours: {error}") from error
