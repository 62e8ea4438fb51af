"""`manage.py replay floor=0.2`: how digests would change, before a setting is switched on."""

from collections import Counter

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.table import Table

from digest.management import base
from digest.ranking.tuning import Tuning


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
        from digest.replay import replay, titles  # The model and numpy.

        if days < 1 or readers < 1:
            raise CommandError("At least one day and one reader are wanted.")
        try:
            now = Tuning.of(settings.RANKING)
            then = Tuning.of(settings.RANKING | dict(map(_change, changes)))
        except ValueError as error:
            raise CommandError(str(error)) from error
        at = timezone.now()
        until = until or timezone.localdate(at)
        table = Table("Day", "Digests", "Change", "Papers now", "then", "Come", "Go")
        rows = list(replay(now, then, until=until, days=days, readers=readers, at=at))
        for row in rows:
            table.add_row(*map(str, _cells(row)))
        console = Console(file=self.stdout, highlight=False, width=100)
        console.print(table)
        digests, changed = sum(row.digests for row in rows), sum(row.changed for row in rows)
        console.print(f"{changed:,} of {digests:,} digests would change.")
        for said, side in (("come", "added"), ("go", "removed")):
            all_days = sum((getattr(row, side) for row in rows), Counter())
            for title, count in titles(all_days, 5):
                console.print(f"  would {said} {count}×: {title}", soft_wrap=True, markup=False)
        console.print(f"Nothing was written. To switch it on: RANKING={','.join(changes)}")


def _change(text):
    name, _, number = text.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise CommandError(f"{text!r} is not like floor=0.2") from None


def _cells(row):
    return (
        row.day,
        row.digests,
        row.changed,
        row.picks_now,
        row.picks_then,
        sum(row.added.values()),
        sum(row.removed.values()),
    )
