"""Admin pages of subscribers and of the suppression list."""

from contextlib import suppress

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Prefetch, Q, Subquery
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.text import Truncator
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.enums import ActionVariant

from subscriptions import addresses, hooks, schedule
from subscriptions.actions import preferences
from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin, LockingMixin, PagedFormSet
from subscriptions.admin.invitations import InvitationsMixin
from subscriptions.admin.subscriber_actions import register_actions
from subscriptions.models import (
    Channel,
    Consent,
    Letter,
    LetterFact,
    Seal,
    Subscriber,
    Topic,
    TopicPreference,
)
from subscriptions.models.subscribers import STATES
from subscriptions.security import suppression_list

#: Reports against writing to a subscriber, and how many their page shows.
NEGATIVE_KINDS = (LetterFact.Kind.BOUNCED, LetterFact.Kind.COMPLAINED)
MAX_FACTS = 10
MAX_INTERESTS = 60  # Characters of a row.

DIGESTS = ["next_digest", "last_digest"]
DELIVERY = ["timezone", "hour", "days", "is_monthly", "size", "paused_until", "language"]
DELIVERY += ["summary_language"] if settings.LLM_URL else []
CHOICES = ["wants_quiet_days", "wants_near", "takes_messages", "learns"]
HISTORY = ["asked_at", "confirmed_at", "unsubscribed_at", "suppression", "reports"]


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request, model_admin):
        words = {"suppressed": widgets.SUPPRESSED}
        return [(state, words.get(state, state).capitalize()) for state in STATES]

    def queryset(self, request, queryset):
        if self.value() not in STATES:
            return queryset
        return queryset.in_state(self.value(), timezone.now())


class BlockFilter(ChoicesDropdownFilter):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.title = "block reason"


def _with_aria_label(field):
    """Label a field of a table for screen readers."""
    if field is not None:
        field.widget.attrs["aria-label"] = field.label
    return field


def _topic_label(topic):
    """Return the name of a topic, with the kind if it is a subscriber's own."""
    return f"{topic} ({topic.kind})" if topic.kind else str(topic)


class PreferenceInline(TabularInline):
    model = TopicPreference
    fields = ["topic", "stance", "weight"]
    show_title = False
    extra = 0

    def get_formset(self, request, obj=None, **kwargs):
        self.subscriber = obj
        return super().get_formset(request, obj, **kwargs)

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        """Offer curated topics and the subscriber's own, queried once for all rows."""
        if db_field.name != "topic":
            return _with_aria_label(super().formfield_for_dbfield(db_field, request, **kwargs))
        kwargs["queryset"] = Topic.objects.filter(Q(owner=None) | Q(owner=self.subscriber))
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        field.label_from_instance = _topic_label
        field.choices = list(field.choices)
        for verb in ("add", "change", "delete", "view"):
            setattr(field.widget, f"can_{verb}_related", False)
        return _with_aria_label(field)

    def get_queryset(self, request):
        return super().get_queryset(request).order_by("pk")


class ConsentInline(widgets.ReadOnlyInline):
    model = Consent
    fields = ["act", "at", "via", "reason", "ip", "wording"]
    verbose_name_plural = "consent record"


class LetterInline(widgets.ReadOnlyInline):
    model = Letter
    fields = ["letter", "day", widgets.letter_badge, "reason", "created_at", "ended_at"]
    readonly_fields = ["letter", widgets.letter_badge]
    formset = PagedFormSet
    per_page = 10

    @display(description="Email")
    def letter(self, letter):
        url = reverse("admin:subscriptions_letter_change", args=[letter.pk])
        return widgets.link(url, letter.get_kind_display().capitalize())


