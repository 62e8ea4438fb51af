"""Messages that came back and cannot be read, kept as files for the operator."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.conf import settings

KEEP = timedelta(days=14)
MAX_FILES = 100  # So that junk does not fill the disk.


def folder() -> Path:
    return Path(settings.DATA_DIR) / "returned"


def keep(mime: bytes, now: datetime) -> None:
    """Keep a message, once if it comes repeatedly. Raises OSError."""
    folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = hashlib.sha256(mime).hexdigest()[:16]
    if list(folder().glob(f"*-{digest}.eml")):
        return
    path = folder() / f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}.eml"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(mime)
    for path in sorted(folder().glob("*.eml"))[:-MAX_FILES]:
        path.unlink(missing_ok=True)


def purge(cutoff: datetime) -> None:
    """Delete the messages that came before `cutoff`."""
    for path in folder().glob("*.eml"):
        if path.name < f"{cutoff.astimezone(UTC):%Y%m%dT%H%M%SZ}":
            path.unlink(missing_ok=True)
