"""`manage.py backup FILE`: a copy of the embedded database, while the service runs."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError
from django.db import connection


class Command(BaseCommand):
    help = "Copy the embedded database (SQLite) into a new file, while the service runs."
    requires_migrations_checks = False
    requires_system_checks = []  # One of them writes, and would wait for other writers.

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *, file, **options):
        if connection.vendor != "sqlite":
            raise CommandError(
                "This command copies SQLite only. For PostgreSQL, run "
                '`pg_dump --format=custom --file=FILE "$DATABASE_URL"`.'
            )
        database = Path(connection.settings_dict["NAME"]).resolve()
        if not database.exists():
            raise CommandError(f"There is no database in {database.parent}. Check DATA_DIR.")
        try:  # A new file that only its owner can read.
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise CommandError(f"{file} exists already. Choose another name.") from None
        except OSError as error:
            raise CommandError(f"Cannot write {file}: {error.strerror}.") from None
        _copy(database, file)
        self.stdout.write(
            f"Database copied to {file} ({file.stat().st_size / 10**6:.1f} MB). Also back up "
            f"SECRET_KEY, in another place: links in sent emails need it."
        )


def _copy(database, file):
    """Copy the database into the file. After an error, delete the file."""
    try:
        with (
            closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(file)) as copy,
        ):
            source.backup(copy)
            damage = _damage(copy)
    except sqlite3.Error as error:
        file.unlink()
        raise CommandError(f"Cannot copy {database} to {file}: {error}.") from None
    if damage:
        file.unlink()
        raise CommandError(
            f"{database} is damaged ({damage}). No copy was kept. Restore an older backup, as "
            f"docs/maintenance.md explains."
        )


def _damage(copy):
    """Return SQLite's description of damage in the copy, or an empty string."""
    try:
        (message,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if message == "ok" else " ".join(message.split())
