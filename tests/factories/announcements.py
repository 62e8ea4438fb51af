"""What arXiv announces on twenty days, runs that harvest it, and what was stored then."""

from datetime import UTC, date, datetime, timedelta

from digest.models import Paper
from digest.papers import harvest
from digest.sources.arxiv import calendar
from digest.sources.arxiv.source import ArXiv
from digest.sources.base import Batch
from digest.sources.records import Record
from tests.helpers.local_web import web_of
from tests.servers.arxiv import EASTERN

ARCHIVES = ("cs", "math", "stat")
MONDAY = date(2026, 6, 1)


def listing_days(count):
    days = [MONDAY + timedelta(days=n) for n in range(count * 2)]
    return [day for day in days if calendar.is_announcement_day(day)][:count]


def listed(identity="2606.00001", *categories, **fields):
    """Return a paper as arXiv's lists have it."""
    texts = {"title": f"On bread, part {identity}", "abstract": "We bake."}
    lists = {"authors": ["Ada One", "Ben Two"], "categories": list(categories or ["cs.LG"])}
    return {"id": identity} | texts | lists | fields


def announcements(days, a_day=9):
    """Return what is announced on each day: new papers, and now and then a cross or a revision."""
    lists, number = {}, 0
    for day in days:
        papers = []
        for n in range(a_day):
            number += 1
            categories = [["cs.LG"], ["math.CO", "cs.DM"], ["stat.ML"]][n % 3]
            fields = {"title": f"Graph networks number {number}", "authors": ["A. One", "B. Two"]}
            fields["abstract"] = f"On graphs & bread, part {number}."
            papers.append(listed(f"2606.{number:05}", *categories, **fields))
        if lists:
            first = next(iter(lists.values()))[0]
            papers.append(first | {"kind": "replace", "version": len(lists) + 1})
        lists[day] = papers
    return lists


def at(day, hour=6):
    """Return a moment of a day in New York."""
    return datetime(day.year, day.month, day.day, hour, tzinfo=EASTERN).astimezone(UTC)


def arxiv(server):
    return ArXiv(ARCHIVES, **server.addresses)


def web(source, clock, **options):
    return web_of(source.hosts, now=clock, **options)


def run(server, day, *, since=None, hour=6, **options):
    server.today = day
    source = arxiv(server)

    def clock():
        return at(day, hour)

    return harvest.run(source, web(source, clock, **options), since=since, clock=clock)


def expected_papers(server, until):
    """Return the day on which each paper was announced first."""
    days = [day for day in sorted(server.days, reverse=True) if day <= until]
    every = [(paper, day) for day in days for paper in server.days[day]]
    return {paper["id"]: day for paper, day in every if paper.get("kind", "new") == "new"}


def stored():
    return dict(Paper.objects.values_list("pk", "day"))


class Library:
    """A source of no list, which has single papers."""

    name, hosts, seconds_between = "library", frozenset(), 0.0

    def harvest(self, web, *, today, since, cursor):
        yield Batch([])

    def look_up(self, web, ids):
        yield Batch([Record(id=one, title="Looked up", categories=["cs.DL"]) for one in ids])
