"""Write, store and load the search index.

It is a file of arrays, never a pickle, with its checksum in the database. If the storage is a
folder, the file is mapped into memory, so that processes share it. A damaged or missing file, or
one of another format, is refused: the previous one is used until a new one is written.
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

MAX_PAPERS = 1_000_000  # The newest papers. A worker needs gigabytes of memory to write so many.
MAX_FILES = 2  # That stay in the storage.
#: How long after `changed_at` a paper may be committed.
MAX_COMMIT_DELAY = timedelta(hours=1)
LEASE = timedelta(minutes=10)  # Longer than it takes to write.
READ_BATCH = 1_000  # Papers whose texts are read at a time.
CHECK_SECONDS = 5  # How often a process looks for a new index.
RETRY_SECONDS = 60  # Until a refused file is read again.

_loaded: tuple[str, Index] | None = None
_checked_until = 0.0
_loading = Lock()
_refused: dict[int, float] = {}


# ---- Writing


def renew(now) -> FittedModel:
    """Fit the model, and update the index. Return the model's row."""
    row = model_store.fit(now)
    refresh(now)
    return row


def refresh(now) -> bool:
    """Write the index if papers have changed or its file is damaged. Return whether it was written.

    Fits the model if its file is damaged, since the next planning may be a day away.
    """
    row = FittedModel.objects.first()
    if row is None:
        return False
    try:
        file_storage.read(row)  # This process may have it in memory, and others need it.
        model_store.cached(row)
    except Damaged as reason:
        logger.error("The model is rejected and fitted again: %s", reason)
        model_store.fit(now)
    return not is_current() and write(now) is not None


def is_current() -> bool:
    """Return whether the index has the current state of all papers, in a valid file."""
    row = ArchiveFile.objects.first()
    count, changed_at = _state()
    if row is None or (row.papers, row.changed_at) != (min(count, MAX_PAPERS), changed_at):
        return False
    try:
        load(row)
    except Damaged as reason:
        logger.error("The index is rebuilt: %s", reason)
        return False
    return True


def _state():
    return Paper.objects.aggregate(count=Count("pk"), changed=Max("changed_at")).values()


def write(now) -> ArchiveFile | None:
    """Write an index of all papers. Return its row.

    Returns None if another process is writing. Only papers that are new or have changed since the
    previous index are read.
    """
    lease = Lease("archive", LEASE)
    if not lease.acquire():
        return None
    try:
        return _write(now)
    finally:
        lease.release()


def _write(now):
    global _checked_until
    _, changed_at = _state()
    previous, changed = None, ()
    for row in ArchiveFile.objects.all()[:MAX_FILES]:
        with suppress(Damaged):
            previous, since = load(row), row.written_at - MAX_COMMIT_DELAY
            changed_papers = Paper.objects.filter(changed_at__gt=since)
            changed = frozenset(changed_papers.values_list("pk", flat=True).iterator())
            break
    newest_papers = Paper.objects.order_by("-day", "-pk").values_list("pk", "day")[:MAX_PAPERS]
    days = {pk: day.toordinal() for pk, day in newest_papers.iterator()}
    arrays = arrays_of(days, _entries, previous, changed)
    with tempfile.TemporaryFile() as file:
        array_file.write(arrays, file)
        size = file.tell()
        file.seek(0)
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        name = file_storage.save("archives", "arrays", File(file))
    index_file = ArchiveFile.objects.create(
        written_at=now,
        name=name,
        size=size,
        sha256=checksum,
        papers=len(arrays["ids"]),
        changed_at=changed_at,
    )
    for old_file in ArchiveFile.objects.all()[MAX_FILES:]:
        file_storage.delete(old_file)
    _checked_until = 0.0
    return index_file


def _entries(ids):
    for pk, title, abstract, authors in _rows(ids, "title", "abstract", "authors"):
        yield pk, model_store.document(title, abstract), authors


def _rows(ids, *fields):
    for batch in batched(ids, READ_BATCH):
        yield from Paper.objects.filter(pk__in=batch).order_by().values_list("pk", *fields)


# ---- Reading


def current() -> Index | None:
    """Return the index in use, the same object as long as it is the same one.

    None without a usable one. Runs one query, at most every CHECK_SECONDS. While
    one thread loads another file, others go on with the last one.
    """
    global _loaded, _checked_until
    if _loaded is not None and time.monotonic() < _checked_until:
        return _loaded[1]
    with _loading:
        _checked_until = time.monotonic() + CHECK_SECONDS
        for row in ArchiveFile.objects.all()[:MAX_FILES]:
            if _loaded is not None and _loaded[0] == row.sha256:
                return _loaded[1]
            if time.monotonic() < _refused.get(row.pk, 0):
                continue
            try:
                _loaded = row.sha256, load(row)
                return _loaded[1]
            except Damaged as reason:
                _refused[row.pk] = time.monotonic() + RETRY_SECONDS
                logger.error("The index is rejected: %s", reason)
        _loaded = None
        return None


def texts_of(ids) -> list[str]:
    """Return the texts of papers as the database has them, nothing of one that is gone.

    One query for READ_BATCH papers.
    """
    texts = {pk: model_store.document(*fields) for pk, *fields in _rows(ids, "title", "abstract")}
    return [texts.get(paper_id, "") for paper_id in ids]


def authors_of(ids) -> list[list[str]]:
    """Return the authors of papers, none for deleted papers. One query for READ_BATCH papers."""
    authors = dict(_rows(ids, "authors"))
    return [authors.get(paper_id, []) for paper_id in ids]


def affiliations_of(ids) -> list[list[str]]:
    """Return the affiliations of papers, and the organization that Hugging Face names."""
    affiliations = {
        pk: [*of_paper, (hugging_face or {}).get("organization", "")]
        for pk, of_paper, hugging_face in _rows(ids, "affiliations", "hugging_face")
    }
    return [affiliations.get(paper_id, []) for paper_id in ids]


def load(row: ArchiveFile) -> Index:
    """Return the stored index. Raises Damaged with the reason."""
    content = file_storage.read(row)
    if isinstance(content, mmap):  # The kernel reads the pages again when they are needed.
        content.madvise(MADV_DONTNEED)
    try:
        return Index(array_file.read(content))
    except ValueError as error:
        raise Damaged(f"{row.name} is not a valid index: {error}") from error
