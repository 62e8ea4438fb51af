"""The archive's life: written where the model is fitted, kept in Django's storage, read by all.

It is a file of arrays, never a pickle, with its checksum in the database. Where the storage is a
folder, the file is mapped into memory, so that several processes share it. One that is damaged, of
an older format or gone is refused: the last but one is used meanwhile, and a new one written.
"""

import hashlib
import logging
import mmap
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from itertools import batched
from threading import Lock

from django.core.files import File
from django.core.files.storage import default_storage
from django.db.models import Count, Max

from digest import arrays, files, fitting
from digest.fitting import Damaged
from digest.leases import Lease
from digest.models import ArchiveFile, FittedModel, Paper
from digest.ranking.archive import Archive
from digest.ranking.archiving import Facts, Texts, arrays_of
from digest.ranking.corpus import Corpus
from digest.sources.taxonomy import merged

logger = logging.getLogger(__name__)

MOST = 1_000_000  # The newest papers. A worker needs gigabytes of memory to write so many.
KEPT = 2  # So many files stay in the storage.
#: What is stored may be committed so long after the moment that it bears.
COMMITTED_LATE = timedelta(hours=1)
LEASE = timedelta(minutes=10)  # Longer than it takes to write.
READ = 1_000  # So many papers' texts are read at a time.
NOTICED = 5  # Seconds until a process notices that there is another archive.
REFUSED = 60  # Seconds until a file that was refused is looked at again.

_loaded: tuple[str, Archive] | None = None
_noticed = 0.0
_loading = Lock()
_refused: dict[int, float] = {}


# ---- Writing


def renew(now) -> FittedModel:
    """Fit the model, and write the archive for it. Return the model's row."""
    corpus = fitting.read_corpus(now)
    row = fitting.fit(now, corpus)
    write(now, corpus)
    return row


def refresh(now) -> bool:
    """Write the archive anew if papers or the model have changed since, or its file is damaged.

    Return whether it was written.
    """
    return not is_current() and write(now) is not None


def is_current() -> bool:
    """Return whether it has all papers as they are, with the model in use, in a whole file."""
    row, model = ArchiveFile.objects.first(), FittedModel.objects.first()
    if row is None or model is None or row.model_id != model.pk:
        return False
    count, changed_at = _state()
    if row.papers != min(count, MOST) or row.changed_at != changed_at:
        return False
    try:
        fitting.stored(row.model)  # This process may have it in memory, and others need it.
        load(row)
    except Damaged as reason:
        logger.error("The archive is written anew: %s", reason)
        return False
    return True


def _state():
    return Paper.objects.aggregate(count=Count("pk"), changed=Max("changed_at")).values()


def write(now, corpus: Corpus | None = None) -> ArchiveFile | None:
    """Write all papers with the model in use. Return the row, None where another is at it.

    What an earlier archive or the corpus has read is not read again: of the corpus, what a paper
    still says. A model that can't be used is fitted anew; without one, nothing is written.
    """
    lease = Lease("archive", LEASE)
    if not lease.take():
        return None
    try:
        return _write(now, corpus)
    finally:
        lease.give_back()


def _write(now, corpus):
    row = FittedModel.objects.first()
    if row is None:
        return None
    try:
        fitting.stored(row)
        model = fitting.kept(row)
    except Damaged as reason:  # Of an older format, say: until the next planning may be a day.
        logger.error("The model is refused, and fitted anew: %s", reason)
        corpus = fitting.read_corpus(now)
        row = fitting.fit(now, corpus)
        model = fitting.kept(row)
    _, changed_at = _state()
    before, changed = _known_before()
    content = arrays_of(model, _facts(), _texts, before, changed, corpus)
    written = _save(content, written_at=now, model=row, changed_at=changed_at)
    for older in ArchiveFile.objects.all()[KEPT:]:
        files.forget(older)
    return written


def _known_before():
    """Return what was read already, and the ids of the papers that have changed since."""
    for row in _rows():
        try:
            since = row.written_at - COMMITTED_LATE
            changed = Paper.objects.filter(changed_at__gt=since).values_list("pk", flat=True)
            return load(row), frozenset(changed.iterator())
        except Damaged as reason:
            logger.error("The archive is written from nothing: %s", reason)
    return None, frozenset()


