"""Permissions in the admin: three roles, which are Django groups.

`migrate` creates the groups and sets their permissions, so that they include new tables. Other
permissions are removed from these groups. A superuser needs no role.
"""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

#: No personal data: counts, papers, and where they come from.
VIEWED_MODELS = ("figures", "alarm", "paper", "harvest", "coverage", "fittedmodel", "sourceconfig")
VIEWED = Q(
    content_type__app_label="digest", codename__in=[f"view_{model}" for model in VIEWED_MODELS]
)
ROLES = {
    "viewer": VIEWED,
    "curator": VIEWED | Q(content_type__app_label="subscriptions", content_type__model="topic"),
    # See subscriptions/admin/users.py.
    "operator": Q(content_type__app_label__in=["digest", "subscriptions"])
    | Q(content_type__app_label="auth", content_type__model="user")
    | Q(content_type__app_label="admin", codename="view_logentry"),
}


def update_groups(**kwargs) -> None:
    """Create the groups and set their permissions."""
    for name, condition in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(Permission.objects.filter(condition))
