"""Compare the last days' digests with those of other ranking parameters.

Each day is ranked twice, for today's subscribers and papers. Papers that were shown on one day are
hidden on later days, on each side by itself. Nothing is stored.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date

from digest.indexing.candidates import Window
from digest.models import Paper
from digest.personalization.profiles import profiles_of
from digest.planning.selection import chosen_ids, has_news
from digest.ranking.parameters import Parameters
from digest.ranking.selection import choose
from subscriptions.models import Subscriber


@dataclass
class Comparison:
    """How the digests of one day differ, or of several days if comparisons are added.

    Attributes:
        day: the last one.
        digests, changed: number of digests, and how many of them differ.
        had_now, had_then: how many have any paper.
        picks_now, picks_then: papers, and how many digests have them.
        added, removed: papers, and how many digests they are added to or removed from.
    """

    day: date
    digests: int = 0
    changed: int = 0
    had_now: int = 0
    had_then: int = 0
    picks_now: Counter[str] = field(default_factory=Counter)
    picks_then: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    removed: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Comparison") -> "Comparison":
        names = [field.name for field in fields(self)][1:]
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Comparison(other.day, **sums)

    @property
    def kept(self) -> float:
        """Return the share of the current picks that stay."""
        picks = self.picks_now.total()
        return 1 - self.removed.total() / picks if picks else 1.0


def replay(
    now: Parameters, then: Parameters, windows: Iterable[Window], subscribers: list[Subscriber]
) -> Iterator[Comparison]:
    """Yield a comparison of each day, the earliest first, ranked with the parameters of each side.

    New papers are those since the day before.
    """
    profiles = profiles_of(subscribers)
    shown_now, shown_then = ([set() for _ in subscribers] for _ in range(2))
    for window in windows:
        picked_now = _pick(window, profiles, shown_now, now)
        picked_then = _pick(window, profiles, shown_then, then)
        yield _compare(window.day, picked_now, picked_then)


def titles(papers: Counter[str], limit: int) -> list[tuple[str, int]]:
    """Return the titles of the most frequent papers, each with its count."""
    most = papers.most_common(limit)
    rows = Paper.objects.in_bulk([pk for pk, _ in most])
    return [(rows[pk].title, count) for pk, count in most if pk in rows]


def sample_subscribers(limit: int) -> list[Subscriber]:
    """Return at most so many active subscribers, evenly spread over all."""
    subscribers = Subscriber.objects.subscribed()
    ids = list(subscribers.order_by("pk").values_list("pk", flat=True))
    step = max(1, -(-len(ids) // limit))
    return list(subscribers.filter(pk__in=ids[::step]).order_by("pk"))


def _pick(window, profiles, shown, parameters):
    """Return the papers of each subscriber's digest, and add them to `shown`."""
    seen = [window.places_of(had) for had in shown]
    since = [window.begin(window.day)] * len(profiles)
    chosen = choose(window.model, window.papers, profiles, seen, parameters, since=since)
    picked = []
    for had, choices in zip(shown, chosen, strict=True):
        choices = list(map(window.with_ids, choices)) if has_news(choices) else []
        had.update(chosen_ids(choices))
        picked.append([choice.paper for choice in choices])
    return picked


def _compare(day, now, then):
    comparison = Comparison(day, digests=len(now))
    for now_ids, then_ids in zip(now, then, strict=True):
        comparison.changed += now_ids != then_ids
        comparison.had_now += bool(now_ids)
        comparison.had_then += bool(then_ids)
        comparison.picks_now.update(now_ids)
        comparison.picks_then.update(then_ids)
        comparison.added.update(set(then_ids) - set(now_ids))
        comparison.removed.update(set(now_ids) - set(then_ids))
    return comparison
