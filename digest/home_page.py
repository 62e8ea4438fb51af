"""What the home page shows beside its form: the newest papers, or what her digests would have been.

Both are parts of a page, rendered once and kept for a minute: what is the same for all, or asked
again, costs nothing.
"""

from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from threading import BoundedSemaphore

from django.conf import settings
from django.core.cache import caches
from django.db.models import Count, F
from django.template.loader import render_to_string
from django.utils.translation import get_language

from digest import wording
from digest.models import Paper
from subscriptions.forms import WishesForm

PAPERS = 20
DAYS = 7  # So many days to go back through, of the last
RECENT = timedelta(days=21)
EARLIER = 5  # Lines of hers of which the search has what came earlier.
SIZE = 10  # Papers of a digest, where nobody has said otherwise.
KEPT = 60  # Seconds.
#: So many are rehearsed for at a time, and others wait so long: the site stays there for all.
AT_ONCE, PATIENCE = 2, 3

_turns = BoundedSemaphore(AT_ONCE)


class Busy(Exception):
    """Too many are rehearsed for at this moment."""


@contextmanager
def turn():
    """Wait until fewer than AT_ONCE are rehearsed for, and be one of them. Raises Busy."""
    if not _turns.acquire(timeout=PATIENCE):
        raise Busy
    try:
        yield
    finally:
        _turns.release()


def part_for(form: WishesForm, now) -> str:
    """Return the part of the page for one with these wishes, or for one who says nothing."""
    if not form.is_bound:
        return newest_papers(now)
    if not form.is_valid():
        return _preview(form=form)
    wishes = form.wishes()
    if not (wishes.follow or wishes.interests):
        return newest_papers(now)
    asked = [*sorted(topic.slug for topic in wishes.follow), "", *wishes.interests]
    try:
        return _kept(lambda: _rehearsed(wishes, now), "preview", *asked)
    except Busy:
        return _preview(is_busy=True)


def newest_papers(now) -> str:
    """Return the papers of the newest day, the most upvoted first, and the days before it."""
    return _kept(lambda: _newest(now.date()), "newest", now.date())


def _newest(today):
    """Asks three queries, and renders what they answer."""
    papers = Paper.objects.filter(day__lte=today)
    day = papers.values_list("day", flat=True).first()
    if day is None:
        return render_to_string("digest/_newest.html", {"today": today})
    days = papers.filter(day__gt=day - RECENT).values("day").annotate(count=Count("pk"))
    first, *before = days.order_by("-day")[: DAYS + 1]
    papers = papers.filter(day=day).with_stars()
    papers = papers.order_by(F("upvotes").desc(nulls_last=True), "pk")[:PAPERS]
    context = {"today": today, "papers": list(papers), "days": before, **first}
    return render_to_string("digest/_newest.html", context)


def _rehearsed(wishes, now):
    # The model and numpy, which only pages that rank pay.
    from digest import rehearsal
    from digest.indexing import model_store
    from digest.profiles import wished

    try:
        with turn():
            told = rehearsal.rehearse(wished(wishes, SIZE), now)
    except model_store.NotFitted:
        return _preview(is_early=True)
    today, *before = told.days
    return _preview(
        today=today,
        before=before,
        total=sum(len(day.picks) for day in told.days),
        opened=None if today.picks else next((day for day in before if day.picks), None),
        earlier=_findable(wishes, told)[:EARLIER],
        is_cut=told.is_cut,
        wordless=wording.names(told.wordless),
        unheard=wording.names(told.unheard),
        unobeyed=told.unobeyed,
        authors=wording.names(told.authors),
        strangers=wording.names(told.strangers),
        new_days=settings.NEW_DAYS,
    )


def _findable(wishes, told):
    """Return what the search may find of her lines, nothing where it is told why it doesn't; of
    names among her words, their papers.
    """
    if told.wordless or told.unheard or told.strangers:
        return []
    return [f"author: {name}" for name in told.authors] or wishes.interests


def _preview(**context):
    return render_to_string("digest/_preview.html", context)


def _kept(make, *key):
    """Return what was made for this key and language lately, or make it."""
    told = "\n".join(map(str, (*key, get_language())))
    name = f"home:{sha256(told.encode()).hexdigest()}"
    return caches["pages"].get_or_set(name, make, KEPT)
