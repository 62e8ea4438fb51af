"""How the service is, in sentences: what keeps it from working, and what only makes it worse."""

import tempfile
from datetime import datetime
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import Error as DatabaseError
from django.db.utils import InternalError

from digest import alarms
from digest.models import Harvest
from subscriptions.post import sending

WRITE_BYTES = 1_000_000  # More than one request adds to SQLite's file and its log.


def reasons_not_ready(*, in_full: bool = False) -> list[str]:
    """Return what keeps this process from serving readers; nothing where all is well.

    `in_full` repeats the database's own words, which name hosts and users: for operators alone.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return ["There is no database yet: run `manage.py upgrade`."]  # To ask would make one.
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        applied = MigrationRecorder(connection).applied_migrations()
        waiting = migrations_of_this_version() - applied.keys()
    except DatabaseError as error:
        if in_full:
            return [in_words(error)]
        return [f"The database does not answer ({type(error).__name__})."]
    if waiting:
        wait = "1 migration waits" if len(waiting) == 1 else f"{len(waiting)} migrations wait"
        return [f"{wait}: run `manage.py upgrade`."]
    return []


def reasons_not_writable() -> list[str]:
    """Return what keeps SQLite from being written, as a full disk does; nothing of PostgreSQL.

    A file without a name beside the database takes as much as a request writes, and is gone again.
    A transaction that is rolled back proves nothing: SQLite writes when it commits.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "sqlite":
        return []
    try:
        with tempfile.TemporaryFile(dir=Path(connection.settings_dict["NAME"]).parent) as file:
            file.write(bytes(WRITE_BYTES))
    except OSError as error:
        return [f"Nothing can be saved, and no letters leave: {error.strerror}."]
    return []


def in_words(error: DatabaseError) -> str:
    """Return what an error of the database means. It names hosts and users: for operators alone."""
    said = " ".join(str(error).split())
    if isinstance(error, InternalError):
        return f"The database takes no writes ({said}): see `database` in docs/runbook.md."
    if "unsupported startup parameter" in said:  # So PgBouncer calls a time-out of ours.
        return (
            f"DATABASE_URL leads to a pooler ({said}): add ?pool_mode=transaction to it, as "
            f"docs/install.md says."
        )
    if any(words in said for words in ("malformed", "file is not a database")):
        return (
            f"The database is damaged ({said}): stop the service, and put back a backup as "
            f"docs/backup.md says."
        )
    if "readonly database" in said:  # SQLite's file, or the folder, in which it keeps two more.
        return (
            f"The database can't be written ({said}): let the user that runs Paperboy own all in "
            f"{settings.DATA_DIR}."
        )
    return f"The database does not answer ({said})."


@cache
def migrations_of_this_version() -> frozenset[tuple[str, str]]:
    """Return the migrations that this process found when it was first asked.

    While a new version is fetched, its files lie there already, and the old one still serves: its
    tables are as it wants them.
    """
    return frozenset(MigrationLoader(None).disk_migrations)


def takes_writes() -> bool:
    """Return whether PostgreSQL does: a standby, and one that its provider has closed, reads on."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return cursor.fetchone()[0] == "off"


def last_harvests() -> dict[str, Harvest | None]:
    """Return the last run of each source that is asked daily. Backfills are apart."""
    daily = Harvest.objects.filter(since=None)
    return {source: daily.filter(source=source).first() for source in settings.SOURCES}


#: What everybody may know of an alarm. Of the others, more is told below, or sooner.
PUBLIC = {
    "beat": "Nothing was planned for some minutes.",
    "planning": "Digests are late.",
    "letters": "Letters are late.",
    "uncertain": "Of some letters, nobody knows yet whether they arrived.",
    "promises": "A promise is not kept.",
    "refused": "Many letters are refused.",
    "disk": "A disk is nearly full.",
}


def degradations(now: datetime) -> list[str]:
    """Return what is amiss while the service works: lists that are missing, sources that failed,
    letters that don't leave, and whatever else is an alarm.

    Everybody may read them, so why it is so is left to the panel.
    """
    found = alarms.known(now)
    names = {one.name for one in found}
    said = [] if takes_writes() else ["Nothing can be saved, and no letters leave, for now."]
    said += [one.said for one in found if one.name == "papers"]
    said += [
        f"The last harvest of {source} failed, on {harvest.touched_at:%-d %B %Y at %H:%M} UTC: "
        f"the panel says why."
        for source, harvest in last_harvests().items()
        if harvest is not None and harvest.state == Harvest.State.FAILED
    ]
    if sending.current().why_not(now):
        said.append("No letters leave for now: the panel says why.")
    return said + [public for name, public in PUBLIC.items() if name in names]
