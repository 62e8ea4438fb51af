"""What the last days' digests would have been with other settings of the ranking.

Each day is ranked twice, as the settings are and as they would be, for readers as they are now and
with the papers as they are known now. Both sides have their own memory of what was shown, so that
they differ by the settings alone. Nothing is written.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from digest.choosing import has_news
from digest.indexing.candidates import Window
from digest.models import Paper
from digest.profiles import profiles_of
from digest.ranking.parameters import Parameters
from digest.ranking.selection import choose
from subscriptions.models import Subscriber


@dataclass
class Day:
    """How the digests of one day differ. `had` counts those with any paper."""

    day: date
    digests: int = 0
    changed: int = 0
    had_now: int = 0
    had_then: int = 0
    picks_now: Counter[str] = field(default_factory=Counter)
    picks_then: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)

    @property
    def row(self) -> list[int]:
        """Return its figures as tables have them."""
        papers = (self.picks_now, self.picks_then, self.added, self.removed)
        return [self.digests, self.changed, *(some.total() for some in papers)]


@dataclass(frozen=True)
class Total:
    """How the digests of several days differ.

    `kept`: the share of the picks of now that stay. `had`: the shares of digests with any paper.
    `papers`: how many different ones.
    """

    digests: int
    changed: int
    kept: float
    had_now: float
    had_then: float
    picks_now: int
    picks_then: int
    papers_now: int
    papers_then: int
    added: Counter[str]
    removed: Counter[str]


def replay(
    now: Parameters, then: Parameters, windows: Iterable[Window], subscribers: list[Subscriber]
) -> Iterator[Day]:
    """Yield each day, the earliest first, ranked with the settings of `now` and of `then`.

    Each has the papers that are new to those who had the digest of the day before.
    """
    profiles = profiles_of(subscribers)
    shown: dict[str, list[set[str]]] = {
        side: [set() for _ in subscribers] for side in ("now", "then")
    }
    for window in windows:
        picked = {
            side: _picked(window, profiles, shown[side], parameters)
            for side, parameters in (("now", now), ("then", then))
        }
        yield _compared(window.day, picked["now"], picked["then"])


def summed(days: list[Day]) -> Total:
    """Return how all of the days differ together."""

    def together(name):
        return sum((getattr(day, name) for day in days), Counter())

    digests = sum(day.digests for day in days)
    now, then, removed = together("picks_now"), together("picks_then"), together("removed")
    return Total(
        digests,
        sum(day.changed for day in days),
        1 - removed.total() / now.total() if now else 1.0,
        sum(day.had_now for day in days) / max(digests, 1),
        sum(day.had_then for day in days) / max(digests, 1),
        now.total(),
        then.total(),
        len(now),
        len(then),
        together("added"),
        removed,
    )


def titles(papers: Counter[str], limit: int) -> list[tuple[str, int]]:
    """Return the most frequent of these papers by title, each with how often it is there."""
    most = papers.most_common(limit)
    found = Paper.objects.in_bulk([paper for paper, _ in most])
    return [(found[paper].title, count) for paper, count in most if paper in found]


def some_readers(limit: int) -> list[Subscriber]:
    """Return so many of those who want letters at most, evenly spread over all."""
    subscribers = Subscriber.objects.wanting()
    ids = list(subscribers.order_by("pk").values_list("pk", flat=True))
    step = max(1, -(-len(ids) // limit))
    return list(subscribers.filter(pk__in=ids[::step]).order_by("pk"))


def _picked(window, profiles, shown, parameters):
    """Return the papers of each reader's digest, and note them as shown."""
    seen = [window.places_of(had) for had in shown]
    since = [window.begin(window.day)] * len(profiles)
    chosen = choose(window.model, window.papers, profiles, seen, parameters, since=since)
    picked, ids = [], window.papers.ids
    for had, choices in zip(shown, chosen, strict=True):
        choices = choices if has_news(choices) else []
        papers = [ids[choice.paper] for choice in choices]
        had.update(papers, *([ids[n] for n in choice.relatives] for choice in choices))
        picked.append(papers)
    return picked


def _compared(day, now, then):
    compared = Day(day, digests=len(now))
    for papers, others in zip(now, then, strict=True):
        compared.changed += papers != others
        compared.had_now += bool(papers)
        compared.had_then += bool(others)
        compared.picks_now.update(papers)
        compared.picks_then.update(others)
        compared.added.update(set(others) - set(papers))
        compared.removed.update(set(papers) - set(others))
    return compared
