"""Shared by our commands: they check the database first, and parse arguments."""

import errno
import os
import socket
from argparse import ArgumentTypeError
from contextlib import contextmanager
from datetime import date, datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from digest.operations import health, upgrade
from digest.operations.alarms import is_database_failure
from subscriptions import addresses

#: Error numbers of a full disk, an exceeded quota, and a file that is too large.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Command(BaseCommand):
    """A command that needs a migrated database.

    Migrates the embedded database, except in a dry run. Any other must be migrated already.
    """

    requires_migrations_checks = False

    def execute(self, *args, **options):
        with explained_errors():
            if settings.IS_PUBLIC or options.get("dry_run"):
                if reasons := health.reasons_not_ready(in_full=True):
                    raise CommandError(" ".join(reasons))
            else:
                with upgrade.file_lock():
                    call_command("migrate", interactive=False, verbosity=0)
            return super().execute(*args, **options)


@contextmanager
def explained_errors():
    """Raise CommandError with an explanation if the database fails or a disk is full."""
    try:
        yield
    except Error as error:
        if is_database_failure(error):
            raise CommandError(health.explain_error(error)) from error
        raise
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        raise CommandError(
            f"Cannot write {error.filename or 'a file'} ({error.strerror}): free space on its disk "
            f"(`disk` in docs/maintenance.md), then run this again."
        ) from error


@contextmanager
def explained_write_errors(path):
    """Raise CommandError if this file can't be written in the block."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"Cannot write {path}: {error.strerror}.") from error


def add_port(parser) -> None:
    parser.add_argument("--port", type=port, default=8000, help="Default: 8000.")


def port(text: str) -> int:
    """Return the port of an argument."""
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise ArgumentTypeError(f"{text!r} is not a port: use a number from 1 to 65535")
    return int(text)


def listening_socket(port_number: int, host: str = "127.0.0.1") -> socket.socket:
    """Return a socket that listens on this port. Raises CommandError if it can't be used."""
    try:
        return socket.create_server((host, port_number))
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno)
        text = f"Cannot use port {port_number} of {host} ({reason}). Choose another with --port."
        raise CommandError(text) from error


def address(text: str) -> str:
    """Return the email address of an argument."""
    try:
        return addresses.normalise(text)
    except ValidationError as error:
        raise ArgumentTypeError(" ".join(error.messages)) from None


def day(text: str) -> date:
    """Return the ISO date of an argument."""
    return _parse_iso(date, text, "2026-11-25")


def moment(text: str) -> datetime:
    """Return the ISO date and time of an argument, which must have a zone."""
    parsed = _parse_iso(datetime, text, "2026-11-25T07:00+01:00")
    if parsed.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} needs a time zone, as in 2026-11-25T07:00+00:00")
    return parsed


def _parse_iso(date_class, text, example):
    """Return a date or time, without the ends of Python's calendar: days are added to it."""
    try:
        parsed_value = date_class.fromisoformat(text)
    except ValueError:
        noun = "date" if date_class is date else "time"
        raise ArgumentTypeError(f"{text!r} is not a {noun} like {example}") from None
    if not 1900 <= parsed_value.year < 3000:
        raise ArgumentTypeError("the year must be from 1900 to 2999")
    return parsed_value
