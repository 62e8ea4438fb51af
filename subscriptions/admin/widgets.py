"""What admin pages share: badges of states, filters, and bases of lists and inlines."""

from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, UTC, datetime, time, timedelta
from functools import cached_property

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display
from unfold.utils import parse_date_str
from unfold.views import ChangeList

from subscriptions import addresses, db
from subscriptions.models import Letter, Subscriber

MAX_MATCHES = 20  # A search shows the emails of so many subscribers.
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


# ---- Lists of large tables


class CappedPaginator(Paginator):
    """Pages of the first rows only: counting many millions takes seconds.

    Finds the primary keys first, by an index, and a page's rows by these, so that joins and
    annotations are only computed for rows that are shown.
    """

    MAX_ROWS = 2_000
    template_name = "admin/first_pages.html"

    @cached_property
    def pks(self):
        return list(self.object_list.values_list("pk", flat=True)[: self.MAX_ROWS + 1])

    @cached_property
    def count(self):
        return min(len(self.pks), self.MAX_ROWS)

    @property
    def has_more(self) -> bool:
        return len(self.pks) > self.MAX_ROWS

    def page(self, number):
        number = self.validate_number(number)
        ids = self.pks[: self.count][(number - 1) * self.per_page :][: self.per_page]
        return self._get_page(self.object_list.filter(pk__in=ids), number, self)


class LargeChangeList(ChangeList):
    def get_results(self, request):
        super().get_results(request)
        if not self.multi_page:  # Then Django would query all rows again.
            self.result_list = self.queryset.filter(pk__in=self.paginator.pks)
        self.full_result_count = self.result_count  # Or the page would show the first rows as all.

    def get_ordering_field(self, field_name):
        """Ignore orderings in the URL by columns that are not sortable."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None


class LargeTableMixin:
    """For lists of tables that grow without end. List only fast columns in `sortable_by`."""

    paginator = CappedPaginator
    list_per_page = 50
    show_full_result_count = False
    sortable_by = []

    def get_changelist(self, request, **kwargs):
        return LargeChangeList


class DaysFilter(RangeDateFilter):
    """Rows with a moment on a range of UTC days, both included."""

    def queryset(self, request, queryset):
        if first_day := self.start_of("from"):
            queryset = queryset.filter(**{f"{self.field_path}__gte": first_day})
        if last_day := self.start_of("to"):
            queryset = queryset.filter(**{f"{self.field_path}__lt": last_day + timedelta(days=1)})
        return queryset

    def start_of(self, bound):
        """Return when the first or last day begins in UTC, or None."""
        text = self.used_parameters.get(f"{self.parameter_name}_{bound}")
        day = parse_date_str(text) if text else None
        if day is None or day.year in (MINYEAR, MAXYEAR):  # Date arithmetic would overflow.
            return None
        return datetime.combine(day, time.min, UTC)


class LetterDayFilter(DaysFilter):
    """Letters of a range of days. There is no index on days, but ids grow with age."""

    pk_name = "pk"
    MAX_EARLIER, MAX_LATER = timedelta(days=2), timedelta(days=3)  # Creation, relative to the day.

    def queryset(self, request, queryset):
        if first_day := self.start_of("from"):
            pk = db.first_id_since(Letter, "created_at", first_day - self.MAX_EARLIER)
            queryset = queryset.filter(**{f"{self.pk_name}__gte": pk}, day__gte=first_day.date())
        if last_day := self.start_of("to"):
            pk = db.first_id_since(Letter, "created_at", last_day + self.MAX_LATER)
            queryset = queryset.filter(**{f"{self.pk_name}__lt": pk}, day__lte=last_day.date())
        return queryset


class LetterStateFilter(ChoicesDropdownFilter):
    """Letters in a state. No index has the state, so add a condition that has an index."""

    def queryset(self, request, queryset):
        rows = super().queryset(request, queryset)
        prefix, state = self.field_path.removesuffix("state"), self.value()
        if state in Letter.OPEN:
            return rows.filter(**{f"{prefix}ended_at": None})
        if state in (None, "", Letter.State.ACCEPTED):
            return rows
        return rows.exclude(**{f"{prefix}reason": ""})


def filter_by_address(request, queryset, term, field_name="subscriber"):
    """Filter rows by a part of the address, or title, of their subscriber, in this field.

    Asks for the rows of a few subscribers by id: no index leads from a part of an address to
    millions of rows. An international domain is found in both spellings.
    """
    with suppress(ValidationError):  # A part of an address is searched as it is.
        term = addresses.normalise(term)
    subscribers = Subscriber.objects.filter(Q(email__icontains=term) | Q(title__icontains=term))
    ids = list(subscribers.order_by("-pk").values_list("pk", flat=True)[: MAX_MATCHES + 1])
    if len(ids) > MAX_MATCHES:
        text = f"More than {MAX_MATCHES} addresses match. Only the newest {MAX_MATCHES} are shown."
        messages.info(request, text)
    return queryset.filter(**{f"{field_name}__in": ids[:MAX_MATCHES]})


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
