"""`manage.py upgrade`: bring the database to what this version needs, while letters leave."""

from django.core.management.base import BaseCommand

from digest import starter, upgrading
from digest.counts import counted
from digest.management import base


class Command(BaseCommand):
    help = "Migrate the database beside running workers, and make the starter topics if need be."
    requires_migrations_checks = False
    requires_system_checks = []  # `migrate` makes them itself, where what they raise is told.

    def handle(self, **options):
        with base.database_told():
            upgrading.migrate(self.stdout.write)
        if made := starter.make_topics():
            self.stdout.write(f"Made {counted(made, 'starter topic')}.")
        self.stdout.write("The database is ready for this version.")
