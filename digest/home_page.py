"""The part of the home page beside its form: the newest papers, or a preview of digests.

Parts are cached for a minute.
"""

from contextlib import contextmanager
from datetime import timedelta
from threading import BoundedSemaphore

from django.conf import settings
from django.db.models import Count, F
from django.template.loader import render_to_string

from digest.models import Paper
from digest.page_cache import get_or_make
from subscriptions.forms import TopicsForm

MAX_PAPERS = 20
MAX_DAYS = 7  # Links to so many days before,
RECENT = timedelta(days=21)  # of the last three weeks.
MAX_SEARCHES = 5  # Links to searches for what came earlier.
SIZE = 10  # Papers of a digest.
#: So many previews are ranked at the same time, and others wait so many seconds for their turn.
MAX_PREVIEWS, WAIT_SECONDS = 2, 3

_slots = BoundedSemaphore(MAX_PREVIEWS)


class Busy(Exception):
    """Too many previews are being ranked."""


@contextmanager
def slot():
    """Wait until fewer than MAX_PREVIEWS are being ranked. Raises Busy after WAIT_SECONDS."""
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise Busy
    try:
        yield
    finally:
        _slots.release()


def part_for(form: TopicsForm, now) -> str:
    """Return the preview for what a visitor would follow, or the newest papers, as HTML."""
    if form.is_bound and not form.is_valid():
        return _preview(form=form)
    wishes = form.topic_selection() if form.is_bound else None
    if not wishes or not (wishes.follow or wishes.interests):
        return newest_papers(now)
    slugs = sorted(topic.slug for topic in wishes.follow)
    try:
        return get_or_make(lambda: _ranked_preview(wishes, now), "preview", slugs, wishes.interests)
    except Busy:
        return _preview(is_busy=True)


def newest_papers(now) -> str:
    """Return the papers of the newest day, the most upvoted first, and links to the days before."""
    today = now.date()

    def make():  # Three queries.
        papers = Paper.objects.filter(day__lte=today)
        day = papers.values_list("day", flat=True).first()
        if day is None:
            return render_to_string("digest/_newest.html", {"today": today})
        days = papers.filter(day__gt=day - RECENT).values("day").annotate(count=Count("pk"))
        first, *before = days.order_by("-day")[: MAX_DAYS + 1]
        papers = papers.filter(day=day).with_stars()
        papers = papers.order_by(F("upvotes").desc(nulls_last=True), "pk")[:MAX_PAPERS]
        context = {"today": today, "papers": list(papers), "days": before, **first}
        return render_to_string("digest/_newest.html", context)

    return get_or_make(make, "newest", today)


def _ranked_preview(wishes, now):
    # The model and numpy, which only processes that rank import.
    from digest import rehearsal
    from digest.indexing import model_store
    from digest.profiles import wished

    try:
        with slot():
            result = rehearsal.rehearse(wished(wishes, SIZE), now)
    except model_store.NotFitted:
        return _preview(is_early=True)
    today, *before = result.days
    notes = result.notes
    searches = [f"author: {name}" for name in notes.author_matches] or wishes.interests
    if notes.without_terms or notes.unknown_words or notes.unknown_authors:
        searches = []  # They would find nothing, for the same reason.
    return _preview(
        today=today,
        before=before,
        total=sum(len(day.picks) for day in result.days),
        opened=None if today.picks else next((day for day in before if day.picks), None),
        earlier=searches[:MAX_SEARCHES],
        new_days=settings.NEW_DAYS,
        **notes.context(),
    )


def _preview(**context):
    return render_to_string("digest/_preview.html", context)
