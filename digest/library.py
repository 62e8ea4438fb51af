"""A subscriber's library: papers of a bibliography, from which their digests learn."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.conf import settings
from django.core.paginator import Paginator
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest import steering, tasks, titles
from digest.models import LibraryPaper, LibraryUpload, Paper
from digest.sources import bibliographies
from digest.sources.records import Record
from digest.views import bad_link, holder_of
from subscriptions.models import Subscriber
from subscriptions.plaintext import one_line, shortened
from subscriptions.tasks import enqueue
from subscriptions.views import bad_request, token_page

MAX_PAPERS = steering.MAX_LEARNED  # The latest: more are not learned from.
PAGE = 50
SHOWN_TITLES = 10  # Of a preview; more are folded away.
MAX_NAME_COLUMNS = 40  # Of an entry that could not be read.
MAX_FILE_MB = 10  # The page's script sends a file in pieces.
#: Bytes of UTF-8. The rest of a request's body is for the form's other fields.
MAX_TEXT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE - 10_000
#: No text contains it, nearly every binary file does. Other control characters are left out.
NUL = "\0"


class Changes(NamedTuple):
    """What a bibliography changes in a library.

    Attributes:
        found: number of its papers.
        new: rows to add, the latest first.
        replaced: rows without an abstract that are replaced by `new` ones.
        removed: rows that are no longer among the MAX_PAPERS latest.
        known: number of its papers that the library has.
        left: number of its papers that are not among the MAX_PAPERS latest.
        titleless: number of its papers that have only an arXiv id, which is unknown here.
        bad: number of entries that could not be read.
        unread: names of the first of these.
    """

    found: int
    new: list[LibraryPaper]
    replaced: list[LibraryPaper]
    removed: list[LibraryPaper]
    known: int
    left: int
    titleless: int
    bad: int
    unread: list[str]

    @property
    def is_read(self) -> bool:
        """Whether any paper could be read."""
        return bool(self.new or self.known or self.left)


def preview(subscriber, text: str, now) -> Changes:
    """Return what adding a bibliography would change."""
    return _changes(subscriber, *_read(text), now)


def add(subscriber, text: str, now) -> Changes:
    """Add the papers of a bibliography to the library, which keeps the latest MAX_PAPERS.

    Missing fields are taken from papers of the database. Adding the same again changes nothing.
    Raises Subscriber.DoesNotExist if the subscriber was erased meanwhile.
    """
    read = _read(text)
    with transaction.atomic():
        subscriber.locked()
        changes = _changes(subscriber, *read, now)
        if changes.new:
            displaced = changes.replaced + changes.removed
            subscriber.library.filter(pk__in=[paper.pk for paper in displaced]).delete()
            # The first ones count as added last.
            LibraryPaper.objects.bulk_create(reversed(changes.new))
            _forget_upload(subscriber)
            LibraryUpload.objects.create(
                subscriber=subscriber,
                added=[paper.identity for paper in changes.new],
                displaced=[_as_json(paper) for paper in displaced],
            )
            steering.request_learning(subscriber)
    return changes


def undo(subscriber, upload_id: int) -> bool:
    """Remove what the last upload added, and restore what it displaced.

    Papers that were removed meanwhile are not restored. Returns False if this upload was undone
    already or another one followed. Raises Subscriber.DoesNotExist like `add`.
    """
    with transaction.atomic():
        subscriber.locked()
        upload = LibraryUpload.objects.filter(subscriber=subscriber, pk=upload_id).first()
        if upload is None:
            return False
        deleted, _each = subscriber.library.filter(identity__in=upload.added).delete()
        LibraryPaper.objects.bulk_create(
            (LibraryPaper(subscriber=subscriber, **paper) for paper in upload.displaced),
            ignore_conflicts=True,
        )
        upload.delete()
        if deleted or upload.displaced:
            steering.request_learning(subscriber)
    return True


def remove(subscriber, which) -> None:
    """Remove these papers from the library. Raises Subscriber.DoesNotExist like `add`."""
    with transaction.atomic():
        subscriber.locked()
        identities = {*which.values_list("identity", flat=True)}
        which.delete()
        for upload in LibraryUpload.objects.filter(subscriber=subscriber):
            upload.displaced = [p for p in upload.displaced if p["identity"] not in identities]
            upload.save()
        if identities:
            steering.request_learning(subscriber)


def forget(subscriber) -> None:
    """Delete the library. Raises Subscriber.DoesNotExist like `add`."""
    with transaction.atomic():
        remove(subscriber, subscriber.library.all())
        _forget_upload(subscriber)


def _forget_upload(subscriber):
    LibraryUpload.objects.filter(subscriber=subscriber).delete()


def _as_json(paper):
    names = ("pk", "identity", "title", "abstract", "year")
    return {name: getattr(paper, name) for name in names} | {"at": paper.at.isoformat()}


def _read(text) -> tuple[bibliographies.Bibliography, list[Record]]:
    """Return the parsed bibliography, and the latest MAX_PAPERS of its papers, completed."""
    bibliography = bibliographies.read(text)
    latest = sorted(bibliography.records, key=lambda record: record.day or date.min, reverse=True)[
        :MAX_PAPERS
    ]
    return bibliography, _completed(latest)


def _changes(subscriber, bibliography, completed, now):
    before = {paper.identity: paper for paper in subscriber.library.all()}
    titled = [record for record in completed if record.title]
    new = []
    for record in titled:
        known = before.get(record.id)
        if known is None or (record.abstract and not known.abstract):
            new.append(
                LibraryPaper(
                    subscriber=subscriber,
                    identity=record.id,
                    title=record.title,
                    abstract=record.abstract,
                    year=record.day and record.day.year,
                    at=now,
                )
            )
    replaced = [before.pop(paper.identity) for paper in new if paper.identity in before]
    # In the order of the library: within a year, the last added is first.
    latest = sorted([*new, *before.values()], key=lambda paper: -(paper.year or 0))
    kept = [paper for paper in latest[:MAX_PAPERS] if paper.pk is None]
    return Changes(
        found=len(bibliography.records),
        new=kept,
        replaced=replaced,
        removed=[paper for paper in latest[MAX_PAPERS:] if paper.pk],
        known=len(titled) - len(new),
        left=max(len(bibliography.records) - MAX_PAPERS, 0) + len(new) - len(kept),
        titleless=len(completed) - len(titled),
        bad=bibliography.bad,
        unread=bibliography.unread,
    )


def _completed(records: Iterable[Record]) -> list[Record]:
    """Return the records, with missing fields and ids of the papers in the database."""
    by_id = Paper.objects.in_bulk([record.id for record in records])
    same_titles = titles.alike(Paper.objects.order_by(), {record.title for record in records})
    by_title = {paper.title.casefold(): paper for paper in same_titles}
    completed = {}
    for record in records:
        paper = by_id.get(record.id) or by_title.get(record.title.casefold())
        if paper:
            record = Record(
                paper.pk,
                record.title or paper.title,
                record.abstract or paper.abstract[: bibliographies.MAX_ABSTRACT],
                day=record.day or paper.day,
            )
        completed[record.id] = record
    return [*completed.values()]


@token_page
def page(request, token):
    """The library. POST previews or adds a text, undoes the last upload, or removes papers.

    The page's script sends a file in parts to be parsed, then the papers of all parts as one text.
    """
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    if request.method != "POST":
        return _page(request, subscriber, token)
    try:
        return _changed(request, subscriber, token)
    except Subscriber.DoesNotExist:  # Erased at the same time.
        return bad_link(request)


def _changed(request, subscriber, token):
    sent = request.POST
    if "text" in sent:
        problem = _problem(sent["text"])
        if "part" in request.GET:
            if problem:
                return JsonResponse({"problem": problem})
            bibliography = bibliographies.read(sent["text"])
            papers = [[bibliographies.ris(r), str(r.day or "")] for r in bibliography.records]
            unread = _shortened(bibliography.unread)
            return JsonResponse({"papers": papers, "bad": bibliography.bad, "unread": unread})
        if problem:
            return _page(request, subscriber, token, problem)
        if "add" not in sent:
            return _preview(request, subscriber, token)
        query = {"new": len(add(subscriber, sent["text"], timezone.now()).new)}
    elif sent.get("undo", "").isdecimal():
        query = {"undone": int(undo(subscriber, int(sent["undo"][:18])))}
    elif sent.get("paper", "").isdecimal():
        remove(subscriber, subscriber.library.filter(pk=int(sent["paper"][:18])))
        query = {"page": request.GET.get("page", 1)}
    elif sent.get("all") == "forget":
        forget(subscriber)
        query = {}
    else:
        return bad_request(request, _("There is no such action."))
    enqueue(tasks.learn_from_feedback)
    return redirect(reverse("library", args=[token], query=query))


def _preview(request, subscriber, token):
    """Show what a text would add, with the numbers that the page's script counted in a file.

    Not a redirect: the names are private, and logs contain URLs.
    """
    sent = request.POST
    changes = preview(subscriber, sent["text"], timezone.now())
    cut, bad = _number(sent.get("left")) or 0, _number(sent.get("bad")) or 0
    changes = changes._replace(
        found=changes.found + cut,
        left=changes.left + cut,
        bad=changes.bad + bad,
        unread=_shortened([*changes.unread, *sent.getlist("unread")][: bibliographies.NAMED]),
    )
    if not changes.is_read:
        return _page(request, subscriber, token, _unreadable(changes), sent["text"])
    unread = format_html_join(", ", "<bdi>{}</bdi>", ((name,) for name in changes.unread))
    if unread and changes.bad > len(changes.unread):
        unread = format_html("{}, …", unread)
    context = {
        "token": token,
        "changes": changes,
        "unread": unread,
        "shown": changes.new[:SHOWN_TITLES],
        "more": changes.new[SHOWN_TITLES:],
        "text": sent["text"],
        "most": MAX_PAPERS,
    }
    return render(request, "digest/library_preview.html", context)


def _problem(text):
    """Return why a text can't be read, or an empty string."""
    if (nul := text.find(NUL)) >= 0:
        before = one_line(text[max(nul - 200, 0) : nul])
        return _(
            "This is not plain text: it has a control character after “%(before)s”. BibTeX, RIS, "
            "or one title or arXiv id a line can be read, in UTF-8 or Latin-1."
        ) % {"before": before[-MAX_NAME_COLUMNS:] or "…"}
    if len(text.encode()) > MAX_TEXT:
        return _("This text is larger than 1 MB. Please paste a part of it.")
    return ""


