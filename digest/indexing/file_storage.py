"""Files in Django's storage: models and archives, each of which is whole, or not there."""

import hashlib
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from mmap import ACCESS_READ, mmap

from django.core.files.base import File
from django.core.files.storage import default_storage

from digest.models import ArchiveFile, FittedModel

FOLDERS = {"models": FittedModel, "archives": ArchiveFile}  # Rows of these name what is in there.
STRAY = timedelta(days=1)  # A file without a row is younger than that while it is being written.


class Damaged(Exception):
    """A stored file can't be used, and why."""


def keep(folder: str, kind: str, content: File) -> str:
    """Store a file, and return its name. Of one for which there is no room, nothing stays: it would
    take what is left, and the next try as much again. Raises OSError, which names the file.
    """
    name = f"{folder}/{secrets.token_hex(8)}.{kind}"  # Nobody else's: it may be deleted.
    try:
        return default_storage.save(name, content)
    except OSError as error:
        with suppress(OSError):
            default_storage.delete(name)
        with suppress(NotImplementedError):  # Some storages have no path.
            error.filename = default_storage.path(name)
        raise


def read(row: FittedModel | ArchiveFile) -> bytes | mmap:
    """Return what a row's file holds, whoever has it in memory: mapped where it lies in a folder.

    Raises Damaged with the reason.
    """
    try:
        with default_storage.open(row.name) as file:
            try:
                content = mmap(file.fileno(), 0, access=ACCESS_READ)
            except (OSError, ValueError, AttributeError):  # No file of the system, or an empty one.
                content = file.read()
    except OSError as error:
        raise Damaged(f"{row.name} can't be read ({type(error).__name__})") from error
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise Damaged(f"{row.name} is not what was stored: its checksum differs")
    return content


def forget(row: FittedModel | ArchiveFile) -> None:
    """Delete a row, and its file unless another row names it."""
    if not type(row).objects.exclude(pk=row.pk).filter(name=row.name).exists():
        default_storage.delete(row.name)
    row.delete()


def forget_strays(now: datetime) -> None:
    """Delete what no row names: whoever wrote it was killed, or had no room."""
    for folder, table in FOLDERS.items():
        with suppress(FileNotFoundError):  # Where none was written yet.
            for file in default_storage.listdir(folder)[1]:
                name = f"{folder}/{file}"
                is_old = default_storage.get_modified_time(name) < now - STRAY
                if is_old and not table.objects.filter(name=name).exists():
                    default_storage.delete(name)
