"""Admin pages of groups: their members, channel and mailing list."""

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from subscriptions.actions import invite
from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin, LockingMixin, inviter
from subscriptions.models import Group, Membership

LIST_HELP = (
    "The list gets one email that asks to confirm, then the group’s digest. A replaced or removed "
    "list is unsubscribed. Remove the list before you delete the group."
)


class GroupForm(forms.ModelForm):
    list_address = forms.CharField(
        label="Mailing list", required=False, help_text=LIST_HELP, widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.initial["list_address"] = getattr(self.instance.mailing_list, "email", "")

    def clean_list_address(self):
        return invite.check_list(self.instance, self.cleaned_data["list_address"], timezone.now())


class MembershipInline(TabularInline):
    """Operators can remove members, but join nobody: consent must be the member's own."""

    model = Membership
    fields = readonly_fields = ["subscriber", "invited_at", "joined_at", "name"]
    verbose_name_plural = "members"
    show_title = False
    extra = 0

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("subscriber").order_by("pk")

    def has_add_permission(self, request, obj=None):
        return False


@admin.register(Group)
class GroupAdmin(LockingMixin, BaseModelAdmin):
    form = GroupForm
    inlines = [MembershipInline]
    list_display = ["name", "members", "recipients"]
    list_select_related = ["channel", "mailing_list"]
    sortable_by = ["name"]
    readonly_fields = ["recipients"]

    def get_fieldsets(self, request, obj=None):
        fields = ["name", "channel", "list_address", *(["recipients"] if obj else [])]
        url = reverse("admin:subscriptions_subscriber_invite")
        can_invite = obj and request.user.has_perm("subscriptions.add_subscriber")
        link = widgets.link(f"{url}?group={obj.pk}", "Invite members") if can_invite else ""
        return [(None, {"fields": fields, "description": link})]

    def has_delete_permission(self, request, obj=None):
        has_list = obj is None or obj.mailing_list is not None
        return not has_list and super().has_delete_permission(request, obj)

    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
        address = form.cleaned_data["list_address"]
        invite.set_list(obj, address, inviter=inviter(request.user), now=timezone.now())

    @display(description="Members")
    def members(self, group):
        joined_count = group.memberships.filter(joined_at__isnull=False).count()
        return f"{joined_count} joined, {group.memberships.count()} invited"

    @display(description="Digest goes to")
    def recipients(self, group):
        rows = [row for row in (group.channel, group.mailing_list) if row]
        return format_html_join(" ", "{}", ([_link(row)] for row in rows)) or "nobody yet"


def _link(subscriber):
    state = subscriber.state_at(timezone.now())
    url = reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
    badge = widgets.badge(state, widgets.TONES[state])
    return format_html("{} {}", widgets.link(url, str(subscriber)), badge)
