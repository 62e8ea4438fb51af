"""arXiv as a source: RSS for the day's announcements, OAI-PMH for papers that are missing there and
for earlier days, the query API for single papers.

A daily run reads the feed of each archive, then the OAI-PMH list of all changes since the previous
announcement day. A run since a day reads that list only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from digest.http.client import Refused, Web
from digest.sources.arxiv import api, calendar, oai_pmh, rss, taxonomy
from digest.sources.arxiv.oai_pmh import ExpiredToken, Page
from digest.sources.base import Batch, MalformedFeed

FEED_CACHE = timedelta(hours=12)  # For a run that is resumed.
API_CACHE = timedelta(days=1)  # The API's answers change once a day.


@dataclass(frozen=True)
class HarvestCursor:
    """The position of a run.

    Attributes:
        step: "rss" or "oai".
        run: the day of a daily run, or "since".
        start: the first day of the list.
        begin: the day from which the list is requested: later than `start` if the list was read
            completely up to it. Tokens expire each day.
        category: whose feed or list is next; empty for the list of all.
        token: OAI-PMH's resumption token.
    """

    step: str
    run: str
    start: date
    begin: date
    category: str
    token: str = ""

    def __str__(self):
        parts = (self.step, self.run, self.start, self.begin, self.category, self.token)
        return ":".join(map(str, parts))

    @classmethod
    def read(cls, cursor: str) -> "HarvestCursor | None":
        """Return the position, or None if the cursor is empty or invalid."""
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
        """Yield the day's announcements and papers missing there, or all changes since a day.

        `today` is the day in New York. A cursor of another kind of run is ignored.
        """
        position = HarvestCursor.read(cursor)
        if since is None:
            yield from self._daily(web, today, position)
            return
        if position is None or position.run != "since" or position.start != since:
            position = self._list_from(since, "since")
        yield from self._lists_from(web, self._valid(position), set(), None)

    def look_up(self, web: Web, ids: list[str]) -> Iterator[Batch]:
        """Yield these papers, without those that arXiv doesn't have."""
        for params in api.requests_for(ids):
            yield Batch(*api.parse(web.get(self.api, params, cache_for=API_CACHE).body))

    def _daily(self, web, today, position):
        position = self._position_today(today, position)
        feed_ids: set[str] = set()
        failures = []
        for category, next_category in pairwise([*self.categories, None]):
            if self._is_behind(category, position):
                feed_ids |= self._ids_read_before(web, category)
                continue
            batch, failure = self._feed(web, category, today)
            feed_ids |= {record.id for record in batch.records}
            failures += [failure] if failure else []
            if next_category:
                next_position = replace(position, category=next_category)
            else:
                next_position = self._list_from(position.start, position.run)
            yield replace(batch, cursor=str(next_position))
        if position.step == "rss":
            position = self._list_from(position.start, position.run)
        yield from self._lists_from(web, self._valid(position), feed_ids, today)
        if failures:  # All else is stored, but the run is incomplete.
            raise failures[0]

    def _position_today(self, today, position):
        """Return the position of today's run. Its list includes what an earlier run left out."""
        last_day = calendar.latest_announcement_day(today)
        list_start = calendar.latest_announcement_day(last_day - timedelta(days=1))
        if position and position.run == today.isoformat():
            return position
        if position and position.run != "since":
            list_start = min(list_start, position.start)
        first_category = self.categories[0]
        return HarvestCursor("rss", today.isoformat(), list_start, list_start, first_category)

    def _is_behind(self, category, position):
        if position.step == "oai" or position.category not in self.categories:
            return position.step == "oai"
        return self.categories.index(category) < self.categories.index(position.category)

    def _ids_read_before(self, web, category):
        """Return the ids of a feed that a run has read before it was cut off."""
        try:
            page = web.get(f"{self.rss}/{category}", cache_for=FEED_CACHE)
            return {record.id for record in rss.parse(page.body, category).records}
        except (MalformedFeed, Refused):
            return set()

    def _feed(self, web, category, today):
        """Return a feed as a batch, and the error if it can't be read."""
        try:
            page = web.get(f"{self.rss}/{category}")
            feed = rss.parse(page.body, category)
        except (MalformedFeed, Refused) as error:
            note = f"The feed of {category} can't be read: {error}"
            return Batch([], category=category, state="incomplete", note=note), error
        state, note = _state_of(feed, calendar.latest_announcement_day(today))
        fields = {"day": feed.day, "category": category, "state": state, "note": note}
        return Batch(feed.records, feed.errors, **fields), None

    def _list_from(self, start, run):
        return HarvestCursor("oai", run, start, start, self._lists[0])

    @property
    def _lists(self):
        """One list for all of arXiv, or one for each category."""
        return [""] if set(self.categories) >= set(taxonomy.ARCHIVES) else list(self.categories)

    def _valid(self, position):
        """Return the position, or the first one if its category is no longer requested."""
        is_valid = position.category in self._lists
        return position if is_valid else self._list_from(position.start, position.run)

    def _lists_from(self, web, position, feed_ids, expected_day):
        """Yield the rest of the lists. On the expected day, feeds should have all papers."""
        while position:
            remaining = self._lists[self._lists.index(position.category) + 1 :]
            next_list = None
            if remaining:
                next_list = replace(position, begin=position.start, category=remaining[0], token="")
            for page, next_page in self._pages(web, position):
                cursor = str((next_page if next_page and next_page.token else next_list) or "")
                yield _list_batch(page, feed_ids, expected_day, cursor, is_circular=not next_page)
            position = next_list

    def _pages(self, web, position) -> Iterator[tuple[Page, HarvestCursor | None]]:
        """Yield each page with the position after it, or None if the list repeats itself."""
        used_tokens, previous_ids, restarted_from = set(), None, set()
        while True:
            try:
                params = oai_pmh.params(position.begin, position.category, position.token)
                page = oai_pmh.parse(web.get(self.oai, params).body)
            except ExpiredToken:
                if not position.token or position.begin in restarted_from:
                    raise MalformedFeed("OAI-PMH refuses the tokens that it gives") from None
                restarted_from.add(position.begin)
                used_tokens, previous_ids, position = set(), None, replace(position, token="")
                continue
            ids = {record.id for record in page.records}
            used_tokens.add(position.token)
            if page.token and (page.token in used_tokens or ids == previous_ids):
                yield page, None
                return
            previous_ids = ids
            begin = max(position.begin, page.complete_before or position.begin)
            position = replace(position, begin=begin, token=page.token)
            yield page, position
            if not page.token:
                return


