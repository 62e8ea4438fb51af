"""Feeds: the latest papers of a topic or a search, and a subscriber's own picks.

Each is Atom (RFC 4287) and JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/).

Texts are cleaned here: no feed reader accepts a control character.
"""

import json
from datetime import UTC, datetime, time
from html import unescape
from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from django.contrib.syndication.views import Feed
from django.db.models import F
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.feedgenerator import Atom1Feed, rfc3339_date
from django.utils.html import format_html, strip_tags
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from digest.models import PaperEvent, Pick
from digest.views.page_cache import same_for_all
from digest.views.papers import MAX_PAPERS, latest
from subscriptions.mail.plaintext import cleaned, one_line
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.security import tokens
from subscriptions.views.access import token_page

MAX_PICKS = 100
MAX_AUTHORS = 50  # Of an entry.
#: Events that mark an entry as updated.
NEWS = (PaperEvent.Kind.REVISED, PaperEvent.Kind.WITHDRAWN, PaperEvent.Kind.PUBLISHED)


class Atom(Atom1Feed):
    """Atom with all authors of an entry, and with a constant date for an empty feed."""

    suffix = ""  # Of the names of URLs.

    def latest_post_date(self):
        if not self.items:
            return datetime.combine(timezone.localdate(), time(), UTC)
        return super().latest_post_date()

    def add_item_elements(self, handler, item):
        super().add_item_elements(handler, item)
        for name in item["authors"]:
            handler.startElement("author", {})
            handler.addQuickElement("name", name)
            handler.endElement("author")


class JsonFeed(Atom):
    content_type = "application/feed+json; charset=utf-8"
    suffix = "-json"

    def write(self, outfile, encoding):
        about, items = self.feed, []
        for entry in self.items:
            html = entry["description"]
            item = {"id": entry["unique_id"], "url": entry["link"], "title": entry["title"]}
            item |= {"content_html": html, "tags": list(entry["categories"])}
            item["content_text"] = unescape(strip_tags(html.replace("</p><p>", "\n\n")))
            item["date_published"] = rfc3339_date(entry["pubdate"])
            item["date_modified"] = rfc3339_date(entry["updateddate"])
            item["authors"] = [{"name": name} for name in entry["authors"]]
            items.append(item)
        feed = {"version": "https://jsonfeed.org/version/1.1", "title": about["title"]}
        feed |= {"description": about["subtitle"], "language": about["language"]}
        feed |= {"home_page_url": about["link"], "feed_url": about["feed_url"]}
        feed |= {"authors": [{"name": about["author_name"]}], "items": items}
        outfile.write(json.dumps(feed, ensure_ascii=False).encode(encoding))


class PaperFeed(Feed):
    """A feed whose items have the attributes `paper` and `updated_at`."""

    def __init__(self, feed_type=Atom):
        self.feed_type = feed_type

    def author_name(self):
        return settings.SITE_NAME

    def item_title(self, item):
        return one_line(item.paper.title)

    def item_link(self, item):
        return settings.SITE_URL + item.paper.get_absolute_url()

    def item_guid(self, item):
        return identity(item.paper)

    def item_updateddate(self, item):
        return item.updated_at

    def item_pubdate(self, item):
        return datetime.combine(item.paper.day, time(), UTC)

    def item_categories(self, item):
        return item.paper.fields

    def item_extra_kwargs(self, item):
        return {"authors": [one_line(name) for name in item.paper.authors[:MAX_AUTHORS]]}


def identity(paper) -> str:
    """Return the permanent id of an entry."""
    if paper.is_arxiv:
        return f"https://arxiv.org/abs/{paper.pk}"
    return f"{_tag()}papers/{quote(paper.pk)}"


def _tag():
    return f"tag:{urlsplit(settings.SITE_URL).hostname},2026:"


# ---- Topics and searches


class PublicFeed(PaperFeed):
    """A feed whose items are papers."""

    def dated(self, papers):
        events = PaperEvent.objects.filter(paper__in=papers, kind__in=NEWS).order_by("at")
        news = {event.paper_id: event.at for event in events}
        for paper in papers:
            day = datetime.combine(paper.day, time(), UTC)
            paper.paper, paper.updated_at = paper, max(day, news.get(paper.pk, day))
        return papers

    def item_description(self, paper):
        return format_html("<p>{}</p>", cleaned(paper.abstract))


