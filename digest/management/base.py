"""What our commands share: they find a database that they can use, or say what to do."""

from argparse import ArgumentTypeError
from datetime import date, datetime

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from digest import health


class Command(BaseCommand):
    """A command on a ready database: the embedded one is migrated first, any other must be."""

    requires_migrations_checks = False

    def execute(self, *args, **options):
        if settings.IS_PUBLIC:
            if reasons := health.reasons_not_ready():
                raise CommandError(" ".join(reasons))
        else:
            call_command("migrate", interactive=False, verbosity=0)
        return super().execute(*args, **options)


def day(text: str) -> date:
    """Return an ISO date, for arguments."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-11-25") from None


def moment(text: str) -> datetime:
    """Return an ISO moment, which must say its zone, for arguments."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no moment such as 2026-11-25T07:00+01:00") from None
    if parsed.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} says no zone, as in 2026-11-25T07:00+00:00")
    return parsed