def _state_of(feed, expected_day):
    """Return the state of a feed, of which the expected day should be there, and a note."""
    if not feed.items:
        return "empty", ""
    if feed.day is None or feed.day < expected_day:
        return "stale", f"It should show {expected_day}, but shows {feed.day or 'no day'}."
    if feed.items >= rss.MAX_ITEMS:
        return "incomplete", f"It stops at {feed.items} entries."
    return "fresh", ""


def _list_batch(page, feed_ids, expected_day, cursor, is_circular):
    """Return a page of the list as a batch, with a note on papers missing in the feeds."""
    day_records = [record for record in page.records if expected_day and record.day == expected_day]
    missing_ids = [record.id for record in day_records if record.id not in feed_ids]
    notes = []
    if missing_ids:
        examples = ", ".join(missing_ids[:5]) + ("…" if len(missing_ids) > 5 else "")
        notes.append(f"Not in the feeds of {expected_day}: {len(missing_ids)} ({examples}).")
    if page.deleted:
        notes.append(f"Deleted at arXiv: {', '.join(page.deleted[:5])}.")
    if is_circular:
        notes.append("The list goes round in circles: its end is missing.")
    return Batch(
        page.records,
        page.errors,
        cursor=cursor,
        day=expected_day if day_records else None,
        state="incomplete" if missing_ids or is_circular else "",
        note=" ".join(notes),
    )
