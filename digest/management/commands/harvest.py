"""`manage.py harvest [SOURCE…]`: harvest sources now, and resume runs that were cut off."""

from django.core.management.base import CommandError
from django.utils import timezone

from digest.management import base


class Command(base.Command):
    help = "Fetch papers now, from all sources or the named ones."

    def add_arguments(self, parser):
        parser.add_argument("sources", nargs="*", metavar="SOURCE")
        parser.add_argument("--since", type=base.day, help="First day to fetch.")

    def handle(self, *, sources, since, **options):
        from digest.indexing import index_store
        from digest.models import SourceConfig
        from digest.papers import harvest, registry

        names = SourceConfig.objects.values_list("name", flat=True)
        all_names = ", ".join(names)
        if unknown_names := ", ".join(sorted(set(sources) - set(names))):
            raise CommandError(f"Unknown source: {unknown_names}. Choose from: {all_names}.")
        if not (sources := sources or registry.enabled()):
            raise CommandError(f"No source is on. Name one: {all_names}.")
        incomplete, change_count = [], 0
        for name in sources:
            self.stdout.write(f"Fetching from {name}. This may take minutes.")
            source = registry.source_named(name)
            run = harvest.run(source, harvest.web_for(source), since=since)
            self.stdout.write(f"{name}: {run.result}")
            change_count += run.new + run.changed
            if run.state != run.State.DONE:
                incomplete.append(name)
        if change_count:
            model = index_store.renew(timezone.now())
            self.stdout.write(f"Ranking model fitted on {model.size_text}.")
        if incomplete:
            raise CommandError(f"Incomplete: {', '.join(incomplete)}. Run this again to continue.")
