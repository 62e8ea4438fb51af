"""Feeds: the papers of a topic or a search, trending ones, and a subscriber's own picks.

Each is Atom (RFC 4287) and JSON Feed 1.1 (https://www.jsonfeed.org/version/1.1/).

Texts are cleaned here: no feed reader accepts a control character.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, time
from html import unescape
from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings
from django.db.models import F
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.feedgenerator import Atom1Feed, rfc3339_date
from django.utils.html import format_html, strip_tags
from django.utils.http import http_date
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from digest import wording
from digest.models import Paper, PaperEvent, Pick
from digest.papers import summaries
from digest.views.access import token_page
from digest.views.page_cache import same_for_all
from digest.views.papers import MAX_PAPERS, latest_papers, trending_papers
from digest.wording import reason_of
from subscriptions.mail.plaintext import cleaned, one_line
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.security import tokens

MAX_PICKS = 100
MAX_AUTHORS = 50  # Of an entry.
#: Events that mark an entry as updated.
UPDATE_EVENTS = (PaperEvent.Kind.REVISED, PaperEvent.Kind.WITHDRAWN, PaperEvent.Kind.PUBLISHED)

#: A paper, its text as HTML, and when it was last updated.
type Entry = tuple[Paper, str, datetime]


class Atom(Atom1Feed):
    """Atom with all authors of an entry, and with a constant date for an empty feed."""

    suffix = ""  # Of the names of URLs.

    def latest_post_date(self):
        if not self.items:
            return _midnight(timezone.localdate())
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
        items = []
        for entry in self.items:
            html = entry["description"]
            item = {"id": entry["unique_id"], "url": entry["link"], "title": entry["title"]}
            item |= {"content_html": html, "tags": list(entry["categories"])}
            item["content_text"] = unescape(strip_tags(html.replace("</p><p>", "\n\n")))
            item["date_published"] = rfc3339_date(entry["pubdate"])
            item["date_modified"] = rfc3339_date(entry["updateddate"])
            item["authors"] = [{"name": name} for name in entry["authors"]]
            items.append(item)
        feed = {"version": "https://jsonfeed.org/version/1.1", "title": self.feed["title"]}
        feed |= {"description": self.feed["subtitle"], "language": self.feed["language"]}
        feed |= {"home_page_url": self.feed["link"], "feed_url": self.feed["feed_url"]}
        feed |= {"authors": [{"name": self.feed["author_name"]}], "items": items}
        outfile.write(json.dumps(feed, ensure_ascii=False))


def _response(feed_type, title: str, entries: Iterable[Entry], **channel) -> HttpResponse:
    language = translation.get_language()
    feed = feed_type(
        title, description=None, language=language, author_name=settings.SITE_NAME, **channel
    )
    for paper, html, updated_at in entries:
        feed.add_item(
            one_line(wording.title(paper)),
            settings.SITE_URL + paper.get_absolute_url(),
            html,
            unique_id=_entry_id(paper),
            pubdate=_midnight(paper.day),
            updateddate=updated_at,
            categories=paper.fields,
            authors=[one_line(name) for name in paper.authors[:MAX_AUTHORS]],
        )
    headers = {"Last-Modified": http_date(feed.latest_post_date().timestamp())}
    return HttpResponse(feed.writeString("utf-8"), feed.content_type, headers=headers)


def _entry_id(paper):
    """Return the permanent id of an entry."""
    if paper.is_arxiv:
        return f"https://arxiv.org/abs/{paper.pk}"
    return f"{_tag_prefix()}papers/{quote(paper.pk)}"


def _tag_prefix():
    return f"tag:{urlsplit(settings.SITE_URL).hostname},2026:"


def _midnight(day):
    return datetime.combine(day, time(), UTC)


# ---- Topics and searches


def _entries(papers) -> list[Entry]:
    events = PaperEvent.objects.filter(paper__in=papers, kind__in=UPDATE_EVENTS).order_by("at")
    event_times = {event.paper_id: event.at for event in events}
    return [
        (
            paper,
            format_html("<p>{}</p>", cleaned(paper.abstract)) + _full_text(paper),
            max(_midnight(paper.day), event_times.get(paper.pk, _midnight(paper.day))),
        )
        for paper in papers
    ]


def _full_text(paper):
    link = paper.full_text
    return format_html('<p><a href="{}">{}</a></p>', link, _("Full text")) if link else ""


@same_for_all()
def topic(request, slug, feed_type=Atom):
    """The latest papers of a topic."""
    topic = get_object_or_404(Topic.objects.curated(), slug=slug)
    return _response(
        feed_type,
        f"{one_line(topic.name)} · {settings.SITE_NAME}",
        _entries(latest_papers(topic) or []),
        subtitle=one_line(topic.description),
        link=settings.SITE_URL + reverse("topic", args=[slug]),
        feed_url=settings.SITE_URL + reverse(f"topic-feed{feed_type.suffix}", args=[slug]),
    )


@same_for_all()
def trending(request, feed_type=Atom):
    """The trending papers of the week."""
    return _response(
        feed_type,
        f"{_('Trending papers')} · {settings.SITE_NAME}",
        _entries(trending_papers(timezone.localdate())),
        subtitle=_("The papers of the past week that most people care about."),
        link=settings.SITE_URL + reverse("trending"),
        feed_url=settings.SITE_URL + reverse(f"trending-feed{feed_type.suffix}"),
    )


@same_for_all("q")
def search(request, feed_type=Atom):
    """The newest papers of a search."""
    from digest.views import search  # numpy, which only pages that rank import.

    results = search.find(request.GET.get("q", ""), newest=True, size=MAX_PAPERS)
    if not results.query:
        raise Http404
    query = urlencode({"q": results.query})
    return _response(
        feed_type,
        f"{one_line(results.query)} · {settings.SITE_NAME}",
        _entries([result.paper for result in results.results]),
        subtitle=_("The newest papers that match this search."),
        link=f"{settings.SITE_URL}{reverse('search')}?{query}",
        feed_url=f"{settings.SITE_URL}{reverse(f'search-feed{feed_type.suffix}')}?{query}",
    )


# ---- Subscribers


def url(subscriber: Subscriber, feed_type=Atom) -> str:
    """Return the URL of a subscriber's feed. It allows to read their papers, nothing else."""
    token = tokens.own_token("feed", subscriber)
    return settings.SITE_URL + reverse(f"reader-feed{feed_type.suffix}", args=[token])


