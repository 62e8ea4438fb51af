"""`manage.py upgrade`: migrate the database while emails are being sent."""

from django.core.management.base import BaseCommand

from digest.management import base
from digest.operations import upgrade


class Command(BaseCommand):
    help = "Migrate the database while workers run."
    requires_migrations_checks = False
    requires_system_checks = []  # `migrate` runs them.

    def handle(self, **options):
        with base.explained_errors():
            upgrade.migrate(self.stdout.write)
            upgrade.prepare_topics(self.stdout.write)
        self.stdout.write("The database is up to date.")
