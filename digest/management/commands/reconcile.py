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
            report = reconcile(timezone.now(), since, dry_run=dry_run)
        except Refused as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(
            f"Sent since {report.since:%Y-%m-%d %H:%M} UTC: {report.waiting:,} of the queued "
            f"emails and {counted(report.lost, 'digest')} missing from this database."
        )
        if report.unlisted:
            self.stdout.write(
                f"The papers of {counted(report.unlisted, 'missing digest')} are unknown. These "
                f"subscribers get no paper that was new by then."
            )
        if report.goodbyes:
            subscribers = counted(report.goodbyes, "subscriber")
            self.stdout.write(
                f"{subscribers} had unsubscribed since and would get emails again. Find them "
                f"before you resume sending, as docs/maintenance.md explains."
            )
        if dry_run or not (report.waiting or report.lost):
            self.stdout.write("Nothing was changed.")
        else:
            self.stdout.write("These emails are now recorded as sent.")