def _facts():
    papers = Paper.objects.order_by("-day", "-pk").values_list("pk", "day", "upvotes", "categories")
    for pk, day, upvotes, categories in papers[:MOST].iterator():
        field = (categories or [""])[0].split(".")[0]
        yield Facts(pk, day.toordinal(), upvotes or 0, field, tuple(merged(categories)))


def _texts(ids):
    for some in batched(ids, READ):
        papers = Paper.objects.filter(pk__in=some).values_list("pk", "title", "abstract", "authors")
        for pk, title, abstract, authors in papers:
            yield Texts(pk, fitting.one_line(title), fitting.one_line(abstract), authors)


def _save(content, **fields):
    global _noticed
    _noticed = 0.0
    with tempfile.TemporaryFile() as file:
        arrays.write(content, file)
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        name = files.keep("archives", "arrays", File(file))
    return ArchiveFile.objects.create(
        name=name, size=size, sha256=digest, papers=len(content["ids"]), **fields
    )


# ---- Reading


def current() -> Archive | None:
    """Return the archive in use, the same object as long as it is the same one.

    None where there is none that can be used. Asks one query, at most each NOTICED seconds.
    """
    if _loaded is not None and time.monotonic() < _noticed:
        return _loaded[1]
    return next((archive for row in _rows() if (archive := _kept(row)) is not None), None)


def texts_of(ids) -> list[str]:
    """Return the texts of papers as the database has them, nothing of one that is gone.

    The archive has stems; how words are written is asked for seldom. One query for READ papers.
    """
    rows = {}
    for some in batched(ids, READ):
        papers = Paper.objects.filter(pk__in=some)
        rows |= {row[0]: row[1:] for row in papers.values_list("pk", "title", "abstract")}
    return [fitting.document(*rows.get(one, ("", ""))) for one in ids]


def authors_of(ids) -> list[list[str]]:
    """Return who wrote papers, nobody of one that is gone. One query for READ papers."""
    authors = {}
    for some in batched(ids, READ):
        authors |= Paper.objects.filter(pk__in=some).order_by().values_list("pk", "authors")
    return [authors.get(one, []) for one in ids]


def _rows():
    return ArchiveFile.objects.select_related("model")[:KEPT]


def _kept(row):
    """Return the row's archive. While one thread loads it, others go on with the last one."""
    global _loaded, _noticed
    loaded = _loaded
    if loaded is not None and loaded[0] == row.sha256:
        _noticed = time.monotonic() + NOTICED
        return loaded[1]
    if time.monotonic() < _refused.get(row.pk, 0):
        return None
    if not _loading.acquire(blocking=loaded is None):
        return loaded[1]
    try:
        if _loaded is None or _loaded[0] != row.sha256:
            _loaded = (row.sha256, load(row))
        return _loaded[1]
    except Damaged as reason:
        _refused[row.pk] = time.monotonic() + REFUSED
        logger.error("The archive is refused: %s", reason)
        return None
    finally:
        _loading.release()


def load(row: ArchiveFile) -> Archive:
    """Return the stored archive. Raises Damaged with the reason."""
    try:
        content = _content(row.name)
    except (OSError, ValueError) as error:  # ValueError: an empty file can't be mapped.
        raise Damaged(f"{row.name} can't be read ({type(error).__name__})") from error
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise Damaged(f"{row.name} is not what was stored: its checksum differs")
    if isinstance(content, mmap.mmap):  # What is needed of it comes back as it is read.
        content.madvise(mmap.MADV_DONTNEED)
    try:
        return Archive(fitting.kept(row.model), arrays.read(content), texts_of)
    except ValueError as error:
        raise Damaged(f"{row.name} holds no archive of ours: {error}") from error


def _content(name):
    """Return what the file holds: mapped where it lies in a folder, else in memory."""
    # Some storages have no path, and some tell one where nothing lies.
    with (
        suppress(NotImplementedError, FileNotFoundError),
        open(default_storage.path(name), "rb") as file,
    ):
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with default_storage.open(name) as file:
        return file.read()