def _unreadable(changes):
    if changes.bad or not changes.titleless:
        return _("No paper could be read from that. Please paste BibTeX, RIS, or one title a line.")
    return ngettext(
        "%(number)s arXiv id is of a paper that is not here: give its title instead.",
        "%(number)s arXiv ids are of papers that are not here: give their titles instead.",
        changes.titleless,
    ) % {"number": changes.titleless}


def _number(text) -> int | None:
    return int(text[:9]) if text and text.isdecimal() else None


def _page(request, subscriber, token, problem="", pasted=""):
    upload = LibraryUpload.objects.filter(subscriber=subscriber).first()
    context = {
        "token": token,
        "subscriber": subscriber,
        "page": Paginator(subscriber.library.all(), PAGE).get_page(request.GET.get("page")),
        "problem": problem,
        "pasted": pasted,
        "new": _number(request.GET.get("new")),
        "undone": _number(request.GET.get("undone")),
        "upload": upload,
        "uploaded": upload and subscriber.library.filter(identity__in=upload.added).count(),
        "most": MAX_PAPERS,
        "max_file_mb": MAX_FILE_MB,
    }
    status = 400 if problem else 200
    return render(request, "digest/library.html", context, status=status)


def _shortened(names):
    return [name for name in (shortened(name, MAX_NAME_COLUMNS) for name in names) if name]