class TopicFeed(PublicFeed):
    def get_object(self, request, slug):
        return Topic.objects.curated().get(slug=slug)

    def title(self, topic):
        return f"{one_line(topic.name)} · {settings.SITE_NAME}"

    def subtitle(self, topic):
        return one_line(topic.description)

    def link(self, topic):
        return settings.SITE_URL + reverse("topic", args=[topic.slug])

    def feed_url(self, topic):
        return settings.SITE_URL + reverse(f"topic-feed{self.feed_type.suffix}", args=[topic.slug])

    def items(self, topic):
        return self.dated(latest(topic) or [])


@same_for_all()
def topic(request, slug, feed_type=Atom):
    """The latest papers of a topic. A merged topic redirects to the one that stays."""
    (today,) = Topic.objects.current_slugs([slug])
    if today != slug:
        return redirect(f"topic-feed{feed_type.suffix}", today, permanent=True)
    return TopicFeed(feed_type)(request, slug=slug)


class SearchFeed(PublicFeed):
    def get_object(self, request):
        from digest.views import search  # numpy, which only pages that rank import.

        found = search.find(request.GET.get("q", ""), newest=True, size=MAX_PAPERS)
        if not found.asked:
            raise Http404
        return found

    def title(self, found):
        return f"{one_line(found.asked)} · {settings.SITE_NAME}"

    def subtitle(self, found):
        return _("The newest papers that match this search.")

    def link(self, found):
        return f"{settings.SITE_URL}{reverse('search')}?{urlencode({'q': found.asked})}"

    def feed_url(self, found):
        path = reverse(f"search-feed{self.feed_type.suffix}")
        return f"{settings.SITE_URL}{path}?{urlencode({'q': found.asked})}"

    def items(self, found):
        return self.dated([result.paper for result in found.results])


@same_for_all("q")
def search(request, feed_type=Atom):
    """The newest papers of a search."""
    return SearchFeed(feed_type)(request)


# ---- Subscribers


class ReaderFeed(PaperFeed):
    def get_object(self, request, subscriber):
        return subscriber

    def title(self):
        return _("Your papers · %(site)s") % {"site": settings.SITE_NAME}

    def subtitle(self, subscriber):
        if subscriber.unsubscribed_at:
            return _("You’re unsubscribed: this feed gets no new papers.")
        return _("The papers in your digests, each with the reason it was picked.")

    def link(self):
        return settings.SITE_URL + reverse("home")

    def feed_url(self, subscriber):
        return url(subscriber, self.feed_type)

    def feed_guid(self, subscriber):
        return f"{_tag()}readers/{subscriber.public_id}"

    def items(self, subscriber):
        picks = Pick.objects.leading().filter(subscriber=subscriber)
        sent = picks.exclude(digest__letter__state__in=Letter.UNSENT)
        # The creation of the letter doesn't change with the subscriber's hour or time zone.
        dated = sent.annotate(updated_at=F("digest__letter__created_at"))
        return dated.select_related("paper").order_by("-digest__day", "position")[:MAX_PICKS]

    def item_description(self, pick):
        why = format_html("<p><strong>{}</strong></p>", one_line(pick.why))
        about = format_html("<p>{}</p>", cleaned(pick.paper.abstract))
        return mark_safe(why + about)  # noqa: S308, both are escaped


def url(subscriber: Subscriber, feed_type=Atom) -> str:
    """Return the URL of a subscriber's feed. It allows to read their papers, nothing else."""
    token = tokens.own_token("feed", subscriber)
    return settings.SITE_URL + reverse(f"reader-feed{feed_type.suffix}", args=[token])


@require_safe
@token_page
def reader(request, token, feed_type=Atom):
    """A subscriber's picks. 410 Gone after they were erased, or changed their address."""
    try:
        subscriber = tokens.subscriber_of("feed", token)
    except tokens.BadToken:
        return _text_response(_("There is no such feed."), 404)
    except Subscriber.DoesNotExist:
        return _text_response(_("This feed is gone."), 410)
    except tokens.ClosedToken:
        moved = _(
            "The subscription was moved to another address, and this feed has ended. Your "
            "preferences have the new feed."
        )
        return _text_response(moved, 410)
    with translation.override(subscriber.language_or_default):
        return ReaderFeed(feed_type)(request, subscriber=subscriber)


def _text_response(words, status):
    return HttpResponse(words, "text/plain; charset=utf-8", status=status)
