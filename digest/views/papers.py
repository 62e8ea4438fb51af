"""Pages of papers: one paper, a topic's, a day's, trending ones, and search results."""

import json
from datetime import date, timedelta
from itertools import groupby
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count, F
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csp import csp_override

from digest import wording
from digest.models import Feedback, Paper
from digest.papers import citations
from digest.sources.arxiv import taxonomy
from digest.sources.biorxiv.source import SERVERS
from digest.sources.records import BadRecord, canonical_id
from digest.views.filters import NO_FILTERS, QUERY_PARAMS, Filters
from digest.views.page_cache import get_or_make, same_for_all
from subscriptions.models import Topic, category_slug

DAY_PAGE, DAY_COMPACT_PAGE = 25, 100
MAX_PAPERS = 30  # Of a topic, and trending ones.
TRENDING_DAYS = timedelta(days=7)
MIN_PEOPLE = 3  # Fewer are not counted: one may be recognised.
PERSON_POINTS = 10  # A subscriber here counts like so many upvotes.
MAX_FOLLOWS = 4  # Authors that a paper's page offers to follow, and the last one.
FIRST_DAY = date(1900, 1, 1)


# ---- One paper


@same_for_all()
def paper(request, identity):
    """One paper, its links and events, and similar papers."""
    from digest.indexing import search  # numpy, which only pages that rank import.

    try:
        paper = Paper.objects.with_stars().get(pk=identity)
    except Paper.DoesNotExist:
        return _missing_paper_page(request, identity)
    topics = Topic.objects.offered().of_categories()
    offered_slugs = get_or_make(lambda: set(topics.values_list("slug", flat=True)), "offered")
    source = "arxiv" if paper.is_arxiv else paper.pk.partition(":")[0]
    field_slugs = [category_slug(category, source) for category in paper.fields]
    events = list(paper.events.all()) if paper.may_have_news else []
    context = {
        "paper": paper,
        "alike": search.similar(paper),
        "events": [_event_context(event) for event in events],
        "is_told": any(event.note == paper.journal_ref for event in events),
        "fields": [
            {"name": name, "slug": slug if slug in offered_slugs else ""}
            for name, slug in zip(paper.fields, field_slugs, strict=True)
        ],
        "json_ld": _json_ld(paper),
        "citation_tags": citations.meta_tags(paper),
        "bibtex": citations.bibtex([paper]).strip(),
        "more_like_this": urlencode({"interests": f"paper: {paper.pk}"}),
        "follows": [
            {"name": name, "query": urlencode({"interests": f"author: {name}"})}
            for name in dict.fromkeys([*paper.authors[:MAX_FOLLOWS], *paper.authors[-1:]])
        ],
    }
    return render(request, "digest/paper.html", context)


def _event_context(event):
    is_code = event.kind == event.Kind.CODE
    note = "" if is_code else event.note.replace("version ", "v")
    text = event.get_kind_display()
    return {
        "day": event.at,
        "said": f"{text}: {note}" if note else text,
        "link": event.note if is_code else "",
    }


