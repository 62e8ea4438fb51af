"""What the panel's pages share: how states look, and bases of pages."""

from contextlib import suppress
from datetime import MAXYEAR, MINYEAR, UTC, datetime, time, timedelta
from functools import cached_property

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.utils import parse_date_str
from unfold.views import ChangeList

from subscriptions import addresses
from subscriptions.models import Letter, LetterFact, Subscriber
from subscriptions.post import retention

READERS = 20  # So many readers' letters are looked for at most, where a search names more.

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


class ReadOnly:
    """For pages and tables that only show: their rows are written by the service."""

    def has_add_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def render_change_form(self, request, context, *args, **kwargs):
        """Lead to no history: nobody here changes it, so there is none."""
        return super().render_change_form(
            request, context | {"show_history": False}, *args, **kwargs
        )


class Rows(ReadOnly, TabularInline):
    """A table on the page of what its rows belong to."""

    show_title = False
    extra = 0


# ---- Lists of tables that grow


class FirstPages(Paginator):
    """Pages of the first rows alone: to count all of many millions takes seconds.

    Their numbers are found first, by an index, and a page's rows by these: what is joined or
    computed for a row is only asked for those that are shown.
    """

    MOST = 2_000
    template_name = "admin/first_pages.html"

    @cached_property
    def numbers(self):
        return list(self.object_list.values_list("pk", flat=True)[: self.MOST + 1])

    @cached_property
    def count(self):
        return min(len(self.numbers), self.MOST)

    @property
    def has_more(self) -> bool:
        return len(self.numbers) > self.MOST

    def page(self, number):
        number = self.validate_number(number)
        shown = self.numbers[: self.count][(number - 1) * self.per_page :][: self.per_page]
        return self._get_page(self.object_list.filter(pk__in=shown), number, self)


class LargeChangeList(ChangeList):
    def get_results(self, request):
        super().get_results(request)
        if not self.multi_page:  # Then Django asks for the rows anew, and not by their numbers.
            self.result_list = self.queryset.filter(pk__in=self.paginator.numbers)
        self.full_result_count = self.result_count  # Else the page's head tells the first as all.

    def get_ordering_field(self, field_name):
        """Order by no other column than those that may be clicked, whatever the address says."""
        return super().get_ordering_field(field_name) if field_name in self.sortable_by else None


class Large:
    """For lists of tables that grow without end. `sortable_by` names columns that are quick."""

    paginator = FirstPages
    list_per_page = 50
    show_full_result_count = False
    sortable_by = []

    def get_changelist(self, request, **kwargs):
        return LargeChangeList


class DaysFilter(RangeDateFilter):
    """Rows with a moment on some days, by UTC, the last one to its end."""

    def queryset(self, request, queryset):
        if first := self.begin_of("from"):
            queryset = queryset.filter(**{f"{self.field_path}__gte": first})
        if last := self.begin_of("to"):
            queryset = queryset.filter(**{f"{self.field_path}__lt": last + timedelta(days=1)})
        return queryset

    def begin_of(self, end):
        """Return when the first or last day begins, by UTC; None where none is told."""
        told = self.used_parameters.get(f"{self.parameter_name}_{end}")
        day = parse_date_str(told) if told else None
        if day is None or day.year in (MINYEAR, MAXYEAR):  # Nothing can be reckoned from these.
            return None
        return datetime.combine(day, time.min, UTC)


class LetterDayFilter(DaysFilter):
    """Letters of some days. There is no index on days, but letters are numbered by age."""

    number = "pk"
    BEFORE, AFTER = timedelta(days=2), timedelta(days=3)  # A letter is written around its day.

    def queryset(self, request, queryset):
        if first := self.begin_of("from"):
            number = retention.first_since(Letter, "created_at", first - self.BEFORE)
            queryset = queryset.filter(**{f"{self.number}__gte": number}, day__gte=first.date())
        if last := self.begin_of("to"):
            number = retention.first_since(Letter, "created_at", last + self.AFTER)
            queryset = queryset.filter(**{f"{self.number}__lt": number}, day__lte=last.date())
        return queryset


class LetterStateFilter(ChoicesDropdownFilter):
    """Letters in a state, which no index knows: what tells nearly the same has one."""

    def queryset(self, request, queryset):
        found = super().queryset(request, queryset)
        letter, state = self.field_path.removesuffix("state"), self.value()
        if state in Letter.OPEN:
            return found.filter(**{f"{letter}ended_at": None})
        if state in (None, "", Letter.State.ACCEPTED):
            return found
        return found.exclude(**{f"{letter}reason": ""})


def of_readers_like(request, queryset, term, name="subscriber"):
    """Return the rows of readers with these words in their address. `name` leads to the reader.

    An international domain is found however it is written. Rows are asked for by numbers of a few
    readers, since no index leads from a part of an address to millions of rows.
    """
    with suppress(ValidationError):  # A part of an address is looked for as it is.
        term = addresses.normalise(term)
    found = Subscriber.objects.filter(email__icontains=term).order_by("-pk")
    numbers = list(found.values_list("pk", flat=True)[: READERS + 1])
    if len(numbers) > READERS:
        said = f"More than {READERS} readers' addresses have this: it shows the newest readers'."
        messages.info(request, said)
    return queryset.filter(**{f"{name}__in": numbers[:READERS]})


def count_of(queryset, name):
    """Return the number of rows of which the field `name` is the outer row, as an annotation.

    A subquery, so that a list page counts for the rows it shows and no others.
    """
    mine = queryset.filter(**{name: OuterRef("pk")}).order_by()
    return Coalesce(Subquery(mine.values(name).annotate(n=Count("pk")).values("n")), 0)


def badge(words, tone):
    """Return the words as HTML, in the colour of a tone: good, bad, open, held or quiet."""
    return render_to_string("admin/badge.html", {"words": words, "tone": tone})


def letter_badge(letter):
    """Return the letter's state as it is said to people. The reason has a column of its own."""
    is_waiting = letter.state == Letter.State.PLANNED
    words = letter.said if is_waiting else letter.get_state_display()
    return badge(words, LETTER_TONES[letter.state])


def fact_badge(fact):
    """Return what a fact says of its letter, as it is said to people."""
    return badge(fact.get_kind_display(), FACT_TONES[fact.kind])


def with_day(who, letter):
    """Return whose letter it is, and beneath what it is: a phone shows a list's first columns."""
    kind, day = letter.get_kind_display(), letter.day and f" of {date_format(letter.day)}"
    beneath = '<span class="block text-subtle whitespace-nowrap">{}{}</span>'
    return format_html(f"{{}}{beneath}", who, kind, day or "")


def reason_of(letter):
    """Return the beginning of the reason, wide enough to be read in a narrow table."""
    return wide(Truncator(letter.reason).chars(80))


def wide(words):
    """Return the words with room to be read in a narrow table."""
    return words and format_html('<span class="inline-block min-w-52">{}</span>', words)


def without(fieldsets, absent):
    """Return the fieldsets of a page without the fields of these names."""
    return [
        (title, {"fields": [name for name in options["fields"] if name not in absent]})
        for title, options in fieldsets
    ]


def link(url, words):
    """Return the words, linked to a page of the panel."""
    return format_html('<a class="text-link" href="{}">{}</a>', url, words)


def go_to(name, *args):
    """Answer a dialog, whose script follows this header and no redirect."""
    return HttpResponse(headers={"HX-Redirect": reverse(name, args=args)})
