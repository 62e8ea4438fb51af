"""Compare the last days' digests with those of another cut.

    uv run python -m tests.benchmarks.replay cut=0.5 [--days 30] [--until DAY] [--readers 500]

Reads the installation that the environment names, and stores nothing. Each day is ranked twice,
with RANKING as it is (now) and with the other cut (then), for today's papers and subscribers, of
whom --readers are drawn. New papers are those since the day before. Papers that were shown on one
day are hidden on later days, on each side by itself.
"""

import argparse
import os
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import django
from rich.console import Console
from rich.table import Table

from digest.ranking.parameters import Parameters
from digest.ranking.ranking import choose

type Pair = tuple[list[str], list[str]]  # The ids of a digest's papers, now and then.


def main(arguments: Sequence[str] | None = None) -> None:
    from django.conf import settings
    from django.utils import timezone

    from digest.indexing import candidate_windows, model_store
    from digest.personalization.profiles import profiles_of

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("changes", nargs="+", metavar="cut=NUMBER", type=parameters)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--until", type=date.fromisoformat, metavar="DAY", help="Default: today.")
    parser.add_argument("--readers", type=int, default=500)
    options = parser.parse_args(arguments)
    if options.days < 1 or options.readers < 1:
        parser.error("--days and --readers must be 1 or more.")
    sides = Parameters.of(settings.RANKING), options.changes[-1]
    now = timezone.now()
    until = options.until or timezone.localdate(now)
    model = model_store.current(now, may_store=False)
    profiles = profiles_of(sample(options.readers))
    shown: list[list[set[str]]] = [[set() for _ in profiles] for _ in sides]
    days = {}
    for back in reversed(range(options.days)):
        window = candidate_windows.announced(model, until - timedelta(days=back))
        picked = (picks(window, profiles, *side) for side in zip(shown, sides, strict=True))
        days[window.day] = list(zip(*picked, strict=True))
    report(days)
    print(f"Nothing was changed. To apply this, set RANKING=cut={sides[1].cut:g}")


def parameters(text: str) -> Parameters:
    """Return the parameters of an argument."""
    name, _, number = text.partition("=")
    try:
        if name.strip() == "cut":
            return Parameters.of({"cut": float(number)})
        reason = "there is no other parameter"
    except ValueError as error:
        reason = str(error)
    raise argparse.ArgumentTypeError(f"write {text!r} like cut=0.5: {reason}")


def sample(limit: int) -> list:
    """Return at most so many active subscribers, evenly spread over all."""
    from subscriptions.models import Subscriber

    subscribers = Subscriber.objects.subscribed().order_by("pk")
    ids = list(subscribers.values_list("pk", flat=True))
    return list(subscribers.filter(pk__in=ids[:: max(1, -(-len(ids) // limit))]))


def picks(window, profiles: list, shown: list[set[str]], side: Parameters) -> list[list[str]]:
    """Return the papers of each subscriber's digest, and add them to `shown`."""
    from digest.planning.selection import chosen_ids, has_new

    first_new = [window.first_on(window.day)] * len(profiles)
    chosen = choose(window.model, window.papers, profiles, shown, side, first_new=first_new)
    picked = []
    for papers, choices in zip(shown, chosen, strict=True):
        choices = choices if has_new(choices) else []
        papers.update(chosen_ids(choices))
        picked.append([choice.paper for choice in choices])
    return picked


def compared(pairs: list[Pair]) -> tuple[int, list[Counter[str]]]:
    """Return the number of digests that change, and, by paper, of those that have it now, have it
    then, gain it and lose it.
    """
    now, then, added, removed = counters = [Counter() for _ in range(4)]
    for now_ids, then_ids in pairs:
        now.update(now_ids)
        then.update(then_ids)
        added.update(paper for paper in then_ids if paper not in now_ids)
        removed.update(paper for paper in now_ids if paper not in then_ids)
    return sum(now_ids != then_ids for now_ids, then_ids in pairs), counters


def report(days: dict[date, list[Pair]]) -> None:
    from digest.models import Paper
    from digest.numbers import counted

    table = Table("Day", "Digests", "Changed", "Papers now", "Papers then", "Added", "Removed")
    for day, pairs in days.items():
        changed, counters = compared(pairs)
        sums = [counter.total() for counter in counters]
        table.add_row(*map(str, [day, len(pairs), changed, *sums]))
    console = Console(highlight=False, width=100)
    console.print(table)
    total = [pair for pairs in days.values() for pair in pairs]
    changed, (now, then, added, removed) = compared(total)
    kept = 1 - removed.total() / (now.total() or 1)
    filled = [sum(bool(pair[side]) for pair in total) / (len(total) or 1) for side in (0, 1)]
    console.print(
        f"{changed:,} of {counted(len(total), 'digest')} would change; "
        f"{kept:.1%} of their papers stay.\n"
        f"Digests with papers: {filled[0]:.1%} now, {filled[1]:.1%} then; "
        f"different papers: {len(now):,} now, {len(then):,} then."
    )
    for verb, papers in (("added", added), ("removed", removed)):
        for pk, count in papers.most_common(5):
            title = Paper.objects.get(pk=pk).title
            console.print(f"  {verb} {count}×: {title}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    main()
