"""Permissions in the admin: three roles, which are Django groups.

`migrate` creates the groups and sets their permissions, so that they include new tables. Other
permissions are removed from these groups. A superuser needs no role.
"""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

OPERATOR, CURATOR, VIEWER = "operator", "curator", "viewer"
APPS = ("digest", "subscriptions")
ACTIONS = ("view", "add", "change", "delete")

#: No personal data: counts, papers, and where they come from.
VIEWED_MODELS = ("figures", "alarm", "paper", "harvest", "coverage", "fittedmodel", "sourceconfig")
VIEWED = [f"digest.view_{name}" for name in VIEWED_MODELS]
#: What a curator may do besides.
CURATED = [f"subscriptions.{action}_topic" for action in ACTIONS]
#: What an operator may do outside of both apps. See subscriptions/admin/users.py.
OPERATED = [*(f"auth.{action}_user" for action in ACTIONS), "admin.view_logentry"]


def update_groups(**kwargs) -> None:
    """Create the groups and set their permissions."""
    roles = {
        OPERATOR: Q(content_type__app_label__in=APPS) | _permissions_named(OPERATED),
        CURATOR: _permissions_named(VIEWED) | _permissions_named(CURATED),
        VIEWER: _permissions_named(VIEWED),
    }
    for name, condition in roles.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(Permission.objects.filter(condition))


def _permissions_named(permission_names) -> Q:
    condition = Q(pk__in=[])
    for permission in permission_names:
        app_label, codename = permission.split(".")
        condition |= Q(content_type__app_label=app_label, codename=codename)
    return condition
