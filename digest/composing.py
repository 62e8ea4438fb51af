"""A digest becomes a letter."""

from datetime import date

from django.conf import settings
from django.urls import reverse

from digest import ledger
from digest.models import Digest
from subscriptions import links, mail

#: Gmail cuts a letter off at 102,000 octets, and the link to unsubscribe with it.
MAX_HTML = 78_000
#: Columns of an abstract. Digests of many papers get the longest with which they stay below.
SUMMARIES = (600, 400, 250, 120, 60)
#: And of the shortest, with one link where others have three.
FORMS = [*((length, False) for length in SUMMARIES), (SUMMARIES[-1], True)]


def compose(letter, now):
    """Return what the letter of this digest says. Registered with the post office."""
    digest = Digest.objects.get(letter=letter)
    picks = list(digest.picks.whole())
    if letter.kind == letter.Kind.DIGEST and not picks:
        raise mail.NothingToSay("its papers are gone")
    return content(digest, letter.subscriber, picks, kind=letter.kind)


def content(digest, subscriber, picks, kind="digest") -> mail.Content:
    """Return the letter for these picks, whether or not they are stored."""
    unsubscribe_url = links.unsubscribe_url(subscriber)
    context = {
        "subscriber": subscriber,
        "digest": digest,
        "picks": picks,
        "is_first": not Digest.objects.told()
        .filter(subscriber=subscriber, day__lt=digest.day)
        .exists(),
        "topics": [preference.topic.name for preference in subscriber.followed()],
        "feedback_url": feedback_url(subscriber),
        "news": ledger.news_of_saved(subscriber, digest),
        "receipt": read_receipt(digest),
        "digest_url": web_copy_url(digest),
        "preferences_url": links.preferences_url(subscriber),
        "unsubscribe_url": unsubscribe_url,
    }
    for context["summary_length"], context["is_tight"] in FORMS:
        letter = mail.render(kind, context, headers=mail.list_headers(unsubscribe_url))
        if len(letter.html.encode()) <= MAX_HTML:
            break
    return letter


def read_receipt(digest) -> dict:
    """Return what was announced and what of it was here, as it is said; nothing where unknown."""
    if not digest.receipt:
        return {}
    told = digest.receipt
    return told | {
        "day": date.fromisoformat(told["day"]),
        "announced": f"{told['announced']:,}",
        "had": f"{told['had']:,}",
    }


def feedback_url(subscriber) -> str:
    """Return where she says something of a paper."""
    return settings.SITE_URL + reverse(
        "feedback", args=[links.token("feedback", subscriber.public_id)]
    )


def web_copy_url(digest) -> str:
    """Return where the letter stands on the web, for who has its link."""
    token = links.token("digest", digest.public_id)
    return settings.SITE_URL + reverse("digest", args=[token])
