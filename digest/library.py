"""A reader's library: papers that she knows, of her bibliography, from which her digests learn."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.db import transaction
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from digest import steering, tasks, titles
from digest.models import LibraryPaper, Paper
from digest.sources import bibliographies
from digest.sources.records import Record
from digest.views import bad_link, holder_of
from subscriptions.hints import hint
from subscriptions.models import Subscriber
from subscriptions.plaintext import shortened
from subscriptions.views import for_token_holders, refused

MOST = steering.REMEMBERED  # Papers, the latest: more are not learned from.
PAGE = 50
LONGEST_NAME = 40  # Columns of the name of an entry that could not be read.
#: What says what became of a bibliography, but for the names in it.
NUMBERS = ("new", "known", "left", "titleless", "bad")


class Added(NamedTuple):
    """What became of a bibliography: papers that are new, known before, left out since enough later
    ones are kept, named by an id of arXiv that is not here; entries that could not be read, and
    the first of them by name.
    """

    new: int
    known: int
    left: int
    titleless: int
    bad: int
    unread: list[str]

    @property
    def is_read(self) -> bool:
        """Whether any paper could be read."""
        return bool(self.new or self.known)


def add(subscriber, text: str, now) -> Added:
    """Add the papers of a bibliography to her library, of which the latest MOST are kept.

    What an entry doesn't say of a paper that is ours is taken from there. Added twice is added
    once. Raises Subscriber.DoesNotExist where she was erased meanwhile.
    """
    told = bibliographies.read(text)
    latest = sorted(told.records, key=lambda record: record.day or date.min, reverse=True)[:MOST]
    completed = _completed(latest)
    records = [record for record in completed if record.title]
    with transaction.atomic():
        subscriber.locked()
        known = dict(subscriber.library.values_list("identity", "abstract"))
        new = [one for one in records if _says_more(one, known)]
        ids = {record.id for record in new}
        subscriber.library.filter(identity__in=ids).delete()
        LibraryPaper.objects.bulk_create(
            _row(subscriber, record, now)
            for record in reversed(new)  # The first ones count as added last.
        )
        beyond = dict(subscriber.library.values_list("pk", "identity")[MOST:])
        LibraryPaper.objects.filter(pk__in=beyond).delete()
        ids -= {*beyond.values()}
        if ids:
            steering.ask_to_learn(subscriber)
    left = len(told.records) - len(latest) + len(new) - len(ids)
    titleless = len(completed) - len(records)
    return Added(
        len(ids), len(records) - len(new), left, titleless, told.bad, _shortened(told.unread)
    )


def _says_more(record, known):
    """Return whether a paper is new, or was known by its title alone."""
    return record.id not in known or bool(record.abstract and not known[record.id])


def _row(subscriber, record, now):
    return LibraryPaper(
        subscriber=subscriber,
        identity=record.id,
        title=record.title,
        abstract=record.abstract,
        year=record.day and record.day.year,
        at=now,
    )


def _completed(records: Iterable[Record]) -> list[Record]:
    """Return the records, those of our papers by their ids, with what they lack of these."""
    ours = Paper.objects.in_bulk([record.id for record in records])
    named = titles.alike(Paper.objects.order_by(), {record.title for record in records})
    by_title = {paper.title.casefold(): paper for paper in named}
    completed = {}
    for record in records:
        paper = ours.get(record.id) or by_title.get(record.title.casefold())
        one = _with_words_of(paper, record) if paper else record
        completed[one.id] = one
    return [*completed.values()]


def _with_words_of(paper, record):
    return Record(
        paper.pk,
        record.title or paper.title,
        record.abstract or paper.abstract[: bibliographies.MAX_ABSTRACT],
        day=record.day or paper.day,
    )


def take_out(subscriber, which) -> None:
    """Forget these papers of her library. Raises Subscriber.DoesNotExist as `add` does."""
    with transaction.atomic():
        subscriber.locked()
        gone, _each = which.delete()
        if gone:
            steering.ask_to_learn(subscriber)


@for_token_holders
def page(request, token):
    """Her library: GET shows it, POST adds what is pasted, or takes one paper or all of them out.

    A script sends a file piece by piece, and what became of them all for the page to tell it.
    """
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    if request.method != "POST":
        is_told = any(name in request.GET for name in NUMBERS)
        return _page(request, subscriber, token, _told(request.GET) if is_told else None)
    try:
        return _changed(request, subscriber, token)
    except Subscriber.DoesNotExist:  # Erased by another click, in this very moment.
        return bad_link(request)


def _changed(request, subscriber, token):
    sent = request.POST
    if "text" in sent:
        return _added(request, subscriber, token)
    if "bad" in sent:
        return _tell(request, subscriber, token, _told(sent))
    address = reverse("library", args=[token])
    if sent.get("paper", "").isdecimal():
        take_out(subscriber, subscriber.library.filter(pk=int(sent["paper"][:18])))
        address += f"?{urlencode({'page': request.GET.get('page', 1)})}"
    elif sent.get("all") == "forget":
        take_out(subscriber, subscriber.library.all())
    else:
        return refused(request, _("There is no such action."))
    hint(tasks.learn_from_feedback)
    return redirect(address)


def _added(request, subscriber, token):
    """Add what is pasted, and tell what became of it: to a script in JSON."""
    added = add(subscriber, request.POST["text"], timezone.now())
    if added.is_read:
        hint(tasks.learn_from_feedback)
    if "part" in request.GET:
        return JsonResponse(added._asdict())
    return _tell(request, subscriber, token, added)


def _tell(request, subscriber, token, added):
    """Lead to the page that tells what became of a bibliography, or answer with it where it names
    what is hers: an address stands in logs. To send the form in again adds nothing.
    """
    if not added.is_read:
        return _page(request, subscriber, token, added, request.POST.get("text", ""), status=400)
    if added.unread:
        return _page(request, subscriber, token, added)
    numbers = urlencode({name: getattr(added, name) for name in NUMBERS})
    return redirect(f"{reverse('library', args=[token])}?{numbers}")


def _told(said) -> Added:
    """Return what became of a bibliography, as an address or a form has it."""
    numbers = (said.get(name, "") for name in NUMBERS)
    names = _shortened(said.getlist("unread")[: bibliographies.NAMED])
    return Added(*(int(one[:9]) if one.isdecimal() else 0 for one in numbers), names)


def _page(request, subscriber, token, added: Added | None, pasted="", status=200):
    context = {
        "token": token,
        "subscriber": subscriber,
        "page": Paginator(subscriber.library.all(), PAGE).get_page(request.GET.get("page")),
        "pasted": pasted,
        "added": added,
        "unread": added and _listed(added),
        "is_unread": added and not added.is_read,
        "most": MOST,
    }
    return render(request, "digest/library.html", context, status=status)


def _listed(added):
    """Return the names of entries that could not be read, as HTML; more of them are hinted at."""
    listed = format_html_join(", ", "<bdi>{}</bdi>", ((name,) for name in added.unread))
    is_whole = added.bad <= len(added.unread) or not listed
    return listed if is_whole else format_html("{}, …", listed)


def _shortened(names):
    return [name for name in (shortened(name, LONGEST_NAME) for name in names) if name]
