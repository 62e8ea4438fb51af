"""Pages about the service itself: what it keeps, who runs it, and its form for other sites."""

from django.conf import settings
from django.http import Http404
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest import upkeep
from digest.sources.biorxiv import SERVERS
from subscriptions import limits, moving, seals
from subscriptions.models import Topic
from subscriptions.post import esps, retention, unreadable
from subscriptions.views import CONSENT, for_all_to_read

#: The sources as people call them.
NAMES = {"arxiv": "arXiv", "huggingface": "Hugging Face", **SERVERS}


@for_all_to_read
def privacy(request):
    """What is kept of readers, what for and until when. tests/test_about.py knows of all tables."""
    esp = esps.esp_of(settings.EMAIL_URL)
    context = {
        "days": days_kept(),
        "sources": get_text_list([NAMES.get(one, one) for one in settings.SOURCES], _("and")),
        "writes_files": settings.EMAIL_URL.startswith("file:"),
        "provider": esp.title if esp else "",  # Who gets emails to hand them on.
        "contact": settings.CONTACT_EMAIL,
        "note": settings.PRIVACY_NOTE,
    }
    return render(request, "digest/privacy.html", context)


def days_kept() -> dict[str, str]:
    """Return how long parts of what is kept stay, in words."""
    spans = {
        "unconfirmed": upkeep.UNCONFIRMED,
        "letters": settings.KEEP_LETTERS,
        "events": settings.KEEP_EVENTS,
        "journals": retention.KEEP_JOURNALS,
        "unreadable": unreadable.KEEP,
        "attempts": limits.KEPT,
        "move": moving.LASTS,
        "bounced": seals.BOUNCED_FOR,
        "trail": settings.KEEP_TRAIL,
    }
    return {
        name: ngettext("%(count)d day", "%(count)d days", span.days) % {"count": span.days}
        for name, span in spans.items()
    }


@for_all_to_read
def imprint(request):
    """Who runs this site. There is no such page where the operator doesn't say."""
    if not settings.OPERATOR_NAME:
        raise Http404
    context = {
        "address": settings.POSTAL_ADDRESS,
        "contact": settings.CONTACT_EMAIL,
        "note": settings.IMPRINT_NOTE,
    }
    return render(request, "digest/imprint.html", context)


@for_all_to_read
def embed(request):
    """The sign-up form for other sites, as HTML to be copied, and what it may send."""
    context = {
        "snippet": snippet(),
        "topics": Topic.objects.offered(),
        "languages": ", ".join(code for code, _ in settings.LANGUAGES),
    }
    return render(request, "digest/embed.html", context)


def snippet() -> str:
    """Return the form that other sites may embed, in the language that is active."""
    context = {"site_url": settings.SITE_URL, "consent": CONSENT}
    return render_to_string("digest/_embedded_form.html", context)
