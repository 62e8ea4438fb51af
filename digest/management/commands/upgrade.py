"""`manage.py upgrade`: bring the database to what this version needs, while letters leave."""

from django.core.management.base import BaseCommand

from digest import starter, upgrading


class Command(BaseCommand):
    help = "Migrate the database beside running workers, and make the starter topics if need be."
    requires_migrations_checks = False

    def handle(self, **options):
        upgrading.migrate(self.stdout.write)
        if made := starter.make_topics():
            self.stdout.write(f"Made {made} starter topics.")
        self.stdout.write("The database is ready for this version.")
