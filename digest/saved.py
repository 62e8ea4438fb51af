"""The papers that a reader saved: a page of them, and the files that take them elsewhere."""

from collections import defaultdict

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from digest import citations, steering, wording
from digest.models import Paper, PaperEvent
from digest.views import bad_link, holder_of
from subscriptions import links
from subscriptions.views import for_token_holders

PAGE = 50  # Papers on one page.


@require_safe
@for_token_holders
def page(request, token):
    """The papers that she saved, the latest first, each with what happened to it since.

    Of a paper that the address names and that isn't saved, it says so: she has just taken it off.
    """
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    saved = steering.saved(subscriber)
    shown = Paginator(saved, PAGE).get_page(request.GET.get("page"))
    asked = request.GET.get("paper", "")
    context = {
        "token": token,
        "feedback_token": links.own_token("feedback", subscriber),
        "subscriber": subscriber,
        "page": shown,
        "rows": _rows(list(shown)),
        "taken_off": _not_among(saved, asked) if asked else None,
    }
    return render(request, "digest/saved.html", context)


def _not_among(saved, asked):
    return Paper.objects.filter(pk=asked).exclude(pk__in=saved.values("paper")).first()


def _rows(saved):
    """Return each paper as its page lists it, when she saved it, and what happened since."""
    events = defaultdict(list)
    for event in PaperEvent.objects.filter(paper__in=[one.paper_id for one in saved]):
        events[event.paper_id].append(event)
    return [
        {
            "paper": one.paper,
            "at": one.at,
            "news": [
                _told(event, one.paper) for event in events[one.paper_id] if event.at > one.at
            ],
        }
        for one in saved
    ]


def _told(event, paper):
    event.paper = paper  # Known already.
    return {"at": event.at} | wording.told(event)


@require_safe
@for_token_holders
def bibtex(request, token):
    """All papers that she saved, as entries for LaTeX."""
    return _file(request, token, citations.bibtex, "application/x-bibtex", "bib")


@require_safe
@for_token_holders
def ris(request, token):
    """All papers that she saved, as records for programs that keep references."""
    return _file(request, token, citations.ris, "application/x-research-info-systems", "ris")


def _file(request, token, written, kind, suffix):
    """Return a file of them, in the order in which they were saved: it grows at its end."""
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    papers = [one.paper for one in steering.saved(subscriber).reverse()]
    named = {"Content-Disposition": f'attachment; filename="saved-papers.{suffix}"'}
    return HttpResponse(written(papers), f"{kind}; charset=utf-8", headers=named)
