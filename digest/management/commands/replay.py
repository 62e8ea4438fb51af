"""`manage.py replay cut=4.2`: how digests would change with other ranking parameters."""

from datetime import timedelta

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from digest.management import base
from digest.ranking.parameters import Parameters


class Command(base.Command):
    help = "Rank the last days again with changed settings, and say how digests would change."

    def add_arguments(self, parser):
        parser.add_argument(
            "changes", nargs="+", metavar="NAME=NUMBER", help="As RANKING would have them."
        )
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--until", type=base.day, help="The last day (default: today).")
        parser.add_argument("--readers", type=int, default=500, help="So many, evenly spread.")

    def handle(self, *, changes, days, until, readers, **options):
        from digest.indexing import candidates, model_store
        from digest.planning import replay  # The model and numpy.

        if days < 1 or readers < 1:
            raise CommandError("At least one day and one reader are wanted.")
        try:
            now = Parameters.of(settings.RANKING)
            then = Parameters.of(settings.RANKING | dict(map(_change, changes)))
        except ValueError as error:
            raise CommandError(str(error)) from error
        at = timezone.now()
        until = until or timezone.localdate(at)
        dates = (until - timedelta(days=back) for back in reversed(range(days)))
        model = model_store.current(at, may_store=False)
        windows = (candidates.announced(model, day) for day in dates)
        compared = list(replay.replay(now, then, windows, replay.sample_subscribers(readers)))
        self._print(compared, replay.total_of(compared), replay.titles)
        self.stdout.write(f"Nothing was written. To switch it on: RANKING={','.join(changes)}")

    def _print(self, days, total, titles):
        table = Table("Day", "Digests", "Change", "Papers now", "then", "Come", "Go")
        for day in days:
            table.add_row(*map(str, (day.day, *day.row)))
        console = Console(file=self.stdout, highlight=False, width=100)
        console.print(table)
        console.print(
            f"{total.changed:,} of {total.digests:,} digests would change; "
            f"{total.kept:.1%} of the papers in them stay."
        )
        console.print(
            f"Digests with any paper: {total.had_now:.1%} now, {total.had_then:.1%} then; "
            f"different papers: {total.papers_now:,} now, {total.papers_then:,} then."
        )
        for verb, papers in (("come", total.added), ("go", total.removed)):
            for title, count in titles(papers, 5):
                console.print(f"  would {verb} {count}×: {title}", soft_wrap=True, markup=False)


def _change(text):
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise CommandError(f"{text!r} is not like cut=4.2") from None
