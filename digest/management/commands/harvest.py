"""`manage.py harvest [SOURCE…]`: harvest sources now, and resume runs that were cut off."""

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from digest.management import base


class Command(base.Command):
    help = "Fetch papers from the sources now: all, or those that are named."

    def add_arguments(self, parser):
        parser.add_argument("sources", nargs="*", metavar="SOURCE")
        parser.add_argument("--since", type=base.day, help="Fetch all from this day on.")

    def handle(self, *, sources, since, **options):
        from digest.indexing import index_store
        from digest.papers import harvest

        known = ", ".join(harvest.SOURCES)
        if unknown := set(sources) - set(harvest.SOURCES):
            raise CommandError(
                f"There is no source {', '.join(sorted(unknown))}. There are: {known}."
            )
        if not sources and not settings.SOURCES:
            raise CommandError(f"SOURCES is empty. Name one here: {known}.")
        failed, new = [], 0
        for name in sources or settings.SOURCES:
            self.stdout.write(f"Asking {name}, which may take minutes.")
            source = harvest.SOURCES[name]()
            row = harvest.run(source, harvest.web_for(source), since=since)
            self.stdout.write(f"{name}: {row.said}")
            new += row.new + row.changed
            if row.state != row.State.DONE:
                failed.append(name)
        if new:
            model = index_store.renew(timezone.now())
            self.stdout.write(f"Ranking fitted on {model.said}.")
        if failed:
            raise CommandError(f"Not read to the end: {', '.join(failed)}. Run it again to go on.")