def _entry_text(paper):
    return " ".join(filter(None, (wording.labelled_summary(paper), paper.abstract)))


@require_safe
@token_page
def reader(request, token, feed_type=Atom):
    """A subscriber's picks. 410 Gone after they were erased, or changed their address."""
    try:
        subscriber = tokens.subscriber_of("feed", token)
    except (Subscriber.DoesNotExist, tokens.ClosedToken) as error:
        message = _("This feed is gone.")
        if isinstance(error, tokens.ClosedToken):
            message = _(
                "The subscription was moved to another address, and this feed has ended. Your "
                "preferences have the new feed."
            )
        return HttpResponse(message, "text/plain; charset=utf-8", status=410)
    leading_picks = Pick.objects.leading().filter(subscriber=subscriber).select_related("paper")
    sent_picks = leading_picks.exclude(digest__letter__state__in=Letter.UNSENT)
    # The creation of the letter doesn't change with the subscriber's hour or time zone.
    sent_picks = sent_picks.annotate(updated_at=F("digest__letter__created_at"))
    picks = list(sent_picks.order_by("-digest__day", "position")[:MAX_PICKS])
    summaries.attach([pick.paper for pick in picks], subscriber.summary_language)
    html = "<p><strong>{}</strong></p><p>{}</p>"
    with translation.override(subscriber.language_or_default):
        subtitle = _("The papers in your digests, each with the reason it was picked.")
        if subscriber.unsubscribed_at:
            subtitle = _("You’re unsubscribed: this feed gets no new papers.")
        return _response(
            feed_type,
            _("Your papers · %(site)s") % {"site": settings.SITE_NAME},
            (
                (
                    pick.paper,
                    format_html(html, one_line(reason_of(pick)), cleaned(_entry_text(pick.paper)))
                    + _full_text(pick.paper),
                    pick.updated_at,
                )
                for pick in picks
            ),
            subtitle=subtitle,
            link=settings.SITE_URL + reverse("home"),
            feed_url=url(subscriber, feed_type),
            feed_guid=f"{_tag_prefix()}readers/{subscriber.public_id}",
        )
