"""The parts of the sign-up form that depend on what was typed: its entries as chips, and a digest.

Parts are cached for a minute.
"""

from collections.abc import Collection
from typing import NamedTuple

from django.conf import settings
from django.http import QueryDict
from django.template.loader import render_to_string
from django.urls import reverse

from digest.interests.entries import UNREAD
from digest.planning.slots import Busy, slot
from digest.views import chips
from digest.views.forms.interests import TopicsForm
from digest.views.page_cache import get_or_make
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Topic

MAX_SEARCHES = 5  # Links to searches of earlier papers.
SIZE = 10  # Papers of a digest,
INVITATION_SIZE = 3  # and of the example in an invitation.
MIN_PICKS = 3  # Of an example digest.
MAX_EXAMPLES = 3  # Topics that are tried for an example digest.
#: What a preview depends on: fields of the form, and the line that a button has removed.
PREVIEW_FIELDS = ("topics", "interests", "removed_interests")


class Parts(NamedTuple):
    """The parts of the page that depend on the form: its entries as chips, and the digest."""

    entries: str
    digest: str


def parts_for(params: QueryDict, now, *, errors: Collection[str] = ()) -> Parts:
    """Return the chips and the preview for what a visitor would follow, or an example, as HTML.

    `errors`: the wrong fields of the sign-up form, which names them; the parts don't. If they are
    those of the preview, these are not read again.
    """
    is_readable = TopicsForm.base_fields.keys().isdisjoint(errors)
    has_fields = any(name in params for name in PREVIEW_FIELDS)
    form = TopicsForm(params if is_readable and has_fields else None)
    if errors and (form.errors or not is_readable):
        return Parts("", example_digest(now))
    if form.is_bound and not form.is_valid():
        return Parts("", _preview(form=form))
    selection = form.topic_selection() if form.is_bound else TopicSelection()
    if selection == TopicSelection():
        return Parts("", example_digest(now))
    slugs = sorted(topic.slug for topic in form.cleaned_data["topics"])
    try:
        entry_chips, digest = get_or_make(
            lambda: _ranked_parts(form.entries, selection, now), slugs, form.entries
        )
    except Busy:
        entry_chips, digest = _chips(form.entries), _preview(is_busy=True)
    return Parts(entry_chips, digest)


def example_digest(now) -> str:
    """Return the first digest for one of the subjects, a different one each day."""

    def make():
        # numpy, which only processes that rank import.
        from digest.indexing import model_store
        from digest.personalization.profiles import profile_for
        from digest.planning import preview

        topics = list(Topic.objects.offered().by_subject().order_by("pk"))
        start = now.toordinal() % max(len(topics), 1)
        for topic in (topics[start:] + topics[:start])[:MAX_EXAMPLES]:
            try:
                with slot():
                    digest = preview.first_digest(profile_for(TopicSelection([topic]), SIZE), now)
            except model_store.NotFitted:
                break
            if len(digest.choices) >= MIN_PICKS:
                preview.add_picks(digest)
                return _preview(first_digest=digest, example=topic)
        return _preview(is_empty=True)

    try:
        return get_or_make(make, "example", now.date())
    except Busy:
        return _preview(is_empty=True)


def example_papers(topics, now) -> list[dict[str, str]]:
    """Return a few papers of the first digest for these topics, to be shown in an invitation."""
    if not topics:
        return []
    from digest.indexing import model_store
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    try:
        digest = preview.first_digest(profile_for(TopicSelection([*topics]), INVITATION_SIZE), now)
    except model_store.NotFitted:
        return []
    preview.add_picks(digest)
    return [
        {
            "title": paper.title,
            "authors": ", ".join(paper.authors[:5]) + (" …" if len(paper.authors) > 5 else ""),
            "url": settings.SITE_URL + paper.get_absolute_url(),
        }
        for paper in (pick.paper for pick in digest.picks)
    ]


def _ranked_parts(entries, selection, now):
    # numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    with slot():
        try:
            digests = preview.preview_digests(profile_for(selection, SIZE), now)
        except model_store.NotFitted:
            return Parts(_chips(entries), _preview(is_early=True))
        counts = chips.count_matches(entries, now, digests.window)
        pick_count = sum(len(digest.picks) for digest in digests.past_digests)
        is_empty = not (digests.first_digest.picks or pick_count)
        suggestions = chips.broader_suggestions(entries, now, digests.window) if is_empty else []
    context = {
        "total": pick_count,
        "is_readable": bool(selection.follow) or any(entry.kind != UNREAD for entry in entries),
        "a_day": round(pick_count / len(digests.past_digests)),
        "sent_digests": [digest for digest in digests.past_digests if digest.picks],
        "suggestions": suggestions,
        "search_lines": chips.searchable_lines(entries)[:MAX_SEARCHES] if is_empty else [],
    }
    return Parts(_chips(entries, counts), _preview(**vars(digests), **context))


def _chips(entries, counts=None):
    return chips.render("interests", entries, counts or {}, reverse("preview"))


def _preview(**context):
    return render_to_string("digest/_preview.html", context)
