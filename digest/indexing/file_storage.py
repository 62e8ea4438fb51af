"""Store files in Django's storage: models and search indexes."""

import hashlib
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from mmap import ACCESS_READ, mmap

from django.core.files.base import File
from django.core.files.storage import default_storage

from digest.models import ArchiveFile, FittedModel

FOLDERS = {"models": FittedModel, "archives": ArchiveFile}  # Their rows name the files.
MIN_STRAY_AGE = timedelta(days=1)  # Younger files may be still being written.


class Damaged(Exception):
    """A stored file can't be used. The message says why."""


def save(folder: str, kind: str, content: File) -> str:
    """Store a file, and return its name.

    An incomplete file, as on a full disk, is deleted. Raises OSError, which names the file.
    """
    name = f"{folder}/{secrets.token_hex(8)}.{kind}"  # Unique, since it may be deleted.
    try:
        return default_storage.save(name, content)
    except OSError as error:
        with suppress(OSError):
            default_storage.delete(name)
        with suppress(NotImplementedError):  # Some storages have no path.
            error.filename = default_storage.path(name)
        raise


def read(row: FittedModel | ArchiveFile) -> bytes | mmap:
    """Return the content of a row's file, mapped into memory if the storage is a folder.

    Raises Damaged with the reason.
    """
    try:
        with default_storage.open(row.name) as file:
            try:
                content = mmap(file.fileno(), 0, access=ACCESS_READ)
            except (OSError, ValueError, AttributeError):  # Not a local file, or an empty one.
                content = file.read()
    except OSError as error:
        raise Damaged(f"cannot read {row.name} ({type(error).__name__})") from error
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise Damaged(f"{row.name} is damaged: wrong checksum")
    return content


def delete(row: FittedModel | ArchiveFile) -> None:
    """Delete a row, and its file unless another row names it."""
    if not type(row).objects.exclude(pk=row.pk).filter(name=row.name).exists():
        default_storage.delete(row.name)
    row.delete()


def delete_strays(now: datetime) -> None:
    """Delete files without a row, as after a crash or with a full disk."""
    for folder, table in FOLDERS.items():
        with suppress(FileNotFoundError):  # No file was written yet.
            for file in default_storage.listdir(folder)[1]:
                name = f"{folder}/{file}"
                is_old = default_storage.get_modified_time(name) < now - MIN_STRAY_AGE
                if is_old and not table.objects.filter(name=name).exists():
                    default_storage.delete(name)
