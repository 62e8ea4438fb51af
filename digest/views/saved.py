"""The page of a subscriber's saved papers, and their export as BibTeX and RIS."""

from collections import defaultdict

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from digest import wording
from digest.models import Paper, PaperEvent
from digest.papers import citations
from digest.personalization import feedback
from digest.views.reader import bad_link, holder_of
from subscriptions.security import tokens
from subscriptions.views.access import token_page

PAGE = 50


@require_safe
@token_page
def page(request, token):
    """The saved papers, the latest first, each with what happened to it since.

    The URL may name a paper that was just removed: the page then says so.
    """
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    saved = feedback.saved(subscriber)
    shown = Paginator(saved, PAGE).get_page(request.GET.get("page"))
    events = defaultdict(list)
    for event in PaperEvent.objects.filter(paper__in=[row.paper_id for row in shown]):
        events[event.paper_id].append(event)
    rows = []
    for row in shown:
        news = [event for event in events[row.paper_id] if event.at > row.at]
        for event in news:
            event.paper = row.paper
        contexts = [{"at": event.at} | wording.event_context(event) for event in news]
        rows.append({"paper": row.paper, "at": row.at, "news": contexts})
    removed = None
    if paper_id := request.GET.get("paper", ""):
        unsaved = Paper.objects.filter(pk=paper_id).exclude(pk__in=saved.values("paper"))
        removed = unsaved.first()
    context = {
        "token": token,
        "feedback_token": tokens.own_token("feedback", subscriber),
        "subscriber": subscriber,
        "page": shown,
        "rows": rows,
        "taken_off": removed,
    }
    return render(request, "digest/saved.html", context)


@require_safe
@token_page
def bibtex(request, token):
    """All saved papers as BibTeX."""
    return _file(request, token, citations.bibtex, "application/x-bibtex", "bib")


@require_safe
@token_page
def ris(request, token):
    """All saved papers as RIS."""
    return _file(request, token, citations.ris, "application/x-research-info-systems", "ris")


def _file(request, token, write, content_type, suffix):
    """Return a file of the saved papers, the earliest first."""
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    papers = [feedback.paper for feedback in feedback.saved(subscriber).reverse()]
    headers = {"Content-Disposition": f'attachment; filename="saved-papers.{suffix}"'}
    return HttpResponse(write(papers), f"{content_type}; charset=utf-8", headers=headers)
