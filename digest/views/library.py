"""A subscriber's library: papers of a bibliography, from which their digests learn."""

from django.conf import settings
from django.core.paginator import Paginator
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest import tasks
from digest.models import LibraryUpload, ZoteroLibrary
from digest.personalization import zotero
from digest.personalization.library import (
    MAX_PAPERS,
    add,
    forget,
    parse_error_message,
    preview,
    remove,
    undo,
)
from digest.sources import bibliographies
from digest.sources.zotero import KEY, path_of
from digest.views.access import bad_request, token_page
from subscriptions import child_process
from subscriptions.mail.plaintext import one_line, shortened
from subscriptions.security import rate_limits, tokens
from subscriptions.tasks import enqueue

PAGE_SIZE = 50
MAX_SHOWN_TITLES = 10  # Of a preview; more are folded away.
MAX_NAME_COLUMNS = 40  # Of an entry that could not be read.
MAX_READS = 10  # Of a library in Zotero in an hour, at the wish of its subscriber.
#: Bytes of UTF-8. The rest of a request's body is for the form's other fields.
MAX_TEXT_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE - 50_000
MAX_TEXT_MB = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1_000_000  # As people read it.
MAX_FILE_MB = 10 * MAX_TEXT_MB  # The page's script sends a file in parts,
MAX_PARTS = 100  # in an hour. The largest file of Latin letters has 32.


@token_page
def page(request, token):
    """The library. POST previews or adds a text, undoes the last upload, or removes papers.

    The page's script sends a file in parts to be parsed, then the papers of all parts as one text.
    """
    subscriber = tokens.subscriber_of("preferences", token)
    if request.method != "POST":
        return _page(request, subscriber, token)
    try:
        return _change_library(request, subscriber, token)
    except child_process.ParseError as error:
        problem = parse_error_message(error)
        if "part" in request.GET:
            return JsonResponse({"problem": problem})
        return _page(request, subscriber, token, problem, request.POST["text"])


def _change_library(request, subscriber, token):
    params, query = request.POST, {}
    if "text" in params:
        problem = _text_problem(params["text"])
        if "part" in request.GET:
            limit = rate_limits.Limit("subscriber", str(subscriber.pk), MAX_PARTS, rate_limits.HOUR)
            rate_limits.hit("library", [limit], timezone.now())
            if problem:
                return JsonResponse({"problem": problem})
            bibliography = bibliographies.read(params["text"])
            papers = [[bibliographies.ris(r), str(r.day or "")] for r in bibliography.records]
            unread = _shortened(bibliography.unread_names)
            errors = {"bad": bibliography.unread_count, "unread": unread}
            return JsonResponse({"papers": papers} | errors)
        if problem:
            return _page(request, subscriber, token, problem)
        if "add" not in params:
            return _preview(request, subscriber, token)
        query = {"new": len(add(subscriber, params["text"], timezone.now()).new_papers)}
    elif upload_id := _number(params.get("undo")):
        query = {"undone": int(undo(subscriber, upload_id))}
    elif paper_id := _number(params.get("paper")):
        remove(subscriber, subscriber.library.filter(pk=paper_id))
        query = {"page": request.GET.get("page", 1)}
    elif "zotero" in params:
        return _connect_zotero(request, subscriber, token)
    elif params.get("all") == "disconnect":
        zotero.disconnect(subscriber)
    elif params.get("all") == "forget":
        forget(subscriber)
        query = {"deleted": 1}
    else:
        return bad_request(request, _("There is no such action."))
    enqueue(tasks.learn_from_feedback)
    return redirect(reverse("library", args=[token], query=query))


def _connect_zotero(request, subscriber, token):
    """Connect a library in Zotero, or have it read now."""
    now, key = timezone.now(), request.POST.get("key", "").strip()
    path = path_of(request.POST["zotero"])
    if not path or (key and not KEY.fullmatch(key)):
        return _page(request, subscriber, token, error="wrong key" if path else "wrong address")
    limit = rate_limits.Limit("subscriber", str(subscriber.pk), MAX_READS, rate_limits.HOUR)
    rate_limits.hit("zotero", [limit], now)
    zotero.connect(subscriber, path, key, now)
    enqueue(tasks.read_zotero_libraries)
    return redirect(reverse("library", args=[token]) + "#zotero")


