"""The state of the service in sentences: what keeps it from working, and what degrades it."""

import tempfile
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import Error as DatabaseError
from django.db.utils import InternalError

from digest.models import Harvest
from digest.numbers import counted
from digest.papers import registry

WRITE_BYTES = 1_000_000  # More than one request writes to SQLite's file and log.


def reasons_not_ready(*, in_full: bool = False) -> list[str]:
    """Return what keeps this process from serving requests.

    `in_full`: include the database's own messages, which name hosts and users.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return ["There is no database yet: run `manage.py upgrade`."]  # A query would create it.
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        applied = MigrationRecorder(connection).applied_migrations()
        missing_migrations = migrations_of_this_version() - applied.keys()
    except DatabaseError as error:
        if in_full:
            return [explain_error(error)]
        return [f"The database does not answer ({type(error).__name__})."]
    if missing_migrations:
        count = counted(len(missing_migrations), "migration is", "migrations are")
        return [f"{count} missing: run `manage.py upgrade`."]
    return []


def reasons_not_writable() -> list[str]:
    """Return what keeps SQLite from being written, such as a full disk.

    SQLite itself writes only when it commits.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "sqlite":
        return []
    reason = reason_not_writable(Path(connection.settings_dict["NAME"]).parent)
    return [f"Nothing can be saved and no emails are sent: {reason}."] if reason else []


def reason_not_writable(folder: Path) -> str | None:
    """Write a temporary file. Return what kept it from being written, if anything did."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(WRITE_BYTES))
    except OSError as error:
        return error.strerror
    return None


def explain_error(error: DatabaseError) -> str:
    """Return what an error of the database means. Names hosts and users: for operators only."""
    message = " ".join(str(error).split())
    if isinstance(error, InternalError):
        return f"The database is read-only ({message}): see `database` in docs/maintenance.md."
    if "unsupported startup parameter" in message:  # PgBouncer refuses our time-outs so.
        return (
            f"DATABASE_URL leads to a pooler ({message}): add ?pool_mode=transaction, as "
            "docs/install.md explains."
        )
    if any(words in message for words in ("malformed", "file is not a database")):
        return (
            f"The database is damaged ({message}): stop the service and restore a backup, as "
            "docs/maintenance.md explains."
        )
    if "readonly database" in message:  # SQLite's file, or its folder.
        return (
            f"The database is not writable ({message}): give all files in {settings.DATA_DIR} to "
            "the user that runs Paperboy."
        )
    return f"The database does not answer ({message})."


@cache
def migrations_of_this_version() -> frozenset[tuple[str, str]]:
    """Return the migrations that were there at the first call.

    During an upgrade, the files of the new version may be there while the old one still serves.
    """
    return frozenset(MigrationLoader(None).disk_migrations)


def is_writable() -> bool:
    """Return whether PostgreSQL accepts writes: a standby, or a full one, may only be read."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return cursor.fetchone()[0] == "off"


def last_harvests(**fields) -> dict[str, Harvest | None]:
    """Return the last daily run of each source, without backfills, or that with these fields."""
    daily = Harvest.objects.filter(since=None, **fields)
    return {source: daily.filter(source=source).first() for source in registry.enabled()}
