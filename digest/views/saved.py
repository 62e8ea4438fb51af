"""A subscriber's reading list: the saved papers with notes and labels, and their files."""

from collections import Counter, defaultdict
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from django.views.decorators.http import require_safe

from digest import tasks, wording
from digest.models import Paper, PaperEvent
from digest.personalization import feedback, reading_list
from digest.views.access import bad_request, token_page
from digest.views.reader import recommend_token
from subscriptions.security import tokens
from subscriptions.tasks import enqueue

PAGE = 50
MAX_SEARCH_LENGTH = 200


@token_page
def page(request, token):
    """The reading list, the latest first. POST changes one paper of it, and redirects.

    Only removing shows a page at once: its form to undo holds the note and the labels, which are
    deleted.
    """
    subscriber = tokens.subscriber_of("preferences", token)
    filters, removed = _filters(request), None
    if request.method == "POST":
        action = request.POST.get("action", "")
        paper = Paper.objects.filter(pk=request.POST.get("paper", "").replace("\0", "")).first()
        if paper is None or not (action in DONE_MESSAGES or action == "remove"):
            return bad_request(request, _("There is no such paper, or no such action."))
        old_feedback = feedback.feedback_on(subscriber, paper)
        _apply_action(action, subscriber, paper, request.POST, timezone.now())
        if action != "remove":
            params = {"page": request.GET.get("page"), "done": action, "paper": paper.pk}
            return redirect(f"{request.path}{_query(filters | params)}#{_anchor(paper)}")
        enqueue(tasks.learn_from_feedback)
        removed = old_feedback if old_feedback and old_feedback.saved_at else None
    saved_rows = reading_list.saved_papers(subscriber)
    saved_page = Paginator(reading_list.filter_rows(saved_rows, **filters), PAGE)
    saved_page = saved_page.get_page(request.GET.get("page"))
    changed_id = request.GET.get("paper") if request.GET.get("done") in DONE_MESSAGES else None
    events = defaultdict(list)
    event_rows = PaperEvent.objects.filter(paper__in=[row.paper_id for row in saved_page])
    for event in event_rows.select_related("paper"):
        events[event.paper_id].append(event)
    for row in saved_page:
        row.anchor, row.is_changed = _anchor(row.paper), row.paper_id == changed_id
        news = (event for event in events[row.paper_id] if event.at > row.saved_at)
        row.news = [{"at": event.at} | wording.event_context(event) for event in news]
    unread_count = len(reading_list.filter_rows(saved_rows, state="unread"))
    context = {
        "token": token,
        "subscriber": subscriber,
        "page": saved_page,
        "saved": len(saved_rows),
        "states": [
            ("", _("All"), len(saved_rows)),
            ("unread", _("To read"), unread_count),
            ("read", pgettext("state", "Read"), len(saved_rows) - unread_count),
        ],
        "labels": sorted(Counter(label for row in saved_rows for label in row.label_list).items()),
        "asked": filters,
        "query": _query(filters),
        "here": _query(filters | {"page": saved_page.number if saved_page.number > 1 else ""}),
        "more": _query(filters).removeprefix("?"),
        "removed": removed,
        "done": DONE_MESSAGES.get(request.GET.get("done"), "") if changed_id else "",
        "is_elsewhere": not any(row.is_changed for row in saved_page),
        "limits": reading_list,
        "recommend_token": recommend_token(subscriber, token),
    }
    return render(request, "digest/saved.html", context)


def _filters(request):
    params = request.GET
    return {
        "state": params.get("state", "") if params.get("state") in reading_list.STATES else "",
        "label": params.get("label", "")[: reading_list.MAX_LABEL_LENGTH],
        "q": params.get("q", "")[:MAX_SEARCH_LENGTH],
    }


def _query(params):
    query = urlencode({name: value for name, value in params.items() if value})
    return f"?{query}" if query else ""


def _anchor(paper):
    return f"paper-{slugify(paper.pk)}"


# ---- Actions


def _apply_action(action, subscriber, paper, params, now):
    if action == "remove":
        feedback.record(subscriber, paper, "unsave", now)
    if action == "restore":
        feedback.record(subscriber, paper, "save", now)
    if action in ("note", "restore"):
        note, labels = params.get("note", ""), params.get("labels", "")
        reading_list.annotate(subscriber, paper, note=note, labels=labels)
    if action in ("read", "unread") or (action == "restore" and params.get("is_read")):
        reading_list.mark_read(subscriber, paper, None if action == "unread" else now)


#: What the page says after an action, except "remove".
DONE_MESSAGES = {
    "note": gettext_lazy("Saved."),
    "read": gettext_lazy("Marked as read."),
    "unread": gettext_lazy("Moved to “To read”."),
    "restore": gettext_lazy("Added back."),
}


# ---- Files

#: What writes a file, its media type, and the suffix of its name.
FILE_FORMATS = {
    "bibtex": (reading_list.bibtex, "application/x-bibtex", "bib"),
    "ris": (reading_list.ris, "application/x-research-info-systems", "ris"),
    "markdown": (reading_list.markdown, "text/markdown", "md"),
    "csv": (reading_list.table, "text/csv", "csv"),
}


@require_safe
@token_page
def file(request, token, kind):
    """Return a file of the saved papers that the page would show, the earliest first."""
    write, content_type, suffix = FILE_FORMATS[kind]
    subscriber = tokens.subscriber_of("preferences", token)
    rows = reading_list.filter_rows(reading_list.saved_papers(subscriber), **_filters(request))
    headers = {"Content-Disposition": f'attachment; filename="saved-papers.{suffix}"'}
    return HttpResponse(write(rows[::-1]), f"{content_type}; charset=utf-8", headers=headers)
