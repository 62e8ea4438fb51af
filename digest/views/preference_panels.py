"""Parts of the preferences page that the digest app adds. Registered in DigestConfig.ready."""

from dataclasses import replace
from datetime import UTC, timedelta

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html

from digest.personalization import feedback
from digest.planning import slots
from subscriptions import schedule
from subscriptions.security import tokens

MAX_TITLES = 20
MAX_SIMILAR = 10
SIMILAR_DAYS = timedelta(days=7)  # A first digest may have older papers as well.


def difference_panel(subscriber, selection, settings, now) -> str:
    """Return the papers of the last days that new settings would add and remove, as HTML."""
    # The model and numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    size, wants_near = settings.get("size", subscriber.size), settings.get("wants_near")
    new_profile = profile_for(selection, size, subscriber, wants_near=wants_near)
    try:
        with slots.slot():
            diff = preview.compare(subscriber, new_profile, now, weekdays=settings.get("weekdays"))
    except model_store.NotFitted:
        return render_to_string("digest/_preview_diff.html", {"is_early": True})
    except slots.Busy:
        return render_to_string("digest/_preview_diff.html", {"is_busy": True})
    context = {"difference": diff, "limit": f":{MAX_TITLES}", "shown": MAX_TITLES}
    return render_to_string("digest/_preview_diff.html", context)


def similar_papers_panel(subscriber, now) -> str:
    """Return the papers of the last seven days that the subscriber's feedback alone would pick.

    Empty without feedback, or without a model.
    """
    # The model and numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import profiles_of
    from digest.planning import preview

    (profile,) = profiles_of([subscriber])
    if profile.learned is None:
        return ""
    profile = replace(profile, follows=(), has_enough_liked=True, size=MAX_SIMILAR)
    try:
        with slots.slot():
            first_digest = preview.first_digest(profile, now, feedback.known_paper_ids(subscriber))
            preview.add_picks(first_digest)
    except model_store.NotFitted:
        return ""
    except slots.Busy:
        return render_to_string("digest/_similar_papers.html", {"is_busy": True})
    first_day = schedule.local_day(now, UTC) - SIMILAR_DAYS
    picks = [pick for pick in first_digest.picks if pick.paper.day > first_day]
    return render_to_string("digest/_similar_papers.html", {"picks": picks})


def empty_digests_panel(subscriber) -> str:
    """Return why the latest digests of an active subscriber have no papers, as HTML."""
    from digest.planning import explain  # numpy, which only processes that rank import.

    now = timezone.now()
    is_active = subscriber.state_at(now) == "active"
    reason = explain.explain_empty_digests(subscriber, now) if is_active else ""
    return format_html('<p class="notice" dir="auto">{}</p>', reason) if reason else ""


def feed_panel(subscriber) -> str:
    """Return the addresses of the subscriber's feed, as HTML."""
    from digest.views import feeds

    addresses = {"atom": feeds.url(subscriber), "json": feeds.url(subscriber, feeds.JsonFeed)}
    return render_to_string("digest/_feed.html", addresses)


def feedback_panel(subscriber) -> str:
    """Return the form that explains one paper, and what was learned from feedback, as HTML."""
    return render_to_string(
        "digest/_steering.html",
        {
            "token": tokens.own_token("preferences", subscriber),
            "subscriber": subscriber,
            "words": feedback.learned_words(subscriber)[:8],
            "in_library": subscriber.library.count(),
        },
    )
