"""What this room adds to the page of a reader's preferences, registered as Django starts."""

from django.template.loader import render_to_string

from digest import steering
from subscriptions import links


def feed_panel(subscriber) -> str:
    """Return the way to her feed."""
    from digest import feeds

    return render_to_string("digest/_feed.html", {"address": feeds.url(subscriber)})


def steering_panel(subscriber) -> str:
    """Return the form that asks about one paper, and what was learned of her."""
    return render_to_string(
        "digest/_steering.html",
        {
            "token": links.token("preferences", subscriber.public_id),
            "subscriber": subscriber,
            "words": steering.learned_words(subscriber)[:8],
        },
    )
