"""What the panel's pages share: how states look, and bases of pages."""

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from subscriptions.models import Letter, LetterFact

#: How each state of a subscriber, and of a letter, looks: see templates/admin/badge.html.
SUBSCRIBER_TONES = {
    "active": "good",
    "pending": "open",
    "paused": "held",
    "unsubscribed": "quiet",
    "suppressed": "bad",
}
LETTER_TONES = {
    Letter.State.PLANNED: "open",
    Letter.State.CLAIMED: "open",
    Letter.State.TRANSMITTING: "open",
    Letter.State.UNCERTAIN: "held",
    Letter.State.ACCEPTED: "good",
    Letter.State.SKIPPED: "quiet",
    Letter.State.FAILED: "bad",
    Letter.State.MISSED: "bad",
}
FACT_TONES = {
    LetterFact.Kind.RELAYED: "open",
    LetterFact.Kind.DELAYED: "held",
    LetterFact.Kind.DELIVERED: "good",
    LetterFact.Kind.BOUNCED: "bad",
    LetterFact.Kind.COMPLAINED: "bad",
    LetterFact.Kind.UNSUBSCRIBED: "quiet",
}


def dialog(words, form=None):
    return {
        "title": f"{words['title']}?",
        "description": words["consequence"],
        "form_submit_text": words["title"],
        "form_class": form,
    }


class ReadOnly:
    """For pages and tables that only show: their rows are written by the service."""

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False


def count_of(queryset, name):
    """Return the number of rows of which the field `name` is the outer row, as an annotation.

    A subquery, so that a list page counts for the rows it shows and no others.
    """
    mine = queryset.filter(**{name: OuterRef("pk")}).order_by()
    return Coalesce(Subquery(mine.values(name).annotate(n=Count("pk")).values("n")), 0)


def badge(words, tone):
    return render_to_string("admin/badge.html", {"words": words, "tone": tone})


def letter_badge(letter):
    """Return the letter's state as it is said to people. The reason has a column of its own."""
    is_waiting = letter.state == Letter.State.PLANNED
    words = letter.said if is_waiting else letter.get_state_display()
    return badge(words, LETTER_TONES[letter.state])


def fact_badge(fact):
    return badge(fact.get_kind_display(), FACT_TONES[fact.kind])


def reason_of(letter):
    """Return the beginning of the reason, wide enough to be read in a narrow table."""
    if not letter.reason:
        return ""
    reason = Truncator(letter.reason).chars(80)
    return format_html('<span class="inline-block min-w-52">{}</span>', reason)


def go_to(name, *args):
    """Answer a dialog, whose script follows this header and no redirect."""
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=args)})
