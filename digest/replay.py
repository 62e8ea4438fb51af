"""What the last days' digests would have been with other settings of the ranking.

Each day is ranked twice, as the settings are and as they would be, for readers as they are now and
with the papers as they are known now. Both sides have their own memory of what was shown, so that
they differ by the settings alone. Nothing is written.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from digest import editions
from digest.models import Paper
from digest.profiles import profiles_of
from digest.ranking.choice import choose
from digest.ranking.tuning import Tuning
from subscriptions.models import Subscriber


@dataclass
class Day:
    """How the digests of one day differ."""

    day: date
    digests: int = 0
    changed: int = 0
    picks_now: int = 0
    picks_then: int = 0
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)


def replay(now: Tuning, then: Tuning, *, until: date, days: int, readers: int, at) -> Iterator[Day]:
    """Yield each of the last `days` days, ranked with the settings of `now` and of `then`.

    For so many `readers` at most, evenly spread over all who want letters.
    """
    subscribers = _spread(Subscriber.objects.wanting(), readers)
    profiles = profiles_of(subscribers)
    shown: dict[str, list[set[str]]] = {
        side: [set() for _ in subscribers] for side in ("now", "then")
    }
    for back in reversed(range(days)):
        day = until - timedelta(days=back)
        issue = editions.issue_of(day, at, may_store=False)
        picked = {
            side: _picked(issue, profiles, shown[side], tuning)
            for side, tuning in (("now", now), ("then", then))
        }
        yield _compared(day, picked["now"], picked["then"])


def titles(papers: Counter[str], limit: int) -> list[tuple[str, int]]:
    """Return the most frequent of these papers by title, each with how often it is there."""
    most = papers.most_common(limit)
    found = Paper.objects.in_bulk([paper for paper, _ in most])
    return [(found[paper].title, count) for paper, count in most]


def _spread(subscribers, limit):
    ids = list(subscribers.order_by("pk").values_list("pk", flat=True))
    step = max(1, -(-len(ids) // limit))
    return list(subscribers.filter(pk__in=ids[::step]).order_by("pk"))


def _picked(issue, profiles, shown, tuning):
    """Return the papers of each reader's digest, and note them as shown."""
    seen = [{issue.places[one] for one in had if one in issue.places} for had in shown]
    chosen = choose(issue.model, issue.edition, profiles, seen, tuning)
    picked = []
    for had, choices in zip(shown, chosen, strict=True):
        papers = [issue.ids[choice.paper] for choice in choices]
        had.update(papers, *([issue.ids[n] for n in choice.relatives] for choice in choices))
        picked.append(papers)
    return picked


def _compared(day, now, then):
    compared = Day(day, digests=len(now))
    for papers, others in zip(now, then, strict=True):
        compared.changed += papers != others
        compared.picks_now += len(papers)
        compared.picks_then += len(others)
        compared.added.update(set(others) - set(papers))
        compared.removed.update(set(papers) - set(others))
    return compared
