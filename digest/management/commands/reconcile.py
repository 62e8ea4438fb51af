"""`manage.py reconcile`: after a restored backup, record the emails that were sent since."""

from django.core.management.base import CommandError
from django.utils import timezone

from digest.management import base
from digest.numbers import counted
from subscriptions.delivery.recovery.reconcile import Refused, reconcile


class Command(base.Command):
    help = (
        "After a restored backup, record the emails that were sent since it was made. Stop sending "
        "before the workers start again, and resume it afterwards."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--since",
            type=base.moment,
            help="Time of the backup, with time zone (default: the last change of an email in it).",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")

    def handle(self, *, since, dry_run, **options):
        try:
            found = reconcile(timezone.now(), since, dry_run=dry_run)
        except Refused as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(
            f"Sent since {found.since:%Y-%m-%d %H:%M} UTC: {found.waiting:,} of the queued emails "
            f"and {counted(found.lost, 'digest')} missing from this database."
        )
        if found.unlisted:
            self.stdout.write(
                f"The papers of {counted(found.unlisted, 'missing digest')} are unknown. These "
                f"subscribers get no paper that was new by then."
            )
        if found.goodbyes:
            who = counted(found.goodbyes, "subscriber")
            self.stdout.write(
                f"{who} had unsubscribed since and would get emails again. Find them before you "
                f"resume sending, as docs/maintenance.md explains."
            )
        if dry_run or not (found.waiting or found.lost):
            self.stdout.write("Nothing was changed.")
        else:
            self.stdout.write("These emails are now recorded as sent.")
