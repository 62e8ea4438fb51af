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

PAGES = ("home", "topics", "search", "subscribe", "privacy", "embed")
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
        return _days()

    def location(self, item):
        return reverse("day", args=[item.day.isoformat()])

    def lastmod(self, item):
        return item.changed

    def get_latest_lastmod(self):
        return Paper.objects.aggregate(last=Max("changed_at"))["last"]


class Papers(Days):
    @property
    def paginator(self):
        parts = [(day.day, first) for day in _days() for first in range(0, day.count, LIMIT)]
        return PartPaginator(parts, per_page=1)

    def location(self, item):
        return item.get_absolute_url()

    def lastmod(self, item):
        return item.changed_at


class PartPaginator(Paginator):
    """The papers of a day on each page, read when the page is requested. A long day has several."""

    def _get_page(self, parts, *args):
        papers = []
        for day, first in parts:
            rows = Paper.objects.filter(day=day).order_by("pk").only("pk", "changed_at")
            papers = rows[first : first + LIMIT]
        return super()._get_page(papers, *args)


def _days() -> list:
    """Return the days with papers: their numbers, and when the last of each day changed."""
    return caches["pages"].get_or_set("days-of-papers", _counted, COUNT_SECONDS)


def _counted():
    days = Paper.objects.order_by("-day").values("day")
    counted = days.annotate(count=Count("pk"), changed=Max("changed_at"))
    return list(counted.values_list("day", "count", "changed", named=True))


ALL = {"pages": Pages, "topics": Topics, "days": Days, "papers": Papers}
