"""What this room adds to the page of a reader's preferences, registered as Django starts."""

from dataclasses import replace
from datetime import UTC, timedelta

from django.db.models import Count, Q
from django.template.loader import render_to_string

from digest import home_page, steering, wording
from digest.models import Digest, Pick
from subscriptions import links, schedule

HISTORY = 60  # So many digests are listed,
SHOWN = 7  # and so many of them at first, and of the saved papers.
TITLES = 20  # So many papers that would come, or not, are told by title.
ALIKE = 10  # So many that are like what she taught,
LATELY = timedelta(days=7)  # of so many days: the first of them would have brought older ones, too.


def difference(subscriber, wishes, settings, now) -> str:
    """Return by which papers of the last days her digests would differ with these wishes and
    settings, as HTML.
    """
    # The model and numpy, which only pages that rank pay.
    from digest import rehearsal
    from digest.indexing import model_store
    from digest.profiles import wished

    size, near = settings.get("size", subscriber.size), settings.get("wants_near")
    changed = wished(wishes, size, subscriber, wants_near=near)
    try:
        with home_page.turn():
            found = rehearsal.compare(subscriber, changed, now, weekdays=settings.get("weekdays"))
    except model_store.NotFitted:
        return render_to_string("digest/_difference.html", {"is_early": True})
    except home_page.Busy:
        return render_to_string("digest/_difference.html", {"is_busy": True})
    context = {"difference": found, "limit": f":{TITLES}", "shown": TITLES}
    context |= {
        "wordless": wording.names(found.wordless),
        "unheard": wording.names(found.unheard),
        "unobeyed": found.unobeyed,
        "authors": wording.names(found.authors),
        "strangers": wording.names(found.strangers),
    }
    return render_to_string("digest/_difference.html", context)


def alike(subscriber, now) -> str:
    """Return the papers of the last seven days that would come for what she taught alone, as HTML.

    Nothing where she taught nothing yet, or papers can't be ranked yet.
    """
    # The model and numpy, which only pages that rank pay.
    from digest import rehearsal
    from digest.indexing import model_store
    from digest.profiles import profiles_of
    from digest.ranking.relevance_feedback import ENOUGH

    (profile,) = profiles_of([subscriber])
    if profile.learned is None:
        return ""
    if profile.learned.liked < ENOUGH:
        return render_to_string("digest/_alike.html", {"is_too_few": True})
    hers = replace(profile, follows=(), is_known=True)
    try:
        with home_page.turn():
            found = rehearsal.rehearse(hers, now, steering.known_to(subscriber))
    except model_store.NotFitted:
        return ""
    except home_page.Busy:
        return render_to_string("digest/_alike.html", {"is_busy": True})
    first = schedule.local_day(now, UTC) - LATELY
    picks = [pick for day in found.days for pick in day.picks if pick.paper.day > first]
    return render_to_string("digest/_alike.html", {"picks": picks[:ALIKE]})


def history_panel(subscriber) -> str:
    """Return her digests of the last weeks, with the way to each on the web."""
    count = Count("picks", filter=Q(picks__leader=None))
    had = Digest.objects.filter(subscriber=subscriber, letter__state="accepted")
    had = list(had.annotate(count=count).filter(count__gt=0).order_by("-day")[: HISTORY + 1])
    had, has_more = had[:HISTORY], len(had) > HISTORY
    best = Pick.objects.filter(digest__in=had, position=1).select_related("paper")
    titles = {pick.digest_id: pick.paper.title for pick in best}
    rows = [
        {
            "day": one.day,
            "title": titles.get(one.pk, ""),
            "more": one.count - 1,
            "token": links.own_token("digest", subscriber, one.public_id),
        }
        for one in had
    ]
    context = {"rows": rows[:SHOWN], "older": rows[SHOWN:], "has_more": has_more}
    return render_to_string("digest/_history.html", context)


def saved_panel(subscriber) -> str:
    """Return the papers that she saved last, and the way to all of them."""
    saved = steering.saved(subscriber)
    return render_to_string(
        "digest/_saved.html",
        {
            "papers": [one.paper for one in saved[:SHOWN]],
            "count": saved.count(),
            "token": links.own_token("preferences", subscriber),
            "feedback_token": links.own_token("feedback", subscriber),
        },
    )


def feed_panel(subscriber) -> str:
    """Return the way to her feed."""
    from digest import feeds

    return render_to_string("digest/_feed.html", {"address": feeds.url(subscriber)})


def steering_panel(subscriber) -> str:
    """Return the form that asks about one paper, and what was learned of her."""
    return render_to_string(
        "digest/_steering.html",
        {
            "token": links.own_token("preferences", subscriber),
            "subscriber": subscriber,
            "words": steering.learned_words(subscriber)[:8],
            "in_library": subscriber.library.count(),
        },
    )