@admin.register(Subscriber)
@register_actions
class SubscriberAdmin(LockingMixin, InvitationsMixin, widgets.LargeTableMixin, BaseModelAdmin):
    """Nobody is added by hand: consent must be the person's own.

    digest/admin/subscribers.py extends it.
    """

    row_filter = Q(channel="")
    list_display = ["address", "state", "signed_up", "interests", "hours", *DIGESTS]
    list_filter = [StateFilter, ("suppressed_by", BlockFilter)]
    list_filter_options = {"state": {"horizontal": True}, "suppressed_by": {"horizontal": True}}
    search_fields = ["email"]
    search_help_text = "Email address, or part of one"
    ordering = ["-pk"]
    sortable_by = ["address", "signed_up", "hours", "next_digest"]
    list_disable_select_all = True
    change_form_outer_before_template = "admin/subscriptions/subscriber/buttons.html"
    inlines = [PreferenceInline, ConsentInline, LetterInline]
    fieldsets = [
        (None, {"fields": ["address", "state", "next_digest"]}),
        ("Settings", {"fields": [*DELIVERY, *CHOICES]}),
        ("History", {"fields": HISTORY}),
    ]
    readonly_fields = ["address", "state", "days", "next_digest", "takes_messages", *HISTORY]

    def get_queryset(self, request):
        follows = TopicPreference.objects.filter(stance=TopicPreference.Stance.FOLLOW)
        follows = follows.select_related("topic").order_by("pk")
        digests = Letter.objects.filter(subscriber=OuterRef("pk"), state=Letter.State.ACCEPTED)
        digests = digests.filter(day__isnull=False).order_by("-day")  # The order of an index.
        return (
            super()
            .get_queryset(request)
            .select_related("invitation", "group_of_list")
            .filter(self.row_filter)
            .prefetch_related(Prefetch("preferences", follows, to_attr="follows"))
            .annotate(last_sent_at=Subquery(digests.values("ended_at")[:1]))
        )

    def get_search_results(self, request, queryset, search_term):
        """Find an international domain in both spellings."""
        with suppress(ValidationError):  # A part of an address is searched as it is.
            search_term = addresses.normalise(search_term)
        return super().get_search_results(request, queryset, search_term)

    def _get_obj_does_not_exist_redirect(self, request, opts, object_id):
        """Lead from a channel's email to the channel."""
        with suppress(ValueError):  # It may be no number.
            if Channel.objects.filter(pk=object_id).exists():
                return redirect("admin:subscriptions_channel_change", object_id)
        return super()._get_obj_does_not_exist_redirect(request, opts, object_id)

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        """Only `actions.erase` deletes everything that belongs to a subscriber."""
        return False

    def render_change_form(self, request, context, *args, **kwargs):
        """Show the actions as buttons above the form: they do not fit the title's menu."""
        buttons = context.pop("actions_detail", [])
        context["acts"] = sorted(buttons, key=lambda row: row["variant"] == ActionVariant.DANGER)
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="Address", ordering="email")
    def address(self, subscriber):
        address = addresses.readable(subscriber.email)
        if not hasattr(subscriber, "invitation"):
            return address
        origin = f"invited by {subscriber.invitation.invited_by}"
        if hasattr(subscriber, "group_of_list"):
            origin = f"mailing list of {subscriber.group_of_list}, {origin}"
        return format_html('{}<span class="block text-subtle">{}</span>', address, origin)

    @display(description="State")
    def state(self, subscriber):
        state = subscriber.state_at(timezone.now())
        return widgets.badge(state, widgets.TONES[state])

    @display(description="Hour", ordering="hour")
    def hours(self, subscriber):
        text = f"{subscriber.hour:02}:00 {subscriber.timezone}"
        return format_html('<span class="whitespace-nowrap">{}</span>', text)

    @display(description="Delivery days")
    def days(self, subscriber):
        if subscriber.is_daily:
            return "every day"
        return ", ".join(schedule.weekday_names(subscriber.weekdays))

    @display(description="Signed up", ordering="asked_at")
    def signed_up(self, subscriber):
        return date_format(subscriber.asked_at)

    @display(description="Interests")
    def interests(self, subscriber):
        names = ", ".join(follow.topic.name for follow in subscriber.follows)
        text = Truncator(names).chars(MAX_INTERESTS)
        return format_html('<span class="inline-block min-w-32">{}</span>', text)

    @display(description="Next digest", ordering="next_due_at")
    def next_digest(self, subscriber):
        """Return when it is due. A blocked subscriber keeps their time, and gets none."""
        due_at = None if subscriber.suppressed_at else subscriber.next_due_at
        return due_at and date_format(due_at, "DATETIME_FORMAT")

    @display(description="Last digest")
    def last_digest(self, subscriber):
        sent_at = subscriber.last_sent_at
        return sent_at and date_format(sent_at, "DATETIME_FORMAT")

    @display(description="Blocked")
    def suppression(self, subscriber):
        if subscriber.suppressed_at is None:
            return None
        moment = date_format(subscriber.suppressed_at, "DATETIME_FORMAT")
        parts = [moment, subscriber.get_suppressed_by_display(), subscriber.suppressed_reason]
        return ": ".join(filter(None, parts))

    @display(description="Bounces and spam reports")
    def reports(self, subscriber):
        """Return the last reports against writing to them, each with its letter."""
        facts = LetterFact.objects.filter(letter__subscriber=subscriber, kind__in=NEGATIVE_KINDS)
        fact_rows = [
            (
                date_format(fact.noted_at, "DATETIME_FORMAT"),
                reverse("admin:subscriptions_letter_change", args=[fact.letter_id]),
                str(fact),
            )
            for fact in facts[:MAX_FACTS]
        ]
        html = '<p class="mb-2">{}: <a class="text-link" href="{}">{}</a></p>'
        return format_html_join("", html, fact_rows) or None

    def save_model(self, request, obj, form, change):
        """Save through `actions.preferences`, which also reschedules the next digest."""
        settings = {name: form.cleaned_data[name] for name in form.changed_data}
        preferences.change(obj, None, settings, now=timezone.now())

    def save_related(self, request, form, formsets, change):
        super().save_related(request, form, formsets, change)
        form.instance.own_topics.filter(preferences=None).delete()


@admin.register(Seal)
class SuppressedAddressAdmin(BaseModelAdmin):
    """The suppression list. Addresses cannot be read, but a whole one can be searched for."""

    list_display = ["short_hash", "reason", "at"]
    search_fields = ["seal"]
    search_help_text = "Whole email address"
    ordering = ["-at"]
    list_per_page = 50

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


def _history(subscriber):
    """Return the audit log about a subscriber, which holds their address and their own words."""
    kind = get_content_type_for_model(Subscriber)
    return LogEntry.objects.filter(content_type=kind, object_id=subscriber.pk)


def export_history(subscriber):
    """Return what operators changed, and when. Who they are is not the subscriber's data."""
    changes = [
        {"at": entry.action_time, "whose": entry.object_repr, "what": entry.get_change_message()}
        for entry in _history(subscriber).order_by("pk")
    ]
    return {"changed_by_operators": changes}


def forget_history(subscriber):
    _history(subscriber).delete()


hooks.exporters.append(export_history)
hooks.erasers.append(forget_history)