def _json_ld(paper):
    """Return the paper in schema.org's vocabulary for search engines, safe within HTML."""
    fields = {
        "@context": "https://schema.org",
        "@type": "ScholarlyArticle",
        "headline": paper.title,
        "name": paper.title,
        "abstract": "" if paper.is_sample else paper.abstract,
        "author": [{"@type": "Person", "name": name} for name in paper.authors],
        "datePublished": "" if paper.day_is_estimate else paper.day.isoformat(),
        "keywords": ", ".join(paper.fields),
        "url": settings.SITE_URL + paper.get_absolute_url(),
        "sameAs": paper.link,
        "identifier": paper.pk,
        "isPartOf": paper.journal_ref,
    }
    script = json.dumps({key: value for key, value in fields.items() if value}, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        script = script.replace(character, f"\\u{ord(character):04x}")
    return mark_safe(script)  # noqa: S308, nothing in it ends the element


def _missing_paper_page(request, identity):
    """Redirect from an id with a version, or link to where the paper may be."""
    try:
        paper_id = canonical_id(identity)
    except BadRecord:
        paper_id = ""
    if paper_id not in ("", identity) and Paper.objects.filter(pk=paper_id).exists():
        return redirect("paper", paper_id, permanent=True)
    server, _colon, local_id = paper_id.rpartition(":")
    context = {
        "identity": identity,
        "arxiv_id": "" if server else local_id,
        "doi": local_id if server in SERVERS else "",
    }
    return render(request, "digest/no_paper.html", context, status=404)


# ---- A topic


@same_for_all(*QUERY_PARAMS)
def topic(request, slug):
    """A topic and its latest papers."""
    topic = get_object_or_404(Topic.objects.curated(), slug=slug)
    papers = latest_papers(topic)
    filters = Filters.of(request.GET)
    visible_papers = [paper for paper in papers or () if filters.passes(paper)]
    context = {
        "topic": topic,
        "days": [
            {"day": day, "papers": list(day_papers)}
            for day, day_papers in groupby(visible_papers, key=lambda paper: paper.day)
        ],
        "matched": papers,
        "count": len(visible_papers),
        **filters.context(papers or ()),
    }
    return render(request, "digest/topic.html", context)


def latest_papers(topic: Topic) -> list[Paper] | None:
    """Return the latest papers of a topic, the newest day first, the best of a day first.

    Each has an attribute `terms`: the words that weighed most. Returns None without a model.
    """
    from digest.indexing import candidate_windows, model_store
    from digest.personalization.profiles import to_interest
    from digest.ranking.parameters import Parameters
    from digest.ranking.ranking import matches

    try:
        window = candidate_windows.for_pages(timezone.localdate())
    except model_store.NotFitted:
        return None
    parameters = Parameters.of(settings.RANKING)
    choices = matches(window.model, window.papers, to_interest(topic), MAX_PAPERS, parameters)
    papers_by_id = Paper.objects.order_by().in_bulk([choice.paper for choice in choices])
    papers = []
    for choice in choices:
        if paper := papers_by_id.get(choice.paper):
            paper.terms = choice.terms
            papers.append(paper)
    return sorted(papers, key=lambda paper: -paper.day.toordinal())


# ---- A day


@same_for_all("page", *QUERY_PARAMS)
def day(request, day):
    """The papers of a day, the most upvoted first, with links to the days around it."""
    day = _parse_day(day)
    papers = Paper.objects.filter(day=day).order_by(F("upvotes").desc(nulls_last=True), "pk")
    paper_days = Paper.objects.order_by("day").values_list("day", flat=True)
    filters = Filters.of(request.GET)
    day_papers = papers.values_list("pk", "categories", "github", named=True)
    paper_ids = [paper.pk for paper in day_papers if filters.passes(paper)]
    page = Paginator(paper_ids, DAY_COMPACT_PAGE if filters.is_compact else DAY_PAGE)
    page = page.get_page(request.GET.get("page"))
    by_id = Paper.objects.order_by().in_bulk(page.object_list)
    page.object_list = [by_id[paper_id] for paper_id in page.object_list if paper_id in by_id]
    context = {
        "day": day,
        "days_kept": settings.KEEP_PAPERS.days,
        "is_old": day < timezone.localdate() - settings.KEEP_PAPERS,
        "page": page,
        "all": len(day_papers),
        "more": f"&{filters.query}" if filters.query else "",
        **filters.context(day_papers),
        "previous_day": paper_days.filter(day__lt=day).last(),
        "next_day": paper_days.filter(day__gt=day, day__lte=_tomorrow()).first(),
    }
    return render(request, "digest/day.html", context)


def _parse_day(iso_date):
    try:
        day = date.fromisoformat(iso_date)
    except ValueError:
        day = None
    if day is None or day.isoformat() != iso_date or not FIRST_DAY <= day <= _tomorrow():
        raise Http404
    return day


def _tomorrow():
    return timezone.localdate() + timedelta(days=1)  # It has begun already in some time zones.


# ---- Trending


@same_for_all()
def trending(request):
    """The trending papers of the week."""
    return render(
        request, "digest/trending.html", {"papers": trending_papers(timezone.localdate())}
    )


@xframe_options_exempt
@csp_override(settings.SECURE_CSP | {"frame-ancestors": ["*"]})
@same_for_all()
def trending_embed(request):
    """The trending papers as a plain list, for a frame on any site."""
    context = {"papers": trending_papers(timezone.localdate())}
    return render(request, "digest/trending_embed.html", context)


def trending_papers(today) -> list[Paper]:
    """Return the papers of the last days with the most points, as docs/site.md says.

    Each has attributes: `people`, how many subscribers like or saved it, 0 below MIN_PEOPLE, and
    `why`, a sentence about them.
    """
    papers = Paper.objects.filter(day__gt=today - TRENDING_DAYS, day__lte=today)
    papers = papers.filter(is_withdrawn=False)
    likes = Feedback.objects.exclude(value=Feedback.Value.LESS).filter(paper__in=papers)
    counts = likes.order_by().values("paper").annotate(people=Count("pk"))
    people = dict(counts.filter(people__gte=MIN_PEOPLE).values_list("paper", "people"))
    most_upvoted = papers.filter(upvotes__gt=0).order_by("-upvotes", "pk")
    chosen = [*most_upvoted.with_stars()[:MAX_PAPERS], *papers.with_stars().filter(pk__in=people)]
    for paper in chosen:
        count = paper.people = people.get(paper.pk, 0)
        paper.why = _("Liked or saved by %d subscribers") % count if count else ""
    distinct = {paper.pk: paper for paper in chosen}.values()
    return sorted(distinct, key=_points, reverse=True)[:MAX_PAPERS]


def _points(paper):
    return (paper.upvotes or 0) + PERSON_POINTS * paper.people, paper.day, paper.pk


# ---- The search


@same_for_all("q", "page", "order", *QUERY_PARAMS)
def search(request):
    """Search results, the best or the newest first. A category, such as "cs.CL", redirects."""
    from digest.views import search

    query, newest = request.GET.get("q", ""), request.GET.get("order") == "new"
    if len(categories := taxonomy.categories_named(query)) == 1:
        slug = category_slug(categories[0])
        if Topic.objects.filter(owner=None, slug=slug).exists():
            return redirect("topic", slug)
    page_number = request.GET.get("page", "")
    page = int(page_number) if page_number.isdecimal() and len(page_number) < 4 else 1
    filters = Filters.of(request.GET)
    results = search.find(query, page=max(page, 1), newest=newest, filters=filters)
    context = {
        "results": results,
        "examples": Topic.objects.offered().by_subject()[:3],
        "unknown_words": wording.names(results.unknown_words),
        "newest": newest,
        "address": _search_url(results.query, newest=newest, filters=filters),
        "best_address": _search_url(results.query, newest=False, filters=filters),
        "newest_address": _search_url(results.query, newest=True, filters=filters),
        "unfiltered_address": _search_url(results.query, newest=newest),
        "feed_query": urlencode({"q": results.query}),
        # As words, the name would not find the author's papers.
        "follow": urlencode({"interests": ("author: " if results.is_name else "") + results.query}),
        "max_length": search.MAX_LENGTH,
        **filters.context(results.papers, is_dated=True),
    }
    return render(request, "digest/search.html", context)


def _search_url(query, *, newest, filters=NO_FILTERS):
    params = urlencode({"q": query} | ({"order": "new"} if newest else {}))
    return f"{reverse('search')}?{'&'.join(filter(None, [params, filters.query]))}"
