"""What admin pages share: badges of states, filters, and bases of lists and inlines."""

from contextlib import suppress

from django.core.exceptions import ValidationError
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.admin import TabularInline
from unfold.decorators import display

from subscriptions import addresses
from subscriptions.models import Letter, Subscriber

SUPPRESSED = "blocked"  # The panel's word for this state.

#: Tones (see templates/admin/badge.html), and the states of subscribers and letters and the kinds
#: of reports that have them.
_STATES_BY_TONE = {
    "good": "active accepted delivered",
    "open": "pending planned claimed transmitting relayed",
    "held": "paused uncertain delayed",
    "quiet": "unsubscribed skipped",
    "bad": "suppressed failed missed bounced complained",
}
TONES = {state: tone for tone, states in _STATES_BY_TONE.items() for state in states.split()}


class ReadOnlyMixin:
    """For pages and inlines of rows that only the service writes."""

    def has_add_permission(self, request, obj=None):
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def render_change_form(self, request, context, *args, **kwargs):
        """Hide the link to the history, which is empty: nobody changes these rows here."""
        context["show_history"] = False
        return super().render_change_form(request, context, *args, **kwargs)


class ReadOnlyInline(ReadOnlyMixin, TabularInline):
    show_title = False
    extra = 0


class AddressSearchMixin:
    """Finds rows by a part of their subscriber's address or title, the domain in both spellings.

    Asks for the subscribers first, which is fast: Django's search would compare each row.
    """

    subscriber_field = "subscriber"
    search_fields = ["subscriber__email"]  # Without fields, there is no search.
    search_help_text = "Email address or channel"

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        with suppress(ValidationError):  # A part of an address is searched as it is.
            search_term = addresses.normalise(search_term)
        subscribers = Subscriber.objects.filter(
            Q(email__icontains=search_term) | Q(title__icontains=search_term)
        )
        return queryset.filter(**{f"{self.subscriber_field}__in": subscribers}), False


def count_subquery(queryset, field_name):
    """Return an annotation: the number of rows whose field `field_name` is the outer row.

    A subquery, so that a list counts only for the rows that it shows.
    """
    rows = queryset.filter(**{field_name: OuterRef("pk")}).order_by()
    return Coalesce(Subquery(rows.values(field_name).annotate(n=Count("pk")).values("n")), 0)


def badge(words, tone):
    """Return HTML in the colour of a tone: good, bad, open, held or quiet."""
    words = SUPPRESSED if words == "suppressed" else words
    return render_to_string("admin/badge.html", {"words": words, "tone": tone})


@display(description="State")
def letter_badge(letter):
    """Return the letter's state for display. The reason has a column of its own."""
    is_waiting = letter.state == Letter.State.PLANNED
    text = letter.state_text if is_waiting else letter.get_state_display()
    return badge(text, TONES[letter.state])


@display(description="Report")
def fact_badge(fact):
    return badge(fact.get_kind_display(), TONES[fact.kind])


def with_day(subscriber, letter):
    """Return the subscriber, with the letter's kind and day beneath: a phone shows few columns."""
    subtitle = letter.get_kind_display().capitalize()
    if letter.day:
        subtitle += f", {date_format(letter.day)}"
    html = '{}<span class="block text-subtle whitespace-nowrap">{}</span>'
    return format_html(html, subscriber, subtitle)


@display(description="Reason")
def reason_of(letter):
    """Return the start of the reason, with a minimum width."""
    return min_width(Truncator(letter.reason).chars(80))


def min_width(text):
    """Return the text with a minimum width, to be readable in a narrow table."""
    return text and format_html('<span class="inline-block min-w-52">{}</span>', text)


def exclude_fields(fieldsets, names):
    """Return fieldsets without the fields of these names. Leave out fieldsets without fields."""
    sections = [
        (title, options | {"fields": [name for name in options["fields"] if name not in names]})
        for title, options in fieldsets
    ]
    return [(title, options) for title, options in sections if options["fields"]]


def link(url, text):
    return format_html('<a class="text-link" href="{}">{}</a>', url, text)


def hx_redirect(name, *args):
    """Redirect after a dialog, whose script follows this header."""
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=args)})
