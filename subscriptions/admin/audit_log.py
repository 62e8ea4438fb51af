"""The admin page of the audit log, which nobody can change, and a subscriber's part of it."""

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from subscriptions import hooks
from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.models import Subscriber

TONES = {1: "good", 2: "open", 3: "bad"}


@admin.register(LogEntry)
class AuditLogAdmin(widgets.ReadOnlyMixin, BaseModelAdmin):
    list_display = ["action_time", "user", "change_text", "object_link", "action_badge"]
    list_display_links = None
    list_filter = [
        ("user", admin.RelatedOnlyFieldListFilter),
        ("content_type", admin.RelatedOnlyFieldListFilter),
        ("action_flag", ChoicesDropdownFilter),
    ]
    list_filter_submit = True
    date_hierarchy = "action_time"
    list_select_related = ["user", "content_type"]
    search_fields = ["user__username", "object_repr", "change_message"]
    search_help_text = "User, address, or words of the change"
    ordering = ["-pk"]
    fields = ["action_time", "user", "action_badge", "object_link", "change_text"]

    @display(description="Action")
    def action_badge(self, entry):
        return widgets.badge(entry.get_action_flag_display(), TONES[entry.action_flag])

    @display(description="Object")
    def object_link(self, entry):
        """Return the changed object, with a link unless it was deleted."""
        content_type = entry.content_type
        text = f"{content_type.name}: {entry.object_repr}" if content_type else entry.object_repr
        model = content_type.model_class() if content_type else None
        if entry.is_deletion() or not entry.object_id or model not in self.admin_site._registry:
            return text
        url_name = f"admin:{content_type.app_label}_{content_type.model}_change"
        return widgets.link(reverse(url_name, args=[entry.object_id]), text)

    @display(description="Change")
    def change_text(self, entry):
        return widgets.min_width(entry.get_change_message())


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
