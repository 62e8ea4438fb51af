"""Admin pages of users: Django's, with Unfold's forms and with roles.

Nobody can give more rights than they have, nor change a user who has more: to set a password is to
get the account.
"""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.widgets import exclude_fields

admin.site.unregister([User, Group])

ROLES_HELP = (
    "Operators can do everything. Curators edit topics. Viewers see counts, papers and sources. "
    "Curators and viewers see no addresses."
)
#: Only superusers give all rights, or single rights besides the roles.
FOR_SUPERUSERS = ("is_superuser", "user_permissions")


@admin.register(User)
class OperatorAdmin(UserAdmin, BaseModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    filter_horizontal = []  # Its two boxes do not fit a phone.
    fieldsets = [
        (None, {"fields": ["username", "password", "first_name", "last_name", "email"]}),
        ("Access", {"fields": ["is_active", "is_staff", "groups", "is_superuser"]}),
        ("History", {"fields": ["last_login", "date_joined"]}),
        ("Single permissions", {"fields": ["user_permissions"], "classes": ["collapse"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]
    list_display = ["username", "email", "roles", "may_log_in", "last_login"]
    list_filter = []

    def get_queryset(self, request):
        return super().get_queryset(request).prefetch_related("groups")

    def get_fieldsets(self, request, obj=None):
        """Leave out rights that the user cannot give, and the hash that a read-only page shows."""
        absent_fields = () if request.user.is_superuser else FOR_SUPERUSERS
        if not self.has_change_permission(request, obj):
            absent_fields = ("password",)
        return exclude_fields(super().get_fieldsets(request, obj), absent_fields)

    def get_form(self, request, obj=None, **kwargs):
        form = super().get_form(request, obj, **kwargs)
        if "is_staff" in form.base_fields:
            form.base_fields["is_staff"].label = "Panel access"
            form.base_fields["is_staff"].help_text = "Can log in here. Roles say what they can do."
        return form

    def formfield_for_manytomany(self, db_field, request, **kwargs):
        """Offer the roles as checkboxes, except those with more rights than the user has."""
        if db_field.name == "groups":
            kwargs["queryset"] = Group.objects.all()
            if not request.user.is_superuser:
                missing = Permission.objects.exclude(pk__in=_permission_ids(request.user))
                kwargs["queryset"] = Group.objects.exclude(permissions__in=missing)
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
            field = super().formfield_for_manytomany(db_field, request, **kwargs)
            field.label, field.help_text = "Roles", ROLES_HELP
            return field
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def has_change_permission(self, request, obj=None):
        is_allowed = super().has_change_permission(request, obj)
        return is_allowed and (obj is None or not _has_more_rights(obj, request.user))

    def has_delete_permission(self, request, obj=None):
        """Only users who have done nothing: deleting others would delete their audit log."""
        if obj is None or _has_more_rights(obj, request.user) or obj.logentry_set.exists():
            return False
        return super().has_delete_permission(request, obj)

    @display(description="Roles")
    def roles(self, user):
        names = [group.name for group in user.groups.all()]
        return ", ".join(["superuser", *names] if user.is_superuser else names) or "none"

    @display(description="Panel access", boolean=True, ordering="is_staff")
    def may_log_in(self, user):
        return user.is_active and user.is_staff


def _has_more_rights(user, other_user) -> bool:
    """Return whether a user, even if inactive, has rights that the other lacks."""
    if other_user.is_superuser:
        return False
    return user.is_superuser or not _permission_ids(user) <= _permission_ids(other_user)


def _permission_ids(user) -> set[int]:
    """Return the ids of the user's permissions. Django returns none for an inactive user."""
    permissions = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return set(permissions.values_list("pk", flat=True))
