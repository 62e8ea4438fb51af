"""Admin pages of emails, of reports about their delivery, and of the suppression list."""

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display

from subscriptions import addresses
from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.bounces import process
from subscriptions.delivery import message_ids, status
from subscriptions.models import Letter, LetterEvent, LetterFact, Seal
from subscriptions.security import suppression_list


class EventInline(widgets.ReadOnlyInline):
    model = LetterEvent
    fields = ["at", "step", "attempt", "note"]
    readonly_fields = ["step"]
    verbose_name_plural = "steps"

    @display(description="State")
    def step(self, event):
        return widgets.badge(Letter.State(event.new_state).label, widgets.TONES[event.new_state])


class FactInline(widgets.ReadOnlyInline):
    model = LetterFact
    fields = ["noted_at", widgets.fact_badge, "grade", "status", "reply", "via", "at"]
    readonly_fields = [widgets.fact_badge]
    verbose_name_plural = "delivery reports"


MOMENTS = ["created_at", "next_try_at", "lease_until", "left_at", "closes_at", "ended_at"]
TRIES = ["attempt", "failed_attempts", "repeats", "stage", "last_reply"]


@admin.register(Letter)
class LetterAdmin(widgets.AddressSearchMixin, widgets.ReadOnlyMixin, BaseModelAdmin):
    list_display = [
        "letter_to",
        widgets.letter_badge,
        widgets.reason_of,
        "attempt",
        "created_at",
        "ended_at",
    ]
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("state", ChoicesDropdownFilter),
        ("day", RangeDateFilter),
    ]
    list_filter_options = {"kind": {"horizontal": True}, "state": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["subscriber"]
    search_help_text = "Email address, channel or Message-ID"
    ordering = ["-pk"]
    inlines = [FactInline, EventInline]
    fieldsets = [
        (None, {"fields": ["subscriber", "kind", "day", widgets.letter_badge, "what_happens"]}),
        ("Delivery", {"fields": [*MOMENTS, *TRIES]}),
        ("Message", {"fields": ["message_id", "frozen_at", "mime_size"]}),
    ]

    def get_inlines(self, request, obj):
        """Omit an empty table of reports."""
        return self.inlines if obj.facts.exists() else [EventInline]

    def get_fieldsets(self, request, obj=None):
        """Leave out moments that a letter in its state cannot have."""
        absent_fields = {"next_try_at", "lease_until"}
        if obj.state in (Letter.State.PLANNED, Letter.State.UNCERTAIN):
            absent_fields = {"lease_until", "ended_at"}
        elif obj.state in Letter.OPEN:
            absent_fields = {"next_try_at", "ended_at"}
        return widgets.exclude_fields(super().get_fieldsets(request, obj), absent_fields)

    def get_search_results(self, request, queryset, search_term):
        if message_ids.is_ours(search_term):
            letter = process.letter_by_message_id(search_term)
            return queryset.filter(pk=letter and letter.pk), False
        return super().get_search_results(request, queryset, search_term)

    @display(description="Email")
    def letter_to(self, letter):
        return widgets.with_day(letter.subscriber, letter)

    @display(description="Status")
    def what_happens(self, letter):
        return status.describe(letter, timezone.now())


@admin.register(LetterFact)
class LetterFactAdmin(widgets.AddressSearchMixin, widgets.ReadOnlyMixin, BaseModelAdmin):
    """Delivery reports, also those whose email is not known."""

    list_display = ["letter_to", widgets.fact_badge, "grade", "status", "reply", "noted_at", "via"]
    list_display_links = None
    list_filter = [
        ("kind", ChoicesDropdownFilter),
        ("grade", ChoicesDropdownFilter),
    ]
    date_hierarchy = "noted_at"
    list_filter_options = {"kind": {"horizontal": True}, "grade": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["letter__subscriber"]
    subscriber_field = "letter__subscriber"
    search_help_text = "Email address with @, or words of the server reply"

    def get_search_results(self, request, queryset, search_term):
        if "@" in search_term:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(reply__icontains=search_term), False

    @display(description="Email to")
    def letter_to(self, fact):
        if fact.letter is None:
            return "unknown email"
        url = reverse("admin:subscriptions_letter_change", args=[fact.letter_id])
        return widgets.link(url, fact.letter.subscriber)


@admin.register(Seal)
class SuppressedAddressAdmin(BaseModelAdmin):
    """The suppression list. Addresses cannot be read, but a whole one can be searched for."""

    list_display = ["short_hash", "reason", "at"]
    search_fields = ["seal"]
    search_help_text = "Whole email address"
    ordering = ["-at"]

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        try:
            entries = suppression_list.entries_for(addresses.normalise(search_term))
        except ValidationError:
            entries = Seal.objects.none()
        return queryset.filter(pk__in=entries.values("pk")), False

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False

    def has_delete_permission(self, request, obj=None):
        """An entry of an invitation stays, or an address could be invited again and again."""
        is_invitation = obj is not None and obj.reason == Seal.Reason.INVITED
        return not is_invitation and super().has_delete_permission(request, obj)

    @display(description="Hash")
    def short_hash(self, entry):
        return f"{entry.seal[:8]}…"

    @display(description="Reason")
    def reason(self, entry):
        text = entry.get_reason_display()
        return format_html('<span class="inline-block min-w-32">{}</span>', text)