def _preview(request, subscriber, token):
    """Show what a text would add, with the numbers that the page's script counted in a file.

    Not a redirect: the names are private, and logs contain URLs.
    """
    params = request.POST
    changes = preview(subscriber, params["text"], timezone.now())
    cut_count, unread_count = (_number(params.get(name)) or 0 for name in ("left", "bad"))
    unread_names = [*changes.unread_names, *params.getlist("unread")]
    changes = changes._replace(
        paper_count=changes.paper_count + cut_count,
        excess_count=changes.excess_count + cut_count,
        unread_count=changes.unread_count + unread_count,
        unread_names=_shortened(unread_names[: bibliographies.MAX_UNREAD]),
    )
    if not changes.is_read:
        return _page(request, subscriber, token, _why_empty(changes), params["text"])
    unread = format_html_join(", ", "<bdi>{}</bdi>", ((name,) for name in changes.unread_names))
    if unread and changes.unread_count > len(changes.unread_names):
        unread = format_html("{}, …", unread)
    context = {
        "token": token,
        "changes": changes,
        "unread": unread,
        "shown": changes.new_papers[:MAX_SHOWN_TITLES],
        "more": changes.new_papers[MAX_SHOWN_TITLES:],
        "text": params["text"],
        "most": MAX_PAPERS,
    }
    return render(request, "digest/library_preview.html", context)


def _text_problem(text):
    """Return why a text can't be read, or an empty string."""
    if len(text.encode()) > MAX_TEXT_BYTES:
        return _("The text is too large: at most %s MB can be pasted.") % MAX_TEXT_MB
    if "\0" in text:
        return _why_unreadable(text, bibliographies.BINARY)
    try:
        bibliographies.reader_of(text)
    except bibliographies.UnreadableFormat as error:
        return _why_unreadable(text, str(error))
    return ""


def _why_unreadable(text, name):
    """Return what to do about a text. `name`: of its format, or an empty string."""
    nul_index = text.find("\0")
    if nul_index >= 0 and bibliographies.is_structured(text[:nul_index]):
        context = one_line(text[max(nul_index - 200, 0) : nul_index])[-MAX_NAME_COLUMNS:]
        return _("This file is damaged: it has an unreadable character after “%s”.") % context
    if name == bibliographies.BINARY:
        return _(
            "This is not a text file. Export your references as BibTeX or RIS, or paste one title "
            "or arXiv ID per line."
        )
    if name:
        return _("This looks like %s. Export your references as BibTeX or RIS instead.") % name
    return _("This format cannot be read. Export your references as BibTeX or RIS instead.")


def _why_empty(changes):
    if changes.unread_count or not changes.titleless_count:
        return _("No papers found. Paste BibTeX, RIS, or one title or arXiv ID per line.")
    return ngettext(
        "%(number)s arXiv ID is unknown here: paste the title instead.",
        "%(number)s arXiv IDs are unknown here: paste the titles instead.",
        changes.titleless_count,
    ) % {"number": changes.titleless_count}


def _number(text) -> int | None:
    return int(text[:18]) if text and text.isdecimal() else None


def _page(request, subscriber, token, problem="", pasted_text="", error=""):
    upload = LibraryUpload.objects.filter(subscriber=subscriber).first()
    context = {
        "token": token,
        "subscriber": subscriber,
        "page": Paginator(subscriber.library.all(), PAGE_SIZE).get_page(request.GET.get("page")),
        "problem": problem,
        "zotero": ZoteroLibrary.objects.filter(subscriber=subscriber).first(),
        "now": timezone.now(),
        "wrong": error,
        "zotero_count": subscriber.library.exclude(zotero_key="").count(),
        "pasted": pasted_text,
        "new": _number(request.GET.get("new")),
        "undone": _number(request.GET.get("undone")),
        "deleted": _number(request.GET.get("deleted")),
        "upload": upload,
        "uploaded": upload and subscriber.library.filter(identity__in=upload.added).count(),
        "most": MAX_PAPERS,
        "max_file_mb": MAX_FILE_MB,
        "max_text": MAX_TEXT_BYTES,
        "max_text_mb": MAX_TEXT_MB,
    }
    return render(request, "digest/library.html", context, status=400 if problem or error else 200)


def _shortened(names):
    return [name for name in (shortened(name, MAX_NAME_COLUMNS) for name in names) if name]
