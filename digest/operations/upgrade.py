"""Migrate the database while emails are being sent.

A change of a table waits for the transactions that use it, and later transactions wait for the
change. So it waits a few seconds only, and is tried again after a pause.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections

from digest.models import SourceConfig
from digest.numbers import counted
from digest.operations import health
from digest.papers import registry
from digest.topics import starter_topics

LOCK_SECONDS = 3
PAUSE_SECONDS = 2
MAX_TRIES = 60
NUMBER = 8_053_187  # Of PostgreSQL's advisory lock that one upgrade at a time holds.
#: PostgreSQL's codes for a lock that timed out, and for a deadlock.
NOT_FREE = ("55P03", "40P01")


def migrate(write: Callable[[str], None]) -> None:
    """Run the migrations. Concurrent calls run one after the other.

    Raises OperationalError if a table was never free. Raises CommandError if there are migrations
    and DATABASE_URL leads to a pooler in transaction mode: it would keep the lock and leak the
    session's settings.
    """
    if connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        if reasons := health.reasons_not_ready(in_full=True):
            raise CommandError(
                f"{' '.join(reasons)} DATABASE_URL leads to a pooler. Run this with the address of "
                "PostgreSQL itself, without pool_mode."
            )
        return
    with _migration_lock(write):
        for attempt in range(1, MAX_TRIES + 1):
            try:
                call_command("migrate", interactive=False, verbosity=1)
                return
            except OperationalError as error:
                code = getattr(error.__cause__, "sqlstate", "")
                if attempt == MAX_TRIES or code not in NOT_FREE:
                    raise
                write("A table is in use. Retrying.")
                sleep(PAUSE_SECONDS)


def add_sources(using, **kwargs) -> None:
    """Create the rows of the built-in sources that have none, after each `migrate`."""
    if SourceConfig._meta.db_table in connections[using].introspection.table_names():
        rows = [
            SourceConfig(name=name, title=source.title, is_on=source.is_on)
            for name, source in registry.SOURCES.items()
        ]
        SourceConfig.objects.bulk_create(rows, ignore_conflicts=True)


def prepare_topics(write: Callable[[str], None]) -> None:
    """Create the starter topics if there are none."""
    if count := starter_topics.make_topics():
        write(f"Created {counted(count, 'starter topic')}.")


@contextmanager
def file_lock() -> Iterator[None]:
    """Hold a file lock during all migrations of SQLite: its own lock ends with each of them.

    Does nothing for PostgreSQL, or if the file system has no locks. Creates a missing database file
    with permissions for its owner only, since DATA_DIR may be readable by others.
    """
    if connection.vendor != "sqlite":
        yield
        return
    file = Path(connection.settings_dict["NAME"])
    try:
        descriptor = os.open(file.parent, os.O_RDONLY)
    except OSError:
        yield  # Opening the database will say why.
        return
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(OSError):
            os.close(os.open(file, os.O_CREAT, 0o600))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _migration_lock(write) -> Iterator[None]:
    """Hold the lock for migrations, without a statement timeout."""
    if connection.vendor != "postgresql":
        with file_lock():
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [NUMBER])
            if cursor.fetchone()[0]:
                break
            write("Another upgrade is running. Waiting.")
            sleep(PAUSE_SECONDS)
        try:
            yield
        finally:
            connection.close()  # With its lock and its settings.
