"""arXiv as a source: RSS for the day's announcements, OAI-PMH for what is missing there and for the
past, the query API for single papers.

A daily run reads the feed of each archive, then the list of all that changed since the listing day
before. With a day to begin at, a run reads that list alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from digest.sources import arxiv_api, arxiv_oai, arxiv_rss, calendar, taxonomy
from digest.sources.arxiv_oai import ExpiredToken, Page
from digest.sources.plug import Batch, MalformedFeed
from digest.sources.web import Refused, Web

AN_EVENING = timedelta(hours=12)  # A run that was cut off reads its feeds again from the cache.
A_DAY = timedelta(days=1)  # The API's answers change once a day, and arXiv asks to keep them.


@dataclass(frozen=True)
class Place:
    """Where a run is: its cursor, taken apart.

    `run` is the day of a daily run, or "since". The list is asked from `begin`, which moves on
    from `start` as far as it has been told whole, since tokens expire each day.
    """

    step: str  # "rss" or "oai"
    run: str
    start: date
    begin: date
    category: str  # Whose feed or list is next; empty for the list of all.
    token: str = ""

    def __str__(self):
        parts = (self.step, self.run, self.start, self.begin, self.category, self.token)
        return ":".join(map(str, parts))

    @classmethod
    def read(cls, cursor: str) -> "Place | None":
        """Return the place, or None where the cursor is empty or no cursor of ours."""
        try:
            step, run, start, begin, category, token = cursor.split(":", 5)
            days = date.fromisoformat(start), date.fromisoformat(begin)
        except ValueError:
            return None
        return cls(step, run, *days, category, token) if step in ("rss", "oai") else None


class ArXiv:
    """All of arXiv, or some of its archives or categories."""

    name = "arxiv"
    seconds_between = 3.0

    def __init__(
        self,
        categories: tuple[str, ...] = tuple(taxonomy.ARCHIVES),
        *,
        rss: str = "https://rss.arxiv.org/rss",
        oai: str = "https://oaipmh.arxiv.org/oai",
        api: str = "https://export.arxiv.org/api/query",
    ):
        self.categories = categories
        self.rss, self.oai, self.api = rss, oai, api
        self.hosts = frozenset(urlsplit(address).netloc for address in (rss, oai, api))

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield the day's announcements and what is missing there, or all changed since a day.

        `today` is the day in New York. A cursor of another kind of run counts as none.
        """
        place = Place.read(cursor)
        if since is None:
            yield from self._daily(web, today, place)
            return
        if place is None or place.run != "since" or place.start != since:
            place = self._list_from(since, "since")
        yield from self._listed(web, self._valid(place), set(), None)

    def look_up(self, web: Web, ids: list[str]) -> Iterator[Batch]:
        """Yield these papers as arXiv has them now. Those that it doesn't have are left out."""
        for question in arxiv_api.questions(ids):
            good, bad = arxiv_api.parse(web.get(self.api, question, cache_for=A_DAY).body)
            yield Batch(good, bad)

    def _daily(self, web, today, place):
        place = self._place_of_today(today, place)
        known: set[str] = set()
        broken = []
        for category, following in pairwise([*self.categories, None]):
            if self._is_behind(category, place):
                known |= self._ids_read_before(web, category)
                continue
            batch, failure = self._feed(web, category, today)
            known |= {record.id for record in batch.records}
            broken += [failure] if failure else []
            if following:
                ahead = replace(place, category=following)
            else:
                ahead = self._list_from(place.start, place.run)
            yield replace(batch, cursor=str(ahead))
        if place.step == "rss":
            place = self._list_from(place.start, place.run)
        yield from self._listed(web, self._valid(place), known, today)
        if broken:  # All else is in. The run still says that it didn't see everything.
            raise broken[0]

    def _place_of_today(self, today, place):
        """Return where today's run goes on. What an earlier one left out belongs to its list."""
        day_before = calendar.latest_announcement_day(
            calendar.latest_announcement_day(today) - timedelta(days=1)
        )
        if place and place.run == today.isoformat():
            return place
        if place and place.run != "since":
            day_before = min(day_before, place.start)
        first = self.categories[0]
        return Place("rss", today.isoformat(), day_before, day_before, first)

    def _is_behind(self, category, place):
        if place.step == "oai" or place.category not in self.categories:
            return place.step == "oai"
        return self.categories.index(category) < self.categories.index(place.category)

    def _ids_read_before(self, web, category):
        """Return what a run that was cut off has read, so as not to call it missing."""
        try:
            page = web.get(f"{self.rss}/{category}", cache_for=AN_EVENING)
            return {record.id for record in arxiv_rss.parse(page.body, category).records}
        except (MalformedFeed, Refused):
            return set()

    def _feed(self, web, category, today):
        """Return a feed as a batch, and the error where it can't be read: other feeds go on."""
        try:
            page = web.get(f"{self.rss}/{category}")
            feed = arxiv_rss.parse(page.body, category)
        except (MalformedFeed, Refused) as error:
            note = f"The feed of {category} can't be read: {error}"
            return Batch([], category=category, state="incomplete", note=note), error
        state, note = _looks(feed, calendar.latest_announcement_day(today))
        batch = Batch(
            feed.records, feed.bad, day=feed.day, category=category, state=state, note=note
        )
        return batch, None

    def _list_from(self, start, run):
        return Place("oai", run, start, start, self._lists[0])

    @property
    def _lists(self):
        """One list for all of arXiv, or one for each category."""
        return [""] if set(self.categories) >= set(taxonomy.ARCHIVES) else list(self.categories)

    def _valid(self, place):
        """Begin anew where the cursor speaks of a category that is asked for no more."""
        return place if place.category in self._lists else self._list_from(place.start, place.run)

    def _listed(self, web, place, known, expected):
        """Yield the lists from here on. `expected` is a day of which the feeds should know all."""
        while place:
            rest = self._lists[self._lists.index(place.category) + 1 :]
            after = replace(place, begin=place.start, category=rest[0], token="") if rest else None
            for page, ahead in self._pages(web, place):
                cursor = ahead if ahead and ahead.token else after
                yield _compared(page, known, expected, str(cursor or ""), goes_round=not ahead)
            place = after

    def _pages(self, web, place) -> Iterator[tuple[Page, Place | None]]:
        """Yield each page with the place after it; None where the list only goes round."""
        tokens, before, began_anew = set(), None, set()
        while True:
            try:
                asked = arxiv_oai.question(place.begin, place.category, place.token)
                page = arxiv_oai.parse(web.get(self.oai, asked).body)
            except ExpiredToken:
                if not place.token or place.begin in began_anew:
                    raise MalformedFeed("OAI-PMH refuses the tokens that it gives") from None
                began_anew.add(place.begin)
                tokens, before, place = set(), None, replace(place, token="")
                continue
            ids = {record.id for record in page.records}
            tokens.add(place.token)
            if page.token and (page.token in tokens or ids == before):
                yield page, None
                return
            before = ids
            begin = max(place.begin, page.complete_before or place.begin)
            place = replace(place, begin=begin, token=page.token)
            yield page, place
            if not page.token:
                return


def _looks(feed, expected):
    """Return the state of a feed when the listing of the expected day should be there; and why."""
    if not feed.items:
        return "empty", ""
    if feed.day is None or feed.day < expected:
        return "stale", f"It should show {expected}, but shows {feed.day or 'no day'}."
    if feed.items >= arxiv_rss.MOST:
        return "incomplete", f"It stops at {feed.items} entries."
    return "fresh", ""


def _compared(page, known, expected, cursor, goes_round):
    """Return a page of the list as a batch, compared to what the feeds of its day had."""
    of_day = [record for record in page.records if expected and record.day == expected]
    missing = [record.id for record in of_day if record.id not in known]
    notes = []
    if missing:
        some = ", ".join(missing[:5]) + ("…" if len(missing) > 5 else "")
        notes.append(f"Not in the feeds of {expected}: {len(missing)} ({some}).")
    if page.deleted:
        notes.append(f"Deleted at arXiv: {', '.join(page.deleted[:5])}.")
    if goes_round:
        notes.append("The list goes round in circles: its end is missing.")
    return Batch(
        page.records,
        page.bad,
        cursor=cursor,
        day=expected if of_day else None,
        state="incomplete" if missing or goes_round else "",
        note=" ".join(notes),
    )
