"""What search engines are told of: the pages for everyone, topics, days and papers."""

from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.sitemaps import Sitemap
from django.db.models import Max
from django.urls import reverse

from digest.models import Paper
from subscriptions.models import Topic

PAGES = ("home", "topics", "search", "subscribe", "privacy", "embed")


class Ours(Sitemap):
    """Addresses as SITE_URL has them, whatever name the site was asked by."""

    limit = 5_000

    @property
    def protocol(self):
        return urlsplit(settings.SITE_URL).scheme

    def get_domain(self, site=None):
        return urlsplit(settings.SITE_URL).netloc


class Pages(Ours):
    def items(self):
        return [*PAGES, *(["imprint"] if settings.OPERATOR_NAME else [])]

    def location(self, name):
        return reverse(name)


class Topics(Ours):
    def items(self):
        return Topic.objects.offered().order_by("pk").values_list("slug", flat=True)

    def location(self, slug):
        return reverse("topic", args=[slug])


class Days(Ours):
    def items(self):
        days = Paper.objects.order_by("-day").values("day").annotate(changed=Max("changed_at"))
        return days.values_list("day", "changed")

    def location(self, item):
        return reverse("day", args=[item[0].isoformat()])

    def lastmod(self, item):
        return item[1]

    def get_latest_lastmod(self):
        return Paper.objects.aggregate(last=Max("changed_at"))["last"]


class Papers(Days):
    def items(self):
        return Paper.objects.order_by("-day", "pk").values_list("pk", "changed_at")

    def location(self, item):
        return reverse("paper", args=[item[0]])


ALL = {"pages": Pages, "topics": Topics, "days": Days, "papers": Papers}
