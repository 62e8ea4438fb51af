"""The admin page of the audit log, which nobody can change."""

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, OuterRef
from django.urls import reverse
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin

TONES = {1: "good", 2: "open", 3: "bad"}


class KnownFilter(DropdownFilter):
    """Ignores values that it does not offer, such as numbers that no database can hold."""

    def queryset(self, request, queryset):
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(**{self.field: self.value()})


class PersonFilter(KnownFilter):
    title = parameter_name = field = "user"

    def lookups(self, request, model_admin):
        people = User.objects.filter(Exists(LogEntry.objects.filter(user=OuterRef("pk"))))
        return [(str(user.pk), user.get_username()) for user in people.order_by("username")]


class KindFilter(KnownFilter):
    title = parameter_name = "kind"
    field = "content_type"

    def lookups(self, request, model_admin):
        entries = LogEntry.objects.filter(content_type=OuterRef("pk"))
        kinds = ContentType.objects.filter(Exists(entries)).order_by("model")
        return [(str(kind.pk), kind.name) for kind in kinds]


@admin.register(LogEntry)
class AuditLogAdmin(widgets.LargeTableMixin, widgets.ReadOnlyMixin, BaseModelAdmin):
    list_display = ["action_time", "user", "change_text", "object_link", "action_badge"]
    list_display_links = None
    list_filter = [
        PersonFilter,
        KindFilter,
        ("action_flag", ChoicesDropdownFilter),
        ("action_time", widgets.DaysFilter),
    ]
    list_filter_submit = True
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
