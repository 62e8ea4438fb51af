"""Sitemaps of the public pages, topics, days and papers.

The papers of each day are counted every 15 minutes, which reads all of them. Other queries read the
papers of one page.
"""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sitemaps import Sitemap
from django.core.cache import caches
from django.core.paginator import Paginator
from django.db.models import Count, Max
from django.urls import reverse

from digest.models import Paper
from subscriptions.models import Topic

PAGES = ("home", "topics", "trending", "search", "subscribe", "privacy", "embed")
LIMIT = 2_000  # URLs of a page: a tenth of a second.
COUNT_SECONDS = 900


class SiteMap(Sitemap):
    """URLs begin with SITE_URL, whatever the request's host is."""

    limit = LIMIT

    @property
    def protocol(self):
        return urlsplit(settings.SITE_URL).scheme

    def get_domain(self, site=None):
        return urlsplit(settings.SITE_URL).netloc


class Pages(SiteMap):
    def items(self):
        return [*PAGES, *(["imprint"] if settings.OPERATOR_NAME else [])]

    def location(self, name):
        return reverse(name)


class Topics(SiteMap):
    def items(self):
        return Topic.objects.offered().order_by("pk").values_list("slug", flat=True)

    def location(self, slug):
        return reverse("topic", args=[slug])


class Days(SiteMap):
    def items(self):
        return _day_counts()

    def location(self, day_row):
        return reverse("day", args=[day_row.day.isoformat()])

    def lastmod(self, day_row):
        return day_row.last_changed_at

    def get_latest_lastmod(self):
        return Paper.objects.aggregate(last=Max("changed_at"))["last"]


class Papers(Days):
    @property
    def paginator(self):
        pages = [(row.day, n) for row in _day_counts() for n in range(0, row.count, LIMIT)]
        return DayPaginator(pages, per_page=1)

    def location(self, paper):
        return paper.get_absolute_url()

    def lastmod(self, paper):
        return paper.changed_at


class DayPaginator(Paginator):
    """The papers of a day on each page, read when the page is requested. A long day has several."""

    def _get_page(self, day_offsets, *args):
        papers = []
        for day, offset in day_offsets:
            rows = Paper.objects.filter(day=day).order_by("pk").only("pk", "changed_at")
            papers = rows[offset : offset + LIMIT]
        return super()._get_page(papers, *args)


def _day_counts() -> list:
    """Return the days with papers: their numbers, and when the last of each day changed."""
    return caches["pages"].get_or_set("days-of-papers", _count_papers_by_day, COUNT_SECONDS)


def _count_papers_by_day():
    days = Paper.objects.order_by("-day").values("day")
    day_counts = days.annotate(count=Count("pk"), last_changed_at=Max("changed_at"))
    return list(day_counts.values_list("day", "count", "last_changed_at", named=True))


ALL = {"pages": Pages, "topics": Topics, "days": Days, "papers": Papers}
