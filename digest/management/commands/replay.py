"""`manage.py replay cut=4.2`: how digests would change with other ranking parameters."""

from datetime import timedelta

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from digest.management import base
from digest.ranking.parameters import OLD, Parameters
from digest.wording import counted


class Command(base.Command):
    help = "Simulate the digests of the last days with other ranking parameters."

    def add_arguments(self, parser):
        parser.add_argument("changes", nargs="+", metavar="NAME=NUMBER", help="As in RANKING.")
        parser.add_argument("--days", type=int, default=30, help="Number of days (default: 30).")
        parser.add_argument("--until", type=base.day, help="The last day (default: today).")
        parser.add_argument("--readers", type=int, default=500, help="Sample size (default: 500).")

    def handle(self, *, changes, days, until, readers, **options):
        from digest.indexing import candidates, model_store
        from digest.planning import replay  # The model and numpy.

        if days < 1 or readers < 1:
            raise CommandError("--days and --readers must be 1 or more.")
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
        self._print(compared, sum(compared[1:], compared[0]), replay.titles)
        self.stdout.write(f"Nothing was changed. To apply this, set RANKING={','.join(changes)}")

    def _print(self, days, total, titles):
        table = Table("Day", "Digests", "Changed", "Papers now", "Papers then", "Added", "Removed")
        for day in days:
            papers = (day.picks_now, day.picks_then, day.added, day.removed)
            row = day.day, day.digests, day.changed, *(counter.total() for counter in papers)
            table.add_row(*map(str, row))
        console = Console(file=self.stdout, highlight=False, width=100)
        digests = total.digests or 1
        console.print(table)
        console.print(
            f"{total.changed:,} of {counted(total.digests, 'digest')} would change; "
            f"{total.kept:.1%} of their papers stay.\n"
            f"Digests with papers: {total.had_now / digests:.1%} now, "
            f"{total.had_then / digests:.1%} then; "
            f"different papers: {len(total.picks_now):,} now, {len(total.picks_then):,} then."
        )
        for verb, papers in (("added", total.added), ("removed", total.removed)):
            for title, count in titles(papers, 5):
                console.print(f"  {verb} {count}×: {title}", soft_wrap=True, markup=False)


def _change(text):
    name, _, number = text.partition("=")
    if name.strip() in OLD:
        raise CommandError(f"{name.strip()} has no effect any more: see docs/ranking.md.")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise CommandError(f"{text!r} is not a parameter: write it like cut=4.2") from None
