"""The new papers of a day, as the ranking reads them. Made once, and kept while nothing changes.

For who has had no digest for days, those are new too that came meanwhile. There are few lengths of
this time, so that many readers share an issue.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from threading import Lock
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Sum

from digest import archive, fitting
from digest.aliases import aliases_of
from digest.models import Observation, Paper, days_of_new
from digest.ranking.edition import Edition
from digest.ranking.model import TfidfModel
from digest.ranking.part import Part
from digest.sources.taxonomy import merged

#: A paper may have a second chance until it is so old.
SECOND_DAYS = 60
#: A reader's last digest may lie so many days back, and nothing that came since is lost for her.
#: What is older stays so: there is only one digest to hold it.
LONGER = (14, 30)
BACK = 7  # Pages show what was new on so many days before today, too, and share it.
RECENT = 7  # What it gained in so many days is what it took off by.
LEAST_GAIN = 10
PLENTY = 30  # So many are enough in any company: among few papers, none is ahead of the others.
TAKEN_OFF = 0.5  # So far ahead of its field and age: see Edition.trends.


@dataclass(frozen=True, eq=False)
class Issue:
    """The papers that are new on a day: `ids` in the edition's order, and where each stands in it.

    They are of the last `days` days. Each issue equals itself alone.
    """

    day: date
    days: int
    model: TfidfModel
    edition: Edition
    ids: list[str]
    places: dict[str, int]

    @classmethod
    def of(cls, day, days, model, edition, ids) -> "Issue":
        return cls(day, days, model, edition, ids, {paper: n for n, paper in enumerate(ids)})

    def places_of(self, papers: Iterable[str]) -> set[int]:
        """Return where these papers stand, also those that stand here under another id."""
        aliases = self.edition.aliases
        works = {same for one in papers for same in (one, *aliases.get(one, ()))}
        return {self.places[one] for one in works if one in self.places}

    def begins_after(self, day: date) -> int:
        """Return where the first paper stands that was announced after this day."""
        return bisect_right(-self.edition.ages, (day - self.day).days)

    def part(self, start: int, stop: int, days_ago: int = 0) -> "Issue":
        """Return the papers at positions `start` to `stop`, as they were new `days_ago`."""
        edition, ids = Part.between(self.edition, start, stop, days_ago), self.ids[start:stop]
        of_day = self.day - timedelta(days=days_ago)
        return Issue.of(of_day, settings.NEW_DAYS, self.model, edition, ids)


_last: dict[str, tuple[tuple, Any]] = {}
_making: defaultdict[str, Lock] = defaultdict(Lock)


def issue_of(day, now, *, days=None, may_store=True) -> Issue:
    """Return the papers that are new on `day`, of NEW_DAYS or of so many `days`, with the model in
    use.

    Asks five queries at most. Where no model is in use, one is fitted, and stored if it may be.
    """
    days = days or settings.NEW_DAYS
    papers = Paper.objects.new_on(day, days)
    state = papers.aggregate(count=Count("pk"), changed=Max("changed_at"))
    model = fitting.current(now, may_store=may_store)
    key = (model, day, *state.values())
    return _kept(_name(days), key, lambda: _make(day, days, model, papers))


def days_back(day: date, last: date | None) -> int:
    """Return of how many days papers are new on `day` to who had her last digest on that one.

    That one's own are among them: some came in after it.
    """
    lengths = [settings.NEW_DAYS, *(days for days in LONGER if days > settings.NEW_DAYS)]
    needed = 0 if last is None else (day - last).days + 1
    return next((days for days in lengths if days >= needed), lengths[-1])


def forget_longer() -> None:
    """Let go of the issues of more days than usual, which take some hundred megabytes."""
    for days in LONGER:
        _last.pop(_name(days), None)


def issues_until(day: date, back: int) -> list[Issue]:
    """Return the papers that were new on each of the days from `back` days before `day` to it.

    What is of tomorrow is new on the last day alone: on those before, nobody had it yet. Asks and
    raises what `window` does.
    """
    whole = window(day, back)
    return _kept("days", (whole, back), lambda: list(_make_days(whole, back)))


def for_page(day: date, days: int) -> Issue:
    """Return the papers that are new on `day`, of so many `days`: what pages rank anyway, where it
    is one of theirs. Asks and raises what `window` does.
    """
    if days == settings.NEW_DAYS:
        return issues_until(day, BACK)[-1]
    return window(day, days - settings.NEW_DAYS)


def window(day: date, back: int) -> Issue:
    """Return the papers that are new on `day`, or were on one of the days `back`, all in one.

    For pages: nothing is fitted, and where there is an archive, no text is read, but of papers with
    one title. Asks four queries at most then, and six without. Raises fitting.NotFitted where no
    model is in use.
    """
    name = f"window of {back} days"
    if (papers := archive.current()) is not None:
        return _kept(name, (papers, day, back), lambda: _from_archive(papers, day, back))
    model = fitting.in_use()
    papers = Paper.objects.new_between(day - timedelta(days=back), day)
    state = papers.aggregate(count=Count("pk"), changed=Max("changed_at"))
    key = model, day, back, *state.values()
    return _kept(name, key, lambda: _make(day, settings.NEW_DAYS + back, model, papers))


def after(issue: Issue, day: date) -> Issue:
    """Return the papers of an issue that were announced after this day."""
    return replace(issue.part(issue.begins_after(day), len(issue.ids)), days=issue.days)


def second_chances(issue: Issue) -> Issue:
    """Return the papers that took off when they were new no more, with the model of `issue`.

    Their popularity is what they gained lately. Asks two queries at most.
    """
    first = issue.day - timedelta(days=SECOND_DAYS)
    seen = Observation.objects.filter(
        paper__day__range=(first, issue.day - timedelta(days=settings.NEW_DAYS)),
        day__range=(first, issue.day),
    )
    state = seen.aggregate(count=Count("pk"), votes=Sum("upvotes"), last=Max("day"))
    key = (issue.model, issue.day, *state.values())
    return _kept("second", key, lambda: _make_second(issue, seen))


def _name(days):
    return "new" if days == settings.NEW_DAYS else f"new of {days} days"


def _kept(name, key, make):
    """Return what has this name, made anew where it isn't what was made last: an issue, or several.

    A key holds what it was made from, not its `id`, which another has as soon as that is gone.
    """
    with _making[name]:  # Of several threads, one makes it.
        last = _last.get(name)
        if last is None or last[0] != key:
            last = _last[name] = (key, make())
        return last[1]


def _make(day, days, model, papers, gains=None):
    rows = list(
        papers.order_by("day", "pk").values(
            "pk", "title", "abstract", "day", "upvotes", "categories", "is_withdrawn"
        )
    )
    texts = [fitting.document(row["title"], row["abstract"]) for row in rows]
    votes = gains or {row["pk"]: row["upvotes"] or 0 for row in rows}
    ids = [row["pk"] for row in rows]
    edition = Edition.of(
        model,
        ids,
        texts,
        ages=[(day - row["day"]).days for row in rows],
        upvotes=[votes[row["pk"]] for row in rows],
        fields=[(row["categories"] or [""])[0].split(".")[0] for row in rows],
        categories=[tuple(merged(row["categories"])) for row in rows],
        withdrawn=frozenset(row["pk"] for row in rows if row["is_withdrawn"]),
        aliases=aliases_of(papers),
        authors_of=archive.authors_of,
    )
    return Issue.of(day, days, model, edition, ids)


def _from_archive(papers, day, back):
    first, last = days_of_new(day - timedelta(days=back), day)
    edition = papers.edition(first.toordinal(), last.toordinal(), day.toordinal())
    papers_then = Paper.objects.filter(day__range=(first, last))
    withdrawn = papers_then.filter(is_withdrawn=True).values_list("pk", flat=True)
    edition = replace(
        edition,
        withdrawn=frozenset(withdrawn),
        aliases=aliases_of(papers_then),
        authors_of=archive.authors_of,
    )
    return Issue.of(day, settings.NEW_DAYS + back, papers.model, edition, list(edition.ids))


def _make_days(whole, back) -> Iterator[Issue]:
    ages = whole.edition.ages
    for ago in reversed(range(back + 1)):
        # By day, so that those of some days stand in a row: the oldest first.
        start = bisect_left(-ages, -(ago + settings.NEW_DAYS - 1))
        stop = bisect_right(-ages, -ago if ago else 1)
        yield whole.part(start, stop, ago)


def _make_second(issue, seen):
    # Of a paper that wasn't observed before, nobody knows what it gained.
    before, after = {}, {}
    recently = issue.day - timedelta(days=RECENT)
    for paper, on, votes in seen.order_by("day").values_list("paper", "day", "upvotes"):
        if votes is not None:
            (after if on > recently else before)[paper] = votes
    gains = {paper: votes - before[paper] for paper, votes in after.items() if paper in before}
    gains = {paper: gain for paper, gain in gains.items() if gain >= max(before[paper], 1)}
    about = (issue.day, SECOND_DAYS, issue.model)
    all_that_gained = _make(*about, Paper.objects.filter(pk__in=gains), gains)
    trends = all_that_gained.edition.trends
    taken_off = {
        paper: gains[paper]
        for paper, trend in zip(all_that_gained.ids, trends, strict=True)
        if gains[paper] >= LEAST_GAIN and (trend >= TAKEN_OFF or gains[paper] >= PLENTY)
    }
    return _make(*about, Paper.objects.filter(pk__in=taken_off), taken_off)
