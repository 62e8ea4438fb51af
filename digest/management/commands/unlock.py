"""`manage.py unlock`: let someone log in again who is locked out of the panel."""

from django.core.management.base import CommandError

from digest.management import base
from subscriptions import log_in


class Command(base.Command):
    help = (
        "Forget wrong passwords, so that an account, or a network, may log in to the panel again."
    )

    def add_arguments(self, parser):
        parser.add_argument("--account", metavar="NAME", default="", help="The account's name.")
        parser.add_argument(
            "--ip", metavar="ADDRESS", default="", help="An address of the network."
        )

    def handle(self, *, account, ip, **options):
        if not account and not ip:
            raise CommandError("Say whom to let in: --account NAME, --ip ADDRESS, or both.")
        count = log_in.unlock(account, ip)
        self.stdout.write(f"{count} wrong passwords are forgotten.")
