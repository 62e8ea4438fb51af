"""`manage.py reconcile`: after a restored backup, record the emails that were sent since."""

from django.core.management.base import CommandError
from django.utils import timezone

from digest.management import base
from digest.wording import counted
from subscriptions.delivery.recovery.reconcile import Refused, reconcile


class Command(base.Command):
    help = (
        "After a restored backup, write down which letters had left since it was made. Stop "
        "sending before the workers start again, and resume it afterwards."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--since",
            type=base.moment,
            help="When the backup was made, with zone. Without it, when its last letter moved.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done.")

    def handle(self, *, since, dry_run, **options):
        try:
            found = reconcile(timezone.now(), since, dry_run=dry_run)
        except Refused as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(
            f"Looked for what left since {found.since:%Y-%m-%d %H:%M} UTC. Of the letters that "
            f"wait, {found.waiting} had left; of days without a letter, {found.lost}."
        )
        if found.unlisted:
            self.stdout.write(
                f"Which papers {found.unlisted} of these had is unknown. Their readers don't get "
                f"any paper that was new by then."
            )
        if found.goodbyes:
            who = counted(found.goodbyes, "reader")
            self.stdout.write(
                f"{who} had unsubscribed, as goodbyes tell that this database doesn't know, and "
                f"would get letters again: docs/maintenance.md says how to find them."
            )
        if dry_run or not (found.waiting or found.lost):
            self.stdout.write("Nothing was written.")
        else:
            self.stdout.write("They are accepted now, and stay so.")
