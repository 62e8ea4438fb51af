"""The panel's pages for letters and for what came back of them."""

from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from subscriptions import returns
from subscriptions.admin.pages import Page
from subscriptions.admin.parts import (
    DaysFilter,
    Large,
    LetterDayFilter,
    LetterStateFilter,
    ReadOnly,
    Rows,
    fact_badge,
    letter_badge,
    link,
    of_readers_like,
    reason_of,
    with_day,
    without,
)
from subscriptions.models import Letter, LetterEvent, LetterFact
from subscriptions.post import message_ids, status


class EventInline(Rows):
    model = LetterEvent
    fields = ["at", "was", "became", "attempt", "note"]
    verbose_name_plural = "what happened"


class FactInline(Rows):
    model = LetterFact
    fields = ["noted_at", "kind_said", "grade", "status", "said", "via", "at"]
    readonly_fields = ["kind_said"]
    verbose_name_plural = "what came back"

    @display(description="What")
    def kind_said(self, fact):
        return fact_badge(fact)


MOMENTS = ["created_at", "next_try_at", "lease_until", "left_at", "closes_at", "ended_at"]
TRIES = ["attempt", "stumbles", "repeats", "stage", "last_reply"]


@admin.register(Letter)
class LetterAdmin(Large, ReadOnly, Page):
    list_display = ["whose", "state_said", "why", "attempt", "created_at", "ended_at"]
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("state", LetterStateFilter),
        ("day", LetterDayFilter),
    ]
    list_filter_options = {"kind": {"horizontal": True}, "state": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["subscriber"]
    search_fields = ["subscriber__email"]
    search_help_text = "An email address, or a part of one, or a whole Message-ID"
    ordering = ["-pk"]
    inlines = [FactInline, EventInline]
    fieldsets = [
        (None, {"fields": ["subscriber", "kind", "day", "state_said", "told"]}),
        ("Delivery", {"fields": [*MOMENTS, *TRIES]}),
        ("The message", {"fields": ["message_id", "frozen_at", "mime_size"]}),
    ]

    def get_fieldsets(self, request, obj=None):
        """What a letter in its state can't have is left out: only the open have a next moment."""
        absent = {"next_try_at", "lease_until"}
        if obj.state in (Letter.State.PLANNED, Letter.State.UNCERTAIN):
            absent = {"lease_until", "ended_at"}
        elif obj.state in Letter.OPEN:
            absent = {"next_try_at", "ended_at"}
        return without(super().get_fieldsets(request, obj), absent)

    def get_search_results(self, request, queryset, search_term):
        """Find letters by their readers or their names, which no index leads to: see both."""
        if message_ids.is_ours(search_term):
            letter = returns.named(search_term)
            return queryset.filter(pk=letter and letter.pk), False
        if not search_term:
            return queryset, False
        return of_readers_like(request, queryset, search_term), False

    @display(description="Letter")
    def whose(self, letter):
        return with_day(letter.subscriber, letter)

    @display(description="State")
    def state_said(self, letter):
        return letter_badge(letter)

    @display(description="Reason")
    def why(self, letter):
        return reason_of(letter)

    @display(description="What happens")
    def told(self, letter):
        return status.of_letter(letter, timezone.now())


@admin.register(LetterFact)
class LetterFactAdmin(Large, ReadOnly, Page):
    """What came back of all letters: the newest, and those of which no letter is known."""

    list_display = ["whose", "kind_said", "grade", "status", "said", "noted_at", "via"]
    list_display_links = None
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("grade", ChoicesDropdownFilter),
        ("noted_at", DaysFilter),
    ]
    list_filter_options = {"kind": {"horizontal": True}, "grade": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["letter__subscriber"]
    search_fields = ["said"]
    search_help_text = "An email address with its @, or a mail server's words"

    def get_search_results(self, request, queryset, search_term):
        """Find the facts about a reader's letters, or those that say why one came back."""
        if "@" in search_term:
            name = "letter__subscriber"
            return of_readers_like(request, queryset, search_term, name), False
        if search_term:
            queryset = queryset.exclude(grade="").filter(said__icontains=search_term)
        return queryset, False

    @display(description="What")
    def kind_said(self, fact):
        return fact_badge(fact)

    @display(description="Letter to")
    def whose(self, fact):
        if fact.letter is None:
            return "unknown, may turn up"
        url = reverse("admin:subscriptions_letter_change", args=[fact.letter_id])
        return link(url, fact.letter.subscriber)
