"""What our commands share: they find a database that they can use, or say what to do."""

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

from digest import health, upgrading
from digest.alarms import is_of_the_database
from subscriptions import addresses

#: How the system says that there is no room: on the disk, for this user, for so large a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Command(BaseCommand):
    """A command on a ready database: the embedded one is migrated first, any other must be.

    A dry run, which says that it writes nothing, migrates none.
    """

    requires_migrations_checks = False

    def execute(self, *args, **options):
        with database_told(), disk_told():
            if settings.IS_PUBLIC or options.get("dry_run"):
                if reasons := health.reasons_not_ready(in_full=True):
                    raise CommandError(" ".join(reasons))
            else:
                with upgrading.alone_with_file():
                    call_command("migrate", interactive=False, verbosity=0)
            return super().execute(*args, **options)


@contextmanager
def database_told():
    """Raise CommandError, in words, where the database goes away, or takes no writes."""
    try:
        yield
    except Error as error:
        if is_of_the_database(error):
            raise CommandError(health.in_words(error)) from error
        raise


@contextmanager
def disk_told():
    """Raise CommandError, in words, where a disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise CommandError(
            f"{error.filename or 'A file'} can't be written ({error.strerror}): make room on its "
            f"disk (`disk` in docs/runbook.md), and run this again."
        ) from error


@contextmanager
def writing(path):
    """Raise CommandError where what is done in here can't write to this file."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}.") from error


def add_port(parser) -> None:
    parser.add_argument(
        "--port", type=port, default=8000, help="Where on 127.0.0.1 to serve (default: 8000)."
    )


def port(text: str) -> int:
    """Return a port, for arguments. The system takes one that is too large for another."""
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise ArgumentTypeError(f"{text!r} is no port: these are 1 to 65535")
    return int(text)


def listening(number: int) -> socket.socket:
    """Return a socket that listens on this port, which is nobody else's from here on.

    Raises CommandError where it can't be used: before anything says that it is served.
    """
    try:
        return socket.create_server(("127.0.0.1", number))
    except OSError as error:
        raise CommandError(
            f"Port {number} of 127.0.0.1 can't be used ({os.strerror(error.errno)}). "
            f"Choose another with --port."
        ) from error


def address(text: str) -> str:
    """Return an email address, for arguments."""
    try:
        return addresses.normalise(text)
    except ValidationError as error:
        raise ArgumentTypeError(" ".join(error.messages)) from None


def day(text: str) -> date:
    """Return an ISO date, for arguments."""
    try:
        parsed = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-25") from None
    _check_year(parsed)
    return parsed


def _check_year(parsed: date) -> None:
    """Refuse the ends of Python's calendar, since days before and after are reckoned with."""
    if not 1900 <= parsed.year < 3000:
        raise ArgumentTypeError("years are taken from 1900 to 2999")


def moment(text: str) -> datetime:
    """Return an ISO moment, which must say its zone, for arguments."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no moment such as 2026-11-25T07:00+01:00") from None
    if parsed.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} says no zone, as in 2026-11-25T07:00+00:00")
    _check_year(parsed)
    return parsed
